//! Activations as the left side of a product: as they are for float weights, as int8 blocks for
//! quantized ones.

use crate::DType;
use crate::buffer::AlignedVec;
use crate::cpu::{Cpu, multiversion};
use crate::math::ROUND;
use crate::pool::{SharedMut, ThreadPool};

/// Rows of activations, in the forms that the weights of one product need.
#[derive(Debug, Default)]
pub struct Activations {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) float: Vec<f32>,
    pub(super) q32: Quantized,
    pub(super) q256: Quantized,
    has: [bool; 3],
}

/// Activations as int8 blocks.
#[derive(Debug, Default)]
pub(super) struct Quantized {
    /// `[rows, cols]`, within ±127.
    pub(super) codes: Vec<i8>,
    /// `[rows, blocks]`: value of one step.
    pub(super) scales: Vec<f32>,
    /// Blocks of 32 only: `[rows, blocks]`, scale times the sum of the block's codes.
    pub(super) scaled_sums: Vec<f32>,
    /// `[rows, cols / 32]` sums of 32 codes, or `[rows, cols / 16]` sums of 16 for blocks of 256.
    pub(super) sums: Vec<i32>,
    /// Blocks of 256 only: sums of 16 codes, four by four in the order 0, 2, 1, 3.
    pub(super) pairs16: Vec<i16>,
    /// Blocks of 256 only: sums of 32 codes, four by four in the order 0, 2, 1, 3.
    pub(super) pairs32: Vec<i16>,
    /// On machines with tiles: `codes` as `[rows / TILE_ROWS, cols / width, TILE_ROWS, width]`, the width
    /// being 32 for blocks of 32 and 64 for blocks of 256.
    pub(super) tile_codes: AlignedVec<i8>,
    /// Of blocks of 32, on machines with tiles: `scales` as `[rows / TILE_ROWS, blocks, TILE_ROWS]`.
    pub(super) tile_scales: AlignedVec<f32>,
    /// As `tile_scales`, of `scaled_sums`.
    pub(super) tile_scaled_sums: AlignedVec<f32>,
}

/// Rows of a tile of activations.
pub(super) const TILE_ROWS: usize = 16;
/// Rows of blocks of 32, and of 256, from which on tiles are faster than vectors: a group is laid out anew
/// for each product, and tiles that were at rest take microseconds to be at full speed.
const TILES_FROM: [usize; 2] = [64, 32];

/// Whether products of so many rows, with weights in blocks of so many, go by tiles.
pub(super) fn by_tiles(cpu: Cpu, rows: usize, block: usize) -> bool {
    cpu.has_tiles() && block > 1 && rows >= TILES_FROM[usize::from(block == 256)]
}

/// A form of the left side of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Float,
    Blocks32,
    Blocks256,
}

impl Form {
    pub(super) fn of(dtype: DType) -> Self {
        match dtype.block_len() {
            1 => Self::Float,
            32 => Self::Blocks32,
            _ => Self::Blocks256,
        }
    }
}

impl Activations {
    /// Takes `x`, `[rows, cols]`, in the forms that weights of these types need.
    pub fn set(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        x: &[f32],
        rows: usize,
        cols: usize,
        weights: impl IntoIterator<Item = DType>,
    ) {
        assert_eq!(
            x.len(),
            rows * cols,
            "activations do not have the stated shape"
        );
        (self.rows, self.cols) = (rows, cols);
        self.has = [false; 3];
        for dtype in weights {
            let form = Form::of(dtype);
            if std::mem::replace(&mut self.has[form as usize], true) {
                continue;
            }
            match form {
                Form::Float => {
                    self.float.clear();
                    self.float.extend_from_slice(x);
                }
                Form::Blocks32 => self.q32.quantize(cpu, pool, x, rows, cols, 32),
                Form::Blocks256 => self.q256.quantize(cpu, pool, x, rows, cols, 256),
            }
        }
    }

    /// Rows held.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn has(&self, form: Form) -> bool {
        self.has[form as usize]
    }
}

