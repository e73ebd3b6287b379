//! Guesses from a smaller model of the same vocabulary. It goes on from where the sequence stands,
//! choosing as the sequence's own sampler would, with the same random numbers; so the nearer the two
//! models are to each other, the more often a guess is right.
//!
//! The smaller model has a cache of its own, in which each sequence is brought up to date whenever it
//! is asked; what was guessed wrongly is cut off again.

use std::collections::HashMap;
use std::time::Instant;

use super::{StepCost, Trust};
use crate::Result;
use crate::runner::{Chunk, LogitsWanted, Runner, Sequence};
use crate::sampler::Sampler;

/// Tokens that are caught up with in one step, so that a long prompt delays nobody for long.
const CATCH_UP: usize = 128;

/// The smaller model.
pub(crate) struct Drafter {
    runner: Box<dyn Runner>,
    /// Of the model that it guesses for.
    vocab_size: usize,
    known: HashMap<u64, Known>,
    cost: StepCost,
    pub(crate) trust: Trust,
    /// Scratch, one row of logits.
    logits: Vec<f32>,
}

/// What is in the cache of a task's sequence.
#[derive(Debug, Default)]
struct Known {
    sequence: Sequence,
    tokens: Vec<u32>,
}

/// Guesses that a task would like to have.
#[derive(Debug)]
pub(crate) struct Wish<'a> {
    /// The task's.
    pub(crate) id: u64,
    pub(crate) count: usize,
    /// All that stands in its sequence.
    pub(crate) tokens: &'a [u32],
    pub(crate) sampler: &'a mut Sampler,
    /// What came of it: at most `count`.
    pub(crate) guesses: Vec<u32>,
}

impl Drafter {
    pub(crate) fn new(runner: Box<dyn Runner>, vocab_size: usize) -> Self {
        Self {
            runner,
            vocab_size,
            known: HashMap::new(),
            cost: StepCost::new(),
            trust: Trust::default(),
            logits: Vec::new(),
        }
    }

    /// Time of a guess for each of so many sequences.
    pub(crate) fn price_s(&self, sequences: usize) -> f64 {
        self.cost.price_s(sequences)
    }

