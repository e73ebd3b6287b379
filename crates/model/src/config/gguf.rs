//! Reads a [`Config`] from the metadata of a GGUF file (specification: `docs/gguf.md` of the ggml
//! project; what a family means is as its Hugging Face configuration defines it).
//!
//! Every number is checked against a range here, so that products of them stay small and the
//! decoder's shapes make sense.

use super::{Activation, Config, LayerConfig, Rope, RopePairing, RopeScaling};
use crate::gguf::{Gguf, Metadata};
use crate::{Error, Result, TensorSource};

/// Families that this reader knows.
const SUPPORTED: &str = "llama, qwen2, qwen3, gemma3";

/// Of six layers of Gemma 3, the last sees everything.
const GEMMA3_PATTERN: usize = 6;
/// Base of the rotary embedding of Gemma 3's layers with a window.
const GEMMA3_LOCAL_THETA: f32 = 10_000.0;

impl Config {
    /// The decoder that a GGUF file describes.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let metadata = gguf.metadata();
        let architecture = metadata.str("general.architecture")?;
        let family = match architecture {
            "llama" | "qwen2" | "qwen3" | "gemma3" => architecture,
            other => {
                let key = "general.architecture";
                return Err(Error::unsupported(metadata.path(), key, other, SUPPORTED));
            }
        };
        Reader { metadata, family }.read(gguf)
    }
}

struct Reader<'a> {
    metadata: &'a Metadata,
    /// Prefix of the keys.
    family: &'a str,
}

