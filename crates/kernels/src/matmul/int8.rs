//! Products of quantized weights with int8 activations, one group of 16 rows at a time.
//!
//! The scalar functions define the result: for each output, block dot products are exact integers
//! and enter one chain of fused multiply-adds over the blocks in ascending order.

use super::activations::Quantized;
use super::{Group, store};
use crate::DType;
use crate::packed::{GROUP, block32, block256, group_block_bytes};
use crate::simd::{LINE, Simd, prefetch};
use std::ops::Range;

/// Blocks of 32, scalar: per block `fma(scale * step, dot, acc)`, then, for formats with minimums,
/// `fma(min, step * sum, acc)`.
pub(super) fn scalar32(group: Group<'_>, x: &Quantized, tokens: Range<usize>, out: &mut [f32]) {
    let block_bytes = group_block_bytes(group.dtype);
    let n_blocks = group.bytes.len() / block_bytes;
    let has_min = matches!(group.dtype, DType::Q4_1 | DType::Q5_1);
    for row in 0..group.valid_rows {
        let blocks: Vec<_> = group
            .bytes
            .chunks_exact(block_bytes)
            .map(|block| block32::unpack(group.dtype, block, row))
            .collect();
        for t in tokens.clone() {
            let codes = &x.codes[t * n_blocks * 32..][..n_blocks * 32];
            let mut acc = 0.0;
            for (b, block) in blocks.iter().enumerate() {
                let at = t * n_blocks + b;
                let dot: i32 = dot(&block.codes, &codes[32 * b..][..32]);
                acc = (block.scale * x.scales[at]).mul_add(dot as f32, acc);
                if has_min {
                    acc = block.min.mul_add(x.scaled_sums[at], acc);
                }
            }
            out[t * group.out_stride + group.out_column + row] = acc;
        }
    }
}

/// Super-blocks of 256, scalar: sub-block dot products are combined with their integer scales
/// exactly, then `fma(scale * step, sum, acc)` and, for formats with minimums,
/// `fma(-(min * step), min_sum, acc)`.
pub(super) fn scalar256(group: Group<'_>, x: &Quantized, tokens: Range<usize>, out: &mut [f32]) {
    let block_bytes = group_block_bytes(group.dtype);
    let n_blocks = group.bytes.len() / block_bytes;
    let has_min = matches!(group.dtype, DType::Q2_K | DType::Q4_K | DType::Q5_K);
    for row in 0..group.valid_rows {
        let blocks: Vec<_> = group
            .bytes
            .chunks_exact(block_bytes)
            .map(|block| block256::unpack(group.dtype, block, row))
            .collect();
        for t in tokens.clone() {
            let mut acc = 0.0;
            for (b, block) in blocks.iter().enumerate() {
                let at = t * n_blocks + b;
                let codes = &x.codes[at * 256..][..256];
                let (mut sum, mut min_sum) = (0, 0);
                for s in 0..16 {
                    let part = 16 * s..16 * s + 16;
                    sum += block.sub_scales[s] * dot(&block.codes[part.clone()], &codes[part]);
                    min_sum += block.sub_mins[s] * x.sums[at * 16 + s];
                }
                let step = x.scales[at];
                acc = (block.scale * step).mul_add(sum as f32, acc);
                if has_min {
                    acc = (-(block.min * step)).mul_add(min_sum as f32, acc);
                }
            }
            out[t * group.out_stride + group.out_column + row] = acc;
        }
    }
}

/// How far ahead of their use weights are asked for, in bytes, where a processor's own prefetching falls
/// short: super-blocks are not read front to back, and a group that several tiles of tokens share is read
/// from memory by the first alone. Groups lie one after another, so this reaches into the next one.
const AHEAD: usize = 4096;

/// Asks for these of the lines that lie [`AHEAD`] of a block.
#[inline(always)]
fn prefetch_ahead(block: *const u8, lines: Range<usize>) {
    for line in lines {
        prefetch(block.wrapping_add(AHEAD + line * LINE));
    }
}

