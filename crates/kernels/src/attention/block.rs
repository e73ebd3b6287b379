//! The two products of attention over one block of keys.

use super::cache::{Head, KvLayout, KvType, PAGE};
use super::{Queries, coded, larger};
use crate::cpu::{Cpu, dispatch};
use crate::rows::tree_sum;
use crate::simd::{LANES, LINE, Simd, prefetch};
use std::ops::Range;

/// `scores[row][key]` of one block, for the query rows from `first` on.
///
/// With floating-point keys a score is a chain of `fma(key[d], query[row][d], sum)` over ascending `d`
/// from zero; with int8 keys it is the exact product of the codes, times the key's step, times the
/// query's. `scores` is `[rows, PAGE]`; of each row the first `seen` are wanted, the others may be left as
/// they are. With few rows memory is the limit: then the values of those keys, which will be read after
/// this, are asked for along the way.
pub(super) fn scores(
    cpu: Cpu,
    layout: &KvLayout,
    queries: &Queries,
    first: usize,
    head: Head<'_>,
    seen: usize,
    scores: &mut [f32],
) {
    let rows = scores.len() / PAGE;
    assert_eq!(rows * PAGE, scores.len());
    assert_eq!(
        head.keys.len(),
        layout.key_dim() * PAGE * layout.element_bytes()
    );
    let keys = head.keys;
    let next = Ahead::all(&head.values[..seen * (head.values.len() / PAGE)]);
    if layout.dtype == KvType::Int8 {
        coded::scores(cpu, layout, queries, first, head, scores, next);
    } else {
        let dim = layout.head_dim;
        let queries = &queries.rows[first * dim..][..rows * dim];
        dispatch!(cpu, scores_scalar, scores_vector, (
            layout: &KvLayout, queries: &[f32], keys: &[u8], seen: usize, scores: &mut [f32],
            next: Ahead<'_>,
        ));
    }
}

/// What will be read later, by pairs of cache lines.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    bytes: &'a [u8],
    /// Of each pair.
    wanted: usize,
}

impl<'a> Ahead<'a> {
    pub(super) const NOTHING: Self = Self::all(&[]);

    const fn all(bytes: &'a [u8]) -> Self {
        let wanted = 2 * LINE;
        Self { bytes, wanted }
    }

    /// A block's keys, of which the first `seen` will be wanted.
    pub(super) fn keys(layout: &KvLayout, bytes: &'a [u8], seen: usize) -> Self {
        // The keys' elements of one dimension lie side by side: f16 ones in two lines.
        let is_half = layout.dtype == KvType::F16 && seen <= PAGE / 2;
        let wanted = if is_half { LINE } else { 2 * LINE };
        Self { bytes, wanted }
    }

    #[inline(always)]
    pub(super) fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        let Self { bytes, wanted } = self;
        let pairs = bytes.chunks(2 * LINE);
        pairs.map(move |pair| &pair[..wanted.min(pair.len())])
    }
}

