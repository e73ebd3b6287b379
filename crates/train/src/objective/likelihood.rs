//! The next token is made likely: pretraining, and fine-tuning on what an assistant said.

use super::{Objective, Score};
use crate::batches::Batches;
use crate::decoder::{Decoder, Loss, MicroBatch};

/// Learns from windows of documents.
#[derive(Debug)]
pub(crate) struct Likelihood {
    batches: Batches,
    validation: Batches,
    micro_batch: usize,
    step: Vec<MicroBatch>,
}

impl Likelihood {
    pub(crate) fn new(batches: Batches, validation: Batches, micro_batch: usize) -> Self {
        Self {
            batches,
            validation,
            micro_batch,
            step: Vec::new(),
        }
    }
}

fn score(loss: Loss) -> Score {
    Score {
        loss: loss.sum,
        losses: loss.targets as f64,
        ..Score::default()
    }
}

impl Objective for Likelihood {
    fn tokens(&self) -> usize {
        self.batches.tokens()
    }

    fn len(&self) -> usize {
        self.batches.len()
    }

    fn is_enough(&mut self) -> bool {
        self.batches.has_a_sequence()
    }

    fn begin(&mut self, step: u64) -> usize {
        self.step = self.batches.step(step, self.micro_batch);
        self.step.len()
    }

    fn gradient(
        &mut self,
        decoder: &mut Decoder,
        parameters: &[f32],
        index: usize,
        gradient: &mut [f32],
    ) -> Score {
        score(decoder.loss_and_gradient(parameters, &self.step[index], gradient))
    }

    fn validate(&mut self, decoder: &mut Decoder, parameters: &[f32]) -> Score {
        let mut sum = Score::default();
        for batch in self.validation.all(self.micro_batch) {
            sum.add(score(decoder.loss(parameters, &batch)));
        }
        sum
    }
}