/// Asks for the `j`-th eighth of the `bytes` that lie [`AHEAD`] of a super-block.
#[inline(always)]
fn prefetch_eighth(block: *const u8, bytes: usize, j: usize) {
    let lines = bytes.div_ceil(LINE);
    prefetch_ahead(block, j * lines / 8..(j + 1) * lines / 8);
}

fn dot(w: &[i32], x: &[i8]) -> i32 {
    w.iter().zip(x).map(|(&w, &x)| w * i32::from(x)).sum()
}

/// Tokens up to which tiles are twice as wide: what it takes to get at a weight's codes counts for more
/// than the activations' places in the first-level cache.
const WIDE_UP_TO: usize = 32;

/// Blocks of 32, vector: all tokens of the range in tiles.
///
/// # Safety
/// See [`Simd`]; sizes are asserted by the caller.
#[inline(always)]
pub(super) unsafe fn vector32<S: Simd, Q: block32::Format>(
    group: Group<'_>,
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let mut t = tokens.start;
    // SAFETY: tiles stay within the range of tokens.
    unsafe {
        while tokens.end - t >= 16 && S::TILE == 8 && tokens.len() <= WIDE_UP_TO {
            tile32::<S, Q, 16>(group, x, t, t == tokens.start, out);
            t += 16;
        }
        while tokens.end - t >= S::TILE && S::TILE == 8 {
            tile32::<S, Q, 8>(group, x, t, t == tokens.start, out);
            t += 8;
        }
        while tokens.end - t >= 4 {
            tile32::<S, Q, 4>(group, x, t, t == tokens.start, out);
            t += 4;
        }
        if tokens.end - t >= 2 {
            tile32::<S, Q, 2>(group, x, t, t == tokens.start, out);
            t += 2;
        }
        if tokens.end > t {
            tile32::<S, Q, 1>(group, x, t, t == tokens.start, out);
        }
    }
}

