//! Bodies that are no JSON, too large, packed, or of another kind.

use std::io::Write as _;

use serde_json::json;

use super::super::{CHAT, Response, own, question, shared};
use super::{JSON, answers, resident_kib};

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
