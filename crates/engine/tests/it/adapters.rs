//! Adapters by name, with the real decoder and a tiny random model: a request's answer is that of its
//! adapter, whoever runs beside it and whatever the cache holds.

use std::path::Path;

use serde_json::json;
use terang_engine::runner::{DecoderRunner, Runner};
use terang_engine::{
    EmbedOptions, Engine, Event, Generation, Limits, Prompt, Request, Sampling, Speculation,
};
use terang_kernels::Cpu;

use crate::decoder::{CONTEXT, decoder};
use crate::support::{Script, text};

/// A PEFT folder with random pairs for queries and the way down of both layers.
fn write_adapter(folder: &Path, seed: u64) {
    let settings = json!({
        "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"],
    });
    std::fs::write(folder.join("adapter_config.json"), settings.to_string()).unwrap();
    let mut state = seed;
    let mut random = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for layer in 0..2 {
        for (name, out, width) in [("self_attn.q_proj", 64, 64), ("mlp.down_proj", 64, 96)] {
            for (part, shape) in [("lora_A", [4, width]), ("lora_B", [out, 4])] {
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
    let header = serde_json::Value::Object(header).to_string();
    let len = (header.len() as u64).to_le_bytes();
    let bytes = [&len, header.as_bytes(), &data].concat();
    std::fs::write(folder.join("adapter_model.safetensors"), bytes).unwrap();
}

/// An engine with the adapters `one` and `two`.
fn engine_with(limits: Limits, cache_len: usize, draft: bool) -> Engine {
    let runner =
        |cache_len| DecoderRunner::new(decoder(Cpu::best(), 2), CONTEXT, cache_len).unwrap();
    let draft = draft.then(|| Box::new(runner(CONTEXT)) as Box<dyn Runner>);
    let engine = Engine::start_with_draft(runner(cache_len), draft, text(), limits).unwrap();
    for (name, seed) in [("one", 1), ("two", 2)] {
        let folder = tempfile::tempdir().unwrap();
        write_adapter(folder.path(), seed);
        engine.add_adapter(name, folder.path()).unwrap();
    }
    engine
}

fn engine() -> Engine {
    engine_with(Limits::default(), 16 * CONTEXT, false)
}

const WHO: [Option<&str>; 3] = [None, Some("one"), Some("two")];

fn request(adapter: Option<&str>, prompt: &[u32]) -> Request {
    Request {
        adapter: adapter.map(str::to_owned),
        sampling: Sampling {
            temperature: 1.0,
            seed: Some(5),
            ..Sampling::default()
        },
        max_tokens: Some(30),
        ..Request::new(Prompt::Tokens(prompt.to_vec()))
    }
}

/// The tokens, and how many of the prompt's were in the cache.
fn read(generation: Generation) -> (Vec<u32>, usize) {
    let (mut ids, mut cached) = (Vec::new(), 0);
    for event in generation {
        match event {
            Event::Token { id, .. } => ids.push(id),
            Event::Finished { stats, .. } => cached = stats.cached_tokens,
            Event::Failed { message } => panic!("{message}"),
            _ => {}
        }
    }
    (ids, cached)
}

fn answer(engine: &Engine, adapter: Option<&str>, prompt: &[u32]) -> (Vec<u32>, usize) {
    read(engine.submit(request(adapter, prompt)).unwrap())
}

fn prompt() -> Vec<u32> {
    (0..150_u32).map(|i| (i * i * 31 + 7) % 256).collect()
}

/// What each of [`WHO`] answers in an engine of its own.
fn alone() -> Vec<Vec<u32>> {
    let answers = WHO.map(|adapter| answer(&engine(), adapter, &prompt()).0);
    assert!(answers[0] != answers[1] && answers[1] != answers[2] && answers[0] != answers[2]);
    answers.to_vec()
}

#[test]
fn an_adapter_has_a_cache_of_its_own() {
    let wanted = alone();
    let engine = engine();
    for round in 0..3 {
        for (adapter, wanted) in WHO.into_iter().zip(&wanted) {
            let (found, cached) = answer(&engine, adapter, &prompt());
            assert_eq!(found, *wanted, "{adapter:?} in round {round}");
            assert_eq!(
                cached > 0,
                round > 0,
                "{adapter:?} in round {round}: {cached}"
            );
        }
    }
    // The same files again are another adapter.
    let folder = tempfile::tempdir().unwrap();
    write_adapter(folder.path(), 1);
    engine.add_adapter("two", folder.path()).unwrap();
    assert_eq!(
        answer(&engine, Some("two"), &prompt()),
        (wanted[1].clone(), 0)
    );
}

#[test]
fn those_that_run_together_answer_as_alone() {
    let wanted = alone();
    // The second has too few pages for all at once: some are put back and come again.
    for cache_len in [16 * CONTEXT, CONTEXT + 200] {
        let engine = engine_with(Limits::default(), cache_len, false);
        let generations: Vec<_> = (0..9)
            .map(|i| {
                (
                    i % 3,
                    engine.submit(request(WHO[i % 3], &prompt())).unwrap(),
                )
            })
            .collect();
        for (who, generation) in generations {
            assert_eq!(read(generation).0, wanted[who], "{:?}", WHO[who]);
        }
    }
}

#[test]
fn guesses_do_not_show() {
    let wanted = alone();
    for draft in [false, true] {
        let limits = Limits {
            speculation: Speculation::Fixed(3),
            ..Limits::default()
        };
        let engine = engine_with(limits, 16 * CONTEXT, draft);
        for (adapter, wanted) in WHO.into_iter().zip(&wanted) {
            let found = answer(&engine, adapter, &prompt()).0;
            assert_eq!(found, *wanted, "{adapter:?}, a smaller model: {draft}");
        }
        if draft {
            assert!(engine.load().drafted_tokens > 0);
        }
    }
}

#[test]
fn several_answers_to_one_prompt_go_through_it() {
    let engine = engine();
    let (events, answers) = std::sync::mpsc::channel();
    let send = move |index, event| drop(events.send((index, event)));
    engine
        .submit_n(request(Some("one"), &prompt()), 3, send)
        .unwrap();
    let mut found = vec![Vec::new(); 3];
    for (index, event) in answers {
        if let Event::Token { id, .. } = event {
            found[index].push(id);
        }
    }
    for (index, found) in found.into_iter().enumerate() {
        let mut request = request(Some("one"), &prompt());
        request.sampling.seed = Some(5 + index as u64);
        assert_eq!(
            found,
            read(self::engine().submit(request).unwrap()).0,
            "{index}"
        );
    }
}

#[test]
fn embeddings_go_through_it_too() {
    let engine = engine();
    let embed = |adapter: Option<&str>| {
        let options = EmbedOptions {
            adapter: adapter.map(str::to_owned),
            ..EmbedOptions::default()
        };
        engine.embed_with(vec![prompt()], &options)
    };
    let plain = embed(None).unwrap();
    let adapted = embed(Some("one")).unwrap();
    assert_ne!(plain, adapted);
    assert_eq!(adapted, embed(Some("one")).unwrap());
    assert_eq!(plain, embed(None).unwrap());
    assert!(embed(Some("three")).is_err());
}

#[test]
fn adapters_come_and_go_while_requests_run() {
    let engine = engine();
    assert_eq!(engine.adapters(), ["one", "two"]);
    let wanted = alone();
    let running = engine.submit(request(Some("one"), &prompt())).unwrap();
    assert!(engine.remove_adapter("one") && !engine.remove_adapter("one"));
    assert_eq!(read(running).0, wanted[1]);
    let refused = |adapter: &str| {
        let error = engine
            .submit(request(Some(adapter), &prompt()))
            .unwrap_err();
        error.to_string()
    };
    assert_eq!(refused("one"), "adapter: found one, allowed one of two");
    engine.remove_adapter("two");
    assert_eq!(
        refused("two"),
        "adapter: found two, allowed none, since no adapter is loaded"
    );
    assert_eq!(answer(&engine, None, &prompt()).0, wanted[0]);
}

#[test]
fn what_takes_no_adapters_or_does_not_fit_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_adapter(folder.path(), 1);
    let script = Engine::start(Script::new(3, "yes"), text(), Limits::default()).unwrap();
    let error = script.add_adapter("one", folder.path()).unwrap_err();
    assert_eq!(error.to_string(), "adapters: not available");
    let engine = engine();
    std::fs::write(folder.path().join("adapter_model.safetensors"), "no").unwrap();
    assert!(engine.add_adapter("three", folder.path()).is_err());
    assert_eq!(engine.adapters(), ["one", "two"]);
}
