//! The real decoder behind the engine, with a tiny random model: nothing about how a request is run
//! may show in its answer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use terang_engine::perplexity::perplexity;
use terang_engine::runner::{DecoderRunner, Runner};
use terang_engine::{Engine, Event, Limits, Prompt, Request, Sampling};
use terang_kernels::{Cpu, DType};
use terang_model::config::{Activation, Config, LayerConfig, Rope, RopePairing, RopeScaling};
use terang_model::decoder::{Decoder, KvType, LoadOptions};
use terang_model::{TensorSource, TensorView};

use crate::support::text;

const VOCAB: usize = 257;
pub(crate) const CONTEXT: usize = 200;

/// Llama with two layers, the second with a sliding window.
fn config() -> Config {
    let layer = |sliding_window| LayerConfig {
        sliding_window,
        rope: Some(0),
        experts: false,
    };
    Config {
        architecture: "llama".into(),
        vocab_size: VOCAB,
        hidden_size: 64,
        intermediate_size: 96,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        max_position_embeddings: CONTEXT,
        rms_norm_eps: 1e-5,
        embedding_scale: 1.0,
        logit_scale: 1.0,
        attention_scale: 0.25,
        activation: Activation::Silu,
        norm_weight_offset: false,
        sandwich_norms: false,
        qk_norm: false,
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        attn_logit_softcap: None,
        final_logit_softcap: None,
        tie_word_embeddings: true,
        layers: vec![layer(None), layer(Some(40))],
        rope: vec![Rope {
            theta: 10_000.0,
            pairing: RopePairing::Half,
            dim: 16,
            scaling: RopeScaling::None,
        }],
        experts: None,
    }
}

#[derive(Debug)]
struct Tensors(BTreeMap<String, (Vec<usize>, Vec<u8>)>);

impl TensorSource for Tensors {
    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let (shape, data) = self.0.get(name)?;
        Some(TensorView {
            dtype: DType::F32,
            shape,
            data,
        })
    }

    fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    fn path(&self) -> &Path {
        Path::new("random")
    }
}

/// Random weights of the scale that a model begins its training with.
fn tensors() -> Tensors {
    let mut state = 1_u64;
    let mut random = move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    let mut all = BTreeMap::new();
    let mut add = |name: String, shape: &[usize], norm: bool| {
        let count = shape.iter().product();
        let values = (0..count).map(|_| if norm { 1.0 } else { random() * 0.5 });
        let data = values.flat_map(f32::to_le_bytes).collect();
        all.insert(name, (shape.to_vec(), data));
    };
    add("model.embed_tokens.weight".into(), &[VOCAB, 64], false);
    add("model.norm.weight".into(), &[64], true);
    for layer in 0..2 {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        add(name("input_layernorm"), &[64], true);
        add(name("post_attention_layernorm"), &[64], true);
        add(name("self_attn.q_proj"), &[64, 64], false);
        add(name("self_attn.k_proj"), &[32, 64], false);
        add(name("self_attn.v_proj"), &[32, 64], false);
        add(name("self_attn.o_proj"), &[64, 64], false);
        add(name("mlp.gate_proj"), &[96, 64], false);
        add(name("mlp.up_proj"), &[96, 64], false);
        add(name("mlp.down_proj"), &[64, 96], false);
    }
    Tensors(all)
}

pub(crate) fn decoder(cpu: Cpu, threads: usize) -> Decoder {
    let options = LoadOptions {
        cpu,
        threads,
        kv_type: KvType::F16,
        packed_cache: None,
    };
    let source = Arc::new(tensors());
    Decoder::load(source, config(), &options, &mut |_, _| ()).unwrap()
}

fn runner(cpu: Cpu, threads: usize) -> DecoderRunner {
    DecoderRunner::new(decoder(cpu, threads), CONTEXT, CONTEXT).unwrap()
}

fn engine(cpu: Cpu, threads: usize, prefill_chunk: usize) -> Engine {
    let limits = Limits {
        prefill_chunk,
        ..Limits::default()
    };
    Engine::start(runner(cpu, threads), text(), limits).unwrap()
}

fn answer(engine: &Engine, prompt: &[u32]) -> Vec<u32> {
    let request = Request {
        sampling: Sampling {
            temperature: 1.0,
            seed: Some(11),
            repetition_penalty: 1.1,
            ..Sampling::default()
        },
        max_tokens: Some(40),
        ..Request::new(Prompt::Tokens(prompt.to_vec()))
    };
    let events = engine.submit(request).unwrap();
    let ids: Vec<u32> = events
        .filter_map(|event| match event {
            Event::Token { id, .. } => Some(id),
            Event::Failed { message } => panic!("{message}"),
            _ => None,
        })
        .collect();
    assert!(!ids.is_empty());
    ids
}

fn prompt() -> Vec<u32> {
    (0..150_u32).map(|i| (i * i * 31 + 7) % 256).collect()
}

#[test]
fn threads_and_instruction_sets_do_not_show() {
    let wanted = answer(&engine(Cpu::SCALAR, 1, 128), &prompt());
    for cpu in Cpu::available() {
        for threads in [1, 2, 3, 7] {
            let found = answer(&engine(cpu, threads, 128), &prompt());
            assert_eq!(found, wanted, "{} with {threads} threads", cpu.name());
        }
    }
}

#[test]
fn chunks_of_the_prompt_do_not_show() {
    let wanted = answer(&engine(Cpu::best(), 2, 128), &prompt());
    for prefill_chunk in [1, 7, 64, 1000] {
        let found = answer(&engine(Cpu::best(), 2, prefill_chunk), &prompt());
        assert_eq!(found, wanted, "in chunks of {prefill_chunk}");
    }
}

#[test]
fn what_ran_before_does_not_show() {
    let wanted = answer(&engine(Cpu::best(), 2, 128), &prompt());
    let used = engine(Cpu::best(), 2, 128);
    answer(&used, &prompt()[..100]);
    assert_eq!(answer(&used, &prompt()), wanted);
    answer(&used, &[3, 1, 4]);
    assert_eq!(answer(&used, &prompt()), wanted);
    assert_eq!(answer(&used, &prompt()), wanted);
}

#[test]
fn perplexity_of_noise_is_near_the_size_of_the_vocabulary() {
    let mut runner = runner(Cpu::best(), 2);
    let tokens: Vec<u32> = (0..).flat_map(|_| prompt()).take(700).collect();
    let mut seen = Vec::new();
    let found = perplexity(&mut runner, &tokens, 128, None, &mut |progress| {
        seen.push(progress.done);
    })
    .unwrap();
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(found.tokens, 5 * 63);
    assert!((50.0..2000.0).contains(&found.perplexity), "{found:?}");
    assert!(runner.context_len() == CONTEXT);
}

#[test]
fn a_context_over_the_models_is_refused() {
    let options = LoadOptions::default();
    let decoder = Decoder::load(Arc::new(tensors()), config(), &options, &mut |_, _| ()).unwrap();
    let error = DecoderRunner::new(decoder, CONTEXT + 1, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "context_len: found 201, allowed 1 to 200, the model's own"
    );
}
