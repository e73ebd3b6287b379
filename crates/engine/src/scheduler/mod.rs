//! What is computed when, on token ids only.
//!
//! All running sequences share each call of the runner (continuous batching): those that decode bring
//! a token each, and what is left of the step's budget goes to prompts, in chunks, so that a long
//! prompt holds nobody up for longer than one step. Requests enter in the order of `line`, as soon as
//! a place and enough pages are there. What a finished sequence leaves in the cache serves those that
//! begin alike; when pages run out, what was used longest ago goes first, then the youngest sequence
//! is put back to wait and is computed again later.
//!
//! By the numerics contract none of this can show in an answer. Invariant: the first
//! `sequence.len()` of a task's tokens are those whose keys and values are on its pages.

mod admit;
mod advance;
mod drafting;
#[cfg(test)]
mod fairness;
mod harvest;
mod line;
mod memory;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use crate::metrics::Counters;
use crate::prefix::PrefixCache;
use crate::runner::Runner;
use crate::speculate::{Drafter, Speculation, StepCost};

pub(crate) use harvest::Harvest;
use line::Line;
pub(crate) use task::{Job, Sink};
use task::{Running, Task};

/// Of each step's prompt tokens one in so many is the oldest prompt's.
const PART_OF_THE_OLDEST: usize = 4;
/// Rows of logits in one step for the log-probabilities of prompts; bounds their memory.
const PROMPT_ROWS_MAX: usize = 64;

/// How much is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget {
    /// Sequences that run together.
    pub(crate) max_sequences: usize,
    /// Prompt tokens of one step: large enough to reuse each weight often, small enough that a
    /// token of another sequence does not wait long.
    pub(crate) prefill_chunk: usize,
    /// Guess tokens where that is expected to save time.
    pub(crate) speculation: Speculation,
}

/// Runs tasks on one runner.
#[derive(Debug)]
pub(crate) struct Scheduler<R, S> {
    runner: R,
    budget: Budget,
    line: Line<S>,
    /// In the order in which they were admitted.
    running: Vec<Running<S>>,
    prefix: PrefixCache,
    step_cost: StepCost,
    /// A smaller model that guesses, if there is one.
    drafter: Option<Drafter>,
    /// The next task's.
    next_id: u64,
    counters: Arc<Counters>,
}

/// What a running sequence does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    index: usize,
    tokens: usize,
}

impl<R: Runner, S: Sink> Scheduler<R, S> {
    pub(crate) fn new(runner: R, budget: Budget, counters: Arc<Counters>) -> Self {
        assert!(budget.prefill_chunk > 0 && budget.max_sequences > 0);
        Self {
            runner,
            budget,
            line: Line::new(),
            running: Vec::new(),
            prefix: PrefixCache::new(),
            step_cost: StepCost::new(),
            drafter: None,
            next_id: 0,
            counters,
        }
    }

    /// Lets a smaller model of the same vocabulary guess.
    pub(crate) fn guess_with(&mut self, runner: Box<dyn Runner>) {
        let vocab_size = self.runner.vocab_size();
        self.drafter = Some(Drafter::new(runner, vocab_size));
    }

    /// Takes jobs with one prompt, which is evaluated once.
    pub(crate) fn submit(&mut self, jobs: Vec<(Job, S)>) {
        let mut tasks = Vec::with_capacity(jobs.len());
        for (job, sink) in jobs {
            assert!(!job.prompt.is_empty() && (job.max_tokens > 0 || job.harvest.is_some()));
            assert!(job.prompt.len() + job.max_tokens <= self.runner.context_len());
            tasks.push(Task::new(self.next_id, job, sink));
            self.next_id += 1;
        }
        let mut tasks = tasks.into_iter();
        if let Some(mut first) = tasks.next() {
            let siblings = tasks.collect::<Vec<_>>();
            for sibling in &siblings {
                assert!(sibling.tokens == first.tokens, "answers to one prompt");
            }
            let standings: Vec<_> = siblings.iter().map(|sibling| sibling.standing).collect();
            first.siblings = siblings;
            self.line.join(first);
            for standing in standings {
                self.line.comes_along(standing.client);
            }
        }
    }

