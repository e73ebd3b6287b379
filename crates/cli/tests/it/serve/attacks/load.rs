//! More than the server can do: what it has begun it does as fast as ever, the rest is told to wait.

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use super::super::{CHAT, Server, own, question};
use super::{answers, figure, send};

/// Clients that ask again and again, and wait as long as they are told to when they are refused.
/// Gives how many tokens came for a second of the server's processor time: by the clock, other work
/// on the machine would be measured too.
fn goodput(server: &Server, clients: u64, time: Duration) -> f64 {
    let (begun, before) = (Instant::now(), processor_ticks(server));
    let tokens = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for client in 0..clients {
            let tokens = &tokens;
            scope.spawn(move || {
                while begun.elapsed() < time {
                    let more = json!({ "max_tokens": 32, "ignore_eos": true, "seed": client });
                    let response = server.post(CHAT, &question("Tell a story.", more));
                    match response.status {
                        200 => {
                            let used = response.json()["usage"]["completion_tokens"].as_u64();
                            tokens.fetch_add(used.unwrap(), Ordering::Relaxed);
                        }
                        429 => {
                            let wait = response.header("retry-after").unwrap();
                            let wait: u64 = wait.parse().unwrap();
                            assert!(wait >= 1);
                            std::thread::sleep(Duration::from_secs(wait.min(2)));
                        }
                        _ => panic!("{}: {}", response.status, response.body),
                    }
                }
            });
        }
    });
    let ticks = processor_ticks(server) - before;
    tokens.load(Ordering::Relaxed) as f64 * TICKS_A_SECOND / ticks as f64
}

/// Linux tells times of processes in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;

fn processor_ticks(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    // The name in brackets may hold spaces; after it, user and system time are the 12th and 13th.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let times = fields
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap());
    times.sum()
}

#[test]
fn ten_times_the_capacity_costs_little_of_it() {
    let Some(server) = own(&["max_sequences=4", "queue_len=4"]) else {
        return;
    };
    let time = Duration::from_secs(5);
    let mut seen = Vec::new();
    // One of two measurements may be off; what the server does to itself is there each time.
    for _ in 0..3 {
        let peak = goodput(&server, 4, time);
        let over = goodput(&server, 40, time);
        seen.push((peak, over));
        if over >= 0.8 * peak {
            assert!(figure(&server, "terang_requests_waiting") <= 4);
            answers(&server);
            return;
        }
    }
    panic!("tokens a second of processor time, at capacity and over it: {seen:?}");
}

#[test]
fn fifty_streams_finish_after_the_signal_to_end() {
    let Some(server) = own(&["drain_timeout_s=300"]) else {
        return;
    };
    let more = json!({ "max_tokens": 60, "ignore_eos": true, "stream": true });
    let body = question("Tell a story.", more);
    let mut streams: Vec<_> = (0..50).map(|_| send(&server, &body)).collect();
    for stream in &mut streams {
        stream.read_exact(&mut [0; 400]).unwrap();
    }
    server.signal(Signal::TERM);
    let begun = Instant::now();
    while !server.log().contains("draining") {
        assert!(begun.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = server.post(CHAT, &body);
    refused.fails(503, "shutting down");
    assert!(refused.header("retry-after").is_some());
    for mut stream in streams {
        let mut rest = String::new();
        stream.read_to_string(&mut rest).unwrap();
        let whole = rest.contains("\"finish_reason\":\"length\"") && rest.contains("data: [DONE]");
        assert!(whole, "{rest}");
    }
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}
