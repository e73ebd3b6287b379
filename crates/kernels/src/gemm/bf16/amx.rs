//! The chain on AMX tiles: four tiles of `C` at once.

use super::{Block, EDGE, STEPS, Start, Tile};
use crate::simd::amx::{Shapes, Tiles, load, product, store, zero};
use std::arch::x86_64::{
    __mmask16, _mm512_add_ps, _mm512_load_ps, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
};

/// Bytes from row to row of a packed tile.
const ROW_BYTES: usize = 64;

/// Sums of up to four tiles: `[tile][row][column]`.
#[repr(C, align(64))]
struct Sums([[[f32; EDGE]; EDGE]; 4]);

/// Where sums go.
#[derive(Clone, Copy)]
struct Target {
    c: *mut f32,
    c_stride: usize,
    /// Rows and columns that exist.
    m: usize,
    n: usize,
    from_c: bool,
}

/// # Safety
/// The machine has tiles and the features below; the block lies within its slices.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(super) unsafe fn block(block: &Block<'_>, c: &mut [f32]) {
    // Sums are added to `C` while the products after the next are under way: what a tile has just stored
    // cannot be read at once.
    let mut sums = [const { Sums([[[0.0; EDGE]; EDGE]; 4]) }; 2];
    let mut waiting: Option<Target> = None;
    let mut turn = 0;
    let c = c.as_mut_ptr();
    // SAFETY: the caller's contract: panels of both sides have `steps` tiles, and rows and columns of `C`
    // that exist are within its slice.
    unsafe {
        let _tiles = Tiles::new(const { &Shapes::new(EDGE, ROW_BYTES) });
        for first in (0..block.steps).step_by(STEPS) {
            let steps = STEPS.min(block.steps - first);
            let from_c = block.start == Start::Add || first > 0;
            for j in (0..block.n).step_by(2 * EDGE) {
                let b = block.b.as_ptr().add(j / EDGE * block.steps + first);
                for i in (0..block.m).step_by(2 * EDGE) {
                    let a = block.a.as_ptr().add(i / EDGE * block.steps + first);
                    let target = Target {
                        c: c.add(i * block.c_stride + j),
                        c_stride: block.c_stride,
                        m: (2 * EDGE).min(block.m - i),
                        n: (2 * EDGE).min(block.n - j),
                        from_c,
                    };
                    match (target.m > EDGE, target.n > EDGE) {
                        (true, true) => products::<2, 2>(a, b, block.steps, steps),
                        (true, false) => products::<2, 1>(a, b, block.steps, steps),
                        (false, true) => products::<1, 2>(a, b, block.steps, steps),
                        (false, false) => products::<1, 1>(a, b, block.steps, steps),
                    }
                    if !from_c && target.m == 2 * EDGE && target.n == 2 * EDGE {
                        let row_bytes = 4 * target.c_stride;
                        let lower = target.c.add(EDGE * target.c_stride);
                        store!("tmm0", target.c, row_bytes);
                        store!("tmm1", target.c.add(EDGE), row_bytes);
                        store!("tmm2", lower, row_bytes);
                        store!("tmm3", lower.add(EDGE), row_bytes);
                        continue;
                    }
                    let to = sums[turn].0.as_mut_ptr().cast::<f32>();
                    store!("tmm0", to, ROW_BYTES);
                    if target.n > EDGE {
                        store!("tmm1", to.add(EDGE * EDGE), ROW_BYTES);
                    }
                    if target.m > EDGE {
                        store!("tmm2", to.add(2 * EDGE * EDGE), ROW_BYTES);
                    }
                    if target.m > EDGE && target.n > EDGE {
                        store!("tmm3", to.add(3 * EDGE * EDGE), ROW_BYTES);
                    }
                    turn = 1 - turn;
                    if let Some(target) = waiting.replace(target) {
                        add(target, &sums[turn]);
                    }
                }
            }
        }
        if let Some(target) = waiting {
            add(target, &sums[1 - turn]);
        }
    }
}

/// Sums `steps` tiles of `MI` panels of `A` and `NI` of `B`, `panel` tiles apart, into the tiles 0 to 3.
///
/// # Safety
/// Tiles are set up; the panels have that many tiles.
#[inline(always)]
unsafe fn products<const MI: usize, const NI: usize>(
    a: *const Tile,
    b: *const Tile,
    panel: usize,
    steps: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        zero!("tmm0");
        zero!("tmm1");
        zero!("tmm2");
        zero!("tmm3");
        for step in 0..steps {
            let (a, b) = (a.add(step), b.add(step));
            load!("tmm6", b, ROW_BYTES);
            load!("tmm4", a, ROW_BYTES);
            product!("tdpbf16ps", "tmm0", "tmm4", "tmm6");
            if NI == 2 {
                load!("tmm7", b.add(panel), ROW_BYTES);
                product!("tdpbf16ps", "tmm1", "tmm4", "tmm7");
            }
            if MI == 2 {
                load!("tmm5", a.add(panel), ROW_BYTES);
                product!("tdpbf16ps", "tmm2", "tmm5", "tmm6");
                if NI == 2 {
                    product!("tdpbf16ps", "tmm3", "tmm5", "tmm7");
                }
            }
        }
    }
}

/// `C += sums`, or `C = sums`.
///
/// # Safety
/// AVX-512; the rows and columns exist.
#[target_feature(enable = "avx512f")]
unsafe fn add(target: Target, sums: &Sums) {
    // SAFETY: the caller's contract; masked elements are not touched.
    unsafe {
        for (index, tile) in sums.0.iter().enumerate() {
            let (row, column) = (index / 2 * EDGE, index % 2 * EDGE);
            if row >= target.m || column >= target.n {
                continue;
            }
            let mask = (u32::MAX >> (32 - EDGE.min(target.n - column))) as __mmask16;
            for (i, sums) in (row..target.m).zip(tile) {
                let c = target.c.add(i * target.c_stride + column);
                let mut sum = _mm512_load_ps(sums.as_ptr());
                if target.from_c {
                    sum = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), sum);
                }
                _mm512_mask_storeu_ps(c, mask, sum);
            }
        }
    }
}
