//! Parts of matrices in the order in which a product reads them.

use super::View;
use super::tile::panel_width;
use crate::cpu::Cpu;
use crate::pool::{SharedMut, ThreadPool};
use crate::simd::LANES;
use std::ops::Range;

/// Packs columns of `b` in panels of [`panel_width`] columns, the last as wide as whole vectors need, each
/// step of `k` after the other; what lies beyond the last column is zero.
pub(super) fn b(
    cpu: Cpu,
    pool: &ThreadPool,
    out: &mut Vec<f32>,
    b: View<'_>,
    columns: &Range<usize>,
    depth: &Range<usize>,
) {
    let width = panel_width(cpu);
    let n_panels = columns.len().div_ceil(width);
    out.resize(n_panels * width * depth.len(), 0.0);
    let shared = SharedMut::new(out);
    pool.for_chunks(n_panels, n_panels.div_ceil(pool.threads()), |_, panels| {
        for panel in panels {
            let start = columns.start + panel * width;
            let n = width.min(columns.end - start);
            let padded = n.next_multiple_of(LANES);
            let at = panel * width * depth.len();
            // SAFETY: each panel has its own part, and belongs to one range of this call.
            let out = unsafe { shared.slice(at..at + padded * depth.len()) };
            let from = start * b.col_stride + depth.start * b.row_stride;
            if b.col_stride == 1 {
                for (p, out) in out.chunks_exact_mut(padded).enumerate() {
                    let row = &b.data[from + p * b.row_stride..][..n];
                    out[..n].copy_from_slice(row);
                    out[n..].fill(0.0);
                }
            } else {
                // A view is rows of neighbours, or that with rows and columns swapped.
                debug_assert_eq!(b.row_stride, 1, "neither rows nor columns are whole");
                if n < padded {
                    out.fill(0.0);
                }
                for j in 0..n {
                    let column = &b.data[from + j * b.col_stride..][..depth.len()];
                    spread(column, &mut out[j..], padded);
                }
            }
        }
    });
}

/// `out[p * out_stride] = from[p]`.
#[inline(always)]
fn spread(from: &[f32], out: &mut [f32], out_stride: usize) {
    for (x, out) in from.iter().zip(out.iter_mut().step_by(out_stride)) {
        *out = *x;
    }
}

/// Packs rows of `a` of which neighbours lie side by side in memory: `[k][rows]`.
pub(super) fn a(out: &mut Vec<f32>, a: View<'_>, rows: &Range<usize>, depth: &Range<usize>) {
    out.clear();
    out.reserve(rows.len() * depth.len());
    for p in depth.clone() {
        let at = p * a.col_stride + rows.start * a.row_stride;
        out.extend_from_slice(&a.data[at..at + rows.len()]);
    }
}
