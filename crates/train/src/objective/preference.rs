//! Direct preference optimization (DPO, arXiv:2305.18290): of two answers the better one is made likelier
//! than the other, against what the model thought of both before.

use super::{Objective, Order, Score, concatenated};
use crate::decoder::{Decoder, MicroBatch};
use crate::examples::Pair;
use std::ops::Range;
use std::sync::Arc;

/// Learns from pairs.
#[derive(Debug)]
pub(crate) struct Preference {
    pairs: Vec<Pair>,
    validation: Vec<Pair>,
    order: Order,
    /// The model as it was before, all its parameters.
    reference: Arc<Vec<f32>>,
    /// How strongly it is held to what it was.
    beta: f64,
    /// Pairs of a step, and of a micro-batch.
    batch: usize,
    micro_batch: usize,
    step: Vec<usize>,
}

impl Preference {
    /// Pairs longer than `sequence` on a side are left out: half an answer would be compared with a whole one.
    pub(crate) fn new(
        pairs: Vec<Pair>,
        validation: Vec<Pair>,
        reference: Arc<Vec<f32>>,
        beta: f64,
        (batch, micro_batch, sequence): (usize, usize, usize),
        seed: u64,
    ) -> Self {
        let fits = |pair: &Pair| {
            [&pair.chosen, &pair.rejected]
                .iter()
                .all(|side| (2..=sequence + 1).contains(&side.tokens.len()))
        };
        let pairs: Vec<Pair> = pairs.into_iter().filter(fits).collect();
        Self {
            order: Order::new(pairs.len(), seed),
            validation: validation.into_iter().filter(fits).collect(),
            pairs,
            reference,
            beta,
            batch,
            micro_batch,
            step: Vec::new(),
        }
    }
}

/// Chosen and rejected in turn.
fn side_by_side<'a>(pairs: impl Iterator<Item = &'a Pair>) -> MicroBatch {
    concatenated(pairs.flat_map(|pair| [&pair.chosen, &pair.rejected]))
}

/// Negative log-probabilities of the documents' learned tokens, tokens in their order.
fn nats(documents: &[Range<usize>], losses: &[f32]) -> Vec<f64> {
    let sum = |range: &Range<usize>| losses[range.clone()].iter().map(|x| f64::from(*x)).sum();
    documents.iter().map(sum).collect()
}

/// How much more than before each chosen answer is preferred, times beta.
fn margins(beta: f64, before: &[f64], now: &[f64]) -> Vec<f64> {
    let sides = before.as_chunks::<2>().0.iter().zip(now.as_chunks::<2>().0);
    sides
        .map(|(before, now)| beta * ((before[0] - now[0]) - (before[1] - now[1])))
        .collect()
}

fn score(margins: &[f64]) -> Score {
    let n = margins.len() as f64;
    Score {
        // -ln(sigmoid(margin)), without overflow.
        loss: margins
            .iter()
            .map(|m| libm::log1p(libm::exp(-m.abs())) + (-m).max(0.0))
            .sum(),
        losses: n,
        reward: margins.iter().filter(|m| **m > 0.0).count() as f64,
        rewards: n,
    }
}

impl Objective for Preference {
    fn tokens(&self) -> usize {
        let sides = self.pairs.iter();
        sides
            .map(|pair| pair.chosen.tokens.len() + pair.rejected.tokens.len())
            .sum()
    }

    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn is_enough(&mut self) -> bool {
        !self.pairs.is_empty()
    }

    fn begin(&mut self, step: u64) -> usize {
        let first = step * self.batch as u64;
        self.step = (first..first + self.batch as u64)
            .map(|index| self.order.at(index))
            .collect();
        self.batch / self.micro_batch
    }

    fn gradient(
        &mut self,
        decoder: &mut Decoder,
        parameters: &[f32],
        index: usize,
        gradient: &mut [f32],
    ) -> Score {
        let taken = &self.step[index * self.micro_batch..(index + 1) * self.micro_batch];
        let mut batch = side_by_side(taken.iter().map(|&at| &self.pairs[at]));
        decoder.loss(&self.reference, &batch);
        let documents = batch.documents.clone();
        let before = nats(&documents, decoder.losses());
        let mut found = Vec::new();
        let (beta, pairs) = (self.beta, self.batch as f64);
        let mut weigh = |losses: &[f32], weights: &mut [f32]| {
            found = margins(beta, &before, &nats(&documents, losses));
            for (sides, margin) in documents.as_chunks::<2>().0.iter().zip(&found) {
                // The loss's derivative by the log-probability of either answer.
                let force = beta / (1.0 + libm::exp(*margin)) / pairs;
                for (range, sign) in sides.iter().zip([1.0, -1.0]) {
                    for weight in &mut weights[range.clone()] {
                        *weight *= (sign * force) as f32;
                    }
                }
            }
        };
        decoder.loss_and_gradient_weighed(parameters, &mut batch, &mut weigh, gradient);
        score(&found)
    }

    fn validate(&mut self, decoder: &mut Decoder, parameters: &[f32]) -> Score {
        let mut sum = Score::default();
        for pairs in self.validation.chunks(self.micro_batch) {
            let batch = side_by_side(pairs.iter());
            decoder.loss(&self.reference, &batch);
            let before = nats(&batch.documents, decoder.losses());
            decoder.loss(parameters, &batch);
            let now = nats(&batch.documents, decoder.losses());
            sum.add(score(&margins(self.beta, &before, &now)));
        }
        sum
    }
}
