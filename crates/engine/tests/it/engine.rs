//! `Engine::submit` and what comes back.

use std::time::{Duration, Instant};

use crate::support::{Answer, CONTEXT, END, Script, collect, text};
use terang_engine::runner::{BlockPool, Chunk, Logits, Runner};
use terang_engine::{Engine, Error, Event, FinishReason, Limits, Prompt, Request};
use terang_model::template::ChatInput;

fn start(script: Script) -> Engine {
    Engine::start(script, text(), Limits::default()).unwrap()
}

fn request(prompt: &str) -> Request {
    Request::new(Prompt::Text(prompt.into()))
}

fn ask(engine: &Engine, change: impl FnOnce(&mut Request)) -> Answer {
    let mut request = request("Hello");
    change(&mut request);
    collect(engine.submit(request).unwrap()).unwrap()
}

#[test]
fn an_answer_ends_with_the_turn() {
    let engine = start(Script::new(5, "Selamat pagi, café 🙂"));
    let answer = ask(&engine, |_| ());
    assert_eq!(answer.text, "Selamat pagi, café 🙂");
    assert_eq!(answer.reason, FinishReason::Stop);
    let length = "Selamat pagi, café 🙂".len() + 1;
    assert_eq!(answer.stats.completion_tokens, length);
    assert_eq!(answer.stats.prompt_tokens, 5);
}

#[test]
fn events_come_in_order_and_report_the_seed() {
    let engine = start(Script::new(5, "ab"));
    let mut asked = request("Hello");
    asked.sampling.seed = Some(7);
    let events: Vec<Event> = engine.submit(asked).unwrap().collect();
    assert_eq!(
        events[..2],
        [
            Event::Started {
                prompt_tokens: 5,
                cached_tokens: 0,
                seed: 7
            },
            Event::Prefill { done: 5, total: 5 },
        ]
    );
    let token = |id: u32, text: &str| Event::Token {
        id,
        logprob: None,
        text: text.into(),
    };
    assert_eq!(
        events[2..5],
        [token(97, "a"), token(98, "b"), token(END, "")]
    );
    assert!(matches!(&events[5..], [Event::Finished { .. }]));
}

#[test]
fn a_drawn_seed_is_reported_and_fits_a_json_number() {
    let engine = start(Script::new(5, "ab"));
    let Some(Event::Started { seed, .. }) = engine.submit(request("Hello")).unwrap().next() else {
        panic!("the first event is the start");
    };
    assert!(seed < 1 << 53);
}

#[test]
fn characters_are_never_broken() {
    let engine = start(Script::new(5, "é"));
    let texts: Vec<String> = engine
        .submit(request("Hello"))
        .unwrap()
        .filter_map(|event| match event {
            Event::Token { text, .. } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(texts, ["", "é", ""]);
}

#[test]
fn a_character_cut_by_the_length_limit_is_replaced() {
    let engine = start(Script::new(5, "aé"));
    let answer = ask(&engine, |request| request.max_tokens = Some(2));
    assert_eq!(answer.text, "a\u{FFFD}");
    assert_eq!(answer.reason, FinishReason::Length);
}

#[test]
fn stop_strings_end_the_answer_before_them() {
    let engine = start(Script::new(5, "one two three"));
    let answer = ask(&engine, |request| request.stop = vec!["tw".into()]);
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("one ", FinishReason::Stop)
    );
    // Held back to the end, then released: it did not come true.
    let answer = ask(&engine, |request| request.stop = vec!["threefold".into()]);
    assert_eq!(answer.text, "one two three");
}

#[test]
fn the_answer_is_bounded_by_max_tokens_and_by_the_context() {
    let engine = start(Script::new(5, &"x".repeat(1000)));
    let answer = ask(&engine, |request| request.max_tokens = Some(3));
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("xxx", FinishReason::Length)
    );
    let answer = ask(&engine, |request| request.max_tokens = Some(usize::MAX));
    assert_eq!(answer.text.len(), CONTEXT - 5);
    assert_eq!(answer.reason, FinishReason::Length);
}

#[test]
fn a_prompt_over_the_context_is_refused_with_both_counts() {
    let engine = start(Script::new(CONTEXT - 1, "x"));
    let error = engine.submit(request(&"p".repeat(CONTEXT))).unwrap_err();
    assert!(matches!(
        error,
        Error::PromptTooLong {
            prompt_tokens: CONTEXT,
            context_len: CONTEXT
        }
    ));
    let fits = engine.submit(request(&"p".repeat(CONTEXT - 1))).unwrap();
    assert_eq!(collect(fits).unwrap().text, "x");
}

#[test]
fn prompts_without_meaning_are_refused() {
    let engine = start(Script::new(5, "x"));
    let refusal = |prompt| {
        let request = Request {
            prompt,
            ..request("")
        };
        engine.submit(request).unwrap_err().to_string()
    };
    assert_eq!(
        refusal(Prompt::Text(String::new())),
        "prompt: found no tokens, allowed at least one token"
    );
    assert_eq!(
        refusal(Prompt::Tokens(vec![257])),
        "prompt: found token id 257, allowed token ids below 257"
    );
}

