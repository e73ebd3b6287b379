//! How busy an engine is and what it has done so far, for those who watch it from other threads.

use std::sync::atomic::{AtomicU64, Ordering};

/// What [`Engine::load`](crate::Engine::load) tells: the state after the last step, and counts since
/// the engine started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineLoad {
    /// Requests that run.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Pages of the cache.
    pub pages_total: usize,
    /// Pages that nobody holds.
    pub pages_free: usize,
    /// Pages that hold only beginnings of sequences that ended; they are given up when needed.
    pub pages_cached: usize,
    /// Requests that ended, however they did.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
    /// Prompt tokens of the requests that were let in.
    pub prompt_tokens: u64,
    /// Prompt tokens that were in the cache already.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Tokens guessed ahead.
    pub drafted_tokens: u64,
    /// Guesses that proved right.
    pub accepted_tokens: u64,
    /// Requests that were put back to wait because pages ran out.
    pub preemptions: u64,
}

/// Written by the engine's thread, read by anyone.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) running: AtomicU64,
    /// Those that ran before and wait again; they hold no place in the queue.
    pub(crate) put_back: AtomicU64,
    pub(crate) pages_total: AtomicU64,
    pub(crate) pages_free: AtomicU64,
    pub(crate) pages_cached: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) cached_tokens: AtomicU64,
    pub(crate) generated_tokens: AtomicU64,
    pub(crate) drafted_tokens: AtomicU64,
    pub(crate) accepted_tokens: AtomicU64,
    pub(crate) preemptions: AtomicU64,
}

impl Counters {
    /// All of them, with the number of those that wait to run first, which the queue knows.
    pub(crate) fn read(&self, waiting: usize) -> EngineLoad {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EngineLoad {
            running: get(&self.running) as usize,
            waiting: waiting + get(&self.put_back) as usize,
            pages_total: get(&self.pages_total) as usize,
            pages_free: get(&self.pages_free) as usize,
            pages_cached: get(&self.pages_cached) as usize,
            requests: get(&self.requests),
            failed: get(&self.failed),
            prompt_tokens: get(&self.prompt_tokens),
            cached_tokens: get(&self.cached_tokens),
            generated_tokens: get(&self.generated_tokens),
            drafted_tokens: get(&self.drafted_tokens),
            accepted_tokens: get(&self.accepted_tokens),
            preemptions: get(&self.preemptions),
        }
    }

    pub(crate) fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(counter: &AtomicU64, value: usize) {
        counter.store(value as u64, Ordering::Relaxed);
    }
}
