//! Running it: settings, figures, many at once, and the end.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CHAT, Response, Server, own, question, shared, text};
use crate::real;
use crate::support::Place;

#[test]
fn it_listens_before_the_model_is_there_and_says_so() {
    let place = Place::new();
    std::fs::write(place.path("broken.gguf"), b"GGUF").unwrap();
    let mut command = place.terang();
    let model = place.path("broken.gguf");
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--model"])
        .arg(&model);
    let server = Server::of(command);
    assert_eq!(server.get("/health/live").status, 200);
    let begun = Instant::now();
    loop {
        let error = server.get("/health/ready").fails(503, "");
        if error["code"] == "model_not_loaded" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let mut body = question("Hi", json!({}));
    body["model"] = "broken".into();
    // The path is for the log, not for the client.
    let error = server
        .post(CHAT, &body)
        .fails(503, "model broken cannot be loaded");
    assert!(!error.to_string().contains("gguf"));
    assert!(server.log().contains("broken.gguf"), "{}", server.log());
}

#[test]
fn settings_come_from_flag_environment_and_file() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let file = place.path("terang.toml");
    std::fs::write(&file, "max_n = 2\nqueue_len = 9\nlog_format = \"json\"\n").unwrap();
    let mut command = real.terang();
    command
        .args([
            "serve",
            "--model",
            real::MODEL,
            "--listen",
            "127.0.0.1:0",
            "--context",
            "64",
        ])
        .arg("--config")
        .arg(&file)
        .env("TERANG_MAX_N", "3");
    let server = Server::of(command);
    server.wait_until_ready();
    server
        .post(CHAT, &question("Hi", json!({ "n": 4 })))
        .fails(400, "allowed 1 to 3");
    server
        .post(CHAT, &question(&"word ".repeat(80), json!({})))
        .fails(400, "holds 64 tokens");
    for line in server.log().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["level"].is_string() && event["message"].is_string(),
            "{line}"
        );
    }
    let wrong = |setting: &str, part: &str| {
        let mut command = real.terang();
        command.args(["serve", "--set", setting]);
        let outcome: crate::support::Outcome = command.output().unwrap().into();
        outcome.fails(1, part);
    };
    wrong("queue_len=0", "queue_len: found 0, allowed 1 to");
    wrong("queue_length=5", "--set queue_length: no such setting");
    wrong("cors_origins=*", "cors_origins: found *");
}

#[test]
fn figures_are_kept_and_the_log_keeps_secrets() {
    let Some(server) = own(&["log_level=debug"]) else {
        return;
    };
    let secret = "xylophonesecret";
    let answer = server.ok(CHAT, &question(secret, json!({ "max_tokens": 3 })));
    let figures = server.get("/metrics");
    assert!(
        figures
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let has = |line: &str| {
        assert!(
            figures.body.lines().any(|l| l == line),
            "{line}\n{}",
            figures.body
        );
    };
    has("terang_http_requests_total{route=\"/v1/chat/completions\",status=\"200\"} 1");
    has("terang_completion_tokens_total{model=\"smollm2:135m\"} 3");
    has(&format!(
        "terang_prompt_tokens_total{{model=\"smollm2:135m\"}} {}",
        answer["usage"]["prompt_tokens"]
    ));
    has("terang_time_to_first_token_seconds_count{model=\"smollm2:135m\"} 1");
    // The engine puts the request away after it has sent its end.
    let idle = "terang_requests_running{model=\"smollm2:135m\"} 0";
    let begun = Instant::now();
    while !server.get("/metrics").body.lines().any(|line| line == idle) {
        assert!(begun.elapsed() < Duration::from_secs(30), "{idle}");
    }
    assert!(figures.body.ends_with("# EOF\n"));
    assert!(
        server.log().contains("/v1/chat/completions"),
        "{}",
        server.log()
    );
    assert!(!server.log().contains(secret) && !server.log().contains(text(&answer)));
}

#[test]
fn the_api_describes_itself() {
    let Some(server) = shared() else { return };
    let document = server.get("/openapi.json").json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let schemas = &document["components"]["schemas"];
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.get(name).is_some(), "{name}");
    }
    // Every path answers, with something else than that it is not there.
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let path = path.replace("{model}", "smollm2");
            let response = server.request(&method.to_uppercase(), &path, &[], b"");
            // A response that is not there is another thing than a path that is not there.
            let told = ["such response", "by this identity"];
            let kept = path.contains('{') && told.iter().any(|t| response.body.contains(t));
            assert!(
                kept || ![404, 405].contains(&response.status),
                "{method} {path}"
            );
        }
    }
    let page = server.get("/docs");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(!page.body.contains("http://") && !page.body.contains("https://"));
    assert_eq!(server.get("/docs/reference.js").status, 200);
    server.get("/v1/nothing").fails(404, "");
    server.request("DELETE", CHAT, &[], b"").fails(405, "");
}

