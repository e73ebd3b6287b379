//! Finds each weight under the names that GGUF and Hugging Face files give it, checks its shape and
//! packs it.

use super::packed_file::PackedFile;
use crate::config::Config;
use crate::tensors::Tensors;
use crate::{Result, TensorSource};
use std::cell::Cell;
use terang_kernels::buffer::Arena;
use terang_kernels::{DType, PackedMatrix, ThreadPool};

/// `y = x W^T + b`.
#[derive(Debug)]
pub(crate) struct Linear {
    pub(crate) matrix: PackedMatrix,
    pub(crate) bias: Option<Vec<f32>>,
}

/// A gated feed-forward layer.
#[derive(Debug)]
pub(super) struct Mlp {
    pub(super) gate: Linear,
    pub(super) up: Linear,
    pub(super) down: Linear,
}

#[derive(Debug)]
pub(super) enum FeedForward {
    Dense(Mlp),
    Experts { router: Linear, experts: Vec<Mlp> },
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) attention_norm: Vec<f32>,
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) q_norm: Option<Vec<f32>>,
    pub(super) k_norm: Option<Vec<f32>>,
    pub(super) post_attention_norm: Option<Vec<f32>>,
    pub(super) mlp_norm: Vec<f32>,
    pub(super) feed_forward: FeedForward,
    pub(super) post_mlp_norm: Option<Vec<f32>>,
}

#[derive(Debug)]
pub(super) struct Weights {
    /// Name of the embedding, whose rows are read from the file when they are needed.
    pub(super) embedding: String,
    /// The rows are those of the head, and can be had from it.
    pub(super) embedding_in_head: bool,
    pub(super) layers: Vec<Layer>,
    pub(super) final_norm: Vec<f32>,
    pub(super) head: PackedMatrix,
    /// The file in which the matrices lie, where they were not packed in memory.
    pub(super) packed: Option<PackedFile>,
}

/// How a file names its tensors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    Gguf,
    HuggingFace,
}

struct Loader<'a> {
    tensors: Tensors<'a>,
    config: &'a Config,
    pool: &'a ThreadPool,
    arena: Arena,
    naming: Naming,
    /// What stands before `layers.` and `embed_tokens` in Hugging Face names.
    prefix: &'static str,
    /// What was packed before, and how many of its matrices were taken.
    packed: Option<PackedFile>,
    n_packed: Cell<usize>,
}

/// Gives the names of a layer's tensor: GGUF's or Hugging Face's.
type Names<'a> = &'a dyn Fn(&[&str], &[&str]) -> Vec<String>;

/// What may stand before `layers.` in Hugging Face names.
pub(crate) const PREFIXES: [&str; 4] = [
    "model.",
    "",
    "language_model.model.",
    "model.language_model.",
];