    /// Makes the guesses, as far as there is room.
    pub(crate) fn fulfil(&mut self, wishes: &mut [Wish<'_>]) -> Result<()> {
        for wish in wishes.iter_mut() {
            self.cut_to_common(wish);
        }
        self.make_room(wishes);
        // First what is new in the sequences, then guess by guess.
        let mut budget = CATCH_UP;
        let mut feeds: Vec<Vec<u32>> = Vec::with_capacity(wishes.len());
        for wish in wishes.iter_mut() {
            let known = self.known.get(&wish.id).map_or(0, |it| it.tokens.len());
            let feed = &wish.tokens[known..];
            let feed = if wish.count == 0 {
                &[]
            } else {
                &feed[..feed.len().min(budget)]
            };
            budget -= feed.len();
            if known + feed.len() < wish.tokens.len() {
                // Not this time.
                wish.count = 0;
            }
            feeds.push(feed.to_vec());
        }
        while feeds.iter().any(|feed| !feed.is_empty()) {
            self.forward(wishes, &feeds)?;
            feeds = self.choose(wishes, &feeds);
        }
        Ok(())
    }

    /// A task has ended.
    pub(crate) fn forget(&mut self, id: u64) {
        if let Some(mut known) = self.known.remove(&id) {
            self.runner.blocks().release(&mut known.sequence);
        }
    }

    /// All tasks have ended.
    pub(crate) fn clear(&mut self) {
        for (_, mut known) in self.known.drain() {
            self.runner.blocks().release(&mut known.sequence);
        }
    }

    /// Forgets what the sequence no longer holds, and at least its last token, whose logits are
    /// needed.
    fn cut_to_common(&mut self, wish: &mut Wish<'_>) {
        let room = self.runner.context_len().saturating_sub(wish.tokens.len());
        wish.count = wish.count.min(room);
        let known = self.known.entry(wish.id).or_default();
        let pairs = known.tokens.iter().zip(wish.tokens);
        let common = pairs.take_while(|(a, b)| a == b).count();
        let common = common.min(wish.tokens.len() - 1);
        known.tokens.truncate(common);
        self.runner.blocks().truncate(&mut known.sequence, common);
    }

    /// Sees to it that there are pages: gives up sequences that wish nothing, then wishes.
    fn make_room(&mut self, wishes: &mut [Wish<'_>]) {
        loop {
            let blocks = self.runner.blocks();
            let wanted = wishes.iter().filter(|wish| wish.count > 0);
            let missing: usize = wanted
                .filter_map(|wish| {
                    let known = self.known.get(&wish.id)?;
                    let len = wish.tokens.len() + wish.count;
                    Some(blocks.pages_missing(&known.sequence, len))
                })
                .sum();
            if missing <= blocks.free_pages() {
                return;
            }
            let idle = |id: &u64| !wishes.iter().any(|wish| wish.id == *id && wish.count > 0);
            let holds = |known: &Known| !known.sequence.block_table().is_empty();
            let idle = self.known.iter().find(|(id, it)| idle(id) && holds(it));
            if let Some((&id, _)) = idle {
                self.forget(id);
            } else if let Some(last) = wishes.iter_mut().rfind(|wish| wish.count > 0) {
                last.count = 0;
            } else {
                return;
            }
        }
    }

    fn forward(&mut self, wishes: &[Wish<'_>], feeds: &[Vec<u32>]) -> Result<()> {
        let mut taken: Vec<(u64, Known)> = Vec::with_capacity(wishes.len());
        for (wish, feed) in wishes.iter().zip(feeds) {
            if !feed.is_empty() {
                let known = self.known.remove(&wish.id).unwrap_or_default();
                taken.push((wish.id, known));
            }
        }
        let fed = wishes
            .iter()
            .zip(feeds)
            .filter(|(_, feed)| !feed.is_empty());
        let mut chunks: Vec<Chunk<'_>> = taken
            .iter_mut()
            .zip(fed.clone())
            .map(|((_, known), (wish, feed))| Chunk {
                sequence: &mut known.sequence,
                tokens: feed,
                logits: if wish.count > 0 {
                    LogitsWanted::Last
                } else {
                    LogitsWanted::None
                },
            })
            .collect();
        let begun = Instant::now();
        let result = self.runner.forward(&mut chunks);
        let rows: usize = feeds.iter().map(Vec::len).sum();
        // Longer ones cost something else.
        if rows <= 2 * taken.len() {
            self.cost.learn(rows, begun.elapsed().as_secs_f64());
        }
        for ((id, mut known), (_, feed)) in taken.into_iter().zip(fed) {
            known.tokens.extend(feed);
            self.known.insert(id, known);
        }
        result
    }

    /// Takes a guess for each that has logits, and gives what to feed for the next ones.
    fn choose(&mut self, wishes: &mut [Wish<'_>], feeds: &[Vec<u32>]) -> Vec<Vec<u32>> {
        let mut row = 0;
        let mut next = vec![Vec::new(); wishes.len()];
        for ((wish, feed), next) in wishes.iter_mut().zip(feeds).zip(&mut next) {
            if feed.is_empty() || wish.count == 0 {
                continue;
            }
            self.logits.clear();
            self.logits.extend(self.runner.logits().row(row));
            row += 1;
            // Vocabularies may be padded to different lengths; padding is never chosen.
            self.logits.resize(self.vocab_size, f32::NEG_INFINITY);
            let position = wish.tokens.len() + wish.guesses.len();
            // A model that cannot guess here makes no guess.
            let Ok(id) = wish.sampler.guess(&mut self.logits, position) else {
                wish.count = wish.guesses.len();
                continue;
            };
            wish.guesses.push(id);
            if wish.guesses.len() < wish.count && (id as usize) < self.runner.vocab_size() {
                next.push(id);
            }
        }
        next
    }
}

impl std::fmt::Debug for Drafter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drafter")
            .field("known", &self.known.len())
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}
