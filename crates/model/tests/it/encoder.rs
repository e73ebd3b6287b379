//! The encoder gives the vectors that a reference in double precision gives, the same bits at every
//! level and for any batch, and refuses what is wrong with a folder by its name.

use std::path::{Path, PathBuf};

use crate::text_data::{fetched, fixture};
use terang_kernels::Cpu;
use terang_model::encoder::{BATCH_TOKENS_MAX, Encoder};
use terang_model::tokenizer::Tokenizer;

struct Expected {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn expected(path: &Path) -> Vec<Expected> {
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let entry = |entry: &serde_json::Value| Expected {
        text: entry["text"].as_str().unwrap().to_owned(),
        tokens: entry["tokens"].as_u64().unwrap() as usize,
        vector: floats(entry["vector"].as_str().unwrap()),
    };
    json.as_array().unwrap().iter().map(entry).collect()
}

/// Little-endian floats in base64.
fn floats(text: &str) -> Vec<f32> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for four in text.chunks(4) {
        let bits = four.iter().fold(0, |bits, &c| bits << 6 | digit(c)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    let (fours, rest) = bytes.as_chunks::<4>();
    assert!(rest.is_empty());
    fours.iter().map(|four| f32::from_le_bytes(*four)).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn tiny() -> PathBuf {
    fixture("encoder/tiny")
}

fn check(encoder: &mut Encoder, tokenizer: &Tokenizer, expected: &[Expected]) {
    for Expected {
        text,
        tokens,
        vector,
    } in expected
    {
        let ids = tokenizer.encode_whole(text).unwrap();
        assert_eq!(ids.len(), *tokens, "{text:?}");
        let found = encoder.encode(&[&ids]).unwrap().remove(0);
        let same = cosine(&found, vector);
        assert!(same > 0.999_999_9, "{text:?}: {same}");
        let furthest = found.iter().zip(vector).map(|(a, b)| (a - b).abs());
        assert!(furthest.fold(0.0, f32::max) < 2e-6, "{text:?}");
    }
}

#[test]
fn a_tiny_encoder_equals_the_reference() {
    let (mut encoder, tokenizer) = Encoder::open(&tiny(), Cpu::best(), 2).unwrap();
    assert_eq!(encoder.config().max_tokens, 128);
    check(
        &mut encoder,
        &tokenizer,
        &expected(&tiny().join("vectors.json")),
    );
}

#[test]
fn minilm_equals_the_reference() {
    let Some(file) = fetched("minilm/model.safetensors") else {
        return;
    };
    let folder = file.parent().unwrap();
    let (mut encoder, tokenizer) = Encoder::open(folder, Cpu::best(), 2).unwrap();
    assert_eq!(encoder.config().max_tokens, 256);
    assert_eq!(encoder.config().hidden_size, 384);
    check(
        &mut encoder,
        &tokenizer,
        &expected(&fixture("encoder/minilm.json")),
    );
}

/// Vectors of all texts of the fixture, as bits.
fn bits(cpu: Cpu, threads: usize, batch: usize) -> Vec<Vec<u32>> {
    let (mut encoder, tokenizer) = Encoder::open(&tiny(), cpu, threads).unwrap();
    let texts = expected(&tiny().join("vectors.json"));
    let texts: Vec<Vec<u32>> = texts
        .iter()
        .map(|it| tokenizer.encode_whole(&it.text).unwrap())
        .collect();
    let mut out = Vec::new();
    for batch in texts.chunks(batch) {
        let batch: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
        out.extend(encoder.encode(&batch).unwrap());
    }
    let bits = |vector: Vec<f32>| vector.into_iter().map(f32::to_bits).collect();
    out.into_iter().map(bits).collect()
}

#[test]
fn neither_level_nor_threads_nor_batch_show() {
    let expected = bits(Cpu::SCALAR, 1, 1);
    for cpu in Cpu::available() {
        for (threads, batch) in [(1, 100), (2, 3), (3, 100), (4, 1)] {
            assert!(
                bits(cpu, threads, batch) == expected,
                "{}, {threads}, {batch}",
                cpu.name()
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut encoder, _) = Encoder::open(&tiny(), Cpu::best(), 1).unwrap();
    let message = |result: terang_model::Result<Vec<Vec<f32>>>| result.unwrap_err().to_string();
    let size = encoder.config().vocab_size as u32;
    assert!(message(encoder.encode(&[&[2, size, 3]])).contains("token id"));
    assert!(message(encoder.encode(&[&[2; 161]])).contains("tokens in context"));
    let long = [2; 160];
    let many = vec![&long[..]; BATCH_TOKENS_MAX / 160 + 1];
    assert!(message(encoder.encode(&many)).contains("tokens in one batch"));
    assert!(encoder.encode(&[]).unwrap().is_empty());
}

/// A copy of the tiny model with one of its files changed.
fn changed(name: &str, change: impl Fn(String) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(tiny().join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let new = change(text.clone());
    assert_ne!(new, text);
    std::fs::write(path, new).unwrap();
    folder
}

#[test]
fn a_folder_that_contradicts_itself_is_refused_by_name() {
    let refused = |name: &str, from: &str, to: &str, part: &str| {
        let folder = changed(name, |text| text.replace(from, to));
        let error = Encoder::open(folder.path(), Cpu::best(), 1)
            .unwrap_err()
            .to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(
        "config.json",
        "\"vocab_size\": 38",
        "\"vocab_size\": 37",
        "tokens",
    );
    refused(
        "config.json",
        "\"vocab_size\": 38",
        "\"vocab_size\": 39",
        "word_embeddings",
    );
    refused(
        "config.json",
        "\"num_hidden_layers\": 2",
        "\"num_hidden_layers\": 3",
        "encoder.layer.2",
    );
    refused(
        "config.json",
        "\"intermediate_size\": 80",
        "\"intermediate_size\": 81",
        "intermediate",
    );
    refused(
        "config.json",
        "\"model_type\": \"bert\"",
        "\"model_type\": \"llama\"",
        "model_type",
    );
    refused(
        "tokenizer.json",
        "TemplateProcessing",
        "BertProcessing",
        "post_processor",
    );
    refused(
        "tokenizer.json",
        "\"##\"",
        "\"@@\"",
        "continuing_subword_prefix",
    );
    refused(
        "tokenizer.json",
        "\"unk_token\": \"[UNK]\"",
        "\"unk_token\": null",
        "unk_token",
    );
    refused(
        "tokenizer.json",
        "\"max_input_chars_per_word\": 100",
        "\"max_input_chars_per_word\": 1000000",
        "max_input_chars_per_word",
    );
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    let folder = changed("config.json", |text| text.replace("48", "48 "));
    let path = folder.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let nan = f32::NAN.to_le_bytes();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&nan);
    std::fs::write(&path, bytes).unwrap();
    let error = Encoder::open(folder.path(), Cpu::best(), 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("NaN"), "{error}");
}
