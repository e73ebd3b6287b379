//! The inner part of a product: a tile of `C` in registers.

use super::{Block, Panels, View, pack};
use crate::buffer::AlignedVec;
use crate::cpu::{Cpu, Level, dispatch};
use crate::simd::{LANES, Simd, prefetch};
use std::ops::Range;

/// Columns of a panel of `B`.
pub(super) fn panel_width(cpu: Cpu) -> usize {
    match cpu.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => 3 * LANES,
        _ => LANES,
    }
}

/// Rows of a tile of `C`.
const fn tile_rows(cpu: Cpu) -> usize {
    match cpu.0 {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Amx => 8,
        _ => 6,
    }
}

/// Computes a block of `C`.
///
/// # Safety
/// No other thread has an element of the block at the same time.
pub(super) unsafe fn block(cpu: Cpu, block: &Block<'_>, scratch: &mut AlignedVec<f32>) {
    let (rows, depth) = (block.rows.len(), block.depth.len());
    let a = if block.a.is_packed(depth) {
        let tile = tile_rows(cpu);
        pack::a(cpu, scratch, block.a, &block.rows, &block.depth, tile);
        Rows {
            data: scratch,
            tile,
            tile_stride: tile * depth,
            row_stride: 1,
            col_stride: tile,
        }
    } else {
        let View {
            data,
            row_stride,
            col_stride,
        } = block.a;
        let from = block.rows.start * row_stride + block.depth.start * col_stride;
        Rows {
            data: &data[from..],
            tile: 1,
            tile_stride: row_stride,
            row_stride,
            col_stride,
        }
    };
    let last = a.at(rows - 1) + (depth - 1) * a.col_stride;
    assert!(last < a.data.len(), "A ends before its block");
    dispatch!(cpu, scalar, vector, (block: &Block<'_>, a: Rows<'_>));
}

impl Block<'_> {
    /// The rows of `B` for the panel that begins with that column, and their length.
    fn panel(&self, start: usize, width: usize) -> (&[f32], usize) {
        let Panels {
            data,
            depth,
            columns,
        } = self.b;
        let padded = width.min(columns - start).next_multiple_of(LANES);
        let panel = &data[start * depth..][..padded * depth];
        let steps = self.b_start..self.b_start + self.depth.len();
        (&panel[steps.start * padded..steps.end * padded], padded)
    }

    /// Where row `i` is in `C`.
    fn row(&self, i: usize) -> Range<usize> {
        let at = (self.rows.start + i) * self.c_stride;
        at + self.columns.start..at + self.columns.end
    }
}

/// The rows of a block, from its first element, `tile` by `tile`.
#[derive(Clone, Copy)]
struct Rows<'a> {
    data: &'a [f32],
    tile: usize,
    tile_stride: usize,
    row_stride: usize,
    col_stride: usize,
}

impl Rows<'_> {
    /// Where a row begins.
    #[inline(always)]
    const fn at(&self, row: usize) -> usize {
        row / self.tile * self.tile_stride + row % self.tile * self.row_stride
    }
}

/// The definition.
fn scalar(block: &Block<'_>, a: Rows<'_>) {
    for i in 0..block.rows.len() {
        // SAFETY: the contract of `block`.
        let c = unsafe { block.c.slice(block.row(i)) };
        if !block.from_c {
            c.fill(0.0);
        }
        for (panel, c) in c.chunks_mut(LANES).enumerate() {
            let (b, b_stride) = block.panel(panel * LANES, LANES);
            for (p, b) in b.chunks_exact(b_stride).enumerate() {
                let a = a.data[a.at(i) + p * a.col_stride];
                for (c, b) in c.iter_mut().zip(b) {
                    *c = a.mul_add(*b, *c);
                }
            }
        }
    }
}

/// # Safety
/// See [`Simd`], and [`block`]; the rows of `A` lie within their slice.
#[inline(always)]
unsafe fn vector<S: Simd>(block: &Block<'_>, a: Rows<'_>) {
    let width = S::GEMM_VECTORS * LANES;
    let (columns, last) = (block.columns.len(), block.row(block.rows.len() - 1));
    let c = block.c.pointer(block.row(0).start..last.end);
    for start in (0..columns).step_by(width) {
        let n = width.min(columns - start);
        let b = block.panel(start, width);
        // SAFETY: `pointer` has asserted that all rows lie within `C`, and the panel has whole vectors, no
        // fewer than `n` takes.
        unsafe {
            let c = c.add(start);
            match n.div_ceil(LANES) {
                1 => rows::<S, 1>(block, a, b, c, n),
                2 => rows::<S, 2>(block, a, b, c, n),
                _ => rows::<S, 3>(block, a, b, c, n),
            }
        }
    }
}

