//! Constraints on the real `smollm2:135m`: what it answers is an instance of the schema it was given.
//! `TERANG_TEST_MODELS` names a data folder that has the model.

use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};
use terang_engine::{Constraint, Engine, EngineOptions, FinishReason, Prompt, Request};
use terang_model::template::ChatInput;

use crate::support::collect;

const MODEL: &str = "models/smollm2_135m/model.gguf";

/// The model's file; `None`, said loudly, where it is not here.
pub(crate) fn model() -> Option<PathBuf> {
    let fetched = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/test-data/terang");
    let data = std::env::var_os("TERANG_TEST_MODELS").map_or_else(|| fetched.into(), PathBuf::from);
    let path = data.join(MODEL);
    if path.exists() {
        return Some(path);
    }
    let test = std::thread::current();
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {}: {} is not there; `terang pull smollm2:135m` fetches it (TERANG_TEST_MODELS \
         names a data folder that has it)",
        test.name().unwrap_or("a test"),
        path.display()
    );
    None
}

fn object(properties: &Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// What to ask, and what the answer must be an instance of.
fn questions() -> Vec<(&'static str, Value)> {
    let word = || json!({ "type": "string", "minLength": 1, "maxLength": 20 });
    let line = || json!({ "type": "string", "maxLength": 60 });
    vec![
        ("Is the sky blue?", json!({ "type": "boolean" })),
        ("How many legs has a cat?", json!({ "type": "integer" })),
        (
            "Rate this: good film.",
            json!({ "type": "integer", "minimum": 1, "maximum": 5 }),
        ),
        (
            "What is half of one?",
            json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        ),
        (
            "Name a colour.",
            json!({ "enum": ["red", "green", "blue"] }),
        ),
        (
            "Yes, no or unknown?",
            json!({ "enum": ["yes", "no", null] }),
        ),
        ("Say hello.", json!({ "const": "hello" })),
        ("Name a capital.", word()),
        ("Write a sentence.", line()),
        (
            "A product code.",
            json!({ "type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$" }),
        ),
        (
            "Today's date.",
            json!({ "type": "string", "format": "date" }),
        ),
        (
            "A time of day.",
            json!({ "type": "string", "format": "time" }),
        ),
        (
            "A moment in time.",
            json!({ "type": "string", "format": "date-time" }),
        ),
        (
            "An address on the network.",
            json!({ "type": "string", "format": "ipv4" }),
        ),
        (
            "An identifier.",
            json!({ "type": "string", "format": "uuid" }),
        ),
        (
            "Whom to write to?",
            json!({ "type": "string", "format": "email", "maxLength": 40 }),
        ),
        (
            "Three fruits.",
            json!({ "type": "array", "items": word(), "minItems": 3, "maxItems": 3 }),
        ),
        (
            "Some numbers.",
            json!({
                "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 99 },
                "maxItems": 6,
            }),
        ),
        (
            "A point.",
            json!({
                "type": "array",
                "prefixItems": [{ "type": "number" }, { "type": "number" }],
                "items": false, "minItems": 2,
            }),
        ),
        (
            "Who are you?",
            object(
                &json!({ "name": word(), "age": { "type": "integer" } }),
                &["name"],
            ),
        ),
        (
            "Describe a book.",
            object(
                &json!({ "title": line(), "author": word(), "pages": { "type": "integer" } }),
                &["title", "author", "pages"],
            ),
        ),
        (
            "The weather in Jakarta.",
            object(
                &json!({
                    "place": word(),
                    "celsius": { "type": "number", "minimum": -50, "maximum": 60 },
                    "sky": { "enum": ["clear", "cloudy", "rain"] },
                }),
                &["place", "celsius", "sky"],
            ),
        ),
        (
            "Call a tool.",
            object(
                &json!({
                    "name": { "const": "get_weather" },
                    "arguments": object(&json!({ "city": word() }), &["city"]),
                }),
                &["name", "arguments"],
            ),
        ),
        (
            "Is this spam?",
            object(
                &json!({ "spam": { "type": "boolean" }, "why": line() }),
                &["spam", "why"],
            ),
        ),
        (
            "An order.",
            object(
                &json!({
                    "items": {
                        "type": "array", "minItems": 1, "maxItems": 3,
                        "items": object(
                            &json!({ "sku": word(), "count": { "type": "integer", "minimum": 1 } }),
                            &["sku", "count"],
                        ),
                    },
                }),
                &["items"],
            ),
        ),
        (
            "A word or a number.",
            json!({ "anyOf": [word(), { "type": "integer" }] }),
        ),
        (
            "A shape.",
            json!({ "anyOf": [
            object(&json!({ "kind": { "const": "circle" }, "r": { "type": "number" } }), &["kind", "r"]),
            object(&json!({ "kind": { "const": "square" }, "a": { "type": "number" } }), &["kind", "a"]),
        ] }),
        ),
        (
            "A name, perhaps.",
            json!({ "type": ["string", "null"], "maxLength": 20 }),
        ),
        (
            "A tree.",
            json!({
                "$defs": { "leaf": object(&json!({ "value": { "type": "integer" } }), &["value"]) },
                "type": "object",
                "properties": {
                    "left": { "$ref": "#/$defs/leaf" }, "right": { "$ref": "#/$defs/leaf" },
                },
                "required": ["left", "right"],
                "additionalProperties": false,
            }),
        ),
        (
            "A setting.",
            json!({
                "type": "object", "additionalProperties": { "type": "boolean" },
                "properties": { "on": { "type": "boolean" } }, "required": ["on"],
            }),
        ),
        (
            "A person.",
            json!({
                "allOf": [
                    { "type": "object", "properties": { "name": word() }, "required": ["name"] },
                    { "type": "object", "properties": { "born": { "type": "integer" } },
                      "required": ["born"] },
                ],
            }),
        ),
        (
            "An even number.",
            json!({ "type": "integer", "multipleOf": 2 }),
        ),
        (
            "A price.",
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1000 }),
        ),
        (
            "Selamat pagi! Balas.",
            object(&json!({ "balasan": line() }), &["balasan"]),
        ),
        (
            "Grade the essay.",
            object(
                &json!({ "grade": { "enum": ["A", "B", "C"] }, "remarks": {
                "type": "array", "items": line(), "maxItems": 2 } }),
                &["grade", "remarks"],
            ),
        ),
        (
            "Keys with odd names.",
            object(
                &json!({ "a b": { "type": "null" }, "ü\"": { "type": "integer" } }),
                &["a b", "ü\""],
            ),
        ),
    ]
}

