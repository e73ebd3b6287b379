//! Products of F32, F16 and BF16 weights: each output is one chain of fused multiply-adds over the
//! columns in ascending order, starting from zero.

use super::{Group, store};
use crate::DType;
use crate::packed::{GROUP, group_block_bytes};
use crate::quant::{bf16_to_f32, f16_to_f32};
use crate::simd::Simd;
use std::ops::Range;

/// How a float type is loaded.
pub(super) trait Load {
    const BYTES: usize;
    #[allow(
        clippy::missing_safety_doc,
        reason = "see `Simd`; the pointer is to 16 elements"
    )]
    unsafe fn load<S: Simd>(p: *const u8) -> S::F;
}

macro_rules! load {
    ($name:ident, $bytes:expr, $method:ident) => {
        pub(super) struct $name;
        impl Load for $name {
            const BYTES: usize = $bytes * GROUP;
            #[inline(always)]
            unsafe fn load<S: Simd>(p: *const u8) -> S::F {
                // SAFETY: the caller's contract.
                unsafe { S::$method(p.cast()) }
            }
        }
    };
}
load!(F32, 4, f_load);
load!(F16, 2, f_load_f16);
load!(Bf16, 2, f_load_bf16);

/// The definition.
pub(super) fn scalar(group: Group<'_>, x: &[f32], tokens: Range<usize>, out: &mut [f32]) {
    let bytes = group_block_bytes(group.dtype);
    let cols = group.bytes.len() / bytes;
    for row in 0..group.valid_rows {
        let w: Vec<f32> = group
            .bytes
            .chunks_exact(bytes)
            .map(|column| {
                let half = |at: usize| u16::from_le_bytes([column[at], column[at + 1]]);
                match group.dtype {
                    DType::F16 => f16_to_f32(half(2 * row)),
                    DType::BF16 => bf16_to_f32(half(2 * row)),
                    _ => {
                        let at = 4 * row;
                        let w = [column[at], column[at + 1], column[at + 2], column[at + 3]];
                        f32::from_le_bytes(w)
                    }
                }
            })
            .collect();
        for t in tokens.clone() {
            let x = &x[t * cols..][..cols];
            let sum = w
                .iter()
                .zip(x)
                .fold(0.0, |acc: f32, (w, x)| w.mul_add(*x, acc));
            out[t * group.out_stride + group.out_column + row] = sum;
        }
    }
}

/// The vector version, in tiles of tokens.
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
pub(super) unsafe fn vector<S: Simd, L: Load>(
    group: Group<'_>,
    x: &[f32],
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let mut t = tokens.start;
    // SAFETY: tiles stay within the range of tokens.
    unsafe {
        while tokens.end - t >= 8 && S::TILE == 8 {
            tile::<S, L, 8>(group, x, t, out);
            t += 8;
        }
        while tokens.end - t >= 4 {
            tile::<S, L, 4>(group, x, t, out);
            t += 4;
        }
        while tokens.end > t {
            tile::<S, L, 1>(group, x, t, out);
            t += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, L: Load, const T: usize>(
    group: Group<'_>,
    x: &[f32],
    first: usize,
    out: &mut [f32],
) {
    let cols = group.bytes.len() / L::BYTES;
    assert!((first + T) * cols <= x.len());
    // SAFETY: columns lie within the group's bytes, activations within the asserted length.
    unsafe {
        let mut acc = [S::f_splat(0.0); T];
        for k in 0..cols {
            let w = L::load::<S>(group.bytes.as_ptr().add(k * L::BYTES));
            for t in 0..T {
                let x = S::f_splat(*x.as_ptr().add((first + t) * cols + k));
                acc[t] = S::f_fma(w, x, acc[t]);
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            store::<S>(group, first + t, acc, out);
        }
    }
}
