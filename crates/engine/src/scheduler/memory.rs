//! Pages: who gets them, who gives them up.

use super::task::{Running, Sink};
use super::{Scheduler, Share};
use crate::metrics::Counters;
use crate::runner::{PAGE, Runner};

impl<R: Runner, S: Sink> Scheduler<R, S> {
    /// Pages that a newcomer could have, when those that run have what their prompts need.
    pub(super) fn pages_to_spare(&mut self) -> usize {
        let promised: usize = self
            .running
            .iter()
            .map(|running| {
                let pages = running.task.tokens.len() / PAGE + 1;
                pages.saturating_sub(running.sequence.block_table().len())
            })
            .sum();
        let blocks = self.runner.blocks();
        let reachable = blocks.free_pages() + self.prefix.evictable(blocks);
        reachable.saturating_sub(promised)
    }

    /// Sees to it that there are pages for all shares: gives up what only the cache of beginnings
    /// holds, then puts the youngest back to wait.
    pub(super) fn make_room(&mut self, shares: &mut Vec<Share>) {
        loop {
            let blocks = self.runner.blocks();
            let missing: usize = shares
                .iter()
                .map(|share| {
                    let sequence = &self.running[share.index].sequence;
                    blocks.pages_missing(sequence, sequence.len() + share.tokens)
                })
                .sum();
            if missing <= blocks.free_pages() || self.prefix.evict(blocks, false) {
                if missing <= self.runner.blocks().free_pages() {
                    return;
                }
            } else if self.running.len() > 1 {
                let youngest = self.running.len() - 1;
                shares.retain(|share| share.index != youngest);
                self.preempt(youngest);
            } else {
                // Alone, a sequence has room for a whole context once nothing else holds its pages.
                let gave_up = self.prefix.evict(blocks, true);
                assert!(gave_up, "the cache holds less than one context");
            }
        }
    }

    /// Puts a sequence back to wait, before all others. It goes on where it was when it is computed
    /// again, since its tokens and its sampler are kept.
    fn preempt(&mut self, index: usize) {
        let mut running = self.running.remove(index);
        running.task.forget_draft();
        self.keep(&mut running);
        Counters::add(&self.counters.preemptions, 1);
        self.line.rejoin(running.task);
    }

    /// Leaves a sequence's pages to those that begin alike.
    pub(super) fn keep(&mut self, running: &mut Running<S>) {
        let blocks = self.runner.blocks();
        let evaluated = &running.task.tokens[..running.sequence.len()];
        self.prefix.insert(
            blocks,
            running.task.salt,
            evaluated,
            running.sequence.block_table(),
        );
        blocks.release(&mut running.sequence);
    }

    /// Lets others begin with the whole pages of this sequence while it still runs.
    pub(super) fn share_prompt(&mut self, index: usize) {
        let running = &self.running[index];
        let whole = running.sequence.len() / PAGE * PAGE;
        self.prefix.insert(
            self.runner.blocks(),
            running.task.salt,
            &running.task.tokens[..whole],
            running.sequence.block_table(),
        );
    }
}