impl Quantized {
    fn quantize(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        x: &[f32],
        rows: usize,
        cols: usize,
        block: usize,
    ) {
        assert_eq!(cols % block, 0, "columns are not a multiple of the block");
        let (n_blocks, n16) = (cols / block, if block == 256 { cols / 16 } else { 0 });
        let n_sums = if block == 256 { n16 } else { n_blocks };
        // `resize` keeps what is there: every element is written below.
        let tiled = by_tiles(cpu, rows, block);
        let tile_rows = if tiled {
            rows.next_multiple_of(TILE_ROWS)
        } else {
            0
        };
        let n_tiled = if block == 32 { tile_rows * n_blocks } else { 0 };
        self.tile_scales.resize(n_tiled);
        self.tile_scaled_sums.resize(n_tiled);
        self.tile_codes.resize(tile_rows * cols);
        self.codes.resize(rows * cols, 0);
        self.scales.resize(rows * n_blocks, 0.0);
        self.scaled_sums.resize(rows * n_blocks, 0.0);
        self.sums.resize(rows * n_sums, 0);
        self.pairs16.resize(rows * n16, 0);
        self.pairs32.resize(rows * n16 / 2, 0);
        let codes = SharedMut::new(&mut self.codes);
        let scales = SharedMut::new(&mut self.scales);
        let scaled_sums = SharedMut::new(&mut self.scaled_sums);
        let sums = SharedMut::new(&mut self.sums);
        let pairs16 = SharedMut::new(&mut self.pairs16);
        let pairs32 = SharedMut::new(&mut self.pairs32);
        // Waking threads costs more than quantizing a few thousand elements.
        let chunk = (8192 / cols).max(1).max(rows / (pool.threads() * 4));
        // Tiles are not shared between threads.
        let unit = if tiled { TILE_ROWS } else { 1 };
        let tile_scales = SharedMut::new(&mut self.tile_scales);
        let tile_scaled_sums = SharedMut::new(&mut self.tile_scaled_sums);
        let tile_codes = SharedMut::new(&mut self.tile_codes);
        pool.for_chunks(rows.div_ceil(unit), chunk.div_ceil(unit), |_, units| {
            let range = units.start * unit..(units.end * unit).min(rows);
            let part = |per_row: usize| range.start * per_row..range.end * per_row;
            // SAFETY: row ranges of one call never overlap.
            let (codes, scales, scaled_sums, sums, pairs16, pairs32) = unsafe {
                (
                    codes.slice(part(cols)),
                    scales.slice(part(n_blocks)),
                    scaled_sums.slice(part(n_blocks)),
                    sums.slice(part(n_sums)),
                    pairs16.slice(part(n16)),
                    pairs32.slice(part(n16 / 2)),
                )
            };
            let x = &x[part(cols)];
            if block == 32 {
                quantize32(cpu, x, codes, scales, scaled_sums, sums);
            } else {
                quantize256(cpu, x, codes, scales, sums);
                for (four, out) in sums.chunks_exact(4).zip(pairs16.chunks_exact_mut(4)) {
                    out.copy_from_slice(&[0, 2, 1, 3].map(|i| four[i] as i16));
                }
                for (eight, out) in sums.chunks_exact(8).zip(pairs32.chunks_exact_mut(4)) {
                    let sum = |i: usize| (eight[2 * i] + eight[2 * i + 1]) as i16;
                    out.copy_from_slice(&[sum(0), sum(2), sum(1), sum(3)]);
                }
            }
            if tiled {
                let end = range.end.next_multiple_of(TILE_ROWS);
                let tiles = |per_row: usize| range.start * per_row..end * per_row;
                // SAFETY: ranges are of whole tiles, so they never overlap.
                unsafe {
                    if block == 32 {
                        to_tiles::<32, _>(codes, cols, tile_codes.slice(tiles(cols)));
                        to_tiles::<1, _>(scales, n_blocks, tile_scales.slice(tiles(n_blocks)));
                        let to = tile_scaled_sums.slice(tiles(n_blocks));
                        to_tiles::<1, _>(scaled_sums, n_blocks, to);
                    } else {
                        to_tiles::<64, _>(codes, cols, tile_codes.slice(tiles(cols)));
                    }
                }
            }
        });
    }
}

/// From `[rows, cols]` to `[rows / TILE_ROWS, cols / WIDTH, TILE_ROWS, WIDTH]`.
fn to_tiles<const WIDTH: usize, T: Copy>(from: &[T], cols: usize, to: &mut [T]) {
    let tiles = to.chunks_exact_mut(TILE_ROWS * cols);
    for (rows, tile) in from.chunks(TILE_ROWS * cols).zip(tiles) {
        let tile = tile.as_chunks_mut::<WIDTH>().0;
        for (row, from) in rows.chunks_exact(cols).enumerate() {
            let to = tile[row..].iter_mut().step_by(TILE_ROWS);
            for (part, to) in from.as_chunks::<WIDTH>().0.iter().zip(to) {
                *to = *part;
            }
        }
    }
}

fn quantize32(
    cpu: Cpu,
    x: &[f32],
    codes: &mut [i8],
    scales: &mut [f32],
    scaled_sums: &mut [f32],
    sums: &mut [i32],
) {
    multiversion!(cpu, quantize32_plain, (
        x: &[f32], codes: &mut [i8], scales: &mut [f32], scaled_sums: &mut [f32], sums: &mut [i32],
    ));
}