#[inline(always)]
unsafe fn tile32<S: Simd, Q: block32::Format, const T: usize>(
    group: Group<'_>,
    x: &Quantized,
    first: usize,
    fresh: bool,
    out: &mut [f32],
) {
    let n_blocks = group.bytes.len() / Q::BYTES;
    let at = first * n_blocks;
    let end = at + T * n_blocks;
    assert!(end * 32 <= x.codes.len() && end <= x.scales.len() && end <= x.sums.len());
    assert!(end <= x.scaled_sums.len());
    let bias = Q::BIAS + if Q::SIGNED { S::I8_BIAS } else { 0 };
    // SAFETY: blocks lie within the group's bytes, activations within the asserted lengths.
    unsafe {
        let codes = x.codes.as_ptr().add(at * 32);
        let scales = x.scales.as_ptr().add(at);
        let sums = x.sums.as_ptr().add(at);
        let scaled_sums = x.scaled_sums.as_ptr().add(at);
        let mut acc = [S::f_splat(0.0); T];
        for b in 0..n_blocks {
            let block = group.bytes.as_ptr().add(b * Q::BYTES);
            if fresh && T > 1 {
                prefetch_ahead(block, 0..Q::BYTES.div_ceil(LINE));
            }
            let scale = Q::scales::<S>(block);
            let min = if Q::MIN {
                S::f_load_f16(block.add(2 * GROUP).cast())
            } else {
                scale
            };
            let w = Q::codes::<S>(block);
            for t in 0..T {
                let i = t * n_blocks + b;
                let a = codes.add(i * 32);
                let mut even = S::i_splat(if bias == 0 { 0 } else { bias * *sums.add(i) });
                if T >= 8 {
                    // Eight tokens are chains enough; integers may be added in any order.
                    for k in 0..8 {
                        even = dot4::<S>(Q::SIGNED, even, w[k], S::b_splat4(a.add(4 * k)));
                    }
                } else {
                    let mut odd = S::i_splat(0);
                    for k in (0..8).step_by(2) {
                        even = dot4::<S>(Q::SIGNED, even, w[k], S::b_splat4(a.add(4 * k)));
                        let next = S::b_splat4(a.add(4 * k + 4));
                        odd = dot4::<S>(Q::SIGNED, odd, w[k + 1], next);
                    }
                    even = S::i_add(even, odd);
                }
                let dot = S::f_from_i(even);
                let step = S::f_mul(scale, S::f_splat(*scales.add(i)));
                acc[t] = S::f_fma(step, dot, acc[t]);
                if Q::MIN {
                    acc[t] = S::f_fma(min, S::f_splat(*scaled_sums.add(i)), acc[t]);
                }
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            store::<S>(group, first + t, acc, out);
        }
    }
}

#[inline(always)]
unsafe fn dot4<S: Simd>(signed: bool, acc: S::I, w: S::B, a: S::B) -> S::I {
    // SAFETY: the caller's contract.
    unsafe {
        if signed {
            S::dot_i8(acc, w, a)
        } else {
            S::dot_u7(acc, w, a)
        }
    }
}

/// Super-blocks of 256, vector: all tokens of the range in tiles. The first tile reads the group from
/// memory (`fresh`), the others from the cache.
///
/// # Safety
/// As for [`vector32`].
#[inline(always)]
pub(super) unsafe fn vector256<S: Simd, Q: block256::Format>(
    group: Group<'_>,
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let mut t = tokens.start;
    // SAFETY: tiles stay within the range of tokens.
    unsafe {
        while tokens.end - t >= S::TILE && S::TILE == 8 {
            tile256::<S, Q, 8>(group, x, t, t == tokens.start, out);
            t += 8;
        }
        while tokens.end - t >= 4 {
            tile256::<S, Q, 4>(group, x, t, t == tokens.start, out);
            t += 4;
        }
        while tokens.end > t {
            tile256::<S, Q, 1>(group, x, t, t == tokens.start, out);
            t += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile256<S: Simd, Q: block256::Format, const T: usize>(
    group: Group<'_>,
    x: &Quantized,
    first: usize,
    fresh: bool,
    out: &mut [f32],
) {
    let n_blocks = group.bytes.len() / Q::BYTES;
    let at = first * n_blocks;
    let end = at + T * n_blocks;
    assert!(end * 256 <= x.codes.len() && end <= x.scales.len() && end * 16 <= x.sums.len());
    assert!(end * 16 <= x.pairs16.len() && end * 8 <= x.pairs32.len());
    // SAFETY: blocks lie within the group's bytes, activations within the asserted lengths.
    unsafe {
        let mut acc = [S::f_splat(0.0); T];
        for b in 0..n_blocks {
            let block = group.bytes.as_ptr().add(b * Q::BYTES);
            let mut sum = [S::i_splat(0); T];
            let at = first * n_blocks + b;
            if T == 1 {
                // Bound by memory: a processor foresees the loads of a short loop, not of a long one.
                for j in 0..8 {
                    prefetch_eighth(block, Q::BYTES, j);
                    sub_block::<S, Q, T, false>(block, j, x, at, n_blocks, &mut sum);
                }
            } else {
                macro_rules! sub_blocks {
                    ($($j:literal)*) => {
                        $(
                            if fresh {
                                prefetch_eighth(block, Q::BYTES, $j);
                            }
                            sub_block::<S, Q, T, true>(block, $j, x, at, n_blocks, &mut sum);
                        )*
                    };
                }
                sub_blocks!(0 1 2 3 4 5 6 7);
            }
            let scale = S::f_load_f16(block.cast());
            for t in 0..T {
                let i = (first + t) * n_blocks + b;
                let step = S::f_splat(*x.scales.as_ptr().add(i));
                acc[t] = S::f_fma(S::f_mul(scale, step), S::f_from_i(sum[t]), acc[t]);
            }
            if Q::MIN {
                let min = S::f_load_f16(block.add(2 * GROUP).cast());
                for t in 0..T {
                    let i = (first + t) * n_blocks + b;
                    let min_sum = min_sum::<S, Q>(block, x, i);
                    let step = S::f_splat(*x.scales.as_ptr().add(i));
                    acc[t] = S::f_fnma(S::f_mul(min, step), S::f_from_i(min_sum), acc[t]);
                }
            }
        }
        for (t, acc) in acc.into_iter().enumerate() {
            store::<S>(group, first + t, acc, out);
        }
    }
}

/// The sum over a super-block's sub-blocks of their minimums times the sums of their codes; `i` is the
/// super-block among the activations'.
#[inline(always)]
pub(super) unsafe fn min_sum<S: Simd, Q: block256::Format>(
    block: *const u8,
    x: &Quantized,
    i: usize,
) -> S::I {
    let n_sums = 256 / Q::SUB;
    let pairs = if Q::SUB == 16 { &x.pairs16 } else { &x.pairs32 };
    // SAFETY: the caller has checked the lengths of all that `i` reaches.
    unsafe {
        let mut min_sum = S::i_splat(0);
        for v in 0..n_sums / 4 {
            let mins = Q::sub_mins::<S>(block, v);
            // Bytes 0 and 2, then 1 and 3, as pairs of 16-bit numbers.
            let even = S::b_shr(S::b_shl(mins, 8), 8);
            let odd = S::b_shr(mins, 8);
            let p = pairs.as_ptr().add(i * n_sums + 4 * v).cast::<i8>();
            min_sum = S::dot_i16(min_sum, even, S::b_splat4(p));
            min_sum = S::dot_i16(min_sum, odd, S::b_splat4(p.add(4)));
        }
        min_sum
    }
}

/// Adds the products of elements `32 j` to `32 j + 31` of a super-block, times their sub-scales.
/// `CONST`: `j` is a constant, and so are all shifts. `at` is the first token's super-block, `stride`
/// what is between two tokens' ones.
#[inline(always)]
unsafe fn sub_block<S: Simd, Q: block256::Format, const T: usize, const CONST: bool>(
    block: *const u8,
    j: usize,
    x: &Quantized,
    at: usize,
    stride: usize,
    sum: &mut [S::I; T],
) {
    let per_vector = 4 * Q::SUB / 32;
    let byte = (j % per_vector * (4 / per_vector)) as i32;
    // SAFETY: the caller has checked the lengths of all that `at` and `stride` reach.
    unsafe {
        let scales = Q::sub_scales::<S>(block, j / per_vector);
        let w = Q::codes::<S, CONST>(block, j);
        for t in 0..T {
            let i = at + t * stride;
            let a = x.codes.as_ptr().add(i * 256 + 32 * j);
            let mut lo = S::i_splat(0);
            let mut hi = S::i_splat(0);
            if Q::BIAS != 0 {
                let sums = x.sums.as_ptr().add(i * 16 + 2 * j);
                lo = S::i_splat(Q::BIAS * *sums);
                hi = S::i_splat(Q::BIAS * *sums.add(1));
            }
            for k in 0..4 {
                lo = S::dot_u7(lo, w[k], S::b_splat4(a.add(4 * k)));
                hi = S::dot_u7(hi, w[k + 4], S::b_splat4(a.add(16 + 4 * k)));
            }
            let scaled = if Q::SUB == 32 {
                S::i_mul(S::i_byte_u(scales, byte), S::i_add(lo, hi))
            } else {
                let (s0, s1) = if Q::SIGNED_SCALES {
                    (S::i_byte_s(scales, byte), S::i_byte_s(scales, byte + 1))
                } else {
                    (S::i_byte_u(scales, byte), S::i_byte_u(scales, byte + 1))
                };
                S::i_add(S::i_mul(s0, lo), S::i_mul(s1, hi))
            };
            sum[t] = S::i_add(sum[t], scaled);
        }
    }
}
