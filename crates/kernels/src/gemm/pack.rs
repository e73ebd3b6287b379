//! Parts of matrices in the order in which a product reads them.

use super::View;
use super::tile::panel_width;
use crate::buffer::AlignedVec;
use crate::cpu::{Cpu, dispatch, multiversion};
use crate::simd::{LANES, LINE, Simd, prefetch};
use std::ops::Range;

/// Packs columns of `b` in panels of [`panel_width`] columns, the last as wide as whole vectors need, each
/// step of `k` after the other; what lies beyond the last column is zero.
pub(super) fn b(
    cpu: Cpu,
    out: &mut AlignedVec<f32>,
    b: View<'_>,
    columns: &Range<usize>,
    depth: &Range<usize>,
) {
    let width = panel_width(cpu);
    let n_panels = columns.len().div_ceil(width);
    let out = out.at_least(n_panels * width * depth.len());
    for (panel, out) in out.chunks_exact_mut(width * depth.len()).enumerate() {
        let start = columns.start + panel * width;
        let n = width.min(columns.end - start);
        let padded = n.next_multiple_of(LANES);
        let out = &mut out[..padded * depth.len()];
        let from = &b.data[start * b.col_stride + depth.start * b.row_stride..];
        if b.col_stride == 1 {
            let stride = b.row_stride;
            dispatch!(cpu, rows_scalar, rows_vector, (
                from: &[f32], stride: usize, n: usize, out: &mut [f32], padded: usize,
            ));
        } else {
            // A view is rows of neighbours, or that with rows and columns swapped.
            debug_assert_eq!(b.row_stride, 1, "neither rows nor columns are whole");
            let stride = b.col_stride;
            dispatch!(cpu, columns_scalar, columns_vector, (
                from: &[f32], stride: usize, n: usize, out: &mut [f32], padded: usize,
            ));
        }
    }
}

/// Rows of `n` neighbours, `stride` apart, each to `padded` of `out`.
fn rows_scalar(from: &[f32], stride: usize, n: usize, out: &mut [f32], padded: usize) {
    for (p, out) in out.chunks_exact_mut(padded).enumerate() {
        out[..n].copy_from_slice(&from[p * stride..][..n]);
        out[n..].fill(0.0);
    }
}

/// # Safety
/// See [`Simd`].
#[inline(always)]
unsafe fn rows_vector<S: Simd>(
    from: &[f32],
    stride: usize,
    n: usize,
    out: &mut [f32],
    padded: usize,
) {
    match n / LANES {
        1 if n == padded => whole_rows::<LANES>(from, stride, out),
        2 if n == padded => whole_rows::<{ 2 * LANES }>(from, stride, out),
        3 => whole_rows::<{ 3 * LANES }>(from, stride, out),
        _ => rows_scalar(from, stride, n, out, padded),
    }
}

/// Rows of so many that the compiler need not call a function for each.
#[inline(always)]
fn whole_rows<const N: usize>(from: &[f32], stride: usize, out: &mut [f32]) {
    for (p, out) in out.as_chunks_mut::<N>().0.iter_mut().enumerate() {
        if let Some(from) = from[p * stride..].first_chunk::<N>() {
            prefetch_row(from, ROWS_AHEAD * stride);
            *out = *from;
        }
    }
}

/// Rows that are asked for before they are read: a processor does not foresee jumps between pages.
const ROWS_AHEAD: usize = 8;

/// Asks for what lies `ahead` elements after a row.
#[inline(always)]
fn prefetch_row(row: &[f32], ahead: usize) {
    for line in row.chunks(LINE / size_of::<f32>()) {
        prefetch(line.as_ptr().wrapping_add(ahead).cast());
    }
}

/// `n` columns whose elements are neighbours, `stride` apart: element `p` of the `j`-th to
/// `out[p * padded + j]`.
fn columns_scalar(from: &[f32], stride: usize, n: usize, out: &mut [f32], padded: usize) {
    last_columns(from, stride, 0..n, out, padded);
}

