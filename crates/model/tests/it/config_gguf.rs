//! Descriptions in GGUF metadata: what converters write for published models, and what is refused.

use crate::bounds::refused_with;
use crate::config_random::assert_within_limits;
use crate::gguf_writer::{GgufWriter, on_disk, string};
use terang_kernels::DType;
use terang_model::Config;
use terang_model::config::{Activation, RopePairing, RopeScaling};
use terang_model::gguf::Gguf;

/// Hidden size, layers, heads, key-value heads, width, context, vocabulary.
fn base(architecture: &str, dims: [u32; 7]) -> GgufWriter {
    let names = [
        "embedding_length",
        "block_count",
        "attention.head_count",
        "attention.head_count_kv",
        "feed_forward_length",
        "context_length",
        "vocab_size",
    ];
    let start = GgufWriter::default().str("general.architecture", architecture);
    names.iter().zip(dims).fold(start, |writer, (name, value)| {
        writer.u32(&format!("{architecture}.{name}"), value)
    })
}

/// Takes out a key of [`base`].
fn without(mut writer: GgufWriter, key: &str) -> GgufWriter {
    let head = string(key);
    let count = writer.keys.len();
    writer.keys.retain(|entry| !entry.starts_with(&head));
    assert_eq!(writer.keys.len() + 1, count);
    writer
}

const TINY: [u32; 7] = [32, 6, 4, 2, 48, 64, 64];

fn read(writer: &GgufWriter) -> Config {
    let (_dir, path) = on_disk("model.gguf", &writer.bytes());
    let config = Config::from_gguf(&Gguf::open(&path).unwrap()).unwrap();
    assert_within_limits(&config);
    config
}

#[track_caller]
fn refuse(writer: &GgufWriter, words: &[&str]) {
    let (_dir, path) = on_disk("model.gguf", &writer.bytes());
    let gguf = Gguf::open(&path).unwrap();
    refused_with(&[&["model.gguf: "], words].concat(), || {
        Config::from_gguf(&gguf)
    });
}

#[test]
fn smollm_2_135m() {
    let config = read(
        &base("llama", [576, 30, 9, 3, 1536, 8192, 49152])
            .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
            .u32("llama.rope.dimension_count", 64)
            .f32("llama.rope.freq_base", 100_000.0),
    );
    assert_eq!((config.head_dim, config.layers.len()), (64, 30));
    assert_eq!(
        (config.num_attention_heads, config.num_key_value_heads),
        (9, 3)
    );
    assert_eq!(config.rope[0].theta, 100_000.0);
    assert_eq!(config.rope[0].pairing, RopePairing::Interleaved);
    assert!(config.tie_word_embeddings && config.experts.is_none());
}

/// Llama 3.1's frequencies come as a tensor of divisors.
#[test]
fn llama_3_1_8b() {
    let divisors: Vec<u8> = (0..64_u8)
        .flat_map(|i| (1.0 + f32::from(i) / 9.0).to_le_bytes())
        .collect();
    let writer = base("llama", [4096, 32, 32, 8, 14336, 131_072, 128_256])
        .f32("llama.rope.freq_base", 500_000.0)
        .u32("llama.rope.dimension_count", 128)
        .tensor("rope_freqs.weight", &[64], DType::F32, &divisors);
    let RopeScaling::Factors { factors } = &read(&writer).rope[0].scaling else {
        panic!("no factors");
    };
    assert_eq!((factors.len(), factors[0], factors[63]), (64, 1.0, 8.0));
}

#[test]
fn mixtral_8x7b() {
    let config = read(
        &base("llama", [4096, 32, 32, 8, 14336, 32768, 32000])
            .u32("llama.expert_count", 8)
            .u32("llama.expert_used_count", 2),
    );
    let experts = config.experts.unwrap();
    assert_eq!((experts.num_experts, experts.num_experts_per_tok), (8, 2));
    assert!(experts.norm_topk_prob && experts.moe_intermediate_size == 14336);
}

#[test]
fn qwen_3_30b_a3b() {
    let config = read(
        &base("qwen3moe", [2048, 48, 32, 4, 6144, 40960, 151_936])
            .u32("qwen3moe.attention.key_length", 128)
            .u32("qwen3moe.attention.value_length", 128)
            .u32("qwen3moe.expert_count", 128)
            .u32("qwen3moe.expert_used_count", 8)
            .u32("qwen3moe.expert_feed_forward_length", 768),
    );
    assert_eq!(config.head_dim, 128);
    assert!(config.qk_norm && config.rope[0].pairing == RopePairing::Half);
    assert_eq!(config.experts.unwrap().moe_intermediate_size, 768);
}

