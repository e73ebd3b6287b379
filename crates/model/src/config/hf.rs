//! [`Config`] from the `config.json` of a Hugging Face folder, in the spellings of old and new
//! versions of `transformers`, with that library's defaults.

use super::{
    Activation, Config, Experts, LayerConfig, Rope, RopePairing, RopeScaling, limit_layers,
    positive, shared_width, validate,
};
use crate::{Error, Result};
use serde_json::{Map, Value};
use std::path::Path;

const SUPPORTED: &str = "llama, mistral, qwen2, qwen3, qwen3_moe, gemma2, gemma3_text, gemma3, \
                         smollm3, mixtral, grok-1";

/// One object of the file, with where it is for messages.
struct Fields<'a> {
    path: &'a Path,
    object: &'a Map<String, Value>,
}

impl Config {
    /// Reads `text`, the contents of the `config.json` at `path`.
    pub fn from_hf_json(path: &Path, text: &str) -> Result<Self> {
        let root: Value = serde_json::from_str(text)
            .map_err(|e| Error::invalid(path, format!("line {}", e.line()), e, "JSON"))?;
        let Value::Object(object) = &root else {
            return Err(Error::invalid(
                path,
                "file",
                "no JSON object",
                "a JSON object",
            ));
        };
        let outer = Fields { path, object };
        let missing = || Error::invalid(path, "model_type", "nothing", SUPPORTED);
        let model_type = outer.str("model_type")?.ok_or_else(missing)?;
        // Gemma 3 with images wraps the language model's description.
        if model_type == "gemma3" {
            let missing = || Error::invalid(path, "text_config", "nothing", "an object");
            let text = outer.object("text_config")?.ok_or_else(missing)?;
            return text.config("gemma3_text");
        }
        outer.config(model_type)
    }
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    fn wrong(&self, name: &str, found: &Value, allowed: &str) -> Error {
        Error::invalid(self.path, name, found, allowed)
    }

