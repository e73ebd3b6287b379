//! Embeddings: prompts whose hidden states are wanted instead of an answer. They wait in the same
//! line as requests and share their steps.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Instant;

use terang_model::Adapter;

use super::Engine;
use super::handle::{CancelHandle, Place};
use super::sink::Outlet;
use crate::sampler::Sampler;
use crate::scheduler::{Harvest, Job, Sink};
use crate::{Error, FinishReason, Prompt, Result, Sampling, Stats, TokenLogprob};

/// Inputs of one call that wait or run at once, so that a large call leaves places to others.
const AT_ONCE: usize = 16;

/// For whom embeddings are, and how long they may take.
#[derive(Clone, Debug, Default)]
pub struct EmbedOptions {
    /// The adapter that the texts go through, as in [`Request`](crate::Request).
    pub adapter: Option<String>,
    /// Whose call it is: the waiting line is fair between clients.
    pub client: u64,
    /// Higher ones are let in first.
    pub priority: i32,
    /// When to give up, with [`Error::Deadline`].
    pub deadline: Option<Instant>,
    /// Gives up, with [`Error::Cancelled`], when somebody cancels this.
    pub cancel: CancelHandle,
}

impl Engine {
    /// For each of `tokens`, the mean of the model's final hidden states over all its tokens, scaled
    /// to length 1. Waits in the same line as requests do, and for the result.
    pub fn embed(&self, tokens: Vec<Vec<u32>>) -> Result<Vec<Vec<f32>>> {
        self.embed_with(tokens, &EmbedOptions::default())
    }

    /// [`Self::embed`] for somebody in particular.
    pub fn embed_with(
        &self,
        tokens: Vec<Vec<u32>>,
        options: &EmbedOptions,
    ) -> Result<Vec<Vec<f32>>> {
        if self.hidden_size == 0 {
            return Err(Error::Unavailable { what: "embeddings" });
        }
        let adapter = self.adapters.find(options.adapter.as_deref())?;
        let mut inputs = VecDeque::with_capacity(tokens.len());
        for (index, tokens) in tokens.into_iter().enumerate() {
            let prompt = self.encode(&Prompt::Tokens(tokens))?;
            if prompt.len() > self.context_len {
                return Err(Error::PromptTooLong {
                    prompt_tokens: prompt.len(),
                    context_len: self.context_len,
                });
            }
            inputs.push_back((index, prompt));
        }
        let mut found = vec![Vec::new(); inputs.len()];
        let (results, receiver) = mpsc::channel();
        let call = Call(CancelHandle::default());
        let mut under_way = 0;
        while under_way > 0 || !inputs.is_empty() {
            while under_way < AT_ONCE
                && let Some((index, prompt)) = inputs.front()
            {
                let sink = EmbeddingSink {
                    index: *index,
                    embedding: None,
                    results: results.clone(),
                    cancels: [call.0.clone(), options.cancel.clone()],
                    stopping: Arc::clone(&self.stopping),
                    place: None,
                };
                match self.begin_embedding(prompt, adapter.clone(), options, sink) {
                    Ok(()) => {
                        inputs.pop_front();
                        under_way += 1;
                    }
                    // There is a place when one of this call's own is done.
                    Err(Error::QueueFull { .. }) if under_way > 0 => break,
                    Err(error) => return Err(error),
                }
            }
            let (index, embedding) = receiver.recv().map_err(|_| Error::Stopped)?;
            found[index] = embedding?;
            under_way -= 1;
        }
        Ok(found)
    }

    fn begin_embedding(
        &self,
        prompt: &[u32],
        adapter: Option<Arc<Adapter>>,
        options: &EmbedOptions,
        mut sink: EmbeddingSink,
    ) -> Result<()> {
        sink.place = Place::take(&self.waiting, 1, self.queue_len)?.pop();
        // Nothing is chosen, so that neither seed nor settings matter.
        let sampler = Sampler::new(Sampling::default(), 0, self.vocab_size, prompt)?;
        let job = Job {
            client: options.client,
            priority: options.priority,
            deadline: options.deadline,
            adapter,
            harvest: Some(Harvest::hidden(prompt.len(), self.hidden_size)),
            ..Job::new(prompt.to_vec(), sampler, 0)
        };
        let queue = self.queue.as_ref().ok_or(Error::Stopped)?;
        let sent = queue.send(vec![(job, Outlet::Embedding(sink))]);
        sent.map_err(|_| Error::Stopped)
    }
}

/// A call that ends early takes its inputs back.
#[derive(Debug)]
struct Call(CancelHandle);

impl Drop for Call {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// One input's way out.
pub(super) struct EmbeddingSink {
    index: usize,
    embedding: Option<Vec<f32>>,
    results: Sender<(usize, Result<Vec<f32>>)>,
    cancels: [CancelHandle; 2],
    stopping: Arc<AtomicBool>,
    /// Until it runs.
    place: Option<Place>,
}

impl EmbeddingSink {
    fn send(&self, result: Result<Vec<f32>>) {
        // If nobody listens any more, the call has ended.
        let _ = self.results.send((self.index, result));
    }
}

impl Sink for EmbeddingSink {
    fn started(&mut self, _: usize) {
        self.place = None;
    }

    fn prefill(&mut self, _: usize) {}

    fn prompt_logprobs(&mut self, _: Vec<Option<TokenLogprob>>) {}

    fn embedding(&mut self, embedding: Vec<f32>) {
        self.embedding = Some(embedding);
    }

    fn token(&mut self, _: u32, _: Option<TokenLogprob>) -> bool {
        true
    }

    fn cancelled(&self) -> bool {
        self.cancels.iter().any(CancelHandle::is_cancelled) || self.stopping.load(Ordering::Relaxed)
    }

    fn finish(mut self, reason: FinishReason, _: Stats) {
        let result = match (self.embedding.take(), reason) {
            (Some(embedding), _) => Ok(embedding),
            (None, FinishReason::Deadline) => Err(Error::Deadline),
            (None, _) if self.stopping.load(Ordering::Relaxed) => Err(Error::Stopped),
            (None, _) => Err(Error::Cancelled),
        };
        self.send(result);
    }

    fn fail(self, message: &str) {
        self.send(Err(Error::Failed(message.to_owned())));
    }
}

impl fmt::Debug for EmbeddingSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddingSink")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
