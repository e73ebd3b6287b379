//! The engine's thread, its bounded queue, and the handles by which others use it.
//!
//! A request is checked, rendered and tokenized on the thread that submits it, so that what is
//! wrong with it is that call's error and a long prompt of one does not delay the tokens of
//! another. The engine's thread runs all requests together, step by step.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::runner::Runner;
use crate::sampler::Sampler;
use crate::scheduler::{Budget, Job, Scheduler, Sink};
use crate::speculate::Speculation;
use crate::text::{Text, TextStream};
use crate::{Error, Event, FinishReason, Prompt, Request, Result, Stats};

/// Limits of the engine itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests that may wait besides those that run.
    pub queue_len: usize,
    /// Requests that run together.
    pub max_sequences: usize,
    /// Prompt tokens evaluated in one step.
    pub prefill_chunk: usize,
    /// Guess tokens ahead where that is expected to save time; answers are the same.
    pub speculation: Speculation,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            queue_len: 256,
            max_sequences: 64,
            prefill_chunk: 128,
            speculation: Speculation::Auto,
        }
    }
}

/// A loaded model that answers requests on a thread of its own. Dropping it cancels what runs and
/// what waits.
pub struct Engine {
    text: Text,
    vocab_size: usize,
    context_len: usize,
    queue_len: usize,
    /// `None` only while the engine is dropped.
    queue: Option<Sender<Submission>>,
    /// Requests that wait.
    waiting: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What travels through the queue.
struct Submission {
    job: Job,
    sink: EventSink,
}

impl Engine {
    /// Starts an engine on a runner and the text that belongs to it.
    pub fn start(runner: impl Runner + 'static, text: Text, limits: Limits) -> Result<Self> {
        let (vocab_size, context_len) = (runner.vocab_size(), runner.context_len());
        let (queue, submissions) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let budget = Budget {
            max_sequences: limits.max_sequences.max(1),
            prefill_chunk: limits.prefill_chunk.max(1),
            speculation: limits.speculation,
        };
        let mut scheduler = Scheduler::new(runner, budget);
        let thread = std::thread::Builder::new()
            .name("terang-engine".into())
            .spawn(move || serve(&mut scheduler, &submissions))
            .map_err(Error::Thread)?;
        Ok(Self {
            text,
            vocab_size,
            context_len,
            queue_len: limits.queue_len,
            queue: Some(queue),
            waiting: Arc::default(),
            stopping,
            thread: Some(thread),
        })
    }

    /// Takes a request, or says why not. The answer arrives through the [`Generation`].
    pub fn submit(&self, request: Request) -> Result<Generation> {
        let submitted = Instant::now();
        request.validate(self.vocab_size)?;
        let prompt = self.encode(&request.prompt)?;
        // The answer needs a position too.
        let room = self.context_len.saturating_sub(prompt.len());
        if room == 0 {
            return Err(Error::PromptTooLong {
                prompt_tokens: prompt.len(),
                context_len: self.context_len,
            });
        }
        let seed = request.sampling.seed.unwrap_or_else(draw_seed);
        let sampler = Sampler::new(request.sampling, seed, self.vocab_size, &prompt)?;
        let prompt_tokens = prompt.len();
        let place = Place::take(&self.waiting, self.queue_len)?;
        let (events, receiver) = mpsc::channel();
        let cancelled = Arc::new(AtomicBool::new(false));
        let submission = Submission {
            job: Job {
                prompt,
                sampler,
                max_tokens: request.max_tokens.map_or(room, |tokens| tokens.min(room)),
                submitted,
            },
            sink: EventSink {
                prompt_tokens,
                seed,
                stream: self.text.stream(request.stop),
                events,
                cancelled: Arc::clone(&cancelled),
                stopping: Arc::clone(&self.stopping),
                place: Some(place),
            },
        };
        let queue = self.queue.as_ref().ok_or(Error::Stopped)?;
        queue.send(submission).map_err(|_| Error::Stopped)?;
        Ok(Generation {
            events: receiver,
            cancel: CancelHandle { cancelled },
            ended: false,
        })
    }

