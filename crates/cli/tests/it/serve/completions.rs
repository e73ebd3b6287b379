//! Text completions, embeddings, tokens and the list of models.

use serde_json::{Value, json};

use super::{COMPLETIONS, shared};
use crate::real;

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
fn body(prompt: &Value, more: Value) -> Value {
    let mut body = json!({
        "model": real::MODEL, "prompt": prompt, "max_tokens": 4, "temperature": 0,
    });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn texts(answer: &Value) -> Vec<String> {
    let choices = answer["choices"].as_array().unwrap().iter();
    choices
        .map(|choice| choice["text"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn several_prompts_and_forms_of_prompts() {
    let Some(server) = shared() else { return };
    let ask = |prompt: Value, more: Value| server.ok(COMPLETIONS, &body(&prompt, more));
    let one = ask(json!("One two three"), json!({}));
    let two = ask(json!(["One two three", "A list of"]), json!({}));
    assert_eq!(texts(&two)[0], texts(&one)[0]);
    assert_eq!(two["choices"][1]["index"], 1);
    let tokens = server.ok("/tokenize", &json!({ "prompt": "One two three" }))["tokens"].clone();
    assert_eq!(texts(&ask(tokens.clone(), json!({}))), texts(&one));
    assert_eq!(texts(&ask(json!([tokens]), json!({}))), texts(&one));
    let several = ask(
        json!(["One", "Two"]),
        json!({ "n": 2, "seed": 1, "temperature": 1 }),
    );
    assert_eq!(texts(&several).len(), 4);
    let echoed = ask(json!("One two three"), json!({ "echo": true }));
    assert_eq!(
        texts(&echoed)[0],
        format!("One two three{}", texts(&one)[0])
    );
    let only = ask(
        json!("One two three"),
        json!({ "echo": true, "max_tokens": 0 }),
    );
    assert_eq!(
        (
            texts(&only)[0].as_str(),
            &only["usage"]["completion_tokens"]
        ),
        ("One two three", &json!(0))
    );
}

#[test]
fn given_text_has_probabilities_that_do_not_depend_on_how_it_is_asked() {
    let Some(server) = shared() else { return };
    let ask = |prompt: Value, more: Value| server.ok(COMPLETIONS, &body(&prompt, more));
    let told = |answer: &Value| answer["choices"][0]["logprobs"].clone();
    let generated = ask(json!("One two three"), json!({ "logprobs": 2 }));
    let text = format!("One two three{}", texts(&generated)[0]);
    let given = told(&ask(
        json!(text),
        json!({ "logprobs": 2, "echo": true, "max_tokens": 0 }),
    ));
    let tokens = given["tokens"].as_array().unwrap();
    assert!(given["token_logprobs"][0].is_null() && given["top_logprobs"][0].is_null());
    assert_eq!(
        tokens.len(),
        given["token_logprobs"].as_array().unwrap().len()
    );
    let joined: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
    assert_eq!(joined, text);
    let offsets = given["text_offset"].as_array().unwrap();
    assert_eq!(offsets[1], tokens[0].as_str().unwrap().len());
    // What was generated has the probabilities that it has as a given text, bit for bit.
    let own = told(&generated);
    let count = own["tokens"].as_array().unwrap().len();
    let from = tokens.len() - count;
    assert_eq!(
        own["token_logprobs"].as_array().unwrap()[..],
        given["token_logprobs"].as_array().unwrap()[from..]
    );
    assert_eq!(
        own["top_logprobs"].as_array().unwrap()[..],
        given["top_logprobs"].as_array().unwrap()[from..]
    );
}

#[test]
fn events_join_to_the_whole() {
    let Some(server) = shared() else { return };
    for more in [
        json!({ "n": 2, "seed": 3, "temperature": 1, "logprobs": 1 }),
        json!({ "echo": true }),
        json!({ "echo": true, "logprobs": 0 }),
    ] {
        let mut wanted = body(&json!(["One two three", "A"]), more);
        let whole = server.ok(COMPLETIONS, &wanted);
        wanted["stream_options"] = json!({ "include_usage": true });
        let events = server.stream(COMPLETIONS, &wanted);
        let mut joined = vec![String::new(); texts(&whole).len()];
        let mut tokens: Vec<Vec<Value>> = vec![Vec::new(); joined.len()];
        for event in &events {
            for choice in event["choices"].as_array().unwrap() {
                let index = choice["index"].as_u64().unwrap() as usize;
                joined[index] += choice["text"].as_str().unwrap();
                let more = choice["logprobs"]["tokens"].as_array();
                tokens[index].extend(more.into_iter().flatten().cloned());
            }
        }
        assert_eq!(joined, texts(&whole));
        for (index, tokens) in tokens.into_iter().enumerate() {
            let all = &whole["choices"][index]["logprobs"]["tokens"];
            assert_eq!(
                json!(tokens),
                if all.is_null() {
                    json!([])
                } else {
                    all.clone()
                }
            );
        }
        let mut usage = events.last().unwrap()["usage"].clone();
        let mut all = whole["usage"].clone();
        // What is in the cache is another matter the second time.
        usage["prompt_tokens_details"].take();
        all["prompt_tokens_details"].take();
        assert_eq!(usage, all);
    }
}

#[test]
fn wrong_completions_are_refused_by_name() {
    let Some(server) = shared() else { return };
    for (prompt, more, param) in [
        (json!("a"), json!({ "best_of": 3 }), "best_of"),
        (json!("a"), json!({ "suffix": "b" }), "suffix"),
        (json!("a"), json!({ "max_tokens": 0 }), "max_tokens"),
        (json!("a"), json!({ "logprobs": 21 }), "logprobs"),
        (json!(""), json!({}), "prompt"),
        (json!([]), json!({}), "prompt"),
        (json!([[]]), json!({}), "prompt"),
        (json!(vec!["a"; 65]), json!({}), "prompt"),
        (json!([4_000_000_000_u32]), json!({}), "prompt"),
        (json!(["a", 1]), json!({}), "prompt"),
        (json!({ "a": 1 }), json!({}), "prompt"),
    ] {
        let response = server.post(COMPLETIONS, &body(&prompt, more));
        let error = response.fails(400, "");
        let found = error["param"].as_str().unwrap_or_default();
        assert!(found.starts_with(param), "{prompt}: {error}");
    }
    let long = "word ".repeat(9000);
    server
        .post(COMPLETIONS, &body(&json!(long), json!({})))
        .fails(400, "holds 8192 tokens");
}

#[test]
fn texts_of_one_meaning_lie_near() {
    let Some(server) = shared() else { return };
    let texts = [
        "The cat sleeps.",
        "A cat is sleeping.",
        "Interest rates rose in March.",
    ];
    let ask = |more: Value| {
        let mut body = json!({ "model": real::MODEL, "input": texts });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        server.ok("/v1/embeddings", &body)
    };
    let answer = ask(json!({}));
    let vectors: Vec<Vec<f64>> = (0..3)
        .map(|index| {
            let vector = answer["data"][index]["embedding"].as_array().unwrap();
            vector.iter().map(|x| x.as_f64().unwrap()).collect()
        })
        .collect();
    let product = |a: usize, b: usize| -> f64 {
        vectors[a].iter().zip(&vectors[b]).map(|(x, y)| x * y).sum()
    };
    assert!((product(0, 0) - 1.0).abs() < 1e-4, "{}", product(0, 0));
    assert!(product(0, 1) > product(0, 2));
    assert!(answer["usage"]["prompt_tokens"].as_u64().unwrap() > 10);
    let packed = ask(json!({ "encoding_format": "base64" }));
    let text = packed["data"][0]["embedding"].as_str().unwrap();
    // Four bytes a number, four letters for three bytes.
    assert_eq!(text.len(), (vectors[0].len() * 4).div_ceil(3) * 4);
    server
        .post(
            "/v1/embeddings",
            &json!({ "model": real::MODEL, "input": "a", "dimensions": 8 }),
        )
        .fails(400, "dimensions");
}

#[test]
fn tokens_go_there_and_back() {
    let Some(server) = shared() else { return };
    let text = "Selamat pagi, dunia! <|im_end|> 🦀";
    let body = json!({ "prompt": text, "return_token_strs": true });
    let cut = server.ok("/tokenize", &body);
    assert_eq!(cut["count"], cut["tokens"].as_array().unwrap().len());
    assert_eq!(cut["count"], cut["token_strs"].as_array().unwrap().len());
    let joined = server.ok("/detokenize", &json!({ "tokens": cut["tokens"] }));
    assert_eq!(joined["prompt"], text);
    server
        .post("/detokenize", &json!({ "tokens": [u32::MAX] }))
        .fails(400, "tokens");
    server
        .post("/tokenize", &json!({ "prompt": 1 }))
        .fails(400, "prompt");
    let info = server.get("/tokenizer_info").json();
    assert_eq!(info["eos_token"], "<|im_end|>");
    let ids = json!({ "tokens": [info["eos_token_id"]] });
    assert_eq!(server.ok("/detokenize", &ids)["prompt"], info["eos_token"]);
    assert!(
        info["chat_template"]
            .as_str()
            .unwrap()
            .contains("<|im_start|>")
    );
    server.get("/tokenizer_info?model=x").fails(404, "model");
    server.get("/tokenizer_info?magic=1").fails(400, "magic");
}

#[test]
fn models_are_listed() {
    let Some(server) = shared() else { return };
    let list = server.get("/v1/models").json();
    assert_eq!(list["data"][0]["id"], real::MODEL);
    assert_eq!(list["data"][0]["max_model_len"], 8192);
    assert_eq!(server.get("/v1/models/smollm2").json()["id"], real::MODEL);
    server
        .get("/v1/models/unknown")
        .fails(404, "is not served here");
}