fn scores_scalar(
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    seen: usize,
    scores: &mut [f32],
    _next: Ahead<'_>,
) {
    let rows = queries
        .chunks_exact(layout.head_dim)
        .zip(scores.chunks_exact_mut(PAGE));
    for (query, scores) in rows {
        for (key, score) in scores.iter_mut().take(seen).enumerate() {
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
    seen: usize,
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match layout.dtype {
            KvType::F16 => scores_of::<S, Half>(layout, queries, keys, seen, scores, next),
            KvType::F32 => scores_of::<S, Single>(layout, queries, keys, seen, scores, next),
            KvType::Int8 => unreachable!("codes have kernels of their own"),
        }
    }
}

#[inline(always)]
unsafe fn scores_of<S: Simd, E: Element>(
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    seen: usize,
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    let dim = layout.head_dim;
    let rows = queries.len() / dim;
    let mut row = 0;
    macro_rules! tile {
        ($rows:literal, $vectors:literal, $next:expr) => {{
            let (queries, scores) = (&queries[row * dim..], &mut scores[row * PAGE..]);
            score_rows::<S, E, $rows, $vectors>(layout, queries, keys, seen, scores, $next);
        }};
        // As many keys at once as are seen.
        ($rows:literal, $next:expr) => {
            match seen.div_ceil(LANES) {
                ..2 => tile!($rows, 1, $next),
                2 => tile!($rows, 2, $next),
                _ => tile!($rows, 4, $next),
            }
        };
    }
    // As many rows as registers allow share each loaded key: 6 by 4 vectors of one register, or 4 by one
    // vector of two or four registers.
    // SAFETY: tiles stay within the rows; lengths are asserted by `scores`.
    unsafe {
        while rows - row >= 6 && S::TILE == 8 {
            tile!(6, Ahead::NOTHING);
            row += 6;
        }
        while rows - row >= 4 {
            tile!(4, 1, Ahead::NOTHING);
            row += 4;
        }
        // What is left, or the few heads that share keys while one token is decoded.
        match rows - row {
            3 if S::TILE == 8 => tile!(3, next),
            3 => tile!(3, 1, next),
            2 => tile!(2, 2, next),
            1 => tile!(1, 4, next),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn score_rows<S: Simd, E: Element, const R: usize, const C: usize>(
    layout: &KvLayout,
    queries: &[f32],
    keys: &[u8],
    seen: usize,
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    let dim = layout.head_dim;
    assert!(queries.len() >= R * dim && scores.len() >= R * PAGE);
    let mut ahead = next.lines();
    // SAFETY: `keys` holds `dim` rows of PAGE elements, the others are asserted above.
    unsafe {
        for key in (0..seen).step_by(C * LANES) {
            let mut sum = [[S::f_splat(0.0); C]; R];
            for d in 0..dim {
                prefetch_two(ahead.next());
                let mut k = [S::f_splat(0.0); C];
                for c in 0..C {
                    k[c] = E::load::<S>(keys, d * PAGE + key + c * LANES);
                }
                for r in 0..R {
                    let q = S::f_splat(*queries.as_ptr().add(r * dim + d));
                    for c in 0..C {
                        sum[r][c] = S::f_fma(k[c], q, sum[r][c]);
                    }
                }
            }
            for r in 0..R {
                for c in 0..C {
                    let at = r * PAGE + key + c * LANES;
                    S::f_store(scores.as_mut_ptr().add(at), sum[r][c]);
                }
            }
        }
    }
}

#[inline(always)]
pub(super) fn prefetch_two(lines: Option<&[u8]>) {
    if let Some(lines) = lines {
        prefetch(lines.as_ptr());
        if lines.len() > LINE {
            prefetch(lines.as_ptr().wrapping_add(LINE));
        }
    }
}

/// The largest of the first `width` scores of each row that is a number, or -inf. Any order gives the same.
pub(super) fn largest(cpu: Cpu, scores: &[f32], width: usize, largest: &mut [f32]) {
    assert_eq!(scores.len(), largest.len() * PAGE);
    assert!(width <= PAGE && width.is_multiple_of(LANES));
    dispatch!(cpu, largest_scalar, largest_vector, (
        scores: &[f32], width: usize, largest: &mut [f32],
    ));
}

fn largest_scalar(scores: &[f32], width: usize, largest: &mut [f32]) {
    for (scores, largest) in scores.chunks_exact(PAGE).zip(largest) {
        *largest = scores[..width]
            .iter()
            .fold(f32::NEG_INFINITY, |a, b| larger(*b, a));
    }
}

/// By hand, since compilers take the row apart into pairs.
#[inline(always)]
unsafe fn largest_vector<S: Simd>(scores: &[f32], width: usize, largest: &mut [f32]) {
    for (scores, largest) in scores.chunks_exact(PAGE).zip(largest) {
        let mut lanes = [0.0; LANES];
        // SAFETY: a row has PAGE scores, whole vectors; `lanes` is one.
        unsafe {
            let mut found = S::f_splat(f32::NEG_INFINITY);
            for at in (0..width).step_by(LANES) {
                found = S::f_larger(S::f_load(scores.as_ptr().add(at)), found);
            }
            S::f_store(lanes.as_mut_ptr(), found);
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] = larger(lanes[i], lanes[i + width]);
            }
            width /= 2;
        }
        *largest = lanes[0];
    }
}

/// `sum = fma(sum, correction, the row's lanes in tree order)`; `lanes` is `[rows, LANES]`.
pub(super) fn add_lanes(cpu: Cpu, lanes: &[f32], corrections: &[f32], sum: &mut [f32]) {
    assert!(lanes.len() == sum.len() * LANES && corrections.len() == sum.len());
    dispatch!(cpu, add_lanes_scalar, add_lanes_vector, (
        lanes: &[f32], corrections: &[f32], sum: &mut [f32],
    ));
}

fn add_lanes_scalar(lanes: &[f32], corrections: &[f32], sum: &mut [f32]) {
    let rows = lanes.as_chunks().0.iter().zip(corrections);
    for ((lanes, correction), sum) in rows.zip(sum) {
        *sum = sum.mul_add(*correction, tree_sum(*lanes));
    }
}

#[inline(always)]
unsafe fn add_lanes_vector<S: Simd>(lanes: &[f32], corrections: &[f32], sum: &mut [f32]) {
    let rows = lanes.as_chunks::<LANES>().0.iter().zip(corrections);
    for ((lanes, correction), sum) in rows.zip(sum) {
        // SAFETY: the features are the caller's; a row's lanes are one vector.
        let tree_sum = unsafe { S::f_tree_sum(S::f_load(lanes.as_ptr())) };
        *sum = sum.mul_add(*correction, tree_sum);
    }
}

/// How an element is stored; a type, so that no inner loop asks.
trait Element {
    /// The 16 elements from `index` on.
    unsafe fn load<S: Simd>(data: &[u8], index: usize) -> S::F;
}

struct Half;
struct Single;
struct Code;

impl Element for Half {
    #[inline(always)]
    unsafe fn load<S: Simd>(data: &[u8], index: usize) -> S::F {
        // SAFETY: the caller's elements lie within the data.
        unsafe { S::f_load_f16(data.as_ptr().cast::<u16>().add(index)) }
    }
}

impl Element for Single {
    #[inline(always)]
    unsafe fn load<S: Simd>(data: &[u8], index: usize) -> S::F {
        // SAFETY: the caller's elements lie within the data.
        unsafe { S::f_load(data.as_ptr().cast::<f32>().add(index)) }
    }
}

impl Element for Code {
    #[inline(always)]
    unsafe fn load<S: Simd>(data: &[u8], index: usize) -> S::F {
        // SAFETY: the caller's elements lie within the data.
        unsafe { S::f_load_i8(data.as_ptr().cast::<i8>().add(index)) }
    }
}

/// `acc[row][d]` continues as a chain of `fma(weight[row][key], value[key][d], acc)` over the row's
/// keys, ascending. `weights` is `[rows, PAGE]`, `acc` `[rows, value_stride]`, `next` as for [`scores`].
pub(super) fn add_values(
    cpu: Cpu,
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
    next: Ahead<'_>,
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
        acc: &mut [f32], next: Ahead<'_>,
    ));
}

