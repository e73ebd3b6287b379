//! Model architectures, as far as cost depends on them: shapes of the products, and parameter counts.
//! Field names are Hugging Face's.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::error::{PlanError, nearest};

fn yes() -> bool {
    true
}

fn default_seq() -> u64 {
    4096
}

/// A decoder-only transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Name in the tables.
    pub name: String,
    /// Other names for it.
    #[serde(default, skip_serializing)]
    pub aliases: Vec<String>,
    /// Width of the residual stream.
    pub hidden_size: u64,
    /// Layers.
    pub num_hidden_layers: u64,
    /// Query heads.
    pub num_attention_heads: u64,
    /// Key and value heads.
    pub num_key_value_heads: u64,
    /// Width of a head; `hidden_size / num_attention_heads` where 0.
    #[serde(default)]
    pub head_dim: u64,
    /// Inner width of dense MLPs.
    pub intermediate_size: u64,
    /// Vocabulary.
    pub vocab_size: u64,
    /// MLPs of three matrices (`SwiGLU`), otherwise two.
    #[serde(default = "yes")]
    pub gated: bool,
    /// Input and output embedding are one matrix.
    #[serde(default)]
    pub tied: bool,
    /// Usual training sequence length.
    #[serde(default = "default_seq")]
    pub seq_len: u64,
    /// Routed experts of a mixture layer; 0 for a dense model.
    #[serde(default)]
    pub num_experts: u64,
    /// Routed experts that a token goes to.
    #[serde(default)]
    pub num_experts_per_tok: u64,
    /// Inner width of one routed expert.
    #[serde(default)]
    pub moe_intermediate_size: u64,
    /// Inner width of all shared experts together.
    #[serde(default)]
    pub shared_intermediate_size: u64,
    /// Leading layers that are dense in a mixture model.
    #[serde(default)]
    pub first_k_dense: u64,
    /// Rank of the query projection of multi-head latent attention; 0 without it.
    #[serde(default)]
    pub q_lora_rank: u64,
    /// Rank of the key-value projection of multi-head latent attention; 0 without it.
    #[serde(default)]
    pub kv_lora_rank: u64,
    /// Part of a head without position.
    #[serde(default)]
    pub qk_nope_head_dim: u64,
    /// Part of a head with rotary position.
    #[serde(default)]
    pub qk_rope_head_dim: u64,
    /// Width of a value head where it differs.
    #[serde(default)]
    pub v_head_dim: u64,
    /// Attention window of the sliding layers; 0 without.
    #[serde(default)]
    pub sliding_window: u64,
    /// Share of layers that have the sliding window.
    #[serde(default)]
    pub sliding_share: f64,
    /// Experts' activation is one of its own (clamped, with biases), which was not fused for long.
    #[serde(default)]
    pub own_activation: bool,
    /// Extra layers that predict further tokens (DeepSeek-V3).
    #[serde(default)]
    pub mtp_layers: u64,
    /// Layers that are a Mamba-2 mixer. Where there are any, every layer is one thing alone: a mixer,
    /// attention, or an MLP (Nemotron-H).
    #[serde(default)]
    pub mamba_layers: u64,
    /// Layers that are attention, in a model with Mamba layers.
    #[serde(default)]
    pub attention_layers: u64,
    /// Heads of a Mamba-2 mixer.
    #[serde(default)]
    pub mamba_num_heads: u64,
    /// Width of such a head.
    #[serde(default)]
    pub mamba_head_dim: u64,
    /// Groups of a mixer that share its input and output matrices.
    #[serde(default)]
    pub n_groups: u64,
    /// State of a mixer for each channel.
    #[serde(default)]
    pub ssm_state_size: u64,
    /// Width in which routed experts work, where tokens are projected down to it and back (`LatentMoE`);
    /// 0 for the hidden size.
    #[serde(default)]
    pub moe_latent_size: u64,
}