impl Reader<'_> {
    fn read(&self, gguf: &Gguf) -> Result<Config> {
        if let Some(experts @ 1..) = self.metadata.get_opt::<u64>(&self.key("expert_count"))? {
            let key = self.key("expert_count");
            return Err(Error::unsupported(
                self.metadata.path(),
                key,
                experts,
                "dense models",
            ));
        }
        let gemma = self.family == "gemma3";
        let hidden_size = self.count("embedding_length", 1 << 20)?;
        let heads = self.count("attention.head_count", 1 << 12)?;
        let kv_heads = self.count_or("attention.head_count_kv", heads, heads)?;
        if !heads.is_multiple_of(kv_heads) {
            let allowed = format!("a divisor of {heads}");
            return Err(self.invalid("attention.head_count_kv", kv_heads, allowed));
        }
        let head_dim = self.count_or("attention.key_length", 1 << 12, hidden_size / heads)?;
        let value_dim = self.count_or("attention.value_length", 1 << 12, head_dim)?;
        if value_dim != head_dim {
            let allowed = format!("{head_dim}, the key's length");
            return Err(self.invalid("attention.value_length", value_dim, allowed));
        }
        let rotary_dim = self.count_or("rope.dimension_count", head_dim, head_dim)?;
        if !rotary_dim.is_multiple_of(2) {
            return Err(self.invalid("rope.dimension_count", rotary_dim, "an even number"));
        }
        let window = if gemma {
            Some(self.count("attention.sliding_window", 1 << 30)?)
        } else {
            None
        };
        let layer = |index: usize| {
            let sliding_window = window.filter(|_| !(index + 1).is_multiple_of(GEMMA3_PATTERN));
            LayerConfig {
                sliding_window,
                rope: Some(usize::from(sliding_window.is_some())),
                experts: false,
            }
        };
        let rope = Rope {
            theta: self.positive("rope.freq_base", 10_000.0)?,
            pairing: match self.family {
                "llama" => RopePairing::Interleaved,
                _ => RopePairing::Half,
            },
            dim: rotary_dim,
            scaling: self.scaling(gguf, rotary_dim)?,
        };
        let local_rope = gemma.then(|| Rope {
            theta: GEMMA3_LOCAL_THETA,
            scaling: RopeScaling::None,
            ..rope.clone()
        });
        Ok(Config {
            architecture: self.family.to_owned(),
            vocab_size: gguf.require("token_embd.weight")?.shape[0],
            hidden_size,
            intermediate_size: self.count("feed_forward_length", 1 << 24)?,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim,
            max_position_embeddings: self.count("context_length", 1 << 30)?,
            rms_norm_eps: self.positive("attention.layer_norm_rms_epsilon", 1e-5)?,
            embedding_scale: if gemma {
                (hidden_size as f32).sqrt()
            } else {
                1.0
            },
            logit_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            activation: if gemma {
                Activation::GeluTanh
            } else {
                Activation::Silu
            },
            // The converter has added the one already.
            norm_weight_offset: false,
            sandwich_norms: gemma,
            qk_norm: matches!(self.family, "qwen3" | "gemma3"),
            qkv_bias: self.family == "qwen2",
            output_bias: false,
            mlp_bias: false,
            attn_logit_softcap: None,
            final_logit_softcap: None,
            tie_word_embeddings: gguf.tensor("output.weight").is_none(),
            layers: (0..self.count("block_count", 1 << 10)?)
                .map(layer)
                .collect(),
            rope: std::iter::once(rope).chain(local_rope).collect(),
            experts: None,
        })
    }

    fn scaling(&self, gguf: &Gguf, dim: usize) -> Result<RopeScaling> {
        if let Some(factors) = gguf.tensor("rope_freqs.weight") {
            if factors.dtype != terang_kernels::DType::F32 || factors.shape != [dim / 2] {
                let found = format!("{} {:?}", factors.dtype, factors.shape);
                let allowed = format!("F32 [{}]", dim / 2);
                let path = self.metadata.path();
                return Err(Error::invalid(
                    path,
                    "tensor rope_freqs.weight",
                    found,
                    allowed,
                ));
            }
            let (fours, _) = factors.data.as_chunks::<4>();
            let factors: Vec<f32> = fours.iter().map(|&four| f32::from_le_bytes(four)).collect();
            if let Some(wrong) = factors.iter().find(|factor| !in_range(**factor)) {
                let path = self.metadata.path();
                let field = "tensor rope_freqs.weight";
                return Err(Error::invalid(path, field, wrong, "positive numbers"));
            }
            return Ok(RopeScaling::Factors { factors });
        }
        let key = self.key("rope.scaling.type");
        match self.metadata.get_opt::<&str>(&key)? {
            None | Some("none") => Ok(RopeScaling::None),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: self.positive("rope.scaling.factor", 1.0)?,
            }),
            Some("yarn") => {
                let factor = self.positive("rope.scaling.factor", 1.0)?;
                Ok(RopeScaling::Yarn {
                    factor,
                    original_max_position_embeddings: self
                        .count("rope.scaling.original_context_length", 1 << 30)?,
                    beta_fast: 32.0,
                    beta_slow: 1.0,
                    attention_factor: (0.1 * libm::log(f64::from(factor.max(1.0))) + 1.0) as f32,
                })
            }
            Some(other) => {
                let supported = "none, linear, yarn";
                Err(Error::unsupported(
                    self.metadata.path(),
                    key,
                    other,
                    supported,
                ))
            }
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.family)
    }

    /// A number from 1 to `most`.
    fn count(&self, name: &str, most: usize) -> Result<usize> {
        let found = self.metadata.usize(&self.key(name))?;
        self.in_bounds(name, found, most)
    }

    fn count_or(&self, name: &str, most: usize, default: usize) -> Result<usize> {
        let found = self.metadata.get_opt::<usize>(&self.key(name))?;
        self.in_bounds(name, found.unwrap_or(default), most)
    }

    fn in_bounds(&self, name: &str, found: usize, most: usize) -> Result<usize> {
        if (1..=most).contains(&found) {
            Ok(found)
        } else {
            Err(self.invalid(name, found, format!("1 to {most}")))
        }
    }

    fn positive(&self, name: &str, default: f32) -> Result<f32> {
        let found = self.metadata.get_opt::<f32>(&self.key(name))?;
        let found = found.unwrap_or(default);
        if in_range(found) {
            Ok(found)
        } else {
            Err(self.invalid(name, found, "a positive number"))
        }
    }

    fn invalid(
        &self,
        name: &str,
        found: impl std::fmt::Display,
        allowed: impl std::fmt::Display,
    ) -> Error {
        Error::invalid(self.metadata.path(), self.key(name), found, allowed)
    }
}

fn in_range(number: f32) -> bool {
    number.is_finite() && number > 0.0
}
