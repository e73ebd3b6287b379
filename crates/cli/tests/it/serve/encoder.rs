//! Models that make embeddings and nothing else: beside one that answers, and the default one, which
//! is served from the moment when its files are there.

use serde_json::{Value, json};

use super::{CHAT, Server, question};
use crate::archive;
use crate::real::{self, repository};

const EMBEDDINGS: &str = "/v1/embeddings";

fn tiny() -> String {
    repository("tests/fixtures/encoder/tiny")
        .display()
        .to_string()
}

fn vector(entry: &Value) -> Vec<f64> {
    let numbers = entry["embedding"].as_array().unwrap().iter();
    numbers.map(|x| x.as_f64().unwrap()).collect()
}

fn vectors(answer: &Value) -> Vec<Vec<f64>> {
    answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(vector)
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn an_encoder_is_served_beside_a_model_that_answers() {
    let Some(real) = real::model() else { return };
    let mut command = real.terang();
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("terang.db").display());
    let encoder = format!("tiny={}", tiny());
    command.args(["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    command.args(["--model", real::MODEL, "--model", &encoder]);
    let server = Server::of(command);
    server.wait_until_ready();
    let asked = |input: Value| json!({"model": "tiny", "input": input});
    let answer = server.ok(EMBEDDINGS, &asked(json!(["hello world", "", "zzz"])));
    assert_eq!(answer["model"], "tiny");
    assert_eq!(answer["usage"]["prompt_tokens"], 4 + 2 + 3);
    let together = vectors(&answer);
    assert_eq!(together.len(), 3);
    for vector in &together {
        assert_eq!(vector.len(), 48);
        assert!((dot(vector, vector) - 1.0).abs() < 1e-5);
    }
    // The same alone, as tokens, and in base64.
    assert_eq!(
        vectors(&server.ok(EMBEDDINGS, &asked(json!("hello world"))))[0],
        together[0]
    );
    assert_eq!(
        vectors(&server.ok(EMBEDDINGS, &asked(json!([2, 5, 6, 3]))))[0],
        together[0]
    );
    let mut base64 = asked(json!("hello world"));
    base64["encoding_format"] = "base64".into();
    let text = server.ok(EMBEDDINGS, &base64)["data"][0]["embedding"].clone();
    assert_eq!(text.as_str().unwrap().len(), 256);
    // What is too long or unknown is refused by its number, and nothing is cut.
    let long = server.post(EMBEDDINGS, &asked(json!(["a", "hello ".repeat(200)])));
    let error = long.fails(400, "input 1: 202 tokens, but the model reads 128");
    assert_eq!(
        (&error["code"], &error["param"]),
        (&"context_length_exceeded".into(), &"input".into())
    );
    server
        .post(EMBEDDINGS, &asked(json!([2, 99])))
        .fails(400, "token 99");
    server
        .post(EMBEDDINGS, &asked(json!([[2], []])))
        .fails(400, "at least one token");
    // It answers nothing, and is offered to nobody who looks for answers.
    let part = "makes embeddings and no text";
    server
        .post(CHAT, &question("hello", json!({"model": "tiny"})))
        .fails(400, part);
    server
        .post(
            "/v1/completions",
            &json!({"model": "tiny", "prompt": "hello"}),
        )
        .fails(400, part);
    let listed = server.get("/v1/models").json();
    let listed = listed["data"].as_array().unwrap().iter();
    let listed: Vec<_> = listed.filter(|model| model["id"] == "tiny").collect();
    assert_eq!(
        (&listed[0]["loaded"], &listed[0]["max_model_len"]),
        (&true.into(), &128.into())
    );
    assert_eq!(server.get("/v1/models/tiny").status, 200);
    let offered = server.get("/api/models").json();
    assert!(!offered.to_string().contains("tiny"), "{offered}");
    // The model that answers still makes embeddings too.
    let answer = server.ok(EMBEDDINGS, &json!({"model": real::MODEL, "input": "hello"}));
    assert_eq!(vectors(&answer)[0].len(), 576);
}

#[test]
fn an_encoder_can_be_all_that_is_served() {
    let place = archive::with_tiny();
    archive::pull(&place).succeeds();
    let mut command = place.terang();
    let server = Server::of({
        command.args(["serve", "--model", "tiny", "--listen", "127.0.0.1:0"]);
        command
    });
    server.wait_until_ready();
    let answer = server.ok(EMBEDDINGS, &json!({"model": "tiny:1b", "input": "hello"}));
    assert_eq!(answer["model"], "tiny:1b");
    server
        .post(CHAT, &question("hello", json!({"model": "tiny"})))
        .fails(400, "makes embeddings and no text");
    assert_eq!(server.get("/api/models").json()["models"], json!([]));
}

#[test]
fn the_default_encoder_is_served_from_when_it_is_there() {
    let Some(real) = real::model() else { return };
    let place = archive::with_tiny();
    let mut command = place.terang();
    let model = format!("chat={}", real.file().display());
    command.args(["serve", "--model", &model, "--listen", "127.0.0.1:0"]);
    let server = Server::of(command);
    server.wait_until_ready();
    let asked = json!({"model": "tiny", "input": "hello world"});
    let missing = server.post(EMBEDDINGS, &asked);
    let error = missing.fails(
        409,
        "no model for embeddings is on this machine; fetch it with: terang pull tiny",
    );
    assert_eq!(error["code"], "no_embedding_model");
    assert!(!server.get("/v1/models").body.contains("tiny"));
    archive::pull(&place).succeeds();
    assert_eq!(vectors(&server.ok(EMBEDDINGS, &asked))[0].len(), 48);
    assert!(server.get("/v1/models").body.contains("tiny:1b"));
    // And it goes again.
    place.run(&["rm", "tiny", "--yes"]).succeeds();
    assert!(!server.get("/v1/models").body.contains("tiny"));
    server
        .post(EMBEDDINGS, &asked)
        .fails(409, "terang pull tiny");
}

#[test]
fn minilm_finds_what_means_the_same() {
    let (Some(data), Some(real)) = (real::with_encoder(), real::model()) else {
        return;
    };
    let mut command = real.terang();
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("terang.db").display());
    let model = format!("chat={}", real.file().display());
    command.env("TERANG_DATA_DIR", data);
    command.args(["serve", "--listen", "127.0.0.1:0", "--database", &database]);
    command.args(["--model", &model]);
    let server = Server::of(command);
    server.wait_until_ready();
    let fixture = repository("tests/fixtures/encoder/minilm.json");
    let fixture: Value = serde_json::from_slice(&std::fs::read(fixture).unwrap()).unwrap();
    let texts: Vec<&str> = fixture
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["text"].as_str().unwrap())
        .collect();
    let answer = server.ok(
        EMBEDDINGS,
        &json!({"model": "all-minilm", "input": texts, "encoding_format": "base64"}),
    );
    let tokens: u64 = fixture
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["tokens"].as_u64().unwrap())
        .sum();
    assert_eq!(answer["usage"]["prompt_tokens"], tokens);
    for (found, expected) in answer["data"]
        .as_array()
        .unwrap()
        .iter()
        .zip(fixture.as_array().unwrap())
    {
        // `terang-model` compares the numbers.
        let length = |text: &Value| text.as_str().unwrap().len();
        assert_eq!(length(&found["embedding"]), length(&expected["vector"]));
    }
    let input = [
        "What is the capital of France?",
        "Paris is the capital and most populous city of France.",
        "The recipe needs two eggs and a cup of flour.",
        "Bananas are yellow when they are ripe.",
    ];
    let found = vectors(&server.ok(
        EMBEDDINGS,
        &json!({"model": "all-minilm:l6-v2", "input": input}),
    ));
    let near: Vec<f64> = found[1..]
        .iter()
        .map(|vector| dot(&found[0], vector))
        .collect();
    assert!(near[0] > 0.7 && near[1] < 0.2 && near[2] < 0.2, "{near:?}");
}