/// What one layer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Attention.
    pub attention: bool,
    /// A Mamba-2 mixer.
    pub mamba: bool,
    /// An MLP of one kind or the other.
    pub mlp: Mlp,
}

/// The MLP of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mlp {
    /// None: the layer is a mixer or attention alone.
    None,
    /// One for all tokens.
    Dense,
    /// Routed experts.
    Experts,
}

impl Block {
    /// A transformer's layer.
    pub const DENSE: Self = Self {
        attention: true,
        mamba: false,
        mlp: Mlp::Dense,
    };
    /// A transformer's layer with routed experts.
    pub const EXPERTS: Self = Self {
        attention: true,
        mamba: false,
        mlp: Mlp::Experts,
    };

    /// Sublayers, each with a norm before it and a residual sum after it.
    pub fn parts(self) -> f64 {
        f64::from(u8::from(self.attention) + u8::from(self.mamba))
            + if self.mlp == Mlp::None { 0.0 } else { 1.0 }
    }
}

impl Model {
    /// Width of a query or key head.
    pub fn qk_dim(&self) -> u64 {
        if self.kv_lora_rank > 0 {
            self.qk_nope_head_dim + self.qk_rope_head_dim
        } else if self.head_dim > 0 {
            self.head_dim
        } else {
            self.hidden_size / self.num_attention_heads.max(1)
        }
    }

    /// Width of a value head.
    pub fn v_dim(&self) -> u64 {
        if self.v_head_dim > 0 {
            self.v_head_dim
        } else {
            self.qk_dim()
        }
    }

    /// Whether it is a mixture of experts.
    pub fn is_moe(&self) -> bool {
        self.num_experts > 1
    }

    /// Layers that are a mixer or attention alone.
    fn bare_layers(&self) -> u64 {
        (self.mamba_layers + self.attention_layers).min(self.num_hidden_layers)
    }

    /// Layers with routed experts, the extra prediction layers included.
    pub fn moe_layers(&self) -> u64 {
        if self.is_moe() {
            (self.num_hidden_layers - self.bare_layers()).saturating_sub(self.first_k_dense)
                + self.mtp_layers
        } else {
            0
        }
    }

    /// Layers with a dense MLP.
    pub fn dense_layers(&self) -> u64 {
        self.num_hidden_layers - self.bare_layers() + self.mtp_layers - self.moe_layers()
    }

    /// Layers with attention, the extra prediction layers included.
    pub fn attending_layers(&self) -> u64 {
        if self.mamba_layers > 0 {
            self.attention_layers + self.mtp_layers
        } else {
            self.num_hidden_layers + self.mtp_layers
        }
    }

    /// The kinds of layers, and how many there are of each. Extra prediction layers are transformer
    /// layers, or one of attention and one of experts where each layer is one thing.
    pub fn blocks(&self) -> Vec<(Block, u64)> {
        let bare = |attention, mamba, mlp| Block {
            attention,
            mamba,
            mlp,
        };
        let all = if self.mamba_layers > 0 {
            vec![
                (bare(true, false, Mlp::None), self.attending_layers()),
                (bare(false, true, Mlp::None), self.mamba_layers),
                (bare(false, false, Mlp::Dense), self.dense_layers()),
                (bare(false, false, Mlp::Experts), self.moe_layers()),
            ]
        } else {
            vec![
                (Block::DENSE, self.dense_layers()),
                (Block::EXPERTS, self.moe_layers()),
            ]
        };
        all.into_iter().filter(|(_, n)| *n > 0).collect()
    }

    /// Width of a mixer's inner part.
    pub fn mamba_inner(&self) -> f64 {
        (self.mamba_num_heads * self.mamba_head_dim) as f64
    }

    /// Width of what a mixer's first product makes: gate, input, both state matrices, and steps.
    pub fn mamba_width(&self) -> f64 {
        2.0 * self.mamba_inner()
            + (2 * self.n_groups * self.ssm_state_size + self.mamba_num_heads) as f64
    }

