//! [`Config`] from GGUF metadata, with the keys and defaults that llama.cpp's converter writes.

use super::{
    Activation, Config, Experts, LayerConfig, Rope, RopePairing, RopeScaling, limit_layers,
    shared_width, validate,
};
use crate::gguf::Gguf;
use crate::{Error, Result, TensorSource};
use terang_kernels::quant;

pub(crate) const SUPPORTED: &str = "llama, qwen2, qwen3, qwen3moe, gemma2, gemma3, smollm3, grok";

/// How the converter orders the rows of query and key projections of an architecture; `None` for one
/// that is not supported.
pub(crate) fn pairing(architecture: &str) -> Option<RopePairing> {
    let known = SUPPORTED.split(", ").any(|known| known == architecture);
    known.then_some(match architecture {
        "llama" | "smollm3" => RopePairing::Interleaved,
        _ => RopePairing::Half,
    })
}

/// Keys of one architecture: `{architecture}.{name}`.
struct Keys<'a> {
    gguf: &'a Gguf,
    architecture: &'a str,
}

impl Config {
    /// Reads the description of a GGUF file's model.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self> {
        let architecture = gguf.metadata().str("general.architecture")?;
        let keys = Keys { gguf, architecture };
        // First of all: what other architectures need and have is known to them alone.
        let Some(pairing) = pairing(architecture) else {
            return Err(keys.unsupported("general.architecture", architecture, SUPPORTED));
        };
        let mut config = keys.base()?;
        match architecture {
            "llama" => {}
            "qwen2" => config.qkv_bias = true,
            "qwen3" | "qwen3moe" => config.qk_norm = true,
            "gemma2" | "gemma3" => keys.gemma(&mut config)?,
            "smollm3" => {
                // Every fourth layer has no positions.
                for layer in config.layers.iter_mut().skip(3).step_by(4) {
                    layer.rope = None;
                }
            }
            "grok" => keys.grok(&mut config)?,
            _ => unreachable!("an architecture that is not supported"),
        }
        for rope in &mut config.rope {
            rope.pairing = pairing;
        }
        validate(gguf.path(), &config)?;
        Ok(config)
    }
}

