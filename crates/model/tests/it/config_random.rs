//! Random descriptions: whatever stands in a file, reading ends without a panic, and what is accepted
//! keeps every limit.

use crate::gguf_writer::{GgufWriter, string};
use crate::{config_models as models, config_models_gemma_grok as special};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};
use std::io::Write;
use std::path::Path;
use terang_model::Config;
use terang_model::config::RopeScaling;
use terang_model::gguf::Gguf;

/// The limits that readers of a [`Config`] rely on.
pub(crate) fn assert_within_limits(config: &Config) {
    assert!((1..=1 << 22).contains(&config.vocab_size));
    assert!((1..=1 << 17).contains(&config.hidden_size));
    assert!((1..=1024).contains(&config.num_attention_heads));
    assert!((1..=1024).contains(&config.num_key_value_heads));
    assert!(
        config
            .num_attention_heads
            .is_multiple_of(config.num_key_value_heads)
    );
    assert!((2..=1024).contains(&config.head_dim) && config.head_dim.is_multiple_of(2));
    assert!((1..=1 << 27).contains(&config.max_position_embeddings));
    assert!((1..=1024).contains(&config.layers.len()));
    assert!(config.intermediate_size <= 1 << 20);
    assert!(config.rms_norm_eps >= 0.0 && config.rms_norm_eps < 1.0);
    let mut factors = vec![
        config.embedding_scale,
        config.logit_scale,
        config.attention_scale,
        config.attn_logit_softcap.unwrap_or(1.0),
        config.final_logit_softcap.unwrap_or(1.0),
    ];
    for layer in &config.layers {
        assert_ne!(layer.sliding_window, Some(0));
        assert!(layer.rope.is_none_or(|index| index < config.rope.len()));
        assert!(if layer.experts {
            config.experts.is_some()
        } else {
            config.intermediate_size > 0
        });
    }
    if let Some(experts) = config.experts {
        assert!((1..=1024).contains(&experts.num_experts));
        assert!((1..=experts.num_experts).contains(&experts.num_experts_per_tok));
        assert!((1..=1 << 20).contains(&experts.moe_intermediate_size));
    }
    for rope in &config.rope {
        assert!((2..=config.head_dim).contains(&rope.dim) && rope.dim.is_multiple_of(2));
        factors.push(rope.theta);
        match &rope.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => factors.push(*factor),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                ..
            } => {
                assert!(low_freq_factor < high_freq_factor);
                factors.extend([factor, low_freq_factor, high_freq_factor]);
            }
            RopeScaling::Yarn {
                factor,
                beta_fast,
                beta_slow,
                attention_factor,
                ..
            } => factors.extend([factor, beta_fast, beta_slow, attention_factor]),
            RopeScaling::Factors { factors: all } => {
                assert_eq!(all.len(), rope.dim / 2);
                factors.extend(all);
            }
        }
    }
    assert!(
        factors.iter().all(|x| x.is_finite() && *x > 0.0),
        "{factors:?}"
    );
}

const MODELS: [&str; 11] = [
    models::LLAMA_2_7B,
    models::LLAMA_3_1_8B,
    models::MISTRAL_7B,
    models::QWEN_2_5_0_5B,
    models::QWEN_3_0_6B,
    models::QWEN_3_30B_A3B,
    models::MIXTRAL_8X7B,
    models::SMOLLM_3_3B,
    special::GEMMA_2_2B,
    special::GEMMA_3_1B,
    special::GROK_1,
];

/// Fields that the files above lack.
const OTHER_FIELDS: [&str; 12] = [
    "rope_parameters",
    "rope_scaling",
    "layer_types",
    "head_dim",
    "partial_rotary_factor",
    "num_selected_experts",
    "sliding_window",
    "use_sliding_window",
    "hidden_act",
    "tie_word_embeddings",
    "text_config",
    "model_type",
];

fn number() -> impl Strategy<Value = Value> {
    let int = prop_oneof![
        0_u64..70,
        Just(1 << 31),
        Just(1 << 32),
        Just(1 << 63),
        Just(u64::MAX),
        any::<u64>()
    ];
    let float = prop_oneof![
        -2.0..2.0,
        Just(-0.0),
        Just(1e-310),
        Just(3.5e38),
        Just(f64::MAX),
        any::<f64>()
    ];
    prop_oneof![
        int.prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        float.prop_map(|x| Number::from_f64(x).map_or(Value::Null, Value::Number)),
    ]
}

fn word() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 14] = [
        "llama3",
        "linear",
        "yarn",
        "default",
        "full_attention",
        "sliding_attention",
        "gelu",
        "silu",
        "gemma3",
        "gemma3_text",
        "qwen2",
        "qwen3_moe",
        "smollm3",
        "grok-1",
    ];
    prop_oneof![
        prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        any::<String>()
    ]
}

