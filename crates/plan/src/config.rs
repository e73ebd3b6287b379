//! A model's architecture from its Hugging Face `config.json`.

use serde_json::Value;

use crate::error::PlanError;
use crate::model::Model;

/// Model types whose MLPs have two matrices.
const PLAIN: [&str; 10] = [
    "gpt2",
    "gpt_neox",
    "gptj",
    "bloom",
    "opt",
    "falcon",
    "mpt",
    "starcoder2",
    "phi",
    "nemotron_h",
];

/// Reads a `config.json`; `path` is for errors and the model's name.
pub fn model_from_config(text: &str, path: &str) -> Result<Model, PlanError> {
    let form = |reason: String| PlanError::Form {
        path: path.to_owned(),
        reason,
    };
    let root: Value = serde_json::from_str(text).map_err(|e| form(format!("not JSON: {e}")))?;
    // Models that also see keep the text part's values below.
    let config = root
        .get("text_config")
        .filter(|t| t.is_object())
        .unwrap_or(&root);
    let count = |names: &[&str]| {
        names
            .iter()
            .find_map(|n| config.get(*n).and_then(Value::as_u64))
            .filter(|n| *n > 0)
    };
    let need = |names: &[&str]| count(names).ok_or_else(|| form(format!("no {}", names[0])));
    let kind = config
        .get("model_type")
        .and_then(Value::as_str)
        .unwrap_or("");
    let hidden = need(&["hidden_size", "n_embd", "d_model"])?;
    let heads = need(&["num_attention_heads", "n_head", "n_heads"])?;
    let experts = count(&["num_experts", "num_local_experts", "n_routed_experts"]).unwrap_or(0);
    let inner = count(&["intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size"]);
    let expert = count(&["moe_intermediate_size"]).or(inner).unwrap_or(0);
    let dense = count(&["first_k_dense_replace"]).unwrap_or(0);
    let shared = count(&[
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
    ])
    .or_else(|| count(&["n_shared_experts"]).map(|n| n.saturating_mul(expert)))
    .unwrap_or(0);
    // Nemotron-H names each layer: by a letter in a pattern, or by a word in a list.
    let kinds = |letter: char, word: &str| {
        let pattern = config
            .get("hybrid_override_pattern")
            .and_then(Value::as_str)
            .map(|p| p.chars().filter(|c| *c == letter).count());
        let list = config
            .get("layers_block_type")
            .and_then(Value::as_array)
            .map(|l| l.iter().filter(|w| w.as_str() == Some(word)).count());
        if kind == "nemotron_h" {
            pattern.or(list).unwrap_or(0) as u64
        } else {
            0
        }
    };
    let name = config
        .get("_name_or_path")
        .and_then(Value::as_str)
        .filter(|n| !n.is_empty())
        .unwrap_or(if kind.is_empty() { path } else { kind });
    let model = Model {
        name: name.to_owned(),
        aliases: Vec::new(),
        hidden_size: hidden,
        num_hidden_layers: need(&["num_hidden_layers", "n_layer", "n_layers"])?,
        num_attention_heads: heads,
        num_key_value_heads: count(&["num_key_value_heads"]).unwrap_or(heads),
        head_dim: count(&["head_dim"]).unwrap_or(0),
        intermediate_size: if experts > 1 && dense == 0 {
            0
        } else {
            inner.unwrap_or(hidden.saturating_mul(4))
        },
        vocab_size: need(&["vocab_size"])?,
        gated: !PLAIN.contains(&kind),
        tied: config
            .get("tie_word_embeddings")
            .or(root.get("tie_word_embeddings"))
            .and_then(Value::as_bool)
            .unwrap_or(PLAIN.contains(&kind) && kind != "nemotron_h"),
        seq_len: count(&["max_position_embeddings", "n_positions", "max_seq_len"])
            .unwrap_or(4096)
            .min(8192),
        num_experts: experts,
        num_experts_per_tok: count(&["num_experts_per_tok", "num_experts_per_token"]).unwrap_or(0),
        moe_intermediate_size: if experts > 1 { expert } else { 0 },
        shared_intermediate_size: if experts > 1 { shared } else { 0 },
        first_k_dense: dense,
        q_lora_rank: count(&["q_lora_rank"]).unwrap_or(0),
        kv_lora_rank: count(&["kv_lora_rank"]).unwrap_or(0),
        qk_nope_head_dim: count(&["qk_nope_head_dim"]).unwrap_or(0),
        qk_rope_head_dim: count(&["qk_rope_head_dim"]).unwrap_or(0),
        v_head_dim: count(&["v_head_dim"]).unwrap_or(0),
        sliding_window: 0,
        sliding_share: 0.0,
        own_activation: false,
        mtp_layers: count(&["num_nextn_predict_layers"]).unwrap_or(0),
        mamba_layers: kinds('M', "mamba"),
        attention_layers: kinds('*', "attention"),
        mamba_num_heads: count(&["mamba_num_heads"]).unwrap_or(0),
        mamba_head_dim: count(&["mamba_head_dim"]).unwrap_or(0),
        n_groups: count(&["n_groups"]).unwrap_or(0),
        ssm_state_size: count(&["ssm_state_size"]).unwrap_or(0),
        moe_latent_size: count(&["moe_latent_size"]).unwrap_or(0),
    };
    model.check().map_err(|e| form(e.to_string()))?;
    Ok(model)
}
