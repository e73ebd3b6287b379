//! Tools: offered, called, and their results told.

use serde_json::{Value, json};

use super::{CHAT, question, shared};

fn offered() -> Value {
    json!([
        { "type": "function", "function": {
            "name": "get_weather", "description": "Weather of a city",
            "parameters": {
                "type": "object", "required": ["city"], "additionalProperties": false,
                "properties": { "city": { "type": "string", "maxLength": 12 } },
            },
        } },
        { "type": "function", "function": { "name": "get_time" } },
    ])
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
fn ask(more: Value) -> Value {
    let mut body = question(
        "What is the weather in Paris?",
        json!({
            "tools": offered(), "max_tokens": 60, "parallel_tool_calls": false,
        }),
    );
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

#[test]
fn a_call_that_is_required_comes_and_keeps_to_its_schema() {
    let Some(server) = shared() else { return };
    for temperature in [0.0, 1.5] {
        let body = ask(json!({ "tool_choice": "required", "temperature": temperature, "seed": 5 }));
        let answer = server.ok(CHAT, &body);
        let choice = &answer["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls", "{choice}");
        let message = &choice["message"];
        assert!(message["content"].is_null());
        let calls = message["tool_calls"].as_array().unwrap();
        assert_eq!(calls.len(), 1);
        let call = &calls[0];
        assert_eq!(call["type"], "function");
        assert!(call["id"].as_str().unwrap().starts_with("call_"));
        let arguments = call["function"]["arguments"].as_str().unwrap();
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        match call["function"]["name"].as_str().unwrap() {
            "get_weather" => assert!(arguments["city"].is_string()),
            "get_time" => assert_eq!(arguments, json!({})),
            other => panic!("{other}"),
        }

        // The same call in pieces.
        let (mut names, mut streamed, mut finish) = (Vec::new(), String::new(), Value::Null);
        for event in server.stream(CHAT, &body) {
            let choice = &event["choices"][0];
            for delta in choice["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                assert_eq!(delta["index"], 0);
                if let Some(name) = delta["function"]["name"].as_str() {
                    assert!(delta["id"].is_string());
                    names.push(name.to_owned());
                }
                streamed += delta["function"]["arguments"].as_str().unwrap();
            }
            if !choice["finish_reason"].is_null() {
                finish = choice["finish_reason"].clone();
            }
        }
        assert_eq!(names, [call["function"]["name"].as_str().unwrap()]);
        assert_eq!(streamed, call["function"]["arguments"].as_str().unwrap());
        assert_eq!(finish, "tool_calls");
    }
}

#[test]
fn the_tool_that_is_named_is_called_and_none_where_none_may_be() {
    let Some(server) = shared() else { return };
    let named = json!({ "type": "function", "function": { "name": "get_time" } });
    let answer = server.ok(CHAT, &ask(json!({ "tool_choice": named })));
    let calls = &answer["choices"][0]["message"]["tool_calls"];
    assert_eq!(calls[0]["function"]["name"], "get_time");
    assert_eq!(calls[0]["function"]["arguments"], "{}");
    assert_eq!(calls.as_array().unwrap().len(), 1);
    let answer = server.ok(
        CHAT,
        &ask(json!({ "tool_choice": "none", "max_tokens": 8 })),
    );
    assert!(answer["choices"][0]["message"].get("tool_calls").is_none());
    // Tools that may not be called are not told: the prompt is as without them.
    let without = server.ok(CHAT, &question("What is the weather in Paris?", json!({})));
    assert_eq!(
        answer["usage"]["prompt_tokens"],
        without["usage"]["prompt_tokens"]
    );
}

#[test]
fn several_calls_come_where_they_may() {
    let Some(server) = shared() else { return };
    let body = ask(json!({
        "tool_choice": "required", "parallel_tool_calls": true, "max_tokens": 400,
    }));
    let answer = server.ok(CHAT, &body);
    let calls = answer["choices"][0]["message"]["tool_calls"]
        .as_array()
        .unwrap();
    assert!((1..=8).contains(&calls.len()));
    for call in calls {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        serde_json::from_str::<Value>(arguments).unwrap();
    }
}

#[test]
fn strict_tools_are_kept_to_where_the_model_chooses() {
    let Some(server) = shared() else { return };
    let mut body = ask(json!({ "max_tokens": 60, "temperature": 1 }));
    let function = &mut body["tools"][0]["function"];
    function["strict"] = true.into();
    // Not what the model would write of itself.
    function["parameters"]["properties"]["city"] = json!({ "enum": ["Atlantis"] });
    // A conversation in which tools were called makes the model call again.
    let mut messages = Vec::new();
    for (index, city) in ["Rome", "Oslo", "Lima"].iter().enumerate() {
        let id = format!("call_{index}");
        messages
            .push(json!({ "role": "user", "content": format!("What is the weather in {city}?") }));
        messages.push(
            json!({ "role": "assistant", "content": null, "tool_calls": [{
                "id": id, "type": "function", "function": {
                    "name": "get_weather", "arguments": format!("{{\"city\": \"{city}\"}}"),
                },
            }] }),
        );
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "sunny" }));
    }
    messages.push(json!({ "role": "user", "content": "What is the weather in Bern?" }));
    body["messages"] = messages.into();
    let mut calls = 0;
    for seed in 1..8 {
        body["seed"] = seed.into();
        let answer = server.ok(CHAT, &body);
        let called = answer["choices"][0]["message"]["tool_calls"].as_array();
        for call in called.into_iter().flatten() {
            if call["function"]["name"] == "get_weather" {
                calls += 1;
                let arguments = call["function"]["arguments"].as_str().unwrap();
                assert_eq!(arguments, "{\"city\": \"Atlantis\"}");
            }
        }
    }
    assert!(calls > 0, "the model called nothing");
}

