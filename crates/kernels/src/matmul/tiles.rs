//! Products of quantized weights with many rows of int8 activations on AMX tiles. The integers are
//! those of the vector kernels, and so is the chain of fused multiply-adds that they enter.
//!
//! A group is laid out as tiles once, into memory that stays in the cache, and all rows of
//! activations pass it, 16 at a time.
#![allow(
    clippy::wildcard_imports,
    reason = "the intrinsics of one instruction set"
)]

use super::activations::{Quantized, TILE_ROWS, TILES_FROM};
use super::{Activations, Group, store};
use crate::DType;
use crate::cpu::Cpu;
use crate::packed::{GROUP, block32, block256};
use crate::simd::avx512::Avx512 as S;
use crate::simd::{LINE, Simd, amx};
use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Sums of a tile.
#[repr(C, align(64))]
struct Sums([[i32; GROUP]; TILE_ROWS]);

const NO_SUMS: Sums = Sums([[0; GROUP]; TILE_ROWS]);

thread_local! {
    /// The group at hand, as tiles.
    static EXPANDED: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with that many lines of memory.
fn with_lines<R>(lines: usize, work: impl FnOnce(&mut [Line]) -> R) -> R {
    EXPANDED.with_borrow_mut(|expanded| {
        if expanded.len() < lines {
            expanded.resize(lines, Line([0; LINE]));
        }
        work(&mut expanded[..lines])
    })
}

/// Multiplies as many of the rows of activations as are worth it, and says which are left.
pub(super) fn product(
    cpu: Cpu,
    group: Group<'_>,
    x: &Activations,
    tokens: Range<usize>,
    out: &mut [f32],
) -> Range<usize> {
    let left = tokens.len() % TILE_ROWS;
    let end = tokens.end - if left < TILES_FROM { left } else { 0 };
    if !cpu.has_tiles() || end == tokens.start || group.dtype.block_len() == 1 {
        return tokens;
    }
    let (q32, q256, part) = (&x.q32, &x.q256, tokens.start..end);
    // SAFETY: a level that has tiles exists only where the machine has them and AVX-512.
    unsafe {
        match group.dtype {
            DType::F32 | DType::F16 | DType::BF16 => unreachable!("their blocks have one element"),
            DType::Q4_0 => product32::<block32::Q4_0>(group, q32, part, out),
            DType::Q4_1 => product32::<block32::Q4_1>(group, q32, part, out),
            DType::Q5_0 => product32::<block32::Q5_0>(group, q32, part, out),
            DType::Q5_1 => product32::<block32::Q5_1>(group, q32, part, out),
            DType::Q8_0 => product32::<block32::Q8_0>(group, q32, part, out),
            DType::IQ4_NL => product32::<block32::Iq4Nl>(group, q32, part, out),
            DType::MXFP4 => product32::<block32::Mxfp4>(group, q32, part, out),
            DType::Q2_K => product256::<block256::Q2K>(group, q256, part, out),
            DType::Q3_K => product256::<block256::Q3K>(group, q256, part, out),
            DType::Q4_K => product256::<block256::Q4K>(group, q256, part, out),
            DType::Q5_K => product256::<block256::Q5K>(group, q256, part, out),
            DType::Q6_K => product256::<block256::Q6K>(group, q256, part, out),
        }
    }
    end..tokens.end
}

/// Lines of a block of 32: codes, scales, minimums.
const LINES32: usize = 10;

/// Blocks of 32.
///
/// # Safety
/// The machine has tiles and the features below.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn product32<Q: block32::Format>(
    group: Group<'_>,
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let n_blocks = group.bytes.len() / Q::BYTES;
    let end = tokens.end.next_multiple_of(TILE_ROWS) * n_blocks;
    assert!(tokens.start.is_multiple_of(TILE_ROWS) && end * 32 <= x.codes.len());
    assert!(end <= x.tile_scales.len() && end <= x.tile_scaled_sums.len());
    with_lines(LINES32 * n_blocks, |lines| {
        // SAFETY: the caller's contract; what is read lies within the group's bytes, the lines and the
        // asserted lengths.
        unsafe {
            for (block, lines) in group
                .bytes
                .chunks_exact(Q::BYTES)
                .zip(lines.chunks_exact_mut(LINES32))
            {
                expand32::<Q>(block.as_ptr(), lines.as_mut_ptr().cast());
            }
            if tokens.len() <= 8 {
                let _tiles = amx::Tiles::new(const { &amx::Shapes::new(8, 32) });
                tile32::<Q, 8>(group, lines, x, tokens, out);
            } else {
                let _tiles = amx::Tiles::new(const { &amx::Shapes::new(16, 32) });
                let mut first = tokens.start;
                while first < tokens.end {
                    let last = (first + TILE_ROWS).min(tokens.end);
                    tile32::<Q, 16>(group, lines, x, first..last, out);
                    first = last;
                }
            }
        }
    });
}

