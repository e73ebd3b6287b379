//! The decoder against the reference implementation, family by family, and against itself: threads,
//! instruction sets, chunks and company must not change one bit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use terang_kernels::Cpu;
use terang_model::checkpoint::Checkpoint;
use terang_model::decoder::{Chunk, Decoder, KvType, LoadOptions, LogitsWanted, Sequence};
use terang_model::{Config, TensorSource};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny")
}

pub(crate) fn families() -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    assert!(all.len() >= 15, "the fixtures of every family");
    all
}

pub(crate) fn decoder(path: &Path, cpu: Cpu, threads: usize) -> Decoder {
    let checkpoint = Checkpoint::open(path).unwrap();
    let config = match &checkpoint {
        Checkpoint::Gguf(gguf) => Config::from_gguf(gguf),
        Checkpoint::HfFolder(folder) => {
            Config::from_hf_json(&path.join("config.json"), &folder.config)
        }
    };
    let options = LoadOptions {
        cpu,
        threads,
        kv_type: KvType::F32,
        packed_cache: None,
    };
    Decoder::load(
        Arc::new(checkpoint),
        config.unwrap(),
        &options,
        &mut |_, _| (),
    )
    .unwrap()
}

/// Tokens and reference logits, `[tokens, vocab]`.
pub(crate) fn expected(folder: &Path) -> (Vec<u32>, Vec<f32>) {
    let file = terang_model::safetensors::Safetensors::open(&folder.join("expected.safetensors"));
    let file = file.unwrap();
    let floats = |name: &str| -> Vec<f32> {
        let data = file.require(name).unwrap().data;
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|x| f32::from_le_bytes(*x))
            .collect()
    };
    (
        floats("tokens").into_iter().map(|id| id as u32).collect(),
        floats("logits"),
    )
}

/// Logits of all tokens, the prompt cut into chunks of these sizes, over and over.
pub(crate) fn run(decoder: &mut Decoder, tokens: &[u32], sizes: &[usize]) -> Vec<f32> {
    run_sequence(decoder, Sequence::new(), tokens, sizes)
}

/// [`run`] with a sequence that may have an adapter.
pub(crate) fn run_sequence(
    decoder: &mut Decoder,
    mut sequence: Sequence,
    tokens: &[u32],
    sizes: &[usize],
) -> Vec<f32> {
    let mut kv = decoder.new_kv_pool(256);
    let mut out = Vec::new();
    let mut rest = tokens;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (tokens, later) = rest.split_at((*size).min(rest.len()));
        let chunk = Chunk {
            sequence: &mut sequence,
            tokens,
            logits: LogitsWanted::All,
        };
        let logits = decoder.forward(&mut kv, &mut [chunk]).unwrap();
        (0..logits.len()).for_each(|row| out.extend_from_slice(logits.row(row)));
        rest = later;
    }
    out
}

pub(crate) fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

pub(crate) fn worst_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    errors.fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max }) / largest
}

#[test]
fn every_family_gives_the_reference_logits() {
    let mut failures = Vec::new();
    for folder in families() {
        let (tokens, expected) = expected(&folder);
        let files = [folder.clone(), folder.join("model.gguf")];
        for file in files.iter().filter(|file| file.exists()) {
            let mut decoder = decoder(file, Cpu::best(), 2);
            let found = run(&mut decoder, &tokens, &[tokens.len()]);
            let error = worst_error(&found, &expected);
            let place = file.strip_prefix(fixtures()).unwrap().display();
            eprintln!("{place}: {error:.1e} off the reference");
            if error.is_nan() || error > 1e-4 {
                failures.push((file.clone(), error));
            }
            let steps = run(&mut decoder, &tokens, &[1]);
            assert_eq!(
                bits(&steps),
                bits(&found),
                "{}: step by step",
                file.display()
            );
        }
    }
    assert!(failures.is_empty(), "logits differ: {failures:?}");
}

