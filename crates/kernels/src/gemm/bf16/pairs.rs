//! The chain by products of pairs (`VDPBF16PS`): a lane's sum continues with the product of its upper
//! numbers, then with that of its lower ones, each rounded once. A pair of neighbours in the even chain, or
//! in the odd one, is so two links of it.

use super::pack::{Pairing, Source, vector};
use super::{Block, DEPTH, EDGE, SMALLEST, STEPS, Start, Tile};
use crate::cpu::{Cpu, Level};
use crate::simd::avx512::Avx512;
use crate::simd::prefetch;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask32, _CMP_NLT_UQ, _mm512_abs_ps, _mm512_add_ps,
    _mm512_cmp_ps_mask, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_ps, _mm512_maskz_cvtne2ps_pbh, _mm512_maskz_loadu_ps,
    _mm512_permutexvar_epi16, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
    _mm512_setzero_si512, _mm512_storeu_si512,
};
use std::mem::{MaybeUninit, transmute};
use std::ops::Range;

/// Whether a level goes by pairs on this machine.
pub(super) fn available(cpu: Cpu) -> bool {
    cpu.0 == Level::Avx512 && is_x86_feature_detected!("avx512bf16")
}

/// Packs in the order of [`block`].
///
/// # Safety
/// [`available`].
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
pub(super) unsafe fn pack(source: &Source<'_>, panels: Range<usize>, out: &mut [Tile]) {
    // SAFETY: the features are enabled here.
    unsafe { vector::<Avx512, Chains>(source, panels, out) }
}

/// [`super::Order::Chains`].
struct Chains;

/// Where the numbers of a tile's row go: lower half, upper half of each pair.
const ORDER: [u16; DEPTH] = {
    let mut order = [0; DEPTH];
    let mut pair = 0;
    while pair < EDGE / 2 {
        let k = 4 * pair as u16;
        (order[2 * pair], order[2 * pair + 1]) = (k + 2, k);
        (order[EDGE + 2 * pair], order[EDGE + 2 * pair + 1]) = (k + 3, k + 1);
        pair += 1;
    }
    order
};
/// Where those of two vectors go so that they are side by side.
const SIDE_BY_SIDE: [u16; DEPTH] = {
    let mut order = [0; DEPTH];
    let mut i = 0;
    while i < EDGE {
        (order[2 * i], order[2 * i + 1]) = (i as u16, (EDGE + i) as u16);
        i += 1;
    }
    order
};

impl Pairing for Chains {
    #[inline(always)]
    unsafe fn along(data: &[f32], stride: usize, out: &mut Tile) {
        // SAFETY: a row has two vectors, as `ORDER` is one, and `out` sixteen.
        unsafe {
            let order = _mm512_loadu_si512(ORDER.as_ptr().cast());
            for (i, out) in out.0.as_chunks_mut::<EDGE>().0.iter_mut().enumerate() {
                let row = data[i * stride..][..DEPTH].as_ptr();
                let halves = rounded(_mm512_loadu_ps(row), _mm512_loadu_ps(row.add(EDGE)));
                let pairs = _mm512_permutexvar_epi16(order, halves);
                _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs);
            }
        }
    }

    #[inline(always)]
    unsafe fn across(data: &[f32], stride: usize, out: &mut Tile) {
        // SAFETY: as above, of rows of one vector.
        unsafe {
            let order = _mm512_loadu_si512(SIDE_BY_SIDE.as_ptr().cast());
            for (pair, out) in out.0.as_chunks_mut::<EDGE>().0.iter_mut().enumerate() {
                let k = [ORDER[2 * pair], ORDER[2 * pair + 1]];
                let [lower, upper] = k.map(|k| {
                    let row = data[usize::from(k) * stride..][..EDGE].as_ptr();
                    // The next tile along the rows is read next.
                    prefetch(row.wrapping_add(AHEAD).cast());
                    row
                });
                let halves = rounded(_mm512_loadu_ps(lower), _mm512_loadu_ps(upper));
                let pairs = _mm512_permutexvar_epi16(order, halves);
                _mm512_storeu_si512(out.as_mut_ptr().cast(), pairs);
            }
        }
    }
}

/// How far ahead of their use elements of a row are asked for.
const AHEAD: usize = 4 * EDGE;

/// Both vectors rounded as [`super::round`] does, the first one's numbers before the second's.
#[inline(always)]
unsafe fn rounded(first: __m512, second: __m512) -> __m512i {
    // SAFETY: the features that `available` asks for.
    unsafe {
        let least = _mm512_set1_ps(f32::from_bits(SMALLEST));
        // What is not a number is not small.
        let kept = |x| _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(_mm512_abs_ps(x), least);
        let mask = __mmask32::from(kept(first)) | __mmask32::from(kept(second)) << 16;
        transmute::<__m512bh, __m512i>(_mm512_maskz_cvtne2ps_pbh(mask, second, first))
    }
}

/// Panels of `B` beside each other.
const PANELS: usize = 3;
/// Rows whose chains are in registers at once.
const ROWS: usize = 4;

/// Sums of a panel of rows by panels of columns.
type Sums<const NV: usize> = [[__m512; NV]; EDGE];