    fn str(&self, name: &str) -> Result<Option<&'a str>> {
        self.typed(name, "a string", Value::as_str)
    }

    fn bool(&self, name: &str, default: bool) -> Result<bool> {
        Ok(self
            .typed(name, "true or false", Value::as_bool)?
            .unwrap_or(default))
    }

    fn count(&self, name: &str) -> Result<Option<usize>> {
        let parse = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        self.typed(name, "a count", parse)
    }

    fn required(&self, name: &str) -> Result<usize> {
        let missing = || Error::invalid(self.path, name, "nothing", "a count");
        self.count(name)?.ok_or_else(missing)
    }

    fn float(&self, name: &str) -> Result<Option<f32>> {
        self.typed(name, "a number", |value| value.as_f64().map(|x| x as f32))
    }

    fn float_or(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.float(name)?.unwrap_or(default))
    }

    fn object(&self, name: &str) -> Result<Option<Self>> {
        let object = self.typed(name, "an object", Value::as_object)?;
        Ok(object.map(|object| Self {
            path: self.path,
            object,
        }))
    }

    fn typed<T>(
        &self,
        name: &str,
        allowed: &str,
        parse: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        parse(value)
            .map(Some)
            .ok_or_else(|| self.wrong(name, value, allowed))
    }

    fn config(&self, model_type: &str) -> Result<Config> {
        // First of all: other families spell even their dimensions differently.
        if !SUPPORTED.split(", ").any(|known| known == model_type) {
            let field = "model_type";
            return Err(Error::unsupported(self.path, field, model_type, SUPPORTED));
        }
        let mut config = self.base(model_type)?;
        let window = match self.object.get("sliding_window") {
            None if !matches!(model_type, "mixtral" | "smollm3") => Some(4096),
            _ => self.count("sliding_window")?,
        };
        match model_type {
            "mistral" => config
                .layers
                .iter_mut()
                .for_each(|l| l.sliding_window = window),
            "qwen2" => {
                config.qkv_bias = true;
                self.qwen_windows(&mut config, window)?;
            }
            "qwen3" | "qwen3_moe" => {
                config.qk_norm = true;
                self.qwen_windows(&mut config, window)?;
                if model_type == "qwen3_moe" {
                    self.qwen_experts(&mut config)?;
                }
            }
            "gemma2" | "gemma3_text" => self.gemma(&mut config, model_type, window)?,
            "smollm3" => self.smollm3(&mut config, window)?,
            "mixtral" => {
                config
                    .layers
                    .iter_mut()
                    .for_each(|l| l.sliding_window = window);
                config.experts = Some(Experts {
                    num_experts: self.count("num_local_experts")?.unwrap_or(8),
                    num_experts_per_tok: self.count("num_experts_per_tok")?.unwrap_or(2),
                    moe_intermediate_size: config.intermediate_size,
                    norm_topk_prob: true,
                });
                config.layers.iter_mut().for_each(|l| l.experts = true);
            }
            "grok-1" => self.grok(&mut config)?,
            _ => {}
        }
        validate(self.path, &config)?;
        Ok(config)
    }

    /// What the families have in common.
    fn base(&self, model_type: &str) -> Result<Config> {
        let gemma = model_type.starts_with("gemma");
        let hidden_size = self.required("hidden_size")?;
        let n_layers = self.required("num_hidden_layers")?;
        limit_layers(self.path, "num_hidden_layers", n_layers)?;
        // Files of the Gemma 3 models that see images leave out what is as in the first of them.
        let or_gemma3 = |name: &str, default: usize| match self.count(name)? {
            None if model_type == "gemma3_text" => Ok(default),
            _ => self.required(name),
        };
        let num_attention_heads = or_gemma3("num_attention_heads", 8)?;
        let default_kv_heads = if gemma { 4 } else { num_attention_heads };
        let head_dim = match self.count("head_dim")? {
            Some(head_dim) => head_dim,
            None if gemma => 256,
            None if model_type == "qwen3" => 128,
            None => shared_width(self.path, "hidden_size", hidden_size, num_attention_heads)?,
        };
        let act = self.str("hidden_activation")?.or(self.str("hidden_act")?);
        let activation = match act {
            None if gemma => Activation::GeluTanh,
            None | Some("silu" | "swish") => Activation::Silu,
            Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Activation::GeluTanh,
            Some("gelu") => Activation::Gelu,
            Some(other) => {
                let supported = "silu, gelu_pytorch_tanh, gelu";
                return Err(Error::unsupported(
                    self.path,
                    "hidden_act",
                    other,
                    supported,
                ));
            }
        };
        let default_context = match model_type {
            "gemma2" => 8192,
            "gemma3_text" | "mistral" | "mixtral" => 131_072,
            "qwen2" | "qwen3" | "qwen3_moe" | "smollm3" => 32_768,
            _ => 2048,
        };
        let default_eps = match model_type {
            "mixtral" | "grok-1" => 1e-5,
            _ => 1e-6,
        };
        let default_theta = match model_type {
            "gemma3_text" | "mixtral" => 1_000_000.0,
            "smollm3" => 2_000_000.0,
            _ => 10_000.0,
        };
        let tied = gemma || model_type == "smollm3";
        let bias = self.bool("attention_bias", false)?;
        Ok(Config {
            architecture: model_type.to_owned(),
            vocab_size: or_gemma3("vocab_size", 262_208)?,
            hidden_size,
            intermediate_size: match self.count("intermediate_size")? {
                // A model of experts alone needs no such width.
                None if model_type == "qwen3_moe" => 0,
                _ => self.required("intermediate_size")?,
            },
            num_attention_heads,
            num_key_value_heads: self
                .count("num_key_value_heads")?
                .unwrap_or(default_kv_heads),
            head_dim,
            max_position_embeddings: self
                .count("max_position_embeddings")?
                .unwrap_or(default_context),
            rms_norm_eps: self.float_or("rms_norm_eps", default_eps)?,
            embedding_scale: 1.0,
            logit_scale: 1.0,
            attention_scale: 1.0 / (head_dim as f32).sqrt(),
            activation,
            norm_weight_offset: false,
            sandwich_norms: false,
            qk_norm: false,
            qkv_bias: bias,
            output_bias: bias,
            mlp_bias: self.bool("mlp_bias", false)?,
            attn_logit_softcap: None,
            final_logit_softcap: None,
            tie_word_embeddings: self.bool("tie_word_embeddings", tied)?,
            layers: vec![
                LayerConfig {
                    sliding_window: None,
                    rope: Some(0),
                    experts: false
                };
                n_layers
            ],
            rope: vec![self.rope("full_attention", "rope_theta", default_theta, head_dim)?],
            experts: None,
        })
    }

    /// `layer_types`, where it is given: true for layers with a sliding window.
    fn sliding_layers(&self, n_layers: usize) -> Result<Option<Vec<bool>>> {
        let Some(value) = self.get("layer_types") else {
            return Ok(None);
        };
        let allowed = "full_attention or sliding_attention for each layer";
        let types = value.as_array().filter(|types| types.len() == n_layers);
        let types = types.ok_or_else(|| self.wrong("layer_types", value, allowed))?;
        let parse = |value: &Value| match value.as_str() {
            Some("full_attention") => Ok(false),
            Some("sliding_attention") => Ok(true),
            _ => Err(self.wrong("layer_types", value, allowed)),
        };
        types.iter().map(parse).collect::<Result<_>>().map(Some)
    }

    /// Qwen's windows are off unless `use_sliding_window` is set.
    fn qwen_windows(&self, config: &mut Config, window: Option<usize>) -> Result<()> {
        if !self.bool("use_sliding_window", false)? {
            return Ok(());
        }
        let first = match config.architecture.as_str() {
            // Windows are for all of its layers or none.
            "qwen3_moe" => 0,
            _ => self.count("max_window_layers")?.unwrap_or(28),
        };
        let sliding = self.sliding_layers(config.layers.len())?;
        for (index, layer) in config.layers.iter_mut().enumerate() {
            if sliding
                .as_ref()
                .map_or(index >= first, |sliding| sliding[index])
            {
                layer.sliding_window = window;
            }
        }
        Ok(())
    }

    fn qwen_experts(&self, config: &mut Config) -> Result<()> {
        config.experts = Some(Experts {
            num_experts: match self.count("num_experts")? {
                Some(count) => count,
                None => self.count("num_local_experts")?.unwrap_or(128),
            },
            num_experts_per_tok: self.count("num_experts_per_tok")?.unwrap_or(8),
            moe_intermediate_size: self.count("moe_intermediate_size")?.unwrap_or(768),
            norm_topk_prob: self.bool("norm_topk_prob", false)?,
        });
        let step = self.count("decoder_sparse_step")?.unwrap_or(1);
        let indices = |value: &Value| value.as_array()?.iter().map(Value::as_u64).collect();
        let dense: Vec<u64> = self
            .typed("mlp_only_layers", "a list of layers", indices)?
            .unwrap_or_default();
        for (index, layer) in config.layers.iter_mut().enumerate() {
            let sparse = step > 0 && (index + 1).is_multiple_of(step);
            layer.experts = sparse && !dense.contains(&(index as u64));
        }
        Ok(())
    }

    fn gemma(&self, config: &mut Config, model_type: &str, window: Option<usize>) -> Result<()> {
        config.norm_weight_offset = true;
        config.sandwich_norms = true;
        config.embedding_scale = (config.hidden_size as f32).sqrt();
        let field = "query_pre_attn_scalar";
        let scalar = self.float_or(field, 256.0)?;
        positive(self.path, field, scalar)?;
        config.attention_scale = 1.0 / scalar.sqrt();
        let period = if model_type == "gemma2" {
            config.attn_logit_softcap = self.softcap("attn_logit_softcapping", Some(50.0))?;
            config.final_logit_softcap = self.softcap("final_logit_softcapping", Some(30.0))?;
            2
        } else {
            config.qk_norm = true;
            config.attn_logit_softcap = self.softcap("attn_logit_softcapping", None)?;
            config.final_logit_softcap = self.softcap("final_logit_softcapping", None)?;
            let theta = "rope_local_base_freq";
            let mut local = self.rope("sliding_attention", theta, 10_000.0, config.head_dim)?;
            // Only the global layers are scaled, unless the file describes each kind.
            if self.get("rope_parameters").is_none() {
                local.scaling = RopeScaling::None;
                local.theta = self.float_or(theta, 10_000.0)?;
            }
            config.rope.push(local);
            self.count("sliding_window_pattern")?
                .or(self.count("_sliding_window_pattern")?)
                .unwrap_or(6)
        };
        let sliding = self.sliding_layers(config.layers.len())?;
        let last_rope = config.rope.len() - 1;
        for (index, layer) in config.layers.iter_mut().enumerate() {
            let by_pattern = period > 0 && !(index + 1).is_multiple_of(period);
            if sliding
                .as_ref()
                .map_or(by_pattern, |sliding| sliding[index])
            {
                layer.sliding_window = window;
                layer.rope = Some(last_rope);
            }
        }
        Ok(())
    }

    /// A cap that `null` switches off.
    fn softcap(&self, name: &str, default: Option<f32>) -> Result<Option<f32>> {
        match self.object.get(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(None),
            Some(_) => self.float(name),
        }
    }

    fn smollm3(&self, config: &mut Config, window: Option<usize>) -> Result<()> {
        let interval = self.count("no_rope_layer_interval")?.unwrap_or(4);
        let flags = self.typed("no_rope_layers", "a list of 0 and 1", Value::as_array)?;
        if flags.is_some_and(|flags| flags.len() != config.layers.len()) {
            let found = flags.map_or(0, Vec::len);
            let allowed = format!("one entry for each of {} layers", config.layers.len());
            return Err(Error::invalid(self.path, "no_rope_layers", found, allowed));
        }
        let use_window = self.bool("use_sliding_window", false)?;
        let sliding = self.sliding_layers(config.layers.len())?;
        for (index, layer) in config.layers.iter_mut().enumerate() {
            let rotates = match flags {
                // Despite its name, 1 stands for a layer with positions.
                Some(flags) => match flags[index].as_u64() {
                    Some(flag @ (0 | 1)) => flag == 1,
                    _ => return Err(self.wrong("no_rope_layers", &flags[index], "0 or 1")),
                },
                None => interval == 0 || !(index + 1).is_multiple_of(interval),
            };
            if !rotates {
                layer.rope = None;
            }
            // Without a list, the layers without positions are those with a window.
            if use_window && sliding.as_ref().map_or(!rotates, |list| list[index]) {
                layer.sliding_window = window;
            }
        }
        Ok(())
    }

    fn grok(&self, config: &mut Config) -> Result<()> {
        config.sandwich_norms = true;
        config.activation = Activation::GeluTanh;
        config.embedding_scale = self.float_or("embedding_multiplier_scale", 78.383_675)?;
        config.logit_scale = self.float_or("output_multiplier_scale", 0.577_350_26)?;
        config.attention_scale = self.float_or("attn_output_multiplier", 0.088_388_346)?;
        config.attn_logit_softcap = Some(self.float_or("max_attn_value", 30.0)?);
        config.experts = Some(Experts {
            num_experts: self.count("num_experts")?.unwrap_or(8),
            num_experts_per_tok: match self.count("num_selected_experts")? {
                Some(count) => count,
                None => self.count("num_experts_per_tok")?.unwrap_or(2),
            },
            moe_intermediate_size: config.intermediate_size,
            norm_topk_prob: false,
        });
        config
            .layers
            .iter_mut()
            .for_each(|layer| layer.experts = true);
        Ok(())
    }

    /// The rotary embedding of one kind of layer. New files hold `rope_parameters`, either flat or
    /// one object a kind; old ones `rope_theta` and `rope_scaling`.
    fn rope(&self, kind: &str, theta_name: &str, theta: f32, head_dim: usize) -> Result<Rope> {
        let default_theta = theta;
        let parameters = match self.object("rope_parameters")? {
            Some(all) => Some(all.object(kind)?.unwrap_or(all)),
            None => self.object("rope_scaling")?,
        };
        let theta = match &parameters {
            Some(fields) => fields.float("rope_theta")?,
            None => None,
        };
        let theta = match theta {
            Some(theta) => theta,
            None => self.float_or(theta_name, default_theta)?,
        };
        let partial = self.float_or("partial_rotary_factor", 1.0)?;
        let scaling = match &parameters {
            Some(fields) => fields.rope_scaling(self)?,
            None => RopeScaling::None,
        };
        let dim = (head_dim as f32 * partial) as usize;
        Ok(Rope {
            theta,
            pairing: RopePairing::Half,
            dim,
            scaling,
        })
    }

    fn rope_scaling(&self, outer: &Self) -> Result<RopeScaling> {
        let kind = self
            .str("rope_type")?
            .or(self.str("type")?)
            .unwrap_or("default");
        if kind == "default" {
            return Ok(RopeScaling::None);
        }
        let required = |name: &str| {
            let missing = || Error::invalid(self.path, name, "nothing", "a number");
            self.float(name)?.ok_or_else(missing)
        };
        let factor = required("factor")?;
        let context = match self.count("original_max_position_embeddings")? {
            Some(context) => context,
            None => outer.count("max_position_embeddings")?.unwrap_or(2048),
        };
        match kind {
            "linear" => Ok(RopeScaling::Linear { factor }),
            "llama3" => Ok(RopeScaling::Llama3 {
                factor,
                low_freq_factor: required("low_freq_factor")?,
                high_freq_factor: required("high_freq_factor")?,
                original_max_position_embeddings: context,
            }),
            "yarn" => {
                let mscale = |scale: f32| {
                    if factor <= 1.0 {
                        1.0
                    } else {
                        0.1 * scale * libm::logf(factor) + 1.0
                    }
                };
                let all = self.float("mscale_all_dim")?.filter(|&x| x != 0.0);
                let attention_factor = match (self.float("attention_factor")?, all) {
                    (Some(given), _) => given,
                    (None, Some(all)) => mscale(self.float_or("mscale", 1.0)?) / mscale(all),
                    (None, None) => mscale(1.0),
                };
                Ok(RopeScaling::Yarn {
                    factor,
                    original_max_position_embeddings: context,
                    beta_fast: self.float_or("beta_fast", 32.0)?,
                    beta_slow: self.float_or("beta_slow", 1.0)?,
                    attention_factor,
                })
            }
            other => {
                let supported = "default, linear, llama3, yarn";
                Err(Error::unsupported(self.path, "rope_type", other, supported))
            }
        }
    }
}