/// The names that objects inside a description have.
fn key() -> impl Strategy<Value = String> {
    const KNOWN: [&str; 14] = [
        "rope_type",
        "type",
        "factor",
        "rope_theta",
        "low_freq_factor",
        "high_freq_factor",
        "original_max_position_embeddings",
        "beta_fast",
        "beta_slow",
        "attention_factor",
        "mscale",
        "mscale_all_dim",
        "full_attention",
        "sliding_attention",
    ];
    prop_oneof![
        9 => prop::sample::select(&KNOWN[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        number(),
        word().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 40, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Reads it; what is accepted keeps the limits, and a message is one short line.
fn check(result: terang_model::Result<Config>) {
    match result {
        Ok(config) => assert_within_limits(&config),
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains('\n') && message.len() < 1000, "{message}");
        }
    }
}

fn check_json(text: &str) {
    check(Config::from_hf_json(Path::new("config.json"), text));
}

/// A value of a metadata key: its type and bytes.
fn gguf_value() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let int = prop_oneof![
        0_u64..70,
        Just(1 << 31),
        Just(1 << 63),
        Just(u64::MAX),
        any::<u64>()
    ];
    let float = prop_oneof![
        -2.0_f32..2.0,
        Just(f32::NAN),
        Just(f32::INFINITY),
        Just(1e-44),
        any::<f32>()
    ];
    let array = prop::collection::vec(prop_oneof![0_u32..4, any::<u32>()], 0..5);
    prop_oneof![
        any::<u8>().prop_map(|x| (0, vec![x])),
        any::<i8>().prop_map(|x| (1, x.to_le_bytes().to_vec())),
        any::<u32>().prop_map(|x| (4, x.to_le_bytes().to_vec())),
        (0_u32..70).prop_map(|x| (4, x.to_le_bytes().to_vec())),
        any::<i32>().prop_map(|x| (5, x.to_le_bytes().to_vec())),
        float.prop_map(|x| (6, x.to_le_bytes().to_vec())),
        any::<bool>().prop_map(|x| (7, vec![x.into()])),
        word().prop_map(|x| (8, string(&x))),
        array.prop_map(|x| {
            let items = x.iter().flat_map(|x| x.to_le_bytes());
            let head = 4_u32
                .to_le_bytes()
                .into_iter()
                .chain((x.len() as u64).to_le_bytes());
            (9, head.chain(items).collect())
        }),
        int.prop_map(|x| (10, x.to_le_bytes().to_vec())),
        any::<f64>().prop_map(|x| (12, x.to_le_bytes().to_vec())),
    ]
}

const GGUF_ARCHITECTURES: [&str; 9] = [
    "llama", "qwen2", "qwen3", "qwen3moe", "gemma2", "gemma3", "smollm3", "grok", "phi3",
];

/// Keys that the reader knows; the first eight stand in every file.
const GGUF_KEYS: [&str; 24] = [
    "embedding_length",
    "block_count",
    "attention.head_count",
    "attention.head_count_kv",
    "feed_forward_length",
    "context_length",
    "vocab_size",
    "expert_used_count",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.output_scale",
    "attn_logit_softcapping",
    "final_logit_softcapping",
    "expert_count",
    "expert_feed_forward_length",
    "rope.dimension_count",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.type",
    "rope.scaling.factor",
    "embedding_scale",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn changed_descriptions_are_refused_or_keep_the_limits(
        model in prop::sample::select(&MODELS[..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), json(), 0..8_u8), 1..5),
    ) {
        let mut fields: Map<String, Value> = serde_json::from_str(model).unwrap();
        for (index, value, kind) in changes {
            let names: Vec<_> = fields.keys().cloned().collect();
            let names: Vec<_> = names.iter().map(String::as_str).chain(OTHER_FIELDS).collect();
            let name = names[index.index(names.len())].to_owned();
            if kind == 0 {
                fields.remove(&name);
            } else {
                fields.insert(name, value);
            }
        }
        check_json(&Value::Object(fields.clone()).to_string());
        // The same as the language model's part of one that sees images.
        let wrapped = serde_json::json!({"model_type": "gemma3", "text_config": fields});
        check_json(&wrapped.to_string());
    }

    #[test]
    fn random_rotary_scalings_are_refused_or_keep_the_limits(
        kind in prop::sample::select(&["llama3", "linear", "yarn"][..]),
        values in prop::collection::vec((key(), number()), 0..8),
    ) {
        let mut scaling: Map<String, Value> = values.into_iter().collect();
        scaling.insert("rope_type".into(), kind.into());
        let mut fields: Map<String, Value> = serde_json::from_str(models::LLAMA_2_7B).unwrap();
        fields.insert("rope_scaling".into(), scaling.into());
        check_json(&Value::Object(fields).to_string());
    }

    #[test]
    fn random_text_is_refused(text in any::<String>(), value in json()) {
        check_json(&text);
        check_json(&value.to_string());
        let text = special::GEMMA_2_2B.replacen("26", &text, 1);
        check_json(&text);
    }

    #[test]
    fn changed_gguf_keys_are_refused_or_keep_the_limits(
        architecture in prop::sample::select(&GGUF_ARCHITECTURES[..]),
        changes in prop::collection::vec((0..GGUF_KEYS.len(), gguf_value()), 1..5),
        factors in prop::option::of(prop::collection::vec(any::<f32>(), 1..9)),
        missing in prop::option::of(0..8_usize),
    ) {
        let mut keys: Vec<Option<(u32, Vec<u8>)>> = vec![None; GGUF_KEYS.len()];
        for (key, value) in keys.iter_mut().zip([32_u32, 6, 4, 2, 48, 64, 64, 2]) {
            *key = Some((4, value.to_le_bytes().to_vec()));
        }
        for (index, value) in changes {
            keys[index] = Some(value);
        }
        if let Some(index) = missing {
            keys[index] = None;
        }
        let mut writer = GgufWriter::default().str("general.architecture", architecture);
        for (name, key) in GGUF_KEYS.iter().zip(keys) {
            if let Some((value_type, bytes)) = key {
                writer = writer.raw_key(&format!("{architecture}.{name}"), value_type, &bytes);
            }
        }
        if let Some(factors) = factors {
            let bytes: Vec<u8> = factors.iter().flat_map(|x| x.to_le_bytes()).collect();
            let shape = [factors.len() as u64];
            let dtype = terang_kernels::DType::F32;
            writer = writer.tensor("rope_freqs.weight", &shape, dtype, &bytes);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&writer.bytes()).unwrap();
        check(Config::from_gguf(&Gguf::open(file.path()).unwrap()));
    }
}