#[test]
fn threads_levels_and_chunks_change_no_bit() {
    for folder in families() {
        let (tokens, _) = expected(&folder);
        let all = run(
            &mut decoder(&folder, Cpu::SCALAR, 1),
            &tokens,
            &[tokens.len()],
        );
        for cpu in Cpu::available() {
            for threads in [1, 2, 3, 7] {
                let mut decoder = decoder(&folder, cpu, threads);
                let found = run(&mut decoder, &tokens, &[7, 1, 16, 3]);
                let place = folder.display();
                assert!(
                    bits(&found) == bits(&all),
                    "{place}: {} {threads}",
                    cpu.name()
                );
            }
        }
    }
}

#[test]
fn a_sequence_gives_the_same_alone_and_among_others() {
    for folder in families() {
        let (tokens, _) = expected(&folder);
        let mut decoder = decoder(&folder, Cpu::best(), 2);
        let other: Vec<u32> = tokens.iter().rev().copied().collect();
        let alone = [
            run(&mut decoder, &tokens, &[99]),
            run(&mut decoder, &other, &[99]),
        ];
        let mut kv = decoder.new_kv_pool(256);
        let (mut a, mut b) = (Sequence::new(), Sequence::new());
        let vocab = decoder.config().vocab_size;
        let mut check = |a: &mut Sequence, b: &mut Sequence, x: &[u32], y: &[u32]| {
            let starts = [a.len(), b.len()];
            let mut batch = [
                Chunk {
                    sequence: a,
                    tokens: x,
                    logits: LogitsWanted::All,
                },
                Chunk {
                    sequence: b,
                    tokens: y,
                    logits: LogitsWanted::Last,
                },
            ];
            let logits = decoder.forward(&mut kv, &mut batch).unwrap();
            assert_eq!(logits.len(), x.len() + 1);
            for row in 0..x.len() {
                let at = (starts[0] + row) * vocab;
                assert_eq!(bits(logits.row(row)), bits(&alone[0][at..at + vocab]));
            }
            let at = (starts[1] + y.len() - 1) * vocab;
            assert_eq!(bits(logits.row(x.len())), bits(&alone[1][at..at + vocab]));
        };
        check(&mut a, &mut b, &tokens[..5], &other[..20]);
        check(&mut a, &mut b, &tokens[5..6], &other[20..21]);
        check(&mut a, &mut b, &tokens[6..30], &other[21..22]);
    }
}

#[test]
fn limits_are_errors_that_change_nothing() {
    let folder = fixtures().join("llama");
    let mut decoder = decoder(&folder, Cpu::best(), 1);
    let (tokens, expected) = expected(&folder);
    let mut kv = decoder.new_kv_pool(256);
    let mut sequence = Sequence::new();
    let long = vec![3; decoder.config().max_position_embeddings + 1];
    for bad in [&long[..], &[999], &[u32::MAX]] {
        let chunk = Chunk {
            sequence: &mut sequence,
            tokens: bad,
            logits: LogitsWanted::Last,
        };
        let error = decoder
            .forward(&mut kv, &mut [chunk])
            .unwrap_err()
            .to_string();
        assert!(error.contains("over the limit"), "{error}");
        assert_eq!(sequence.len(), 0);
    }
    let mut small = decoder.new_kv_pool(1);
    let long = vec![3; decoder.config().max_position_embeddings];
    let mut other = Sequence::new();
    let first = Chunk {
        sequence: &mut other,
        tokens: &long,
        logits: LogitsWanted::None,
    };
    decoder.forward(&mut small, &mut [first]).unwrap();
    let second = Chunk {
        sequence: &mut sequence,
        tokens: &[3],
        logits: LogitsWanted::Last,
    };
    let error = decoder
        .forward(&mut small, &mut [second])
        .unwrap_err()
        .to_string();
    assert!(error.contains("key-value cache"), "{error}");
    assert!(worst_error(&run(&mut decoder, &tokens, &[tokens.len()]), &expected) < 1e-4);
}
