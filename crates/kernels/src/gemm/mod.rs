//! Products of f32 matrices, for training.
//!
//! Each element of `C = A B` is one chain of fused multiply-adds over `k` in ascending order, starting
//! from zero or from what stands in `C`. So neither tiles nor threads nor the instruction set can change
//! a bit (numerics profile `terang-train-f32-1`), and a product over some of the `k` that goes on from
//! the one before is the product over all of them.
//!
//! The blocks are those of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication",
//! 2008), but for the panel of `B` being in the second-level cache. Each thread has a part of
//! `C` to itself and lays out for itself what that needs: lines that one thread writes and another reads cost
//! more to hand over than to write twice.

pub mod bf16;
mod pack;
mod right;
mod tile;

pub use right::{Right, multiply};

use crate::buffer::AlignedVec;
use crate::cpu::Cpu;
use crate::pool::{SharedMut, ThreadPool};
use crate::simd::LANES;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// Steps of `k` between which a tile of `C` stays in registers. What is laid out at once of both sides is to
/// fit into a second-level cache of 1 MiB; a panel of `B` streams from there, a tile of `A` stays in the first.
const K_BLOCK: usize = 512;
/// Columns of `B` that are packed at once.
const N_BLOCK: usize = 384;
/// Rows of `A` that are laid out at once.
const M_BLOCK: usize = 48;

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

    /// Whether rows are laid out anew: side by side in memory, each of so many steps would be read from
    /// another line, and those of more than a few do not stay in the first-level cache.
    const fn is_packed(&self, depth: usize) -> bool {
        /// Steps whose lines stay.
        const FEW: usize = 64;
        self.row_stride == 1 && self.col_stride != 1 && depth > FEW
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
    threads: Vec<Mutex<Packed>>,
}

/// A thread's.
#[derive(Debug, Default)]
struct Packed {
    a: AlignedVec<f32>,
    b: AlignedVec<f32>,
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
    if is_done(size, c, c_stride, start) {
        return;
    }
    let Size { m, n, k } = size;
    a.assert_holds(m, k, "A");
    b.assert_holds(k, n, "B");
    if workspace.threads.len() < pool.threads() {
        workspace
            .threads
            .resize_with(pool.threads(), Mutex::default);
    }
    let c = SharedMut::new(c);
    let grid = Grid::new(size, pool.threads(), a.is_packed(k));
    let part = |worker: usize| {
        let (rows, columns) = grid.part(size, worker);
        if rows.is_empty() {
            return;
        }
        let mut packed = workspace.threads[worker]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Packed {
            a: scratch,
            b: packed,
        } = &mut *packed;
        for columns in blocks(columns, N_BLOCK) {
            for depth in blocks(0..k, K_BLOCK) {
                pack::b(cpu, packed, b, &columns, &depth);
                for rows in blocks(rows.clone(), M_BLOCK) {
                    let block = Block {
                        a,
                        rows,
                        depth: depth.clone(),
                        b: Panels {
                            data: packed,
                            depth: depth.len(),
                            columns: columns.len(),
                        },
                        b_start: 0,
                        columns: columns.clone(),
                        c: &c,
                        c_stride,
                        from_c: start == Start::Add || depth.start > 0,
                    };
                    // SAFETY: parts of a grid have no element of `C` in common.
                    unsafe { tile::block(cpu, &block, scratch) };
                }
            }
        }
    };
    if grid.parts() == 1 {
        part(0);
    } else {
        pool.run(&|worker| {
            if worker < grid.parts() {
                part(worker);
            }
        });
    }
}

/// Whether a product is done as soon as it is begun: there is nothing to sum.
///
/// # Panics
/// If `C` does not fit into its slice.
fn is_done(size: Size, c: &mut [f32], c_stride: usize, start: Start) -> bool {
    let Size { m, n, k } = size;
    if m == 0 || n == 0 {
        return true;
    }
    assert!(
        (m - 1) * c_stride + n <= c.len() && n <= c_stride,
        "C does not fit"
    );
    if k == 0 && start == Start::Zero {
        for row in c.chunks_mut(c_stride).take(m) {
            row[..n].fill(0.0);
        }
    }
    k == 0
}

/// How `C` is shared between threads.
struct Grid {
    rows: usize,
    columns: usize,
}

impl Grid {
    /// The grid whose greatest part takes the least time.
    fn new(size: Size, threads: usize, packs_a: bool) -> Self {
        /// Fewer products than are worth waking a thread.
        const SMALL: usize = 1 << 16;
        /// To lay out an element takes about as long as so many products.
        const PACK: usize = 12;
        let Size { m, n, k } = size;
        let threads = if m * n * k < SMALL { 1 } else { threads };
        let cost = |grid: &Self| {
            let (rows, columns) = (grid.rows_a_part(m), grid.columns_a_part(n));
            let packed = columns + if packs_a { rows } else { 0 };
            rows * columns + PACK * packed
        };
        (1..=threads)
            .filter(|rows| threads.is_multiple_of(*rows))
            .map(|rows| Self {
                rows,
                columns: threads / rows,
            })
            .min_by_key(cost)
            .unwrap_or(Self {
                rows: 1,
                columns: 1,
            })
    }

    fn parts(&self) -> usize {
        self.rows * self.columns
    }

    fn rows_a_part(&self, m: usize) -> usize {
        m.div_ceil(self.rows).next_multiple_of(8).min(m)
    }

    fn columns_a_part(&self, n: usize) -> usize {
        n.div_ceil(self.columns).next_multiple_of(LANES).min(n)
    }

    /// Rows and columns of one part; none in the last ones if there are few.
    fn part(&self, size: Size, index: usize) -> (Range<usize>, Range<usize>) {
        let range = |part: usize, len: usize, total: usize| {
            (part * len).min(total)..((part + 1) * len).min(total)
        };
        (
            range(index / self.columns, self.rows_a_part(size.m), size.m),
            range(index % self.columns, self.columns_a_part(size.n), size.n),
        )
    }
}

/// Columns of `B` laid out side by side, panel by panel: `[panel][depth][width]`, the last one only as wide as
/// its columns need in whole vectors.
#[derive(Clone, Copy)]
struct Panels<'a> {
    data: &'a [f32],
    depth: usize,
    columns: usize,
}

/// A part of a product: some rows, some of the sums' steps, the first of the laid out columns.
struct Block<'a> {
    a: View<'a>,
    rows: Range<usize>,
    depth: Range<usize>,
    b: Panels<'a>,
    /// The row of the panels that belongs to the first step.
    b_start: usize,
    columns: Range<usize>,
    c: &'a SharedMut<f32>,
    c_stride: usize,
    from_c: bool,
}

/// Blocks of equal length, at most `block` but for whole vectors.
fn blocks(total: Range<usize>, block: usize) -> impl Iterator<Item = Range<usize>> {
    let (end, count) = (total.end, total.len().div_ceil(block).max(1));
    let block = total.len().div_ceil(count).next_multiple_of(LANES).max(1);
    total
        .step_by(block)
        .map(move |start| start..(start + block).min(end))
}

#[cfg(test)]
mod tests;
