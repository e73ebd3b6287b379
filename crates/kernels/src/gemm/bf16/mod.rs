//! Products of f32 matrices whose elements are rounded to bf16, for training (numerics profile
//! `terang-train-bf16-1`).
//!
//! An element of `C = A B` is this chain, which is what AMX tiles compute (`TDPBF16PS`, Intel 64 and IA-32
//! Architectures Software Developer's Manual, volume 2):
//! - Elements of `A` and `B` are rounded to nearest, ties to even; magnitudes below 2^-55 become zero.
//! - For 32 of `k`: fused multiply-adds over the 16 even ones, from zero and in ascending order, the same
//!   over the odd ones; then `sum += even + odd`. What is missing at the end of `k` counts as zeros.
//! - For [`K_BLOCK`] of `k`: `sum` begins with zero, and at the end `C += sum`.
//!
//! Neither tiles nor threads nor the instruction set can change a bit. Tiles take subnormal numbers for
//! zero, which is never seen: a bf16 number of at least 2^-55 is a multiple of 2^-62, so each product and
//! each sum of them, rounded or not, is a multiple of 2^-124, and the least of those is above the smallest
//! normal number, 2^-126. Nor is a `sum` ever -0: it begins with +0, and numbers that cancel give +0.

#[cfg(target_arch = "x86_64")]
mod amx;
mod pack;
#[cfg(target_arch = "x86_64")]
mod pairs;
#[cfg(test)]
mod tests;
mod tile;

use super::{Size, Start, View, is_done};
use crate::cpu::{Cpu, dispatch};
use crate::pool::{SharedMut, ThreadPool};

/// Steps of `k` whose sum begins with zero. Two panels of either side then take 64 KiB, of which one pair
/// stays in the first-level cache.
pub const K_BLOCK: usize = 512;
/// Rows and columns of a tile of `C`.
const EDGE: usize = 16;
/// Steps of `k` of a tile.
const DEPTH: usize = 32;
/// Tiles of a block of `k`.
const STEPS: usize = K_BLOCK / DEPTH;
/// Rows of `A` that one task takes at most, so that they stay in the second-level cache.
const M_BLOCK: usize = 512;

/// 16 rows of `A` or 16 columns of `B` at 32 of `k`. An element is a pair of numbers in some [`Order`]. On
/// the left `[row][pair]`, on the right `[pair][column]`.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Tile([u32; EDGE * EDGE]);

/// Which side of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Side {
    #[default]
    Left,
    Right,
}

/// Which numbers make a pair, written (lower half, upper half).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    /// (0, 1), (2, 3) and on to (30, 31): a link of the even chain and one of the odd.
    #[default]
    Neighbours,
    /// (2, 0), (6, 4) to (30, 28), then (3, 1), (7, 5) to (31, 29): two links of a chain, the earlier one in
    /// the upper half.
    #[cfg(target_arch = "x86_64")]
    Chains,
}

impl Order {
    fn of(cpu: Cpu) -> Self {
        #[cfg(target_arch = "x86_64")]
        if pairs::available(cpu) {
            return Self::Chains;
        }
        let _ = cpu;
        Self::Neighbours
    }
}

/// A matrix that was rounded and laid out in tiles, for any number of products. Its memory is kept from one
/// matrix to the next.
#[derive(Debug, Default)]
pub struct Packed {
    /// For each 16 rows or columns, the tiles along `k`; there may be more from a matrix before.
    tiles: Vec<Tile>,
    side: Side,
    order: Order,
    /// Rows of `A`, or columns of `B`.
    outer: usize,
    k: usize,
}

impl Packed {
    /// Without memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Packs `A`, `m` x `k`.
    ///
    /// # Panics
    /// If it does not fit into its slice.
    pub fn left(&mut self, cpu: Cpu, pool: &ThreadPool, a: View<'_>, m: usize, k: usize) {
        self.pack(cpu, pool, a, Side::Left, m, k);
    }

    /// Packs `B`, `k` x `n`.
    ///
    /// # Panics
    /// If it does not fit into its slice.
    pub fn right(&mut self, cpu: Cpu, pool: &ThreadPool, b: View<'_>, k: usize, n: usize) {
        self.pack(cpu, pool, b.transposed(), Side::Right, n, k);
    }

    fn pack(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        from: View<'_>,
        side: Side,
        outer: usize,
        k: usize,
    ) {
        (self.side, self.outer, self.k) = (side, outer, k);
        self.order = Order::of(cpu);
        let len = outer.div_ceil(EDGE) * k.div_ceil(DEPTH);
        // Never shorter: what is new has to be cleared.
        if len > self.tiles.len() {
            self.tiles.resize(len, Tile([0; EDGE * EDGE]));
        }
        if len > 0 {
            from.assert_holds(outer, k, "a side of a product");
            pack::pack(cpu, pool, from, side, outer, k, &mut self.tiles[..len]);
        }
    }
}

