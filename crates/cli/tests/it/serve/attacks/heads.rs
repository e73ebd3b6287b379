//! Heads that two servers could read differently, and protocols that are not spoken.

use std::fmt::Write as _;

use serde_json::json;

use super::super::{CHAT, question, shared};
use super::{JSON, answers};

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
    // Each would hide a second request behind what one of two servers takes for the end.
    let hidden = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let kept = |more: &str| head(more).replace("Connection: close\r\n", "");
    for more in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        "Transfer-Encoding: chunked\r\nContent-Length: 5".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding: chunked\nX: y".to_owned(),
        format!("Content-Length: {length}\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\nX: y"),
        format!("X: y\rContent-Length: {length}"),
    ] {
        let response = server.raw((kept(&more) + &chunked + hidden).as_bytes());
        assert_eq!(response.status, 400, "{more:?}: {}", response.body);
        assert_eq!(response.header("connection"), Some("close"), "{more:?}");
        assert!(!response.body.contains("HTTP/1.1"), "{}", response.body);
    }
    // After a body in chunks nothing is taken for a request.
    let response = server.raw((kept("Transfer-Encoding: chunked") + &chunked + hidden).as_bytes());
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.header("connection"), Some("close"));
    assert!(!response.body.contains("HTTP/1.1"), "{}", response.body);
    // After one of a plain length it is: what is hidden in that body is not.
    let inside = kept(&format!("Content-Length: {}", hidden.len())) + hidden;
    let after = hidden.replace("Host: localhost", "Connection: close\r\nHost: localhost");
    let response = server.raw((inside + &after).as_bytes());
    assert_eq!(response.status, 400, "{}", response.body);
    assert_eq!(response.body.matches("HTTP/1.1 200").count(), 1);
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
fn http_2_is_not_spoken() {
    let Some(server) = shared() else { return };
    // Prior knowledge: the preface, and an empty frame of settings.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut response = server.raw(preface);
    assert!([0, 400].contains(&response.status), "{}", response.status);
    // An upgrade is not taken up; the request is answered as it is.
    response = server.request(
        "GET",
        "/health/live",
        &[
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        ],
        b"",
    );
    assert_eq!(response.status, 200);
    // Heads without end, as HTTP/2's CONTINUATION frames have them.
    let mut endless = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n".to_owned();
    for index in 0..20_000 {
        let _ = write!(endless, "X-{index}: {index}\r\n");
    }
    assert_eq!(server.raw(endless.as_bytes()).status, 431);
    answers(&server);
}

#[test]
fn odd_paths_are_told_in_the_shape_of_the_api() {
    let Some(server) = shared() else { return };
    for path in [
        "/v1/models/%ff",
        "/v1/models/%c0%ae%c0%ae",
        "/v1/models/..%2f..%2fetc%2fpasswd",
        "/v1/models/%00",
        "/v1/responses/%ff",
        "/v1/responses/%ff/input_items",
        "/%ff",
        "/v1/%2e%2e/%2e%2e/etc/passwd",
    ] {
        server.get(path).fails(404, "");
    }
    for path in ["/v1/models?limit=%ff", "/tokenizer_info?model=%ff"] {
        let response = server.get(path);
        assert!(response.status < 500, "{path}: {}", response.status);
    }
    let cancel = server.request("POST", "/v1/responses/%ff/cancel", &[], b"");
    cancel.fails(404, "");
    answers(&server);
}
