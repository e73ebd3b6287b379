//! Weights that are no numbers, as a damaged or hostile file may hold (file attack 14). A weight or
//! scale that is NaN or infinite is refused where weights are packed. The embedding's rows are read
//! token by token and only checked where the head shares them: there NaN must come out as NaN, which
//! the sampler reports, and never as a number.

use crate::parity::{families, fixtures, run};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use terang_kernels::quant::{self, quantize_row_q4_0, quantize_row_q8_0};
use terang_kernels::{Cpu, DType};
use terang_model::checkpoint::Checkpoint;
use terang_model::decoder::{Decoder, KvType, LoadOptions};
use terang_model::{Config, Error, TensorSource, TensorView};

/// Tensors in memory.
#[derive(Clone, Default)]
pub(crate) struct InMemory {
    pub(crate) tensors: BTreeMap<String, (DType, Vec<usize>, Vec<u8>)>,
}

impl TensorSource for InMemory {
    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let (dtype, shape, data) = self.tensors.get(name)?;
        Some(TensorView {
            dtype: *dtype,
            shape,
            data,
        })
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.keys().map(String::as_str).collect()
    }

    fn path(&self) -> &Path {
        Path::new("in-memory")
    }
}

pub(crate) fn load(source: &InMemory, config: &Config, cpu: Cpu) -> Result<Decoder, Error> {
    let options = LoadOptions {
        cpu,
        threads: 2,
        kv_type: KvType::F16,
        packed_cache: None,
    };
    let source = Arc::new(source.clone());
    Decoder::load(source, config.clone(), &options, &mut |_, _| ())
}

/// A fixture's tensors; matrices as `dtype` where it is given and their columns fit its blocks.
fn fixture(folder: &Path, dtype: Option<DType>) -> (Config, InMemory) {
    let Checkpoint::HfFolder(folder) = Checkpoint::open(folder).unwrap() else {
        panic!("a folder");
    };
    let config = Config::from_hf_json(Path::new("config.json"), &folder.config).unwrap();
    let mut source = InMemory::default();
    for name in folder.tensors.names() {
        let view = folder.tensors.require(name).unwrap();
        let mut tensor = (view.dtype, view.shape.to_vec(), view.data.to_vec());
        let cols = view.shape.last().copied().unwrap_or(1);
        if let (Some(dtype), 2, true) = (dtype, view.shape.len(), cols % 32 == 0) {
            let mut floats = vec![0.0; view.shape.iter().product()];
            quant::dequantize_row(view.dtype, view.data, &mut floats);
            let data = match dtype {
                DType::Q8_0 => quantize_row_q8_0(&floats),
                _ => quantize_row_q4_0(&floats),
            };
            tensor = (dtype, tensor.1, data);
        }
        source.tensors.insert(name.to_owned(), tensor);
    }
    (config, source)
}

/// Writes a number into element 0 of a tensor, or into its first block's scale.
fn spoil(source: &mut InMemory, name: &str, value: f32) {
    let (dtype, _, data) = source.tensors.get_mut(name).unwrap();
    match dtype {
        DType::F32 => data[..4].copy_from_slice(&value.to_le_bytes()),
        DType::BF16 => data[..2].copy_from_slice(&quant::f32_to_bf16(value).to_le_bytes()),
        _ => data[..2].copy_from_slice(&quant::f32_to_f16(value).to_le_bytes()),
    }
}

const BROKEN: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

#[test]
fn weights_that_are_no_numbers_are_refused_by_name() {
    for folder in families() {
        for dtype in [None, Some(DType::Q8_0), Some(DType::Q4_0)] {
            let (config, source) = fixture(&folder, dtype);
            for name in source.names() {
                let is_embedding = name.contains("embed_tokens");
                if is_embedding && !config.tie_word_embeddings {
                    continue;
                }
                for value in BROKEN {
                    let mut bad = source.clone();
                    spoil(&mut bad, name, value);
                    let message = load(&bad, &config, Cpu::best()).unwrap_err().to_string();
                    assert!(
                        message.contains(name) && message.contains("finite"),
                        "{name}: {message}"
                    );
                }
            }
        }
    }
}

