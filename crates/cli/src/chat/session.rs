//! The seam to the engine: a loaded model that turns a conversation into a streamed answer.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use terang_engine::load::LoadProgress;
use terang_engine::{Engine, EngineOptions, Error, Event, FinishReason, Prompt, Request, Stats};
use terang_model::template::ChatInput;

use super::Located;
use super::conversation::Message;
use super::settings::Settings;
use crate::catalogue::Recommended;
use crate::interrupt;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem, fail};
use crate::pull::Progress;

const INTERRUPT_POLL: Duration = Duration::from_millis(30);
/// A prompt that is read faster than this needs no bar.
const PREFILL_SHOWN_AFTER: Duration = Duration::from_millis(400);

/// A loaded model.
#[derive(Debug)]
pub(super) struct Session {
    engine: Engine,
    model: Located,
    /// The engine's name of what is put on top of the model.
    adapter: Option<String>,
}

/// A finished answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The text as the model gave it.
    pub(super) text: String,
    /// Why it ended.
    pub(super) reason: FinishReason,
    /// Counts and timings.
    pub(super) stats: Stats,
    /// The seed it came from.
    pub(super) seed: u64,
}

impl Answer {
    /// Speed of generation after the first token.
    pub(super) fn tokens_per_s(&self) -> f64 {
        let after_first = self.stats.completion_tokens.saturating_sub(1) as f64;
        if self.stats.decode_ms > 0.0 {
            after_first * 1000.0 / self.stats.decode_ms
        } else {
            0.0
        }
    }

    /// The finish reason as the API writes it.
    pub(super) fn reason_name(&self) -> &'static str {
        match self.reason {
            FinishReason::Stop => "stop",
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
            FinishReason::Deadline => "deadline",
        }
    }
}

impl Session {
    /// Loads `model`, and the smaller one that guesses for it.
    pub(super) fn load(
        model: Located,
        draft: Option<&Path>,
        options: &EngineOptions,
        progress: &Progress,
    ) -> Outcome<Self> {
        let begun = Instant::now();
        let mut shown = false;
        let report = |at: LoadProgress| {
            if !shown && begun.elapsed() > PREFILL_SHOWN_AFTER {
                shown = true;
                progress.start_count(at.total as u64, &Msg::LabelLoading {});
            }
            progress.reach(at.done as u64);
        };
        let engine = match draft {
            Some(draft) => Engine::open_with_draft(&model.path, draft, options, report),
            None => Engine::open(&model.path, options, report),
        };
        progress.clear();
        if interrupt::requested() {
            return Err(Problem::Interrupted);
        }
        let engine = engine.map_err(|e| explain(&e))?;
        Ok(Self {
            engine,
            model,
            adapter: None,
        })
    }

    /// Puts the adapter at `path` on top of the model.
    pub(super) fn with_adapter(mut self, path: &Path) -> Outcome<Self> {
        let name = path.display().to_string();
        let added = self.engine.add_adapter(&name, path);
        added.map_err(|error| explain(&error))?;
        self.adapter = Some(name);
        Ok(self)
    }

    /// The catalogue's name, or the path.
    pub(super) fn name(&self) -> &str {
        &self.model.name
    }

    /// How the model's publisher says to sample.
    pub(super) fn recommended(&self) -> &Recommended {
        &self.model.recommended
    }

    /// Whether the model knows turns of a conversation.
    pub(super) fn can_chat(&self) -> bool {
        self.engine.text().template().is_some()
    }

    /// Generates the answer to `messages`. `show` gets its text piece by piece. Ctrl-C ends the
    /// answer, which then is what there is so far.
    pub(super) fn answer(
        &self,
        messages: &[Message],
        settings: &Settings,
        progress: &Progress,
        show: &mut dyn FnMut(&str) -> Outcome<()>,
    ) -> Outcome<Answer> {
        let request = Request {
            adapter: self.adapter.clone(),
            sampling: settings.sampling(self.recommended()),
            max_tokens: settings.max_tokens,
            stop: settings.stop.clone(),
            ..Request::new(self.prompt(messages))
        };
        let generation = self.engine.submit(request).map_err(|e| explain(&e))?;
        let cancel = generation.cancel_handle();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // The stream blocks until the next event; somebody must look at Ctrl-C meanwhile.
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    if interrupt::requested() {
                        cancel.cancel();
                        return;
                    }
                    std::thread::sleep(INTERRUPT_POLL);
                }
            });
            let answer = follow(generation, progress, show);
            over.store(true, Ordering::Relaxed);
            progress.clear();
            answer
        })
    }

    fn prompt(&self, messages: &[Message]) -> Prompt {
        if self.can_chat() {
            return Prompt::Chat(ChatInput {
                messages: messages
                    .iter()
                    .map(|m| json!({ "role": m.role.name(), "content": m.content }))
                    .collect(),
                add_generation_prompt: true,
                ..ChatInput::default()
            });
        }
        // A base model knows no turns: it goes on with the text.
        let texts: Vec<&str> = messages.iter().map(|m| m.content.as_str()).collect();
        Prompt::Text(texts.join("\n\n"))
    }
}

/// Reads the events to their end.
fn follow(
    events: impl Iterator<Item = Event>,
    progress: &Progress,
    show: &mut dyn FnMut(&str) -> Outcome<()>,
) -> Outcome<Answer> {
    let begun = Instant::now();
    let (mut text, mut used_seed, mut shown) = (String::new(), 0, false);
    for event in events {
        match event {
            Event::Started { seed, .. } => used_seed = seed,
            Event::Prefill { done, total } => {
                if !shown && done < total && begun.elapsed() > PREFILL_SHOWN_AFTER {
                    shown = true;
                    progress.start_count(total as u64, &Msg::LabelReading {});
                }
                progress.reach(done as u64);
            }
            Event::Token { text: piece, .. } => {
                if shown {
                    shown = false;
                    progress.clear();
                }
                if !piece.is_empty() {
                    text.push_str(&piece);
                    show(&piece)?;
                }
            }
            Event::Finished {
                text: piece,
                reason,
                stats,
            } => {
                if !piece.is_empty() {
                    text.push_str(&piece);
                    show(&piece)?;
                }
                return Ok(Answer {
                    text,
                    reason,
                    stats,
                    seed: used_seed,
                });
            }
            Event::PromptLogprobs(_) => {}
            Event::Failed { message } => return Err(Problem::Below(message)),
        }
    }
    Err(Problem::Below(Error::Stopped.to_string()))
}

/// An engine's error in the person's language, where it is one that people meet often.
pub(crate) fn explain(error: &Error) -> Problem {
    match error {
        Error::PromptTooLong {
            prompt_tokens,
            context_len,
        } => fail(Msg::PromptTooLong {
            tokens: prompt_tokens.to_string(),
            context: context_len.to_string(),
        }),
        other => Problem::Below(other.to_string()),
    }
}
