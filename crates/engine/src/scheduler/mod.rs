//! What is computed when, on token ids only.
//!
//! All running sequences share each call of the runner (continuous batching): those that decode bring
//! a token each, and what is left of the step's budget goes to prompts, in chunks, so that a long
//! prompt holds nobody up for longer than one step. Requests enter first come, first served, as soon
//! as a place and enough pages are there. What a finished sequence leaves in the cache serves those
//! that begin alike; when pages run out, what was used longest ago goes first, then the youngest
//! sequence is put back to wait and is computed again later.
//!
//! By the numerics contract none of this can show in an answer. Invariant: the first
//! `sequence.len()` of a task's tokens are those whose keys and values are on its pages.

mod memory;
mod task;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::metrics::Counters;
use crate::prefix::{Hit, PrefixCache};
use crate::runner::{Chunk, LogitsWanted, PAGE, Runner, Sequence};
use crate::speculate::{Speculation, StepCost};
use crate::{Error, FinishReason, Result};

pub(crate) use task::{Job, Sink};
use task::{Running, Task};

/// Prompts that share one step.
const PROMPTS_IN_A_STEP: usize = 4;
/// Guessed tokens of all sequences in one step; each has a row of logits.
const DRAFT_ROWS_MAX: usize = 32;

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
    waiting: VecDeque<Task<S>>,
    /// In the order in which they were admitted.
    running: Vec<Running<S>>,
    prefix: PrefixCache,
    step_cost: StepCost,
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
            waiting: VecDeque::new(),
            running: Vec::new(),
            prefix: PrefixCache::new(),
            step_cost: StepCost::new(),
            counters,
        }
    }

    /// Takes a job, which waits for its turn.
    pub(crate) fn submit(&mut self, job: Job, sink: S) {
        assert!(!job.prompt.is_empty() && job.max_tokens > 0);
        assert!(job.prompt.len() + job.max_tokens <= self.runner.context_len());
        self.waiting.push_back(Task::new(job, sink));
    }

    /// Nothing runs and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// One call of the runner and what belongs to it.
    pub(crate) fn step(&mut self) {
        self.end_cancelled();
        self.admit();
        let mut shares = self.shares();
        let prompts = shares.iter().any(|s| self.running[s.index].in_prefill());
        if !prompts {
            // Beside a prompt's chunk the cost of a row is not the one that is known.
            self.draft(&mut shares);
        }
        self.make_room(&mut shares);
        if shares.is_empty() {
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
    }

    /// Ends everything that runs with an error and empties the cache, since nobody knows what a
    /// failed call left in it.
    pub(crate) fn fail_all(&mut self, message: &str) {
        for mut running in std::mem::take(&mut self.running) {
            self.runner.blocks().release(&mut running.sequence);
            running.task.fail(message);
        }
        self.prefix.clear(self.runner.blocks());
    }

    fn end_cancelled(&mut self) {
        self.waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .filter_map(|task| {
                if !task.sink.cancelled() {
                    return Some(task);
                }
                task.finish(FinishReason::Cancelled);
                None
            })
            .collect();
        for index in (0..self.running.len()).rev() {
            if self.running[index].task.sink.cancelled() {
                self.end(index, FinishReason::Cancelled);
            }
        }
    }

    /// Lets tasks in while there are places and pages. One whose prompt begins like a prompt that is
    /// being evaluated waits for that, and then need not evaluate it again.
    fn admit(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() && self.running.len() < self.budget.max_sequences {
            let task = &self.waiting[index];
            let hits = self.prefix.find(task.reusable());
            let known: usize = hits.iter().map(|hit| hit.positions).sum();
            if self.prefill_in_common(task) >= known + PAGE {
                index += 1;
                continue;
            }
            let blocks = self.runner.blocks();
            // Pages that only the cache of beginnings holds are counted as free elsewhere.
            let in_use = hits.iter().filter(|hit| blocks.holders(hit.page) > 1);
            let new_pages = task.tokens.len() / PAGE + 1 - in_use.count();
            if !self.running.is_empty() && new_pages > self.pages_to_spare() {
                return;
            }
            if let Some(task) = self.waiting.remove(index) {
                let running = self.begin(task, &hits);
                self.running.push(running);
            }
        }
    }

    /// The longest beginning that a task shares with a prompt in evaluation.
    fn prefill_in_common(&self, task: &Task<S>) -> usize {
        let prompts = self.running.iter().filter(|r| r.in_prefill());
        let shared = prompts.map(|running| {
            let pairs = running.task.tokens.iter().zip(task.reusable());
            pairs.take_while(|(a, b)| a == b).count()
        });
        shared.max().unwrap_or(0)
    }

    /// Gives a task what the cache holds of its tokens.
    fn begin(&mut self, mut task: Task<S>, hits: &[Hit]) -> Running<S> {
        let mut sequence = Sequence::new();
        self.prefix.touch(hits);
        for hit in hits {
            let blocks = self.runner.blocks();
            blocks.adopt(&mut sequence, hit.page, hit.positions);
        }
        task.start(sequence.len());
        Running { sequence, task }
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
        // The oldest is always served, so that it ends; besides it those that have come least far,
        // so that short prompts are not kept waiting by long ones.
        if let Some((_, younger)) = prompts.split_first_mut() {
            younger.sort_by_key(|&index| self.running[index].sequence.len());
        }
        prompts.truncate(PROMPTS_IN_A_STEP);
        let mut budget = self.budget.prefill_chunk;
        let wanted = |index: usize| (self.running[index].to_evaluate(), index);
        let mut wanting: Vec<(usize, usize)> = prompts.into_iter().map(wanted).collect();
        // Shortest first: what it does not need is left to the others.
        wanting.sort_unstable();
        for (done, &(wanted, index)) in wanting.iter().enumerate() {
            let fair = budget.div_ceil(wanting.len() - done);
            let tokens = wanted.min(fair);
            if tokens > 0 {
                budget -= tokens;
                shares.push(Share { index, tokens });
            }
        }
        shares.sort_unstable_by_key(|share| share.index);
        shares
    }

    /// Lets sequences that decode guess, as far as that is worth the time.
    fn draft(&mut self, shares: &mut [Share]) {
        let mut rows = shares.len();
        let rows_max = rows + DRAFT_ROWS_MAX;
        for share in shares {
            let task = &mut self.running[share.index].task;
            if task.chosen() > 0 && rows < rows_max {
                let count = match self.budget.speculation {
                    Speculation::Off => 0,
                    Speculation::Auto => self.step_cost.worthwhile(&task.lookup, rows - 1),
                    Speculation::Fixed(count) => count,
                };
                let guessed = task.draft(count.min(rows_max - rows));
                share.tokens += guessed;
                rows += guessed;
            }
        }
    }

    fn forward(&mut self, shares: &[Share]) -> Result<()> {
        let mut shares = shares.iter().peekable();
        let mut chunks = Vec::new();
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(share) = shares.next_if(|share| share.index == index) else {
                continue;
            };
            let start = running.sequence.len();
            let end = start + share.tokens;
            let logits = if end < running.task.tokens.len() {
                LogitsWanted::None
            } else if running.task.rows() == 1 {
                LogitsWanted::Last
            } else {
                LogitsWanted::All
            };
            chunks.push(Chunk {
                sequence: &mut running.sequence,
                tokens: &running.task.tokens[start..end],
                logits,
            });
        }
        self.runner.forward(&mut chunks)
    }

    /// Chooses the next tokens of each sequence that has logits, all sequences at once, and ends
    /// those that are done.
    fn advance(&mut self, shares: &[Share]) {
        let mut row = 0;
        let mut choices = Vec::new();
        let mut shares = shares.iter().peekable();
        for (index, running) in self.running.iter_mut().enumerate() {
            if shares.next_if(|share| share.index == index).is_none() {
                continue;
            }
            let Running { sequence, task } = running;
            task.evaluated(sequence.len());
            if sequence.len() == task.tokens.len() {
                let rows = task.rows();
                choices.push((index, row, Mutex::new((task, Ok(None)))));
                row += rows;
            }
        }
        let logits = self.runner.logits();
        assert_eq!(logits.len(), row, "a row of logits for each that asked");
        self.runner.for_each(choices.len(), &|i| {
            let (_, row, choice) = &choices[i];
            let mut choice = choice.lock().unwrap_or_else(PoisonError::into_inner);
            choice.1 = choice.0.choose(logits, *row);
        });
        let ends: Vec<(usize, Result<Option<FinishReason>>)> = choices
            .into_iter()
            .map(|(index, _, choice)| {
                let (_, end) = choice.into_inner().unwrap_or_else(PoisonError::into_inner);
                (index, end)
            })
            .collect();
        for (index, end) in ends.into_iter().rev() {
            let Running { sequence, task } = &mut self.running[index];
            // Guesses that were wrong, and the last token, are not in the sequence.
            let evaluated = task.tokens.len() - 1;
            self.runner.blocks().truncate(sequence, evaluated);
            match end {
                Ok(None) if task.chosen() == 1 => self.share_prompt(index),
                Ok(None) => {}
                Ok(Some(reason)) => self.end(index, reason),
                Err(error) => self.fail(index, &error),
            }
        }
    }

    /// Ends a sequence and leaves its pages to those that begin alike.
    fn end(&mut self, index: usize, reason: FinishReason) {
        let mut running = self.running.remove(index);
        self.keep(&mut running);
        running.task.finish(reason);
    }

    fn fail(&mut self, index: usize, error: &Error) {
        let mut running = self.running.remove(index);
        self.runner.blocks().release(&mut running.sequence);
        running.task.fail(&error.to_string());
    }
}
