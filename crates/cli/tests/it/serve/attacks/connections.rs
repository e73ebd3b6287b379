//! Connections that are held: half a head, half a body, an answer that nobody reads, and many of them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::super::{CHAT, Response, Server, own, question};
use super::{JSON, answers, figure, resident_kib, send};

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

/// Opens connections that have sent a part of a head.
fn half_open(server: &Server, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = server.connect();
        let part = b"GET /v1/models HTTP/1.1\r\nHost: local";
        stream.write_all(part).unwrap();
        streams.push(stream);
    }
    streams
}

/// The times that fresh connections wait for an answer, from the shortest to the longest.
fn health_times(server: &Server, count: usize) -> Vec<Duration> {
    let ask = |_| {
        let begun = Instant::now();
        assert_eq!(server.get("/health/live").status, 200);
        std::thread::sleep(Duration::from_millis(20));
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..count).map(ask).collect();
    times.sort_unstable();
    times
}

/// What `slowhttptest` does: heads that come by the byte and never end.
#[test]
fn others_are_answered_while_heads_trickle_in() {
    let Some(server) = own(&["header_timeout_s=3"]) else {
        return;
    };
    let stop = AtomicBool::new(false);
    let streams = half_open(&server, 500);
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut streams = streams;
            while !stop.load(Ordering::Relaxed) {
                // Those that the server has closed come again.
                for stream in &mut streams {
                    if stream.write_all(b"x").is_err() {
                        *stream = server.connect();
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let times = health_times(&server, 200);
        stop.store(true, Ordering::Relaxed);
        times
    });
    let p99 = times[times.len() * 99 / 100 - 1];
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
}

#[test]
fn a_thousand_connections_are_held_in_little_memory() {
    allow_files(4096);
    // None of them is let go before the last is there, on a busy machine too.
    let Some(server) = own(&["header_timeout_s=110"]) else {
        return;
    };
    let before = resident_kib(&server);
    let held = half_open(&server, 1000);
    // All of them are with the server, not in the kernel's line.
    let begun = Instant::now();
    while figure(&server, "terang_http_connections") < 1000 {
        assert!(begun.elapsed() < Duration::from_mins(1));
    }
    let times = health_times(&server, 100);
    let p99 = times[times.len() * 99 / 100 - 1];
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    assert!(resident_kib(&server) < before + (64 << 10));
    drop(held);
    answers(&server);
}

/// A connection is a file in this process and in the server, which takes the limit over.
fn allow_files(count: u64) {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < count) {
        limit.current = Some(limit.maximum.map_or(count, |most| most.min(count)));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
}

#[test]
fn many_that_leave_in_mid_stream_leave_nothing_running() {
    let Some(server) = own(&[]) else { return };
    let more = json!({ "max_tokens": 8000, "ignore_eos": true, "stream": true });
    let mut streams: Vec<TcpStream> = (0..40)
        .map(|_| send(&server, &question("Tell a long story.", more.clone())))
        .collect();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 600]).unwrap();
    }
    assert!(figure(&server, "terang_requests_running") >= 30);
    drop(streams);
    let begun = Instant::now();
    while figure(&server, "terang_requests_running") > 0 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(50));
    }
    answers(&server);
}
