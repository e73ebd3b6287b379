//! Anthropic's API: the same answers in another shape.

use serde_json::{Value, json};

use super::{CHAT, Response, Server, question, shared, text};
use crate::real;

const MESSAGES: &str = "/v1/messages";

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
fn ask(content: &str, more: Value) -> Value {
    let mut body = json!({
        "model": real::MODEL, "max_tokens": 24, "temperature": 0,
        "messages": [{ "role": "user", "content": content }],
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// The events of a stream: each has a name, which its data repeat.
#[track_caller]
fn events(server: &Server, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = true.into();
    let response = server.post(MESSAGES, &body);
    assert_eq!(response.status, 200, "{}", response.body);
    let events = response.body.split("\n\n").filter(|e| !e.is_empty());
    events
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
            data
        })
        .collect()
}

#[track_caller]
fn fails(response: &Response, status: u16, kind: &str, part: &str) {
    assert_eq!(response.status, status, "{}", response.body);
    let body = response.json();
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&json!("error"), &json!(kind))
    );
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.contains(part), "{message:?} lacks {part:?}");
}

#[test]
fn an_answer_is_that_of_the_other_api() {
    let Some(server) = shared() else { return };
    let other = server.ok(
        CHAT,
        &question("Name three fruits.", json!({ "max_tokens": 6 })),
    );
    let body = ask("Name three fruits.", json!({ "max_tokens": 6 }));
    let answer = server.ok(MESSAGES, &body);
    assert_eq!(answer["content"][0]["text"], text(&other));
    assert_eq!(answer["stop_reason"], "max_tokens");
    let usage = &answer["usage"];
    assert_eq!(usage["output_tokens"], 6);
    let read = usage["input_tokens"].as_u64().unwrap()
        + usage["cache_read_input_tokens"].as_u64().unwrap();
    assert_eq!(other["usage"]["prompt_tokens"], read);
    let count = json!({ "model": real::MODEL, "messages": body["messages"] });
    assert_eq!(
        server.ok("/v1/messages/count_tokens", &count)["input_tokens"],
        read
    );

    let events = events(&server, &body);
    assert_eq!(events[0]["type"], "message_start");
    assert_eq!(events[1]["content_block"]["type"], "text");
    let joined: String = events
        .iter()
        .filter_map(|event| event["delta"]["text"].as_str())
        .collect();
    assert_eq!(joined, text(&other));
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"]["stop_reason"], "max_tokens");
    assert_eq!(end["usage"]["output_tokens"], 6);
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    // Blocks in place of a text mean the same.
    let blocks = json!({ "max_tokens": 6, "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "Name three fruits.", "cache_control": { "type": "ephemeral" } },
    ] }] });
    assert_eq!(
        server.ok(MESSAGES, &ask("", blocks))["content"],
        answer["content"]
    );
}

#[test]
fn the_stop_sequence_that_came_is_named() {
    let Some(server) = shared() else { return };
    let plain = server.ok(MESSAGES, &ask("Name three fruits.", json!({})));
    let plain = plain["content"][0]["text"].as_str().unwrap();
    let word = plain.split_whitespace().nth(3).unwrap();
    let more = json!({ "stop_sequences": ["never comes", word] });
    let stopped = server.ok(MESSAGES, &ask("Name three fruits.", more));
    assert_eq!(stopped["stop_reason"], "stop_sequence");
    assert_eq!(stopped["stop_sequence"], word);
    assert_eq!(
        stopped["content"][0]["text"],
        plain.split(word).next().unwrap()
    );
}

#[test]
fn tools_are_called_and_their_results_told() {
    let Some(server) = shared() else { return };
    let tools = json!([{ "name": "get_weather", "input_schema": {
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "maxLength": 12 } },
    } }]);
    let choice = json!({ "type": "any", "disable_parallel_tool_use": true });
    let more = json!({ "tools": tools, "tool_choice": choice, "max_tokens": 60 });
    let mut body = ask("What is the weather in Paris?", more);
    let answer = server.ok(MESSAGES, &body);
    assert_eq!(answer["stop_reason"], "tool_use");
    let call = &answer["content"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("tool_use"), &json!("get_weather"))
    );
    assert!(call["input"]["city"].is_string());

    let events = events(&server, &body);
    let input: String = events
        .iter()
        .filter_map(|event| event["delta"]["partial_json"].as_str())
        .collect();
    assert_eq!(
        serde_json::from_str::<Value>(&input).unwrap(),
        call["input"]
    );

    let mut messages = body["messages"].as_array().unwrap().clone();
    messages.push(json!({ "role": "assistant", "content": answer["content"] }));
    messages.push(json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": call["id"], "content": "sunny" },
    ] }));
    body["messages"] = messages.into();
    body["tool_choice"] = json!({ "type": "none" });
    body["max_tokens"] = 4.into();
    assert_eq!(server.ok(MESSAGES, &body)["stop_reason"], "max_tokens");
}

#[test]
fn an_answer_keeps_to_a_schema() {
    let Some(server) = shared() else { return };
    let schema = json!({
        "type": "object", "required": ["red"], "additionalProperties": false,
        "properties": { "red": { "type": "boolean" } },
    });
    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
    let more = json!({ "output_config": format, "max_tokens": 60 });
    let answer = server.ok(MESSAGES, &ask("Is an apple red?", more));
    let answer = answer["content"][0]["text"].as_str().unwrap();
    let answer: Value = serde_json::from_str(answer).unwrap();
    assert!(answer["red"].is_boolean() && answer.as_object().unwrap().len() == 1);
}

#[test]
fn errors_have_the_shape_of_their_api() {
    let Some(server) = shared() else { return };
    let post = |more: Value| server.post(MESSAGES, &ask("Hi", more));
    fails(
        &post(json!({ "model": "x" })),
        404,
        "not_found_error",
        "is not served here",
    );
    for (more, part) in [
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_tokens": null }), "max_tokens"),
        (json!({ "nonsense": 1 }), "nonsense"),
        (
            json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } }),
            "thinking",
        ),
        (json!({ "messages": [] }), "messages"),
        (
            json!({ "messages": [{ "role": "system", "content": "x" }] }),
            "messages[0]",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [{ "type": "image" }] }] }),
            "messages[0]",
        ),
        (json!({ "tool_choice": { "type": "any" } }), "tool_choice"),
    ] {
        fails(&post(more), 400, "invalid_request_error", part);
    }
    let get = server.request("GET", MESSAGES, &["Origin: https://evil.example"], b"");
    fails(&get, 403, "permission_error", "origin");
}