    /// Width in which routed experts work.
    pub fn expert_width(&self) -> u64 {
        if self.moe_latent_size > 0 {
            self.moe_latent_size
        } else {
            self.hidden_size
        }
    }

    /// Matrices of an MLP: 3 where gated, else 2.
    pub fn mlp_matrices(&self) -> u64 {
        if self.gated { 3 } else { 2 }
    }

    /// Parameters of one layer's attention.
    pub fn attention_params(&self) -> f64 {
        let (h, a) = (self.hidden_size as f64, self.num_attention_heads as f64);
        let (qk, v) = (self.qk_dim() as f64, self.v_dim() as f64);
        let out = a * v * h;
        if self.kv_lora_rank > 0 {
            let (q, kv) = (self.q_lora_rank as f64, self.kv_lora_rank as f64);
            let rope = self.qk_rope_head_dim as f64;
            let query = if q > 0.0 {
                h * q + q * a * qk
            } else {
                h * a * qk
            };
            query + h * (kv + rope) + kv * a * (self.qk_nope_head_dim as f64 + v) + out
        } else {
            let kv = self.num_key_value_heads as f64;
            h * (a * qk + kv * (qk + v)) + out
        }
    }

    /// Parameters of one dense MLP.
    pub fn mlp_params(&self) -> f64 {
        (self.mlp_matrices() * self.hidden_size * self.intermediate_size) as f64
    }

    /// Parameters of one routed expert.
    pub fn expert_params(&self) -> f64 {
        (self.mlp_matrices() * self.expert_width() * self.moe_intermediate_size) as f64
    }

    /// Parameters of a mixture layer's shared experts and router, and of the way to the latent width.
    pub fn shared_params(&self) -> f64 {
        (self.mlp_matrices() * self.hidden_size * self.shared_intermediate_size
            + self.hidden_size * (self.num_experts + 2 * self.moe_latent_size)) as f64
    }

    /// Parameters of all layers but for routed experts: attention, mixers, dense MLPs, shared experts.
    pub fn layer_params(&self) -> f64 {
        let mamba = self.hidden_size as f64 * (self.mamba_width() + self.mamba_inner());
        self.attending_layers() as f64 * self.attention_params()
            + self.mamba_layers as f64 * mamba
            + self.dense_layers() as f64 * self.mlp_params()
            + self.moe_layers() as f64 * self.shared_params()
    }

    /// Parameters of one embedding matrix.
    pub fn embedding_params(&self) -> f64 {
        (self.vocab_size * self.hidden_size) as f64
    }

    /// All parameters.
    pub fn params(&self) -> f64 {
        let layers = (self.num_hidden_layers + self.mtp_layers) as f64;
        // Norm weights: two vectors a layer and a last one; biases are left out.
        let norms = (2.0 * layers + 1.0) * self.hidden_size as f64;
        self.layer_params()
            + self.moe_layers() as f64 * self.num_experts as f64 * self.expert_params()
            + norms
            + self.embedding_params() * if self.tied { 1.0 } else { 2.0 }
    }

    /// Parameters that one token goes through, the output embedding included, the input one not.
    pub fn active_params(&self) -> f64 {
        self.layer_params()
            + self.moe_layers() as f64 * self.num_experts_per_tok as f64 * self.expert_params()
            + self.embedding_params() * (1.0 + self.mtp_layers as f64)
    }

    /// Keys that a query sees on average, over layers, in a causal sequence of `seq` tokens.
    pub fn mean_keys(&self, seq: f64) -> f64 {
        let full = seq / 2.0;
        if self.sliding_window == 0 {
            return full;
        }
        let w = (self.sliding_window as f64).min(seq);
        let windowed = w - w * w / (2.0 * seq);
        full * (1.0 - self.sliding_share) + windowed * self.sliding_share
    }

