//! Conversations.

use serde_json::{Value, json};

use super::{CHAT, question, shared, text};
use crate::real;

const QUESTION: &str = "Name three fruits.";

#[test]
fn an_answer_is_that_of_the_terminal_and_streams_alike() {
    let Some(server) = shared() else { return };
    let body = question(
        QUESTION,
        json!({ "seed": 7, "temperature": 0.8, "max_tokens": 16 }),
    );
    let whole = server.ok(CHAT, &body);
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["choices"][0]["finish_reason"], "length");
    assert_eq!(whole["usage"]["completion_tokens"], 16);
    let real = real::model().unwrap();
    let terminal = real.json(&[
        QUESTION,
        "--seed",
        "7",
        "--temperature",
        "0.8",
        "--max-tokens",
        "16",
    ]);
    assert_eq!(text(&whole), terminal.text());
    assert_eq!(
        whole["usage"]["prompt_tokens"],
        terminal.count("prompt_tokens")
    );

    let events = server.stream(CHAT, &body);
    let pieces: String = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(pieces, text(&whole));
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(
        events.last().unwrap()["choices"][0]["finish_reason"],
        "length"
    );
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    let ids: Vec<&Value> = events.iter().map(|event| &event["id"]).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]));

    let mut with_usage = body.clone();
    with_usage["stream_options"] = json!({ "include_usage": true });
    let events = server.stream(CHAT, &with_usage);
    let last = events.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        last["usage"]["total_tokens"],
        whole["usage"]["total_tokens"]
    );
    assert!(events[0]["usage"].is_null());
}

#[test]
fn several_answers_have_seeds_of_their_own() {
    let Some(server) = shared() else { return };
    let body = json!({ "seed": 40, "temperature": 1.5, "n": 3, "max_tokens": 8 });
    let all = server.ok(CHAT, &question(QUESTION, body));
    let choices = all["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    for (choice, seed) in choices.iter().zip(40..) {
        assert_eq!(choice["seed"], seed);
        let alone = json!({ "seed": seed, "temperature": 1.5, "max_tokens": 8 });
        let alone = server.ok(CHAT, &question(QUESTION, alone));
        assert_eq!(choice["message"]["content"], text(&alone));
    }
    assert_eq!(all["usage"]["completion_tokens"], 24);
    // Events of several answers are told apart by their number.
    let body = json!({ "seed": 40, "temperature": 1.5, "n": 3, "max_tokens": 8 });
    let mut texts = vec![String::new(); 3];
    for event in server.stream(CHAT, &question(QUESTION, body)) {
        let choice = &event["choices"][0];
        let index = choice["index"].as_u64().unwrap() as usize;
        texts[index] += choice["delta"]["content"].as_str().unwrap_or_default();
    }
    for (choice, text) in choices.iter().zip(texts) {
        assert_eq!(choice["message"]["content"], text);
    }
}

#[test]
fn fields_do_what_they_say() {
    let Some(server) = shared() else { return };
    let ask = |more: Value| server.ok(CHAT, &question(QUESTION, more));
    let plain = ask(json!({ "max_tokens": 24 }));
    let words: Vec<&str> = text(&plain).split_whitespace().collect();
    let stop = words[3];
    let stopped = ask(json!({ "max_tokens": 24, "stop": [stop, "never comes"] }));
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let before = text(&plain).split(stop).next().unwrap();
    assert_eq!(text(&stopped), before);
    assert_eq!(
        ask(json!({ "stop": stop, "max_tokens": 24 }))["choices"][0]["finish_reason"],
        "stop"
    );

    // The first token, forbidden, does not come.
    let tokens = server.ok("/tokenize", &json!({ "prompt": text(&plain) }));
    let first = tokens["tokens"][0].as_u64().unwrap().to_string();
    let biased = ask(json!({ "logit_bias": { first: -100 } }));
    assert!(text(&biased)[..1] != text(&plain)[..1], "{}", text(&biased));

    // Both names of the limit, and parts of a message, mean the same.
    assert_eq!(
        ask(json!({ "max_completion_tokens": 5, "max_tokens": null }))["usage"]["completion_tokens"],
        5
    );
    let mut parts = question("", json!({ "max_tokens": 24 }));
    parts["messages"] = json!([{ "role": "user", "content": [
        { "type": "text", "text": "Name three" }, { "type": "text", "text": " fruits." },
    ] }]);
    assert_eq!(text(&server.ok(CHAT, &parts)), text(&plain));
    // What asks for nothing is accepted.
    let harmless = json!({
        "max_tokens": 24, "store": false, "metadata": null, "modalities": ["text"], "n": 1,
        "service_tier": "auto", "tools": [], "response_format": { "type": "text" },
        "reasoning_effort": null, "user": "somebody", "logprobs": false,
    });
    assert_eq!(text(&ask(harmless)), text(&plain));
}

