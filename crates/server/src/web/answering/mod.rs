//! Answers that are being made. Each is a task of its own that goes on whether or not anybody reads
//! it, and saves what there is twice a second; readers follow its text and its calls in memory.
//!
//! - `make`: the model's turns, until one asks for no tool. `calls`: what such a turn asked for.
//!
//! Invariant: an answer ends in the database before its readers are told that it has.

mod calls;
mod make;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use terang_store::{Message, ToolCall};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::visitor::Person;
use super::wire::ChosenTool;
use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// Answers that are made for one person at once.
const PER_PERSON_MAX: usize = 8;

/// An answer that is being made.
#[derive(Debug)]
pub(super) struct Live {
    user_id: String,
    text: Mutex<String>,
    /// Bytes of the text; `usize::MAX`: it has ended.
    length: watch::Sender<usize>,
    stop: watch::Sender<bool>,
    ended: AtomicBool,
    calls: Mutex<Vec<ToolCall>>,
    /// Somebody decided on a call.
    decided: Notify,
}

impl Live {
    fn new(user_id: &str, answer: &Message) -> Self {
        Self {
            user_id: user_id.to_owned(),
            text: Mutex::new(answer.content.clone()),
            length: watch::Sender::new(answer.content.len()),
            stop: watch::Sender::new(false),
            ended: AtomicBool::new(false),
            calls: Mutex::default(),
            decided: Notify::new(),
        }
    }

    fn push(&self, more: &str) {
        if more.is_empty() {
            return;
        }
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(more);
        let length = text.len();
        drop(text);
        self.length.send_replace(length);
    }

    fn text(&self) -> String {
        self.text
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The text from a byte on, or from the beginning of the character that it lies in.
    pub(super) fn text_from(&self, from: usize) -> (usize, String) {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        rest(&text, from)
    }

    /// The calls of tools, as they are now.
    pub(super) fn calls(&self) -> Vec<ToolCall> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.clone()
    }

    /// Puts a call in its place: the one that it had, or the last.
    fn put_call(&self, call: ToolCall) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        match calls.iter_mut().find(|other| other.id == call.id) {
            Some(place) => *place = call,
            None => calls.push(call),
        }
        drop(calls);
        self.length.send_modify(|_| ());
    }

    /// Somebody decided on a call.
    pub(super) fn decided(&self) {
        self.decided.notify_one();
    }

    /// Tells when there is more, and when it is the end.
    pub(super) fn watch(&self) -> watch::Receiver<usize> {
        self.length.subscribe()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// The rest of a text from a byte on, or from the beginning of the character that it lies in.
pub(super) fn rest(text: &str, from: usize) -> (usize, String) {
    let mut at = from.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    (at, text[at..].to_owned())
}

type Place = (String, String);

/// All answers that are being made, by chat and message.
#[derive(Debug, Default)]
pub(super) struct Answering {
    live: Mutex<HashMap<Place, Arc<Live>>>,
}

impl Answering {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Place, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of them.
    pub(super) fn get(&self, chat_id: &str, id: &str) -> Option<Arc<Live>> {
        self.lock()
            .get(&(chat_id.to_owned(), id.to_owned()))
            .cloned()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Refuses somebody for whom as many are made as may be.
    pub(super) fn check_room(&self, user_id: &str) -> ApiResult<()> {
        let live = self.lock();
        if live.values().filter(|live| live.user_id == user_id).count() >= PER_PERSON_MAX {
            return Err(ApiError::too_many(
                "too_many_answers",
                2,
                format!("{PER_PERSON_MAX} answers are being made for you; wait for one to end"),
            ));
        }
        Ok(())
    }

    /// Stops all in a chat.
    pub(super) fn stop_all_in(&self, chat_id: &str) {
        let live = self.lock();
        live.iter()
            .filter(|((chat, _), _)| chat == chat_id)
            .for_each(|(_, live)| live.stop());
    }

    /// Stops all of somebody.
    pub(super) fn stop_all_of(&self, user_id: &str) {
        let live = self.lock();
        live.values()
            .filter(|live| live.user_id == user_id)
            .for_each(|live| live.stop());
    }

    /// Waits until there is none, at most so long.
    pub(super) async fn idle(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        while self.count() > 0 {
            if Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

/// How an answer is begun.
#[derive(Clone, Debug, Default)]
pub(super) struct Begin {
    /// After what it has.
    pub(super) continued: bool,
    /// The tool that must be called first.
    pub(super) use_tool: Option<ChosenTool>,
}

/// Begins to make an answer whose place is kept already.
pub(super) fn begin(app: &Arc<App>, person: Person, answer: &Message, begin: Begin) {
    let live = Arc::new(Live::new(&person.0.id, answer));
    let place = (answer.chat_id.clone(), answer.id.clone());
    app.web
        .answering
        .lock()
        .insert(place.clone(), Arc::clone(&live));
    let (app, answer) = (Arc::clone(app), answer.clone());
    tokio::spawn(async move {
        // In a task of its own, so that a panic there does not leave readers waiting.
        let made = {
            let (app, live) = (Arc::clone(&app), Arc::clone(&live));
            tokio::spawn(async move { make::make(&app, &person, &answer, &live, begin).await })
        };
        if made.await.is_err() {
            tracing::error!("an answer ended in a panic");
        }
        app.web.answering.lock().remove(&place);
        live.ended.store(true, Ordering::Release);
        live.length.send_replace(usize::MAX);
    });
}

#[cfg(test)]
mod tests {
    use super::rest;

    #[test]
    fn the_rest_begins_with_a_whole_character() {
        assert_eq!(rest("aé字", 0), (0, "aé字".to_owned()));
        assert_eq!(rest("aé字", 2), (1, "é字".to_owned()));
        assert_eq!(rest("aé字", 5), (3, "字".to_owned()));
        assert_eq!(rest("aé字", 6), (6, String::new()));
        assert_eq!(rest("aé字", usize::MAX), (6, String::new()));
    }
}