    /// Nothing runs and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.line.is_empty()
    }

    /// One call of the runner and what belongs to it.
    pub(crate) fn step(&mut self) {
        self.end_early();
        self.admit();
        Counters::set(&self.counters.running, self.running.len());
        let mut shares = self.shares();
        let prompts = shares.iter().any(|s| self.running[s.index].in_prefill());
        if !prompts {
            // Beside a prompt's chunk the cost of a row is not the one that is known.
            self.draft(&mut shares);
        }
        self.make_room(&mut shares);
        if shares.is_empty() {
            self.report();
            return;
        }
        let rows = shares.iter().map(|share| share.tokens).sum();
        let begun = Instant::now();
        match self.forward(&shares) {
            Ok(()) => self.advance(&shares),
            Err(error) => self.fail_all(&error.to_string()),
        }
        if !prompts {
            self.step_cost.learn(rows, begun.elapsed().as_secs_f64());
        }
        self.report();
    }

    /// Tells those who watch how things stand.
    fn report(&mut self) {
        let (counters, blocks) = (&*self.counters, self.runner.blocks());
        Counters::set(&counters.running, self.running.len());
        Counters::set(&counters.put_back, self.line.put_back_count());
        Counters::set(&counters.pages_total, blocks.pages_max());
        Counters::set(&counters.pages_free, blocks.free_pages());
        let cached = self.prefix.evictable(blocks);
        Counters::set(&counters.pages_cached, cached);
    }

    /// Ends everything that runs with an error and empties the cache, since nobody knows what a
    /// failed call left in it.
    pub(crate) fn fail_all(&mut self, message: &str) {
        for mut running in std::mem::take(&mut self.running) {
            self.runner.blocks().release(&mut running.sequence);
            self.fail_task(running.task, message);
        }
        self.prefix.clear(self.runner.blocks());
        if let Some(drafter) = &mut self.drafter {
            drafter.clear();
        }
    }

    /// Who brings how many tokens to this step.
    fn shares(&self) -> Vec<Share> {
        let mut shares = Vec::new();
        let mut prompts = Vec::new();
        for (index, running) in self.running.iter().enumerate() {
            if running.in_prefill() {
                prompts.push(index);
            } else {
                shares.push(Share { index, tokens: 1 });
            }
        }
        // Those that have the least left come first: all wait less than if they took turns. The oldest has
        // a part of each step before, so that it ends however many come.
        let oldest = prompts.first().copied();
        prompts.sort_by_key(|&index| self.running[index].to_evaluate());
        let mut budget = self.budget.prefill_chunk;
        let mut rows = PROMPT_ROWS_MAX;
        let mut given = vec![0; prompts.len()];
        let mut give = |place: usize, most: usize| {
            let running = &self.running[prompts[place]];
            let wanted = running.to_evaluate() - given[place];
            let mut tokens = wanted.min(most).min(budget);
            let harvest = running.task.harvest.as_ref();
            if harvest.is_some_and(|harvest| harvest.alternatives().is_some()) {
                tokens = tokens.min(rows);
                rows -= tokens;
            }
            budget -= tokens;
            given[place] += tokens;
        };
        if let Some(place) = prompts.iter().position(|&index| Some(index) == oldest) {
            give(
                place,
                self.budget.prefill_chunk.div_ceil(PART_OF_THE_OLDEST),
            );
        }
        for place in 0..prompts.len() {
            give(place, usize::MAX);
        }
        let given = prompts.into_iter().zip(given);
        let some = given.filter(|&(_, tokens)| tokens > 0);
        shares.extend(some.map(|(index, tokens)| Share { index, tokens }));
        shares.sort_unstable_by_key(|share| share.index);
        shares
    }
}
