//! The two products of attention over one block of keys.

use super::cache::{KvLayout, KvType, PAGE};
use crate::cpu::{Cpu, dispatch};
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// Query rows of a register tile.
const ROWS: usize = 4;

/// `scores[row][key]` = chain of `fma(key[d], query[row][d], sum)` over ascending `d` from zero.
/// `queries` is `[rows, head_dim]`, `scores` `[rows, PAGE]`.
pub(super) fn scores(
    cpu: Cpu,
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    scores: &mut [f32],
) {
    let dim = layout.head_dim;
    assert_eq!(queries.len() / dim * PAGE, scores.len());
    assert_eq!(keys.len(), dim * PAGE * layout.element_bytes());
    dispatch!(cpu, scores_scalar, scores_vector, (
        layout: &KvLayout, queries: &[f32], keys: &[u8], scores: &mut [f32],
    ));
}

fn scores_scalar(layout: &KvLayout, queries: &[f32], keys: &[u8], scores: &mut [f32]) {
    let rows = queries
        .chunks_exact(layout.head_dim)
        .zip(scores.chunks_exact_mut(PAGE));
    for (query, scores) in rows {
        for (key, score) in scores.iter_mut().enumerate() {
            *score = query.iter().enumerate().fold(0.0, |sum: f32, (d, q)| {
                layout.element(keys, d * PAGE + key).mul_add(*q, sum)
            });
        }
    }
}

#[inline(always)]
unsafe fn scores_vector<S: Simd>(
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    scores: &mut [f32],
) {
    let dim = layout.head_dim;
    let rows = queries.len() / dim;
    let mut row = 0;
    // SAFETY: tiles stay within the rows; lengths are asserted by `scores`.
    unsafe {
        while rows - row >= ROWS {
            score_rows::<S, ROWS>(
                layout,
                &queries[row * dim..],
                keys,
                &mut scores[row * PAGE..],
            );
            row += ROWS;
        }
        while row < rows {
            score_rows::<S, 1>(
                layout,
                &queries[row * dim..],
                keys,
                &mut scores[row * PAGE..],
            );
            row += 1;
        }
    }
}

#[inline(always)]
unsafe fn score_rows<S: Simd, const R: usize>(
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    scores: &mut [f32],
) {
    let dim = layout.head_dim;
    assert!(queries.len() >= R * dim && scores.len() >= R * PAGE);
    // SAFETY: `keys` holds `dim` rows of PAGE elements, the others are asserted above.
    unsafe {
        for key in (0..PAGE).step_by(2 * LANES) {
            let mut sum = [[S::f_splat(0.0); 2]; R];
            for d in 0..dim {
                let k0 = load::<S>(layout, keys, d * PAGE + key);
                let k1 = load::<S>(layout, keys, d * PAGE + key + LANES);
                for r in 0..R {
                    let q = S::f_splat(*queries.as_ptr().add(r * dim + d));
                    sum[r][0] = S::f_fma(k0, q, sum[r][0]);
                    sum[r][1] = S::f_fma(k1, q, sum[r][1]);
                }
            }
            for (r, sum) in sum.into_iter().enumerate() {
                S::f_store(scores.as_mut_ptr().add(r * PAGE + key), sum[0]);
                S::f_store(scores.as_mut_ptr().add(r * PAGE + key + LANES), sum[1]);
            }
        }
    }
}

#[inline(always)]
unsafe fn load<S: Simd>(layout: &KvLayout, data: &[u8], element: usize) -> S::F {
    // SAFETY: the caller's element and the 15 after it lie within the data.
    unsafe {
        match layout.dtype {
            KvType::F16 => S::f_load_f16(data.as_ptr().cast::<u16>().add(element)),
            KvType::F32 => S::f_load(data.as_ptr().cast::<f32>().add(element)),
        }
    }
}

/// `acc[row][d]` continues as a chain of `fma(weight[row][key], value[key][d], acc)` over the row's
/// keys, ascending. `weights` is `[rows, PAGE]`, `acc` `[rows, value_stride]`.
pub(super) fn add_values(
    cpu: Cpu,
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
) {
    assert_eq!(weights.len(), ranges.len() * PAGE);
    assert_eq!(acc.len(), ranges.len() * layout.value_stride());
    assert_eq!(
        values.len(),
        PAGE * layout.value_stride() * layout.element_bytes()
    );
    assert!(
        ranges
            .iter()
            .all(|range| range.start <= range.end && range.end <= PAGE)
    );
    dispatch!(cpu, add_values_scalar, add_values_vector, (
        layout: &KvLayout, weights: &[f32], ranges: &[Range<usize>], values: &[u8],
        acc: &mut [f32],
    ));
}

