//! What others do to a server: each is refused, and it answers afterwards.

mod bodies;
mod connections;
mod grammars;
mod heads;
mod load;
mod origins;

use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{CHAT, Server};

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

/// A figure of the server's own.
fn figure(server: &Server, name: &str) -> u64 {
    let figures = server.get("/metrics").body;
    let value = figures.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        // One model is served: labels make no difference.
        let value = rest.rsplit(' ').next()?;
        (rest.starts_with([' ', '{'])).then_some(value)
    });
    value
        .unwrap_or_else(|| panic!("{name}: {figures}"))
        .parse()
        .unwrap()
}

/// Asks for a chat and does not wait for the answer.
fn send(server: &Server, body: &Value) -> TcpStream {
    let body = body.to_string();
    let mut stream = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\n{JSON}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}