    /// The tokens of a prompt as [`Self::submit`] would see them.
    pub fn encode(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        self.text.encode(prompt, self.vocab_size)
    }

    /// The model's tokenizer and template.
    pub fn text(&self) -> &Text {
        &self.text
    }

    /// Positions that prompt and answer share.
    pub fn context_len(&self) -> usize {
        self.context_len
    }

    /// One more than the largest token id.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the engine's thread has been reported to its generation already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("vocab_size", &self.vocab_size)
            .field("context_len", &self.context_len)
            .finish_non_exhaustive()
    }
}

/// A seed that fits a JSON number of any reader: 53 bits.
fn draw_seed() -> u64 {
    RandomState::new().hash_one(0) >> 11
}

/// The events of one request, ended by exactly one `Finished` or `Failed`. Dropping it cancels the
/// request.
///
/// Events wait without bound, but there are no more of them than the context has positions.
#[derive(Debug)]
pub struct Generation {
    events: Receiver<Event>,
    cancel: CancelHandle,
    ended: bool,
}

impl Generation {
    /// A handle that cancels this request from anywhere.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }
}

impl Iterator for Generation {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        if self.ended {
            return None;
        }
        let event = self.events.recv().unwrap_or_else(|_| Event::Failed {
            message: Error::Stopped.to_string(),
        });
        self.ended = matches!(event, Event::Finished { .. } | Event::Failed { .. });
        Some(event)
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Cancels a request; it then ends with what it has and [`FinishReason::Cancelled`].
#[derive(Clone, Debug)]
pub struct CancelHandle {
    cancelled: Arc<AtomicBool>,
}

impl CancelHandle {
    /// Asks the request to end. Takes effect after the token or the part of the prompt at hand.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// One of the places in the queue, given up when the request runs or ends.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>, limit: usize) -> Result<Self> {
        let more = |count: usize| (count < limit).then_some(count + 1);
        match waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Self(Arc::clone(waiting))),
            Err(_) => Err(Error::QueueFull { limit }),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The engine's thread: steps while there is work, sleeps while there is none.
fn serve<R: Runner>(scheduler: &mut Scheduler<R, EventSink>, submissions: &Receiver<Submission>) {
    loop {
        if scheduler.is_idle() {
            let Ok(Submission { job, sink }) = submissions.recv() else {
                return;
            };
            scheduler.submit(job, sink);
        }
        for Submission { job, sink } in submissions.try_iter() {
            scheduler.submit(job, sink);
        }
        // A broken promise inside the decoder costs the answers at hand, not the process.
        if catch_unwind(AssertUnwindSafe(|| scheduler.step())).is_err() {
            scheduler.fail_all("engine: an internal error ended this answer");
        }
    }
}

/// Turns the scheduler's progress into events.
#[derive(Debug)]
struct EventSink {
    prompt_tokens: usize,
    seed: u64,
    stream: TextStream,
    events: Sender<Event>,
    cancelled: Arc<AtomicBool>,
    stopping: Arc<AtomicBool>,
    /// Until it runs.
    place: Option<Place>,
}

impl EventSink {
    fn send(&self, event: Event) {
        if self.events.send(event).is_err() {
            // Nobody listens any more.
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

impl Sink for EventSink {
    fn started(&mut self, cached_tokens: usize) {
        self.place = None;
        self.send(Event::Started {
            prompt_tokens: self.prompt_tokens,
            cached_tokens,
            seed: self.seed,
        });
    }

    fn prefill(&mut self, done: usize) {
        self.send(Event::Prefill {
            done,
            total: self.prompt_tokens,
        });
    }

    fn token(&mut self, id: u32) -> bool {
        let (text, ended) = self.stream.push(id);
        self.send(Event::Token { id, text });
        ended
    }

    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed) || self.stopping.load(Ordering::Relaxed)
    }

    fn finish(mut self, reason: FinishReason, stats: Stats) {
        let text = self.stream.finish();
        self.send(Event::Finished {
            text,
            reason,
            stats,
        });
    }

    fn fail(self, message: &str) {
        self.send(Event::Failed {
            message: message.to_owned(),
        });
    }
}