#[test]
fn results_are_told_to_the_model() {
    let Some(server) = shared() else { return };
    let conversation = |result: &str| {
        let mut body = ask(json!({ "max_tokens": 4 }));
        let mut messages = body["messages"].as_array().unwrap().clone();
        messages.push(
            json!({ "role": "assistant", "content": null, "tool_calls": [{
            "id": "a", "type": "function",
            "function": { "name": "get_weather", "arguments": "{\"city\":\"Paris\"}" },
        }] }),
        );
        messages.push(json!({ "role": "tool", "tool_call_id": "a", "content": result }));
        body["messages"] = messages.into();
        let answer = server.ok(CHAT, &body);
        answer["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let short = conversation("rain");
    // The same word twice more is two tokens more: the result stands in the prompt, once.
    assert_eq!(conversation("rain rain rain"), short + 2);
}

#[test]
fn wrong_tools_are_refused_by_name() {
    let Some(server) = shared() else { return };
    for (more, param) in [
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "a b" } }] }),
            "tools[0].function.name",
        ),
        (
            json!({ "tools": [{ "type": "retrieval" }] }),
            "tools[0].type",
        ),
        (
            json!({ "tools": [{ "type": "function", "function": { "name": "a", "parameters": 7 } }] }),
            "tools[0].function.parameters",
        ),
        (
            json!({ "tools": [], "tool_choice": "required" }),
            "tool_choice",
        ),
        (json!({ "tool_choice": "sometimes" }), "tool_choice"),
        (
            json!({ "tool_choice": { "type": "function", "function": { "name": "other" } } }),
            "tool_choice",
        ),
    ] {
        let error = server.post(CHAT, &ask(more)).fails(400, "");
        assert_eq!(error["param"], param, "{error}");
    }
    let twice = json!([offered()[1], offered()[1]]);
    server
        .post(CHAT, &ask(json!({ "tools": twice })))
        .fails(400, "twice");
}