#[test]
fn control_tokens_do_not_come_out_of_plain_text() {
    let engine = start(Script::new(5, "x"));
    let ids = engine.encode(&Prompt::Text("</s>".into())).unwrap();
    assert_eq!(ids, [60, 47, 115, 62]);
}

#[test]
fn control_tokens_come_from_the_template_and_not_from_the_user() {
    let engine = start(Script::new(5, "x"));
    let conversation = ChatInput {
        messages: vec![serde_json::json!({ "role": "user", "content": "a</s>b" })],
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    let ids = engine.encode(&Prompt::Chat(conversation)).unwrap();
    let bytes = |text: &'static str| text.bytes().map(u32::from);
    let wanted: Vec<u32> = bytes("user:a</s>b")
        .chain([END])
        .chain(bytes("assistant:"))
        .collect();
    assert_eq!(ids, wanted);
}

#[test]
fn a_follow_up_reuses_what_is_cached() {
    let engine = start(Script::new(5, "abc"));
    assert_eq!(ask(&engine, |_| ()).stats.cached_tokens, 0);
    let follow_up = engine.submit(request("Helloab and so on")).unwrap();
    assert_eq!(collect(follow_up).unwrap().stats.cached_tokens, 7);
}

fn slow(prompt_len: usize) -> Script {
    Script {
        call: Duration::from_millis(5),
        ..Script::new(prompt_len, &"x".repeat(1000))
    }
}

#[test]
fn cancelling_ends_the_answer_with_what_it_has() {
    let engine = start(slow(5));
    let mut generation = engine.submit(request("Hello")).unwrap();
    let cancel = generation.cancel_handle();
    let first = generation.find(|event| matches!(event, Event::Token { .. }));
    assert!(first.is_some());
    cancel.cancel();
    let last = generation.last().unwrap();
    let Event::Finished { reason, stats, .. } = last else {
        panic!("{last:?}");
    };
    assert_eq!(reason, FinishReason::Cancelled);
    assert!(stats.completion_tokens < 100);
}

#[test]
fn a_dropped_generation_makes_way() {
    let engine = start(slow(5));
    drop(engine.submit(request("Hello")).unwrap());
    let asked = Instant::now();
    let answer = ask(&engine, |request| request.max_tokens = Some(1));
    assert_eq!(answer.text, "x");
    assert!(asked.elapsed() < Duration::from_millis(500));
}

#[test]
fn a_full_queue_is_an_error_and_order_is_kept() {
    let limits = Limits {
        queue_len: 2,
        max_sequences: 1,
        ..Limits::default()
    };
    let engine = Engine::start(slow(5), text(), limits).unwrap();
    let bounded = || Request {
        max_tokens: Some(20),
        ..request("Hello")
    };
    let mut running = engine.submit(bounded()).unwrap();
    running.next().unwrap();
    let waiting: Vec<_> = (0..2).map(|_| engine.submit(bounded()).unwrap()).collect();
    let error = engine.submit(bounded()).unwrap_err();
    assert!(matches!(error, Error::QueueFull { limit: 2 }), "{error}");
    let ended: Vec<f64> = waiting
        .into_iter()
        .map(|generation| collect(generation).unwrap().stats.ttft_ms)
        .collect();
    assert!(ended[0] < ended[1], "{ended:?}");
}

#[test]
fn dropping_the_engine_ends_every_generation() {
    let engine = start(slow(5));
    let running = engine.submit(request("Hello")).unwrap();
    let waiting = engine.submit(request("Hello")).unwrap();
    drop(engine);
    assert_eq!(collect(running).unwrap().reason, FinishReason::Cancelled);
    assert_eq!(collect(waiting).unwrap().reason, FinishReason::Cancelled);
}

#[test]
fn a_panic_inside_costs_one_answer() {
    let engine = start(Script {
        panic_at: Some(9),
        ..Script::new(5, "abcdefgh")
    });
    let failed = collect(engine.submit(request("Hello")).unwrap()).unwrap_err();
    assert_eq!(failed, "engine: an internal error ended this answer");
    let answer = ask(&engine, |request| request.max_tokens = Some(2));
    assert_eq!(
        (answer.text.as_str(), answer.stats.cached_tokens),
        ("ab", 0)
    );
}

#[test]
fn unusable_logits_fail_the_request_not_the_engine() {
    struct Nan(BlockPool);
    impl Runner for Nan {
        fn vocab_size(&self) -> usize {
            257
        }
        fn context_len(&self) -> usize {
            8
        }
        fn blocks(&mut self) -> &mut BlockPool {
            &mut self.0
        }
        fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> terang_engine::Result<()> {
            for chunk in chunks {
                self.0.reserve(chunk.sequence, chunk.tokens.len())?;
                chunk.sequence.set_len(chunk.tokens.len());
            }
            Ok(())
        }
        fn logits(&self) -> Logits<'_> {
            Logits::new(&[f32::NAN; 257], 257)
        }
    }
    let engine = Engine::start(Nan(BlockPool::new(1)), text(), Limits::default()).unwrap();
    for _ in 0..2 {
        let message = collect(engine.submit(request("Hi")).unwrap()).unwrap_err();
        assert_eq!(
            message,
            "logits: that of token 0 is NaN; the model file may be damaged"
        );
    }
}
