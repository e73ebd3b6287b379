//! Arithmetic on slices for transformers, with no notion of a model.
//!
//! Every kernel has a plain scalar version that *defines* the result, the order of each
//! floating-point operation included (numerics profile `terang-cpu-1`). The AVX2, AVX-512 and NEON
//! versions equal it bit for bit, for every thread count and every batch size.

#![allow(
    unsafe_code,
    reason = "kernels are one of the places where it is allowed"
)]
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    clippy::cast_ptr_alignment,
    reason = "generic kernels must inline into functions that enable the features; register tiles \
              are indexed so that loops unroll; vector loads need no alignment"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed test may panic"))]

pub mod attention;
pub mod buffer;
pub mod cpu;
pub mod dtype;
pub mod gemm;
pub mod limits;
pub mod math;
pub mod matmul;
pub mod packed;
pub mod philox;
pub mod pool;
pub mod quant;
pub mod rows;

mod simd;
pub mod training;
pub mod weights;

pub use cpu::Cpu;
pub use dtype::DType;
pub use packed::PackedMatrix;
pub use pool::ThreadPool;
