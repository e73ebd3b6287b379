//! The model's turns of one answer: each is generated and followed; one that asks for tools has them
//! called, and is followed by another.

use std::sync::Arc;
use std::time::Duration;

use terang_store::{Ending, Message, Status, TokenCounts};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::calls::{self, Ran, Wanted};
use super::{Begin, Live};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::{self, Answers, Finish, Output};
use crate::toolcall::Choice;
use crate::web::prompt::{self, Turn};
use crate::web::tools::offer::Offer;
use crate::web::visitor::Person;
use crate::web::wire::ChatSettings;

/// So often what is new is saved: at most this is lost when the server dies.
const SAVE_EVERY: Duration = Duration::from_millis(500);
/// So often it is said that somebody still makes the answer, where there is nothing new.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// So long the end of an answer is tried to be saved while the database is away.
const END_TRIES: u32 = 60;
/// Turns that may ask for tools; the one after them answers without.
const TOOL_TURNS_MAX: i64 = 8;

/// Ends when somebody wants the answer to end; keeps nothing of the guard that comes with it.
pub(super) async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}

/// What an answer, or a turn of it, came to.
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) error: Option<String>,
    usage: TokenCounts,
}

impl Outcome {
    fn of(status: Status) -> Self {
        Self {
            status,
            error: None,
            usage: TokenCounts::default(),
        }
    }

    fn failed(error: &ApiError) -> Self {
        Self {
            error: Some(error.message.clone()),
            ..Self::of(Status::Failed)
        }
    }
}

/// One answer on its way.
pub(super) struct Making<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) person: &'a Person,
    pub(super) answer: &'a Message,
    pub(super) live: &'a Live,
    pub(super) stop: watch::Receiver<bool>,
}

pub(super) async fn make(
    app: &Arc<App>,
    person: &Person,
    answer: &Message,
    live: &Live,
    begin: Begin,
) {
    let stop = live.stop.subscribe();
    let mut making = Making {
        app,
        person,
        answer,
        live,
        stop,
    };
    let outcome = making.turns(begin).await;
    making.save_end(&outcome).await;
}