/// Memory for both sides of a product, kept from one product to the next.
#[derive(Debug, Default)]
pub struct Workspace {
    a: Packed,
    b: Packed,
}

impl Workspace {
    /// Without memory yet.
    pub fn new() -> Self {
        Self::default()
    }
}

/// As [`super::gemm`], of numbers that are rounded to bf16.
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
    let Workspace { a: left, b: right } = workspace;
    left.left(cpu, pool, a, size.m, size.k);
    right.right(cpu, pool, b, size.k, size.n);
    multiply(cpu, pool, left, right, c, c_stride, start);
}

/// The product of packed matrices, the rows of `C` `c_stride` elements apart.
///
/// # Panics
/// If the sides do not fit each other, or `C` its slice.
pub fn multiply(
    cpu: Cpu,
    pool: &ThreadPool,
    a: &Packed,
    b: &Packed,
    c: &mut [f32],
    c_stride: usize,
    start: Start,
) {
    assert!(
        a.side == Side::Left && b.side == Side::Right && a.k == b.k,
        "sides of a product do not fit"
    );
    assert!(
        a.order == Order::of(cpu) && b.order == a.order,
        "packed for another level"
    );
    let (m, n, k) = (a.outer, b.outer, a.k);
    if is_done(Size { m, n, k }, c, c_stride, start) {
        return;
    }
    let steps = k.div_ceil(DEPTH);
    // As many parts for each thread, and more than one, should a thread be slower.
    let threads = pool.threads();
    let parts = m.div_ceil(M_BLOCK).max(2 * threads);
    let rows = m
        .div_ceil(parts.next_multiple_of(threads))
        .next_multiple_of(2 * EDGE);
    let c = SharedMut::new(c);
    pool.for_chunks(m.div_ceil(rows), 1, |_, parts| {
        for part in parts {
            let (first, last) = (part * rows, ((part + 1) * rows).min(m));
            // SAFETY: the rows of one part are no other's.
            let c = unsafe { c.slice(first * c_stride..(last - 1) * c_stride + n) };
            let block = Block {
                a: &a.tiles[first / EDGE * steps..last.div_ceil(EDGE) * steps],
                b: &b.tiles,
                steps,
                m: last - first,
                n,
                c_stride,
                start,
            };
            block.run(cpu, c);
        }
    });
}

/// Some rows of a product.
#[derive(Clone, Copy)]
struct Block<'a> {
    a: &'a [Tile],
    b: &'a [Tile],
    /// Tiles along `k`.
    steps: usize,
    m: usize,
    n: usize,
    c_stride: usize,
    start: Start,
}

impl Block<'_> {
    fn run(&self, cpu: Cpu, c: &mut [f32]) {
        assert!(
            self.a.len() >= self.m.div_ceil(EDGE) * self.steps
                && self.b.len() >= self.n.div_ceil(EDGE) * self.steps
                && c.len() >= (self.m - 1) * self.c_stride + self.n,
            "a block ends before its rows"
        );
        #[cfg(target_arch = "x86_64")]
        if cpu.has_tiles() {
            // SAFETY: the level has tiles and AVX-512; what is read and written lies within the slices.
            unsafe { amx::block(self, c) };
            return;
        } else if pairs::available(cpu) {
            // SAFETY: asked just before; what is read and written lies within the slices, and `multiply` has
            // seen to the order.
            unsafe { pairs::block(self, c) };
            return;
        }
        let (block, scalar) = (self, tile::scalar);
        dispatch!(cpu, scalar, vector, (block: &Block<'_>, c: &mut [f32]));
    }
}

use tile::vector;

/// The bits of 2^-55.
const SMALLEST: u32 = (127 - 55) << 23;

/// The bf16 number nearest to `x`, in the lower half. NaN stays one.
#[inline(always)]
const fn round(x: f32) -> u32 {
    const INFINITE: u32 = 0x7f80_0000;
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let nearest = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16;
    if magnitude < SMALLEST {
        0
    } else if magnitude > INFINITE {
        bits >> 16 | 0x40
    } else {
        nearest
    }
}

/// The two numbers of an element.
#[inline(always)]
const fn halves(pair: u32) -> [f32; 2] {
    [
        f32::from_bits(pair << 16),
        f32::from_bits(pair & 0xffff_0000),
    ]
}