#[inline(always)]
unsafe fn rows<S: Simd, const NV: usize>(
    block: &Block<'_>,
    a: Rows<'_>,
    b: (&[f32], usize),
    c: *mut f32,
    n: usize,
) {
    let m = block.rows.len();
    let mut i = 0;
    // SAFETY: the caller's contract; tiles stay within the rows.
    unsafe {
        while m - i >= 8 && S::GEMM_ROWS == 8 {
            tile::<S, 8, NV>(block, a, i, b, c, n);
            i += 8;
        }
        while m - i >= 6 && S::GEMM_ROWS == 6 {
            tile::<S, 6, NV>(block, a, i, b, c, n);
            i += 6;
        }
        while m - i >= 4 {
            tile::<S, 4, NV>(block, a, i, b, c, n);
            i += 4;
        }
        while m > i {
            tile::<S, 1, NV>(block, a, i, b, c, n);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(
    block: &Block<'_>,
    a: Rows<'_>,
    first: usize,
    b: (&[f32], usize),
    c: *mut f32,
    n: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let c = c.add(first * block.c_stride);
        let next = if first + MR < block.rows.len() {
            c.wrapping_add(MR * block.c_stride)
        } else {
            c.wrapping_add(NV * LANES)
        };
        ask_for::<MR, NV>(next, block.c_stride);
        if n == NV * LANES {
            accumulate::<S, MR, NV>(block, a, first, b, c, block.c_stride);
            return;
        }
        // The last columns are fewer than a vector's: the tile is computed beside.
        let mut edge = [0.0f32; 8 * 3 * LANES];
        let width = NV * LANES;
        if block.from_c {
            for i in 0..MR {
                c.add(i * block.c_stride)
                    .copy_to_nonoverlapping(edge.as_mut_ptr().add(i * width), n);
            }
        }
        accumulate::<S, MR, NV>(block, a, first, b, edge.as_mut_ptr(), width);
        for i in 0..MR {
            edge.as_ptr()
                .add(i * width)
                .copy_to_nonoverlapping(c.add(i * block.c_stride), n);
        }
    }
}

/// Asks for a tile of `C` while the one before is computed: it comes from memory, and all of it at once.
#[inline(always)]
fn ask_for<const MR: usize, const NV: usize>(c: *const f32, c_stride: usize) {
    for i in 0..MR {
        let row = c.wrapping_add(i * c_stride);
        for v in 0..NV {
            prefetch(row.wrapping_add(v * LANES).cast());
        }
        // A row need not start with a line.
        prefetch(row.wrapping_add(NV * LANES - 1).cast());
    }
}

#[inline(always)]
unsafe fn accumulate<S: Simd, const MR: usize, const NV: usize>(
    block: &Block<'_>,
    a: Rows<'_>,
    first: usize,
    (b, b_stride): (&[f32], usize),
    c: *mut f32,
    c_stride: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [[S::f_splat(0.0); NV]; MR];
        if block.from_c {
            for i in 0..MR {
                for v in 0..NV {
                    acc[i][v] = S::f_load(c.add(i * c_stride + v * LANES));
                }
            }
        }
        let a_first = a.data.as_ptr().add(a.at(first));
        if a.col_stride == 1 {
            sum::<S, MR, NV>(
                block.depth.len(),
                a_first,
                a.row_stride,
                1,
                b.as_ptr(),
                b_stride,
                &mut acc,
            );
        } else {
            sum::<S, MR, NV>(
                block.depth.len(),
                a_first,
                1,
                a.col_stride,
                b.as_ptr(),
                b_stride,
                &mut acc,
            );
        }
        for i in 0..MR {
            for v in 0..NV {
                S::f_store(c.add(i * c_stride + v * LANES), acc[i][v]);
            }
        }
    }
}

/// Steps of `k` that are written out: what a loop itself costs, beside twelve multiply-adds, is a tenth.
const UNROLL: usize = 4;

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "two sides and how they lie")]
unsafe fn sum<S: Simd, const MR: usize, const NV: usize>(
    depth: usize,
    mut a: *const f32,
    row_stride: usize,
    col_stride: usize,
    mut b: *const f32,
    b_stride: usize,
    acc: &mut [[S::F; NV]; MR],
) {
    // SAFETY: the caller's contract.
    unsafe {
        for _ in 0..depth / UNROLL {
            for _ in 0..UNROLL {
                step::<S, MR, NV>(a, row_stride, b, acc);
                (a, b) = (a.add(col_stride), b.add(b_stride));
            }
        }
        for _ in 0..depth % UNROLL {
            step::<S, MR, NV>(a, row_stride, b, acc);
            (a, b) = (a.add(col_stride), b.add(b_stride));
        }
    }
}

/// One step of `k`.
#[inline(always)]
unsafe fn step<S: Simd, const MR: usize, const NV: usize>(
    a: *const f32,
    row_stride: usize,
    b: *const f32,
    acc: &mut [[S::F; NV]; MR],
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut vectors = [S::f_splat(0.0); NV];
        for v in 0..NV {
            vectors[v] = S::f_load(b.add(v * LANES));
        }
        for i in 0..MR {
            let x = S::f_splat(*a.add(i * row_stride));
            for v in 0..NV {
                acc[i][v] = S::f_fma(x, vectors[v], acc[i][v]);
            }
        }
    }
}
