//! Products of quantized weights with many rows of int8 activations on AMX tiles. The integers are
//! those of the vector kernels, and so is the chain of fused multiply-adds that they enter.
//!
//! A group is laid out as tiles once, into memory that stays in the cache, and all rows of
//! activations pass it, 16 at a time.
#![allow(
    clippy::wildcard_imports,
    reason = "the intrinsics of one instruction set"
)]

use super::activations::{Quantized, TILE_ROWS, by_tiles};
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
    if !by_tiles(cpu, x.rows, group.dtype.block_len()) || tokens.len() < TILE_ROWS {
        return tokens;
    }
    // A last tile that would be half empty is left to the vectors.
    let left = tokens.len() % TILE_ROWS;
    let end = tokens.end - if left < TILE_ROWS / 2 { left } else { 0 };
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
    assert!(tokens.start.is_multiple_of(TILE_ROWS) && end * 32 <= x.tile_codes.len());
    assert!(end <= x.tile_scales.len() && end <= x.tile_scaled_sums.len());
    with_lines(LINES32 * n_blocks + RING * TILE_ROWS, |lines| {
        let (ring, lines) = lines.split_at_mut(RING * TILE_ROWS);
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
            let _tiles = amx::Tiles::new(const { &amx::Shapes::new(TILE_ROWS, 32) });
            stream32::<Q>(group, lines, ring, x, tokens, out);
        }
    });
}

#[inline(always)]
unsafe fn expand32<Q: block32::Format>(block: *const u8, to: *mut u8) {
    // SAFETY: the caller gives a group block and ten lines.
    unsafe {
        let bias = _mm512_set1_epi8(Q::BIAS as i8);
        for (k, codes) in Q::codes::<S>(block).into_iter().enumerate() {
            let codes = if Q::BIAS == 0 {
                codes
            } else {
                _mm512_add_epi8(codes, bias)
            };
            _mm512_store_si512(to.add(k * LINE).cast(), codes);
        }
        S::f_store(to.add(8 * LINE).cast(), Q::scales::<S>(block));
        if Q::MIN {
            let min = S::f_load_f16(block.add(2 * GROUP).cast());
            S::f_store(to.add(9 * LINE).cast(), min);
        }
    }
}

/// A tile of tokens and a block, in the order in which they are multiplied.
struct Cursor {
    tile: usize,
    block: usize,
    n_blocks: usize,
}

impl Cursor {
    const fn new(n_blocks: usize) -> Self {
        Self {
            tile: 0,
            block: 0,
            n_blocks,
        }
    }

    /// To the next; whether the tile of tokens is done.
    #[inline(always)]
    fn advance(&mut self) -> bool {
        self.block += 1;
        if self.block < self.n_blocks {
            return false;
        }
        self.block = 0;
        self.tile += 1;
        true
    }
}

/// Steps from the product of a block to the storing of its sums, and to their use: a product takes 52
/// cycles, and whoever asks for its result earlier waits.
const STORED_AFTER: usize = 4;
const USED_AFTER: usize = 6;
/// Tiles of sums that are stored and not yet used, and those being stored.
const RING: usize = 8;

