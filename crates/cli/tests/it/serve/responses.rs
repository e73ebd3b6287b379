//! `/v1/responses`: conversations that the server keeps.

use std::time::Instant;

use serde_json::{Value, json};

use super::{CHAT, PATIENCE, Server, own, question, shared, text};
use crate::real;

const RESPONSES: &str = "/v1/responses";

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
fn ask(input: Value, more: Value) -> Value {
    let mut body = json!({
        "model": real::MODEL, "input": input, "max_output_tokens": 12, "temperature": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn path(response: &Value) -> String {
    format!("{RESPONSES}/{}", response["id"].as_str().unwrap())
}

fn said(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"]
        .as_str()
        .unwrap()
}

/// The events of a stream: each has a name, which its data repeat, and the next number.
#[track_caller]
fn events(server: &Server, body: &Value) -> Vec<Value> {
    let mut body = body.clone();
    body["stream"] = true.into();
    let response = server.post(RESPONSES, &body);
    assert_eq!(response.status, 200, "{}", response.body);
    let whole = response.body.strip_suffix("data: [DONE]\n\n").unwrap();
    let events = whole.split("\n\n").filter(|event| !event.is_empty());
    events
        .enumerate()
        .map(|(number, event)| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(data["type"], name.strip_prefix("event: ").unwrap());
            assert_eq!(data["sequence_number"], number);
            data
        })
        .collect()
}

/// The events' types, repeated ones once.
fn kinds(events: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    kinds.dedup();
    kinds
}

/// A response as another making of it has it too: without identities and times.
fn timeless(response: &Value) -> Value {
    let mut response = response.clone();
    for name in ["id", "created_at", "completed_at", "usage", "seed"] {
        response[name].take();
    }
    for item in response["output"].as_array_mut().unwrap() {
        item["id"].take();
        if item["type"] == "function_call" {
            item["call_id"].take();
        }
    }
    response
}

#[test]
fn an_answer_is_that_of_chat_whole_and_in_events() {
    let Some(server) = shared() else { return };
    let chat = server.ok(
        CHAT,
        &question("Name three fruits.", json!({ "max_tokens": 6 })),
    );
    let body = ask(
        "Name three fruits.".into(),
        json!({ "max_output_tokens": 6 }),
    );
    let response = server.ok(RESPONSES, &body);
    assert_eq!(said(&response), text(&chat));
    assert_eq!(response["object"], "response");
    assert_eq!(response["status"], "incomplete");
    assert_eq!(
        response["incomplete_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(response["output"][0]["status"], "incomplete");
    let usage = &response["usage"];
    assert_eq!(usage["output_tokens"], 6);
    assert_eq!(usage["input_tokens"], chat["usage"]["prompt_tokens"]);
    // Items in place of a text mean the same.
    for item in [
        json!({ "role": "user", "content": "Name three fruits." }),
        json!({ "type": "message", "role": "user", "content": [
            { "type": "input_text", "text": "Name three " }, { "type": "input_text", "text": "fruits." },
        ] }),
    ] {
        let mut body = body.clone();
        body["input"] = json!([item]);
        assert_eq!(said(&server.ok(RESPONSES, &body)), said(&response));
    }

    let events = events(&server, &body);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.incomplete",
        ]
    );
    let joined: String = events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect();
    assert_eq!(joined, text(&chat));
    let last = &events.last().unwrap()["response"];
    assert_eq!(timeless(last), timeless(&response));
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["id"], last["id"]);
    // It can be read as it was sent.
    assert_eq!(server.get(&path(last)).json(), *last);
}

#[test]
fn a_conversation_goes_on() {
    let Some(server) = shared() else { return };
    let first = server.ok(
        RESPONSES,
        &ask(
            "My name is Ada.".into(),
            json!({ "instructions": "Answer in one word.", "metadata": { "a": "b" } }),
        ),
    );
    assert_eq!(first["metadata"], json!({ "a": "b" }));
    assert_eq!(server.get(&path(&first)).json(), first);
    let second = server.ok(
        RESPONSES,
        &ask(
            "What is my name?".into(),
            json!({ "previous_response_id": first["id"] }),
        ),
    );
    assert_eq!(second["previous_response_id"], first["id"]);
    // As if all of it had been sent; the instructions are the first response's alone.
    let turn = |role: &str, content: &str| json!({ "role": role, "content": content });
    let messages = json!([
        turn("user", "My name is Ada."),
        turn("assistant", said(&first)),
        turn("user", "What is my name?"),
    ]);
    let chat = server.ok(CHAT, &question("", json!({ "messages": messages })));
    assert_eq!(said(&second), text(&chat));
    assert_eq!(
        second["usage"]["input_tokens"],
        chat["usage"]["prompt_tokens"]
    );

    let items = server.get(&format!("{}/input_items?order=asc", path(&second)));
    let items = items.json();
    let data = items["data"].as_array().unwrap();
    assert_eq!((data.len(), &items["has_more"]), (3, &json!(false)));
    assert_eq!(data[0]["content"][0]["text"], "My name is Ada.");
    assert_eq!(data[1]["id"], first["output"][0]["id"]);
    // Page by page, the newest first.
    let page = format!("{}/input_items?limit=2", path(&second));
    let newest = server.get(&page).json();
    assert_eq!(newest["data"], json!([data[2], data[1]]));
    assert_eq!(newest["has_more"], true);
    let rest = format!("{page}&after={}", newest["last_id"].as_str().unwrap());
    assert_eq!(server.get(&rest).json()["data"], json!([data[0]]));

    // What is deleted is gone; what went on with it has all that it needs.
    let deleted = server.request("DELETE", &path(&first), &[], b"");
    assert_eq!(
        deleted.json(),
        json!({ "id": first["id"], "object": "response", "deleted": true })
    );
    server.get(&path(&first)).fails(404, "no such response");
    server
        .request("DELETE", &path(&first), &[], b"")
        .fails(404, "no such response");
    let on = |id: &Value| {
        server.post(
            RESPONSES,
            &ask("Again?".into(), json!({ "previous_response_id": id })),
        )
    };
    let error = on(&first["id"]).fails(404, "previous_response_id");
    assert_eq!(error["code"], "previous_response_not_found");
    assert_eq!(on(&second["id"]).status, 200);
    // What is not to be stored is not.
    let unkept = server.ok(RESPONSES, &ask("Hi".into(), json!({ "store": false })));
    assert_eq!(unkept["store"], false);
    server.get(&path(&unkept)).fails(404, "not stored");
    on(&unkept["id"]).fails(404, "not stored");
}

#[test]
fn functions_are_called_and_their_results_told() {
    let Some(server) = shared() else { return };
    let tools = json!([{ "type": "function", "name": "get_weather", "parameters": {
        "type": "object", "required": ["city"], "additionalProperties": false,
        "properties": { "city": { "type": "string", "maxLength": 12 } },
    } }]);
    let more = json!({
        "tools": tools, "tool_choice": "required", "parallel_tool_calls": false,
        "max_output_tokens": 60,
    });
    let body = ask("What is the weather in Paris?".into(), more);
    let response = server.ok(RESPONSES, &body);
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"].as_array().unwrap().len(), 1);
    let call = &response["output"][0];
    assert_eq!(
        (&call["type"], &call["name"]),
        (&json!("function_call"), &json!("get_weather"))
    );
    assert!(call["call_id"].as_str().unwrap().starts_with("call_"));
    let arguments = call["arguments"].as_str().unwrap();
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    assert!(arguments["city"].is_string());

    let events = events(&server, &body);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let joined: String = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(joined, call["arguments"].as_str().unwrap());
    let last = &events.last().unwrap()["response"];
    assert_eq!(timeless(last), timeless(&response));

    // The result goes on with a kept response, or with all items sent again: the same prompt.
    let result = json!({
        "type": "function_call_output", "call_id": call["call_id"], "output": "sunny",
    });
    let on = |input: Value, previous: &Value| {
        let more = json!({
            "tools": tools, "tool_choice": "none", "previous_response_id": previous,
            "max_output_tokens": 4,
        });
        server.ok(RESPONSES, &ask(input, more))
    };
    let kept = on(json!([result]), &response["id"]);
    let user = json!({ "role": "user", "content": "What is the weather in Paris?" });
    let sent = on(json!([user, call, result]), &Value::Null);
    assert_eq!(said(&kept), said(&sent));
    assert_eq!(kept["usage"]["input_tokens"], sent["usage"]["input_tokens"]);
    // A function by its name.
    let named = json!({ "type": "function", "name": "get_weather" });
    let mut body = body.clone();
    body["tool_choice"] = named.clone();
    let response = server.ok(RESPONSES, &body);
    assert_eq!(response["output"][0]["name"], "get_weather");
    assert_eq!(response["tool_choice"], named);
    let stray = json!([{ "type": "function_call_output", "call_id": "call_x", "output": "1" }]);
    server
        .post(RESPONSES, &ask(stray, json!({})))
        .fails(400, "call_id of no call");
}

#[test]
fn an_answer_keeps_to_its_form_and_tells_its_probabilities() {
    let Some(server) = shared() else { return };
    let schema = json!({
        "type": "object", "required": ["red"], "additionalProperties": false,
        "properties": { "red": { "type": "boolean" } },
    });
    let format = json!({ "format": {
        "type": "json_schema", "name": "colour", "schema": schema, "strict": true,
    } });
    let more = json!({ "text": format, "max_output_tokens": 60 });
    let response = server.ok(RESPONSES, &ask("Is an apple red?".into(), more));
    let answer: Value = serde_json::from_str(said(&response)).unwrap();
    assert!(answer["red"].is_boolean() && answer.as_object().unwrap().len() == 1);
    assert_eq!(response["text"]["format"]["schema"], schema);
    let more = json!({ "text": { "format": { "type": "json_object" } }, "max_output_tokens": 24 });
    let response = server.ok(RESPONSES, &ask("An apple as JSON".into(), more));
    assert!(said(&response).trim_start().starts_with('{'));

    let more = json!({
        "include": ["message.output_text.logprobs"], "top_logprobs": 2, "max_output_tokens": 3,
    });
    let body = ask("Name three fruits.".into(), more);
    let response = server.ok(RESPONSES, &body);
    let logprobs = response["output"][0]["content"][0]["logprobs"].clone();
    assert_eq!(logprobs.as_array().unwrap().len(), 3);
    assert_eq!(logprobs[0]["top_logprobs"].as_array().unwrap().len(), 2);
    let streamed: Vec<Value> = events(&server, &body)
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .flat_map(|event| event["logprobs"].as_array().unwrap().clone())
        .collect();
    assert_eq!(Value::from(streamed), logprobs);
}

#[test]
fn a_response_is_made_in_the_background_and_cancelled() {
    // Of its own: whether nothing runs in the end is asked of the whole server.
    let Some(server) = own(&[]) else { return };
    let until_done = |response: &Value| {
        let begun = Instant::now();
        loop {
            let now = server.get(&path(response)).json();
            if !["queued", "in_progress"].contains(&now["status"].as_str().unwrap()) {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let body = ask("Name three fruits.".into(), json!({}));
    let there = server.ok(RESPONSES, &body);
    let mut body = body.clone();
    body["background"] = true.into();
    let queued = server.ok(RESPONSES, &body);
    assert_eq!(queued["status"], "queued");
    let mut done = until_done(&queued);
    assert_eq!(done["background"], true);
    done["background"] = false.into();
    assert_eq!(timeless(&done), timeless(&there));
    let cancel =
        |response: &Value| server.request("POST", &format!("{}/cancel", path(response)), &[], b"");
    // What has ended stays as it is; what has a connection ends with it.
    assert_eq!(cancel(&queued).json()["status"], done["status"]);
    cancel(&there).fails(400, "background");

    body["input"] = "Tell a long story.".into();
    body["max_output_tokens"] = 1000.into();
    let long = server.ok(RESPONSES, &body);
    let more = json!({ "previous_response_id": long["id"] });
    server
        .post(RESPONSES, &ask("Go on".into(), more))
        .fails(400, "not complete yet");
    let cancelled = cancel(&long);
    assert_eq!(cancelled.status, 200, "{}", cancelled.body);
    assert_eq!(cancelled.json()["status"], "cancelled");
    assert_eq!(server.get(&path(&long)).json(), cancelled.json());
    assert_eq!(cancel(&long).json(), cancelled.json());
    // One that is deleted ends too.
    let long = server.ok(RESPONSES, &body);
    assert_eq!(server.request("DELETE", &path(&long), &[], b"").status, 200);
    let begun = Instant::now();
    let idle = "terang_requests_running{model=\"smollm2:135m\"} 0";
    while !server.get("/metrics").body.contains(idle) {
        assert!(begun.elapsed() < PATIENCE, "it runs on");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn the_oldest_makes_room() {
    let Some(server) = own(&["stored_responses=3"]) else {
        return;
    };
    let made: Vec<Value> = (0..4)
        .map(|_| {
            server.ok(
                RESPONSES,
                &ask("Hi".into(), json!({ "max_output_tokens": 1 })),
            )
        })
        .collect();
    server.get(&path(&made[0])).fails(404, "has made room");
    for kept in &made[1..] {
        assert_eq!(server.get(&path(kept)).status, 200);
    }
    drop(server);
    let Some(server) = own(&["stored_responses=0"]) else {
        return;
    };
    let response = server.ok(
        RESPONSES,
        &ask("Hi".into(), json!({ "max_output_tokens": 1 })),
    );
    assert_eq!(response["store"], false);
    for field in ["store", "background"] {
        let response = server.post(RESPONSES, &ask("Hi".into(), json!({ field: true })));
        response.fails(400, field);
    }
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let Some(server) = shared() else { return };
    for (more, param) in [
        (json!({ "nonsense": 1 }), "nonsense"),
        (json!({ "truncation": "auto" }), "truncation"),
        (json!({ "reasoning": { "effort": "low" } }), "reasoning"),
        (json!({ "conversation": "conv_1" }), "conversation"),
        (json!({ "prompt": { "id": "p" } }), "prompt"),
        (json!({ "max_tool_calls": 3 }), "max_tool_calls"),
        (json!({ "service_tier": "flex" }), "service_tier"),
        (
            json!({ "include": ["file_search_call.results"] }),
            "include[0]",
        ),
        (json!({ "top_logprobs": 3 }), "top_logprobs"),
        (json!({ "max_output_tokens": 0 }), "max_output_tokens"),
        (
            json!({ "max_output_tokens": 1_000_000 }),
            "max_output_tokens",
        ),
        (json!({ "temperature": -1 }), "temperature"),
        (json!({ "metadata": { "a": 1 } }), "metadata"),
        (json!({ "background": true, "stream": true }), "background"),
        (json!({ "background": true, "store": false }), "background"),
        (json!({ "stream_options": {} }), "stream_options"),
        (json!({ "text": { "verbosity": "low" } }), "text.verbosity"),
        (
            json!({ "text": { "format": { "type": "json_schema", "name": "a", "schema": 7 } } }),
            "text.format.schema",
        ),
        (
            json!({ "tools": [{ "type": "web_search" }] }),
            "tools[0].type",
        ),
        (
            json!({ "tools": [{ "type": "function", "name": "a b" }] }),
            "tools[0].name",
        ),
        (json!({ "tool_choice": "required" }), "tool_choice"),
        (json!({ "input": [] }), "input"),
        (
            json!({ "input": [{ "type": "reasoning", "summary": [] }] }),
            "input[0]",
        ),
        (
            json!({ "input": [{ "role": "user", "content": [
                { "type": "input_image", "image_url": "x" },
            ] }] }),
            "input[0]",
        ),
        (json!({ "input": "word ".repeat(20_000) }), "input"),
    ] {
        let error = server
            .post(RESPONSES, &ask("Hi".into(), more))
            .fails(400, "");
        assert_eq!(error["param"], param, "{error}");
    }
    let here = server.ok(RESPONSES, &ask("Hi".into(), json!({})));
    for (query, part) in [
        ("?stream=true", "stream"),
        ("?include=x", "include"),
        ("?more=1", "more"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?order=up", "order"),
    ] {
        let response = server.get(&format!("{}{query}", path(&here)));
        response.fails(400, part);
    }
    for id in ["resp_none", "{response_id}"] {
        let response = server.get(&format!("{RESPONSES}/{id}"));
        response.fails(404, "no such response");
    }
    server.get(RESPONSES).fails(405, "");
}
