//! Who keeps what, and what goes when there is no room.

use serde_json::{Map, Value};

use super::super::item::{self, TextOr};
use super::super::object::ResponseStatus;
use super::*;

fn response(id: &str) -> ResponseObject {
    ResponseObject {
        id: id.to_owned(),
        object: "response",
        created_at: 0,
        completed_at: None,
        status: ResponseStatus::Completed,
        background: false,
        error: None,
        incomplete_details: None,
        instructions: None,
        max_output_tokens: None,
        max_tool_calls: None,
        model: String::new(),
        output: Vec::new(),
        parallel_tool_calls: true,
        previous_response_id: None,
        prompt_cache_key: None,
        reasoning: None,
        safety_identifier: None,
        service_tier: "default",
        store: true,
        temperature: 1.0,
        top_p: 1.0,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        seed: None,
        text: Value::Null,
        tool_choice: Value::Null,
        tools: Vec::new(),
        top_logprobs: 0,
        truncation: "disabled",
        usage: None,
        user: None,
        metadata: Map::new(),
    }
}

fn saying(text: &str, mut before: Conversation) -> Conversation {
    before.extend(item::items(TextOr::Text(text.to_owned())).unwrap());
    before
}

fn keep(store: &Store, owner: u64, id: &str, text: &str) {
    let conversation = saying(text, Conversation::default());
    store.insert(owner, response(id), conversation, None);
}

fn kept(store: &Store, owner: u64, ids: &[&str]) -> Vec<bool> {
    let kept = ids.iter().map(|id| store.get(owner, id).is_some());
    kept.collect()
}

fn bytes_held(store: &Store) -> usize {
    let shelves = store.lock();
    let owners = shelves.owners.values();
    owners
        .map(|owner| owner.bytes.load(Ordering::Relaxed))
        .sum()
}

#[test]
fn only_the_owner_reaches_it() {
    let store = Store::new(8, 1 << 20);
    keep(&store, 1, "a", "x");
    assert!(store.get(2, "a").is_none() && store.input(2, "a").is_none());
    assert!(store.stop(2, "a").is_none() && !store.remove(2, "a"));
    assert!(store.get(1, "a").is_some() && store.remove(1, "a"));
    assert!(!store.remove(1, "a"));
    assert_eq!(bytes_held(&store), 0);
}

#[test]
fn whoever_holds_most_loses_the_oldest() {
    let store = Store::new(4, 1 << 20);
    keep(&store, 1, "a", "x");
    for id in ["b", "c", "d", "e", "f"] {
        keep(&store, 2, id, "x");
    }
    // However many another keeps, one's own stay.
    assert_eq!(kept(&store, 1, &["a"]), [true]);
    assert_eq!(
        kept(&store, 2, &["b", "c", "d", "e", "f"]),
        [false, false, true, true, true]
    );
}

#[test]
fn bytes_are_bounded_and_shared_turns_counted_once() {
    const TEXT_BYTES: usize = 10_000;
    const BYTES_MAX: usize = 200_000;
    let store = Store::new(1000, BYTES_MAX);
    let text = "x".repeat(TEXT_BYTES);
    keep(&store, 1, "0", &text);
    // Each goes on with the one before.
    for turn in 1..10 {
        let before = store.input(1, &(turn - 1).to_string()).unwrap();
        let conversation = saying(&text, before);
        store.insert(1, response(&turn.to_string()), conversation, None);
    }
    let held = bytes_held(&store);
    assert!((10 * TEXT_BYTES..16 * TEXT_BYTES).contains(&held), "{held}");
    assert_eq!(store.input(1, "9").unwrap().items().count(), 10);
    for id in 0..100 {
        keep(&store, 2, &format!("other {id}"), &text);
        assert!(bytes_held(&store) <= BYTES_MAX);
    }
    // What is gone is not counted any more.
    for id in 0..100 {
        store.remove(2, &format!("other {id}"));
    }
    for turn in 0..10 {
        store.remove(1, &turn.to_string());
    }
    assert_eq!(bytes_held(&store), 0);
}

#[test]
fn what_is_removed_ends() {
    let store = Store::new(1, 1 << 20);
    let begin = |id: &str| {
        let (stop, stopped) = oneshot::channel();
        let (_ending, ended) = watch::channel(());
        let running = Running {
            stop: Some(stop),
            ended,
        };
        store.insert(1, response(id), Conversation::default(), Some(running));
        stopped
    };
    let mut first = begin("a");
    assert!(first.try_recv() == Err(oneshot::error::TryRecvError::Empty));
    // It makes room for the second.
    let mut second = begin("b");
    assert!(first.try_recv() == Err(oneshot::error::TryRecvError::Closed));
    assert!(store.stop(1, "b").is_some());
    assert!(second.try_recv() == Err(oneshot::error::TryRecvError::Closed));
    store.update(response("a"));
    assert!(store.get(1, "a").is_none());
}
