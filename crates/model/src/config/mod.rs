//! The one description of a decoder. A model family is a value of [`Config`], never a file of its
//! own: norm placement, QK norm, biases, activation, window pattern, soft caps, experts and RoPE
//! scaling are fields. Names follow Hugging Face's configuration terms.

mod gguf;
mod hf;
mod validate;

pub(crate) use gguf::{SUPPORTED as GGUF_ARCHITECTURES, pairing as gguf_pairing};
use validate::{limit_layers, positive, shared_width, validate};

/// Everything the decoder needs to know besides the weights.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent properties of a family"
)]
pub struct Config {
    /// The family as the file names it (`llama`, `qwen2`, …); for messages only.
    pub architecture: String,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the dense feed-forward layer (0 when every layer is a mixture of experts).
    pub intermediate_size: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key-value heads; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Elements of one head; even.
    pub head_dim: usize,
    /// Longest sequence the model was made for.
    pub max_position_embeddings: usize,
    /// Epsilon of every norm.
    pub rms_norm_eps: f32,
    /// Factor on the embedding's output (1 for most, `sqrt(hidden_size)` for Gemma).
    pub embedding_scale: f32,
    /// Factor on the logits before the soft cap (1 for most).
    pub logit_scale: f32,
    /// Factor on query-key products (`1 / sqrt(head_dim)` for most).
    pub attention_scale: f32,
    /// Gate activation of the feed-forward layer.
    pub activation: Activation,
    /// Norm weights are stored as offsets from one (Gemma in Hugging Face files).
    pub norm_weight_offset: bool,
    /// A norm after attention and one after the feed-forward layer, before each residual addition,
    /// besides those before (Gemma 2 and 3, Grok-1).
    pub sandwich_norms: bool,
    /// RMS norm over each query and key head before RoPE (Qwen3, Gemma 3).
    pub qk_norm: bool,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub output_bias: bool,
    /// Biases on the feed-forward projections.
    pub mlp_bias: bool,
    /// `cap * tanh(x / cap)` on the query-key products.
    pub attn_logit_softcap: Option<f32>,
    /// `cap * tanh(x / cap)` on the logits.
    pub final_logit_softcap: Option<f32>,
    /// The head shares the embedding's weights.
    pub tie_word_embeddings: bool,
    /// One entry a layer.
    pub layers: Vec<LayerConfig>,
    /// Rotary embeddings that layers refer to by index.
    pub rope: Vec<Rope>,
    /// Mixture of experts, where the layers have one.
    pub experts: Option<Experts>,
}

/// What differs between layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerConfig {
    /// Attention sees this many latest positions, itself included (`None`: all).
    pub sliding_window: Option<usize>,
    /// Index into [`Config::rope`]; `None` for layers without positions (SmolLM3).
    pub rope: Option<usize>,
    /// The feed-forward layer is a mixture of experts.
    pub experts: bool,
}

/// Gate activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// GELU by the error function.
    Gelu,
}

/// A rotary position embedding (RoFormer, arXiv:2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the geometric series of wavelengths.
    pub theta: f32,
    /// How elements are paired.
    pub pairing: RopePairing,
    /// Rotated elements of each head, from its start.
    pub dim: usize,
    /// Change of frequencies for longer contexts.
    pub scaling: RopeScaling,
}

/// Which two elements of a head form a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RopePairing {
    /// `(i, i + dim/2)`: Hugging Face and GPT-NeoX.
    Half,
    /// `(2i, 2i + 1)`: GGUF files of the `llama` architecture, whose converter permutes the rows.
    Interleaved,
}

/// RoPE scaling as in Hugging Face's `rope_scaling` field.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Unchanged.
    None,
    /// All frequencies divided by the factor.
    Linear {
        /// The divisor.
        factor: f32,
    },
    /// Llama 3.1's smooth scaling by wavelength.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f32,
        /// Below `original_max_position_embeddings / low_freq_factor` rotations: divided.
        low_freq_factor: f32,
        /// Above `original_max_position_embeddings / high_freq_factor` rotations: unchanged.
        high_freq_factor: f32,
        /// The context before scaling.
        original_max_position_embeddings: usize,
    },
    /// YaRN (arXiv:2309.00071).
    Yarn {
        /// Divisor of the low frequencies.
        factor: f32,
        /// The context before scaling.
        original_max_position_embeddings: usize,
        /// Rotations above which a frequency is unchanged.
        beta_fast: f32,
        /// Rotations below which a frequency is divided.
        beta_slow: f32,
        /// Factor on cos and sin.
        attention_factor: f32,
    },
    /// One divisor a frequency, `dim / 2` of them (GGUF's `rope_freqs.weight`).
    Factors {
        /// The divisors.
        factors: Vec<f32>,
    },
}

/// A mixture of experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experts {
    /// Experts in a layer.
    pub num_experts: usize,
    /// Experts that a token goes through.
    pub num_experts_per_tok: usize,
    /// Width of one expert's hidden layer.
    pub moe_intermediate_size: usize,
    /// The chosen experts' probabilities are divided by their sum.
    pub norm_topk_prob: bool,
}
