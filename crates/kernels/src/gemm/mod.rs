//! Products of f32 matrices, for training.
//!
//! Each element of `C = A B` is one chain of fused multiply-adds over `k` in ascending order, starting
//! from zero or from what stands in `C`. So neither tiles nor threads nor the instruction set can change
//! a bit (numerics profile `terang-train-f32-1`), and a product over some of the `k` that goes on from
//! the one before is the product over all of them.
//!
//! The blocks are those of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication",
//! 2008): a panel of `B` stays in the first-level cache while rows of `A` pass it.

pub mod bf16;
mod pack;
mod tile;

use crate::cpu::Cpu;
use crate::pool::{SharedMut, ThreadPool};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Steps of `k` between which a tile of `C` stays in registers: a panel of `B` then fits beside rows of
/// `A` in 32 KiB.
const K_BLOCK: usize = 160;
/// Columns of `B` that are packed at once.
const N_BLOCK: usize = 1536;
/// Rows of `A` that one task takes at most.
const M_BLOCK: usize = 120;

/// A matrix in memory: element `(i, j)` at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    data: &'a [f32],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> View<'a> {
    /// Rows of `row_stride` elements each, of which the first are used.
    pub const fn rows(data: &'a [f32], row_stride: usize) -> Self {
        Self {
            data,
            row_stride,
            col_stride: 1,
        }
    }

    /// The same memory with rows and columns swapped.
    #[must_use]
    pub const fn transposed(self) -> Self {
        Self {
            data: self.data,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
        }
    }

    fn assert_holds(&self, rows: usize, cols: usize, name: &str) {
        let last = (rows - 1) * self.row_stride + (cols - 1) * self.col_stride;
        assert!(
            last < self.data.len(),
            "{name}: {rows} x {cols} does not fit"
        );
    }
}

/// What the numbers of a product are rounded to before they are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// They stay as they are: [`gemm`].
    #[default]
    F32,
    /// bf16, summed in single precision: [`bf16::gemm`].
    Bf16,
}

/// What a product begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From zero: `C = A B`.
    Zero,
    /// From what is there: `C += A B`.
    Add,
}

/// Sizes of a product: `C` is `m` x `n`, the sums are over `k`.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Rows of `A` and of `C`.
    pub m: usize,
    /// Columns of `B` and of `C`.
    pub n: usize,
    /// Columns of `A`, rows of `B`.
    pub k: usize,
}

/// Memory for packed parts of matrices, kept from one product to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    b: Vec<f32>,
    a: Vec<Mutex<Vec<f32>>>,
}

impl Workspace {
    /// Without memory yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// `C = A B` or `C += A B`, the rows of `C` `c_stride` elements apart.
///
/// # Panics
/// If a matrix does not fit into its slice.
#[allow(clippy::too_many_arguments, reason = "a product has that many parts")]
pub fn gemm(
    cpu: Cpu,
    pool: &ThreadPool,
    workspace: &mut Workspace,
    size: Size,
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
    c_stride: usize,
    start: Start,
) {
    let Size { m, n, k } = size;
    if m == 0 || n == 0 {
        return;
    }
    assert!(
        (m - 1) * c_stride + n <= c.len() && n <= c_stride,
        "C does not fit"
    );
    if k == 0 {
        if start == Start::Zero {
            for row in c.chunks_mut(c_stride).take(m) {
                row[..n].fill(0.0);
            }
        }
        return;
    }
    a.assert_holds(m, k, "A");
    b.assert_holds(k, n, "B");
    if workspace.a.len() < pool.threads() {
        workspace.a.resize_with(pool.threads(), Mutex::default);
    }
    let rows = m
        .div_ceil(pool.threads() * 2)
        .next_multiple_of(24)
        .min(M_BLOCK);
    let c = SharedMut::new(c);
    for columns in blocks(n, N_BLOCK) {
        for depth in blocks(k, K_BLOCK) {
            pack::b(cpu, pool, &mut workspace.b, b, &columns, &depth);
            let (packed, scratch) = (&workspace.b, &workspace.a);
            pool.for_chunks(m, rows, |worker, range| {
                let (first, last) = (range.start * c_stride, (range.end - 1) * c_stride);
                // SAFETY: row ranges of one call never overlap, nor do these parts of their rows.
                let c = unsafe { c.slice(first + columns.start..last + columns.end) };
                let mut scratch = scratch[worker]
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                let block = Block {
                    a,
                    rows: range,
                    depth: depth.clone(),
                    b: packed,
                    n: columns.len(),
                    c_stride,
                    from_c: start == Start::Add || depth.start > 0,
                };
                tile::block(cpu, &block, c, &mut scratch);
            });
        }
    }
}

/// A part of a product: some rows, some of the sums' steps, the packed columns.
struct Block<'a> {
    a: View<'a>,
    rows: Range<usize>,
    depth: Range<usize>,
    b: &'a [f32],
    n: usize,
    c_stride: usize,
    from_c: bool,
}

fn blocks(total: usize, block: usize) -> impl Iterator<Item = Range<usize>> {
    (0..total)
        .step_by(block)
        .map(move |start| start..(start + block).min(total))
}

#[cfg(test)]
mod tests;