/// Loads all weights; `progress(done, total)` is called after each layer.
pub(super) fn load(
    source: &dyn TensorSource,
    config: &Config,
    pool: &ThreadPool,
    packed: Option<PackedFile>,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Weights> {
    let embedding_under = |prefix: &&str| {
        let name = format!("{prefix}embed_tokens.weight");
        source.tensor(&name).is_some()
    };
    let (naming, prefix) = if source.tensor("token_embd.weight").is_some() {
        (Naming::Gguf, "")
    } else {
        (
            Naming::HuggingFace,
            PREFIXES
                .into_iter()
                .find(embedding_under)
                .unwrap_or("model."),
        )
    };
    let loader = Loader {
        tensors: Tensors {
            source,
            architecture: &config.architecture,
        },
        config,
        pool,
        arena: Arena::new(),
        naming,
        prefix,
        packed,
        n_packed: Cell::new(0),
    };
    let embedding = match naming {
        Naming::Gguf => "token_embd.weight".to_owned(),
        Naming::HuggingFace => format!("{prefix}embed_tokens.weight"),
    };
    let table = [config.vocab_size, config.hidden_size];
    loader.tensors.shaped(&embedding, &table)?;
    let total = config.layers.len() + 1;
    let mut layers = Vec::new();
    for index in 0..config.layers.len() {
        layers.push(loader.layer(index)?);
        progress(index + 1, total);
    }
    let final_norm = match naming {
        Naming::Gguf => "output_norm.weight".to_owned(),
        Naming::HuggingFace => format!("{prefix}norm.weight"),
    };
    let final_norm = loader.norm(&[final_norm], config.hidden_size)?;
    let head_names = match naming {
        Naming::Gguf => ["output.weight".to_owned(), String::new()],
        Naming::HuggingFace => {
            let outer = prefix.strip_suffix("model.").unwrap_or(prefix);
            [
                "lm_head.weight".to_owned(),
                format!("{outer}lm_head.weight"),
            ]
        }
    };
    let head_name = head_names.iter().find(|name| source.tensor(name).is_some());
    let head_name = match head_name {
        Some(name) if !config.tie_word_embeddings => name,
        None if !config.tie_word_embeddings && naming == Naming::HuggingFace => {
            return Err(loader.tensors.missing(&head_names[0]));
        }
        _ => &embedding,
    };
    let view = loader.tensors.shaped(head_name, &table)?;
    let head = loader.pack(head_name, view.dtype, table[0], table[1], view.data)?;
    // Rows that can be read from the packed head are not kept in memory a second time.
    let embedding_in_head = *head_name == embedding && head.copy_row(0, &mut Vec::new());
    if *head_name != embedding || embedding_in_head {
        source.done_with(head_name);
    }
    progress(total, total);
    source.check_intact()?;
    Ok(Weights {
        packed: loader.packed,
        embedding,
        embedding_in_head,
        layers,
        final_norm,
        head,
    })
}

impl Loader<'_> {
    fn layer(&self, index: usize) -> Result<Layer> {
        let config = self.config;
        let hidden = config.hidden_size;
        let q_width = config.num_attention_heads * config.head_dim;
        let kv_width = config.num_key_value_heads * config.head_dim;
        let names = |gguf: &[&str], hf: &[&str]| -> Vec<String> {
            match self.naming {
                Naming::Gguf => gguf.iter().map(|n| format!("blk.{index}.{n}")).collect(),
                Naming::HuggingFace => hf
                    .iter()
                    .map(|n| format!("{}layers.{index}.{n}", self.prefix))
                    .collect(),
            }
        };
        let projection = |gguf: &str, hf: &str, rows: usize, cols: usize, bias: bool| {
            let hf = [format!("self_attn.{hf}"), format!("attn.{hf}")];
            self.linear(&names(&[gguf], &[&hf[0], &hf[1]]), rows, cols, bias)
        };
        let qkv_bias = config.qkv_bias;
        let sandwich = config.sandwich_norms;
        let optional = |wanted: bool, names: Vec<String>, width: usize| {
            wanted.then(|| self.norm(&names, width)).transpose()
        };
        let mlp_norm: &[&str] = if sandwich {
            &["pre_feedforward_layernorm.weight", "pre_moe_norm.weight"]
        } else {
            &["post_attention_layernorm.weight"]
        };
        Ok(Layer {
            attention_norm: self.norm(
                &names(
                    &["attn_norm.weight"],
                    &["input_layernorm.weight", "pre_attn_norm.weight"],
                ),
                hidden,
            )?,
            q: projection("attn_q", "q_proj", q_width, hidden, qkv_bias)?,
            k: projection("attn_k", "k_proj", kv_width, hidden, qkv_bias)?,
            v: projection("attn_v", "v_proj", kv_width, hidden, qkv_bias)?,
            o: projection("attn_output", "o_proj", hidden, q_width, config.output_bias)?,
            q_norm: optional(
                config.qk_norm,
                names(&["attn_q_norm.weight"], &["self_attn.q_norm.weight"]),
                config.head_dim,
            )?,
            k_norm: optional(
                config.qk_norm,
                names(&["attn_k_norm.weight"], &["self_attn.k_norm.weight"]),
                config.head_dim,
            )?,
            post_attention_norm: optional(
                sandwich,
                names(
                    &["post_attention_norm.weight", "attn_output_norm.weight"],
                    &["post_attention_layernorm.weight", "post_attn_norm.weight"],
                ),
                hidden,
            )?,
            mlp_norm: self.norm(&names(&["ffn_norm.weight"], mlp_norm), hidden)?,
            feed_forward: self.feed_forward(index, &names)?,
            post_mlp_norm: optional(
                sandwich,
                names(
                    &["post_ffw_norm.weight", "layer_output_norm.weight"],
                    &["post_feedforward_layernorm.weight", "post_moe_norm.weight"],
                ),
                hidden,
            )?,
        })
    }

    fn feed_forward(&self, index: usize, names: Names<'_>) -> Result<FeedForward> {
        let config = self.config;
        let hidden = config.hidden_size;
        let experts = match config.experts {
            Some(experts) if config.layers[index].experts => experts,
            _ => {
                let (width, bias) = (config.intermediate_size, config.mlp_bias);
                let part = |gguf: &str, hf: &str, rows: usize, cols: usize| {
                    self.linear(&names(&[gguf], &[&format!("mlp.{hf}")]), rows, cols, bias)
                };
                return Ok(FeedForward::Dense(Mlp {
                    gate: part("ffn_gate", "gate_proj", width, hidden)?,
                    up: part("ffn_up", "up_proj", width, hidden)?,
                    down: part("ffn_down", "down_proj", hidden, width)?,
                }));
            }
        };
        let width = experts.moe_intermediate_size;
        let router = names(
            &["ffn_gate_inp"],
            &["block_sparse_moe.gate", "mlp.gate", "moe_block.gate"],
        );
        let router = self.linear(&router, experts.num_experts, hidden, false)?;
        let part = |expert: usize, gguf: &str, hf: [&str; 3], rows: usize, cols: usize| {
            if self.naming == Naming::Gguf {
                let stacked = names(&[&format!("{gguf}_exps.weight")], &[]);
                if self.tensors.source.tensor(&stacked[0]).is_some() {
                    return self.expert(&stacked[0], expert, experts.num_experts, rows, cols);
                }
            }
            let hf = [
                format!("block_sparse_moe.experts.{expert}.{}", hf[0]),
                format!("mlp.experts.{expert}.{}", hf[1]),
                format!("moe_block.experts.{expert}.{}", hf[2]),
            ];
            let gguf = format!("{gguf}.{expert}");
            self.linear(
                &names(&[&gguf], &[&hf[0], &hf[1], &hf[2]]),
                rows,
                cols,
                false,
            )
        };
        let experts = (0..experts.num_experts)
            .map(|e| {
                Ok(Mlp {
                    gate: part(e, "ffn_gate", ["w1", "gate_proj", "linear"], width, hidden)?,
                    up: part(e, "ffn_up", ["w3", "up_proj", "linear_v"], width, hidden)?,
                    down: part(
                        e,
                        "ffn_down",
                        ["w2", "down_proj", "linear_1"],
                        hidden,
                        width,
                    )?,
                })
            })
            .collect::<Result<_>>()?;
        Ok(FeedForward::Experts { router, experts })
    }

    /// One expert of a three-dimensional tensor.
    fn expert(
        &self,
        name: &str,
        expert: usize,
        n_experts: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Linear> {
        let view = self.tensors.shaped(name, &[n_experts, rows, cols])?;
        let bytes = view.data.len() / n_experts;
        let data = &view.data[expert * bytes..][..bytes];
        let matrix = self.pack(name, view.dtype, rows, cols, data)?;
        if expert + 1 == n_experts {
            self.tensors.source.done_with(name);
        }
        Ok(Linear { matrix, bias: None })
    }

    /// The first of `names` (without `.weight`) that exists.
    fn linear(&self, names: &[String], rows: usize, cols: usize, bias: bool) -> Result<Linear> {
        let exists = |name: &&String| {
            self.tensors
                .source
                .tensor(&format!("{name}.weight"))
                .is_some()
        };
        let name = names.iter().find(exists).unwrap_or(&names[0]);
        let weight = format!("{name}.weight");
        let view = self.tensors.shaped(&weight, &[rows, cols])?;
        let matrix = self.pack(&weight, view.dtype, rows, cols, view.data)?;
        self.tensors.source.done_with(&weight);
        let bias_name = format!("{name}.bias");
        // GGUF has no field for biases: their presence decides.
        let has_bias = bias
            || (self.naming == Naming::Gguf && self.tensors.source.tensor(&bias_name).is_some());
        let bias = has_bias
            .then(|| self.tensors.vector(&bias_name, rows))
            .transpose()?;
        Ok(Linear { matrix, bias })
    }

    /// The norm weight under the first of `names` that exists.
    fn norm(&self, names: &[String], width: usize) -> Result<Vec<f32>> {
        let name = names
            .iter()
            .find(|name| self.tensors.source.tensor(name).is_some());
        let mut weight = self.tensors.vector(name.unwrap_or(&names[0]), width)?;
        if self.config.norm_weight_offset {
            for w in &mut weight {
                *w += 1.0;
            }
        }
        Ok(weight)
    }

    fn pack(
        &self,
        name: &str,
        dtype: DType,
        rows: usize,
        cols: usize,
        data: &[u8],
    ) -> Result<PackedMatrix> {
        let index = self.n_packed.replace(self.n_packed.get() + 1);
        let packed = self.packed.as_ref();
        if let Some(matrix) = packed.and_then(|file| file.matrix(index, dtype, rows, cols)) {
            return Ok(matrix);
        }
        PackedMatrix::pack(self.pool, &self.arena, dtype, rows, cols, data).map_err(|e| {
            self.tensors
                .invalid(name, e, format!("{dtype} weights [{rows}, {cols}]"))
        })
    }
}

/// How many weights take part in a product, by the arithmetic that does it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Products {
    /// Quantized weights, multiplied as integers.
    pub int8: usize,
    /// Weights stored as floats.
    pub f32: usize,
}

