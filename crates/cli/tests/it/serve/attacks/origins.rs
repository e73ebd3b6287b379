//! Web pages of other origins, and names that somebody let point here.

use super::super::{CHAT, own};

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
