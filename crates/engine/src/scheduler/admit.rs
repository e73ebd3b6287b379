//! Who comes and who leaves: tasks are let in while there are places and pages, and end early when
//! they are cancelled or their deadline has passed.

use std::time::Instant;

use super::Scheduler;
use super::task::{Running, Sink, Task};
use crate::metrics::Counters;
use crate::prefix::Hit;
use crate::runner::{PAGE, Runner};
use crate::{Error, FinishReason};

impl<R: Runner, S: Sink> Scheduler<R, S> {
    /// Ends what was cancelled or is too late, running or waiting.
    pub(super) fn end_early(&mut self) {
        let now = Instant::now();
        for task in self.line.take_out(|task| task.ends_now(now).is_some()) {
            // It was cancelled since, at worst; then that is the reason.
            let reason = task.ends_now(now).unwrap_or(FinishReason::Cancelled);
            self.finish(task, reason);
        }
        for index in (0..self.running.len()).rev() {
            if let Some(reason) = self.running[index].task.ends_now(now) {
                self.end(index, reason);
            }
        }
        let mut leaving = Vec::new();
        let running = self.running.iter_mut().map(|running| &mut running.task);
        for task in running.chain(self.line.tasks_mut()) {
            for index in (0..task.siblings.len()).rev() {
                if let Some(reason) = task.siblings[index].ends_now(now) {
                    leaving.push((task.siblings.remove(index), reason));
                }
            }
        }
        for (task, reason) in leaving {
            self.finish(task, reason);
        }
    }

    /// Lets tasks in while there are places and pages. One whose prompt begins like a prompt that is
    /// being evaluated waits for that, and then need not evaluate it again.
    pub(super) fn admit(&mut self) {
        let mut held_back = Vec::new();
        while self.running.len() < self.budget.max_sequences {
            let Some(mut task) = self.line.take_next() else {
                break;
            };
            let hits = self.prefix.find(task.salt, task.reusable());
            let known: usize = hits.iter().map(|hit| hit.positions).sum();
            if self.prefill_in_common(&task) >= known + PAGE {
                held_back.push(task);
                continue;
            }
            let blocks = self.runner.blocks();
            // Pages that only the cache of beginnings holds are counted as free elsewhere.
            let in_use = hits.iter().filter(|hit| blocks.holders(hit.page) > 1);
            let new_pages = task.tokens.len() / PAGE + 1 - in_use.count();
            if !self.running.is_empty() && new_pages > self.pages_to_spare() {
                held_back.push(task);
                break;
            }
            let to_evaluate = task.tokens.len() - known;
            self.line.admitted(&mut task, to_evaluate);
            let running = self.begin(task, &hits);
            self.running.push(running);
        }
        self.line.put_back(held_back);
    }

    /// The longest beginning that a task shares with a prompt in evaluation.
    fn prefill_in_common(&self, task: &Task<S>) -> usize {
        let alike = |running: &&Running<S>| running.in_prefill() && running.task.salt == task.salt;
        let shared = self.running.iter().filter(alike).map(|running| {
            let pairs = running.task.tokens.iter().zip(task.reusable());
            pairs.take_while(|(a, b)| a == b).count()
        });
        shared.max().unwrap_or(0)
    }

    /// Gives a task what the cache holds of its tokens.
    fn begin(&mut self, mut task: Task<S>, hits: &[Hit]) -> Running<S> {
        let mut sequence = task.new_sequence();
        self.prefix.touch(hits);
        for hit in hits {
            let blocks = self.runner.blocks();
            blocks.adopt(&mut sequence, hit.page, hit.positions);
        }
        self.start(&mut task, sequence.len());
        Running { sequence, task }
    }

    /// Tells a task that it has its place, if that is news.
    pub(super) fn start(&mut self, task: &mut Task<S>, cached_tokens: usize) {
        if !task.has_started() {
            task.start(cached_tokens);
            let counters = &*self.counters;
            Counters::add(&counters.prompt_tokens, task.prompt_len());
            Counters::add(&counters.cached_tokens, cached_tokens);
        }
    }

    /// Ends a sequence and leaves its pages to those that begin alike.
    pub(super) fn end(&mut self, index: usize, reason: FinishReason) {
        let mut running = self.running.remove(index);
        self.keep(&mut running);
        self.finish(running.task, reason);
    }

    /// Ends a task that holds no pages.
    fn finish(&mut self, mut task: Task<S>, reason: FinishReason) {
        if let Some(successor) = task.successor() {
            self.line.rejoin(successor);
        }
        self.forget(&task);
        task.finish(reason);
    }

    /// A task is about to end.
    fn forget(&mut self, task: &Task<S>) {
        self.line.ended(task.standing, task.chosen());
        if let Some(drafter) = &mut self.drafter {
            drafter.forget(task.id);
        }
        Counters::add(&self.counters.requests, 1);
    }

    pub(super) fn fail(&mut self, index: usize, error: &Error) {
        let mut running = self.running.remove(index);
        self.runner.blocks().release(&mut running.sequence);
        self.fail_task(running.task, &error.to_string());
    }

    pub(super) fn fail_task(&mut self, mut task: Task<S>, message: &str) {
        for sibling in std::mem::take(&mut task.siblings) {
            self.fail_task(sibling, message);
        }
        self.forget(&task);
        Counters::add(&self.counters.failed, 1);
        task.fail(message);
    }
}