/// NaN at the same places, all else equal bit for bit.
fn same(a: &[f32], b: &[f32]) -> bool {
    let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    a.len() == b.len() && a.iter().zip(b).all(same)
}

#[test]
fn an_embedding_that_is_no_number_shows_in_the_logits() {
    let mut checked = 0;
    for folder in families() {
        for dtype in [None, Some(DType::Q8_0), Some(DType::Q4_0)] {
            let (config, mut source) = fixture(&folder, dtype);
            if config.tie_word_embeddings {
                continue;
            }
            checked += 1;
            for value in BROKEN {
                // Token 0's row, met in the middle of the prompt.
                spoil(&mut source, "model.embed_tokens.weight", value);
                let tokens = [5, 9, 7, 0, 3, 4];
                let mut scalar = load(&source, &config, Cpu::SCALAR).unwrap();
                let expected = run(&mut scalar, &tokens, &[6]);
                let (before, after) = expected.split_at(3 * config.vocab_size);
                let place = folder.display();
                assert!(before.iter().all(|x| x.is_finite()), "{place} {dtype:?}");
                assert!(
                    after.iter().all(|x| x.is_nan()),
                    "{place} {dtype:?} {after:?}"
                );
                for cpu in Cpu::available() {
                    let mut decoder = load(&source, &config, cpu).unwrap();
                    for sizes in [&[6][..], &[1], &[2, 3]] {
                        let found = run(&mut decoder, &tokens, sizes);
                        assert!(same(&found, &expected), "{place} {dtype:?} {}", cpu.name());
                    }
                }
            }
        }
    }
    assert!(checked > 0, "no fixture with a head of its own");
}

/// Finite weights whose products overflow: any logits, but the same everywhere, and no panic.
#[test]
fn weights_that_overflow_give_the_same_everywhere() {
    for folder in families() {
        for dtype in [None, Some(DType::Q8_0)] {
            let (config, source) = fixture(&folder, dtype);
            for part in ["embed_tokens", "norm", "proj", "gate", "lm_head", ""] {
                let mut huge = source.clone();
                let names = source
                    .names()
                    .into_iter()
                    .filter(|name| name.contains(part));
                for name in names {
                    // 65504 is the largest f16.
                    let quantized = source.tensors[name].0 == DType::Q8_0;
                    spoil(&mut huge, name, if quantized { -65504.0 } else { 3e38 });
                }
                let tokens = [0, 5, 9, 0, 3, 4];
                let mut scalar = load(&huge, &config, Cpu::SCALAR).unwrap();
                let expected = run(&mut scalar, &tokens, &[6]);
                let mut best = load(&huge, &config, Cpu::best()).unwrap();
                let found = run(&mut best, &tokens, &[1]);
                assert!(
                    same(&found, &expected),
                    "{} {dtype:?} {part}",
                    folder.display()
                );
            }
        }
    }
}

/// The same by way of a file: a GGUF model with a spoiled byte in its data.
#[test]
fn a_spoiled_file_is_refused() {
    let bytes = std::fs::read(fixtures().join("llama/model.gguf")).unwrap();
    let (_dir, path) = crate::gguf_writer::on_disk("model.gguf", &bytes);
    let Checkpoint::Gguf(gguf) = Checkpoint::open(&path).unwrap() else {
        panic!("a GGUF file");
    };
    let view = gguf.require("blk.1.ffn_down.weight").unwrap();
    let at = bytes
        .windows(view.data.len())
        .position(|part| part == view.data);
    let (at, nan) = (at.unwrap(), [0xff; 4]);
    drop(gguf);
    let mut spoiled = bytes;
    spoiled[at + 4..at + 8].copy_from_slice(&nan);
    std::fs::write(&path, spoiled).unwrap();
    let Checkpoint::Gguf(gguf) = Checkpoint::open(&path).unwrap() else {
        panic!("a GGUF file");
    };
    let config = Config::from_gguf(&gguf).unwrap();
    let options = LoadOptions::default();
    let error = Decoder::load(Arc::new(gguf), config, &options, &mut |_, _| ()).unwrap_err();
    let message = error.to_string();
    for word in ["model.gguf", "blk.1.ffn_down.weight", "not a finite number"] {
        assert!(message.contains(word), "{message}");
    }
}
