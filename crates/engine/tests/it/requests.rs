//! What a request may ask for beside a prompt and a sampling: how it ends, how it is told of events,
//! whose it is.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{Answer, END, Script, collect, text};
use terang_engine::{Engine, Error, Event, FinishReason, Limits, Prompt, Request};

fn start(script: Script) -> Engine {
    Engine::start(script, text(), Limits::default()).unwrap()
}

fn request() -> Request {
    Request::new(Prompt::Text("Hello".into()))
}

fn ask(engine: &Engine, change: impl FnOnce(&mut Request)) -> Answer {
    let mut request = request();
    change(&mut request);
    collect(engine.submit(request).unwrap()).unwrap()
}

fn slow(max_sequences: usize) -> Engine {
    let script = Script {
        call: Duration::from_millis(5),
        ..Script::new(5, &"x".repeat(1000))
    };
    let limits = Limits {
        max_sequences,
        queue_len: 8,
        ..Limits::default()
    };
    Engine::start(script, text(), limits).unwrap()
}

#[test]
fn events_come_to_a_callback_as_they_come_to_an_iterator() {
    let engine = start(Script::new(5, "abc"));
    let mut asked = request();
    asked.sampling.seed = Some(7);
    let (events, receiver) = mpsc::channel();
    let sent = asked.clone();
    let tell = move |event| events.send(event).unwrap();
    engine.submit_with(sent, tell).unwrap();
    let by_callback: Vec<Event> = receiver.iter().collect();
    // The first one's pages are in the cache now; an engine of its own has none.
    let fresh = start(Script::new(5, "abc"));
    let by_iterator: Vec<Event> = fresh.submit(asked).unwrap().collect();
    assert_eq!(by_callback.len(), by_iterator.len());
    let last = by_callback.len() - 1;
    // All but the timings.
    assert_eq!(by_callback[..last], by_iterator[..last]);
    assert!(by_callback[last].is_end());
}

#[test]
fn a_callback_hears_the_end_when_the_engine_stops() {
    let engine = slow(1);
    let (events, receiver) = mpsc::channel();
    for index in 0..3 {
        let events = events.clone();
        let tell = move |event: Event| {
            if event.is_end() {
                events.send((index, event)).unwrap();
            }
        };
        engine.submit_with(request(), tell).unwrap();
    }
    drop(events);
    drop(engine);
    let mut ended: Vec<usize> = receiver.iter().map(|(index, _)| index).collect();
    ended.sort_unstable();
    assert_eq!(ended, [0, 1, 2]);
}

#[test]
fn the_handle_of_a_callback_cancels() {
    let engine = slow(4);
    let (events, receiver) = mpsc::channel();
    let tell = move |event| events.send(event).unwrap();
    let handle = engine.submit_with(request(), tell).unwrap();
    assert!(receiver.iter().any(|e| matches!(e, Event::Token { .. })));
    handle.cancel();
    let Some(Event::Finished { reason, .. }) = receiver.iter().last() else {
        panic!("no end");
    };
    assert_eq!(reason, FinishReason::Cancelled);
}

#[test]
fn stop_tokens_end_the_answer_and_give_no_text() {
    let engine = start(Script::new(5, "one two"));
    let answer = ask(&engine, |r| r.stop_tokens = vec![u32::from(b' ')]);
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("one", FinishReason::Stop)
    );
    assert_eq!(answer.stats.completion_tokens, 4);
}

#[test]
fn the_models_end_can_be_ignored_but_not_a_stop_token() {
    let engine = start(Script::new(5, "ab"));
    let answer = ask(&engine, |r| {
        r.ignore_eos = true;
        r.max_tokens = Some(6);
    });
    // The end token is chosen like any other and gives no text.
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("ab???", FinishReason::Length)
    );
    let answer = ask(&engine, |r| {
        r.ignore_eos = true;
        r.stop_tokens = vec![END];
    });
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("ab", FinishReason::Stop)
    );
}

