//! The decoder's training step: loss and gradients of a micro-batch, written out by hand.
//!
//! Shape legend: `T` tokens of a micro-batch, `D` hidden size, `Q` query width, `F` feed-forward width, `V`
//! vocabulary. All activations are row-major, a row a token.
//!
//! Invariant: the gradient depends on parameters and micro-batch alone, not on threads or instruction set.

mod backward;
mod forward;
pub mod generate;
mod head;
mod layout;
mod products;
#[cfg(test)]
mod pytorch_tests;
mod rows;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use layout::normal;
pub use layout::{Kind, Layout, Table, Tensor};

use crate::Result;
use products::Products;
use std::ops::Range;
use std::sync::Arc;
use terang_kernels::gemm::Precision;
use terang_kernels::training::Shape;
use terang_kernels::{Cpu, ThreadPool};
use terang_model::Config;
use terang_model::config::RopePairing;
use terang_model::decoder::rope_table;

/// Tokens to learn from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MicroBatch {
    /// `[T]`: the inputs.
    pub tokens: Vec<u32>,
    /// `[T]`: what should follow each.
    pub targets: Vec<u32>,
    /// `[T]`: what each target counts; 0 masks it.
    pub weights: Vec<f32>,
    /// Documents, which do not see each other; positions begin anew in each.
    pub documents: Vec<Range<usize>>,
}

/// What a micro-batch lost.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loss {
    /// The sum of `weight * loss`, in nats.
    pub weighted: f64,
    /// The sum of the losses of all targets that count.
    pub sum: f64,
    /// Targets that count.
    pub targets: usize,
}

/// Computes losses and gradients; holds the activations of a micro-batch.
#[derive(Debug)]
pub struct Decoder {
    config: Config,
    layout: Layout,
    shape: Shape,
    products: Products,
    /// Cosines and sines of all positions.
    rope: (Vec<f32>, Vec<f32>),
    acts: Activations,
    /// Only the inputs of layers are kept, the rest is made again.
    recompute: bool,
    /// Weight of the squared logarithm of the sum of exponentials (PaLM's z-loss).
    z_loss: f32,
}

/// What the backward pass needs of a layer's forward pass.
#[derive(Clone, Debug, Default)]
struct LayerActivations {
    /// `[T, Q + 2 KV]`, before rotation.
    qkv: Vec<f32>,
    /// `[T, Q]`: the attention's output.
    attended: Vec<f32>,
    /// `[T, 2 heads]`.
    stats: Vec<f32>,
    /// `[T, D]`: the residual stream after attention.
    middle: Vec<f32>,
    /// `[T, 2 F]`.
    gate_up: Vec<f32>,
}

/// All memory of a micro-batch, kept from one to the next.
#[derive(Debug, Default)]
struct Activations {
    /// `[T, D]` each: the input of every layer, and the output of the last.
    inputs: Vec<Vec<f32>>,
    /// One for each layer, or one for all where they are made again.
    layers: Vec<LayerActivations>,
    /// `[T, head_dim / 2]` each.
    cos: Vec<f32>,
    sin: Vec<f32>,
    /// `[T, D]`: a normed input.
    normed: Vec<f32>,
    /// `[T, F]`: the gated product.
    gated: Vec<f32>,
    /// `[T, D]`: the gradient of the residual stream.
    d_stream: Vec<f32>,
    /// `[T, D or F or Q]`: gradients on their way.
    d_narrow: Vec<f32>,
    /// `[T, 2 F or Q + 2 KV]`.
    d_wide: Vec<f32>,
    /// `[T]`: inverse root mean squares of a norm.
    inverse: Vec<f32>,
    /// `[chunk, V]`.
    logits: Vec<f32>,
    /// `[T]`.
    losses: Vec<f32>,
}

impl Decoder {
    /// A decoder for a model of that description.
    ///
    /// # Errors
    /// [`crate::TrainError::Family`] where training does not have what the description asks for.
    pub fn new(config: &Config, cpu: Cpu, pool: Arc<ThreadPool>, recompute: bool) -> Result<Self> {
        let layout = Layout::new(config)?;
        let rope = rope_table(&config.rope[0], config.max_position_embeddings);
        let shape = Shape {
            n_heads: config.num_attention_heads,
            n_kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            scale: config.attention_scale,
            interleaved: config.rope[0].pairing == RopePairing::Interleaved,
        };
        Ok(Self {
            config: config.clone(),
            layout,
            shape,
            products: Products::new(cpu, pool),
            rope,
            acts: Activations::default(),
            recompute,
            z_loss: 0.0,
        })
    }

    /// With that weight of the z-loss.
    #[must_use]
    pub fn with_z_loss(mut self, z_loss: f32) -> Self {
        self.z_loss = z_loss;
        self
    }

    /// With products in that precision; all else stays in single precision.
    #[must_use]
    pub fn with_precision(mut self, precision: Precision) -> Self {
        self.products.precision = precision;
        self
    }

    /// Parameters that are handed in will not change until [`Self::release_weights`]: what is made of them
    /// for products is made once.
    pub fn hold_weights(&mut self) {
        self.products.hold();
    }

    /// Parameters may change again.
    pub fn release_weights(&mut self) {
        self.products.release();
    }

    /// Where the parameters lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The model's description.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The threads it computes on.
    pub fn pool(&self) -> &ThreadPool {
        &self.products.pool
    }

    /// The instruction set it computes with.
    pub fn cpu(&self) -> Cpu {
        self.products.cpu
    }

    /// The loss of a micro-batch, without a gradient.
    ///
    /// # Panics
    /// If the parts of the micro-batch differ in length, or a document is longer than the model's context.
    pub fn loss(&mut self, parameters: &[f32], batch: &MicroBatch) -> Loss {
        self.forward(parameters, batch, true);
        self.head_loss(parameters, batch, None)
    }

    /// The loss of a micro-batch; its gradient is written to `gradient`.
    ///
    /// # Panics
    /// As [`Self::loss`].
    pub fn loss_and_gradient(
        &mut self,
        parameters: &[f32],
        batch: &MicroBatch,
        gradient: &mut [f32],
    ) -> Loss {
        self.forward(parameters, batch, self.recompute);
        let loss = self.head_loss(parameters, batch, Some(gradient));
        self.backward(parameters, batch, gradient);
        loss
    }

    /// As [`Self::loss_and_gradient`] where what each target counts depends on the losses of all: `weigh`
    /// gets them, `[T]` in nats, and sets the weights. Targets that weigh 0 before do so after.
    ///
    /// # Panics
    /// As [`Self::loss`].
    pub fn loss_and_gradient_weighed(
        &mut self,
        parameters: &[f32],
        batch: &mut MicroBatch,
        weigh: &mut dyn FnMut(&[f32], &mut [f32]),
        gradient: &mut [f32],
    ) {
        self.forward(parameters, batch, self.recompute);
        self.head_loss(parameters, batch, None);
        weigh(&self.acts.losses, &mut batch.weights);
        self.head_loss(parameters, batch, Some(gradient));
        self.backward(parameters, batch, gradient);
    }

    /// The losses of the latest micro-batch's targets, `[T]` in nats; 0 where one is masked.
    pub fn losses(&self) -> &[f32] {
        &self.acts.losses
    }
}
