//! Tensors found by name, of the shape that a model's description gives them.

use crate::{Error, Result, TensorSource, TensorView};
use terang_kernels::quant;

/// The tensors of a model.
#[derive(Clone, Copy)]
pub(crate) struct Tensors<'a> {
    pub(crate) source: &'a dyn TensorSource,
    /// The family, for messages.
    pub(crate) architecture: &'a str,
}

impl<'a> Tensors<'a> {
    /// The tensor of that name and shape.
    pub(crate) fn shaped(&self, name: &str, shape: &[usize]) -> Result<TensorView<'a>> {
        let view = self.source.tensor(name).ok_or_else(|| self.missing(name))?;
        if view.shape != shape {
            let found = format!("shape {:?}", view.shape);
            return Err(self.invalid(name, found, format!("shape {shape:?}")));
        }
        Ok(view)
    }

    /// The numbers of a vector, all finite.
    pub(crate) fn vector(&self, name: &str, width: usize) -> Result<Vec<f32>> {
        let view = self.shaped(name, &[width])?;
        let mut out = vec![0.0; width];
        if view.dtype.row_bytes(width) != Some(view.data.len()) {
            return Err(self.invalid(name, view.data.len(), "whole blocks of its type"));
        }
        quant::dequantize_row(view.dtype, view.data, &mut out);
        if out.iter().any(|x| !x.is_finite()) {
            return Err(self.invalid(name, "NaN or infinity", "finite numbers"));
        }
        Ok(out)
    }

    /// The error for a tensor that is not there.
    pub(crate) fn missing(&self, name: &str) -> Error {
        self.invalid(
            name,
            "no such tensor",
            format!("a {} model has it", self.architecture),
        )
    }

    /// The error for a tensor with something wrong about it.
    pub(crate) fn invalid(
        &self,
        name: &str,
        found: impl std::fmt::Display,
        allowed: impl std::fmt::Display,
    ) -> Error {
        Error::invalid(self.source.path(), name, found, allowed)
    }
}
