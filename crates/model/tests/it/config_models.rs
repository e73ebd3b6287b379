//! The `config.json` of published models, as their makers wrote them, and what each must come to.

use std::path::Path;
use terang_model::Config;
use terang_model::config::{Activation, Experts, RopePairing, RopeScaling};

pub(crate) fn read(text: &str) -> Config {
    Config::from_hf_json(Path::new("config.json"), text).unwrap()
}

/// Vocabulary, hidden size, width, layers, heads, key-value heads, head size, context.
pub(crate) fn dims(config: &Config) -> [usize; 8] {
    [
        config.vocab_size,
        config.hidden_size,
        config.intermediate_size,
        config.layers.len(),
        config.num_attention_heads,
        config.num_key_value_heads,
        config.head_dim,
        config.max_position_embeddings,
    ]
}

fn windows(config: &Config) -> Vec<Option<usize>> {
    config.layers.iter().map(|l| l.sliding_window).collect()
}

/// What most families share; the exceptions are asserted where they are.
#[track_caller]
fn assert_plain(config: &Config) {
    let scale = 1.0 / (config.head_dim as f32).sqrt();
    assert_eq!(config.attention_scale, scale);
    assert_eq!((config.embedding_scale, config.logit_scale), (1.0, 1.0));
    assert_eq!(config.activation, Activation::Silu);
    assert!(!config.norm_weight_offset && !config.sandwich_norms);
    assert!(!config.output_bias && !config.mlp_bias);
    assert_eq!(config.attn_logit_softcap, None);
    assert_eq!(config.final_logit_softcap, None);
    assert_eq!(config.rope.len(), 1);
    assert_eq!(config.rope[0].dim, config.head_dim);
    assert_eq!(config.rope[0].pairing, RopePairing::Half);
}

pub(crate) const LLAMA_2_7B: &str = r#"{"architectures": ["LlamaForCausalLM"], "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": null,
    "tie_word_embeddings": false, "torch_dtype": "float16", "use_cache": true,
    "vocab_size": 32000}"#;

#[test]
fn llama_2_7b() {
    let config = read(LLAMA_2_7B);
    assert_plain(&config);
    assert_eq!(dims(&config), [32000, 4096, 11008, 32, 32, 32, 128, 4096]);
    assert_eq!(config.rope[0].theta, 10_000.0);
    assert_eq!(config.rope[0].scaling, RopeScaling::None);
    assert_eq!(config.rms_norm_eps, 1e-5);
    assert_eq!(windows(&config), [None; 32]);
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.qk_norm);
    assert_eq!(config.experts, None);
}

pub(crate) const LLAMA_3_1_8B: &str = r#"{"architectures": ["LlamaForCausalLM"],
    "attention_bias": false, "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009],
    "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0,
    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    "rope_type": "llama3"}, "rope_theta": 500000.0, "tie_word_embeddings": false,
    "vocab_size": 128256}"#;

#[test]
fn llama_3_1_8b() {
    let config = read(LLAMA_3_1_8B);
    assert_plain(&config);
    assert_eq!(
        dims(&config),
        [128_256, 4096, 14336, 32, 32, 8, 128, 131_072]
    );
    assert_eq!(config.rope[0].theta, 500_000.0);
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    assert_eq!(config.rope[0].scaling, scaling);
    // The same, as later versions of the library write it.
    let later = LLAMA_3_1_8B
        .replace(r#""rope_theta": 500000.0, "#, "")
        .replace(
            r#""rope_scaling": {"#,
            r#""rope_parameters": {"rope_theta": 500000.0, "#,
        );
    assert_ne!(later, LLAMA_3_1_8B);
    assert_eq!(read(&later), config);
}

pub(crate) const MISTRAL_7B: &str = r#"{"architectures": ["MistralForCausalLM"], "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 14336,
    "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false,
    "vocab_size": 32000}"#;