#[test]
fn before_the_fewest_tokens_nothing_ends_the_answer() {
    let engine = start(Script::new(5, "ab"));
    let answer = ask(&engine, |r| {
        r.sampling.temperature = 0.0;
        r.min_tokens = 6;
        r.max_tokens = Some(6);
    });
    assert_eq!(answer.stats.completion_tokens, 6);
    // In the end token's place stands the next likeliest, and the lowest id among equals.
    assert_eq!(answer.text, "ab\0???");
    let engine = start(Script::new(5, "aba"));
    let answer = ask(&engine, |r| {
        r.stop = vec!["a".into()];
        r.min_tokens = 2;
    });
    assert_eq!(
        (answer.text.as_str(), answer.reason),
        ("ab", FinishReason::Stop)
    );
}

#[test]
fn a_deadline_ends_what_runs_and_what_waits() {
    let engine = slow(1);
    let running = engine
        .submit(Request {
            deadline: Some(Instant::now() + Duration::from_millis(60)),
            ..request()
        })
        .unwrap();
    let begun = Instant::now();
    let waiting = engine
        .submit(Request {
            deadline: Some(Instant::now() + Duration::from_millis(20)),
            ..request()
        })
        .unwrap();
    let waited = collect(waiting).unwrap();
    assert_eq!(waited.reason, FinishReason::Deadline);
    assert_eq!(waited.stats.completion_tokens, 0);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let ran = collect(running).unwrap();
    assert_eq!(ran.reason, FinishReason::Deadline);
    assert!(ran.stats.completion_tokens < 60);
    assert_eq!(ran.text.len(), ran.stats.completion_tokens);
}

#[test]
fn beginnings_are_shared_only_under_one_salt() {
    let engine = start(Script::new(5, "abc"));
    let cached = |salt| ask(&engine, |r| r.cache_salt = salt).stats.cached_tokens;
    assert_eq!(cached(1), 0);
    assert_eq!(cached(2), 0);
    assert_eq!(cached(1), 4);
    assert_eq!(cached(0), 0);
}

#[test]
fn the_engine_tells_how_busy_it_is() {
    let engine = slow(2);
    let mut running: Vec<_> = (0..2).map(|_| engine.submit(request()).unwrap()).collect();
    for generation in &mut running {
        assert!(generation.any(|e| matches!(e, Event::Token { .. })));
    }
    let waiting = engine.submit(request()).unwrap();
    // What is told is the state after a step.
    let begun = Instant::now();
    while engine.load().pages_free == engine.load().pages_total {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
    let busy = engine.load();
    assert_eq!((busy.running, busy.waiting), (2, 1));
    assert!(busy.pages_free < busy.pages_total);
    assert!(busy.generated_tokens >= 1);
    for generation in &running {
        generation.cancel_handle().cancel();
    }
    waiting.cancel_handle().cancel();
    let tokens: usize = running
        .into_iter()
        .chain([waiting])
        .map(|it| it.filter(|e| matches!(e, Event::Token { .. })).count())
        .sum();
    let ended = Instant::now();
    while engine.load().running > 0 {
        assert!(ended.elapsed() < Duration::from_secs(5));
        std::thread::yield_now();
    }
    let idle = engine.load();
    assert_eq!((idle.waiting, idle.requests, idle.failed), (0, 3, 0));
    assert_eq!(idle.prompt_tokens, 10);
    // Two were read above.
    assert_eq!(idle.generated_tokens as usize, tokens + 2);
    assert_eq!(idle.pages_free + idle.pages_cached, idle.pages_total);
}

#[test]
fn several_answers_are_taken_together_or_not_at_all() {
    let engine = slow(1);
    let mut first = engine.submit(request()).unwrap();
    first.next().unwrap();
    let held = engine.submit_n(request(), 6, |_, _| ()).unwrap();
    assert_eq!(held.len(), 6);
    let error = engine.submit_n(request(), 3, |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::QueueFull { limit: 8 }), "{error}");
    assert_eq!(engine.load().waiting, 6);
    engine.submit_n(request(), 2, |_, _| ()).unwrap();
    let refused = engine.submit_n(request(), 0, |_, _| ()).unwrap_err();
    assert_eq!(refused.to_string(), "n: found 0, allowed 1 to 8");
}

#[test]
fn a_runner_without_hidden_states_refuses_embeddings() {
    let engine = start(Script::new(5, "x"));
    let error = engine.embed(vec![vec![1, 2]]).unwrap_err();
    assert_eq!(error.to_string(), "embeddings: not available");
}
