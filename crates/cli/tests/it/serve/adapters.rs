//! LoRA adapters over the real model, by name: random ones, since what they say does not matter, only
//! that each request gets its own and the model itself stays as it was.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{CHAT, COMPLETIONS, Response, Server, question, shared, text};
use crate::real::{self, Answer, Real, skipped};
use crate::support::{Outcome, Place};

/// A PEFT folder with random pairs for some projections of every layer of the real model.
fn write_adapter(folder: &Path, seed: u64) {
    const RANK: usize = 8;
    let settings = json!({
        "peft_type": "LORA", "r": RANK, "lora_alpha": 16, "bias": "none", "use_rslora": false,
        "target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM",
    });
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
    let mut state = seed;
    let mut random = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1 << 24) as f32 - 0.5) * 0.16
    };
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    let projections = [
        ("self_attn.q_proj", 576, 576),
        ("self_attn.v_proj", 192, 576),
        ("mlp.down_proj", 576, 1536),
    ];
    for layer in 0..30 {
        for (name, out, width) in projections {
            for (part, shape) in [("lora_A", [RANK, width]), ("lora_B", [out, RANK])] {
                let begin = data.len();
                let values = (0..shape[0] * shape[1]).map(|_| random());
                data.extend(values.flat_map(f32::to_le_bytes));
                header.insert(
                    format!("base_model.model.model.layers.{layer}.{name}.{part}.weight"),
                    json!({ "dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()] }),
                );
            }
        }
    }
    let header = Value::Object(header).to_string();
    let len = (header.len() as u64).to_le_bytes();
    let bytes = [&len, header.as_bytes(), &data].concat();
    std::fs::write(folder.join("adapter_model.safetensors"), bytes).unwrap();
}

/// A place with the adapters `wild` and `odd`, and a folder `broken` that is none.
fn place() -> Place {
    let place = Place::new();
    for (name, seed) in [("wild", 1), ("odd", 2), ("broken", 3)] {
        write_adapter(&place.path(name), seed);
    }
    let weights = place.path("broken").join("adapter_model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    place
}

fn named(place: &Place, name: &str) -> String {
    format!("{name}={}", place.path(name).display())
}

fn serve(real: &Real, arguments: &[&str]) -> Server {
    let mut command = real.terang();
    let always = ["serve", "--model", real::MODEL, "--listen", "127.0.0.1:0"];
    command.args(always).args(arguments);
    let server = Server::of(command);
    server.wait_until_ready();
    server
}

/// A question to the model of this name.
fn to(model: &str, question_text: &str) -> Value {
    question(question_text, json!({ "model": model, "max_tokens": 24 }))
}

/// What `terang chat` is told so that it answers as the server does to [`to`].
const GREEDY: [&str; 7] = [
    "--temperature",
    "0",
    "--seed",
    "7",
    "--max-tokens",
    "24",
    "--json",
];

const QUESTIONS: [&str; 4] = [
    "Name three fruits.",
    "Why is the sky blue?",
    "Name three fruits, and say which of them is the sweetest.",
    "Write a line about rain.",
];

#[test]
fn those_who_ask_at_once_get_the_answers_of_their_own_adapter() {
    let Some(plain) = shared() else { return };
    let Some(real) = real::model() else { return };
    let place = place();
    let arguments = [
        "--adapter",
        &named(&place, "wild"),
        "--adapter",
        &named(&place, "odd"),
    ];
    let server = serve(real, &arguments);
    let models = [real::MODEL, "wild", "odd"];
    let asked: Vec<(&str, &str)> = models
        .iter()
        .flat_map(|model| QUESTIONS.map(|question| (*model, question)))
        .collect();
    let answers = |rounds: usize| -> Vec<(usize, String)> {
        std::thread::scope(|scope| {
            let (server, asked) = (&server, &asked);
            let threads: Vec<_> = (0..rounds * asked.len())
                .map(|i| {
                    scope.spawn(move || {
                        let (model, question) = asked[i % asked.len()];
                        let answer = server.ok(CHAT, &to(model, question));
                        assert_eq!(answer["model"], model);
                        (i % asked.len(), text(&answer).to_owned())
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    };
    let mut alone = Vec::new();
    for (model, question) in &asked {
        alone.push(text(&server.ok(CHAT, &to(model, question))).to_owned());
    }
    // The model itself says what it says in a server that has no adapters.
    for (index, question) in QUESTIONS.iter().enumerate() {
        let wanted = plain.ok(CHAT, &to(real::MODEL, question));
        assert_eq!(alone[index], text(&wanted), "{question}");
    }
    let distinct: std::collections::BTreeSet<_> = alone.iter().collect();
    assert_eq!(distinct.len(), alone.len(), "{alone:?}");
    for (index, answer) in answers(2) {
        assert_eq!(answer, alone[index], "{:?}", asked[index]);
    }
    // By command line and by server it is the same adapter.
    let said = Answer::of(real.chat(&GREEDY).args([
        "--adapter",
        &place.path("wild").display().to_string(),
        QUESTIONS[0],
    ]));
    assert_eq!(said.text(), alone[QUESTIONS.len()]);
    for level in real.levels() {
        let mut command = real.chat(&GREEDY);
        command
            .args(["--threads", "1", "--adapter"])
            .arg(place.path("wild"));
        let again = Answer::of(command.arg(QUESTIONS[0]).env("TERANG_CPU", &level));
        assert_eq!(again.without_timings(), said.without_timings(), "{level}");
    }
}

#[test]
fn adapters_are_listed_with_their_model_and_served_by_every_route() {
    let Some(real) = real::model() else { return };
    let place = place();
    let server = serve(real, &["--adapter", &named(&place, "wild")]);
    let list = server.get("/v1/models").json();
    let list = list["data"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    let shown = |model: &Value| [&model["id"], &model["root"], &model["parent"]].map(Value::clone);
    assert_eq!(
        shown(&list[0]),
        [real::MODEL.into(), real::MODEL.into(), Value::Null]
    );
    let adapter = ["wild", real::MODEL, real::MODEL].map(Value::from);
    assert_eq!(shown(&list[1]), adapter);
    assert_eq!(list[1]["loaded"], true);
    assert_eq!(list[1]["max_model_len"], list[0]["max_model_len"]);
    assert_eq!(shown(&server.get("/v1/models/wild").json()), adapter);
    let differs = |path: &str, body: &Value, part: &str| {
        let of = |model: &str| {
            let mut body = body.clone();
            body["model"] = model.into();
            let answer = server.ok(path, &body);
            assert_eq!(answer["model"], model, "{path}");
            answer
                .pointer(part)
                .unwrap_or_else(|| panic!("{answer:#}"))
                .clone()
        };
        assert_ne!(of("wild"), of(real::MODEL), "{path}");
        assert_eq!(of("wild"), of("wild"), "{path}");
    };
    let ask = json!([{ "role": "user", "content": QUESTIONS[0] }]);
    let text = json!({ "prompt": QUESTIONS[0], "max_tokens": 32, "temperature": 0 });
    differs(COMPLETIONS, &text, "/choices/0/text");
    differs(
        "/v1/embeddings",
        &json!({ "input": "rain" }),
        "/data/0/embedding",
    );
    let order = json!({ "input": QUESTIONS[0], "max_output_tokens": 32, "temperature": 0 });
    differs("/v1/responses", &order, "/output/0/content/0/text");
    let message = json!({ "messages": ask, "max_tokens": 32, "temperature": 0 });
    differs("/v1/messages", &message, "/content/0/text");
    let events = server.stream(CHAT, &to("wild", QUESTIONS[0]));
    assert!(events.iter().all(|event| event["model"] == "wild"));
    // A few guessed and many answers go through it too.
    let several = server.ok(
        CHAT,
        &question(QUESTIONS[0], json!({ "model": "wild", "n": 3 })),
    );
    let texts: Vec<&Value> = several["choices"].as_array().unwrap().iter().collect();
    assert!(
        texts
            .iter()
            .all(|choice| choice["message"] == texts[0]["message"])
    );
    let figures = server.get("/metrics").body;
    assert!(figures.contains("model=\"wild\""), "{figures}");
    assert_eq!(
        figures.matches("terang_cache_pages{").count(),
        1,
        "one engine: {figures}"
    );
    server
        .post(CHAT, &to("tame", "Hi"))
        .fails(404, "served are smollm2:135m, wild");
}

#[test]
fn a_broken_adapter_leaves_its_model_to_others() {
    let Some(real) = real::model() else { return };
    let place = place();
    let settings = format!(
        "adapters = [\"{}\", \"{}@smollm2\"]\n",
        named(&place, "broken"),
        named(&place, "wild")
    );
    let file = place.path("terang.toml");
    std::fs::write(&file, settings).unwrap();
    let server = serve(real, &["--config", &file.display().to_string()]);
    server.ok(CHAT, &to(real::MODEL, "Hi"));
    server.ok(CHAT, &to("wild", "Hi"));
    let error = server
        .post(CHAT, &to("broken", "Hi"))
        .fails(503, "model broken cannot be loaded");
    assert!(!error.to_string().contains("safetensors"));
    assert!(
        server.log().contains("adapter_model.safetensors"),
        "{}",
        server.log()
    );
    let list = server.get("/v1/models").json();
    let loaded = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["loaded"]);
    assert_eq!(loaded.collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn an_adapter_goes_with_the_model_that_it_is_bound_to() {
    let Some(real) = real::model() else { return };
    let place = place();
    let other = format!("other={}", real.file().display());
    let bound = format!("{}@other", named(&place, "wild"));
    // There is room for one model at a time: the adapter's goes and comes with it.
    let arguments = [
        "--model",
        &other,
        "--adapter",
        &bound,
        "--set",
        "memory_limit_bytes=120000000",
    ];
    let server = serve(real, &arguments);
    let loaded = || {
        let list = server.get("/v1/models").json();
        let list = list["data"].as_array().unwrap().iter();
        list.map(|model| model["loaded"] == true)
            .collect::<Vec<_>>()
    };
    assert_eq!(loaded(), [true, false, false]);
    let first = text(&server.ok(CHAT, &to("wild", QUESTIONS[0]))).to_owned();
    assert_eq!(loaded(), [false, true, true]);
    server.ok(CHAT, &to(real::MODEL, QUESTIONS[0]));
    assert_eq!(loaded(), [true, false, false]);
    assert_eq!(text(&server.ok(CHAT, &to("wild", QUESTIONS[0]))), first);
}

#[test]
fn doctor_sees_whether_adapters_fit() {
    let Some(real) = real::model() else { return };
    let place = place();
    let doctor = |adapters: &[&str]| -> Outcome {
        let mut command = real.terang();
        command.args(["doctor", "--listen", "127.0.0.1:0", "--model", real::MODEL]);
        for adapter in adapters {
            command.args(["--adapter", adapter]);
        }
        command.output().unwrap().into()
    };
    let (wild, broken) = (named(&place, "wild"), named(&place, "broken"));
    let well = doctor(&[&wild]);
    let line = "fits model smollm2:135m";
    assert!(well.succeeds().stdout.contains(line), "{}", well.stdout);
    let wrong = doctor(&[&wild, &broken, "lost=/nowhere"]);
    assert_eq!(wrong.code, Some(1));
    for part in [
        line,
        "adapter_model.safetensors",
        "make broken anew",
        "/nowhere: no such",
    ] {
        assert!(wrong.stdout.contains(part), "{part}: {}", wrong.stdout);
    }
}

fn refused(real: &Real, arguments: &[&str]) -> Outcome {
    let mut command = real.terang();
    command.args(arguments);
    command.output().unwrap().into()
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    let Some(real) = real::model() else { return };
    let place = place();
    let serve = |arguments: &[&str]| {
        let always = ["serve", "--listen", "127.0.0.1:0", "--model", real::MODEL];
        refused(real, &[&always, arguments].concat())
    };
    serve(&["--adapter", "wild"]).fails(1, "NAME=PATH");
    serve(&["--adapter", "wild=/nowhere"]).fails(1, "/nowhere: no such adapter file or folder");
    let empty = format!("wild={}", place.path("").display());
    serve(&["--adapter", &empty]).fails(1, "adapter_config.json");
    let wild = named(&place, "wild");
    let other = format!("other={}", real.file().display());
    serve(&["--model", &other, "--adapter", &wild])
        .fails(1, "add @ and one of smollm2:135m, other");
    serve(&["--adapter", &wild, "--adapter", &wild]).fails(1, "wild is named twice");
    let taken = wild.replacen("wild", "smollm2", 1);
    serve(&["--adapter", &taken]).fails(1, "smollm2 is named twice");
    let indonesian = ["--lang", "id", "chat", "--adapter", "/nowhere", "Hai"];
    refused(real, &indonesian).fails(1, "berkas atau folder adaptor tidak ada");
    let broken: PathBuf = place.path("broken");
    let outcome: Outcome = real
        .chat(&["Hi", "--adapter"])
        .arg(broken)
        .output()
        .unwrap()
        .into();
    outcome.fails(1, "adapter_model.safetensors");
    let reference = real::repository("tests/fixtures/adapters/llama");
    if !reference.exists() {
        skipped("the reference adapters are not here");
        return;
    }
    let outcome: Outcome = real
        .chat(&["Hi", "--adapter"])
        .arg(reference)
        .output()
        .unwrap()
        .into();
    outcome.fails(1, "as the model has it");
}

#[test]
fn a_question_to_an_adapter_counts_for_it() {
    let Some(real) = real::model() else { return };
    let place = place();
    let server = serve(real, &["--adapter", &named(&place, "wild")]);
    let used = |answer: Value| answer["usage"]["prompt_tokens"].as_u64().unwrap();
    let model = used(server.ok(CHAT, &to(real::MODEL, "Hi")));
    assert_eq!(used(server.ok(CHAT, &to("wild", "Hi"))), model);
    let cached = |answer: Value| answer["usage"]["prompt_tokens_details"]["cached_tokens"].clone();
    let long = "word ".repeat(100);
    for (name, wanted) in [(real::MODEL, false), ("wild", false), ("wild", true)] {
        let found = cached(server.ok(CHAT, &to(name, &long))).as_u64().unwrap();
        assert_eq!(
            found >= 64,
            wanted,
            "{name}: {found} of the prompt are known"
        );
    }
    let gone: Response = server.post("/tokenize", &json!({ "model": "wild", "prompt": "Hi" }));
    assert_eq!(gone.status, 200, "{}", gone.body);
}