impl Products {
    /// All weights of a matrix.
    pub(super) fn of(matrix: &PackedMatrix) -> Self {
        let weights = matrix.rows() * matrix.cols();
        match matrix.dtype() {
            DType::F32 | DType::F16 | DType::BF16 => Self {
                int8: 0,
                f32: weights,
            },
            _ => Self {
                int8: weights,
                f32: 0,
            },
        }
    }
}

/// All matrices in the order in which they are loaded, borrowed as the last word says.
macro_rules! all_matrices {
    ($weights:expr, $one:path $(, $mutable:tt)?) => {{
        let mut all = Vec::new();
        for layer in & $($mutable)? $weights.layers {
            all.push(& $($mutable)? layer.q.matrix);
            all.push(& $($mutable)? layer.k.matrix);
            all.push(& $($mutable)? layer.v.matrix);
            all.push(& $($mutable)? layer.o.matrix);
            let mlps = match & $($mutable)? layer.feed_forward {
                FeedForward::Dense(dense) => $one(dense),
                FeedForward::Experts { router, experts } => {
                    all.push(& $($mutable)? router.matrix);
                    experts
                }
            };
            for mlp in mlps {
                all.push(& $($mutable)? mlp.gate.matrix);
                all.push(& $($mutable)? mlp.up.matrix);
                all.push(& $($mutable)? mlp.down.matrix);
            }
        }
        all.push(& $($mutable)? $weights.head);
        all
    }};
}

