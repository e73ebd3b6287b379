//! The backward pass, from the gradient of the last layer's output to that of the embedding.

use super::rows::norm_backward;
use super::{Activations, Decoder, LayerActivations, MicroBatch, rows};
use crate::parallel::{for_parts, rows_a_part};
use std::ops::Range;
use terang_kernels::gemm::Start;
use terang_kernels::training::{Attention, backward, gated_silu_backward};

impl Decoder {
    /// Writes the gradients of all layers and adds the embedding's.
    pub(super) fn backward(
        &mut self,
        parameters: &[f32],
        batch: &MicroBatch,
        gradient: &mut [f32],
    ) {
        for layer in (0..self.layout.layers.len()).rev() {
            if self.recompute {
                let input = std::mem::take(&mut self.acts.inputs[layer]);
                self.layer_forward(parameters, batch, layer, &input, None);
                self.acts.inputs[layer] = input;
            }
            self.layer_backward(parameters, batch, layer, gradient);
        }
        self.embedding_backward(batch, gradient);
    }

    fn layer_backward(
        &mut self,
        parameters: &[f32],
        batch: &MicroBatch,
        layer: usize,
        gradient: &mut [f32],
    ) {
        let (d, ffn, eps) = (
            self.config.hidden_size,
            self.config.intermediate_size,
            self.config.rms_norm_eps,
        );
        let (qkv_width, q_width) = (self.shape.qkv_width(), self.shape.out_width());
        let tokens = batch.tokens.len();
        let ranges = self.layout.layers[layer].clone();
        let (cpu, pool) = (self.products.cpu, self.products.pool.clone());
        let at = if self.acts.layers.len() == 1 {
            0
        } else {
            layer
        };
        let Activations {
            inputs,
            layers,
            normed,
            gated: gated_out,
            d_stream,
            d_narrow,
            d_wide,
            inverse,
            cos,
            sin,
            ..
        } = &mut self.acts;
        let LayerActivations {
            qkv,
            attended,
            stats,
            middle,
            gate_up,
        } = &layers[at];
        let input = &inputs[layer];
        let weights = |range: &Range<usize>| &parameters[range.clone()];
        let products = &mut self.products;
        let norm = |x: &[f32], weight: &[f32], out: &mut [f32]| {
            rows::norm(cpu, &pool, x, weight, eps, out);
        };
        let part = rows_a_part(&pool, tokens);

        // Feed-forward: stream += gated(normed Wgu^T) Wd^T.
        rows::gate(cpu, &pool, gate_up, ffn, gated_out);
        products.weight_gradient(
            d_stream,
            gated_out,
            ffn,
            &mut gradient[ranges.down.clone()],
            Start::Zero,
        );
        d_narrow.resize(tokens * ffn.max(d).max(q_width), 0.0);
        d_wide.resize(tokens * (2 * ffn).max(qkv_width), 0.0);
        let d_gated = &mut d_narrow[..tokens * ffn];
        products.input_gradient(d_stream, weights(&ranges.down), ffn, d_gated, Start::Zero);
        let d_gate_up = &mut d_wide[..tokens * 2 * ffn];
        let parts: Vec<_> = gate_up
            .chunks(part * 2 * ffn)
            .zip(d_gated.chunks(part * ffn))
            .zip(d_gate_up.chunks_mut(part * 2 * ffn))
            .collect();
        for_parts(&pool, parts, |((gate_up, d_out), d_gate_up)| {
            gated_silu_backward(cpu, gate_up, d_out, ffn, d_gate_up);
        });
        norm(middle, weights(&ranges.mlp_norm), normed);
        products.weight_gradient(
            d_gate_up,
            normed,
            d,
            &mut gradient[ranges.gate_up.clone()],
            Start::Zero,
        );
        let d_normed = &mut d_narrow[..tokens * d];
        products.input_gradient(
            d_gate_up,
            weights(&ranges.gate_up),
            d,
            d_normed,
            Start::Zero,
        );
        let d_weight = &mut gradient[ranges.mlp_norm.clone()];
        norm_backward(
            cpu,
            &pool,
            middle,
            weights(&ranges.mlp_norm),
            eps,
            d_normed,
            d_stream,
            inverse,
            d_weight,
        );

        // Attention: stream += attended Wo^T.
        products.weight_gradient(
            d_stream,
            attended,
            q_width,
            &mut gradient[ranges.output.clone()],
            Start::Zero,
        );
        let d_attended = &mut d_narrow[..tokens * q_width];
        products.input_gradient(
            d_stream,
            weights(&ranges.output),
            q_width,
            d_attended,
            Start::Zero,
        );
        let d_qkv = &mut d_wide[..tokens * qkv_width];
        rows::clear(&pool, qkv_width, d_qkv);
        let attention = Attention {
            shape: self.shape,
            qkv,
            documents: &batch.documents,
            cos,
            sin,
        };
        backward(cpu, &pool, &attention, stats, d_attended, d_qkv);
        norm(input, weights(&ranges.attention_norm), normed);
        products.weight_gradient(
            d_qkv,
            normed,
            d,
            &mut gradient[ranges.qkv.clone()],
            Start::Zero,
        );
        let d_normed = &mut d_narrow[..tokens * d];
        products.input_gradient(d_qkv, weights(&ranges.qkv), d, d_normed, Start::Zero);
        let d_weight = &mut gradient[ranges.attention_norm.clone()];
        norm_backward(
            cpu,
            &pool,
            input,
            weights(&ranges.attention_norm),
            eps,
            d_normed,
            d_stream,
            inverse,
            d_weight,
        );
    }

    /// Adds each token's gradient to its row, tokens in ascending order.
    fn embedding_backward(&mut self, batch: &MicroBatch, gradient: &mut [f32]) {
        let d = self.config.hidden_size;
        let rows = &mut gradient[self.layout.embedding.clone()];
        if self.layout.head != self.layout.embedding {
            rows.fill(0.0);
        }
        for (token, dx) in batch.tokens.iter().zip(self.acts.d_stream.chunks_exact(d)) {
            let row = &mut rows[*token as usize * d..][..d];
            terang_kernels::rows::add(self.products.cpu, row, dx);
        }
    }
}
