//! Quantizers by plain rounding, for tests and for small conversions; the same bits as the
//! reference package's. That package has none for `Q4_K`, whose blocks are found by search here.

use super::block32::LEN;
use super::{f16_to_f32, f32_to_f16, super_block};

/// `Q8_0` blocks of a row.
///
/// # Panics
/// When the row is no multiple of 32 elements.
pub fn quantize_row_q8_0(row: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.len() / LEN * 34);
    for block in whole_blocks(row) {
        let greatest = block.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let d = greatest / 127.0;
        let inverse = inverse_or_zero(d);
        bytes.extend(f32_to_f16(d).to_le_bytes());
        bytes.extend(block.map(|x| (x * inverse).round() as i8 as u8));
    }
    bytes
}

/// `Q4_0` blocks of a row.
///
/// # Panics
/// When the row is no multiple of 32 elements.
pub fn quantize_row_q4_0(row: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.len() / LEN * 18);
    for block in whole_blocks(row) {
        // The first of the elements with the greatest magnitude, with its sign.
        let greatest = block
            .iter()
            .fold(0.0_f32, |max, &x| if x.abs() > max.abs() { x } else { max });
        let d = greatest / -8.0;
        let inverse = inverse_or_zero(d);
        bytes.extend(f32_to_f16(d).to_le_bytes());
        let code = |x: f32| ((x * inverse + 8.5) as u8).min(15);
        bytes.extend((0..16).map(|i| code(block[i]) | code(block[i + 16]) << 4));
    }
    bytes
}

/// `Q4_1` blocks of a row.
///
/// # Panics
/// When the row is no multiple of 32 elements.
pub fn quantize_row_q4_1(row: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(row.len() / LEN * 20);
    for block in whole_blocks(row) {
        let least = block.iter().copied().fold(f32::INFINITY, f32::min);
        let greatest = block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let d = (greatest - least) / 15.0;
        let inverse = inverse_or_zero(d);
        bytes.extend(f32_to_f16(d).to_le_bytes());
        bytes.extend(f32_to_f16(least).to_le_bytes());
        let code = |x: f32| (((x - least) * inverse + 0.5) as u8).min(15);
        bytes.extend((0..16).map(|i| code(block[i]) | code(block[i + 16]) << 4));
    }
    bytes
}

/// Values of the greatest code around which a sub-block's scale is searched.
const TRIES: std::ops::RangeInclusive<i32> = -5..=10;

/// `Q4_K` blocks of a row: scale and minimum of each sub-block by the least squared error over some
/// roundings, then both in six bits.
///
/// # Panics
/// When the row is no multiple of 256 elements.
pub fn quantize_row_q4_k(row: &[f32]) -> Vec<u8> {
    let (blocks, rest) = row.as_chunks::<{ super_block::LEN }>();
    assert!(rest.is_empty(), "row of {} elements", row.len());
    let mut bytes = Vec::with_capacity(blocks.len() * 144);
    for block in blocks {
        let subs = block.as_chunks::<LEN>().0;
        let fits: [(f32, f32); 8] = std::array::from_fn(|i| affine_fit(&subs[i]));
        let largest = |of: fn(&(f32, f32)) -> f32| fits.iter().map(of).fold(0.0_f32, f32::max);
        let d = f32_to_f16(largest(|fit| fit.0) / 63.0);
        let dmin = f32_to_f16(largest(|fit| fit.1) / 63.0);
        let (by_d, by_dmin) = (
            inverse_or_zero(f16_to_f32(d)),
            inverse_or_zero(f16_to_f32(dmin)),
        );
        let six_bits = |x: f32| (x + 0.5).clamp(0.0, 63.0) as u8;
        let scales = fits.map(|(scale, _)| six_bits(scale * by_d));
        let mins = fits.map(|(_, min)| six_bits(min * by_dmin));
        bytes.extend(d.to_le_bytes());
        bytes.extend(dmin.to_le_bytes());
        let mut packed = [0u8; 12];
        for j in 0..4 {
            packed[j] = scales[j] | scales[j + 4] >> 4 << 6;
            packed[j + 4] = mins[j] | mins[j + 4] >> 4 << 6;
            packed[j + 8] = scales[j + 4] & 0x0f | mins[j + 4] << 4;
        }
        bytes.extend(packed);
        let codes: [[u8; LEN]; 8] = std::array::from_fn(|i| {
            let scale = f16_to_f32(d) * f32::from(scales[i]);
            let min = f16_to_f32(dmin) * f32::from(mins[i]);
            let inverse = inverse_or_zero(scale);
            subs[i].map(|x| ((x + min) * inverse + 0.5).clamp(0.0, 15.0) as u8)
        });
        for pair in codes.as_chunks::<2>().0 {
            bytes.extend((0..LEN).map(|i| pair[0][i] | pair[1][i] << 4));
        }
    }
    bytes
}

/// Scale and minimum, neither below 0, such that `scale * code - min` with codes 0 to 15 is near to `x`.
fn affine_fit(x: &[f32; LEN]) -> (f32, f32) {
    let least = x.iter().copied().fold(0.0_f32, f32::min);
    let greatest = x.iter().copied().fold(least, f32::max);
    let spread = greatest - least;
    if spread <= 0.0 {
        return (0.0, -least);
    }
    let (mut best, mut fit) = (f64::INFINITY, (spread / 15.0, -least));
    for step in TRIES {
        let inverse = (15.0 + 0.1 * step as f32) / spread;
        let codes = x.map(|x| f64::from(((x - least) * inverse + 0.5).clamp(0.0, 15.0) as u8));
        let n = LEN as f64;
        let (sum_c, sum_cc): (f64, f64) = codes
            .iter()
            .fold((0.0, 0.0), |(s, q), c| (s + c, q + c * c));
        let sum_x: f64 = x.iter().map(|x| f64::from(*x)).sum();
        let sum_cx: f64 = codes.iter().zip(x).map(|(c, x)| c * f64::from(*x)).sum();
        let determinant = n * sum_cc - sum_c * sum_c;
        if determinant <= 0.0 {
            continue;
        }
        let mut scale = (n * sum_cx - sum_c * sum_x) / determinant;
        let mut min = (scale * sum_c - sum_x) / n;
        if min < 0.0 {
            (scale, min) = (sum_cx / sum_cc, 0.0);
        }
        let errors = codes
            .iter()
            .zip(x)
            .map(|(c, x)| scale * c - min - f64::from(*x));
        let error: f64 = errors.map(|error| error * error).sum();
        if error < best && scale > 0.0 {
            (best, fit) = (error, (scale as f32, min as f32));
        }
    }
    fit
}

fn whole_blocks(row: &[f32]) -> &[[f32; LEN]] {
    let (blocks, rest) = row.as_chunks();
    assert!(rest.is_empty(), "row of {} elements", row.len());
    blocks
}

fn inverse_or_zero(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