#[test]
fn mistral_7b() {
    let config = read(MISTRAL_7B);
    assert_plain(&config);
    assert_eq!(dims(&config), [32000, 4096, 14336, 32, 32, 8, 128, 32768]);
    assert_eq!(windows(&config), [Some(4096); 32]);
    // Version 0.2 switches the window off with null; where nothing is written it is the default.
    let off = MISTRAL_7B.replace(r#""sliding_window": 4096"#, r#""sliding_window": null"#);
    assert_eq!(windows(&read(&off)), [None; 32]);
    let absent = MISTRAL_7B.replace(r#""sliding_window": 4096, "#, "");
    assert_eq!(windows(&read(&absent)), [Some(4096); 32]);
}

pub(crate) const QWEN_2_5_0_5B: &str = r#"{"architectures": ["Qwen2ForCausalLM"],
    "bos_token_id": 151643, "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 896,
    "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 24,
    "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "use_mrope": false,
    "use_sliding_window": false, "vocab_size": 151936}"#;

#[test]
fn qwen_2_5_0_5b() {
    let config = read(QWEN_2_5_0_5B);
    assert_plain(&config);
    assert_eq!(dims(&config), [151_936, 896, 4864, 24, 14, 2, 64, 32768]);
    assert_eq!(config.rope[0].theta, 1e6);
    assert!(config.qkv_bias && config.tie_word_embeddings && !config.qk_norm);
    assert_eq!(windows(&config), [None; 24]);
    let some = QWEN_2_5_0_5B
        .replace(r#"window": false"#, r#"window": true"#)
        .replace(r#""max_window_layers": 24"#, r#""max_window_layers": 21"#);
    let expected = [vec![None; 21], vec![Some(32768); 3]].concat();
    assert_eq!(windows(&read(&some)), expected);
}

pub(crate) const QWEN_3_0_6B: &str = r#"{"architectures": ["Qwen3ForCausalLM"],
    "attention_bias": false, "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128,
    "hidden_act": "silu", "hidden_size": 1024, "intermediate_size": 3072,
    "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
    "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
    "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 151936}"#;

#[test]
fn qwen_3_0_6b() {
    let config = read(QWEN_3_0_6B);
    assert_plain(&config);
    assert_eq!(dims(&config), [151_936, 1024, 3072, 28, 16, 8, 128, 40960]);
    assert!(config.qk_norm && config.tie_word_embeddings && !config.qkv_bias);
    assert_eq!(windows(&config), [None; 28]);
    // The makers' advice for long contexts: YaRN, whose factor on cos and sin is 0.1 ln 4 + 1.
    let yarn = r#""rope_scaling": {"rope_type": "yarn", "factor": 4.0,
        "original_max_position_embeddings": 32768}"#;
    let long = read(&QWEN_3_0_6B.replace(r#""rope_scaling": null"#, yarn));
    let RopeScaling::Yarn {
        factor,
        original_max_position_embeddings,
        attention_factor,
        ..
    } = long.rope[0].scaling
    else {
        panic!("{:?}", long.rope[0]);
    };
    assert_eq!((factor, original_max_position_embeddings), (4.0, 32768));
    assert!((attention_factor - 1.138_629_4).abs() < 1e-6);
}

pub(crate) const QWEN_3_30B_A3B: &str = r#"{"architectures": ["Qwen3MoeForCausalLM"],
    "attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu",
    "hidden_size": 2048, "intermediate_size": 6144, "max_position_embeddings": 40960,
    "max_window_layers": 48, "mlp_only_layers": [], "model_type": "qwen3_moe",
    "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32,
    "num_experts": 128, "num_experts_per_tok": 8, "num_hidden_layers": 48,
    "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_scaling": null,
    "rope_theta": 1000000.0, "sliding_window": null, "tie_word_embeddings": false,
    "use_sliding_window": false, "vocab_size": 151936}"#;

#[test]
fn qwen_3_30b_a3b() {
    let config = read(QWEN_3_30B_A3B);
    assert_plain(&config);
    assert_eq!(dims(&config), [151_936, 2048, 6144, 48, 32, 4, 128, 40960]);
    let experts = Experts {
        num_experts: 128,
        num_experts_per_tok: 8,
        moe_intermediate_size: 768,
        norm_topk_prob: true,
    };
    assert_eq!(config.experts, Some(experts));
    assert!(config.layers.iter().all(|layer| layer.experts));
    assert!(config.qk_norm && !config.tie_word_embeddings);
    let mixed = QWEN_3_30B_A3B
        .replace(r#"_layers": []"#, r#"_layers": [1, 3]"#)
        .replace(r#"sparse_step": 1"#, r#"sparse_step": 2"#);
    let with_experts: Vec<usize> = (0..48)
        .filter(|&index| read(&mixed).layers[index].experts)
        .collect();
    assert_eq!(with_experts, (5..48).step_by(2).collect::<Vec<_>>());
}

pub(crate) const MIXTRAL_8X7B: &str = r#"{"architectures": ["MixtralForCausalLM"],
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
    "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mixtral",
    "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "num_local_experts": 8, "output_router_logits": false,
    "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "router_aux_loss_coef": 0.02,
    "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32000}"#;

#[test]
fn mixtral_8x7b() {
    let config = read(MIXTRAL_8X7B);
    assert_plain(&config);
    assert_eq!(dims(&config), [32000, 4096, 14336, 32, 32, 8, 128, 32768]);
    let experts = Experts {
        num_experts: 8,
        num_experts_per_tok: 2,
        moe_intermediate_size: 14336,
        norm_topk_prob: true,
    };
    assert_eq!(config.experts, Some(experts));
    assert!(config.layers.iter().all(|layer| layer.experts));
    assert_eq!(windows(&config), [None; 32]);
    assert_eq!(config.rope[0].theta, 1e6);
    // What it shares with the library's defaults may be left out.
    let short = MIXTRAL_8X7B
        .replace(r#""rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "#, "")
        .replace(r#""sliding_window": null, "#, "");
    assert_eq!(read(&short), config);
}

pub(crate) const SMOLLM_2_135M: &str = r#"{"architectures": ["LlamaForCausalLM"],
    "attention_bias": false, "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "silu",
    "hidden_size": 576, "intermediate_size": 1536, "is_llama_config": true,
    "max_position_embeddings": 8192, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
    "rope_theta": 100000, "tie_word_embeddings": true, "vocab_size": 49152}"#;

#[test]
fn smollm_2_135m() {
    let config = read(SMOLLM_2_135M);
    assert_plain(&config);
    assert_eq!(dims(&config), [49152, 576, 1536, 30, 9, 3, 64, 8192]);
    assert_eq!(config.rope[0].theta, 100_000.0);
    assert!(config.tie_word_embeddings);
}

/// The published file does not say that the embedding is shared: that is the library's default.
pub(crate) const SMOLLM_3_3B: &str = r#"{"architectures": ["SmolLM3ForCausalLM"],
    "attention_bias": false, "eos_token_id": 128012, "hidden_act": "silu", "hidden_size": 2048,
    "intermediate_size": 11008, "max_position_embeddings": 65536, "max_window_layers": 28,
    "mlp_bias": false, "model_type": "smollm3", "no_rope_layer_interval": 4, "no_rope_layers":
    [1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0,1,1,1,0],
    "num_attention_heads": 16, "num_hidden_layers": 36, "num_key_value_heads": 4,
    "pretraining_tp": 2, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 5000000.0,
    "sliding_window": null, "use_sliding_window": false, "vocab_size": 128256}"#;

#[test]
fn smollm_3_3b() {
    let config = read(SMOLLM_3_3B);
    assert_plain(&config);
    assert_eq!(dims(&config), [128_256, 2048, 11008, 36, 16, 4, 128, 65536]);
    assert_eq!(config.rope[0].theta, 5e6);
    assert!(config.tie_word_embeddings);
    for (index, layer) in config.layers.iter().enumerate() {
        assert_eq!(layer.rope, (index % 4 != 3).then_some(0), "layer {index}");
    }
    let by_interval = SMOLLM_3_3B.replace("no_rope_layers", "something_else");
    assert_eq!(read(&by_interval), config);
    // With a window, the layers without positions are those that have it.
    let window = SMOLLM_3_3B
        .replace(r#"sliding_window": null"#, r#"sliding_window": 512"#)
        .replace(
            r#"use_sliding_window": false"#,
            r#"use_sliding_window": true"#,
        );
    for layer in &read(&window).layers {
        let expected = layer.rope.is_none().then_some(512);
        assert_eq!(layer.sliding_window, expected);
    }
}
