//! Chats: asking, following, stopping, branching, finding, sharing, taking out and in.

use serde_json::{Value, json};

use super::{Browser, Site, events};

#[test]
fn a_person_asks_and_follows_the_answer_from_anywhere() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let told = me.get(&server, "/api/me");
    assert_eq!(
        (&told["mode"], &told["setup_needed"]),
        (&json!("single"), &json!(false))
    );
    let models = me.get(&server, "/api/models");
    assert_eq!(models["models"][0]["default"], true);
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 40 }));
    let question = json!({ "id": "q1", "parent_id": null, "content": "Name three fruits." });
    let answer = me.ask(&server, &chat, question.clone());
    let (text, done) = me.follow(&server, &chat, &answer, 0);
    assert!(!text.is_empty());
    assert_eq!(done["content"], text.as_str());
    assert!(
        matches!(done["status"].as_str(), Some("done" | "stopped")),
        "{done}"
    );
    assert!(done["usage"]["completion_tokens"].as_i64().unwrap() > 0);
    // From the middle, from the end, from beyond it, and from within a character or not.
    for from in [text.len() / 2, text.len(), text.len() + 100] {
        let path = format!("/api/chats/{chat}/messages/{answer}/stream?from={from}");
        let response = me.send(&server, "GET", &path, None);
        let mut whole = text[..from.min(text.len())].to_owned();
        for (event, data) in events(&response.body) {
            if event == "text" {
                whole.push_str(data["text"].as_str().unwrap());
            }
        }
        assert_eq!(whole, text);
    }
    // Sent again it is the same message; another text under its name is not taken.
    let path = format!("/api/chats/{chat}/messages");
    let again = me.ok(&server, "POST", &path, question);
    assert_eq!(again["answer"]["id"], answer.as_str());
    let other = json!({ "id": "q1", "parent_id": null, "content": "Other" });
    me.send(&server, "POST", &path, Some(&other))
        .fails(409, "another message");
    let whole = me.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(whole["chat"]["title"], "Name three fruits.");
    assert_eq!(whole["chat"]["leaf_id"], answer.as_str());
    assert_eq!(whole["messages"].as_array().unwrap().len(), 2);
    // The same conversation through the API gives the same answer: the template is the same.
    let body = json!({ "model": crate::real::MODEL, "temperature": 0, "max_tokens": 40,
        "messages": [{ "role": "user", "content": "Name three fruits." }] });
    let api = server.ok(super::super::CHAT, &body);
    assert_eq!(super::super::text(&api), text);
}

#[test]
fn an_answer_goes_on_without_its_reader_and_several_can_follow() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 60 }));
    let question = json!({ "id": "q1", "parent_id": null, "content": "Tell me a story." });
    let answer = me.ask(&server, &chat, question);
    // One who leaves at once.
    let path = format!("/api/chats/{chat}/messages/{answer}/stream");
    let mut stream = server.connect();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).unwrap();
    drop(stream);
    let followed: Vec<(String, Value)> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| me.follow(&server, &chat, &answer, 0)))
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    });
    let (first, done) = &followed[0];
    assert!(!first.is_empty() && followed.iter().all(|(text, _)| text == first));
    assert_eq!(done["content"], first.as_str());
}

#[test]
fn answers_are_stopped_continued_made_again_and_deleted() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 8 }));
    let question = json!({ "id": "q1", "parent_id": null, "content": "Tell me a long story." });
    let first = me.ask(&server, &chat, question);
    let (begun, done) = me.follow(&server, &chat, &first, 0);
    assert_eq!(done["status"], "stopped", "{done}");
    let on = |action: &str, id: &str| format!("/api/chats/{chat}/messages/{id}/{action}");
    me.ok(&server, "POST", &on("continue", &first), Value::Null);
    let (rest, done) = me.follow(&server, &chat, &first, begun.len());
    assert!(!rest.is_empty());
    assert_eq!(done["content"], format!("{begun}{rest}"));
    // Another branch, which is stopped by hand.
    let long = json!({ "settings": { "temperature": 0, "max_tokens": 2000 } });
    me.ok(&server, "PATCH", &format!("/api/chats/{chat}"), long);
    let again = me.ok(&server, "POST", &on("answer", "q1"), Value::Null);
    let second = again["answer"]["id"].as_str().unwrap().to_owned();
    assert_ne!(second, first);
    me.send(&server, "POST", &on("answer", &first), None)
        .fails(409, "no message");
    me.ok(&server, "POST", &on("stop", &second), Value::Null);
    let (_, done) = me.follow(&server, &chat, &second, 0);
    assert!(
        matches!(done["status"].as_str(), Some("stopped" | "done")),
        "{done}"
    );
    let whole = me.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(whole["messages"].as_array().unwrap().len(), 3);
    assert_eq!(whole["chat"]["leaf_id"], second.as_str());
    let back = json!({ "leaf_id": first });
    let changed = me.ok(&server, "PATCH", &format!("/api/chats/{chat}"), back);
    assert_eq!(changed["leaf_id"], first.as_str());
    me.ok(
        &server,
        "DELETE",
        &format!("/api/chats/{chat}/messages/q1"),
        Value::Null,
    );
    let whole = me.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(
        (&whole["messages"], &whole["chat"]["leaf_id"]),
        (&json!([]), &Value::Null)
    );
}