#[test]
fn the_same_seed_gives_the_same_answer_among_others() {
    let Some(server) = shared() else { return };
    let body = |seed: u64| {
        question(
            "Tell a story.",
            json!({ "seed": seed, "temperature": 1, "max_tokens": 20 }),
        )
    };
    let alone: Vec<Value> = (0..4).map(|seed| server.ok(CHAT, &body(seed))).collect();
    let together: Vec<_> = (0..4)
        .map(|seed| {
            let (server, body) = (Arc::clone(&server), body(seed));
            std::thread::spawn(move || server.ok(CHAT, &body))
        })
        .collect();
    for (alone, together) in alone.iter().zip(together) {
        assert_eq!(text(alone), text(&together.join().unwrap()));
    }
}

#[test]
fn a_full_line_turns_away_with_a_time_to_come_back() {
    let Some(server) = own(&["max_sequences=1", "queue_len=2", "max_n=8"]) else {
        return;
    };
    let server = Arc::new(server);
    let long = question(
        "Tell a story.",
        json!({ "max_tokens": 60, "ignore_eos": true }),
    );
    let asked: Vec<_> = (0..10)
        .map(|_| {
            let (server, long) = (Arc::clone(&server), long.clone());
            std::thread::spawn(move || server.post(CHAT, &long))
        })
        .collect();
    let responses: Vec<Response> = asked.into_iter().map(|t| t.join().unwrap()).collect();
    let (done, refused): (Vec<_>, Vec<_>) = responses.iter().partition(|r| r.status == 200);
    assert!(
        done.len() >= 3 && !refused.is_empty(),
        "{} {}",
        done.len(),
        refused.len()
    );
    for response in refused {
        response.fails(429, "requests wait already");
        assert!(
            response
                .header("retry-after")
                .unwrap()
                .parse::<u64>()
                .unwrap()
                >= 1
        );
    }
}

#[test]
fn an_answer_that_takes_too_long_ends_with_an_error() {
    let Some(server) = own(&["request_timeout_s=1"]) else {
        return;
    };
    let long = question(
        "Tell a story.",
        json!({ "max_tokens": 8000, "ignore_eos": true }),
    );
    server
        .post(CHAT, &long)
        .fails(504, "not complete after 1 s");
    let mut streamed = long.clone();
    streamed["stream"] = true.into();
    let response = server.post(CHAT, &streamed);
    assert_eq!(response.status, 200);
    let last = response.body.trim_end().rsplit("data: ").next().unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(last["error"]["code"], "deadline_exceeded");
}

/// Begins a stream and reads its first bytes.
fn begin(server: &Server, max_tokens: u32) -> std::net::TcpStream {
    let body = question(
        "Tell a story.",
        json!({
            "max_tokens": max_tokens, "ignore_eos": true, "stream": true,
        }),
    )
    .to_string();
    let mut stream = server.connect();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 400]).unwrap();
    stream
}

#[test]
fn answers_that_do_not_finish_in_time_end_with_an_error() {
    let Some(server) = own(&["drain_timeout_s=1"]) else {
        return;
    };
    let mut stream = begin(&server, 8000);
    server.signal(Signal::TERM);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(
        rest.contains("ended the answer before it was complete"),
        "{rest}"
    );
    assert_eq!(server.wait(), Some(1));
    assert!(server.log().contains("drain_timeout_s"), "{}", server.log());
}

#[test]
fn models_take_turns_under_a_memory_limit() {
    let Some(real) = real::model() else { return };
    let bytes = std::fs::metadata(real.file()).unwrap().len();
    let mut command = real.terang();
    let second = format!("second={}", real.file().display());
    let limit = format!("memory_limit_bytes={}", bytes + bytes / 2);
    command.args([
        "serve",
        "--model",
        real::MODEL,
        "--model",
        &second,
        "--listen",
        "127.0.0.1:0",
    ]);
    command.args(["--set", &limit]);
    let server = Server::of(command);
    server.wait_until_ready();
    let loaded = || -> Vec<bool> {
        let list = server.get("/v1/models").json();
        let models = list["data"].as_array().unwrap().iter();
        models
            .map(|model| model["loaded"].as_bool().unwrap())
            .collect()
    };
    assert_eq!(loaded(), [true, false]);
    let ask = |model: &str| {
        let mut body = question("Hi", json!({ "max_tokens": 4 }));
        body["model"] = model.into();
        let answer = server.ok(CHAT, &body);
        assert_eq!(answer["model"], model);
        text(&answer).to_owned()
    };
    let first = ask(real::MODEL);
    assert_eq!(ask("second"), first);
    assert_eq!(loaded(), [false, true]);
    assert_eq!(ask(real::MODEL), first);
    assert_eq!(loaded(), [true, false]);
}
