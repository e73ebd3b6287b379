//! Two hundred schemas of `JSONSchemaBench`, chosen by the hash of their names: each answer of the
//! real `smollm2:135m` that comes to its end is an instance of its schema, and schemas that cannot be
//! kept to are refused before anything is generated. `tests/reference/schema_sample.py` writes the
//! sample.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::time::Instant;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use terang_engine::{
    Constraint, Engine, EngineOptions, Error, FinishReason, Limits, Prompt, Request,
};
use terang_model::template::ChatInput;

use crate::real_model::model;
use crate::support::collect;

const SAMPLE: &[u8] = include_bytes!("../../../../tests/fixtures/schemas/sample.jsonl.gz");
const SCHEMAS: usize = 200;
const ANSWER_TOKENS: usize = 250;
/// How many of the sample are taken at least, and how many of a hundred answers come to their end.
const TAKEN_MIN: usize = 170;
const ENDED_MIN_PERCENT: usize = 88;

fn sample() -> Vec<(String, Value)> {
    let mut lines = String::new();
    GzDecoder::new(SAMPLE).read_to_string(&mut lines).unwrap();
    let entry = |line| {
        let mut entry: Value = serde_json::from_str(line).unwrap();
        let name = entry["name"].as_str().unwrap().to_string();
        (name, entry["schema"].take())
    };
    let sample: Vec<_> = lines.lines().map(entry).collect();
    assert_eq!(sample.len(), SCHEMAS);
    sample
}

/// Tokens that end something in JSON are made likelier: a model this small would fill its lists and
/// texts up to the limit, and answers that do not end prove little.
fn towards_the_end(engine: &Engine) -> Vec<(u32, f32)> {
    let tokenizer = engine.text().tokenizer();
    let closes = |id: &u32| {
        let bytes = tokenizer.token_bytes(*id).unwrap_or_default();
        !bytes.is_empty() && bytes.iter().all(|byte| b"\"]}".contains(byte))
    };
    let ids = (0..engine.vocab_size() as u32).filter(closes);
    ids.map(|id| (id, 6.0)).collect()
}

fn request(schema: &Value, seed: u64, logit_bias: &[(u32, f32)]) -> Request {
    let question = "Give a short example.";
    let conversation = ChatInput {
        messages: vec![json!({ "role": "user", "content": question })],
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    let mut request = Request::new(Prompt::Chat(conversation));
    request.sampling.seed = Some(seed);
    request.sampling.temperature = 1.0;
    request.sampling.logit_bias = logit_bias.to_vec();
    request.max_tokens = Some(ANSWER_TOKENS);
    request.constraint = Some(Constraint::JsonSchema(schema.clone()));
    request
}

/// What is wrong with an answer that came to its end.
fn fault(schema: &Value, text: &str) -> Option<String> {
    let instance: Value = match serde_json::from_str(text) {
        Ok(instance) => instance,
        Err(error) => return Some(format!("{error}: {text}")),
    };
    let options = jsonschema::options().should_validate_formats(true);
    let validator = options.build(schema).unwrap();
    let error = validator.validate(&instance).err()?;
    Some(format!("{error}: {instance}"))
}

#[test]
fn answers_to_a_public_sample_of_schemas_are_instances_of_them() {
    let Some(path) = model() else { return };
    let options = EngineOptions {
        context_len: Some(512),
        cache_len: Some(64 * 512),
        limits: Limits {
            max_sequences: 64,
            queue_len: SCHEMAS,
            ..Limits::default()
        },
        ..EngineOptions::default()
    };
    let engine = Engine::open(&path, &options, |_| ()).unwrap();
    let bias = towards_the_end(&engine);
    let begun = Instant::now();
    let sample = sample();
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut running = Vec::new();
    for ((name, schema), seed) in sample.iter().zip(0..) {
        match engine.submit(request(schema, seed, &bias)) {
            Ok(generation) => running.push((name, schema, generation)),
            Err(Error::Constraint { reason }) => refused.entry(reason).or_default().push(name),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    let compiled = begun.elapsed();
    let taken = running.len();
    let (mut ended, mut tokens) = (0, 0);
    let mut wrong = String::new();
    for (name, schema, generation) in running {
        let answer = collect(generation).unwrap_or_else(|error| panic!("{name}: {error}"));
        tokens += answer.stats.completion_tokens;
        // Cut by the limit: a beginning, of which no validator can tell.
        if answer.reason == FinishReason::Length {
            continue;
        }
        ended += 1;
        if let Some(fault) = fault(schema, &answer.text) {
            writeln!(wrong, "{name}: {fault}").unwrap();
        }
    }
    // For who changes the compiler: what it takes, and why it refuses what it does not.
    let mut out = std::io::stderr();
    for (reason, names) in &refused {
        writeln!(out, "refused {}: {reason}: {}", names.len(), names[0]).unwrap();
    }
    writeln!(
        out,
        "{taken} of {SCHEMAS} schemas taken, compiled in {compiled:.1?}; {ended} answers ended, \
         {tokens} tokens, {:.1?}",
        begun.elapsed()
    )
    .unwrap();
    assert!(wrong.is_empty(), "{wrong}");
    assert!(taken >= TAKEN_MIN, "{taken} taken");
    assert!(
        ended * 100 >= taken * ENDED_MIN_PERCENT,
        "{ended} of {taken} ended"
    );
}
