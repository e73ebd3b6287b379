//! Finds each weight under the name that Hugging Face's BERT gives it, checks its shape and packs it.

use super::EncoderConfig;
use crate::decoder::Linear;
use crate::tensors::Tensors;
use crate::{Result, TensorSource};
use terang_kernels::buffer::Arena;
use terang_kernels::{PackedMatrix, ThreadPool};

/// A layer normalization.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

#[derive(Debug)]
pub(super) struct Layer {
    pub(super) q: Linear,
    pub(super) k: Linear,
    pub(super) v: Linear,
    pub(super) o: Linear,
    pub(super) attention_norm: Norm,
    pub(super) up: Linear,
    pub(super) down: Linear,
    pub(super) output_norm: Norm,
}

#[derive(Debug)]
pub(super) struct Weights {
    /// Name of the table of words, whose rows are read from the file when they are needed.
    pub(super) words: String,
    /// `[positions, d]`: the embedding of each position and that of the first kind of text.
    pub(super) positions: Vec<f32>,
    /// `[d]`.
    pub(super) kind: Vec<f32>,
    pub(super) embedding_norm: Norm,
    pub(super) layers: Vec<Layer>,
}

struct Loader<'a> {
    tensors: Tensors<'a>,
    pool: &'a ThreadPool,
    arena: Arena,
    /// What stands before all names.
    prefix: &'static str,
}

pub(super) fn load(
    source: &dyn TensorSource,
    config: &EncoderConfig,
    pool: &ThreadPool,
) -> Result<Weights> {
    let words = "embeddings.word_embeddings.weight";
    let bare = source.tensor(words).is_some();
    let loader = Loader {
        tensors: Tensors {
            source,
            architecture: &config.architecture,
        },
        pool,
        arena: Arena::new(),
        prefix: if bare { "" } else { "bert." },
    };
    let (d, f) = (config.hidden_size, config.intermediate_size);
    let words = format!("{}{words}", loader.prefix);
    let table = loader.tensors.shaped(&words, &[config.vocab_size, d])?;
    if table.dtype.row_bytes(d).is_none() {
        let allowed = "whole blocks a row";
        return Err(loader.tensors.invalid(&words, table.dtype, allowed));
    }
    let positions = config.max_position_embeddings;
    let positions = loader.rows(
        "embeddings.position_embeddings.weight",
        positions,
        positions,
        d,
    )?;
    let kinds = config.type_vocab_size;
    let kind = loader.rows("embeddings.token_type_embeddings.weight", kinds, 1, d)?;
    let embedding_norm = loader.norm("embeddings.LayerNorm", d)?;
    let mut layers = Vec::new();
    for index in 0..config.num_hidden_layers {
        let name = |rest: &str| format!("encoder.layer.{index}.{rest}");
        layers.push(Layer {
            q: loader.linear(&name("attention.self.query"), d, d)?,
            k: loader.linear(&name("attention.self.key"), d, d)?,
            v: loader.linear(&name("attention.self.value"), d, d)?,
            o: loader.linear(&name("attention.output.dense"), d, d)?,
            attention_norm: loader.norm(&name("attention.output.LayerNorm"), d)?,
            up: loader.linear(&name("intermediate.dense"), f, d)?,
            down: loader.linear(&name("output.dense"), d, f)?,
            output_norm: loader.norm(&name("output.LayerNorm"), d)?,
        });
    }
    source.check_intact()?;
    Ok(Weights {
        words,
        positions,
        kind,
        embedding_norm,
        layers,
    })
}

impl Loader<'_> {
    fn name(&self, rest: &str) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// The first `wanted` of a table's rows.
    fn rows(&self, name: &str, rows: usize, wanted: usize, width: usize) -> Result<Vec<f32>> {
        let name = self.name(name);
        let view = self.tensors.shaped(&name, &[rows, width])?;
        let Some(row_bytes) = view.dtype.row_bytes(width) else {
            let allowed = "whole blocks a row";
            return Err(self.tensors.invalid(&name, view.dtype, allowed));
        };
        let mut out = vec![0.0; wanted * width];
        let rows = out.chunks_exact_mut(width);
        for (row, data) in rows.zip(view.data.chunks_exact(row_bytes)) {
            terang_kernels::quant::dequantize_row(view.dtype, data, row);
        }
        if out.iter().any(|x| !x.is_finite()) {
            let allowed = "finite numbers";
            return Err(self.tensors.invalid(&name, "NaN or infinity", allowed));
        }
        Ok(out)
    }

    fn norm(&self, name: &str, width: usize) -> Result<Norm> {
        let part = |part: &str| {
            self.tensors
                .vector(&self.name(&format!("{name}.{part}")), width)
        };
        Ok(Norm {
            weight: part("weight")?,
            bias: part("bias")?,
        })
    }

    fn linear(&self, name: &str, rows: usize, cols: usize) -> Result<Linear> {
        let weight = self.name(&format!("{name}.weight"));
        let view = self.tensors.shaped(&weight, &[rows, cols])?;
        let matrix = PackedMatrix::pack(self.pool, &self.arena, view.dtype, rows, cols, view.data);
        let matrix = matrix.map_err(|e| {
            let allowed = format!("{} weights [{rows}, {cols}]", view.dtype);
            self.tensors.invalid(&weight, e, allowed)
        })?;
        self.tensors.source.done_with(&weight);
        let bias = self.name(&format!("{name}.bias"));
        let bias = Some(self.tensors.vector(&bias, rows)?);
        Ok(Linear { matrix, bias })
    }
}