/// Those of [`columns_scalar`] that are in `columns`, and zeros beyond the last.
fn last_columns(
    from: &[f32],
    stride: usize,
    columns: Range<usize>,
    out: &mut [f32],
    padded: usize,
) {
    let (n, depth) = (columns.end, out.len() / padded);
    for j in columns {
        spread(&from[j * stride..][..depth], &mut out[j..], padded);
    }
    for j in n..padded {
        out[j..].iter_mut().step_by(padded).for_each(|x| *x = 0.0);
    }
}

/// As [`columns_scalar`], by squares of 16 elements.
///
/// # Safety
/// See [`Simd`].
#[inline(always)]
unsafe fn columns_vector<S: Simd>(
    from: &[f32],
    stride: usize,
    n: usize,
    out: &mut [f32],
    padded: usize,
) {
    let depth = out.len() / padded;
    let (whole, whole_depth) = (n / LANES * LANES, depth / LANES * LANES);
    let mut square = [0u32; LANES * LANES];
    for j in (0..whole).step_by(LANES) {
        for p in (0..whole_depth).step_by(LANES) {
            let to = square.as_mut_ptr().cast::<f32>();
            for i in 0..LANES {
                let column = &from[(j + i) * stride + p..][..LANES];
                // SAFETY: a column and a row of the square are one vector long.
                unsafe { S::f_store(to.add(i * LANES), S::f_load(column.as_ptr())) };
            }
            // SAFETY: the square has 16 rows of 16.
            unsafe { S::transpose(square.as_mut_ptr()) };
            for i in 0..LANES {
                let row = &mut out[(p + i) * padded + j..][..LANES];
                // SAFETY: as above.
                unsafe { S::f_store(row.as_mut_ptr(), S::f_load(to.add(i * LANES))) };
            }
        }
        if whole_depth < depth {
            for j in j..j + LANES {
                let rest = &from[j * stride + whole_depth..][..depth - whole_depth];
                spread(rest, &mut out[whole_depth * padded + j..], padded);
            }
        }
    }
    last_columns(from, stride, whole..n, out, padded);
}

/// `out[p * out_stride] = from[p]`.
#[inline(always)]
fn spread(from: &[f32], out: &mut [f32], out_stride: usize) {
    for (x, out) in from.iter().zip(out.iter_mut().step_by(out_stride)) {
        *out = *x;
    }
}

/// Packs rows of `a` of which neighbours lie side by side in memory: `[rows / tile][k][tile]`, `tile` being 6
/// or 8. What lies beyond the last row is not read.
pub(super) fn a(
    cpu: Cpu,
    out: &mut AlignedVec<f32>,
    a: View<'_>,
    rows: &Range<usize>,
    depth: &Range<usize>,
    tile: usize,
) {
    let out = out.at_least(rows.len().next_multiple_of(tile) * depth.len());
    macro_rules! tiles_of {
        ($rows:literal) => {
            multiversion!(cpu, a_plain::<$rows>, (
                out: &mut [f32], a: View<'_>, rows: &Range<usize>, depth: &Range<usize>,
            ))
        };
    }
    match tile {
        8 => tiles_of!(8),
        _ => tiles_of!(6),
    }
}

#[inline(always)]
fn a_plain<const T: usize>(
    out: &mut [f32],
    a: View<'_>,
    rows: &Range<usize>,
    depth: &Range<usize>,
) {
    /// Steps of `k` after which the next rows have their turn: all together fit into the first-level cache.
    const STEPS: usize = 16;
    let (out, _) = out.as_chunks_mut::<T>();
    for start in (0..depth.len()).step_by(STEPS) {
        let steps = start..(start + STEPS).min(depth.len());
        for k in steps.clone() {
            let at = (depth.start + k) * a.col_stride + rows.start * a.row_stride;
            prefetch_row(&a.data[at..at + rows.len()], STEPS * a.col_stride);
        }
        let tiles = out.chunks_exact_mut(depth.len());
        for (first, tile) in rows.clone().step_by(T).zip(tiles) {
            let n = T.min(rows.end - first);
            for (k, out) in steps.clone().zip(&mut tile[steps.clone()]) {
                let from = &a.data[(depth.start + k) * a.col_stride + first * a.row_stride..][..n];
                match from.first_chunk::<T>() {
                    Some(from) => *out = *from,
                    None => out[..n].copy_from_slice(from),
                }
            }
        }
    }
}