    /// Model FLOPs of training on one token (forward and backward, nothing recomputed, causal
    /// attention counted once): 6 for each parameter passed, and 6 per layer, head width and key for
    /// scores and values each (PaLM's appendix B, with the causal half). The scan of Mamba layers, a
    /// few percent of their products, is left out.
    pub fn train_flops_per_token(&self, seq: u64) -> f64 {
        let layers = self.attending_layers() as f64;
        let widths = (self.num_attention_heads * (self.qk_dim() + self.v_dim())) as f64;
        6.0 * self.active_params() + 6.0 * layers * widths * self.mean_keys(seq as f64)
    }

    /// Checks that it is a possible model.
    pub fn check(&self) -> Result<(), PlanError> {
        let bounds = [
            ("hidden_size", self.hidden_size, 1 << 20),
            ("num_hidden_layers", self.num_hidden_layers, 10_000),
            ("num_attention_heads", self.num_attention_heads, 1 << 16),
            ("num_key_value_heads", self.num_key_value_heads, 1 << 16),
            ("vocab_size", self.vocab_size, 1 << 28),
            ("seq_len", self.seq_len, 1 << 30),
        ];
        for (field, value, high) in bounds {
            if value == 0 || value > high {
                return Err(value_error(field, &value, &format!("must be 1 to {high}")));
            }
        }
        let rest = [
            ("intermediate_size", self.intermediate_size),
            ("moe_intermediate_size", self.moe_intermediate_size),
            ("shared_intermediate_size", self.shared_intermediate_size),
            ("head_dim", self.head_dim),
            ("num_experts", self.num_experts),
            ("mamba_layers", self.mamba_layers),
            ("attention_layers", self.attention_layers),
            ("mamba_num_heads", self.mamba_num_heads),
            ("mamba_head_dim", self.mamba_head_dim),
            ("n_groups", self.n_groups),
            ("ssm_state_size", self.ssm_state_size),
            ("moe_latent_size", self.moe_latent_size),
        ];
        for (field, value) in rest {
            if value > 1 << 24 {
                return Err(value_error(field, &value, "must be at most 16777216"));
            }
        }
        if self.is_moe()
            && (self.moe_intermediate_size == 0
                || self.num_experts_per_tok == 0
                || self.num_experts_per_tok > self.num_experts)
        {
            return Err(value_error(
                "num_experts_per_tok",
                &self.num_experts_per_tok,
                "must be 1 to num_experts, with a moe_intermediate_size",
            ));
        }
        if self.mamba_layers > 0
            && (self.mamba_layers + self.attention_layers > self.num_hidden_layers
                || self.mamba_num_heads == 0
                || self.mamba_head_dim == 0
                || self.ssm_state_size == 0)
        {
            return Err(value_error(
                "mamba_layers",
                &self.mamba_layers,
                "with attention_layers must be at most num_hidden_layers, with mamba_num_heads, \
                 mamba_head_dim and ssm_state_size",
            ));
        }
        if self.intermediate_size == 0 && self.dense_layers() > 0 {
            return Err(value_error(
                "intermediate_size",
                &0_u64,
                "must be over 0 for dense layers",
            ));
        }
        Ok(())
    }
}

fn value_error(field: &str, value: &dyn std::fmt::Display, allowed: &str) -> PlanError {
    PlanError::Value {
        field: field.to_owned(),
        value: value.to_string(),
        allowed: allowed.to_owned(),
    }
}

#[derive(Deserialize)]
struct Table {
    model: Vec<Model>,
}

/// All built-in models.
pub fn models() -> &'static [Model] {
    static TABLE: OnceLock<Vec<Model>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table: Table = toml::from_str(include_str!("../tables/models.toml"))
            .expect("the built-in table is sound");
        table.model
    })
}

/// The model named `name`, whatever its case.
pub fn find_model(name: &str) -> Result<&'static Model, PlanError> {
    let wanted = name.trim().to_lowercase();
    models()
        .iter()
        .find(|m| m.name == wanted || m.aliases.contains(&wanted))
        .ok_or_else(|| PlanError::Unknown {
            what: "model",
            name: name.to_owned(),
            nearest: nearest(name, models().iter().map(|m| m.name.as_str())),
        })
}