#[test]
fn chats_are_kept_found_shared_and_taken_out_and_in() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let folder = me.ok(&server, "POST", "/api/folders", json!({ "name": "work" }));
    let chat = me.chat(&server, json!({ "max_tokens": 4 }));
    let file = me.raw(
        &server,
        "POST",
        "/api/attachments?name=notes.md",
        b"The word is rambutan.",
    );
    let file = file.json();
    assert_eq!(
        (&file["name"], &file["text_chars"]),
        (&json!("notes.md"), &json!(21))
    );
    let question = json!({ "id": "q1", "parent_id": null, "content": "Which kumquat is it?",
        "attachments": [file["id"]] });
    let answer = me.ask(&server, &chat, question);
    let (_, done) = me.follow(&server, &chat, &answer, 0);
    // The file's text was part of the prompt.
    assert!(
        done["usage"]["prompt_tokens"].as_i64().unwrap() > 25,
        "{done}"
    );
    let into = json!({ "folder_id": folder["id"], "pinned": true, "title": "Citrus" });
    me.ok(&server, "PATCH", &format!("/api/chats/{chat}"), into);
    let listed = me.get(
        &server,
        &format!("/api/chats?folder={}", folder["id"].as_str().unwrap()),
    );
    assert_eq!(listed["chats"][0]["title"], "Citrus");
    let hits = me.get(&server, "/api/search?q=kumq");
    // The answer may well speak of kumquats too, so the question need not come first.
    let hits = hits["hits"].as_array().unwrap();
    let hit = hits.iter().find(|hit| hit["message_id"] == "q1").unwrap();
    assert!(
        hit["snippet"]
            .as_str()
            .unwrap()
            .contains("\u{1}kumquat\u{2}")
    );
    // A share is what was shared, without logging in, until it is revoked.
    let share = me.ok(
        &server,
        "POST",
        &format!("/api/chats/{chat}/shares"),
        Value::Null,
    );
    let shared = format!("/api/shared/{}", share["token"].as_str().unwrap());
    assert_eq!(
        server.get(&shared).json()["messages"][0]["content"],
        "Which kumquat is it?"
    );
    let id = share["id"].as_str().unwrap();
    me.ok(&server, "DELETE", &format!("/api/shares/{id}"), Value::Null);
    server.get(&shared).fails(404, "");
    let markdown = me.send(&server, "GET", &format!("/api/chats/{chat}/export"), None);
    assert!(
        markdown
            .body
            .starts_with("# Citrus\n\n## You\n\nWhich kumquat"),
        "{}",
        markdown.body
    );
    assert!(
        markdown
            .header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    let everything = me.send(&server, "GET", "/api/export", None);
    assert_eq!(everything.json()["chats"].as_array().unwrap().len(), 1);
    let back = me
        .raw(&server, "POST", "/api/import", everything.body.as_bytes())
        .json();
    assert_eq!((&back["chats"], &back["messages"]), (&json!(1), &json!(2)));
    let all = me.get(&server, "/api/chats");
    assert_eq!(all["chats"].as_array().unwrap().len(), 2);
    me.ok(
        &server,
        "DELETE",
        &format!("/api/chats/{chat}"),
        Value::Null,
    );
    me.send(&server, "GET", &format!("/api/chats/{chat}"), None)
        .fails(404, "");
}

