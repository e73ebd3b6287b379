//! What others do to a server: each is refused, and it answers afterwards.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::json;

use super::{CHAT, Response, Server, own, question, shared};

const JSON: &str = "Content-Type: application/json";

/// Asserts that it still answers, and soon.
#[track_caller]
fn answers(server: &Server) {
    let begun = Instant::now();
    assert_eq!(server.get("/health/live").status, 200);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn bodies_that_are_no_json_are_refused() {
    let Some(server) = shared() else { return };
    let post = |body: &[u8]| server.request("POST", CHAT, &[JSON], body);
    for body in [
        &b"{"[..],
        b"",
        b"[]",
        b"null",
        b"7",
        b"\"text\"",
        b"{\"model\": \"a\",}",
        b"{\"model\": NaN}",
        b"{\"model\": \"\xff\xfe\"}",
        b"{\"model\": \"a\", \"model\": \"b\", \"messages\": []}",
        b"{\"temperature\": 1e999}",
        b"\x00\x01\x02",
        b"{} {}",
        b"{\"model\": \"\\ud800\"}",
    ] {
        post(body).fails(400, "");
    }
    let before = resident_kib(&server);
    // Nested arrays to the limit of a body: refused by their depth, not by their memory.
    let deep = vec![b'['; 8 << 20];
    post(&deep).fails(400, "allowed is a JSON object");
    let inside = [&br#"{"model": "a", "metadata": "#[..], &deep[..1 << 20]].concat();
    post(&inside).fails(400, "recursion limit");
    assert!(resident_kib(&server) < before + (64 << 10));
    answers(&server);
}

#[test]
fn bodies_over_the_limit_are_refused_before_they_are_read() {
    let Some(server) = own(&["max_body_bytes=100000"]) else {
        return;
    };
    let before = resident_kib(&server);
    let large = question(&"x".repeat(200_000), json!({})).to_string();
    server
        .request("POST", CHAT, &[JSON], large.as_bytes())
        .fails(413, "100000 bytes");
    // One that says it is small and goes on in pieces.
    let mut stream = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    for _ in 0..64 {
        if stream.write_all(piece.as_bytes()).is_err() {
            break;
        }
    }
    Response::read(stream).fails(413, "100000 bytes");
    assert!(resident_kib(&server) < before + (16 << 10));
    answers(&server);
}

#[test]
fn only_plain_json_is_read() {
    let Some(server) = shared() else { return };
    let body = question("Hi", json!({})).to_string();
    let post = |headers: &[&str]| server.request("POST", CHAT, headers, body.as_bytes());
    // What a page of another origin can send without asking.
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ] {
        post(&[&format!("Content-Type: {content_type}")]).fails(415, "application/json");
    }
    post(&[]).fails(415, "application/json");
    post(&[JSON, "Content-Encoding: gzip"]).fails(415, "compressed");
}

#[test]
fn pages_of_other_origins_and_other_names_are_refused() {
    let Some(server) = own(&[
        "cors_origins=https://chat.example.org",
        "allowed_hosts=terang.example.org",
    ]) else {
        return;
    };
    let get = |headers: &[&str]| server.request("GET", "/v1/models", headers, b"");
    for host in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        get(&[&format!("Host: {host}")]).fails(421, "host");
    }
    get(&["Host: a", "Host: localhost"]).fails(400, "host");
    get(&["Host: local host"]).fails(400, "");
    for host in [
        "localhost:8080",
        "127.0.0.1",
        "[::1]:9",
        "LOCALHOST",
        "terang.example.org",
    ] {
        assert_eq!(get(&[&format!("Host: {host}")]).status, 200, "{host}");
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://chat.example.org.evil.example",
        "http://chat.example.org",
    ] {
        let refused = get(&[&format!("Origin: {origin}")]);
        refused.fails(403, "origin");
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    let allowed = get(&["Origin: https://chat.example.org"]);
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        Some("https://chat.example.org")
    );
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    // A page that the server itself shows.
    assert_eq!(
        get(&["Origin: http://localhost:8080", "Host: localhost:8080"]).status,
        200
    );
    let preflight = |origin: &str| {
        let headers = [
            origin,
            "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: authorization, content-type",
        ];
        server.request("OPTIONS", CHAT, &headers, b"")
    };
    let asked = preflight("Origin: https://chat.example.org");
    assert_eq!(asked.status, 204);
    assert_eq!(
        asked.header("access-control-allow-headers"),
        Some("authorization, content-type")
    );
    preflight("Origin: https://evil.example").fails(403, "origin");
}

