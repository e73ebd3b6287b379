//! Arithmetic on slices for transformer inference, with no notion of a model.
//!
//! Every kernel has a plain scalar version that *defines* the result, the order of each
//! floating-point operation included (numerics profile `terang-cpu-1`). The AVX2, AVX-512 and NEON
//! versions equal it bit for bit, for every thread count and every batch size.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed test may panic"))]

pub mod dtype;
pub mod quant;

pub use dtype::DType;
