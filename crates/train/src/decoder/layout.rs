//! Where each tensor lies in the one run of numbers that all parameters (and all gradients, and each moment
//! of the optimizer) are.

use crate::{Result, TrainError};
use std::ops::Range;
use terang_kernels::philox::uniform_of;
use terang_model::Config;
use terang_model::config::{Activation, RopePairing};

/// What a tensor is for, by which optimizers and initial values differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The embedding, or a head of its own: a row a token.
    Embedding,
    /// A matrix inside of a layer, `[outputs, inputs]`.
    Matrix,
    /// As `Matrix`, one whose output is added to the residual stream.
    Residual,
    /// The weights of a norm.
    Norm,
}

/// One tensor, by the name that Hugging Face files give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `[rows, columns]`, or `[width]`.
    pub shape: Vec<usize>,
    /// Where it lies.
    pub range: Range<usize>,
    /// What it is for.
    pub kind: Kind,
}

/// Offsets of a layer's parts. Queries, keys and values follow each other, as do gate and up, so that each
/// is one product.
#[derive(Clone, Debug)]
pub(crate) struct LayerRanges {
    pub(crate) attention_norm: Range<usize>,
    pub(crate) qkv: Range<usize>,
    pub(crate) output: Range<usize>,
    pub(crate) mlp_norm: Range<usize>,
    pub(crate) gate_up: Range<usize>,
    pub(crate) down: Range<usize>,
}

/// Tensors in one run of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// In the order in which they lie, without gaps.
    pub tensors: Vec<Tensor>,
    /// Numbers in all.
    pub len: usize,
}

/// All tensors of a model that can be trained.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The tensors.
    pub table: Table,
    pub(crate) embedding: Range<usize>,
    pub(crate) layers: Vec<LayerRanges>,
    pub(crate) final_norm: Range<usize>,
    /// The head's rows: the embedding's where they are tied.
    pub(crate) head: Range<usize>,
}

impl Layout {
    /// The layout of a model of that description.
    ///
    /// # Errors
    /// [`TrainError::Family`] where the description asks for what training does not have yet.
    pub fn new(config: &Config) -> Result<Self> {
        supported(config)?;
        let mut builder = Table::default();
        let d = config.hidden_size;
        let (q, kv) = (
            config.num_attention_heads * config.head_dim,
            config.num_key_value_heads * config.head_dim,
        );
        let ffn = config.intermediate_size;
        let embedding = builder.add(
            "model.embed_tokens.weight",
            &[config.vocab_size, d],
            Kind::Embedding,
        );
        let layers = (0..config.layers.len())
            .map(|layer| {
                let mut add = |name: &str, shape: &[usize], kind| {
                    builder.add(&format!("model.layers.{layer}.{name}.weight"), shape, kind)
                };
                let attention_norm = add("input_layernorm", &[d], Kind::Norm);
                let first = add("self_attn.q_proj", &[q, d], Kind::Matrix);
                add("self_attn.k_proj", &[kv, d], Kind::Matrix);
                let last = add("self_attn.v_proj", &[kv, d], Kind::Matrix);
                let output = add("self_attn.o_proj", &[d, q], Kind::Residual);
                let mlp_norm = add("post_attention_layernorm", &[d], Kind::Norm);
                let gate = add("mlp.gate_proj", &[ffn, d], Kind::Matrix);
                let up = add("mlp.up_proj", &[ffn, d], Kind::Matrix);
                let down = add("mlp.down_proj", &[d, ffn], Kind::Residual);
                LayerRanges {
                    attention_norm,
                    qkv: first.start..last.end,
                    output,
                    mlp_norm,
                    gate_up: gate.start..up.end,
                    down,
                }
            })
            .collect();
        let final_norm = builder.add("model.norm.weight", &[d], Kind::Norm);
        let head = if config.tie_word_embeddings {
            embedding.clone()
        } else {
            builder.add("lm_head.weight", &[config.vocab_size, d], Kind::Embedding)
        };
        Ok(Self {
            table: builder,
            embedding,
            layers,
            final_norm,
            head,
        })
    }

    /// Initial values: norms 1, all else normal with deviation 0.02, the matrices that add to the residual
    /// stream by `1 / sqrt(2 layers)` less (GPT-2). Each number depends on the seed and its place alone.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut out = vec![1.0f32; self.table.len];
        let residual = 0.02 / libm::sqrt(2.0 * self.layers.len() as f64);
        for (stream, tensor) in self.table.tensors.iter().enumerate() {
            let deviation = match tensor.kind {
                Kind::Norm => continue,
                Kind::Residual => residual,
                Kind::Embedding | Kind::Matrix => 0.02,
            };
            for (i, x) in out[tensor.range.clone()].iter_mut().enumerate() {
                *x = (deviation * normal(seed, stream as u32, i as u64)) as f32;
            }
        }
        out
    }
}

/// One draw from the standard normal distribution (Box and Muller, 1958).
pub(crate) fn normal(seed: u64, stream: u32, index: u64) -> f64 {
    let first = 1.0 - uniform_of(seed, stream, 2 * index);
    let second = uniform_of(seed, stream, 2 * index + 1);
    libm::sqrt(-2.0 * libm::log(first)) * libm::cos(std::f64::consts::TAU * second)
}

impl Table {
    /// Adds a tensor at the end.
    pub(crate) fn add(&mut self, name: &str, shape: &[usize], kind: Kind) -> Range<usize> {
        let range = self.len..self.len + shape.iter().product::<usize>();
        self.len = range.end;
        self.tensors.push(Tensor {
            name: name.to_owned(),
            shape: shape.to_vec(),
            range: range.clone(),
            kind,
        });
        range
    }
}

/// What training has no gradients for yet is refused by name.
fn supported(config: &Config) -> Result<()> {
    let ropes = &config.rope;
    let missing = [
        (config.experts.is_some(), "a mixture of experts"),
        (config.qk_norm, "norms of queries and keys"),
        (
            config.qkv_bias || config.output_bias || config.mlp_bias,
            "biases",
        ),
        (
            config.sandwich_norms || config.norm_weight_offset,
            "Gemma's norms",
        ),
        (
            config.activation != Activation::Silu,
            "a gate other than SiLU",
        ),
        (
            config.attn_logit_softcap.is_some() || config.final_logit_softcap.is_some(),
            "soft caps",
        ),
        (
            config.embedding_scale != 1.0 || config.logit_scale != 1.0,
            "scaled embeddings or logits",
        ),
        (
            config
                .layers
                .iter()
                .any(|layer| layer.sliding_window.is_some()),
            "sliding windows",
        ),
        (
            config.layers.iter().any(|layer| layer.rope != Some(0)),
            "layers that differ in their positions",
        ),
        (
            ropes
                .iter()
                .any(|rope| rope.pairing == RopePairing::Half && rope.dim != config.head_dim),
            "heads that are rotated in part",
        ),
    ];
    match missing.iter().find(|(found, _)| *found) {
        Some((_, what)) => Err(TrainError::Family {
            architecture: config.architecture.clone(),
            what,
        }),
        None => Ok(()),
    }
}