/// All tokens, a tile of them at a time.
#[inline(always)]
unsafe fn stream32<Q: block32::Format>(
    group: Group<'_>,
    lines: &[Line],
    ring: &mut [Line],
    x: &Quantized,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    let n_blocks = lines.len() / LINES32;
    let cols = 32 * n_blocks;
    let n_steps = tokens.len().div_ceil(TILE_ROWS) * n_blocks;
    let (mut multiplied, mut used) = (Cursor::new(n_blocks), Cursor::new(n_blocks));
    // SAFETY: the caller's contract.
    let mut acc = [unsafe { _mm512_setzero_ps() }; TILE_ROWS];
    // SAFETY: the caller's contract.
    unsafe {
        let codes = x.tile_codes.as_ptr().add(tokens.start * cols);
        let scales = x.tile_scales.as_ptr().add(tokens.start * n_blocks);
        let scaled_sums = x.tile_scaled_sums.as_ptr().add(tokens.start * n_blocks);
        macro_rules! step {
            ($step:expr, $sums:literal, $left:literal, $right:literal) => {
                if $step >= STORED_AFTER {
                    amx::store!(
                        $sums,
                        ring.as_mut_ptr()
                            .add(($step - STORED_AFTER) % RING * TILE_ROWS),
                        LINE
                    );
                }
                if $step < n_steps {
                    let Cursor { tile, block, .. } = multiplied;
                    let left = codes.add((tile * n_blocks + block) * TILE_ROWS * 32);
                    amx::load!($right, lines.as_ptr().add(block * LINES32), LINE);
                    amx::load!($left, left, 32);
                    amx::zero!($sums);
                    amx::product!("tdpbssd", $sums, $left, $right);
                    multiplied.advance();
                }
                if $step >= USED_AFTER && $step < n_steps + USED_AFTER {
                    let sums = ring
                        .as_ptr()
                        .add(($step - USED_AFTER) % RING * TILE_ROWS)
                        .cast::<__m512i>();
                    let line = lines.as_ptr().add(used.block * LINES32);
                    let scale = _mm512_load_ps(line.add(8).cast());
                    let min = _mm512_load_ps(line.add(9).cast());
                    let at = (used.tile * n_blocks + used.block) * TILE_ROWS;
                    let (scales, scaled_sums) = (scales.add(at), scaled_sums.add(at));
                    for t in 0..TILE_ROWS {
                        let dot = _mm512_cvtepi32_ps(_mm512_load_si512(sums.add(t)));
                        let step = _mm512_mul_ps(scale, _mm512_set1_ps(*scales.add(t)));
                        acc[t] = _mm512_fmadd_ps(step, dot, acc[t]);
                        if Q::MIN {
                            let sum = _mm512_set1_ps(*scaled_sums.add(t));
                            acc[t] = _mm512_fmadd_ps(min, sum, acc[t]);
                        }
                    }
                    let first = tokens.start + used.tile * TILE_ROWS;
                    if used.advance() {
                        // The ring's places for the next two steps are free.
                        let free = ring
                            .as_mut_ptr()
                            .add(($step + 2 - STORED_AFTER) % RING * TILE_ROWS);
                        for t in 0..TILE_ROWS {
                            _mm512_store_ps(free.add(t).cast(), acc[t]);
                            acc[t] = _mm512_setzero_ps();
                        }
                        let rows =
                            std::slice::from_raw_parts(free, TILE_ROWS.min(tokens.end - first));
                        store_rows(group, first, rows, out);
                    }
                }
            };
        }
        // The step that comes after the last multiple of four does nothing.
        let mut step = 0;
        while step < n_steps + USED_AFTER {
            step!(step, "tmm0", "tmm4", "tmm6");
            step!(step + 1, "tmm1", "tmm5", "tmm7");
            step!(step + 2, "tmm2", "tmm4", "tmm6");
            step!(step + 3, "tmm3", "tmm5", "tmm7");
            step += 4;
        }
    }
}