#[inline(always)]
unsafe fn expand32<Q: block32::Format>(block: *const u8, to: *mut u8) {
    // SAFETY: the caller gives a group block and ten lines.
    unsafe {
        let bias = _mm512_set1_epi8(Q::BIAS as i8);
        for (k, codes) in Q::codes::<S>(block).into_iter().enumerate() {
            let codes = if Q::BIAS == 0 { codes } else { _mm512_add_epi8(codes, bias) };
            _mm512_store_si512(to.add(k * LINE).cast(), codes);
        }
        S::f_store(to.add(8 * LINE).cast(), Q::scales::<S>(block));
        if Q::MIN {
            let min = S::f_load_f16(block.add(2 * GROUP).cast());
            S::f_store(to.add(9 * LINE).cast(), min);
        }
    }
}

/// At most `M` tokens.
#[inline(always)]
unsafe fn tile32<Q: block32::Format, const M: usize>(
    group: Group<'_>,
    lines: &[Line],
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let n_blocks = lines.len() / LINES32;
    let cols = 32 * n_blocks;
    let mut even = NO_SUMS;
    let mut odd = NO_SUMS;
    // SAFETY: the caller's contract.
    unsafe {
        let codes = x.codes.as_ptr().add(tokens.start * cols);
        let scales = x.tile_scales.as_ptr().add(tokens.start * n_blocks);
        let scaled_sums = x.tile_scaled_sums.as_ptr().add(tokens.start * n_blocks);
        let line = |b: usize, i: usize| lines.as_ptr().add(b * LINES32 + i);
        macro_rules! multiply {
            ($b:expr, $sums:literal, $left:literal, $right:literal, $to:expr) => {
                amx::load!($right, line($b, 0), LINE);
                amx::load!($left, codes.add(32 * $b), cols);
                amx::zero!($sums);
                amx::product!("tdpbssd", $sums, $left, $right);
                amx::store!($sums, &raw mut $to, LINE);
            };
        }
        let mut acc = [S::f_splat(0.0); M];
        macro_rules! accumulate {
            ($b:expr, $sums:expr) => {
                let scale = S::f_load(line($b, 8).cast());
                let min = S::f_load(line($b, 9).cast());
                for t in 0..M {
                    let dot = S::f_from_i(_mm512_load_si512($sums.0[t].as_ptr().cast()));
                    let at = $b * TILE_ROWS + t;
                    let step = S::f_mul(scale, S::f_splat(*scales.add(at)));
                    acc[t] = S::f_fma(step, dot, acc[t]);
                    if Q::MIN {
                        acc[t] = S::f_fma(min, S::f_splat(*scaled_sums.add(at)), acc[t]);
                    }
                }
            };
        }
        // The tiles multiply the next block while the vectors take in this one.
        multiply!(0, "tmm0", "tmm4", "tmm6", even);
        let mut b = 0;
        loop {
            if b + 1 < n_blocks {
                multiply!(b + 1, "tmm1", "tmm5", "tmm7", odd);
            }
            accumulate!(b, even);
            b += 1;
            if b == n_blocks {
                break;
            }
            if b + 1 < n_blocks {
                multiply!(b + 1, "tmm0", "tmm4", "tmm6", even);
            }
            accumulate!(b, odd);
            b += 1;
            if b == n_blocks {
                break;
            }
        }
        for (t, acc) in acc.into_iter().enumerate().take(tokens.len()) {
            store::<S>(group, tokens.start + t, acc, out);
        }
    }
}