fn add_values_scalar(
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
    _next: Ahead<'_>,
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
    next: Ahead<'_>,
) {
    // SAFETY: the caller's contract.
    unsafe {
        match layout.dtype {
            KvType::F16 => add_values_of::<S, Half>(layout, weights, ranges, values, acc, next),
            KvType::F32 => add_values_of::<S, Single>(layout, weights, ranges, values, acc, next),
            KvType::Int8 => add_values_of::<S, Code>(layout, weights, ranges, values, acc, next),
        }
    }
}

#[inline(always)]
unsafe fn add_values_of<S: Simd, E: Element>(
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
    next: Ahead<'_>,
) {
    let mut row = 0;
    // SAFETY: tiles stay within the rows; lengths are asserted by `add_values`.
    unsafe {
        while ranges.len() - row >= 6 && S::TILE == 8 {
            add_tile::<S, E, 6>(layout, weights, ranges, values, acc, row, Ahead::NOTHING);
            row += 6;
        }
        while ranges.len() - row >= 4 {
            add_tile::<S, E, 4>(layout, weights, ranges, values, acc, row, Ahead::NOTHING);
            row += 4;
        }
        match ranges.len() - row {
            3 => add_tile::<S, E, 3>(layout, weights, ranges, values, acc, row, next),
            2 => add_tile::<S, E, 2>(layout, weights, ranges, values, acc, row, next),
            1 => add_tile::<S, E, 1>(layout, weights, ranges, values, acc, row, next),
            _ => {}
        }
    }
}

