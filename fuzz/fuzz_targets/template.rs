//! Renders the input as a chat template, and checks that no control token of the user survives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use terang_model::template::{ChatInput, ChatTemplate, Limits};
use terang_model::tokenizer::Tokenizer;

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    let json = br#"{
        "added_tokens": [{"id": 1, "content": "\u25ce[E]", "special": true}],
        "model": {"type": "BPE", "vocab": {"a": 0, "<unk>": 2}, "merges": [], "unk_token": "<unk>"}
    }"#;
    match Tokenizer::from_json_bytes("tokenizer.json".as_ref(), json) {
        Ok(tokenizer) => tokenizer,
        Err(e) => panic!("{e}"),
    }
});

static INPUT: LazyLock<ChatInput> = LazyLock::new(|| {
    let value = |text: &str| match serde_json::from_str(text) {
        Ok(value) => value,
        Err(e) => panic!("{e}"),
    };
    ChatInput {
        messages: vec![
            value(r#"{"role": "system", "content": " \u25ce[E] x "}"#),
            value(r#"{"role": "user", "content": [{"type": "text", "text": "\u25ce[E]"}]}"#),
            value(r#"{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1.5}}}]}"#),
        ],
        tools: vec![value(r#"{"function": {"name": "f", "parameters": {"a": [1, true]}}}"#)],
        add_generation_prompt: true,
        ..ChatInput::default()
    }
});

fuzz_target!(|source: &str| {
    let Ok(template) = ChatTemplate::new(source, &TOKENIZER) else {
        return;
    };
    let limits = Limits {
        steps: 200_000,
        ..Limits::default()
    };
    if let Ok(prompt) = template.render(&INPUT, &limits) {
        let ids = TOKENIZER.encode_chat(&prompt);
        // The token begins with a character that no template of this run can write by itself.
        if !source.contains('\u{25ce}')
            && !source.contains('\\')
            && let Ok(ids) = ids
        {
            assert!(!ids.contains(&1), "a control token from user text");
        }
    }
});
