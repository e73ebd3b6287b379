//! What is computed when: prefill in chunks, then one token at a time, on token ids only.
//!
//! One sequence runs at a time. Its tokens stay in the cache afterwards, so that the next turn of
//! the same conversation evaluates only what is new: the cache is cut to the longest beginning that
//! it shares with the next prompt. By the numerics contract neither that nor the chunking of the
//! prompt can show in the logits.
//!
//! Invariant: `cached` holds exactly the tokens whose keys and values are in the runner's cache.

#[cfg(test)]
mod tests;

use std::time::Instant;

use crate::runner::{Runner, Wanted};
use crate::sampler::Sampler;
use crate::{FinishReason, Result, Stats};

/// One generation, as token ids.
#[derive(Debug)]
pub(crate) struct Job {
    /// At least one token; with `max_tokens`, within the context.
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampler: Sampler,
    pub(crate) max_tokens: usize,
    pub(crate) submitted: Instant,
}

/// Where a job's progress goes, and where its end comes from.
pub(crate) trait Sink {
    /// The job has its place; this much of its prompt is in the cache.
    fn started(&mut self, cached_tokens: usize);
    /// This much of the prompt is done.
    fn prefill(&mut self, done: usize);
    /// A token was chosen. Gives whether it ends the answer.
    fn token(&mut self, id: u32) -> bool;
    /// Whether to end as soon as possible; asked before every call of the runner.
    fn cancelled(&self) -> bool;
}

/// Runs jobs one after another on one runner.
#[derive(Debug)]
pub(crate) struct Scheduler<R> {
    runner: R,
    cached: Vec<u32>,
    /// Prompt tokens of one call: large enough to reuse each weight often, small enough that a
    /// cancelled prompt ends soon.
    prefill_chunk: usize,
    /// Scratch, one row of logits.
    logits: Vec<f32>,
}

impl<R: Runner> Scheduler<R> {
    pub(crate) fn new(runner: R, prefill_chunk: usize) -> Self {
        assert!(prefill_chunk > 0);
        Self {
            runner,
            cached: Vec::new(),
            prefill_chunk,
            logits: Vec::new(),
        }
    }

    /// Runs a job to its end. After an error the cache is empty, since nobody knows what a failed
    /// call left in it.
    pub(crate) fn run(&mut self, job: Job, sink: &mut dyn Sink) -> Result<(FinishReason, Stats)> {
        let result = self.prefill_and_decode(job, sink);
        if result.is_err() {
            self.forget();
        }
        result
    }

    /// Empties the cache.
    pub(crate) fn forget(&mut self) {
        self.truncate(0);
    }

    fn prefill_and_decode(
        &mut self,
        mut job: Job,
        sink: &mut dyn Sink,
    ) -> Result<(FinishReason, Stats)> {
        assert!(!job.prompt.is_empty() && job.max_tokens > 0);
        assert!(job.prompt.len() + job.max_tokens <= self.runner.context_len());
        if sink.cancelled() {
            // While it waited. The cache stays for others.
            sink.started(0);
            let stats = Stats {
                prompt_tokens: job.prompt.len(),
                ..Stats::default()
            };
            return Ok((FinishReason::Cancelled, stats));
        }
        let started = Instant::now();
        let reused = self.reuse(&job.prompt);
        sink.started(reused);
        let mut stats = Stats {
            prompt_tokens: job.prompt.len(),
            cached_tokens: reused,
            ..Stats::default()
        };

        while self.cached.len() < job.prompt.len() {
            if sink.cancelled() {
                stats.prefill_ms = ms_since(started);
                return Ok((FinishReason::Cancelled, stats));
            }
            let done = self.cached.len();
            let end = job.prompt.len().min(done + self.prefill_chunk);
            let last = end == job.prompt.len();
            let wanted = if last { Wanted::Last } else { Wanted::None };
            self.forward(&job.prompt[done..end], wanted)?;
            sink.prefill(end);
        }
        stats.prefill_ms = ms_since(started);

        let mut first_token_at = None;
        let reason = loop {
            // The token's position: nothing else but the seed decides its draw.
            let id = job.sampler.sample(&mut self.logits, self.cached.len())?;
            stats.completion_tokens += 1;
            if first_token_at.is_none() {
                first_token_at = Some(Instant::now());
                stats.ttft_ms = ms_since(job.submitted);
            }
            if sink.token(id) {
                break FinishReason::Stop;
            }
            if stats.completion_tokens == job.max_tokens {
                break FinishReason::Length;
            }
            if sink.cancelled() {
                break FinishReason::Cancelled;
            }
            self.forward(&[id], Wanted::Last)?;
        };
        stats.decode_ms = first_token_at.map_or(0.0, ms_since);
        Ok((reason, stats))
    }

    /// Cuts the cache to what it shares with `prompt`, but for the prompt's last token: it must be
    /// evaluated to have logits. Gives the length.
    fn reuse(&mut self, prompt: &[u32]) -> usize {
        let shared = self
            .cached
            .iter()
            .zip(&prompt[..prompt.len() - 1])
            .take_while(|(cached, wanted)| cached == wanted)
            .count();
        self.truncate(shared);
        shared
    }

    fn truncate(&mut self, len: usize) {
        self.cached.truncate(len);
        self.runner.truncate(len);
    }

    fn forward(&mut self, tokens: &[u32], wanted: Wanted) -> Result<()> {
        let logits = &mut self.logits;
        self.runner.forward(tokens, wanted, &mut |row| {
            logits.clear();
            logits.extend_from_slice(row);
        })?;
        self.cached.extend_from_slice(tokens);
        Ok(())
    }
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