/// Lines of a super-block: for each 64 columns a tile of high parts and one of low parts, then scales
/// and minimums.
const LINES256: usize = 4 * 2 * 16 + 2;

/// Super-blocks of 256. A code times its sub-scale is `128 * high + low` with both parts in int8, so a
/// super-block's sum needs no step between sub-blocks.
///
/// # Safety
/// As for [`product32`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
unsafe fn product256<Q: block256::Format>(
    group: Group<'_>,
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let n_blocks = group.bytes.len() / Q::BYTES;
    let end = tokens.end.next_multiple_of(TILE_ROWS) * n_blocks;
    assert!(tokens.start.is_multiple_of(TILE_ROWS) && end * 256 <= x.codes.len());
    let end = tokens.end * n_blocks;
    assert!(end <= x.scales.len() && end * 16 <= x.sums.len());
    assert!(end * 16 <= x.pairs16.len() && end * 8 <= x.pairs32.len());
    with_lines(LINES256 * n_blocks, |lines| {
        // SAFETY: as in `product32`.
        unsafe {
            for (block, lines) in group
                .bytes
                .chunks_exact(Q::BYTES)
                .zip(lines.chunks_exact_mut(LINES256))
            {
                expand256::<Q>(block.as_ptr(), lines.as_mut_ptr().cast());
            }
            let _tiles = if tokens.len() <= 8 {
                amx::Tiles::new(const { &amx::Shapes::new(8, 64) })
            } else {
                amx::Tiles::new(const { &amx::Shapes::new(16, 64) })
            };
            let mut first = tokens.start;
            while first < tokens.end {
                let last = (first + 2 * TILE_ROWS).min(tokens.end);
                if last - first > TILE_ROWS {
                    tile256::<Q, true>(group, lines, x, first..last, out);
                } else {
                    tile256::<Q, false>(group, lines, x, first..last, out);
                }
                first = last;
            }
        }
    });
}

#[inline(always)]
unsafe fn expand256<Q: block256::Format>(block: *const u8, to: *mut u8) {
    // SAFETY: the caller gives a group block and the lines of a super-block.
    unsafe {
        let bias = _mm512_set1_epi8(Q::BIAS as i8);
        let low_bytes = _mm512_set1_epi16(0xff);
        let half = _mm512_set1_epi16(64);
        for j in 0..8 {
            let per_vector = 4 * Q::SUB / 32;
            let byte = (j % per_vector * (4 / per_vector)) as i32;
            let scales = Q::sub_scales::<S>(block, j / per_vector);
            let pair = |byte: i32| {
                let one = if Q::SIGNED_SCALES {
                    S::i_byte_s(scales, byte)
                } else {
                    S::i_byte_u(scales, byte)
                };
                let low = _mm512_and_si512(one, _mm512_set1_epi32(0xffff));
                _mm512_or_si512(low, _mm512_slli_epi32::<16>(one))
            };
            let first = pair(byte);
            let second = if Q::SUB == 32 { first } else { pair(byte + 1) };
            let tile = to.add(j / 2 * 32 * LINE + j % 2 * 8 * LINE);
            for (k, codes) in Q::codes::<S, false>(block, j).into_iter().enumerate() {
                let codes = if Q::BIAS == 0 { codes } else { _mm512_add_epi8(codes, bias) };
                let scale = if k < 4 { first } else { second };
                let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(codes));
                let even = _mm512_mullo_epi16(even, scale);
                let odd = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(codes), scale);
                let even_high = _mm512_srai_epi16::<7>(_mm512_add_epi16(even, half));
                let odd_high = _mm512_srai_epi16::<7>(_mm512_add_epi16(odd, half));
                let even_low = _mm512_sub_epi16(even, _mm512_slli_epi16::<7>(even_high));
                let odd_low = _mm512_sub_epi16(odd, _mm512_slli_epi16::<7>(odd_high));
                let bytes = |even, odd| {
                    let even = _mm512_and_si512(even, low_bytes);
                    _mm512_or_si512(even, _mm512_slli_epi16::<8>(odd))
                };
                let high_to = tile.add(k * LINE);
                _mm512_store_si512(high_to.cast(), bytes(even_high, odd_high));
                _mm512_store_si512(high_to.add(16 * LINE).cast(), bytes(even_low, odd_low));
            }
        }
        S::f_store(to.add(128 * LINE).cast(), S::f_load_f16(block.cast()));
        if Q::MIN {
            let min = S::f_load_f16(block.add(2 * GROUP).cast());
            S::f_store(to.add(129 * LINE).cast(), min);
        }
    }
}