impl Weights {
    /// All matrices, in the order in which they are loaded.
    pub(super) fn matrices(&self) -> Vec<&PackedMatrix> {
        all_matrices!(self, std::slice::from_ref)
    }

    /// The same, to change.
    pub(super) fn matrices_mut(&mut self) -> Vec<&mut PackedMatrix> {
        all_matrices!(self, std::slice::from_mut, mut)
    }

    /// Moves some of what lies in a file's map to memory of its own, which the system backs with huge
    /// pages: products read that faster, by a fourth where the map is scattered. Called between
    /// steps, so that the first answer waits for none of it.
    ///
    /// # Errors
    /// When the file shrank or could not be read before all of it was moved.
    pub(super) fn settle(&mut self, pool: &ThreadPool) -> Result<()> {
        let Some(mut packed) = self.packed.take() else {
            return Ok(());
        };
        let all_moved = packed.settle(pool, &mut self.matrices_mut());
        let intact = packed.check_intact();
        if !all_moved || intact.is_err() {
            self.packed = Some(packed);
        }
        intact
    }

    /// Bytes that one token's products read: all matrices, of experts only those it goes through.
    pub(super) fn bytes_per_token(&self, config: &Config) -> usize {
        self.head.bytes() + self.in_layers(config, &PackedMatrix::bytes)
    }

    /// What one token is multiplied with in the layers.
    pub(super) fn layer_products(&self, config: &Config) -> Products {
        Products {
            int8: self.in_layers(config, &|matrix| Products::of(matrix).int8),
            f32: self.in_layers(config, &|matrix| Products::of(matrix).f32),
        }
    }

    /// The sum of `count` over the matrices of all layers that one token goes through.
    fn in_layers(&self, config: &Config, count: &dyn Fn(&PackedMatrix) -> usize) -> usize {
        let of = |linear: &Linear| count(&linear.matrix);
        let mlp = |mlp: &Mlp| of(&mlp.gate) + of(&mlp.up) + of(&mlp.down);
        let layer = |layer: &Layer| {
            let attention: usize = [&layer.q, &layer.k, &layer.v, &layer.o]
                .map(of)
                .iter()
                .sum();
            attention
                + match &layer.feed_forward {
                    FeedForward::Dense(dense) => mlp(dense),
                    FeedForward::Experts { router, experts } => {
                        let chosen = config.experts.map_or(0, |e| e.num_experts_per_tok);
                        of(router) + experts.iter().take(chosen).map(mlp).sum::<usize>()
                    }
                }
        };
        self.layers.iter().map(layer).sum()
    }
}