#[test]
fn probabilities_are_told() {
    let Some(server) = shared() else { return };
    let body = question(
        QUESTION,
        json!({ "logprobs": true, "top_logprobs": 3, "max_tokens": 6 }),
    );
    let whole = server.ok(CHAT, &body);
    let tokens = whole["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    assert_eq!(tokens.len(), 6);
    let mut bytes = Vec::new();
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        // The most likely token is taken at temperature 0.
        assert_eq!(top[0]["token"], token["token"]);
        assert_eq!(top[0]["logprob"], token["logprob"]);
        assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        let of_token = token["bytes"].as_array().unwrap();
        bytes.extend(of_token.iter().map(|byte| byte.as_u64().unwrap() as u8));
    }
    assert_eq!(String::from_utf8(bytes).unwrap(), text(&whole));
    let streamed: Vec<Value> = server
        .stream(CHAT, &body)
        .iter()
        .filter_map(|event| {
            event["choices"][0]["logprobs"]["content"]
                .as_array()
                .cloned()
        })
        .flatten()
        .collect();
    assert_eq!(&streamed, tokens);
}

#[test]
fn answers_keep_to_a_schema_a_pattern_or_a_choice() {
    let Some(server) = shared() else { return };
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["fruit", "colour", "count"],
        "properties": {
            "fruit": { "type": "string", "maxLength": 10 }, "colour": { "enum": ["red", "green"] },
            "count": { "type": "integer", "minimum": 3, "maximum": 9 },
        },
    });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "fruit", "strict": true, "schema": schema } });
    for temperature in [0.0, 1.5] {
        let more = json!({
            "response_format": format, "max_tokens": 100, "temperature": temperature, "seed": 3,
        });
        let answer = server.ok(CHAT, &question("Describe a fruit.", more));
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let object: Value = serde_json::from_str(text(&answer)).unwrap();
        assert_eq!(object.as_object().unwrap().len(), 3);
        assert!(["red", "green"].contains(&object["colour"].as_str().unwrap()));
        assert!((3..=9).contains(&object["count"].as_u64().unwrap()));
    }
    let object = json!({ "response_format": { "type": "json_object" }, "max_tokens": 200 });
    let answer = server.ok(CHAT, &question("A JSON object with one field.", object));
    if answer["choices"][0]["finish_reason"] == "stop" {
        assert!(
            serde_json::from_str::<Value>(text(&answer))
                .unwrap()
                .is_object()
        );
    }
    let outputs = |outputs: Value| {
        let answer = server.ok(
            CHAT,
            &question("Yes?", json!({ "structured_outputs": outputs })),
        );
        text(&answer).to_owned()
    };
    let digits = outputs(json!({ "regex": "[0-9]{3}" }));
    assert!(
        digits.len() == 3 && digits.bytes().all(|b| b.is_ascii_digit()),
        "{digits}"
    );
    assert!(["ja", "nein"].contains(&outputs(json!({ "choice": ["ja", "nein"] })).as_str()));
    assert_eq!(outputs(json!({ "grammar": "start: \"a\" \"b\"" })), "ab");
}

