//! The last norm, the head and the loss, a chunk of tokens at a time: all logits never exist together.

use super::rows::{clear, norm, norm_backward};
use super::{Activations, Decoder, Loss, MicroBatch};
use crate::parallel::{for_parts, rows_a_part};
use terang_kernels::gemm::{Precision, Start};
use terang_kernels::training::cross_entropy;

/// Logits that are held at once. In single precision the head's weights are laid out for each chunk, which
/// costs little beside the products of enough rows. In bf16 the number is part of the profile, since sums over
/// tokens begin anew in each chunk.
const fn logits_max(precision: Precision) -> usize {
    match precision {
        Precision::F32 => 8 << 20,
        Precision::Bf16 => 4 << 20,
    }
}

impl Decoder {
    /// The loss. With a gradient: those of the head and the last norm are written, and `d_stream` is what
    /// the last layer's output gets.
    pub(super) fn head_loss(
        &mut self,
        parameters: &[f32],
        batch: &MicroBatch,
        mut gradient: Option<&mut [f32]>,
    ) -> Loss {
        let (d, vocab) = (self.config.hidden_size, self.config.vocab_size);
        let tokens = batch.tokens.len();
        let (cpu, pool) = (self.products.cpu, self.products.pool.clone());
        let eps = self.config.rms_norm_eps;
        let norm_weight = &parameters[self.layout.final_norm.clone()];
        let head = &parameters[self.layout.head.clone()];
        let z = self.z_loss;
        let Activations {
            inputs,
            normed,
            logits,
            losses,
            d_narrow,
            d_stream,
            inverse,
            ..
        } = &mut self.acts;
        let last = inputs.last().map_or(&[][..], Vec::as_slice);
        norm(cpu, &pool, last, norm_weight, eps, normed);
        // A chunk does not depend on the threads, since the head's gradient is summed over chunks.
        let rows_max = logits_max(self.products.precision) / vocab;
        let chunk = rows_max.clamp(1, 1024).min(tokens);
        if gradient.is_some() {
            d_narrow.resize(tokens * d, 0.0);
        }
        for start in (0..tokens).step_by(chunk) {
            let rows = start..(start + chunk).min(tokens);
            let normed = &normed[rows.start * d..rows.end * d];
            logits.resize(rows.len() * vocab, 0.0);
            self.products.forward(normed, head, d, logits, Start::Zero);
            let part = rows_a_part(&pool, rows.len());
            let parts: Vec<_> = logits
                .chunks_mut(part * vocab)
                .zip(batch.targets[rows.clone()].chunks(part))
                .zip(batch.weights[rows.clone()].chunks(part))
                .zip(losses[rows.clone()].chunks_mut(part))
                .collect();
            for_parts(&pool, parts, |(((logits, targets), weights), losses)| {
                cross_entropy(cpu, logits, vocab, targets, weights, z, losses);
            });
            if let Some(gradient) = gradient.as_deref_mut() {
                let dx = &mut d_narrow[rows.start * d..rows.end * d];
                self.products
                    .input_gradient(logits, head, d, dx, Start::Zero);
                let start = if rows.start == 0 {
                    Start::Zero
                } else {
                    Start::Add
                };
                let d_head = &mut gradient[self.layout.head.clone()];
                self.products
                    .weight_gradient(logits, normed, d, d_head, start);
            }
        }
        if let Some(gradient) = gradient {
            d_stream.resize(tokens * d, 0.0);
            clear(&pool, d, d_stream);
            inverse.resize(tokens, 0.0);
            let d_weight = &mut gradient[self.layout.final_norm.clone()];
            norm_backward(
                cpu,
                &pool,
                last,
                norm_weight,
                eps,
                d_narrow,
                d_stream,
                inverse,
                d_weight,
            );
        }
        sum(&batch.weights, losses)
    }
}

fn sum(weights: &[f32], losses: &[f32]) -> Loss {
    let mut loss = Loss::default();
    for (weight, nats) in weights.iter().zip(losses) {
        if *weight != 0.0 {
            loss.weighted += f64::from(*weight) * f64::from(*nats);
            loss.sum += f64::from(*nats);
            loss.targets += 1;
        }
    }
    loss
}
