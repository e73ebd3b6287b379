//! API keys: who may ask, and how much.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{CHAT, Response, Server, question};
use crate::real;
use crate::support::{Outcome, Place};

/// A data folder of its own, with the model's file from the common one.
struct Keys {
    place: Place,
}

impl Keys {
    fn terang(&self, arguments: &[&str]) -> Outcome {
        self.place.run(arguments)
    }

    fn create(&self, arguments: &[&str]) -> String {
        let all = [&["key", "create"], arguments].concat();
        let outcome = self.terang(&all);
        outcome.succeeds();
        outcome.stdout.trim().to_owned()
    }

    fn server(&self, settings: &[&str]) -> Option<Server> {
        let real = real::model()?;
        let mut command = self.place.terang();
        let model = format!("{}={}", real::MODEL, real.file().display());
        command.args(["serve", "--model", &model, "--listen", "127.0.0.1:0"]);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let server = Server::of(command);
        server.wait_until_ready();
        Some(server)
    }
}

fn get(server: &Server, path: &str, key: &str) -> Response {
    server.request("GET", path, &[&format!("Authorization: Bearer {key}")], b"")
}

fn ask(server: &Server, key: &str, more: Value) -> Response {
    let headers = [
        &format!("Authorization: Bearer {key}")[..],
        "Content-Type: application/json",
    ];
    let body = question("Hi", more).to_string();
    server.request("POST", CHAT, &headers, body.as_bytes())
}

#[test]
fn keys_are_shown_once_and_kept_as_digests() {
    let keys = Keys {
        place: Place::new(),
    };
    let key = keys.create(&["phone", "--requests-per-minute", "5"]);
    assert!(key.starts_with("sk-terang-") && key.len() == 53, "{key}");
    let list = keys.terang(&["key", "list"]);
    list.succeeds();
    assert!(list.stdout.contains("phone") && list.stdout.contains("requests_per_minute=5"));
    let kept = std::fs::read_to_string(keys.place.data().join("keys.json")).unwrap();
    for text in [&kept, &list.stdout, &list.stderr] {
        assert!(!text.contains(&key[10..]), "{text}");
    }
    let json = keys.terang(&["key", "list", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["name"], "phone");
    assert!(json[0].get("sha256").is_none());
    keys.terang(&["key", "revoke", "nobody"])
        .fails(1, "no key has the name");
    keys.terang(&["key", "revoke", "phone"]).succeeds();
    assert_eq!(keys.terang(&["key", "list", "--json"]).stdout.trim(), "[]");
}

#[test]
fn every_route_but_health_asks_for_a_key() {
    let keys = Keys {
        place: Place::new(),
    };
    let key = keys.create(&["phone"]);
    let Some(server) = keys.server(&["require_keys=true"]) else {
        return;
    };
    let document = get(&server, "/openapi.json", &key).json();
    let paths = document["paths"].as_object().unwrap().keys();
    // Those of the web app ask for a session: see `web::matrix`.
    let paths: Vec<&String> = paths.filter(|path| !path.starts_with("/api/")).collect();
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths.iter().map(|path| path.as_str()).chain([
        "/openapi.json",
        "/docs",
        "/v1/",
        "/V1/models",
        "//v1/models",
        "/v1/../v1/models",
    ]) {
        let path = path.replace("{model}", "smollm2");
        for method in ["GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD"] {
            let response = server.request(method, &path, &[], b"");
            let open = path.starts_with("/health/");
            assert_eq!(
                response.status == 401,
                !open,
                "{method} {path}: {}",
                response.status
            );
        }
    }
    for wrong in [
        "Authorization: Bearer sk-terang-wrong",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: Basic c2s6",
        "X-Api-Key: wrong",
        "Cookie: key=1",
    ] {
        server
            .request("GET", "/v1/models", &[wrong], b"")
            .fails(401, "API key");
    }
    assert_eq!(get(&server, "/v1/models", &key).status, 200);
    let as_anthropic = [&format!("X-Api-Key: {key}")[..]];
    assert_eq!(
        server
            .request("GET", "/v1/models", &as_anthropic, b"")
            .status,
        200
    );
    assert_eq!(
        get(&server, "/v1/models", &key[..key.len() - 1]).status,
        401
    );
    assert!(!server.log().contains(&key[10..]), "{}", server.log());
}

#[test]
fn keys_come_and_go_while_it_runs() {
    let keys = Keys {
        place: Place::new(),
    };
    let first = keys.create(&["first"]);
    let Some(server) = keys.server(&["require_keys=true"]) else {
        return;
    };
    let second = keys.create(&["second"]);
    get(&server, "/v1/models", &second).fails(401, "not valid");
    keys.terang(&["key", "revoke", "first"]).succeeds();
    server.signal(Signal::HUP);
    let begun = std::time::Instant::now();
    while get(&server, "/v1/models", &second).status != 200 {
        assert!(begun.elapsed().as_secs() < 30, "{}", server.log());
    }
    get(&server, "/v1/models", &first).fails(401, "not valid");
}

#[test]
fn limits_of_a_key_hold_for_it_alone() {
    let keys = Keys {
        place: Place::new(),
    };
    let few = keys.create(&["few", "--requests-per-minute", "2"]);
    let short = keys.create(&["short", "--tokens-per-day", "10"]);
    let free = keys.create(&["free"]);
    // On loopback no key is needed; one that is sent counts all the same.
    let Some(server) = keys.server(&[]) else {
        return;
    };
    for _ in 0..2 {
        assert_eq!(get(&server, "/v1/models", &few).status, 200);
    }
    let refused = get(&server, "/v1/models", &few);
    refused.fails(429, "2 requests a minute");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=30).contains(&seconds));
    assert_eq!(ask(&server, &short, json!({ "max_tokens": 2 })).status, 200);
    ask(&server, &short, json!({ "max_tokens": 2 })).fails(429, "10 tokens a day");
    assert_eq!(ask(&server, &free, json!({ "max_tokens": 2 })).status, 200);
}

