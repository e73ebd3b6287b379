//! Adapters against the reference, which adds their products to the model's own weights; and against
//! themselves: company, chunks, threads and instruction sets must not change one bit.

use crate::parity::{bits, decoder, expected, fixtures, run_sequence, worst_error};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terang_kernels::Cpu;
use terang_model::adapter::Adapter;
use terang_model::decoder::{Chunk, Decoder, LogitsWanted, Sequence};

const FAMILIES: [&str; 3] = ["llama", "qwen2", "qwen3"];

pub(crate) fn adapter_folder(family: &str) -> PathBuf {
    fixtures().join("../adapters").join(family)
}

fn open(path: &Path, decoder: &Decoder) -> Arc<Adapter> {
    Arc::new(Adapter::open(path, decoder.config()).unwrap())
}

fn run_with(
    decoder: &mut Decoder,
    adapter: Option<&Arc<Adapter>>,
    tokens: &[u32],
    sizes: &[usize],
) -> Vec<f32> {
    let sequence = Sequence::with_adapter(adapter.cloned());
    run_sequence(decoder, sequence, tokens, sizes)
}

/// An adapter for the tiny Llama's queries whose numbers are these.
fn of_queries(a: f32, b: f32, decoder: &Decoder) -> Arc<Adapter> {
    let folder = tempfile::tempdir().unwrap();
    let tensor = |name: &str, shape: [usize; 2], value: f32| {
        let data = value.to_le_bytes().repeat(shape[0] * shape[1]);
        (format!("blk.0.attn_q.weight.{name}"), shape, data)
    };
    let mut writer = crate::gguf_writer::GgufWriter::default()
        .str("general.type", "adapter")
        .str("general.architecture", "llama")
        .str("adapter.type", "lora")
        .f32("adapter.lora.alpha", 2.0);
    for (name, shape, data) in [tensor("lora_a", [2, 32], a), tensor("lora_b", [32, 2], b)] {
        let shape = shape.map(|x| x as u64);
        writer = writer.tensor(&name, &shape, terang_kernels::DType::F32, &data);
    }
    let path = folder.path().join("adapter.gguf");
    std::fs::write(&path, writer.bytes()).unwrap();
    open(&path, decoder)
}

#[test]
fn both_formats_give_the_reference_logits_over_both_formats_of_the_model() {
    for family in FAMILIES {
        let folder = adapter_folder(family);
        let (tokens, expected) = expected(&folder);
        let model = fixtures().join(family);
        for base in [model.clone(), model.join("model.gguf")] {
            let mut decoder = decoder(&base, Cpu::best(), 2);
            let plain = run_with(&mut decoder, None, &tokens, &[99]);
            assert!(worst_error(&plain, &expected) > 0.1, "it changes something");
            for file in [folder.clone(), folder.join("adapter.gguf")] {
                let adapter = open(&file, &decoder);
                let found = run_with(&mut decoder, Some(&adapter), &tokens, &[99]);
                let error = worst_error(&found, &expected);
                let place = format!("{} over {}", file.display(), base.display());
                eprintln!("{place}: {error:.1e} off the reference");
                assert!(error < 1e-4, "{place}: {error}");
            }
            let again = run_with(&mut decoder, None, &tokens, &[99]);
            assert_eq!(bits(&again), bits(&plain), "the model itself is as before");
        }
    }
}

#[test]
fn threads_levels_and_chunks_change_no_bit() {
    for family in FAMILIES {
        let folder = adapter_folder(family);
        let (tokens, _) = expected(&folder);
        let model = fixtures().join(family);
        let mut scalar = decoder(&model, Cpu::SCALAR, 1);
        let adapter = open(&folder, &scalar);
        let all = run_with(&mut scalar, Some(&adapter), &tokens, &[99]);
        for cpu in Cpu::available() {
            for threads in [1, 2, 3, 7] {
                let mut decoder = decoder(&model, cpu, threads);
                for sizes in [&[7, 1, 16, 3][..], &[1]] {
                    let found = run_with(&mut decoder, Some(&adapter), &tokens, sizes);
                    let case = format!("{family}: {} {threads} {sizes:?}", cpu.name());
                    assert!(bits(&found) == bits(&all), "{case}");
                }
            }
        }
    }
}

#[test]
fn each_sequence_of_a_batch_gives_what_it_gives_alone() {
    let folder = adapter_folder("llama");
    let (tokens, _) = expected(&folder);
    for cpu in Cpu::available() {
        let mut decoder = decoder(&fixtures().join("llama"), cpu, 2);
        let strong = open(&folder, &decoder);
        let partial = of_queries(0.25, 0.5, &decoder);
        // Two of one adapter lie apart in the batch, with others between.
        let who = [Some(&strong), None, Some(&partial), Some(&strong), None];
        let alone: Vec<Vec<f32>> = (0..who.len())
            .map(|i| run_with(&mut decoder, who[i], &tokens[i..], &[99]))
            .collect();
        assert_ne!(
            bits(&alone[1]),
            bits(&run_with(&mut decoder, Some(&partial), &tokens[1..], &[99]))
        );
        let mut kv = decoder.new_kv_pool(512);
        let mut sequences: Vec<Sequence> = who
            .iter()
            .map(|adapter| Sequence::with_adapter(adapter.cloned()))
            .collect();
        let vocab = decoder.config().vocab_size;
        // Of each sequence so many tokens in a step: prompts beside single tokens.
        for counts in [[5, 1, 20, 3, 30], [1, 1, 1, 1, 1], [20, 9, 1, 1, 2]] {
            let starts: Vec<usize> = sequences.iter().map(Sequence::len).collect();
            let mut chunks: Vec<Chunk<'_>> = sequences
                .iter_mut()
                .enumerate()
                .map(|(i, sequence)| Chunk {
                    sequence,
                    tokens: &tokens[i + starts[i]..][..counts[i]],
                    logits: LogitsWanted::All,
                })
                .collect();
            let logits = decoder.forward(&mut kv, &mut chunks).unwrap();
            let mut row = 0;
            for i in 0..who.len() {
                for position in starts[i]..starts[i] + counts[i] {
                    let wanted = &alone[i][position * vocab..][..vocab];
                    assert_eq!(bits(logits.row(row)), bits(wanted), "{i} at {position}");
                    row += 1;
                }
            }
        }
    }
}

#[test]
fn an_adapter_that_adds_nothing_changes_no_bit() {
    let (tokens, _) = expected(&adapter_folder("llama"));
    let mut decoder = decoder(&fixtures().join("llama"), Cpu::best(), 2);
    let plain = run_with(&mut decoder, None, &tokens, &[99]);
    let zero = of_queries(1.5, 0.0, &decoder);
    let found = run_with(&mut decoder, Some(&zero), &tokens, &[16]);
    assert_eq!(bits(&found), bits(&plain));
}

#[test]
fn each_opened_adapter_is_another_and_knows_its_size() {
    let decoder = decoder(&fixtures().join("llama"), Cpu::best(), 1);
    let [a, b] = [(); 2].map(|()| open(&adapter_folder("llama"), &decoder));
    assert_ne!(a.id(), b.id());
    assert_eq!((a.len(), a.is_empty()), (14, false));
    // Rows are packed by 16: a rank of 4 takes as much as one of 16.
    let (hidden, kv, width, rank) = (32, 16, 48, 4);
    let ins = 6 * hidden + width;
    let outs = hidden + 2 * kv + hidden + 2 * width + hidden;
    assert_eq!(a.bytes(), 2 * 4 * (16 * ins + rank * outs));
}