impl Keys<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.architecture)
    }

    fn usize(&self, name: &str) -> Result<usize> {
        self.gguf.metadata().usize(&self.key(name))
    }

    fn usize_or(&self, name: &str, default: usize) -> Result<usize> {
        let key = self.key(name);
        if self.gguf.metadata().contains(&key) {
            self.gguf.metadata().usize(&key)
        } else {
            Ok(default)
        }
    }

    fn f32_or(&self, name: &str, default: f32) -> Result<f32> {
        let key = self.key(name);
        if self.gguf.metadata().contains(&key) {
            self.gguf.metadata().f32(&key)
        } else {
            Ok(default)
        }
    }

    fn positive(&self, name: &str) -> Result<Option<f32>> {
        Ok(Some(self.f32_or(name, 0.0)?).filter(|&x| x != 0.0))
    }

    /// A count that may be given once or layer by layer; different layers are not supported.
    fn per_layer(&self, name: &str, default: Option<usize>) -> Result<usize> {
        let key = self.key(name);
        let metadata = self.gguf.metadata();
        let is_array = metadata
            .value(&key)
            .is_some_and(|value| value.as_int().is_none());
        if !is_array {
            return default.map_or_else(|| self.usize(name), |d| self.usize_or(name, d));
        }
        let mut values = metadata.ints(&key)?;
        let first = values.next().unwrap_or(0);
        if values.any(|value| value != first) {
            return Err(self.unsupported(&key, "different layers", "one value for all layers"));
        }
        usize::try_from(first).map_err(|_| self.invalid(&key, first, "a count"))
    }

    fn base(&self) -> Result<Config> {
        let hidden_size = self.usize("embedding_length")?;
        let n_layers = self.usize("block_count")?;
        limit_layers(self.gguf.path(), &self.key("block_count"), n_layers)?;
        let num_attention_heads = self.per_layer("attention.head_count", None)?;
        let num_key_value_heads =
            self.per_layer("attention.head_count_kv", Some(num_attention_heads))?;
        let key_length = "attention.key_length";
        let head_dim = if self.gguf.metadata().contains(&self.key(key_length)) {
            self.usize(key_length)?
        } else {
            let (path, field) = (self.gguf.path(), self.key("embedding_length"));
            shared_width(path, &field, hidden_size, num_attention_heads)?
        };
        let value_dim = self.usize_or("attention.value_length", head_dim)?;
        if value_dim != head_dim {
            let key = self.key("attention.value_length");
            return Err(self.unsupported(&key, value_dim, format!("the key length {head_dim}")));
        }

        let embedding = self.gguf.tensor("token_embd.weight");
        let vocab_size = match embedding.and_then(|view| view.shape.first().copied()) {
            Some(rows) => rows,
            None => self.usize("vocab_size")?,
        };
        let experts = self.experts()?;
        let intermediate_size = self.per_layer("feed_forward_length", Some(0))?;
        Ok(Config {
            architecture: self.architecture.to_owned(),
            vocab_size,
            hidden_size,
            intermediate_size,
            num_attention_heads,
            num_key_value_heads,
            head_dim,
            max_position_embeddings: self.usize("context_length")?,
            rms_norm_eps: self.f32_or("attention.layer_norm_rms_epsilon", 1e-5)?,
            embedding_scale: 1.0,
            logit_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            activation: Activation::Silu,
            norm_weight_offset: false,
            sandwich_norms: false,
            qk_norm: false,
            qkv_bias: false,
            output_bias: false,
            mlp_bias: false,
            attn_logit_softcap: None,
            final_logit_softcap: None,
            tie_word_embeddings: self.gguf.tensor("output.weight").is_none(),
            layers: vec![
                LayerConfig {
                    sliding_window: None,
                    rope: Some(0),
                    experts: experts.is_some()
                };
                n_layers
            ],
            rope: vec![self.rope(head_dim)?],
            experts,
        })
    }

    fn experts(&self) -> Result<Option<Experts>> {
        let num_experts = self.usize_or("expert_count", 0)?;
        if num_experts == 0 {
            return Ok(None);
        }
        let width = self.per_layer("feed_forward_length", Some(0))?;
        Ok(Some(Experts {
            num_experts,
            num_experts_per_tok: self.usize("expert_used_count")?,
            moe_intermediate_size: self.usize_or("expert_feed_forward_length", width)?,
            norm_topk_prob: self.architecture != "grok",
        }))
    }

    fn rope(&self, head_dim: usize) -> Result<Rope> {
        let dim = self.usize_or("rope.dimension_count", head_dim)?;
        Ok(Rope {
            theta: self.f32_or("rope.freq_base", 10_000.0)?,
            pairing: RopePairing::Half,
            dim,
            scaling: self.rope_scaling(dim)?,
        })
    }

    fn rope_scaling(&self, dim: usize) -> Result<RopeScaling> {
        if let Some(view) = self.gguf.tensor("rope_freqs.weight") {
            // Before memory is taken: the file may state any size, but must hold what it states.
            if view.shape != [dim / 2] || view.dtype.row_bytes(dim / 2) != Some(view.data.len()) {
                let found = format!("shape {:?}", view.shape);
                return Err(self.invalid("rope_freqs.weight", found, format!("[{}]", dim / 2)));
            }
            let mut factors = vec![0.0; dim / 2];
            quant::dequantize_row(view.dtype, view.data, &mut factors);
            return Ok(RopeScaling::Factors { factors });
        }
        let key = self.key("rope.scaling.type");
        let kind = if self.gguf.metadata().contains(&key) {
            self.gguf.metadata().str(&key)?
        } else if self
            .gguf
            .metadata()
            .contains(&self.key("rope.scale_linear"))
        {
            return Ok(RopeScaling::Linear {
                factor: self.f32_or("rope.scale_linear", 1.0)?,
            });
        } else {
            "none"
        };
        let factor = self.f32_or("rope.scaling.factor", 1.0)?;
        match kind {
            "none" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor }),
            "yarn" => {
                let context = self.usize("context_length")?;
                let scale = self.f32_or("rope.scaling.attn_factor", 1.0)?;
                Ok(RopeScaling::Yarn {
                    factor,
                    original_max_position_embeddings: self
                        .usize_or("rope.scaling.original_context_length", context)?,
                    beta_fast: self.f32_or("rope.scaling.yarn_beta_fast", 32.0)?,
                    beta_slow: self.f32_or("rope.scaling.yarn_beta_slow", 1.0)?,
                    attention_factor: scale * (0.1 * libm::logf(factor) + 1.0),
                })
            }
            other => Err(self.unsupported(&key, other, "none, linear, yarn")),
        }
    }

    fn gemma(&self, config: &mut Config) -> Result<()> {
        config.embedding_scale = (config.hidden_size as f32).sqrt();
        config.activation = Activation::GeluTanh;
        config.sandwich_norms = true;
        // Files from before the key existed are all of Gemma 2.
        let default_window = if self.architecture == "gemma2" {
            4096
        } else {
            0
        };
        let window = self.usize_or("attention.sliding_window", default_window)?;
        // Gemma 3's largest models have one global layer in six, Gemma 2 every second.
        let period = if self.architecture == "gemma3" {
            config.qk_norm = true;
            config.final_logit_softcap = self.positive("final_logit_softcapping")?;
            6
        } else {
            config.attn_logit_softcap = Some(self.f32_or("attn_logit_softcapping", 50.0)?);
            config.final_logit_softcap = Some(self.f32_or("final_logit_softcapping", 30.0)?);
            2
        };
        // The 27-billion-parameter models scale by hidden size over heads, the others by head size.
        let is_27b = matches!(
            (self.architecture, config.layers.len()),
            ("gemma2", 46) | ("gemma3", 62)
        );
        if is_27b {
            let width = config.hidden_size as f32 / config.num_attention_heads.max(1) as f32;
            config.attention_scale = 1.0 / width.sqrt();
        }
        if self.architecture == "gemma3" {
            let local = self.f32_or("rope.freq_base_swa", 10_000.0)?;
            let dim = config.rope[0].dim;
            let scaling = RopeScaling::None;
            config.rope.push(Rope {
                theta: local,
                pairing: RopePairing::Half,
                dim,
                scaling,
            });
        }
        for (index, layer) in config.layers.iter_mut().enumerate() {
            if window > 0 && (index + 1) % period != 0 {
                layer.sliding_window = Some(window);
                layer.rope = Some(config.rope.len() - 1);
            }
        }
        Ok(())
    }

    fn grok(&self, config: &mut Config) -> Result<()> {
        config.sandwich_norms = true;
        config.activation = Activation::GeluTanh;
        config.embedding_scale = self.f32_or("embedding_scale", 78.383_675)?;
        config.logit_scale = self.f32_or("logit_scale", 0.577_350_26)?;
        config.attention_scale = self.f32_or("attention.output_scale", 0.088_388_346)?;
        config.attn_logit_softcap = Some(self.f32_or("attn_logit_softcapping", 30.0)?);
        config.final_logit_softcap = self.positive("final_logit_softcapping")?;
        Ok(())
    }

    fn invalid(
        &self,
        field: &str,
        found: impl std::fmt::Display,
        allowed: impl std::fmt::Display,
    ) -> Error {
        Error::invalid(self.gguf.path(), field, found, allowed)
    }

    fn unsupported(
        &self,
        field: &str,
        found: impl std::fmt::Display,
        supported: impl std::fmt::Display,
    ) -> Error {
        Error::unsupported(self.gguf.path(), field, found, supported)
    }
}