/// The rows from `row` on. Keys that all of them see go together; the others row by row, so that a
/// row's chain holds exactly its own keys.
#[inline(always)]
unsafe fn add_tile<S: Simd, E: Element, const R: usize>(
    layout: &KvLayout,
    weights: &[f32],
    ranges: &[Range<usize>],
    values: &[u8],
    acc: &mut [f32],
    row: usize,
    next: Ahead<'_>,
) {
    let stride = layout.value_stride();
    let tile = &ranges[row..row + R];
    let weights = &weights[row * PAGE..];
    let acc = &mut acc[row * stride..];
    let start = tile.iter().map(|range| range.start).max().unwrap_or(0);
    let end = tile.iter().map(|range| range.end).min().unwrap_or(0);
    let end = end.max(start);
    // SAFETY: the caller's contract.
    unsafe {
        for (r, range) in tile.iter().enumerate() {
            let (weights, acc) = (&weights[r * PAGE..], &mut acc[r * stride..]);
            let before = range.start..start.min(range.end);
            add_rows::<S, E, 1>(layout, weights, before, values, acc, Ahead::NOTHING);
        }
        add_rows::<S, E, R>(layout, weights, start..end, values, acc, next);
        for (r, range) in tile.iter().enumerate() {
            let (weights, acc) = (&weights[r * PAGE..], &mut acc[r * stride..]);
            let after = end.max(range.start)..range.end;
            add_rows::<S, E, 1>(layout, weights, after, values, acc, Ahead::NOTHING);
        }
    }
}

#[inline(always)]
unsafe fn add_rows<S: Simd, E: Element, const R: usize>(
    layout: &KvLayout,
    weights: &[f32],
    keys: Range<usize>,
    values: &[u8],
    acc: &mut [f32],
    mut next: Ahead<'_>,
) {
    if keys.is_empty() {
        return;
    }
    let stride = layout.value_stride();
    assert!(weights.len() >= R * PAGE && acc.len() >= R * stride);
    let mut d = 0;
    // SAFETY: `values` holds PAGE rows of `stride` elements, a multiple of LANES.
    unsafe {
        // One row alone needs more columns to have enough chains at once.
        while stride - d >= 4 * LANES && (R == 1 || (R <= 6 && S::TILE == 8)) {
            add_columns::<S, E, R, 4>(layout, weights, keys.clone(), values, acc, d, next);
            next = Ahead::NOTHING;
            d += 4 * LANES;
        }
        while stride - d >= 2 * LANES && (S::TILE == 8 || R < 4) {
            add_columns::<S, E, R, 2>(layout, weights, keys.clone(), values, acc, d, next);
            next = Ahead::NOTHING;
            d += 2 * LANES;
        }
        while d < stride {
            add_columns::<S, E, R, 1>(layout, weights, keys.clone(), values, acc, d, next);
            next = Ahead::NOTHING;
            d += LANES;
        }
    }
}

#[inline(always)]
unsafe fn add_columns<S: Simd, E: Element, const R: usize, const C: usize>(
    layout: &KvLayout,
    weights: &[f32],
    keys: Range<usize>,
    values: &[u8],
    acc: &mut [f32],
    first: usize,
    next: Ahead<'_>,
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
        let mut ahead = next.lines();
        for key in keys {
            prefetch_two(ahead.next());
            let mut v = [S::f_splat(0.0); C];
            for c in 0..C {
                v[c] = E::load::<S>(values, key * stride + first + c * LANES);
            }
            for r in 0..R {
                let w = S::f_splat(*weights.as_ptr().add(r * PAGE + key));
                for c in 0..C {
                    sum[r][c] = S::f_fma(w, v[c], sum[r][c]);
                }
            }
        }
        // What comes next may be longer.
        for lines in ahead {
            prefetch_two(Some(lines));
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