#[test]
fn gemma_2_and_3() {
    let gemma2 = base("gemma2", [2304, 26, 8, 4, 9216, 8192, 256_000])
        .u32("gemma2.attention.key_length", 256);
    let config = read(&gemma2);
    assert_eq!(config.attn_logit_softcap, Some(50.0));
    assert_eq!(config.final_logit_softcap, Some(30.0));
    assert_eq!(
        (config.embedding_scale, config.attention_scale),
        (48.0, 1.0 / 16.0)
    );
    assert_eq!(config.activation, Activation::GeluTanh);
    // Files from before the key existed mean a window of 4096 on every other layer.
    for (index, layer) in config.layers.iter().enumerate() {
        assert_eq!(layer.sliding_window, (index % 2 == 0).then_some(4096));
    }
    let config = read(&gemma2.u32("gemma2.attention.sliding_window", 2048));
    assert_eq!(config.layers[0].sliding_window, Some(2048));

    let gemma3 = base("gemma3", [1152, 26, 4, 1, 6912, 32768, 262_144])
        .u32("gemma3.attention.key_length", 256)
        .f32("gemma3.rope.freq_base", 1e6)
        .u32("gemma3.attention.sliding_window", 512);
    let config = read(&gemma3);
    for (index, layer) in config.layers.iter().enumerate() {
        let global = index % 6 == 5;
        assert_eq!(layer.sliding_window, (!global).then_some(512));
        let theta = config.rope[layer.rope.unwrap()].theta;
        assert_eq!(theta, if global { 1e6 } else { 1e4 });
    }
}

#[test]
fn grok_1() {
    let config = read(
        &base("grok", [6144, 64, 48, 8, 32768, 8192, 131_072])
            .u32("grok.expert_count", 8)
            .u32("grok.expert_used_count", 2),
    );
    assert_eq!(config.embedding_scale, 6144_f32.sqrt());
    assert_eq!(config.logit_scale, 1.0 / 3_f32.sqrt());
    assert_eq!(config.attn_logit_softcap, Some(30.0));
    assert!(!config.experts.unwrap().norm_topk_prob && config.sandwich_norms);
}

#[test]
fn architectures_that_are_not_supported() {
    for other in ["phi3", "mamba", "", "LLAMA", "llama, qwen2"] {
        let bare = GgufWriter::default().str("general.architecture", other);
        refuse(
            &bare,
            &["general.architecture", other, "supported: llama, qwen2"],
        );
    }
    refuse(
        &GgufWriter::default(),
        &["general.architecture: found nothing"],
    );
    let number = GgufWriter::default().u32("general.architecture", 1);
    refuse(
        &number,
        &["general.architecture: found the integer 1", "string"],
    );
}

#[test]
fn counts_that_are_zero_absurd_or_do_not_divide() {
    let with = |index: usize, value: u32| {
        let mut dims = TINY;
        dims[index] = value;
        base("qwen2", dims)
    };
    for (index, field) in [
        (0, "hidden_size"),
        (1, "qwen2.block_count"),
        (2, "num_attention_heads"),
        (3, "num_key_value_heads"),
        (4, "intermediate_size"),
        (5, "max_position_embeddings"),
        (6, "vocab_size"),
    ] {
        for value in [0, 1 << 31] {
            let found = format!("{field}: found {value}, allowed 1 to ");
            refuse(&with(index, value), &[&found]);
        }
    }
    refuse(
        &with(3, 3),
        &["num_key_value_heads: found 3, allowed a divisor of 4"],
    );
    refuse(
        &with(0, 33),
        &["qwen2.embedding_length: found 33, allowed a multiple of 4"],
    );
    let bytes = u64::MAX.to_le_bytes();
    for field in ["attention.key_length", "rope.dimension_count"] {
        let writer = base("qwen2", TINY).raw_key(&format!("qwen2.{field}"), 10, &bytes);
        refuse(&writer, &["found 18446744073709551615", "allowed"]);
    }
    for field in ["block_count", "attention.head_count", "context_length"] {
        let key = format!("qwen2.{field}");
        let negative = without(base("qwen2", TINY), &key).raw_key(&key, 5, &(-4_i32).to_le_bytes());
        refuse(&negative, &[&key, "found the integer -4, allowed"]);
        refuse(
            &without(base("qwen2", TINY), &key),
            &[&key, "found nothing, allowed"],
        );
    }
}

