//! What a stage wants of the model: from a micro-batch to a gradient.
//!
//! Invariant: a micro-batch's gradient depends on parameters, seed, step and its place in the step alone.

mod likelihood;
mod preference;
mod reward;
#[cfg(test)]
mod tests;

pub(crate) use likelihood::Likelihood;
pub(crate) use preference::Preference;
pub(crate) use reward::{Drawing, Reading, Reward};

use crate::batches::{ORDER_STREAM, shuffle};
use crate::corpus::Document;
use crate::decoder::{Decoder, MicroBatch};

/// Sums over targets and answers, which micro-batches and ranks add up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Score {
    /// Losses, and how many there are.
    pub(crate) loss: f64,
    pub(crate) losses: f64,
    /// Rewards, or answers that were preferred as they should; and how many there are.
    pub(crate) reward: f64,
    pub(crate) rewards: f64,
}

impl Score {
    /// Numbers in the form that ranks exchange.
    pub(crate) const LEN: usize = 4;

    pub(crate) fn numbers(self) -> [f64; Self::LEN] {
        [self.loss, self.losses, self.reward, self.rewards]
    }

    /// The sum of all, in their order.
    pub(crate) fn sum(numbers: &[f64]) -> Self {
        let parts = numbers.as_chunks::<{ Self::LEN }>().0.iter();
        parts.fold(Self::default(), |mut sum, part| {
            sum.add(Self {
                loss: part[0],
                losses: part[1],
                reward: part[2],
                rewards: part[3],
            });
            sum
        })
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.losses += other.losses;
        self.reward += other.reward;
        self.rewards += other.rewards;
    }

    /// The mean loss; 0 where there is none.
    pub(crate) fn mean_loss(self) -> f64 {
        if self.losses == 0.0 {
            0.0
        } else {
            self.loss / self.losses
        }
    }

    /// The mean reward, where there are rewards.
    pub(crate) fn mean_reward(self) -> Option<f64> {
        (self.rewards > 0.0).then(|| self.reward / self.rewards)
    }
}

/// What a stage learns by.
pub(crate) trait Objective {
    /// Tokens of what it learns from.
    fn tokens(&self) -> usize;
    /// How many things that is.
    fn len(&self) -> usize;
    /// Whether there is enough for a step.
    fn is_enough(&mut self) -> bool;
    /// Micro-batches of a step; the step that [`Self::gradient`] is asked for.
    fn begin(&mut self, step: u64) -> usize;
    /// Writes a micro-batch's part of the step's gradient.
    fn gradient(
        &mut self,
        decoder: &mut Decoder,
        parameters: &[f32],
        index: usize,
        gradient: &mut [f32],
    ) -> Score;
    /// How good the model is on what was kept back.
    fn validate(&mut self, decoder: &mut Decoder, parameters: &[f32]) -> Score;
}

/// The order in which things are taken, an epoch after the other.
#[derive(Debug)]
struct Order {
    len: usize,
    seed: u64,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    fn new(len: usize, seed: u64) -> Self {
        Self {
            len,
            seed,
            epoch: None,
        }
    }

    /// Which thing is the `index`th of all epochs.
    fn at(&mut self, index: u64) -> usize {
        let (epoch, within) = (index / self.len as u64, index % self.len as u64);
        if self.epoch.as_ref().is_none_or(|(made, _)| *made != epoch) {
            let mut order: Vec<usize> = (0..self.len).collect();
            shuffle(&mut order, self.seed, ORDER_STREAM ^ epoch as u32);
            self.epoch = Some((epoch, order));
        }
        let order = self.epoch.as_ref().map_or(&[][..], |(_, order)| order);
        order[within as usize]
    }
}

/// Documents one after the other; what is learned weighs 1.
fn concatenated<'a>(documents: impl Iterator<Item = &'a Document>) -> MicroBatch {
    let mut batch = MicroBatch::default();
    for document in documents {
        let (first, n) = (batch.tokens.len(), document.tokens.len() - 1);
        batch.tokens.extend_from_slice(&document.tokens[..n]);
        batch.targets.extend_from_slice(&document.tokens[1..]);
        let learned = document.learned[1..].iter();
        batch
            .weights
            .extend(learned.map(|learned| f32::from(*learned)));
        batch.documents.push(first..first + n);
    }
    batch
}