#[test]
fn an_export_of_chatgpt_is_imported_and_searched_quickly() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chats: Vec<Value> = (0..200).map(conversation).collect();
    let body = Value::Array(chats).to_string();
    let begun = std::time::Instant::now();
    let imported = me.raw(&server, "POST", "/api/import", body.as_bytes());
    assert_eq!(imported.status, 200, "{}", imported.body);
    let imported = imported.json();
    assert_eq!(
        (&imported["chats"], &imported["messages"]),
        (&json!(200), &json!(2000))
    );
    assert_eq!(imported["skipped"], json!([]));
    eprintln!("200 conversations in {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    let hits = me.get(&server, "/api/search?q=needle77");
    eprintln!("searched in {:?}", begun.elapsed());
    assert_eq!(hits["hits"].as_array().unwrap().len(), 1);
    assert_eq!(hits["hits"][0]["title"], "Conversation 77");
    let broken = me.raw(
        &server,
        "POST",
        "/api/import",
        &body.as_bytes()[..body.len() - 9],
    );
    broken.fails(400, "body");
    let listed = me.get(&server, "/api/chats?limit=200");
    assert_eq!(listed["chats"].as_array().unwrap().len(), 200);
}

/// A conversation as ChatGPT exports it: ten messages below a root.
pub(super) fn conversation(number: usize) -> Value {
    let mut mapping = serde_json::Map::new();
    let root = json!({ "id": "root", "message": null, "parent": null, "children": ["m0"] });
    mapping.insert("root".to_owned(), root);
    let mut parent = "root".to_owned();
    for turn in 0..10 {
        let id = format!("m{turn}");
        let role = if turn % 2 == 0 { "user" } else { "assistant" };
        let text = format!("Some words of turn {turn} with needle{number} in the first. ")
            .repeat(usize::from(turn == 0))
            + &"An ordinary sentence of a conversation. ".repeat(20);
        mapping.insert(
            id.clone(),
            json!({ "id": id, "parent": parent, "children": [format!("m{}", turn + 1)],
                "message": { "id": id, "author": { "role": role }, "create_time": 1_700_000_000.0,
                    "recipient": "all", "metadata": {},
                    "content": { "content_type": "text", "parts": [text] } } }),
        );
        parent = id;
    }
    json!({ "title": format!("Conversation {number}"), "create_time": 1_700_000_000.0 + number as f64,
        "update_time": 1_700_000_100.0 + number as f64, "mapping": mapping, "current_node": "m9" })
}

#[test]
fn files_that_are_no_text_are_refused_by_name() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    for (name, data) in [
        ("a.pdf", &b"%PDF-1.7\n"[..]),
        ("b.png", b"\x89PNG\r\n\xff"),
        ("c.bin", b"a\0b"),
    ] {
        let path = format!("/api/attachments?name={name}");
        me.raw(&server, "POST", &path, data).fails(400, name);
    }
    let file = me.raw(
        &server,
        "POST",
        "/api/attachments?name=x.html",
        b"<script>alert(1)</script>Hello",
    );
    let path = format!("/api/attachments/{}", file.json()["id"].as_str().unwrap());
    let back = me.send(&server, "GET", &path, None);
    assert_eq!(
        back.header("content-type"),
        Some("application/octet-stream")
    );
    assert!(
        back.header("content-disposition")
            .unwrap()
            .starts_with("attachment")
    );
    assert_eq!(back.header("x-content-type-options"), Some("nosniff"));
    me.raw(
        &server,
        "POST",
        "/api/attachments?name=x.txt",
        &vec![b'a'; (20 << 20) + 1],
    )
    .fails(413, "bytes");
}

#[test]
fn the_app_is_served_with_its_policy() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    for path in ["/", "/c/0198", "/setup"] {
        let page = server.get(path);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';"),
            "{policy}"
        );
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let tag = format!("If-None-Match: {}", page.header("etag").unwrap());
        assert_eq!(server.request("GET", path, &[&tag], b"").status, 304);
    }
    server.get("/missing.js").fails(404, "no such file");
    for own in ["/api/nothing", "/v1/nothing", "/docs/nothing", "/%61pi/me"] {
        assert_ne!(
            server.get(own).header("content-type"),
            Some("text/html; charset=utf-8"),
            "{own}"
        );
    }
}
