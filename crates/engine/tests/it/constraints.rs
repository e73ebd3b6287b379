//! Constraints on a tiny random model, which without them says noise: whatever it would rather say,
//! its answers hold to them, and nothing of the way they are run shows.

use serde_json::{Value, json};
use terang_engine::runner::DecoderRunner;
use terang_engine::{
    Constraint, Engine, Error, Event, FinishReason, Limits, Prompt, Request, Speculation,
};
use terang_kernels::Cpu;

use crate::decoder::{CONTEXT, decoder};
use crate::support::{Answer, END, Script, collect, text};

fn engine(prefill_chunk: usize, speculation: Speculation) -> Engine {
    let limits = Limits {
        prefill_chunk,
        speculation,
        max_sequences: 16,
        ..Limits::default()
    };
    let runner = DecoderRunner::new(decoder(Cpu::best(), 2), CONTEXT, 8 * CONTEXT).unwrap();
    Engine::start(runner, text(), limits).unwrap()
}

fn request(constraint: Constraint, seed: u64) -> Request {
    let mut request = Request::new(Prompt::Tokens((0..20).map(|i| i * 7 % 250).collect()));
    request.sampling.temperature = 1.0;
    request.sampling.top_p = 1.0;
    request.sampling.seed = Some(seed);
    request.constraint = Some(constraint);
    request
}

fn ask(engine: &Engine, constraint: Constraint, seed: u64) -> Answer {
    collect(engine.submit(request(constraint, seed)).unwrap()).unwrap()
}

/// Whose every instance is short.
fn schemas() -> Vec<Value> {
    vec![
        json!({ "type": "boolean" }),
        json!({ "enum": ["red", "green", 3, null] }),
        json!({ "type": "integer", "minimum": -5, "maximum": 120 }),
        json!({ "type": "string", "maxLength": 8 }),
        json!({ "type": "array", "items": { "type": "boolean" }, "minItems": 1, "maxItems": 3 }),
        json!({
            "type": "object",
            "properties": {
                "name": { "type": "string", "maxLength": 6 },
                "ok": { "type": "boolean" },
                "kind": { "$ref": "#/$defs/kind" },
            },
            "required": ["name", "kind"],
            "additionalProperties": false,
            "$defs": { "kind": { "enum": ["a", "b"] } },
        }),
        json!({ "anyOf": [{ "const": 1 }, { "type": "string", "pattern": "^[a-c]{2,4}$" }] }),
    ]
}

#[test]
fn every_answer_is_an_instance_of_its_schema() {
    let engine = engine(64, Speculation::Auto);
    for schema in schemas() {
        let validator = jsonschema::validator_for(&schema).unwrap();
        for seed in 0..6 {
            let answer = ask(&engine, Constraint::JsonSchema(schema.clone()), seed);
            assert_eq!(
                answer.reason,
                FinishReason::Stop,
                "{schema}: {}",
                answer.text
            );
            let instance: Value = serde_json::from_str(&answer.text).unwrap();
            assert!(validator.is_valid(&instance), "{schema}: {instance}");
        }
    }
}

#[test]
fn an_object_is_one_as_far_as_it_goes() {
    let engine = engine(64, Speculation::Auto);
    for seed in 0..6 {
        let answer = ask(&engine, Constraint::JsonObject, seed);
        if answer.reason == FinishReason::Stop {
            assert!(answer.text.trim_end().ends_with('}'));
            continue;
        }
        // Cut by the context: what is missing is only an end.
        let error = serde_json::from_str::<Value>(&answer.text).unwrap_err();
        // JSON's grammar allows numbers that no double holds.
        let large = error.to_string().starts_with("number out of range");
        let cut = large || answer.text.ends_with('\u{FFFD}') || error.is_eof();
        assert!(cut, "{error}: {}", answer.text);
    }
}

#[test]
fn regular_expressions_match_as_a_whole() {
    let engine = engine(64, Speculation::Auto);
    for seed in 0..10 {
        let regex = Constraint::Regex("[0-9]{3}-(yes|no)( ok)?".into());
        let answer = ask(&engine, regex, seed);
        assert_eq!(answer.reason, FinishReason::Stop);
        let rest = answer.text.trim_start_matches(|c: char| c.is_ascii_digit());
        assert_eq!(answer.text.len() - rest.len(), 3, "{}", answer.text);
        assert!(
            ["-yes", "-no", "-yes ok", "-no ok"].contains(&rest),
            "{}",
            answer.text
        );
    }
}