/// Writes outputs, a line for each token from `first` on.
#[target_feature(enable = "avx512f")]
fn store_rows(group: Group<'_>, first: usize, rows: &[Line], out: &mut [f32]) {
    for (t, row) in rows.iter().enumerate() {
        // SAFETY: a line holds 16 numbers, and the features are there.
        unsafe { store::<S>(group, first + t, _mm512_load_ps(row.0.as_ptr().cast()), out) };
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
    assert!(tokens.start.is_multiple_of(TILE_ROWS) && end * 256 <= x.tile_codes.len());
    let end = tokens.end * n_blocks;
    assert!(end <= x.scales.len() && end * 16 <= x.sums.len());
    assert!(end * 16 <= x.pairs16.len() && end * 8 <= x.pairs32.len());
    let accs = tokens.len().next_multiple_of(TILE_ROWS);
    with_lines(LINES256 + 2 * TILE_ROWS + accs, |lines| {
        let (lines, rest) = lines.split_at_mut(LINES256);
        rest.fill(Line([0; LINE]));
        // SAFETY: as in `product32`.
        unsafe {
            let _tiles = amx::Tiles::new(const { &amx::Shapes::new(TILE_ROWS, 64) });
            for b in 0..n_blocks {
                let block = group.bytes.as_ptr().add(b * Q::BYTES);
                expand256::<Q>(block, lines.as_mut_ptr().cast());
                stream256::<Q>(block, b, n_blocks, lines, x, tokens.clone(), rest);
            }
            let outputs = &rest[2 * TILE_ROWS..][..tokens.len()];
            store_rows(group, tokens.start, outputs, out);
        }
    });
}

#[inline(always)]
unsafe fn expand256<Q: block256::Format>(block: *const u8, to: *mut u8) {
    // SAFETY: the caller gives a group block and the lines of a super-block.
    unsafe {
        macro_rules! sub_blocks {
            ($($j:literal)*) => {
                $(expand_sub_block::<Q>(block, $j, to.add($j / 2 * 32 * LINE + $j % 2 * 8 * LINE));)*
            };
        }
        sub_blocks!(0 1 2 3 4 5 6 7);
        S::f_store(to.add(128 * LINE).cast(), S::f_load_f16(block.cast()));
        if Q::MIN {
            let min = S::f_load_f16(block.add(2 * GROUP).cast());
            S::f_store(to.add(129 * LINE).cast(), min);
        }
    }
}

/// Elements `32 j` to `32 j + 31`; `j` is a constant where this is inlined.
#[inline(always)]
unsafe fn expand_sub_block<Q: block256::Format>(block: *const u8, j: usize, to: *mut u8) {
    // SAFETY: the caller's contract.
    unsafe {
        let bias = _mm512_set1_epi8(Q::BIAS as i8);
        let low_bytes = _mm512_set1_epi16(0xff);
        let half = _mm512_set1_epi16(64);
        let per_vector = 4 * Q::SUB / 32;
        let byte = (j % per_vector * (4 / per_vector)) as i32;
        let scales = Q::sub_scales::<S>(block, j / per_vector);
        let first = scale_pairs::<Q>(scales, byte);
        let second = if Q::SUB == 32 {
            first
        } else {
            scale_pairs::<Q>(scales, byte + 1)
        };
        for (k, codes) in Q::codes::<S, true>(block, j).into_iter().enumerate() {
            let codes = if Q::BIAS == 0 {
                codes
            } else {
                _mm512_add_epi8(codes, bias)
            };
            let scale = if k < 4 { first } else { second };
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(codes));
            let even = _mm512_mullo_epi16(even, scale);
            let odd = _mm512_mullo_epi16(_mm512_srai_epi16::<8>(codes), scale);
            let even_high = _mm512_srai_epi16::<7>(_mm512_add_epi16(even, half));
            let odd_high = _mm512_srai_epi16::<7>(_mm512_add_epi16(odd, half));
            let even_low = _mm512_sub_epi16(even, _mm512_slli_epi16::<7>(even_high));
            let odd_low = _mm512_sub_epi16(odd, _mm512_slli_epi16::<7>(odd_high));
            let to = to.add(k * LINE);
            for (to, even, odd) in [
                (to, even_high, odd_high),
                (to.add(16 * LINE), even_low, odd_low),
            ] {
                let even = _mm512_and_si512(even, low_bytes);
                let bytes = _mm512_or_si512(even, _mm512_slli_epi16::<8>(odd));
                _mm512_store_si512(to.cast(), bytes);
            }
        }
    }
}