/// # Safety
/// [`available`]; the block lies within its slices and is laid out in chains.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16")]
pub(super) unsafe fn block(block: &Block<'_>, c: &mut [f32]) {
    for first in (0..block.steps).step_by(STEPS) {
        let mut column = 0;
        while column < block.n {
            let panels = match (block.n - column).div_ceil(EDGE) {
                1 => 1,
                // One that is left over alone would have too few chains.
                2 | 4 => 2,
                _ => PANELS,
            };
            for row in (0..block.m).step_by(EDGE) {
                // SAFETY: the caller's contract.
                unsafe {
                    match panels {
                        1 => panel::<1>(block, first, row, column, c),
                        2 => panel::<2>(block, first, row, column, c),
                        _ => panel::<PANELS>(block, first, row, column, c),
                    }
                }
            }
            column += panels * EDGE;
        }
    }
}

/// 16 rows by `NV` panels of columns, from the tile `first` of `k` on.
#[inline(always)]
unsafe fn panel<const NV: usize>(
    block: &Block<'_>,
    first: usize,
    row: usize,
    column: usize,
    c: &mut [f32],
) {
    // SAFETY: panels of both sides have `steps` tiles, and what is written of `C` are rows and columns that
    // exist.
    unsafe {
        let steps = STEPS.min(block.steps - first);
        let a = block.a.as_ptr().add(row / EDGE * block.steps + first);
        let b = block.b.as_ptr().add(column / EDGE * block.steps + first);
        let mut sums: MaybeUninit<Sums<NV>> = MaybeUninit::uninit();
        let first_sum = sums.as_mut_ptr().cast::<[__m512; NV]>();
        for i in row..block.m.min(row + EDGE) {
            for v in 0..NV {
                let c = c
                    .as_ptr()
                    .wrapping_add(i * block.c_stride + column + v * EDGE);
                prefetch(c.cast());
            }
        }
        for step in 0..steps {
            for rows in (0..EDGE).step_by(ROWS) {
                let a = a.add(step).cast::<i32>().add(rows * EDGE);
                let b = b.add(step);
                let next = b.wrapping_add(1).cast::<[u32; EDGE]>().wrapping_add(rows);
                let sums = first_sum.add(rows);
                chains(a, b, block.steps, next, sums, step > 0);
            }
        }
        // Every row was written in the first step.
        let sums = sums.assume_init_ref();
        let from_c = block.start == Start::Add || first > 0;
        for (i, sums) in (row..block.m).zip(sums) {
            for (v, &(mut sum)) in sums.iter().enumerate() {
                let column = column + v * EDGE;
                let mask = (u32::MAX >> (32 - EDGE.min(block.n - column))) as u16;
                let c = c.as_mut_ptr().add(i * block.c_stride + column);
                if from_c {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), sum);
                }
                _mm512_mask_storeu_ps(c, mask, sum);
            }
        }
    }
}

/// Sixteen pairs of bf16 numbers.
#[inline(always)]
unsafe fn as_pairs(x: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes in which any bits are allowed.
    unsafe { transmute::<__m512i, __m512bh>(x) }
}

/// Adds what one tile of `k` gives, or begins with that: no chain ends with -0, so that zero need not be
/// added. Of the tiles after them as many lines are asked for, those of the right side from `next` on: all rows
/// together ask for all.
#[inline(always)]
unsafe fn chains<const NV: usize>(
    a: *const i32,
    b: *const Tile,
    stride: usize,
    next: *const [u32; EDGE],
    sums: *mut [__m512; NV],
    from_sums: bool,
) {
    const CHAIN: usize = EDGE / 2;
    // SAFETY: there are `ROWS` rows at `a` and at `sums`, and `NV` tiles at `b`, `stride` tiles apart; sums that
    // are added to were written.
    unsafe {
        let mut even = [[_mm512_setzero_ps(); NV]; ROWS];
        let mut odd = even;
        for pair in 0..CHAIN {
            if pair < ROWS {
                for v in 0..NV {
                    let line = next.wrapping_add(v * stride * EDGE + pair);
                    prefetch(line.cast());
                }
                prefetch(a.wrapping_add((EDGE + pair) * EDGE).cast());
            }
            for (chain, at) in [(&mut even, pair), (&mut odd, CHAIN + pair)] {
                let mut columns = [_mm512_setzero_si512(); NV];
                for v in 0..NV {
                    let column = b.add(v * stride).cast::<i32>().add(at * EDGE);
                    columns[v] = _mm512_loadu_si512(column.cast());
                }
                for i in 0..ROWS {
                    let row = as_pairs(_mm512_set1_epi32(*a.add(i * EDGE + at)));
                    for v in 0..NV {
                        let column = as_pairs(columns[v]);
                        chain[i][v] = _mm512_dpbf16_ps(chain[i][v], row, column);
                    }
                }
            }
        }
        for i in 0..ROWS {
            let sums = &mut *sums.add(i).cast::<[MaybeUninit<__m512>; NV]>();
            for v in 0..NV {
                let mut sum = _mm512_add_ps(even[i][v], odd[i][v]);
                if from_sums {
                    sum = _mm512_add_ps(sums[v].assume_init(), sum);
                }
                sums[v].write(sum);
            }
        }
    }
}
