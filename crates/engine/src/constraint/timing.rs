//! What a mask costs, on the vocabulary of the real `smollm2:135m`:
//!
//! ```sh
//! TERANG_TEST_MODELS=… cargo test --release -p terang-engine mask_time -- --ignored --nocapture
//! ```

#![allow(clippy::print_stdout, reason = "printing is its job")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use terang_model::bundle::LoadedModel;
use terang_model::tokenizer::Special;

use super::*;

fn samples() -> Vec<(Constraint, String)> {
    let person: Value = json!({
        "type": "object",
        "properties": {
            "name": { "type": "string" },
            "age": { "type": "integer", "minimum": 0, "maximum": 150 },
            "email": { "type": "string", "format": "email" },
            "tags": { "type": "array", "items": { "type": "string", "maxLength": 20 } },
            "address": {
                "type": "object",
                "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
                "required": ["street", "city"],
                "additionalProperties": false,
            },
        },
        "required": ["name", "age", "email", "tags", "address"],
        "additionalProperties": false,
    });
    let instance = r#"{"name": "Siti Rahmawati", "age": 34, "email": "siti@example.org",
 "tags": ["teacher", "reads a lot", "Bandung"],
 "address": {"street": "Jalan Merdeka 17", "city": "Bandung, in the west of the island of Java"}}"#;
    let free = r#"{"title": "A day at the sea", "lines": ["The sun rose early over the water.",
 "Nobody was there but a dog and two gulls."], "score": 12.5, "ok": true, "next": null}"#;
    vec![
        (Constraint::JsonSchema(person), instance.into()),
        (Constraint::JsonObject, free.into()),
        (
            Constraint::Regex("([A-Za-z]+ ){1,30}[0-9]{4}-[0-9]{2}-[0-9]{2}".into()),
            "The meeting of the committee took place in the town hall on 2024-11-05".into(),
        ),
        (
            Constraint::Lark(
                "start: text (\"<tool_call>\" %json {\"type\": \"object\"} \"</tool_call>\")?\n\
                 text: /[^<]*/"
                    .into(),
            ),
            "Let me look that up. <tool_call>{\"name\": \"search\", \"arguments\": {\"q\": \"rain\"}}\
             </tool_call>"
                .into(),
        ),
    ]
}

#[test]
#[ignore = "prints times; wants the real model and an idle machine"]
fn mask_time() {
    let data = std::env::var_os("TERANG_TEST_MODELS").map(PathBuf::from);
    let path = data.unwrap().join("models/smollm2_135m/model.gguf");
    let model = LoadedModel::open(&path).unwrap();
    let vocab_size = model.config.vocab_size;
    let grammars = Grammars::new(Arc::clone(&model.tokenizer), vocab_size);
    let begun = Instant::now();
    grammars.compile(&Constraint::JsonObject, &[]).unwrap();
    println!("vocabulary of {vocab_size}: {:.1?}", begun.elapsed());
    let (mut total, mut count) = (Duration::ZERO, 0);
    for (constraint, text) in samples() {
        let begun = Instant::now();
        let mut matcher = grammars.compile(&constraint, &[]).unwrap();
        let compiled = begun.elapsed();
        let ids = model.tokenizer.encode(&text, Special::Ignore).unwrap();
        let mut times = Vec::new();
        for &id in &ids {
            let mut logits = vec![0.0; vocab_size];
            let begun = Instant::now();
            matcher.mask(&mut logits).unwrap();
            let masked = begun.elapsed();
            let forced = logits.iter().filter(|&&x| x == 0.0).count() == 1;
            assert!(forced || logits[id as usize] == 0.0, "{id} of {text}");
            let begun = Instant::now();
            let stop = matcher.inner.try_consume_tokens(&[id]).unwrap() == 0;
            assert!(!stop, "{id} of {text}");
            times.push(masked + begun.elapsed());
        }
        total += times.iter().sum::<Duration>();
        count += times.len();
        times.sort_unstable();
        let mean = times.iter().sum::<Duration>() / times.len() as u32;
        println!(
            "{:>4} tokens: mean {mean:.1?}, median {:.1?}, longest {:.1?}; compiled in {compiled:.1?}",
            times.len(),
            times[times.len() / 2],
            times[times.len() - 1],
        );
    }
    println!("mean of all {count} tokens: {:.1?}", total / count as u32);
}
