//! The forward pass.

use super::{Activations, Decoder, LayerActivations, MicroBatch, rows};
use crate::decoder::layout::LayerRanges;
use terang_kernels::gemm::Start;
use terang_kernels::training::{Attention, forward};

impl Decoder {
    /// Fills the activations. With `one_layer` only one layer's inside is kept.
    pub(super) fn forward(&mut self, parameters: &[f32], batch: &MicroBatch, one_layer: bool) {
        let n_layers = self.layout.layers.len();
        self.prepare(batch, one_layer);
        self.embed(parameters, batch);
        for layer in 0..n_layers {
            let mut input = std::mem::take(&mut self.acts.inputs[layer]);
            let mut output = std::mem::take(&mut self.acts.inputs[layer + 1]);
            self.layer_forward(parameters, batch, layer, &input, Some(&mut output));
            std::mem::swap(&mut self.acts.inputs[layer], &mut input);
            std::mem::swap(&mut self.acts.inputs[layer + 1], &mut output);
        }
    }

    /// Memory for the batch, and its rotary angles.
    fn prepare(&mut self, batch: &MicroBatch, one_layer: bool) {
        let tokens = batch.tokens.len();
        assert!(
            batch.targets.len() == tokens && batch.weights.len() == tokens,
            "a micro-batch's parts differ in length"
        );
        let (d, ffn) = (self.config.hidden_size, self.config.intermediate_size);
        let (qkv, q) = (self.shape.qkv_width(), self.shape.out_width());
        let acts = &mut self.acts;
        let n_layers = self.layout.layers.len();
        acts.inputs.resize_with(n_layers + 1, Vec::new);
        for input in &mut acts.inputs {
            input.resize(tokens * d, 0.0);
        }
        acts.layers
            .resize_with(if one_layer { 1 } else { n_layers }, Default::default);
        for layer in &mut acts.layers {
            layer.qkv.resize(tokens * qkv, 0.0);
            layer.attended.resize(tokens * q, 0.0);
            layer.stats.resize(tokens * 2 * self.shape.n_heads, 0.0);
            layer.middle.resize(tokens * d, 0.0);
            layer.gate_up.resize(tokens * 2 * ffn, 0.0);
        }
        acts.normed.resize(tokens * d, 0.0);
        acts.gated.resize(tokens * ffn, 0.0);
        acts.losses.resize(tokens, 0.0);
        let half = self.config.head_dim / 2;
        acts.cos.clear();
        acts.cos.resize(tokens * half, 1.0);
        acts.sin.clear();
        acts.sin.resize(tokens * half, 0.0);
        for document in &batch.documents {
            let (from, to) = (
                document.start * half..document.end * half,
                document.len() * half,
            );
            acts.cos[from.clone()].copy_from_slice(&self.rope.0[..to]);
            acts.sin[from].copy_from_slice(&self.rope.1[..to]);
        }
    }

    fn embed(&mut self, parameters: &[f32], batch: &MicroBatch) {
        let d = self.config.hidden_size;
        let embedding = &parameters[self.layout.embedding.clone()];
        for (row, token) in self.acts.inputs[0].chunks_exact_mut(d).zip(&batch.tokens) {
            row.copy_from_slice(&embedding[*token as usize * d..][..d]);
        }
    }

    /// One layer; `output` is not asked for where only its inside is made again.
    pub(super) fn layer_forward(
        &mut self,
        parameters: &[f32],
        batch: &MicroBatch,
        layer: usize,
        input: &[f32],
        output: Option<&mut [f32]>,
    ) {
        let d = self.config.hidden_size;
        let ranges: LayerRanges = self.layout.layers[layer].clone();
        let at = if self.acts.layers.len() == 1 {
            0
        } else {
            layer
        };
        let Activations {
            layers,
            normed,
            gated: gated_out,
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
        } = &mut layers[at];
        let weights = |range: &std::ops::Range<usize>| &parameters[range.clone()];
        let (cpu, pool) = (self.products.cpu, self.products.pool.clone());
        let eps = self.config.rms_norm_eps;

        let norm = |x: &[f32], weight: &[f32], out: &mut [f32]| {
            rows::norm(cpu, &pool, x, weight, eps, out);
        };
        norm(input, weights(&ranges.attention_norm), normed);
        self.products
            .forward(normed, weights(&ranges.qkv), d, qkv, Start::Zero);
        let attention = Attention {
            shape: self.shape,
            qkv,
            documents: &batch.documents,
            cos,
            sin,
        };
        forward(cpu, &pool, &attention, attended, stats);
        rows::copy(&pool, input, d, middle);
        let width = self.shape.out_width();
        self.products
            .forward(attended, weights(&ranges.output), width, middle, Start::Add);
        norm(middle, weights(&ranges.mlp_norm), normed);
        self.products
            .forward(normed, weights(&ranges.gate_up), d, gate_up, Start::Zero);
        let Some(output) = output else {
            return;
        };
        let ffn = self.config.intermediate_size;
        rows::gate(cpu, &pool, gate_up, ffn, gated_out);
        rows::copy(&pool, middle, d, output);
        self.products
            .forward(gated_out, weights(&ranges.down), ffn, output, Start::Add);
    }
}