/// A stated size takes no memory before the tensor is seen to have it.
#[test]
fn rotary_divisors_of_another_size() {
    for dim in [2, 64, 1 << 20, 1 << 40, 1 << 62, u64::MAX] {
        let writer = base("llama", TINY)
            .raw_key("llama.rope.dimension_count", 10, &dim.to_le_bytes())
            .tensor("rope_freqs.weight", &[4], DType::F32, &[1; 16]);
        refuse(&writer, &["rope_freqs.weight: found shape [4], allowed"]);
    }
    for bad in [f32::NAN, f32::INFINITY, 0.0, -1.0] {
        let data = [1.0, 1.0, bad, 1.0].map(f32::to_le_bytes).concat();
        let writer = base("llama", TINY).tensor("rope_freqs.weight", &[4], DType::F32, &data);
        refuse(
            &writer,
            &["rope_scaling", "allowed a finite number above 0"],
        );
    }
}

#[test]
fn factors_that_are_not_finite_or_not_above_zero() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0] {
        for (architecture, name) in [
            ("llama", "rope.freq_base"),
            ("llama", "rope.scale_linear"),
            ("gemma2", "attn_logit_softcapping"),
            ("gemma2", "final_logit_softcapping"),
            ("gemma3", "rope.freq_base_swa"),
            ("grok", "embedding_scale"),
            ("grok", "logit_scale"),
            ("grok", "attention.output_scale"),
            ("grok", "final_logit_softcapping"),
        ] {
            let key = format!("{architecture}.{name}");
            let writer = base(architecture, TINY).f32(&key, bad);
            refuse(&writer, &["found", "allowed a finite number above 0"]);
        }
        let key = "llama.attention.layer_norm_rms_epsilon";
        refuse(
            &base("llama", TINY).f32(key, bad),
            &["rms_norm_eps", "0 to 1"],
        );
        for kind in ["linear", "yarn"] {
            let writer = base("llama", TINY)
                .str("llama.rope.scaling.type", kind)
                .f32("llama.rope.scaling.factor", bad);
            refuse(
                &writer,
                &["rope_scaling", "allowed a finite number above 0"],
            );
        }
    }
    let writer = base("llama", TINY).str("llama.rope.scaling.type", "longrope");
    refuse(
        &writer,
        &["llama.rope.scaling.type: longrope", "none, linear, yarn"],
    );
}

#[test]
fn types_and_experts() {
    let writer = base("llama", TINY).u32("llama.rope.freq_base", 10_000);
    refuse(
        &writer,
        &[
            "llama.rope.freq_base: found the integer 10000",
            "floating-point",
        ],
    );
    let writer = base("llama", TINY).str("llama.expert_count", "8");
    refuse(
        &writer,
        &["llama.expert_count: found the string", "integer"],
    );
    let experts = |count: u32, used: u32| {
        base("llama", TINY)
            .u32("llama.expert_count", count)
            .u32("llama.expert_used_count", used)
    };
    refuse(
        &experts(4, 5),
        &["num_experts_per_tok: found 5, allowed 1 to 4"],
    );
    refuse(
        &experts(4, 0),
        &["num_experts_per_tok: found 0, allowed 1 to 4"],
    );
    refuse(
        &experts(u32::MAX, 1),
        &["num_experts: found 4294967295, allowed 1 to 1024"],
    );
    let missing = base("llama", TINY).u32("llama.expert_count", 4);
    refuse(&missing, &["llama.expert_used_count: found nothing"]);
    let unlike = base("llama", TINY).u32("llama.attention.value_length", 4);
    refuse(
        &unlike,
        &["llama.attention.value_length: 4", "the key length 8"],
    );
}

/// Counts may be given layer by layer, if they are all the same.
#[test]
fn counts_layer_by_layer() {
    let file = |counts: &[i32]| {
        let bytes: Vec<u8> = counts.iter().flat_map(|x| x.to_le_bytes()).collect();
        let key = "llama.attention.head_count_kv";
        without(base("llama", TINY), key).array(key, 5, counts.len() as u64, &bytes)
    };
    assert_eq!(read(&file(&[2, 2])).num_key_value_heads, 2);
    refuse(
        &file(&[2, 4]),
        &["llama.attention.head_count_kv", "one value for all layers"],
    );
    refuse(
        &file(&[-2, -2]),
        &["llama.attention.head_count_kv: found -2, allowed a count"],
    );
    refuse(
        &file(&[]),
        &["num_key_value_heads: found 0, allowed 1 to 1024"],
    );
}