/// A byte of each lane's sub-scales, twice as 16 bits.
#[inline(always)]
unsafe fn scale_pairs<Q: block256::Format>(scales: __m512i, byte: i32) -> __m512i {
    // SAFETY: the caller's contract.
    unsafe {
        let one = if Q::SIGNED_SCALES {
            S::i_byte_s(scales, byte)
        } else {
            S::i_byte_u(scales, byte)
        };
        let low = _mm512_and_si512(one, _mm512_set1_epi32(0xffff));
        _mm512_or_si512(low, _mm512_slli_epi32::<16>(one))
    }
}

/// Super-block `b` with all tokens. `rest` has two tiles of sums, then what is added to, a line for each
/// token.
#[inline(always)]
unsafe fn stream256<Q: block256::Format>(
    block: *const u8,
    b: usize,
    n_blocks: usize,
    lines: &[Line],
    x: &Quantized,
    tokens: Range<usize>,
    rest: &mut [Line],
) {
    let cols = 256 * n_blocks;
    let n_tiles = tokens.len().div_ceil(TILE_ROWS);
    let (sums, acc) = rest.split_at_mut(2 * TILE_ROWS);
    // SAFETY: the caller's contract.
    unsafe {
        let codes = x
            .tile_codes
            .as_ptr()
            .add(tokens.start * cols + TILE_ROWS * 256 * b);
        let scale = S::f_load(lines.as_ptr().add(128).cast());
        let min = S::f_load(lines.as_ptr().add(129).cast());
        macro_rules! multiply {
            ($tile:expr, $high:literal, $low:literal) => {
                if $tile < n_tiles {
                    amx::zero!($high);
                    amx::zero!($low);
                    for k in 0..4 {
                        let left = codes.add(TILE_ROWS * ($tile * cols + 64 * k));
                        amx::load!("tmm4", left, LINE);
                        amx::load!("tmm6", lines.as_ptr().add(32 * k), LINE);
                        amx::load!("tmm7", lines.as_ptr().add(32 * k + 16), LINE);
                        amx::product!("tdpbssd", $high, "tmm4", "tmm6");
                        amx::product!("tdpbssd", $low, "tmm4", "tmm7");
                    }
                }
            };
        }
        macro_rules! take {
            ($tile:expr, $high:literal, $low:literal) => {{
                let sums = sums.as_mut_ptr();
                amx::store!($high, sums, LINE);
                amx::store!($low, sums.add(TILE_ROWS), LINE);
                let first = tokens.start + $tile * TILE_ROWS;
                for t in 0..TILE_ROWS.min(tokens.end - first) {
                    let high = _mm512_load_si512(sums.add(t).cast());
                    let low = _mm512_load_si512(sums.add(TILE_ROWS + t).cast());
                    let sum = _mm512_add_epi32(_mm512_slli_epi32::<7>(high), low);
                    let i = (first + t) * n_blocks + b;
                    let step = _mm512_set1_ps(*x.scales.as_ptr().add(i));
                    let acc = acc.as_mut_ptr().add($tile * TILE_ROWS + t).cast();
                    let dot = _mm512_cvtepi32_ps(sum);
                    let mut value = _mm512_load_ps(acc);
                    value = _mm512_fmadd_ps(_mm512_mul_ps(scale, step), dot, value);
                    if Q::MIN {
                        let min_sum = _mm512_cvtepi32_ps(super::int8::min_sum::<S, Q>(block, x, i));
                        value = _mm512_fnmadd_ps(_mm512_mul_ps(min, step), min_sum, value);
                    }
                    _mm512_store_ps(acc, value);
                }
            }};
        }
        // A tile's sums are taken while the next one is multiplied.
        multiply!(0, "tmm0", "tmm1");
        for tile in 0..n_tiles {
            if tile % 2 == 0 {
                multiply!(tile + 1, "tmm2", "tmm3");
                take!(tile, "tmm0", "tmm1");
            } else {
                multiply!(tile + 1, "tmm0", "tmm1");
                take!(tile, "tmm2", "tmm3");
            }
        }
    }
}
