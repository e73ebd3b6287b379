//! Block formats of the quantized storage types and their exact dequantization.
//!
//! [`block32`] and [`super_block`] describe how each block lies in a file; [`dequantize_row`] is the
//! definition of the values that it stands for, equal bit for bit to the reference Python package
//! `gguf` (`tests/reference/quant_fixtures.py`; where the result is NaN, only that it is NaN).

pub mod block32;
mod float;
mod quantize;
pub mod super_block;

pub use float::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
pub use quantize::{quantize_row_q4_0, quantize_row_q4_1, quantize_row_q4_k, quantize_row_q8_0};

use crate::DType;

/// Writes the values of a row of `out.len()` elements stored as `dtype`.
///
/// # Panics
/// When `row` is not exactly [`DType::row_bytes`]`(out.len())` long: callers check what comes from
/// a file.
pub fn dequantize_row(dtype: DType, row: &[u8], out: &mut [f32]) {
    assert_eq!(
        dtype.row_bytes(out.len()),
        Some(row.len()),
        "row of {} {dtype} elements",
        out.len()
    );
    match dtype {
        DType::F32 => blocks(row, out, |bytes, out| *out = [f32::from_le_bytes(*bytes)]),
        DType::F16 => blocks(row, out, |bytes, out| {
            *out = [f16_to_f32(u16::from_le_bytes(*bytes))];
        }),
        DType::BF16 => blocks(row, out, |bytes, out| {
            *out = [bf16_to_f32(u16::from_le_bytes(*bytes))];
        }),
        DType::Q4_0 => blocks(row, out, |b, out| block32::Q4_0::new(b).dequantize(out)),
        DType::Q4_1 => blocks(row, out, |b, out| block32::Q4_1::new(b).dequantize(out)),
        DType::Q5_0 => blocks(row, out, |b, out| block32::Q5_0::new(b).dequantize(out)),
        DType::Q5_1 => blocks(row, out, |b, out| block32::Q5_1::new(b).dequantize(out)),
        DType::Q8_0 => blocks(row, out, |b, out| block32::Q8_0::new(b).dequantize(out)),
        DType::IQ4_NL => blocks(row, out, |b, out| block32::IQ4_NL::new(b).dequantize(out)),
        DType::MXFP4 => blocks(row, out, |b, out| block32::MXFP4::new(b).dequantize(out)),
        DType::Q2_K => blocks(row, out, |b, out| super_block::Q2_K::new(b).dequantize(out)),
        DType::Q3_K => blocks(row, out, |b, out| super_block::Q3_K::new(b).dequantize(out)),
        DType::Q4_K => blocks(row, out, |b, out| super_block::Q4_K::new(b).dequantize(out)),
        DType::Q5_K => blocks(row, out, |b, out| super_block::Q5_K::new(b).dequantize(out)),
        DType::Q6_K => blocks(row, out, |b, out| super_block::Q6_K::new(b).dequantize(out)),
    }
}

/// Calls `each` with every block of `BYTES` bytes and the `LEN` elements that it stands for.
fn blocks<const BYTES: usize, const LEN: usize>(
    row: &[u8],
    out: &mut [f32],
    each: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    let (row, row_rest) = row.as_chunks();
    let (out, out_rest) = out.as_chunks_mut();
    assert!(row_rest.is_empty() && out_rest.is_empty() && row.len() == out.len());
    for (bytes, out) in row.iter().zip(out) {
        each(bytes, out);
    }
}

/// The first `N` bytes, which the caller's type promises are there.
#[inline]
fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> &'a [u8; N] {
    let Some((head, rest)) = bytes.split_first_chunk() else {
        unreachable!("a block's fields are as long as the block");
    };
    *bytes = rest;
    head
}

#[cfg(test)]
mod tests;