#[test]
fn one_key_does_not_see_what_another_has_asked() {
    let keys = Keys {
        place: Place::new(),
    };
    let (one, other) = (keys.create(&["one"]), keys.create(&["other"]));
    let Some(server) = keys.server(&[]) else {
        return;
    };
    let cached = |key: &str| {
        let response = ask(&server, key, json!({ "max_tokens": 1 }));
        let answer = response.json();
        answer["usage"]["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
    };
    assert_eq!(cached(&one), 0);
    assert!(cached(&one) > 0);
    assert_eq!(cached(&other), 0);
}

/// How soon an answer comes tells what is in the cache; of another key's it tells nothing.
#[test]
fn one_key_cannot_tell_by_the_time_what_another_has_asked() {
    let keys = Keys {
        place: Place::new(),
    };
    let (one, other) = (keys.create(&["one"]), keys.create(&["other"]));
    let Some(server) = keys.server(&[]) else {
        return;
    };
    let time = |key: &str, text: &str| {
        let more = json!({ "max_tokens": 1, "messages": [{ "role": "user", "content": text }] });
        let begun = Instant::now();
        assert_eq!(ask(&server, key, more).status, 200);
        begun.elapsed()
    };
    let (mut again, mut across) = (Duration::MAX, Duration::MAX);
    // The shortest of each: other work on the machine only adds.
    for round in 0..5 {
        let text = format!(
            "Round {round}. {}",
            "The sea is wide and blue. ".repeat(200)
        );
        time(&one, &text);
        again = again.min(time(&one, &text));
        across = across.min(time(&other, &text));
    }
    assert!(
        across > again * 2,
        "{again:?} by one's own cache, {across:?} by another's"
    );
}

#[test]
fn one_key_does_not_see_what_another_has_kept() {
    let keys = Keys {
        place: Place::new(),
    };
    let (one, other) = (keys.create(&["one"]), keys.create(&["other"]));
    let Some(server) = keys.server(&["require_keys=true"]) else {
        return;
    };
    let send = |key: &str, method: &str, path: &str, body: &str| {
        let headers = [
            &format!("Authorization: Bearer {key}")[..],
            "Content-Type: application/json",
        ];
        server.request(method, path, &headers, body.as_bytes())
    };
    let body = json!({
        "model": real::MODEL, "input": "Hi", "max_output_tokens": 1, "background": true,
    });
    let response = send(&one, "POST", "/v1/responses", &body.to_string()).json();
    let id = response["id"].as_str().unwrap();
    let path = format!("/v1/responses/{id}");
    let on = json!({
        "model": real::MODEL, "input": "Hi", "previous_response_id": id, "max_output_tokens": 1,
    });
    let nobody = send(&other, "GET", "/v1/responses/resp_0", "");
    for (method, path) in [
        ("GET", path.clone()),
        ("GET", format!("{path}/input_items")),
        ("POST", format!("{path}/cancel")),
        ("DELETE", path.clone()),
    ] {
        let response = send(&other, method, &path, "");
        response.fails(404, "no such response");
        assert_eq!(response.body, nobody.body);
    }
    send(&other, "POST", "/v1/responses", &on.to_string()).fails(404, "previous_response_id");
    assert_eq!(send(&one, "GET", &path, "").status, 200);
    assert_eq!(send(&one, "DELETE", &path, "").status, 200);
}

#[test]
fn an_address_for_all_needs_a_key() {
    let keys = Keys {
        place: Place::new(),
    };
    let Some(real) = real::model() else { return };
    let model = real.file().display().to_string();
    // Without any key programs are refused, people log in, and the first of them needs the log.
    let mut command = keys.place.terang();
    command.args(["serve", "--model", &model, "--listen", "0.0.0.0:0"]);
    let mut server = Server::of(command);
    server.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    server.wait_until_ready();
    for path in [
        "/v1/models",
        "/metrics",
        "/openapi.json",
        "/api/chats",
        "/api/admin/users",
    ] {
        assert_eq!(server.get(path).status, 401, "{path}");
    }
    let mut owner = json!({ "name": "O", "email": "o@example.org", "password": "kopi susu gula" });
    let headers = ["Content-Type: application/json", "X-Terang: 1"];
    let set_up =
        |body: &Value| server.request("POST", "/api/setup", &headers, body.to_string().as_bytes());
    set_up(&owner).fails(403, "token");
    owner["token"] = "wrong".into();
    set_up(&owner).fails(403, "token");
    let log = server.log();
    let token = log.split("/setup?token=").nth(1).unwrap();
    owner["token"] = token.split_whitespace().next().unwrap().into();
    assert_eq!(set_up(&owner).status, 200);
    drop(server);
    let here = [
        "serve",
        "--model",
        &model,
        "--listen",
        "127.0.0.1:0",
        "--set",
        "require_keys=true",
    ];
    keys.terang(&here).fails(1, "there is no API key");
    let key = keys.create(&["phone"]);
    let mut command = keys.place.terang();
    command.args(["serve", "--model", &model, "--listen", "0.0.0.0:0"]);
    let mut server = Server::of(command);
    server.address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    server.get("/v1/models").fails(401, "API key is needed");
    assert_eq!(get(&server, "/v1/models", &key).status, 200);
    // The file's path is nobody's business.
    assert_eq!(
        get(&server, "/v1/models", &key).json()["data"][0]["id"],
        "model"
    );
}

#[test]
fn use_is_on_record_and_limits_outlast_the_server() {
    let keys = Keys {
        place: Place::new(),
    };
    let day = keys.create(&["day", "--tokens-per-day", "10"]);
    let few = keys.create(&["few", "--requests-per-minute", "1"]);
    let free = keys.create(&["free"]);
    let Some(server) = keys.server(&[]) else {
        return;
    };
    let used = |key: &str| {
        let response = ask(&server, key, json!({ "max_tokens": 2 }));
        assert_eq!(response.status, 200, "{}", response.body);
        response.json()["usage"].clone()
    };
    let usage = used(&day);
    used(&few);
    used(&free);
    let body = json!({ "model": real::MODEL, "input": "xylophonesecret" }).to_string();
    let headers = [
        &format!("Authorization: Bearer {free}")[..],
        "Content-Type: application/json",
    ];
    let embedded = server.request("POST", "/v1/embeddings", &headers, body.as_bytes());
    assert_eq!(embedded.status, 200);
    // What is refused has used nothing.
    ask(&server, &free, json!({ "max_tokens": 0 }));
    let asked = std::time::Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());

    let file = keys.place.data().join("usage.jsonl");
    let records = std::fs::read_to_string(&file).unwrap();
    assert_eq!(records.lines().count(), 4, "{records}");
    for secret in ["xylophone", &day[10..], &free[10..], "Hi"] {
        assert!(!records.contains(secret), "{records}");
    }
    let mode = rustix::fs::stat(&file).unwrap().st_mode;
    assert_eq!(mode & 0o777, 0o600);
    let report = keys.terang(&["key", "usage", "--json"]);
    let report: Value = serde_json::from_str(&report.succeeds().stdout).unwrap();
    let of = |name: &str| {
        let all = report["keys"].as_array().unwrap();
        all.iter().find(|key| key["name"] == name).unwrap().clone()
    };
    assert_eq!(of("day")["requests"], 1);
    assert_eq!(of("day")["prompt_tokens"], usage["prompt_tokens"]);
    assert_eq!(of("day")["completion_tokens"], usage["completion_tokens"]);
    assert_eq!(of("day")["today_tokens"], usage["total_tokens"]);
    assert_eq!(of("day")["tokens_per_day"], 10);
    assert_eq!(of("free")["requests"], 2);

    let server = keys.server(&[]).unwrap();
    ask(&server, &day, json!({})).fails(429, "10 tokens a day");
    // Of the minute some may have passed on a busy machine.
    let again = ask(&server, &few, json!({ "max_tokens": 2 }));
    assert!(again.status == 429 || asked.elapsed().as_secs() >= 59);
    assert_eq!(ask(&server, &free, json!({ "max_tokens": 2 })).status, 200);
    drop(server);
    // Use stays on record when its key has gone.
    keys.terang(&["key", "revoke", "free"]).succeeds();
    let list = keys.terang(&["key", "usage"]);
    list.succeeds();
    let line = list.stdout.lines().find(|line| line.contains("(revoked)"));
    assert!(line.unwrap().contains("requests="), "{}", list.stdout);
}
