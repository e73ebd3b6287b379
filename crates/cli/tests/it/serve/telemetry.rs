//! OpenTelemetry: what arrives at a collector.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CHAT, PATIENCE, Server, question, text};
use crate::real;
use crate::support::Outcome;

/// A request that the collector got.
struct Got {
    path: String,
    headers: String,
    body: Value,
}

/// A collector: takes OTLP's JSON over HTTP and keeps it.
struct Collector {
    address: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Collector {
    /// One that is away for the first requests: it answers 503 to so many.
    fn start(refused: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let kept = Arc::clone(&got);
        let left = Arc::new(Mutex::new(refused));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, left) = (Arc::clone(&kept), Arc::clone(&left));
                std::thread::spawn(move || while take(&stream, &kept, &left).is_some() {});
            }
        });
        Self { address, got }
    }

    /// Waits for something of this path that `wanted` says is it.
    fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let got = self.got.lock().unwrap();
            let found = got.iter().find(|got| got.path == path && wanted(&got.body));
            if let Some(found) = found {
                return found.body.clone();
            }
            drop(got);
            assert!(begun.elapsed() < PATIENCE, "nothing came to {path}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn take(stream: &TcpStream, kept: &Mutex<Vec<Got>>, left: &Mutex<usize>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1)?.lines().next()?;
    let mut body = vec![0; length.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let mut left = left.lock().unwrap();
    let mut writer = stream;
    if *left > 0 {
        *left -= 1;
        let _ = writer.write_all(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n");
        return Some(());
    }
    kept.lock().unwrap().push(Got {
        path: head.split(' ').nth(1)?.to_owned(),
        headers: lower,
        body: serde_json::from_slice(&body).unwrap(),
    });
    let _ = writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    Some(())
}

fn serve(collector: &Collector, more: &[(&str, &str)]) -> Option<Server> {
    let real = real::model()?;
    let mut command = real.terang();
    command
        .args(["serve", "--model", real::MODEL, "--listen", "127.0.0.1:0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.address)
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .env("OTEL_METRIC_EXPORT_INTERVAL", "100");
    for (name, value) in more {
        command.env(name, value);
    }
    let server = Server::of(command);
    server.wait_until_ready();
    Some(server)
}

/// The value of an attribute, whatever its type.
fn attribute<'a>(of: &'a Value, key: &str) -> Option<&'a Value> {
    let attributes = of["attributes"].as_array()?;
    let found = attributes.iter().find(|a| a["key"] == key)?;
    found["value"].as_object()?.values().next()
}

fn spans(body: &Value) -> &Vec<Value> {
    body["resourceSpans"][0]["scopeSpans"][0]["spans"]
        .as_array()
        .unwrap()
}

fn named(wanted: &str) -> impl Fn(&Value) -> bool {
    move |body| spans(body).iter().any(|span| span["name"] == wanted)
}

#[test]
fn a_collector_gets_spans_and_metrics_and_no_prompt() {
    let collector = Collector::start(1);
    let more = [
        ("OTEL_SERVICE_NAME", "mine"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=a%20b"),
    ];
    let Some(server) = serve(&collector, &more) else {
        return;
    };
    let secret = "xylophonesecret";
    let body = question(secret, json!({ "max_tokens": 5, "seed": 7 })).to_string();
    let headers = [
        "Content-Type: application/json",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ];
    let response = server.request("POST", CHAT, &headers, body.as_bytes());
    assert_eq!(response.status, 200, "{}", response.body);
    let answer = response.json();
    let name = format!("chat {}", real::MODEL);
    let traces = collector.wait_for("/v1/traces", named(&name));
    let resource = &traces["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name").unwrap(), "mine");
    assert_eq!(
        attribute(resource, "deployment.environment.name").unwrap(),
        "test"
    );
    let span = &spans(&traces)[0];
    assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
    let nanos = |field: &str| -> u128 { span[field].as_str().unwrap().parse().unwrap() };
    assert!(nanos("startTimeUnixNano") < nanos("endTimeUnixNano"));
    let prompt_tokens = answer["usage"]["prompt_tokens"].to_string();
    let completion_tokens = answer["usage"]["completion_tokens"].to_string();
    for (key, value) in [
        ("gen_ai.operation.name", json!("chat")),
        ("gen_ai.request.model", json!(real::MODEL)),
        ("gen_ai.usage.input_tokens", json!(prompt_tokens)),
        ("gen_ai.usage.output_tokens", json!(completion_tokens)),
        ("gen_ai.request.max_tokens", json!("5")),
        ("gen_ai.request.seed", json!("7")),
        ("gen_ai.request.temperature", json!(0.0)),
    ] {
        assert_eq!(attribute(span, key), Some(&value), "{key}: {span:#}");
    }
    let reasons = attribute(span, "gen_ai.response.finish_reasons").unwrap();
    assert_eq!(
        reasons["values"][0]["stringValue"],
        answer["choices"][0]["finish_reason"]
    );

    let metrics = collector.wait_for("/v1/metrics", |_| true);
    let metrics = &metrics["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    for (name, unit) in [
        ("gen_ai.server.request.duration", "s"),
        ("gen_ai.server.time_to_first_token", "s"),
        ("gen_ai.server.time_per_output_token", "s"),
        ("gen_ai.client.token.usage", "{token}"),
    ] {
        let metrics = metrics.as_array().unwrap();
        let metric = metrics.iter().find(|metric| metric["name"] == name);
        let metric = metric.unwrap_or_else(|| panic!("{name} in {metrics:#?}"));
        assert_eq!(metric["unit"], unit);
        assert_eq!(metric["histogram"]["aggregationTemporality"], 2);
        for point in metric["histogram"]["dataPoints"].as_array().unwrap() {
            let counts = point["bucketCounts"].as_array().unwrap();
            let bounds = point["explicitBounds"].as_array().unwrap();
            assert_eq!(counts.len(), bounds.len() + 1);
            let sum: u64 = counts
                .iter()
                .map(|count| count.as_str().unwrap().parse::<u64>().unwrap())
                .sum();
            assert_eq!(sum.to_string(), point["count"].as_str().unwrap());
            assert_eq!(attribute(point, "gen_ai.operation.name").unwrap(), "chat");
        }
    }
    // What still waits is sent before the end; a caller that keeps no trace gets no span.
    let unsampled = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    server.request("POST", CHAT, &[headers[0], unsampled], body.as_bytes());
    let last = json!({ "model": real::MODEL, "input": secret });
    server.ok("/v1/embeddings", &last);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    collector.wait_for("/v1/traces", named(&format!("embeddings {}", real::MODEL)));
    let got = collector.got.lock().unwrap();
    let chats = got.iter().filter(|got| got.path == "/v1/traces");
    let chats = chats
        .flat_map(|got| spans(&got.body))
        .filter(|s| s["name"] == name);
    assert_eq!(chats.count(), 1);
    for got in got.iter() {
        let all = got.body.to_string();
        assert!(
            !all.contains(secret) && !all.contains(text(&answer)),
            "{all}"
        );
        assert!(got.headers.contains("x-tenant: a b"), "{}", got.headers);
        assert!(got.headers.contains("content-type: application/json"));
    }
}

#[test]
fn a_request_that_fails_says_why_in_a_word() {
    let collector = Collector::start(0);
    let Some(server) = serve(&collector, &[]) else {
        return;
    };
    let long = "word ".repeat(20_000);
    server
        .post(CHAT, &question(&long, json!({})))
        .fails(400, "tokens");
    let traces = collector.wait_for("/v1/traces", |_| true);
    let span = &spans(&traces)[0];
    assert_eq!(span["status"]["code"], 2);
    let word = attribute(span, "error.type").unwrap().as_str().unwrap();
    assert!(!word.is_empty() && !word.contains(' '), "{word}");
    assert!(!traces.to_string().contains("word word"));
}

#[test]
fn a_collector_that_is_not_there_holds_nobody_up() {
    // Nobody listens at this address any more.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = Collector {
        address: format!("http://{}", listener.local_addr().unwrap()),
        got: Arc::default(),
    };
    drop(listener);
    let Some(server) = serve(&gone, &[]) else {
        return;
    };
    server.ok(CHAT, &question("Hi", json!({ "max_tokens": 2 })));
    let begun = Instant::now();
    while !server.log().contains("telemetry cannot be sent") {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    server.ok(CHAT, &question("Hi", json!({ "max_tokens": 2 })));
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn a_protocol_that_it_does_not_speak_is_refused() {
    let Some(real) = real::model() else { return };
    let mut command = real.terang();
    command
        .args(["serve", "--model", real::MODEL, "--listen", "127.0.0.1:0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
    let outcome: Outcome = command.output().unwrap().into();
    outcome.fails(
        1,
        "OTEL_EXPORTER_OTLP_PROTOCOL: found grpc, allowed http/json",
    );
}
