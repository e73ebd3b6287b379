//! Products by a right side that was laid out before, for one thread.

use super::{Block, K_BLOCK, M_BLOCK, Panels, Size, Start, View, blocks, is_done, pack, tile};
use crate::buffer::AlignedVec;
use crate::cpu::Cpu;
use crate::pool::SharedMut;

/// A right side `B`, laid out once for many products: those of the first of its rows and columns too.
#[derive(Debug, Default)]
pub struct Right {
    data: AlignedVec<f32>,
    k: usize,
    n: usize,
    /// Columns of a panel, which depend on the level.
    width: usize,
}

impl Right {
    /// Becomes the `k` x `n` elements of `b`, for products at the level of `cpu`.
    ///
    /// # Panics
    /// If the matrix does not fit into its slice.
    pub fn set(&mut self, cpu: Cpu, b: View<'_>, k: usize, n: usize) {
        (self.k, self.n, self.width) = (k, n, tile::panel_width(cpu));
        if k > 0 && n > 0 {
            b.assert_holds(k, n, "B");
            pack::b(cpu, &mut self.data, b, &(0..n), &(0..k));
        }
    }
}

/// `C = A B` or `C += A B` as [`gemm`](super::gemm) has it, by the first `k` rows and `n` columns of `b`, which
/// was set at the same level.
///
/// # Panics
/// If a matrix does not fit into its slice, or `b` was set at a level with other panels.
pub fn multiply(
    cpu: Cpu,
    size: Size,
    a: View<'_>,
    b: &Right,
    c: &mut [f32],
    c_stride: usize,
    start: Start,
) {
    if is_done(size, c, c_stride, start) {
        return;
    }
    let Size { m, n, k } = size;
    assert!(k <= b.k && n <= b.n, "B does not fit");
    assert!(
        b.width == tile::panel_width(cpu),
        "packed for another level"
    );
    a.assert_holds(m, k, "A");
    let c = SharedMut::new(c);
    let mut scratch = AlignedVec::default();
    for depth in blocks(0..k, K_BLOCK) {
        for rows in blocks(0..m, M_BLOCK) {
            let block = Block {
                a,
                rows,
                b_start: depth.start,
                depth: depth.clone(),
                b: Panels {
                    data: &b.data,
                    depth: b.k,
                    columns: b.n,
                },
                columns: 0..n,
                c: &c,
                c_stride,
                from_c: start == Start::Add || depth.start > 0,
            };
            // SAFETY: no other thread has `C`.
            unsafe { tile::block(cpu, &block, &mut scratch) };
        }
    }
}
