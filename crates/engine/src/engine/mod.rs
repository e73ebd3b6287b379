//! The engine's thread, its bounded queue, and the handles by which others use it.
//!
//! A request is checked, rendered and tokenized on the thread that submits it, so that what is
//! wrong with it is that call's error and a long prompt of one does not delay the tokens of
//! another. The engine's thread runs all requests together, step by step.

mod adapters;
mod embed;
mod handle;
mod sink;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

pub use embed::EmbedOptions;
pub use handle::{CancelHandle, Generation};

use crate::constraint::{Grammars, Matcher};
use crate::metrics::{Counters, EngineLoad};
use crate::runner::Runner;
use crate::sampler::Sampler;
use crate::scheduler::{Budget, Harvest, Job, Scheduler};
use crate::speculate::Speculation;
use crate::text::Text;
use crate::{Error, Event, Prompt, Request, Result};
use adapters::Adapters;
use handle::Place;
use sink::{EventSink, Listener, Outlet};

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
    grammars: Grammars,
    adapters: Adapters,
    vocab_size: usize,
    context_len: usize,
    hidden_size: usize,
    queue_len: usize,
    /// `None` only while the engine is dropped.
    queue: Option<Sender<Vec<(Job, Outlet)>>>,
    /// Requests that wait.
    waiting: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    counters: Arc<Counters>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts an engine on a runner and the text that belongs to it.
    pub fn start(runner: impl Runner + 'static, text: Text, limits: Limits) -> Result<Self> {
        Self::start_with_draft(runner, None, text, limits)
    }

    /// Starts an engine for which a smaller model of the same vocabulary guesses tokens ahead, where
    /// that is found to save time. Answers are the same.
    pub fn start_with_draft(
        runner: impl Runner + 'static,
        draft: Option<Box<dyn Runner>>,
        text: Text,
        limits: Limits,
    ) -> Result<Self> {
        let (vocab_size, context_len) = (runner.vocab_size(), runner.context_len());
        let hidden_size = runner.hidden_size();
        let adapters = Adapters::new(runner.config());
        let (queue, submissions) = mpsc::channel();
        let stopping = Arc::new(AtomicBool::new(false));
        let budget = Budget {
            max_sequences: limits.max_sequences.max(1),
            prefill_chunk: limits.prefill_chunk.max(1),
            speculation: limits.speculation,
        };
        let counters = Arc::new(Counters::default());
        let mut scheduler = Scheduler::new(runner, budget, Arc::clone(&counters));
        if let Some(draft) = draft {
            scheduler.guess_with(draft);
        }
        let thread = std::thread::Builder::new()
            .name("terang-engine".into())
            .spawn(move || serve(&mut scheduler, &submissions))
            .map_err(Error::Thread)?;
        Ok(Self {
            grammars: Grammars::new(text.shared_tokenizer(), vocab_size),
            text,
            adapters,
            vocab_size,
            context_len,
            hidden_size,
            queue_len: limits.queue_len,
            queue: Some(queue),
            waiting: Arc::default(),
            stopping,
            counters,
            thread: Some(thread),
        })
    }

    /// Takes a request, or says why not. The answer arrives through the [`Generation`].
    pub fn submit(&self, request: Request) -> Result<Generation> {
        let (events, receiver) = mpsc::channel();
        // A generation that is dropped cancels its request, so that nobody listening is no error.
        let cancel = self.submit_with(request, move |event| drop(events.send(event)))?;
        Ok(Generation::new(receiver, cancel))
    }

    /// Like [`Self::submit`], for callers that cannot wait on an iterator: `on_event` is called with
    /// each event on one of the engine's threads, where it must neither block nor panic.
    pub fn submit_with(
        &self,
        request: Request,
        on_event: impl FnMut(Event) + Send + 'static,
    ) -> Result<CancelHandle> {
        let mut handles = self.enqueue(request, vec![Box::new(on_event)])?;
        handles.pop().ok_or(Error::Stopped)
    }

    /// `n` answers to one prompt, which is evaluated once. The seed of the first is the request's
    /// (or a drawn one), that of each further answer is one more. `on_event` gets the number of the
    /// answer, from 0, with each event. All of them are taken or none.
    pub fn submit_n(
        &self,
        request: Request,
        n: usize,
        on_event: impl FnMut(usize, Event) + Send + 'static,
    ) -> Result<Vec<CancelHandle>> {
        if n == 0 || n > self.queue_len {
            let allowed = format!("1 to {}", self.queue_len);
            return Err(Error::invalid("n", n, allowed));
        }
        let on_event = Arc::new(Mutex::new(on_event));
        let listeners = (0..n).map(|index| {
            let on_event = Arc::clone(&on_event);
            Box::new(move |event| {
                let mut on_event = on_event.lock().unwrap_or_else(PoisonError::into_inner);
                on_event(index, event);
            }) as Listener
        });
        self.enqueue(request, listeners.collect())
    }

    /// Puts a request into the queue, with an answer for each listener.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a request is handed over, whatever is copied of it for several answers"
    )]
    fn enqueue(&self, request: Request, listeners: Vec<Listener>) -> Result<Vec<CancelHandle>> {
        let submitted = Instant::now();
        request.validate(self.vocab_size)?;
        let adapter = self.adapters.find(request.adapter.as_deref())?;
        let prompt = self.encode(&request.prompt)?;
        let room = self.context_len.saturating_sub(prompt.len());
        let max_tokens = request.max_tokens.map_or(room, |tokens| tokens.min(room));
        // The answer needs a position too, if one is wanted.
        if room == 0 && request.max_tokens != Some(0) || prompt.len() > self.context_len {
            return Err(Error::PromptTooLong {
                prompt_tokens: prompt.len(),
                context_len: self.context_len,
            });
        }
        let first_seed = request.sampling.seed.unwrap_or_else(draw_seed);
        let ends = self.text.ends(&request);
        let matcher = match &request.constraint {
            Some(constraint) => Some(self.grammars.compile(constraint, &ends)?),
            None => None,
        };
        let mut submissions = Vec::with_capacity(listeners.len());
        let mut handles = Vec::with_capacity(listeners.len());
        let places = Place::take(&self.waiting, listeners.len(), self.queue_len)?;
        for ((listener, place), index) in listeners.into_iter().zip(places).zip(0..) {
            let seed = first_seed.wrapping_add(index);
            let sampler = Sampler::new(request.sampling.clone(), seed, self.vocab_size, &prompt)?;
            let stream = self.text.stream(&request, &ends);
            let sink = EventSink::new(
                prompt.len(),
                seed,
                stream,
                listener,
                Arc::clone(&self.stopping),
                place,
            );
            let job = Job {
                end_tokens: ends.clone(),
                min_tokens: request.min_tokens,
                deadline: request.deadline,
                client: request.client,
                priority: request.priority,
                cache_salt: request.cache_salt,
                adapter: adapter.clone(),
                logprobs: request.logprobs,
                matcher: matcher.as_ref().map(Matcher::fork),
                harvest: request
                    .prompt_logprobs
                    .map(|count| Harvest::logprobs(prompt.len(), count)),
                submitted,
                ..Job::new(prompt.clone(), sampler, max_tokens)
            };
            handles.push(sink.cancel_handle());
            submissions.push((job, Outlet::Events(sink)));
        }
        let sent = match &self.queue {
            Some(queue) => queue.send(submissions),
            None => Err(mpsc::SendError(submissions)),
        };
        if let Err(mpsc::SendError(submissions)) = sent {
            for (_, outlet) in submissions {
                if let Outlet::Events(sink) = outlet {
                    sink.disown();
                }
            }
            return Err(Error::Stopped);
        }
        Ok(handles)
    }

    /// How busy the engine is, and what it has done since it started.
    pub fn load(&self) -> EngineLoad {
        self.counters.read(self.waiting.load(Ordering::Relaxed))
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

/// The engine's thread: steps while there is work, sleeps while there is none.
fn serve<R: Runner>(
    scheduler: &mut Scheduler<R, Outlet>,
    submissions: &Receiver<Vec<(Job, Outlet)>>,
) {
    loop {
        let first = if scheduler.is_idle() {
            match submissions.recv() {
                Ok(first) => Some(first),
                Err(_) => return,
            }
        } else {
            None
        };
        for jobs in first.into_iter().chain(submissions.try_iter()) {
            scheduler.submit(jobs);
        }
        // A broken promise inside the decoder costs the answers at hand, not the process.
        if catch_unwind(AssertUnwindSafe(|| scheduler.step())).is_err() {
            scheduler.fail_all("engine: an internal error ended this answer");
        }
    }
}