#[test]
fn grammars_may_mix_text_json_and_control_tokens() {
    let engine = engine(64, Speculation::Auto);
    let grammar = r#"start: "say " (word | call)
word: /[a-z]{1,4}/ "!"
call: "<call>" %json { "enum": [1, 2, 3] } "</call>" <|/s|>?"#;
    let refused = engine.submit(request(Constraint::Lark(grammar.into()), 0));
    // There is no such control token.
    assert!(
        matches!(refused, Err(Error::Constraint { .. })),
        "{refused:?}"
    );
    let grammar = grammar.replace(" <|/s|>?", "");
    for seed in 0..8 {
        let answer = ask(&engine, Constraint::Lark(grammar.clone()), seed);
        assert_eq!(answer.reason, FinishReason::Stop);
        let rest = answer.text.strip_prefix("say ").unwrap();
        let word = rest.strip_suffix('!').is_some_and(|word| {
            (1..=4).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase())
        });
        let call = ["1", "2", "3"].map(|n| format!("<call>{n}</call>"));
        assert!(word || call.iter().any(|c| c == rest), "{}", answer.text);
    }
}

#[test]
fn the_turn_may_end_only_where_the_answer_is_complete() {
    // A model that wants to end its turn at once, and after that wants to say anything but that.
    let engine = Engine::start(Script::new(5, ""), text(), Limits::default()).unwrap();
    let mut asked = Request::new(Prompt::Text("Hello".into()));
    asked.sampling.temperature = 0.0;
    asked.constraint = Some(Constraint::Regex("ab+".into()));
    asked.max_tokens = Some(9);
    let answer = collect(engine.submit(asked.clone()).unwrap()).unwrap();
    // The end was ruled out where it was wanted; later it was allowed, but not the likeliest.
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("abbbbbbbb", FinishReason::Length)
    );
    let wants_the_end = Script {
        tokens: vec![END; 100],
        ..Script::new(5, "")
    };
    let engine = Engine::start(wants_the_end, text(), Limits::default()).unwrap();
    let answer = collect(engine.submit(asked.clone()).unwrap()).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("ab", FinishReason::Stop)
    );
    asked.min_tokens = 4;
    let answer = collect(engine.submit(asked.clone()).unwrap()).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("abbb", FinishReason::Stop)
    );
    // Nothing more to say comes before the fewest tokens, and before a missing end token.
    asked.constraint = Some(Constraint::Regex("ab".into()));
    asked.ignore_eos = true;
    let answer = collect(engine.submit(asked).unwrap()).unwrap();
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("ab", FinishReason::Stop)
    );
}

fn tokens(events: impl Iterator<Item = Event>) -> Vec<u32> {
    events
        .filter_map(|event| match event {
            Event::Token { id, .. } => Some(id),
            Event::Failed { message } => panic!("{message}"),
            _ => None,
        })
        .collect()
}

#[test]
fn nothing_of_the_way_shows_under_a_constraint() {
    let constraints = || {
        let schemas = schemas().into_iter().map(Constraint::JsonSchema);
        // Repeats itself, so that guesses are made.
        schemas.chain([
            Constraint::Regex("(abcabc[a-c]){1,9}d".into()),
            Constraint::JsonObject,
        ])
    };
    let alone = engine(1000, Speculation::Off);
    let wanted: Vec<_> = constraints()
        .zip(0..)
        .map(|(it, seed)| tokens(alone.submit(request(it, seed)).unwrap()))
        .collect();
    for (prefill_chunk, speculation) in [(7, Speculation::Fixed(6)), (64, Speculation::Auto)] {
        let engine = engine(prefill_chunk, speculation);
        let together: Vec<_> = constraints()
            .zip(0..)
            .map(|(it, seed)| engine.submit(request(it, seed)).unwrap())
            .collect();
        let found: Vec<_> = together.into_iter().map(tokens).collect();
        assert_eq!(found, wanted);
    }
}

