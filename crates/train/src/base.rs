//! The weights of a model that training begins from, as numbers that training moves.

use crate::decoder::Layout;
use crate::export::gguf_name;
use crate::{Result, TrainError};
use std::path::Path;
use terang_kernels::quant::dequantize_row;
use terang_model::Config;
use terang_model::bundle::LoadedModel;
use terang_model::config::RopePairing;

/// The description of a model as training has it: pairs that are rotated stand half a head apart.
pub fn config(model: &LoadedModel) -> Config {
    let mut config = model.config.clone();
    for rope in &mut config.rope {
        rope.pairing = RopePairing::Half;
    }
    config
}

/// All parameters of a model in the order of `layout`, in single precision.
///
/// # Errors
/// [`TrainError::OtherModel`] where a tensor is not there or has another shape.
pub fn parameters(path: &Path, model: &LoadedModel, layout: &Layout) -> Result<Vec<f32>> {
    let interleaved = model
        .config
        .rope
        .iter()
        .any(|rope| rope.pairing == RopePairing::Interleaved);
    let mut out = vec![0.0f32; layout.table.len];
    for tensor in &layout.table.tensors {
        let other = || TrainError::OtherModel {
            path: path.to_owned(),
            tensor: tensor.name.clone(),
        };
        let view = model
            .tensors
            .tensor(&tensor.name)
            .or_else(|| model.tensors.tensor(&gguf_name(&tensor.name)?))
            .ok_or_else(other)?;
        let cols = tensor.shape.last().copied().unwrap_or(1);
        let bytes = view.dtype.row_bytes(cols).ok_or_else(other)?;
        let rows = tensor.range.len() / cols;
        if view.shape != tensor.shape || view.data.len() != bytes * rows {
            return Err(other());
        }
        let numbers = &mut out[tensor.range.clone()];
        for (row, out) in view
            .data
            .chunks_exact(bytes)
            .zip(numbers.chunks_exact_mut(cols))
        {
            dequantize_row(view.dtype, row, out);
        }
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(other());
        }
        if interleaved && (tensor.name.contains("q_proj") || tensor.name.contains("k_proj")) {
            let halves = halves(numbers, model.config.head_dim, cols);
            numbers.copy_from_slice(&halves);
        }
        model.tensors.done_with(&tensor.name);
    }
    Ok(out)
}

/// Rows of each head from GGUF's order, pairs side by side, to halves.
fn halves(numbers: &[f32], head_dim: usize, cols: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(numbers.len());
    for head in numbers.chunks_exact(head_dim * cols) {
        for i in 0..head_dim {
            let half = head_dim / 2;
            let row = if i < half { 2 * i } else { 2 * (i - half) + 1 };
            out.extend_from_slice(&head[row * cols..(row + 1) * cols]);
        }
    }
    out
}
