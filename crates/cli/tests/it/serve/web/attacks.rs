//! What other sites and strangers try.

use serde_json::{Value, json};

use super::{Browser, Site, owner};

#[test]
fn no_other_sites_page_can_do_or_read_anything() {
    for site in [Site::single(), Site::accounts()] {
        let Some(server) = site.start() else { return };
        let me = if site.flags.is_empty() {
            Browser::default()
        } else {
            owner(&server)
        };
        let cookies = format!("Cookie: {}", me.cookies.join("; "));
        let json = "Content-Type: application/json";
        let host = format!("Host: {}", server.address);
        let own = format!("Origin: http://{}", server.address);
        // Without the header that a form cannot send.
        server
            .request("POST", "/api/chats", &[json, &cookies], b"{}")
            .fails(403, "x-terang");
        for wrong in ["X-Terang: 0", "X-Terang: ", "X-Terang: 1, 1"] {
            server
                .request("POST", "/api/chats", &[json, &cookies, wrong], b"{}")
                .fails(403, "");
        }
        for origin in [
            "Origin: http://evil.example",
            "Origin: null",
            "Origin: http://localhost:1",
        ] {
            for (method, path) in [
                ("POST", "/api/chats"),
                ("GET", "/api/chats"),
                ("GET", "/api/me"),
            ] {
                let headers = [json, &cookies, "X-Terang: 1", origin];
                let response = server.request(method, path, &headers, b"{}");
                response.fails(403, "origin");
                assert_eq!(response.header("access-control-allow-origin"), None);
            }
            // A preflight is never granted.
            let asks = "Access-Control-Request-Method: POST";
            let names = "Access-Control-Request-Headers: x-terang";
            let response = server.request("OPTIONS", "/api/chats", &[origin, asks, names], b"");
            response.fails(403, "origin");
            assert_eq!(response.header("access-control-allow-headers"), None);
        }
        let headers = [json, &cookies, "X-Terang: 1", &own, &host];
        assert_eq!(
            server.request("POST", "/api/chats", &headers, b"{}").status,
            200
        );
        server
            .request("GET", "/api/me", &["Host: rebound.example"], b"")
            .fails(421, "host");
    }
}

#[test]
fn allowed_origins_of_the_api_are_none_of_the_app() {
    let mut site = Site::single();
    site.flags = vec!["--set", "cors_origins=https://partner.example"];
    let Some(server) = site.start() else { return };
    let headers = [
        "Origin: https://partner.example",
        "X-Terang: 1",
        "Content-Type: application/json",
    ];
    let response = server.request("POST", "/api/chats", &headers, b"{}");
    response.fails(403, "origin");
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_eq!(
        server
            .request("GET", "/v1/models", &headers[..1], b"")
            .status,
        200
    );
}

#[test]
fn what_is_wrong_or_too_much_is_refused_by_name() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({}));
    let send = format!("/api/chats/{chat}/messages");
    let patch = format!("/api/chats/{chat}");
    let long = "x".repeat(5 << 20);
    let cases: Vec<(&str, &str, Value, u16, &str)> = vec![
        (
            "POST",
            "/api/chats",
            json!({ "nothing": 1 }),
            400,
            "nothing",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "settings": { "temperature": -1 } }),
            400,
            "temperature",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "settings": { "top_p": 2 } }),
            400,
            "top_p",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "settings": { "max_tokens": 0 } }),
            400,
            "max_tokens",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "settings": { "top_k": -4 } }),
            400,
            "top_k",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "model": "none" }),
            404,
            "model",
        ),
        (
            "POST",
            "/api/chats",
            json!({ "folder_id": "none" }),
            404,
            "",
        ),
        ("PATCH", &patch, json!({ "title": "a\nb" }), 400, "title"),
        ("PATCH", &patch, json!({ "leaf_id": "none" }), 404, ""),
        (
            "POST",
            &send,
            json!({ "id": "", "parent_id": null, "content": "x" }),
            400,
            "id",
        ),
        (
            "POST",
            &send,
            json!({ "id": "../a", "parent_id": null, "content": "x" }),
            400,
            "id",
        ),
        (
            "POST",
            &send,
            json!({ "id": "a", "parent_id": null, "content": "  " }),
            400,
            "content",
        ),
        (
            "POST",
            &send,
            json!({ "id": "a", "parent_id": "none", "content": "x" }),
            409,
            "parent_id",
        ),
        (
            "POST",
            &send,
            json!({ "id": "a", "parent_id": null, "content": long }),
            400,
            "content",
        ),
        (
            "POST",
            &send,
            json!({ "id": "a", "parent_id": null, "content": "x",
            "attachments": ["none"] }),
            404,
            "",
        ),
        (
            "PUT",
            "/api/settings",
            json!({ "x": "y".repeat(17 << 10) }),
            400,
            "settings",
        ),
        ("POST", "/api/import", json!({}), 400, "no chats"),
        (
            "POST",
            "/api/login",
            json!({ "email": "a", "password": "b" }),
            403,
            "one person",
        ),
        (
            "POST",
            "/api/prompts",
            json!({ "name": "", "text": "x" }),
            400,
            "name",
        ),
    ];
    for (method, path, body, status, part) in cases {
        me.send(&server, method, path, Some(&body))
            .fails(status, part);
    }
    for path in [
        "/api/chats?before=x",
        "/api/chats?limit=-1",
        "/api/chats?nothing=1",
        "/api/search",
        "/api/chats/%00",
        "/api/chats/../me/x",
    ] {
        let status = me.send(&server, "GET", path, None).status;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    // Text that is code elsewhere is text here.
    for title in [
        "<img src=x onerror=alert(1)>",
        "'; DROP TABLE chats; --",
        "\u{202e}txt",
    ] {
        let changed = me.ok(&server, "PATCH", &patch, json!({ "title": title }));
        assert_eq!(changed["title"], title);
    }
    let hits = me.get(&server, "/api/search?q=%22%20OR%20%2A%20NEAR%28");
    assert_eq!(hits["hits"], json!([]));
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Deflated);
    writer.start_file("conversations.json", options).unwrap();
    std::io::Write::write_all(&mut writer, b"[\"").unwrap();
    let part = vec![b'a'; 1 << 20];
    for _ in 0..300 {
        std::io::Write::write_all(&mut writer, &part).unwrap();
    }
    std::io::Write::write_all(&mut writer, b"\"]").unwrap();
    let bomb = writer.finish().unwrap().into_inner();
    let me = Browser::default();
    me.raw(&server, "POST", "/api/import", &bomb)
        .fails(413, "bytes");
    me.raw(&server, "POST", "/api/import", b"PK\x03\x04not an archive")
        .fails(400, "archive");
}
