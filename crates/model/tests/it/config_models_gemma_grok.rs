//! As `config_models`, for the families with norms, scales and caps of their own.

use crate::config_models::{dims, read};
use terang_model::Config;
use terang_model::config::{Activation, Experts, RopeScaling};

pub(crate) const GEMMA_2_2B: &str = r#"{"architectures": ["Gemma2ForCausalLM"],
    "attention_bias": false, "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid",
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "intermediate_size": 9216,
    "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4, "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096,
    "vocab_size": 256000}"#;

#[test]
fn gemma_2_2b() {
    let config = read(GEMMA_2_2B);
    assert_eq!(dims(&config), [256_000, 2304, 9216, 26, 8, 4, 256, 8192]);
    assert_eq!(config.attn_logit_softcap, Some(50.0));
    assert_eq!(config.final_logit_softcap, Some(30.0));
    assert_eq!(config.embedding_scale, 48.0);
    assert_eq!(config.attention_scale, 1.0 / 16.0);
    assert_eq!(config.activation, Activation::GeluTanh);
    assert!(config.norm_weight_offset && config.sandwich_norms && config.tie_word_embeddings);
    assert!(!config.qk_norm);
    // Windows on every other layer, the first among them; one rotary embedding for all.
    for (index, layer) in config.layers.iter().enumerate() {
        let window = (index % 2 == 0).then_some(4096);
        assert_eq!((layer.sliding_window, layer.rope), (window, Some(0)));
    }
    assert_eq!(config.rope.len(), 1);
    // The largest of the family scales by hidden size over heads.
    let big = GEMMA_2_2B.replace(r#"scalar": 256"#, r#"scalar": 144"#);
    assert_eq!(read(&big).attention_scale, 1.0 / 12.0);
    let uncapped = GEMMA_2_2B.replace("50.0", "null");
    assert_eq!(read(&uncapped).attn_logit_softcap, None);
}

pub(crate) const GEMMA_3_1B: &str = r#"{"architectures": ["Gemma3ForCausalLM"],
    "attention_bias": false, "attn_logit_softcapping": null, "cache_implementation": "hybrid",
    "final_logit_softcapping": null, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 1152, "intermediate_size": 6912, "max_position_embeddings": 32768,
    "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26,
    "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000, "rope_scaling": null, "rope_theta": 1000000,
    "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262144}"#;

#[track_caller]
fn assert_gemma_3(config: &Config, window: usize) {
    assert!(config.norm_weight_offset && config.sandwich_norms && config.qk_norm);
    assert!(config.tie_word_embeddings && !config.qkv_bias);
    assert_eq!(config.activation, Activation::GeluTanh);
    assert_eq!(config.attention_scale, 1.0 / 16.0);
    assert_eq!(config.embedding_scale, (config.hidden_size as f32).sqrt());
    assert_eq!(
        (config.attn_logit_softcap, config.final_logit_softcap),
        (None, None)
    );
    let thetas: Vec<f32> = config.rope.iter().map(|rope| rope.theta).collect();
    assert_eq!(thetas, [1e6, 1e4]);
    assert_eq!(config.rope[1].scaling, RopeScaling::None);
    for (index, layer) in config.layers.iter().enumerate() {
        let expected = if index % 6 == 5 {
            (None, Some(0))
        } else {
            (Some(window), Some(1))
        };
        assert_eq!(
            (layer.sliding_window, layer.rope),
            expected,
            "layer {index}"
        );
    }
}

#[test]
fn gemma_3_1b() {
    let config = read(GEMMA_3_1B);
    assert_gemma_3(&config, 512);
    assert_eq!(dims(&config), [262_144, 1152, 6912, 26, 4, 1, 256, 32768]);
    assert_eq!(config.rope[0].scaling, RopeScaling::None);
}

#[test]
fn gemma_3_270m() {
    let types: Vec<_> = (0..18)
        .map(|index| ["sliding_attention", "full_attention"][usize::from(index % 6 == 5)])
        .collect();
    let text = format!(
        r#"{{"_sliding_window_pattern": 6, "attn_logit_softcapping": null, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640, "intermediate_size": 2048,
        "layer_types": {types:?}, "max_position_embeddings": 32768, "model_type": "gemma3_text",
        "num_attention_heads": 4, "num_hidden_layers": 18, "num_key_value_heads": 1,
        "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
        "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": 512,
        "use_bidirectional_attention": false, "vocab_size": 262144}}"#
    );
    let config = read(&text);
    assert_gemma_3(&config, 512);
    assert_eq!(dims(&config), [262_144, 640, 2048, 18, 4, 1, 256, 32768]);
}

/// With images: the language model's part is an object of its own, and holds only what differs from
/// the library's defaults.
#[test]
fn gemma_3_4b() {
    let config = read(
        r#"{"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "mm_tokens_per_image": 256, "model_type": "gemma3", "text_config": {"hidden_size": 2560,
        "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
        "vision_config": {"hidden_size": 1152, "image_size": 896}}"#,
    );
    assert_gemma_3(&config, 1024);
    assert_eq!(
        dims(&config),
        [262_208, 2560, 10240, 34, 8, 4, 256, 131_072]
    );
    let scaling = RopeScaling::Linear { factor: 8.0 };
    assert_eq!(config.rope[0].scaling, scaling, "global layers only");
}

pub(crate) const GROK_1: &str = r#"{"architectures": ["Grok1ModelForCausalLM"],
    "attn_output_multiplier": 0.08838834764831845, "bos_token_id": 1,
    "embedding_multiplier_scale": 78.38367176906169, "eos_token_id": 2, "hidden_size": 6144,
    "intermediate_size": 32768, "max_attn_value": 30.0, "max_position_embeddings": 8192,
    "model_type": "grok-1", "num_attention_heads": 48, "num_experts": 8,
    "num_experts_per_tok": 2, "num_hidden_layers": 64, "num_key_value_heads": 8,
    "output_multiplier_scale": 0.5773502691896257, "pad_token_id": 0, "rms_norm_eps": 1e-05,
    "tie_word_embeddings": true, "vocab_size": 131072}"#;

#[test]
fn grok_1() {
    let config = read(GROK_1);
    assert_eq!(dims(&config), [131_072, 6144, 32768, 64, 48, 8, 128, 8192]);
    // 1 / sqrt(128), sqrt(6144), 1 / sqrt(3).
    assert_eq!(config.attention_scale, 0.088_388_346);
    assert_eq!(config.embedding_scale, 78.383_675);
    assert_eq!(config.logit_scale, 0.577_350_26);
    assert_eq!(config.attn_logit_softcap, Some(30.0));
    assert_eq!(config.final_logit_softcap, None);
    assert_eq!(config.activation, Activation::GeluTanh);
    assert!(config.sandwich_norms && config.tie_word_embeddings && !config.norm_weight_offset);
    assert_eq!(
        (config.rope[0].theta, config.rms_norm_eps),
        (10_000.0, 1e-5)
    );
    // The defaults are the same to the last bit.
    let mut text: serde_json::Value = serde_json::from_str(GROK_1).unwrap();
    let fields = text.as_object_mut().unwrap();
    fields.retain(|name, _| !name.ends_with("_scale") && !name.starts_with("attn_output"));
    assert_eq!(read(&text.to_string()), config);
    // The router's probabilities are taken as they are.
    let experts = Experts {
        num_experts: 8,
        num_experts_per_tok: 2,
        moe_intermediate_size: 32768,
        norm_topk_prob: false,
    };
    assert_eq!(config.experts, Some(experts));
    assert!(config.layers.iter().all(|layer| layer.experts));
}