#[test]
fn a_prompt_over_the_context_is_refused_with_the_counts() {
    let Some(server) = shared() else { return };
    let long = "word ".repeat(9000);
    let error = server
        .post(CHAT, &question(&long, json!({})))
        .fails(400, "holds 8192 tokens");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("the prompt has 9"),
        "{error}"
    );
    assert_eq!(error["code"], "context_length_exceeded");
    let error = server.post(CHAT, &question("Hi", json!({ "max_tokens": 8193 })));
    error.fails(400, "found 8193, but this model's context holds 8192");
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    let Some(server) = shared() else { return };
    for (more, status, param) in [
        (json!({ "model": "gpt-4" }), 404, "model"),
        (json!({ "model": 7 }), 400, "model"),
        (json!({ "messages": [] }), 400, "messages"),
        (
            json!({ "messages": [{ "role": "nobody", "content": "x" }] }),
            400,
            "messages[0]",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": 7 }] }),
            400,
            "messages[0]",
        ),
        (
            json!({ "messages": [{ "role": "user", "content": [
            { "type": "image_url", "image_url": { "url": "http://169.254.169.254/" } },
        ] }] }),
            400,
            "messages[0]",
        ),
        (
            json!({ "messages": [{ "role": "assistant", "content": null }] }),
            400,
            "messages[0].content",
        ),
        (json!({ "temperature": -1 }), 400, "temperature"),
        (json!({ "temperature": 1e300 }), 400, "temperature"),
        (json!({ "temperature": "hot" }), 400, "temperature"),
        (json!({ "top_p": 1.5 }), 400, "top_p"),
        (json!({ "top_k": -2 }), 400, "top_k"),
        (json!({ "n": 0 }), 400, "n"),
        (json!({ "n": 1_000_000 }), 400, "n"),
        (json!({ "n": -1 }), 400, "n"),
        (json!({ "max_tokens": 0 }), 400, "max_tokens"),
        (json!({ "max_tokens": -5 }), 400, "max_tokens"),
        (json!({ "max_tokens": 1_u64 << 60 }), 400, "max_tokens"),
        (json!({ "max_completion_tokens": 5 }), 400, "max_tokens"),
        (json!({ "stop": vec!["x"; 5000] }), 400, "stop"),
        (json!({ "stop": [""] }), 400, "stop"),
        (json!({ "seed": 1e40 }), 400, "seed"),
        (json!({ "logit_bias": { "x": 1 } }), 400, "logit_bias"),
        (
            json!({ "logit_bias": { "99999999": 1 } }),
            400,
            "logit_bias",
        ),
        (json!({ "logit_bias": { "5": 101 } }), 400, "logit_bias"),
        (json!({ "top_logprobs": 3 }), 400, "top_logprobs"),
        (
            json!({ "logprobs": true, "top_logprobs": 21 }),
            400,
            "logprobs",
        ),
        (json!({ "presence_penalty": 3 }), 400, "presence_penalty"),
        (json!({ "stream_options": {} }), 400, "stream_options"),
        (json!({ "best_of": 2 }), 400, "best_of"),
        (json!({ "nonsense": null }), 400, "nonsense"),
        (json!({ "store": true }), 400, "store"),
        (json!({ "audio": { "voice": "x" } }), 400, "audio"),
        (
            json!({ "modalities": ["text", "audio"] }),
            400,
            "modalities",
        ),
        (json!({ "functions": [{}] }), 400, "functions"),
        (
            json!({ "reasoning_effort": "high" }),
            400,
            "reasoning_effort",
        ),
        (
            json!({ "chat_template_kwargs": { "messages": [] } }),
            400,
            "chat_template_kwargs",
        ),
        (
            json!({ "response_format": { "type": "xml" } }),
            400,
            "response_format",
        ),
        (
            json!({ "structured_outputs": {} }),
            400,
            "structured_outputs",
        ),
        (
            json!({ "structured_outputs": { "regex": "a", "grammar": "b" } }),
            400,
            "structured_outputs",
        ),
    ] {
        let response = server.post(CHAT, &question("Hi", more.clone()));
        assert_eq!(response.status, status, "{more}: {}", response.body);
        let error = response.fails(status, "");
        let found = error["param"].as_str().unwrap_or_default();
        assert!(found.starts_with(param), "{more}: {error}");
    }
    for constraint in [
        json!({ "regex": "(" }),
        json!({ "grammar": "start: nothing" }),
        json!({ "json": { "type": "nonsense" } }),
    ] {
        let more = json!({ "structured_outputs": constraint });
        server
            .post(CHAT, &question("Hi", more))
            .fails(400, "constraint");
    }
    // After all that it still answers.
    server.ok(CHAT, &question("Hi", json!({ "max_tokens": 2 })));
}
