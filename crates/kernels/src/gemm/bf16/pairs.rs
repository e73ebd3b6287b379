//! The chain by products of pairs (`VDPBF16PS`): a lane's sum continues with the product of its upper
//! numbers, then with that of its lower ones, each rounded once. A pair of neighbours in the even chain, or
//! in the odd one, is so two links of it.

use super::{Block, EDGE, STEPS, Start, Tile};
use crate::cpu::{Cpu, Level};
use std::arch::x86_64::{
    __m512, _mm512_add_ps, _mm512_castps_si512, _mm512_dpbf16_ps, _mm512_loadu_ps,
    _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps, _mm512_set1_epi32, _mm512_setzero_ps,
};
use std::mem::transmute;

/// Whether a level goes by pairs on this machine.
pub(super) fn available(cpu: Cpu) -> bool {
    cpu.0 == Level::Avx512 && is_x86_feature_detected!("avx512bf16")
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
        for column in (0..block.n).step_by(PANELS * EDGE) {
            for row in (0..block.m).step_by(EDGE) {
                // SAFETY: the caller's contract.
                unsafe {
                    match (block.n - column).div_ceil(EDGE) {
                        1 => panel::<1>(block, first, row, column, c),
                        2 => panel::<2>(block, first, row, column, c),
                        _ => panel::<PANELS>(block, first, row, column, c),
                    }
                }
            }
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
        let mut sums: Sums<NV> = [[_mm512_setzero_ps(); NV]; EDGE];
        for step in 0..steps {
            for rows in (0..EDGE).step_by(ROWS) {
                let a = a.add(step).cast::<i32>().add(rows * EDGE);
                chains(a, b.add(step), block.steps, &mut sums[rows..rows + ROWS]);
            }
        }
        let from_c = block.start == Start::Add || first > 0;
        for (i, sums) in (row..block.m).zip(sums) {
            for (v, mut sum) in sums.into_iter().enumerate() {
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

/// Adds what one tile of `k` gives.
#[inline(always)]
unsafe fn chains<const NV: usize>(
    a: *const i32,
    b: *const Tile,
    stride: usize,
    sums: &mut [[__m512; NV]],
) {
    const CHAIN: usize = EDGE / 2;
    // SAFETY: there are `ROWS` rows at `a`, and `NV` tiles at `b`, `stride` tiles apart.
    unsafe {
        let mut even = [[_mm512_setzero_ps(); NV]; ROWS];
        let mut odd = even;
        for pair in 0..CHAIN {
            for (chain, at) in [(&mut even, pair), (&mut odd, CHAIN + pair)] {
                let mut columns = [_mm512_setzero_ps(); NV];
                for v in 0..NV {
                    columns[v] = _mm512_loadu_ps(b.add(v * stride).cast::<f32>().add(at * EDGE));
                }
                for i in 0..ROWS {
                    let row = _mm512_set1_epi32(*a.add(i * EDGE + at));
                    for v in 0..NV {
                        let column = _mm512_castps_si512(columns[v]);
                        chain[i][v] =
                            _mm512_dpbf16_ps(chain[i][v], transmute(row), transmute(column));
                    }
                }
            }
        }
        for i in 0..ROWS {
            for v in 0..NV {
                sums[i][v] = _mm512_add_ps(sums[i][v], _mm512_add_ps(even[i][v], odd[i][v]));
            }
        }
    }
}
