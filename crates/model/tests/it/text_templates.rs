//! Chat templates print what `transformers.apply_chat_template` prints.

use crate::text_data::fetched;
use serde_json::Value;
use terang_model::template::{ChatInput, ChatTemplate, Limits};
use terang_model::tokenizer::Tokenizer;

/// A byte-level tokenizer without merges, with these control tokens.
pub(crate) fn tokenizer_with(special: &[&str]) -> Tokenizer {
    let mut vocab = serde_json::Map::new();
    for byte in 0..=255u32 {
        let c = match byte {
            0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte,
            0..=0x20 => 0x100 + byte,
            0x7f..=0xa0 => 0x121 + byte - 0x7f,
            _ => 0x143,
        };
        vocab.insert(char::from_u32(c).unwrap().to_string(), byte.into());
    }
    let added: Vec<Value> = special
        .iter()
        .zip(256..)
        .map(|(content, id)| serde_json::json!({"id": id, "content": content, "special": true}))
        .collect();
    let json = serde_json::json!({
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false},
        "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    Tokenizer::from_json_bytes("tokenizer.json".as_ref(), json.to_string().as_bytes()).unwrap()
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Checks one template on its conversations; gives how many rendered and what was wrong.
fn check(entry: &Value, now: i64, tokenizer: &Tokenizer) -> (usize, Vec<String>) {
    let name = entry["name"].as_str().unwrap();
    let template = match ChatTemplate::new(entry["template"].as_str().unwrap(), tokenizer) {
        Ok(template) => template.with_clock(now),
        Err(e) => return (0, vec![format!("{name}: {e}")]),
    };
    let mut rendered = 0;
    let mut wrong = Vec::new();
    for case in list(&entry["cases"]) {
        let mut extra = case["extra"].as_object().unwrap().clone();
        extra.extend(entry["variables"].as_object().unwrap().clone());
        let input = ChatInput {
            messages: list(&case["messages"]),
            tools: list(&case["tools"]),
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
            extra,
        };
        let what = format!("{name}, {}", case["name"]);
        match (
            template.render(&input, &Limits::default()),
            case["expected"].as_str(),
        ) {
            (Ok(found), Some(expected)) if found.text() == expected => rendered += 1,
            (Ok(found), Some(expected)) => {
                let found = found.text();
                let same = found
                    .bytes()
                    .zip(expected.bytes())
                    .take_while(|(a, b)| a == b)
                    .count();
                let from = found.floor_char_boundary(same.saturating_sub(20));
                let cut = |text: &str| text[from..].chars().take(80).collect::<String>();
                let (found, expected) = (cut(&found), cut(expected));
                wrong.push(format!(
                    "{what}:\n    found    {found:?}\n    expected {expected:?}"
                ));
            }
            (Err(_), None) => {}
            (Ok(found), None) => {
                let reason = &case["error"];
                wrong.push(format!(
                    "{what}: rendered {:?}, expected {reason}",
                    found.text()
                ));
            }
            (Err(e), Some(_)) => wrong.push(format!("{what}: {e}")),
        }
    }
    (rendered, wrong)
}

#[test]
fn popular_templates_print_what_the_reference_prints() {
    let Some(path) = fetched("templates/reference.json") else {
        return;
    };
    let reference: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let now = reference["now"].as_i64().unwrap();
    let tokenizer = tokenizer_with(&["<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]"]);
    let mut rendered = 0;
    let mut wrong = Vec::new();
    let templates = list(&reference["templates"]);
    for entry in &templates {
        let (good, bad) = check(entry, now, &tokenizer);
        rendered += good;
        wrong.extend(bad);
    }
    eprintln!(
        "{} templates, {rendered} prompts equal, {} differ",
        templates.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