/// One tile of tokens, or two (`BOTH`).
#[inline(always)]
unsafe fn tile256<Q: block256::Format, const BOTH: bool>(
    group: Group<'_>,
    lines: &[Line],
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let n_blocks = lines.len() / LINES256;
    let cols = 256 * n_blocks;
    let (mut high, mut low) = ([NO_SUMS, NO_SUMS], [NO_SUMS, NO_SUMS]);
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [S::f_splat(0.0); 2 * TILE_ROWS];
        let codes = x.codes.as_ptr().add(tokens.start * cols);
        for b in 0..n_blocks {
            let block = group.bytes.as_ptr().add(b * Q::BYTES);
            let line = |i: usize| lines.as_ptr().add(b * LINES256 + i);
            amx::zero!("tmm0");
            amx::zero!("tmm1");
            if BOTH {
                amx::zero!("tmm2");
                amx::zero!("tmm3");
            }
            for k in 0..4 {
                let codes = codes.add(256 * b + 64 * k);
                amx::load!("tmm6", line(32 * k), LINE);
                amx::load!("tmm7", line(32 * k + 16), LINE);
                amx::load!("tmm4", codes, cols);
                amx::product!("tdpbssd", "tmm0", "tmm4", "tmm6");
                amx::product!("tdpbssd", "tmm1", "tmm4", "tmm7");
                if BOTH {
                    amx::load!("tmm5", codes.add(TILE_ROWS * cols), cols);
                    amx::product!("tdpbssd", "tmm2", "tmm5", "tmm6");
                    amx::product!("tdpbssd", "tmm3", "tmm5", "tmm7");
                }
            }
            amx::store!("tmm0", &raw mut high[0], LINE);
            amx::store!("tmm1", &raw mut low[0], LINE);
            if BOTH {
                amx::store!("tmm2", &raw mut high[1], LINE);
                amx::store!("tmm3", &raw mut low[1], LINE);
            }
            let scale = S::f_load(line(128).cast());
            let min = S::f_load(line(129).cast());
            for t in 0..tokens.len() {
                let i = (tokens.start + t) * n_blocks + b;
                let part = |sums: &[Sums; 2]| {
                    let sums = &sums[t / TILE_ROWS].0[t % TILE_ROWS];
                    _mm512_load_si512(sums.as_ptr().cast())
                };
                let sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(part(&high)), part(&low));
                let step = S::f_splat(*x.scales.as_ptr().add(i));
                acc[t] = S::f_fma(S::f_mul(scale, step), S::f_from_i(sum), acc[t]);
                if Q::MIN {
                    let min_sum = super::int8::min_sum::<S, Q>(block, x, i);
                    acc[t] = S::f_fnma(S::f_mul(min, step), S::f_from_i(min_sum), acc[t]);
                }
            }
        }
        for (t, acc) in acc.into_iter().enumerate().take(tokens.len()) {
            store::<S>(group, tokens.start + t, acc, out);
        }
    }
}
