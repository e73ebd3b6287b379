//! Tools for a model whose template knows none: definitions go into the system's message and calls
//! and results into ordinary ones, in the words that most models were trained on (Hermes).

use std::fmt::Write as _;

use serde_json::{Value, json};

const INTRODUCTION: &str = "You may call functions to help with the request. Their signatures are \
    within <tools></tools>:\n<tools>\n";
const INSTRUCTION: &str = "</tools>\n\nTo call one, write a JSON object with its name and arguments \
    within <tool_call></tool_call>:\n<tool_call>\n{\"name\": <name>, \"arguments\": <object>}\n\
    </tool_call>";

/// Puts tools, calls and results into messages that any template can write.
pub(crate) fn fold_into_messages(messages: Vec<Value>, tools: &[Value]) -> Vec<Value> {
    let mut folded: Vec<Value> = Vec::with_capacity(messages.len() + 1);
    for message in messages {
        match message["role"].as_str() {
            Some("assistant") => folded.push(assistant(&message)),
            Some("tool") => {
                let text = format!(
                    "<tool_response>\n{}\n</tool_response>",
                    message["content"].as_str().unwrap_or_default()
                );
                // Several results in a row are one turn, since roles must alternate for some.
                match folded.last_mut() {
                    Some(last) if last["tool_results"] == true => {
                        let before = last["content"].as_str().unwrap_or_default();
                        last["content"] = format!("{before}\n{text}").into();
                    }
                    _ => folded.push(json!({
                        "role": "user", "content": text, "tool_results": true
                    })),
                }
            }
            _ => folded.push(message),
        }
    }
    for message in &mut folded {
        if let Some(object) = message.as_object_mut() {
            object.remove("tool_results");
        }
    }
    if !tools.is_empty() {
        let mut definitions = String::new();
        for tool in tools {
            let _ = writeln!(definitions, "{tool}");
        }
        let told = format!("{INTRODUCTION}{definitions}{INSTRUCTION}");
        match folded.first_mut() {
            Some(first) if first["role"] == "system" => {
                let before = first["content"].as_str().unwrap_or_default();
                first["content"] = format!("{before}\n\n{told}").into();
            }
            _ => folded.insert(0, json!({ "role": "system", "content": told })),
        }
    }
    folded
}

fn assistant(message: &Value) -> Value {
    let mut parts: Vec<String> = Vec::new();
    if let Some(text) = message["content"].as_str().filter(|text| !text.is_empty()) {
        parts.push(text.to_owned());
    }
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let call = json!({
            "name": call["function"]["name"], "arguments": call["function"]["arguments"]
        });
        parts.push(format!("<tool_call>\n{call}\n</tool_call>"));
    }
    json!({ "role": "assistant", "content": parts.join("\n") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_calls_and_results_become_plain_messages() {
        let messages = vec![
            json!({"role": "system", "content": "Be brief."}),
            json!({"role": "user", "content": "Weather?"}),
            json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "w", "arguments": {"c": 1}}},
            ]}),
            json!({"role": "tool", "tool_call_id": "a", "content": "sunny"}),
            json!({"role": "tool", "tool_call_id": "b", "content": "warm"}),
        ];
        let folded = fold_into_messages(messages, &[json!({"type": "function"})]);
        let text = |index: usize| folded[index]["content"].as_str().unwrap();
        assert!(
            text(0).starts_with("Be brief.\n\n") && text(0).contains("{\"type\":\"function\"}")
        );
        assert_eq!(
            text(2),
            "<tool_call>\n{\"name\":\"w\",\"arguments\":{\"c\":1}}\n</tool_call>"
        );
        assert_eq!(
            folded[3],
            json!({
                "role": "user",
                "content": "<tool_response>\nsunny\n</tool_response>\n\
                            <tool_response>\nwarm\n</tool_response>"
            })
        );
        assert_eq!(folded.len(), 4);
    }
}