impl Making<'_> {
    /// Does something that may take a while; meanwhile it is said that the answer is still made.
    /// `None`: it was stopped first.
    pub(super) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = std::pin::pin!(work);
        let mut alive = tokio::time::interval(ALIVE_EVERY);
        loop {
            tokio::select! {
                done = &mut work => return Some(done),
                () = told_to_stop(&mut self.stop) => return None,
                _ = alive.tick() => {
                    let text = self.live.text();
                    let _ = self.app.web.store.grow(&self.answer.chat_id, &self.answer.id, &text).await;
                }
            }
        }
    }

    /// All turns; what they came to together.
    async fn turns(&mut self, begin: Begin) -> Outcome {
        let (app, person, answer, live) = (self.app, self.person, self.answer, self.live);
        let mut used = TokenCounts::default();
        let mut round = 0;
        let mut offer = Offer::default();
        for turn in 0..=TOOL_TURNS_MAX {
            let begin = &begin;
            let offered = (turn > 0).then_some(&offer);
            let started = async {
                let new = match offered {
                    Some(_) => None,
                    None => Some(prepare(app, person, answer, live).await?),
                };
                let offer = new.as_ref().or(offered).cloned().unwrap_or_default();
                let choice = match turn {
                    0 => offer.choice(begin.use_tool.as_ref())?,
                    TOOL_TURNS_MAX => Choice::None,
                    _ => Choice::Auto,
                };
                let calls = live.calls();
                let turn = Turn {
                    text: live.text(),
                    calls: &calls,
                    go_on: turn == 0 && begin.continued,
                    offer: &offer,
                    choice,
                };
                let order = prompt::order(app, person, answer, turn).await?;
                let answers = generate::start(app, order).await?;
                Ok::<_, ApiError>((answers, offer))
            };
            // Loading a model may take a while: it can be stopped meanwhile, and is said to go on.
            let (answers, now) = match self.unless_stopped(started).await {
                None => {
                    return Outcome {
                        usage: used,
                        ..Outcome::of(Status::Stopped)
                    };
                }
                Some(Err(error)) => {
                    return Outcome {
                        usage: used,
                        ..Outcome::failed(&error)
                    };
                }
                Some(Ok(started)) => started,
            };
            offer = now;
            if turn == 0 {
                let calls = live.calls();
                round = calls.iter().map(|call| call.round + 1).max().unwrap_or(0);
            }
            let (outcome, wanted) = self.follow(answers, turn > 0).await;
            used = sum(used, outcome.usage);
            if wanted.is_empty() || !matches!(outcome.status, Status::Done) {
                return Outcome {
                    usage: used,
                    ..outcome
                };
            }
            let status = match calls::run(self, &offer, wanted, round).await {
                Ran::On => None,
                Ran::Stopped => Some(Outcome::of(Status::Stopped)),
                Ran::Cut => Some(Outcome::of(Status::Cut)),
                Ran::Failed(error) => Some(Outcome::failed(&error)),
            };
            if let Some(outcome) = status {
                return Outcome {
                    usage: used,
                    ..outcome
                };
            }
            round += 1;
        }
        Outcome {
            usage: used,
            ..Outcome::of(Status::Done)
        }
    }

    /// Takes what the engine gives until it ends, and with it the calls that it asks for.
    async fn follow(&mut self, mut answers: Answers, parted: bool) -> (Outcome, Vec<Wanted>) {
        let (app, answer, live) = (self.app, self.answer, self.live);
        let mut save = tokio::time::interval(SAVE_EVERY);
        save.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut saved_len, mut saved_at) = (live.text().len(), Instant::now());
        let mut wanted: Vec<Wanted> = Vec::new();
        // Between what was said before calls and after them.
        let mut parted = parted && saved_len > 0;
        let (status, error) = loop {
            tokio::select! {
                output = answers.next() => match output {
                    Some((_, Output::Token { text, .. })) => {
                        let text = if parted { text.trim_start() } else { &text };
                        if parted && !text.is_empty() {
                            live.push("\n\n");
                            parted = false;
                        }
                        live.push(text);
                    }
                    Some((_, Output::CallBegin { name, .. })) => wanted.push(Wanted::new(name)),
                    Some((_, Output::CallArguments { text, .. })) => {
                        if let Some(call) = wanted.last_mut() {
                            call.write(&text);
                        }
                    }
                    Some((_, Output::Finished(Finish::Length))) => {
                        // Half a call is none.
                        wanted.clear();
                        break (Status::Stopped, None);
                    }
                    Some((_, Output::Finished(_))) => break (Status::Done, None),
                    // Its time at the server's end was over: as if the server had died.
                    Some((_, Output::Failed(error))) if error.code == Some("cancelled") => {
                        break (Status::Cut, None);
                    }
                    Some((_, Output::Failed(error))) => break (Status::Failed, Some(error.message)),
                    Some(_) => {}
                    None => break (Status::Cut, None),
                },
                () = told_to_stop(&mut self.stop) => break (Status::Stopped, None),
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
        let usage = TokenCounts {
            prompt_tokens: usage.prompt_tokens as i64,
            completion_tokens: usage.completion_tokens as i64,
            cached_tokens: usage.cached_tokens as i64,
        };
        (
            Outcome {
                status,
                error,
                usage,
            },
            wanted,
        )
    }

    async fn save_end(&self, outcome: &Outcome) {
        let text = self.live.text();
        for attempt in 0..END_TRIES {
            let ending = Ending {
                content: &text,
                status: outcome.status,
                error: outcome.error.as_deref(),
                usage: outcome.usage,
            };
            let (user, answer) = (&self.person.0.id, self.answer);
            let store = &self.app.web.store;
            match store
                .end_answer(user, &answer.chat_id, &answer.id, ending)
                .await
            {
                Ok(_) => return,
                Err(error) => {
                    tracing::error!(%error, attempt, "the end of an answer could not be saved yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

/// The tools of the chat; and the calls that the answer has from before, where it is gone on with.
async fn prepare(app: &App, person: &Person, answer: &Message, live: &Live) -> ApiResult<Offer> {
    let store = &app.web.store;
    let chat = store.chat(&person.0.id, &answer.chat_id).await?;
    let settings: ChatSettings = serde_json::from_str(&chat.settings).unwrap_or_default();
    let before = store
        .calls_of_message(&person.0.id, &answer.chat_id, &answer.id)
        .await?;
    for call in before {
        live.put_call(call);
    }
    Offer::of(app, &settings.tools).await
}

fn sum(a: TokenCounts, b: TokenCounts) -> TokenCounts {
    TokenCounts {
        prompt_tokens: a.prompt_tokens + b.prompt_tokens,
        completion_tokens: a.completion_tokens + b.completion_tokens,
        cached_tokens: a.cached_tokens + b.cached_tokens,
    }
}
