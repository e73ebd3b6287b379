//! The decoder over random small descriptions that pass the limits: every shape and factor that they
//! let through runs, the same with and without SIMD, in one chunk or many.

use crate::broken_weights::{InMemory, load};
use crate::config_random::assert_within_limits;
use crate::parity::run;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::Path;
use terang_kernels::{Cpu, DType};
use terang_model::Config;

/// Small weights under the names of Hugging Face files, for every tensor the description asks for.
fn weights(config: &Config) -> InMemory {
    let mut source = InMemory::default();
    let mut state = 1_u32;
    let mut add = |name: String, shape: &[usize]| {
        let mut data = Vec::new();
        for _ in 0..shape.iter().product::<usize>() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = (state >> 8) as f32 / (1 << 24) as f32 - 0.5;
            data.extend(x.to_le_bytes());
        }
        source
            .tensors
            .insert(name, (DType::F32, shape.to_vec(), data));
    };
    let hidden = config.hidden_size;
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    add(
        "model.embed_tokens.weight".into(),
        &[config.vocab_size, hidden],
    );
    add("lm_head.weight".into(), &[config.vocab_size, hidden]);
    add("model.norm.weight".into(), &[hidden]);
    for (index, layer) in config.layers.iter().enumerate() {
        let mut add =
            |name: &str, shape: &[usize]| add(format!("model.layers.{index}.{name}"), shape);
        for name in [
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ] {
            add(&format!("{name}.weight"), &[hidden]);
        }
        for (name, rows, cols) in [
            ("q", q, hidden),
            ("k", kv, hidden),
            ("v", kv, hidden),
            ("o", hidden, q),
        ] {
            add(&format!("self_attn.{name}_proj.weight"), &[rows, cols]);
            add(&format!("self_attn.{name}_proj.bias"), &[rows]);
        }
        add("self_attn.q_norm.weight", &[config.head_dim]);
        add("self_attn.k_norm.weight", &[config.head_dim]);
        let mut mlp = |at: &str, width: usize| {
            for (name, rows, cols) in [
                ("gate", width, hidden),
                ("up", width, hidden),
                ("down", hidden, width),
            ] {
                add(&format!("{at}.{name}_proj.weight"), &[rows, cols]);
                add(&format!("{at}.{name}_proj.bias"), &[rows]);
            }
        };
        match config.experts {
            Some(experts) if layer.experts => {
                for expert in 0..experts.num_experts {
                    mlp(
                        &format!("mlp.experts.{expert}"),
                        experts.moe_intermediate_size,
                    );
                }
                add("mlp.gate.weight", &[experts.num_experts, hidden]);
            }
            _ => mlp("mlp", config.intermediate_size),
        }
    }
    source
}

/// Factors from tiny to huge.
fn factor() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(1.0),
        Just(1e-30),
        Just(3e38),
        0.001..100.0,
        (-30.0..38.0_f64).prop_map(|x| 10_f64.powf(x))
    ]
}

fn scaling() -> impl Strategy<Value = Value> {
    let count = prop_oneof![1_usize..100, Just(1 << 27)];
    prop_oneof![
        Just(Value::Null),
        factor().prop_map(|factor| json!({"type": "linear", "factor": factor})),
        (factor(), factor(), factor(), count.clone()).prop_map(|(factor, low, high, context)| {
            json!({"rope_type": "llama3", "factor": factor, "low_freq_factor": low,
                "high_freq_factor": low + high, "original_max_position_embeddings": context})
        }),
        (factor(), factor(), factor(), count).prop_map(|(factor, fast, slow, context)| {
            json!({"type": "yarn", "factor": factor, "beta_fast": fast, "beta_slow": slow,
                "original_max_position_embeddings": context})
        }),
    ]
}

const FAMILIES: [&str; 7] = [
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "gemma2",
    "gemma3_text",
];

fn description() -> impl Strategy<Value = Value> {
    let heads = (1_usize..5, 1_usize..4, 1_usize..20);
    let widths = (1_usize..40, 1_usize..40, 1_usize..40);
    let windows = (prop::option::of(1_usize..80), any::<bool>());
    let experts = (1_usize..6, 0_usize..5);
    let floats = (factor(), factor(), scaling());
    let family = prop::sample::select(&FAMILIES[..]);
    (
        family,
        heads,
        widths,
        windows,
        experts,
        floats,
        1_usize..4,
        any::<bool>(),
    )
        .prop_map(
            |(family, heads, widths, (window, sliding), experts, floats, layers, bias)| {
                json!({
                    "model_type": family,
                    "num_key_value_heads": heads.0,
                    "num_attention_heads": heads.0 * heads.1,
                    "head_dim": heads.2 * 2,
                    "hidden_size": widths.0,
                    "intermediate_size": widths.1,
                    "vocab_size": widths.2,
                    "num_hidden_layers": layers,
                    "max_position_embeddings": 200,
                    "sliding_window": window,
                    "use_sliding_window": sliding,
                    "sliding_window_pattern": 2,
                    "max_window_layers": 1,
                    "num_experts": experts.0,
                    "num_experts_per_tok": 1 + experts.1 % experts.0,
                    "moe_intermediate_size": widths.1,
                    "rope_theta": floats.0,
                    "query_pre_attn_scalar": floats.1,
                    "rope_scaling": floats.2,
                    "attention_bias": bias,
                    "mlp_bias": bias,
                    "tie_word_embeddings": bias,
                })
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_passes_the_limits_runs(description in description(), seed in any::<u32>()) {
        let text = description.to_string();
        let config = Config::from_hf_json(Path::new("config.json"), &text);
        // Factors at the ends of the range may cancel to nothing: refused, and by name.
        let Ok(config) = config else {
            return Ok(());
        };
        assert_within_limits(&config);
        let source = weights(&config);
        let tokens: Vec<u32> = (0..130_u32)
            .map(|i| (seed.wrapping_mul(i + 1) >> 7) % config.vocab_size as u32)
            .collect();
        let mut scalar = load(&source, &config, Cpu::SCALAR).unwrap();
        let expected = run(&mut scalar, &tokens, &[tokens.len()]);
        let mut best = load(&source, &config, Cpu::best()).unwrap();
        let found = run(&mut best, &tokens, &[1, 63, 5]);
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        prop_assert!(found.len() == expected.len() && found.iter().zip(&expected).all(same));
    }
}
