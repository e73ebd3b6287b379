//! Turns the scheduler's progress into what callers of the engine wait for.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::embed::EmbeddingSink;
use super::handle::{CancelHandle, Place};
use crate::scheduler::Sink;
use crate::text::TextStream;
use crate::{Error, Event, FinishReason, Stats, TokenLogprob};

/// Who is told of the events.
pub(super) type Listener = Box<dyn FnMut(Event) + Send>;

/// Where a job's results go.
#[derive(Debug)]
pub(super) enum Outlet {
    Events(EventSink),
    Embedding(EmbeddingSink),
}

/// Calls the method of whichever sink it is.
macro_rules! either {
    ($outlet:expr, $sink:ident => $call:expr) => {
        match $outlet {
            Outlet::Events($sink) => $call,
            Outlet::Embedding($sink) => $call,
        }
    };
}

impl Sink for Outlet {
    fn started(&mut self, cached_tokens: usize) {
        either!(self, sink => sink.started(cached_tokens));
    }

    fn prefill(&mut self, done: usize) {
        either!(self, sink => sink.prefill(done));
    }

    fn prompt_logprobs(&mut self, logprobs: Vec<Option<TokenLogprob>>) {
        either!(self, sink => sink.prompt_logprobs(logprobs));
    }

    fn embedding(&mut self, embedding: Vec<f32>) {
        either!(self, sink => sink.embedding(embedding));
    }

    fn token(&mut self, id: u32, logprob: Option<TokenLogprob>) -> bool {
        either!(self, sink => sink.token(id, logprob))
    }

    fn cancelled(&self) -> bool {
        either!(self, sink => sink.cancelled())
    }

    fn finish(self, reason: FinishReason, stats: Stats) {
        either!(self, sink => sink.finish(reason, stats));
    }

    fn fail(self, message: &str) {
        either!(self, sink => sink.fail(message));
    }
}

/// One request's way out.
pub(super) struct EventSink {
    prompt_tokens: usize,
    seed: u64,
    stream: TextStream,
    listener: Listener,
    cancel: CancelHandle,
    stopping: Arc<AtomicBool>,
    /// Until it runs.
    place: Option<Place>,
    /// The last event is out.
    ended: bool,
}

impl EventSink {
    pub(super) fn new(
        prompt_tokens: usize,
        seed: u64,
        stream: TextStream,
        listener: Listener,
        stopping: Arc<AtomicBool>,
        place: Place,
    ) -> Self {
        Self {
            prompt_tokens,
            seed,
            stream,
            listener,
            cancel: CancelHandle::default(),
            stopping,
            place: Some(place),
            ended: false,
        }
    }

    pub(super) fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Ends without an event: the caller learns what happened from the call's error.
    pub(super) fn disown(mut self) {
        self.ended = true;
    }

    fn send(&mut self, event: Event) {
        self.ended = event.is_end();
        (self.listener)(event);
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

    fn prompt_logprobs(&mut self, logprobs: Vec<Option<TokenLogprob>>) {
        self.send(Event::PromptLogprobs(logprobs));
    }

    fn embedding(&mut self, _: Vec<f32>) {
        unreachable!("embeddings have a sink of their own");
    }

    fn token(&mut self, id: u32, logprob: Option<TokenLogprob>) -> bool {
        let (text, ended) = self.stream.push(id);
        self.send(Event::Token { id, logprob, text });
        ended
    }

    fn cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.stopping.load(Ordering::Relaxed)
    }

    fn finish(mut self, reason: FinishReason, stats: Stats) {
        let text = self.stream.finish();
        self.send(Event::Finished {
            text,
            reason,
            stats,
        });
    }

    fn fail(mut self, message: &str) {
        self.send(Event::Failed {
            message: message.to_owned(),
        });
    }
}

impl Drop for EventSink {
    fn drop(&mut self) {
        // Whoever listens is owed an end, even if the engine's thread dies.
        if !self.ended {
            self.send(Event::Failed {
                message: Error::Stopped.to_string(),
            });
        }
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSink")
            .field("prompt_tokens", &self.prompt_tokens)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