fn request(question: &str, schema: &Value, seed: u64) -> Request {
    let conversation = ChatInput {
        messages: vec![json!({ "role": "user", "content": question })],
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    let mut request = Request::new(Prompt::Chat(conversation));
    request.sampling.seed = Some(seed);
    request.max_tokens = Some(160);
    request.constraint = Some(Constraint::JsonSchema(schema.clone()));
    request
}

#[test]
fn every_answer_of_the_real_model_is_an_instance_of_its_schema() {
    let Some(path) = model() else { return };
    let options = EngineOptions {
        context_len: Some(512),
        cache_len: Some(16 * 512),
        ..EngineOptions::default()
    };
    let engine = Engine::open(&path, &options, |_| ()).unwrap();
    let questions = questions();
    let running: Vec<_> = questions
        .iter()
        .zip(0..)
        .map(|((question, schema), seed)| engine.submit(request(question, schema, seed)).unwrap())
        .collect();
    let mut cut = 0;
    let mut texts = Vec::new();
    for (generation, (question, schema)) in running.into_iter().zip(&questions) {
        let answer = collect(generation).unwrap();
        texts.push(answer.text.clone());
        if answer.reason == FinishReason::Length {
            cut += 1;
            continue;
        }
        let instance: Value = serde_json::from_str(&answer.text).unwrap();
        let valid = jsonschema::is_valid(schema, &instance);
        assert!(valid, "{question}: {instance} is no {schema}");
    }
    // A small model puts digit after digit where no bound is set; most answers come to an end.
    assert!(cut * 5 <= questions.len(), "{cut} of {}", questions.len());
    // Alone it says what it says among others.
    for index in [19, 21, 26] {
        let (question, schema) = &questions[index];
        let alone = engine
            .submit(request(question, schema, index as u64))
            .unwrap();
        assert_eq!(collect(alone).unwrap().text, texts[index]);
    }
}