#[test]
fn heads_that_two_servers_could_read_differently_are_refused() {
    let Some(server) = shared() else { return };
    let body = question("Hi", json!({ "max_tokens": 1 })).to_string();
    let head = |more: &str| {
        format!(
            "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}\r\n{more}\r\n\r\n"
        )
    };
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for (what, bytes) in [
        (
            "two lengths",
            head(&format!("Content-Length: {length}\r\nContent-Length: 5")) + &body,
        ),
        (
            "a list of lengths",
            head(&format!("Content-Length: {length}, 5")) + &body,
        ),
        ("a negative length", head("Content-Length: -1") + &body),
        (
            "a length with a sign",
            head(&format!("Content-Length: +{length}")) + &body,
        ),
        (
            "a huge length",
            head("Content-Length: 99999999999999999999999") + &body,
        ),
        (
            "an unknown coding",
            head("Transfer-Encoding: gzip") + &chunked,
        ),
        (
            "a coding after chunked",
            head("Transfer-Encoding: chunked, identity") + &chunked,
        ),
        ("space before the colon", head("Content-Length : 5") + &body),
        ("a folded line", head("X-A: a\r\n b") + &body),
        (
            "a chunk of a wrong size",
            head("Transfer-Encoding: chunked") + "zz\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "a huge chunk",
            head("Transfer-Encoding: chunked") + "ffffffffffffffffff\r\n",
        ),
        (
            "no host",
            "GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        ),
        ("no HTTP", "hello\r\n\r\n".to_owned()),
        (
            "another protocol",
            "\x16\x03\x01\x02\x00\x01\x00\x01".to_owned() + "\r\n\r\n",
        ),
    ] {
        let response = server.raw(bytes.as_bytes());
        assert_eq!(response.status, 400, "{what}: {}", response.body);
    }
    // A length beside the coding: the coding counts, and what follows is no second request.
    let hidden = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for more in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked\r\nContent-Length: 5".to_owned(),
    ] {
        let kept = head(&more).replace("Connection: close\r\n", "");
        let response = server.raw((kept + &chunked + hidden).as_bytes());
        assert_eq!(response.status, 200, "{}", response.body);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(!response.body.contains("HTTP/1.1"), "{}", response.body);
    }
    let long = format!(
        "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-A: {}\r\n\r\n",
        "a".repeat(500_000)
    );
    assert_eq!(server.raw(long.as_bytes()).status, 431);
    let many = "X-A: a\r\n".repeat(200);
    let many = format!("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{many}\r\n");
    assert_eq!(server.raw(many.as_bytes()).status, 431);
    answers(&server);
}