#[test]
fn what_a_constraint_forces_is_evaluated_together() {
    let schema = json!({
        "type": "object",
        "properties": { "a key that is long": { "const": "and what must stand there" } },
        "required": ["a key that is long"],
        "additionalProperties": false,
    });
    let plain = ask(
        &engine(64, Speculation::Off),
        Constraint::JsonSchema(schema.clone()),
        1,
    );
    let quick = ask(
        &engine(64, Speculation::Auto),
        Constraint::JsonSchema(schema),
        1,
    );
    assert_eq!(quick.text, plain.text);
    assert_eq!(plain.stats.drafted_tokens, 0);
    assert!(
        quick.stats.accepted_tokens * 2 > quick.stats.completion_tokens,
        "{:?}",
        quick.stats
    );
}

#[test]
fn several_answers_under_one_constraint_are_those_of_their_seeds() {
    let constraint = || Constraint::JsonSchema(schemas().remove(5));
    let engine = engine(64, Speculation::Auto);
    let wanted: Vec<_> = (5..9)
        .map(|seed| ask(&engine, constraint(), seed).text)
        .collect();
    let (sender, receiver) = std::sync::mpsc::channel();
    let tell = move |index, event| sender.send((index, event)).unwrap();
    engine.submit_n(request(constraint(), 5), 4, tell).unwrap();
    let mut found = vec![String::new(); 4];
    for (index, event) in receiver {
        if let Event::Token { text, .. } | Event::Finished { text, .. } = event {
            found[index].push_str(&text);
        }
    }
    assert_eq!(found, wanted);
}

#[test]
fn hostile_constraints_are_refused_quickly() {
    let engine = engine(64, Speculation::Auto);
    // Builds the vocabulary's trie, which is no part of what is measured.
    ask(&engine, Constraint::JsonSchema(json!({ "const": 1 })), 0);
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}{}", open.repeat(count), close.repeat(count))
    };
    let deep = (0..500).fold(json!({}), |inner, _| json!({ "items": inner }));
    let wide: Vec<String> = (0..20_000).map(|i| format!("value {i}")).collect();
    let alternatives = vec![
        json!({ "type": "object", "properties": {
        "a": { "type": "string", "pattern": "(x+x+)+y" } } });
        3_000
    ];
    let hostile = [
        Constraint::Regex("(".into()),
        Constraint::Regex("a{1,1000000}".into()),
        Constraint::Regex("((a{1,300}){1,300}){1,300}".into()),
        Constraint::Regex(format!("({})", ".*a|".repeat(3_000))),
        Constraint::Regex("(?=a)b".into()),
        Constraint::Regex(nested("(", ")", 100_000)),
        Constraint::Regex("x".repeat(1 << 20)),
        Constraint::Lark("start: nothing".into()),
        Constraint::Lark(format!("start: {}", nested("(", ")", 100_000))),
        Constraint::Lark("start: start start | start".into()),
        Constraint::JsonSchema(json!({ "type": "oject" })),
        Constraint::JsonSchema(json!({ "$ref": "https://example.org/schema.json" })),
        Constraint::JsonSchema(json!({ "$ref": "#/nowhere" })),
        Constraint::JsonSchema(json!({ "allOf": [{ "type": "string" }, { "type": "null" }] })),
        Constraint::JsonSchema(json!("not a schema")),
        Constraint::JsonSchema(deep),
        Constraint::JsonSchema(json!({ "enum": wide })),
        Constraint::JsonSchema(json!({ "anyOf": alternatives })),
        Constraint::JsonSchema(json!({ "type": "string", "pattern": "^(a|aa)+{50,5000}$" })),
        Constraint::JsonSchema(json!({ "type": "array", "minItems": 1_000_000_000 })),
        Constraint::JsonSchema(json!({ "type": "string", "minLength": 1_000_000_000 })),
    ];
    for constraint in hostile {
        let begun = std::time::Instant::now();
        let shown: String = format!("{constraint:?}").chars().take(80).collect();
        let mut asked = request(constraint, 1);
        asked.max_tokens = Some(4);
        // What is not refused must at least run within bounds.
        match engine.submit(asked) {
            Err(Error::Constraint { reason }) => assert!(reason.len() < 2000, "{reason}"),
            Err(Error::Invalid { field, .. }) => assert_eq!(field, "constraint"),
            Err(error) => panic!("{shown}: {error}"),
            Ok(generation) => assert!(generation.last().is_some_and(|event| event.is_end())),
        }
        let took = begun.elapsed();
        assert!(took.as_secs_f64() < 5.0, "{shown}: {took:?}");
    }
    // And the engine is as it was.
    let answer = ask(&engine, Constraint::JsonSchema(json!({ "const": 1 })), 0);
    assert_eq!(answer.text, "1");
}