#[inline(always)]
fn quantize32_plain(
    x: &[f32],
    codes: &mut [i8],
    scales: &mut [f32],
    scaled_sums: &mut [f32],
    sums: &mut [i32],
) {
    let blocks = x.chunks_exact(32).zip(codes.chunks_exact_mut(32));
    let outs = scales.iter_mut().zip(scaled_sums).zip(sums);
    for ((x, codes), ((scale, scaled_sum), sum)) in blocks.zip(outs) {
        let (step, inverse) = step(largest_magnitude(x));
        *scale = step;
        *sum = round_block(x, codes, inverse);
        *scaled_sum = step * *sum as f32;
    }
}

fn quantize256(cpu: Cpu, x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    multiversion!(cpu, quantize256_plain, (
        x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32],
    ));
}

#[inline(always)]
fn quantize256_plain(x: &[f32], codes: &mut [i8], scales: &mut [f32], sums: &mut [i32]) {
    let blocks = x.chunks_exact(256).zip(codes.chunks_exact_mut(256));
    for ((x, codes), (scale, sums)) in blocks.zip(scales.iter_mut().zip(sums.chunks_exact_mut(16)))
    {
        let (step, inverse) = step(largest_magnitude(x));
        *scale = step;
        let parts = x.chunks_exact(16).zip(codes.chunks_exact_mut(16));
        for ((x, codes), sum) in parts.zip(sums) {
            *sum = round_block(x, codes, inverse);
        }
    }
}

/// The bits of the largest absolute value. Bits of non-negative floats order like the floats, with
/// infinities and NaN on top, so an integer maximum needs no rule for NaN.
#[inline(always)]
pub(crate) fn largest_magnitude(x: &[f32]) -> u32 {
    let mut lanes = [0u32; 16];
    for sixteen in x.chunks(16) {
        for (lane, x) in lanes.iter_mut().zip(sixteen) {
            *lane = (x.to_bits() & 0x7fff_ffff).max(*lane);
        }
    }
    lanes.into_iter().fold(0, u32::max)
}

/// Value of one step and its inverse. A block that holds a NaN or an infinity gets a NaN scale and
/// zero codes, so that it shows in the output and never in undefined conversions.
#[inline(always)]
pub(crate) fn step(magnitude_bits: u32) -> (f32, f32) {
    let magnitude = f32::from_bits(magnitude_bits);
    if !magnitude.is_finite() {
        (f32::NAN, 0.0)
    } else if magnitude < 1e-35 {
        (0.0, 0.0)
    } else {
        (magnitude / 127.0, 127.0 / magnitude)
    }
}

/// Rounds to codes and returns their sum.
#[inline(always)]
pub(crate) fn round_block(x: &[f32], codes: &mut [i8], inverse: f32) -> i32 {
    let mut sum = 0;
    for (x, code) in x.iter().zip(codes) {
        // With a zero inverse the element may be anything; its code must be 0.
        let scaled = if inverse == 0.0 { 0.0 } else { x * inverse };
        let rounded = ((scaled + ROUND).to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
        *code = rounded as i8;
        sum += rounded;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_quantizes_alike() {
        let x: Vec<f32> = (0..512)
            .map(|i| libm::sinf(i as f32 * 0.7) * i as f32)
            .collect();
        let mut hostile = x.clone();
        hostile[3] = f32::NAN;
        hostile[300] = f32::INFINITY;
        hostile[40..72].fill(1e-40);
        let pool = ThreadPool::new(1);
        for x in [x, hostile] {
            let mut expected = Activations::default();
            expected.set(Cpu::SCALAR, &pool, &x, 2, 256, [DType::Q8_0, DType::Q4_K]);
            for cpu in Cpu::available() {
                let mut found = Activations::default();
                found.set(cpu, &pool, &x, 2, 256, [DType::Q8_0, DType::Q4_K]);
                for (a, b) in [(&expected.q32, &found.q32), (&expected.q256, &found.q256)] {
                    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    assert_eq!(a.codes, b.codes);
                    assert_eq!(bits(&a.scales), bits(&b.scales));
                    assert_eq!(bits(&a.scaled_sums), bits(&b.scaled_sums));
                    assert_eq!(a.sums, b.sums);
                    assert_eq!((&a.pairs16, &a.pairs32), (&b.pairs16, &b.pairs32));
                    assert!(a.codes.iter().all(|&code| code >= -127));
                }
            }
        }
    }
}
