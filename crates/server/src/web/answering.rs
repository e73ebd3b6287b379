//! Answers that are being made. Each is a task of its own that goes on whether or not anybody reads
//! it, and saves what there is twice a second; readers follow its text in memory.
//!
//! Invariant: an answer ends in the database before its readers are told that it has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use terang_store::{Ending, Message, Status, TokenCounts};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::prompt;
use super::visitor::Person;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::{self, Answers, Finish, Output};

/// So often what is new is saved: at most this is lost when the server dies.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// So often it is said that somebody still makes the answer, where there is nothing new.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// So long the end of an answer is tried to be saved while the database is away.
const END_TRIES: u32 = 60;
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
}

impl Live {
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

/// Begins to make an answer whose place is kept already. `continued`: after what it has.
pub(super) fn begin(app: &Arc<App>, person: Person, answer: &Message, continued: bool) {
    let live = Arc::new(Live {
        user_id: person.0.id.clone(),
        text: Mutex::new(answer.content.clone()),
        length: watch::Sender::new(answer.content.len()),
        stop: watch::Sender::new(false),
        ended: AtomicBool::new(false),
    });
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
            tokio::spawn(async move { make(&app, &person, &answer, &live, continued).await })
        };
        if made.await.is_err() {
            tracing::error!("an answer ended in a panic");
        }
        app.web.answering.lock().remove(&place);
        live.ended.store(true, Ordering::Release);
        live.length.send_replace(usize::MAX);
    });
}

/// Ends when somebody wants the answer to end; keeps nothing of the guard that comes with it.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}

/// What an answer came to.
struct Outcome {
    status: Status,
    error: Option<String>,
    usage: TokenCounts,
}

impl Outcome {
    fn failed(error: &ApiError) -> Self {
        Self {
            status: Status::Failed,
            error: Some(error.message.clone()),
            usage: TokenCounts::default(),
        }
    }
}

async fn make(app: &Arc<App>, person: &Person, answer: &Message, live: &Live, continued: bool) {
    let mut stop = live.stop.subscribe();
    let started = async {
        let order = prompt::order(app, person, answer, continued).await?;
        generate::start(app, order).await
    };
    // Loading a model may take a while: it can be stopped meanwhile, and is said to go on.
    let started = {
        let mut started = std::pin::pin!(started);
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        loop {
            tokio::select! {
                started = &mut started => break Some(started),
                () = told_to_stop(&mut stop) => break None,
                _ = alive.tick() => {
                    let text = live.text();
                    let _ = app.web.store.grow(&answer.chat_id, &answer.id, &text).await;
                }
            }
        }
    };
    let outcome = match started {
        None => Outcome {
            status: Status::Stopped,
            error: None,
            usage: TokenCounts::default(),
        },
        Some(Err(error)) => Outcome::failed(&error),
        Some(Ok(answers)) => follow(app, answers, answer, live, &mut stop).await,
    };
    save_end(app, person, answer, live, &outcome).await;
}

/// Takes what the engine gives until it ends.
async fn follow(
    app: &App,
    mut answers: Answers,
    answer: &Message,
    live: &Live,
    stop: &mut watch::Receiver<bool>,
) -> Outcome {
    let mut save = tokio::time::interval(SAVE_EVERY);
    save.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut saved_len, mut saved_at) = (answer.content.len(), Instant::now());
    let (status, error) = loop {
        tokio::select! {
            output = answers.next() => match output {
                Some((_, Output::Token { text, .. })) => live.push(&text),
                Some((_, Output::Finished(Finish::Length))) => break (Status::Stopped, None),
                Some((_, Output::Finished(_))) => break (Status::Done, None),
                // Its time at the server's end was over: as if the server had died.
                Some((_, Output::Failed(error))) if error.code == Some("cancelled") => {
                    break (Status::Cut, None);
                }
                Some((_, Output::Failed(error))) => break (Status::Failed, Some(error.message)),
                Some(_) => {}
                None => break (Status::Cut, None),
            },
            () = told_to_stop(stop) => break (Status::Stopped, None),
            _ = save.tick() => {
                let text = live.text();
                if text.len() == saved_len && saved_at.elapsed() < ALIVE_EVERY {
                    continue;
                }
                match app.web.store.grow(&answer.chat_id, &answer.id, &text).await {
                    Ok(true) => (saved_len, saved_at) = (text.len(), Instant::now()),
                    // It was deleted, or declared lost: nobody waits for it.
                    Ok(false) => break (Status::Stopped, None),
                    // The database may come back; the text is in memory meanwhile.
                    Err(error) => tracing::error!(%error, "an answer could not be saved yet"),
                }
            }
        }
    };
    let usage = answers.usage();
    Outcome {
        status,
        error,
        usage: TokenCounts {
            prompt_tokens: usage.prompt_tokens as i64,
            completion_tokens: usage.completion_tokens as i64,
            cached_tokens: usage.cached_tokens as i64,
        },
    }
}

async fn save_end(app: &App, person: &Person, answer: &Message, live: &Live, outcome: &Outcome) {
    let text = live.text();
    for attempt in 0..END_TRIES {
        let ending = Ending {
            content: &text,
            status: outcome.status,
            error: outcome.error.as_deref(),
            usage: outcome.usage,
        };
        let store = &app.web.store;
        let saved = store
            .end_answer(&person.0.id, &answer.chat_id, &answer.id, ending)
            .await;
        match saved {
            Ok(_) => return,
            Err(error) => {
                tracing::error!(%error, attempt, "the end of an answer could not be saved yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
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
