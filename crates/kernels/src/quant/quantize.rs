//! Quantizers by plain rounding, for tests and for small conversions; the same bits as the
//! reference package's.

use super::block32::LEN;
use super::f32_to_f16;

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

fn whole_blocks(row: &[f32]) -> &[[f32; LEN]] {
    let (blocks, rest) = row.as_chunks();
    assert!(rest.is_empty(), "row of {} elements", row.len());
    blocks
}

fn inverse_or_zero(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}