fn add_values_scalar(
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
) {
    let stride = layout.value_stride();
    let rows = weights.chunks_exact(PAGE).zip(acc.chunks_exact_mut(stride));
    for ((weights, acc), range) in rows.zip(ranges) {
        for key in range.clone() {
            for (d, acc) in acc.iter_mut().enumerate() {
                *acc = weights[key].mul_add(layout.element(values, key * stride + d), *acc);
            }
        }
    }
}

#[inline(always)]
unsafe fn add_values_vector<S: Simd>(
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
) {
    let stride = layout.value_stride();
    let mut row = 0;
    // SAFETY: tiles stay within the rows; lengths are asserted by `add_values`.
    unsafe {
        while row < ranges.len() {
            let weights = &weights[row * PAGE..];
            let acc = &mut acc[row * stride..];
            if ranges.len() - row < ROWS {
                add_rows::<S, 1>(layout, weights, ranges[row].clone(), values, acc);
                row += 1;
                continue;
            }
            // Keys that all rows of the tile see go together; the others row by row, so that a
            // row's chain holds exactly its own keys.
            let tile = &ranges[row..row + ROWS];
            let start = tile.iter().map(|range| range.start).max().unwrap_or(0);
            let end = tile
                .iter()
                .map(|range| range.end)
                .min()
                .unwrap_or(0)
                .max(start);
            for (r, range) in tile.iter().enumerate() {
                let (weights, acc) = (&weights[r * PAGE..], &mut acc[r * stride..]);
                let before = range.start..start.min(range.end);
                add_rows::<S, 1>(layout, weights, before, values, acc);
            }
            add_rows::<S, ROWS>(layout, weights, start..end, values, acc);
            for (r, range) in tile.iter().enumerate() {
                let (weights, acc) = (&weights[r * PAGE..], &mut acc[r * stride..]);
                let after = end.max(range.start)..range.end;
                add_rows::<S, 1>(layout, weights, after, values, acc);
            }
            row += ROWS;
        }
    }
}

#[inline(always)]
unsafe fn add_rows<S: Simd, const R: usize>(
    layout: &KvLayout,
    weights: &[f32],
    keys: Range<usize>,
    values: &[u8],
    acc: &mut [f32],
) {
    if keys.is_empty() {
        return;
    }
    let stride = layout.value_stride();
    assert!(weights.len() >= R * PAGE && acc.len() >= R * stride);
    let mut d = 0;
    // SAFETY: `values` holds PAGE rows of `stride` elements, a multiple of LANES.
    unsafe {
        while stride - d >= 2 * LANES {
            add_columns::<S, R, 2>(layout, weights, keys.clone(), values, acc, d);
            d += 2 * LANES;
        }
        if d < stride {
            add_columns::<S, R, 1>(layout, weights, keys, values, acc, d);
        }
    }
}

#[inline(always)]
unsafe fn add_columns<S: Simd, const R: usize, const C: usize>(
    layout: &KvLayout,
    weights: &[f32],
    keys: Range<usize>,
    values: &[u8],
    acc: &mut [f32],
    first: usize,
) {
    let stride = layout.value_stride();
    // SAFETY: the caller's contract: C vectors from column `first` lie within each row.
    unsafe {
        let mut sum = [[S::f_splat(0.0); C]; R];
        for r in 0..R {
            for c in 0..C {
                sum[r][c] = S::f_load(acc.as_ptr().add(r * stride + first + c * LANES));
            }
        }
        for key in keys {
            let mut v = [S::f_splat(0.0); C];
            for c in 0..C {
                v[c] = load::<S>(layout, values, key * stride + first + c * LANES);
            }
            for r in 0..R {
                let w = S::f_splat(*weights.as_ptr().add(r * PAGE + key));
                for c in 0..C {
                    sum[r][c] = S::f_fma(w, v[c], sum[r][c]);
                }
            }
        }
        for r in 0..R {
            for c in 0..C {
                S::f_store(
                    acc.as_mut_ptr().add(r * stride + first + c * LANES),
                    sum[r][c],
                );
            }
        }
    }
}
