//! The chain by its definition, and by vectors.

use super::{Block, EDGE, STEPS, Start, Tile, halves};
use crate::simd::Simd;

/// The definition.
pub(super) fn scalar(block: &Block<'_>, c: &mut [f32]) {
    for i in 0..block.m {
        for j in 0..block.n {
            let c = &mut c[i * block.c_stride + j];
            if block.start == Start::Zero {
                *c = 0.0;
            }
            let a = &block.a[i / EDGE * block.steps..][..block.steps];
            let b = &block.b[j / EDGE * block.steps..][..block.steps];
            for (a, b) in a.chunks(STEPS).zip(b.chunks(STEPS)) {
                let mut sum = 0.0f32;
                for (a, b) in a.iter().zip(b) {
                    let (mut even, mut odd) = (0.0f32, 0.0f32);
                    for pair in 0..EDGE {
                        let a = halves(a.0[i % EDGE * EDGE + pair]);
                        let b = halves(b.0[pair * EDGE + j % EDGE]);
                        even = a[0].mul_add(b[0], even);
                        odd = a[1].mul_add(b[1], odd);
                    }
                    sum += even + odd;
                }
                *c += sum;
            }
        }
    }
}

/// Rows that are computed at once.
const ROWS: usize = 4;

/// # Safety
/// See [`Simd`]; the block lies within its slices.
#[inline(always)]
pub(super) unsafe fn vector<S: Simd>(block: &Block<'_>, c: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe {
        for first in (0..block.steps).step_by(STEPS) {
            let steps = STEPS.min(block.steps - first);
            let from_c = block.start == Start::Add || first > 0;
            for j in (0..block.n).step_by(EDGE) {
                let b = &block.b[j / EDGE * block.steps + first..][..steps];
                for i in (0..block.m).step_by(ROWS) {
                    let a = &block.a[i / EDGE * block.steps + first..][..steps];
                    let sums = sums::<S>(a, i % EDGE, b);
                    for (i, sum) in (i..block.m).zip(sums) {
                        let c = &mut c[i * block.c_stride + j..];
                        let n = EDGE.min(block.n - j);
                        add::<S>(&mut c[..n], sum, from_c);
                    }
                }
            }
        }
    }
}

/// `c += sum`, or `c = sum`.
#[inline(always)]
unsafe fn add<S: Simd>(c: &mut [f32], sum: S::F, from_c: bool) {
    let mut edge = [0.0f32; EDGE];
    let is_whole = c.len() == EDGE;
    if from_c && !is_whole {
        edge[..c.len()].copy_from_slice(c);
    }
    let p = if is_whole {
        c.as_mut_ptr()
    } else {
        edge.as_mut_ptr()
    };
    // SAFETY: there are 16 elements at `p`.
    unsafe {
        let sum = if from_c {
            S::f_add(S::f_load(p), sum)
        } else {
            sum
        };
        S::f_store(p, sum);
    }
    if !is_whole {
        c.copy_from_slice(&edge[..c.len()]);
    }
}

#[inline(always)]
unsafe fn sums<S: Simd>(a: &[Tile], first: usize, b: &[Tile]) -> [S::F; ROWS] {
    // SAFETY: rows and pairs lie within tiles.
    unsafe {
        let zero = S::f_splat(0.0);
        let mut sums = [zero; ROWS];
        for (a, b) in a.iter().zip(b) {
            let (mut even, mut odd) = ([zero; ROWS], [zero; ROWS]);
            let (a, b) = (a.0.as_ptr().add(first * EDGE), b.0.as_ptr());
            for pair in 0..EDGE {
                let [b_even, b_odd] = S::f_load_bf16_pairs(b.add(pair * EDGE));
                for i in 0..ROWS {
                    let [a_even, a_odd] = halves(*a.add(i * EDGE + pair));
                    even[i] = S::f_fma(S::f_splat(a_even), b_even, even[i]);
                    odd[i] = S::f_fma(S::f_splat(a_odd), b_odd, odd[i]);
                }
            }
            for i in 0..ROWS {
                sums[i] = S::f_add(sums[i], S::f_add(even[i], odd[i]));
            }
        }
        sums
    }
}