#[test]
fn slow_heads_and_bodies_are_let_go() {
    let Some(server) = own(&["header_timeout_s=1", "body_timeout_s=1"]) else {
        return;
    };
    let begun = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = server.connect();
        stream
            .write_all(b"GET /v1/models HTTP/1.1\r\nHost: local")
            .unwrap();
        slow.push(stream);
    }
    let mut body = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: 100\r\n\r\n{{"
    );
    body.write_all(head.as_bytes()).unwrap();
    answers(&server);
    Response::read(body).fails(408, "not complete after 1 s");
    for mut stream in slow {
        // Closed by the server, with or without a word.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // One that says nothing at all after a first request is let go too.
    let mut idle = server.connect();
    idle.write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    assert_eq!(Response::read(idle).status, 200);
    assert!(
        begun.elapsed() < Duration::from_mins(1),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn more_connections_than_places_wait_their_turn() {
    let Some(server) = own(&["max_connections=20", "header_timeout_s=2"]) else {
        return;
    };
    let held: Vec<_> = (0..60).map(|_| server.connect()).collect();
    // The places are taken by those that say nothing, for two seconds each time.
    let begun = Instant::now();
    assert_eq!(server.get("/health/live").status, 200);
    assert!(begun.elapsed() < Duration::from_mins(1));
    drop(held);
    answers(&server);
}

#[test]
fn a_client_that_leaves_ends_its_answer() {
    let Some(server) = own(&["max_sequences=1"]) else {
        return;
    };
    let long = json!({ "max_tokens": 8000, "ignore_eos": true, "stream": true });
    for stream in [true, false] {
        let mut body = question("Tell a long story.", long.clone());
        body["stream"] = stream.into();
        let body = body.to_string();
        let mut client = server.connect();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(body.as_bytes()).unwrap();
        if stream {
            client.read_exact(&mut [0; 600]).unwrap();
        } else {
            std::thread::sleep(Duration::from_millis(500));
        }
        drop(client);
        // The only place is free again long before 8000 tokens could be there.
        let begun = Instant::now();
        server.ok(CHAT, &question("Hi", json!({ "max_tokens": 1 })));
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn a_reader_that_takes_nothing_is_let_go() {
    let Some(server) = own(&[
        "max_sequences=1",
        "request_timeout_s=4",
        "write_timeout_s=1",
    ]) else {
        return;
    };
    let before = resident_kib(&server);
    let body = question("Tell a long story.", json!({
        "max_tokens": 8000, "ignore_eos": true, "stream": true, "logprobs": true, "top_logprobs": 20,
    }))
    .to_string();
    let mut client = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).unwrap();
    // The only place is free again when the answer's time is over, if not before.
    let begun = Instant::now();
    let short = question("Hi", json!({ "max_tokens": 1 }));
    while server.post(CHAT, &short).status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    assert!(resident_kib(&server) < before + (64 << 10));
    answers(&server);
}

#[test]
fn grammars_that_explode_are_refused_or_end() {
    let Some(server) = shared() else { return };
    let before = resident_kib(&server);
    let nested = (0..200).fold(
        json!({}),
        |inner, _| json!({ "type": "object", "properties": { "a": inner } }),
    );
    let wide: Vec<String> = (0..20_000).map(|i| format!("word{i}x")).collect();
    for outputs in [
        json!({ "regex": "(a|aa)+(a|aa)+(a|aa)+b".repeat(50) }),
        json!({ "regex": "(x{1000}){1000}" }),
        json!({ "regex": "((((((((((a{10}){10}){10}){10}){10}){10}){10}){10}){10}){10})" }),
        json!({ "regex": "(".repeat(5000) }),
        json!({ "grammar": "start: start start | \"a\"" }),
        json!({ "grammar": "start: start" }),
        json!({ "grammar": format!("start: {}", "(".repeat(20_000)) }),
        json!({ "json": { "$ref": "#" } }),
        json!({ "json": { "$ref": "http://169.254.169.254/schema.json" } }),
        json!({ "json": { "$ref": "file:///etc/passwd" } }),
        json!({ "json": { "type": "array", "minItems": 1_000_000_000, "items": {} } }),
        json!({ "json": { "type": "string", "minLength": 1_000_000_000 } }),
        json!({ "json": { "pattern": "(a+)+$", "type": "string" } }),
        json!({ "json": nested }),
        json!({ "choice": wide }),
    ] {
        let begun = Instant::now();
        let body = question(
            "Hi",
            json!({ "structured_outputs": outputs, "max_tokens": 3 }),
        );
        let response = server.post(CHAT, &body);
        assert!(
            [200, 400, 500].contains(&response.status) && begun.elapsed() < Duration::from_secs(20),
            "{} after {:?}: {}",
            response.status,
            begun.elapsed(),
            response.body
        );
        assert!(!response.body.contains("panicked"), "{}", response.body);
    }
    assert!(resident_kib(&server) < before + (600 << 10));
    answers(&server);
}
