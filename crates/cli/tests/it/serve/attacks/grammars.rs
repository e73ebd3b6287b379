//! Schemas, patterns and grammars that explode.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::{CHAT, question, shared};
use super::{answers, resident_kib};

#[test]
fn grammars_that_explode_are_refused_or_end() {
    let Some(server) = shared() else { return };
    let before = resident_kib(&server);
    let nested = (0..200).fold(
        json!({}),
        |inner, _| json!({ "type": "object", "properties": { "a": inner } }),
    );
    let wide: Vec<String> = (0..20_000).map(|i| format!("word{i}x")).collect();
    for outputs in [
        json!({ "regex": "(a|aa)+(a|aa)+(a|aa)+b".repeat(50) }),
        json!({ "regex": "(x{1000}){1000}" }),
        json!({ "regex": "((((((((((a{10}){10}){10}){10}){10}){10}){10}){10}){10}){10})" }),
        json!({ "regex": "(".repeat(5000) }),
        json!({ "grammar": "start: start start | \"a\"" }),
        json!({ "grammar": "start: start" }),
        json!({ "grammar": format!("start: {}", "(".repeat(20_000)) }),
        json!({ "json": { "$ref": "#" } }),
        json!({ "json": { "$ref": "http://169.254.169.254/schema.json" } }),
        json!({ "json": { "$ref": "file:///etc/passwd" } }),
        json!({ "json": { "type": "array", "minItems": 1_000_000_000, "items": {} } }),
        json!({ "json": { "type": "string", "minLength": 1_000_000_000 } }),
        json!({ "json": { "pattern": "(a+)+$", "type": "string" } }),
        json!({ "json": nested }),
        json!({ "choice": wide }),
    ] {
        let begun = Instant::now();
        let body = question(
            "Hi",
            json!({ "structured_outputs": outputs, "max_tokens": 3 }),
        );
        let response = server.post(CHAT, &body);
        assert!(
            [200, 400, 500].contains(&response.status) && begun.elapsed() < Duration::from_secs(20),
            "{} after {:?}: {}",
            response.status,
            begun.elapsed(),
            response.body
        );
        assert!(!response.body.contains("panicked"), "{}", response.body);
    }
    assert!(resident_kib(&server) < before + (600 << 10));
    answers(&server);
}
