//! Matrices into tiles, rounded on the way.

#[cfg(target_arch = "x86_64")]
use super::Order;
use super::{DEPTH, EDGE, Side, Tile, View, round};
use crate::cpu::{Cpu, dispatch};
use crate::pool::{SharedMut, ThreadPool};
use crate::simd::Simd;
use std::ops::Range;

/// Packs `outer` x `k` elements.
pub(super) fn pack(
    cpu: Cpu,
    pool: &ThreadPool,
    from: View<'_>,
    side: Side,
    outer: usize,
    k: usize,
    tiles: &mut [Tile],
) {
    debug_assert!(
        from.row_stride == 1 || from.col_stride == 1,
        "neither rows nor columns are whole"
    );
    let source = Source {
        from,
        side,
        outer,
        k,
    };
    let steps = k.div_ceil(DEPTH);
    let panels = outer.div_ceil(EDGE);
    let shared = SharedMut::new(tiles);
    pool.for_chunks(panels, panels.div_ceil(pool.threads() * 2), |_, panels| {
        // SAFETY: the tiles of one panel are no other's.
        let out = unsafe { shared.slice(panels.start * steps..panels.end * steps) };
        let source = &source;
        #[cfg(target_arch = "x86_64")]
        if Order::of(cpu) == Order::Chains {
            // SAFETY: only levels that go by pairs have this order.
            unsafe { super::pairs::pack(source, panels, out) };
            return;
        }
        dispatch!(cpu, scalar, neighbours, (
            source: &Source<'_>, panels: Range<usize>, out: &mut [Tile],
        ));
    });
}

/// What is packed.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    from: View<'a>,
    side: Side,
    outer: usize,
    k: usize,
}

/// How two numbers come to be a pair.
pub(super) trait Pairing {
    /// Sixteen rows in which neighbours in `k` lie side by side: `[row][pair]`.
    unsafe fn along(data: &[f32], stride: usize, out: &mut Tile);
    /// Thirty-two rows of which each is one `k`: `[pair][element]`.
    unsafe fn across(data: &[f32], stride: usize, out: &mut Tile);
}

/// [`Order::Neighbours`].
struct Neighbours;

/// The definition.
fn scalar(source: &Source<'_>, panels: Range<usize>, out: &mut [Tile]) {
    let steps = source.k.div_ceil(DEPTH);
    let (data, row, col) = (
        source.from.data,
        source.from.row_stride,
        source.from.col_stride,
    );
    for (panel, out) in panels.zip(out.chunks_exact_mut(steps)) {
        for (step, out) in out.iter_mut().enumerate() {
            for i in 0..EDGE {
                for pair in 0..EDGE {
                    let at = |k: usize| {
                        let (outer, k) = (panel * EDGE + i, step * DEPTH + k);
                        if outer < source.outer && k < source.k {
                            round(data[outer * row + k * col])
                        } else {
                            0
                        }
                    };
                    let to = match source.side {
                        Side::Left => i * EDGE + pair,
                        Side::Right => pair * EDGE + i,
                    };
                    out.0[to] = at(2 * pair) | at(2 * pair + 1) << 16;
                }
            }
        }
    }
}

/// # Safety
/// See [`Simd`].
#[inline(always)]
unsafe fn neighbours<S: Simd>(source: &Source<'_>, panels: Range<usize>, out: &mut [Tile]) {
    // SAFETY: the caller's contract.
    unsafe { vector::<S, Neighbours>(source, panels, out) }
}

/// # Safety
/// See [`Simd`], and what the pairing asks for.
#[inline(always)]
pub(super) unsafe fn vector<S: Simd, P: Pairing>(
    source: &Source<'_>,
    panels: Range<usize>,
    out: &mut [Tile],
) {
    let steps = source.k.div_ceil(DEPTH);
    let first = panels.start;
    // SAFETY: the caller's contract.
    unsafe {
        if source.from.col_stride == 1 {
            for panel in panels {
                for step in 0..steps {
                    tile::<S, P>(
                        source,
                        panel,
                        step,
                        &mut out[(panel - first) * steps + step],
                    );
                }
            }
        } else {
            // Rows of memory are read along, 32 at a time.
            for step in 0..steps {
                for panel in panels.clone() {
                    tile::<S, P>(
                        source,
                        panel,
                        step,
                        &mut out[(panel - first) * steps + step],
                    );
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, P: Pairing>(
    source: &Source<'_>,
    panel: usize,
    step: usize,
    out: &mut Tile,
) {
    let (row, col) = (source.from.row_stride, source.from.col_stride);
    let data = &source.from.data[panel * EDGE * row + step * DEPTH * col..];
    let outer = (source.outer - panel * EDGE).min(EDGE);
    let k = (source.k - step * DEPTH).min(DEPTH);
    let is_whole = outer == EDGE && k == DEPTH;
    // SAFETY: the caller's contract.
    unsafe {
        if col == 1 {
            if is_whole {
                P::along(data, row, out);
            } else {
                let mut edge = [0.0f32; EDGE * DEPTH];
                for i in 0..outer {
                    edge[i * DEPTH..][..k].copy_from_slice(&data[i * row..][..k]);
                }
                P::along(&edge, DEPTH, out);
            }
            if source.side == Side::Right {
                S::transpose(out.0.as_mut_ptr());
            }
        } else {
            if is_whole {
                P::across(data, col, out);
            } else {
                let mut edge = [0.0f32; EDGE * DEPTH];
                for p in 0..k {
                    edge[p * EDGE..][..outer].copy_from_slice(&data[p * col..][..outer]);
                }
                P::across(&edge, EDGE, out);
            }
            if source.side == Side::Left {
                S::transpose(out.0.as_mut_ptr());
            }
        }
    }
}

impl Pairing for Neighbours {
    #[inline(always)]
    unsafe fn along(data: &[f32], stride: usize, out: &mut Tile) {
        for (i, out) in out.0.as_chunks_mut::<EDGE>().0.iter_mut().enumerate() {
            let row = &data[i * stride..][..DEPTH];
            let mut halves = [0u16; DEPTH];
            for (half, x) in halves.iter_mut().zip(row) {
                *half = round(*x) as u16;
            }
            for (out, pair) in out.iter_mut().zip(halves.as_chunks::<2>().0) {
                *out = u32::from(pair[0]) | u32::from(pair[1]) << 16;
            }
        }
    }

    #[inline(always)]
    unsafe fn across(data: &[f32], stride: usize, out: &mut Tile) {
        for (pair, out) in out.0.as_chunks_mut::<EDGE>().0.iter_mut().enumerate() {
            let even = &data[2 * pair * stride..][..EDGE];
            let odd = &data[(2 * pair + 1) * stride..][..EDGE];
            for ((out, even), odd) in out.iter_mut().zip(even).zip(odd) {
                *out = round(*even) | round(*odd) << 16;
            }
        }
    }
}
