//! Super-blocks of 256 elements whose sub-blocks have integer scales: `Q2_K` to `Q6_K`.
//!
//! Each view borrows one block as it lies in a GGUF file (little endian, no padding). `codes` gives
//! the codes in element order and `scales` (with `mins`) one integer a sub-block, whatever the
//! packing; element `i` belongs to sub-block `i / (256 / sub-blocks)`. The order of the floating-
//! point operations is part of the format: scale times integer scale first, then times the code,
//! then minus the minimum, each rounded.

use super::{f16_to_f32, take};

/// Elements of a super-block.
pub const LEN: usize = 256;

/// 84 bytes: 16 bytes with a 4-bit scale (low half) and minimum each, 64 bytes of 2-bit codes, `d`
/// f16, `dmin` f16. Element: `d * scale * code - dmin * min`, 16 elements a sub-block.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q2_K<'a> {
    /// Packed scales and minimums.
    pub scales: &'a [u8; 16],
    /// Packed codes: byte `i` of each 32 holds elements `i`, `i + 32`, `i + 64`, `i + 96`.
    pub qs: &'a [u8; 64],
    /// Scale of the scales.
    pub d: f32,
    /// Scale of the minimums.
    pub dmin: f32,
}

impl<'a> Q2_K<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 84]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            scales: take(bytes),
            qs: take(bytes),
            d: half(bytes),
            dmin: half(bytes),
        }
    }

    /// Codes 0 to 3 in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        two_bit_codes(self.qs)
    }

    /// Scales 0 to 15 of the 16 sub-blocks.
    #[inline]
    pub fn scales(&self) -> [u8; 16] {
        self.scales.map(|byte| byte & 0x0f)
    }

    /// Minimums 0 to 15 of the 16 sub-blocks.
    #[inline]
    pub fn mins(&self) -> [u8; 16] {
        self.scales.map(|byte| byte >> 4)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let (codes, scales, mins) = (self.codes(), self.scales(), self.mins());
        for (i, out) in out.iter_mut().enumerate() {
            let scale = self.d * f32::from(scales[i / 16]);
            let min = self.dmin * f32::from(mins[i / 16]);
            *out = scale * f32::from(codes[i]) - min;
        }
    }
}

/// 110 bytes: 32 bytes of third bits, 64 bytes of 2-bit codes, 12 bytes of packed 6-bit scales, `d`
/// f16. Element: `d * (scale - 32) * (code - 4)`, 16 elements a sub-block.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q3_K<'a> {
    /// Third bits of the codes: bit `k` of byte `i` belongs to element `i + 32 * k`.
    pub hmask: &'a [u8; 32],
    /// Packed lower two bits of the codes, as in [`Q2_K`].
    pub qs: &'a [u8; 64],
    /// Packed scales: four low bits of scales 0 to 7 (low halves) and 8 to 15 (high halves) in
    /// bytes 0 to 7; two high bits of scale `j + 4 * k` in bits `2 * k` of byte `8 + j`.
    pub scales: &'a [u8; 12],
    /// Scale of the scales.
    pub d: f32,
}

impl<'a> Q3_K<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 110]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            hmask: take(bytes),
            qs: take(bytes),
            scales: take(bytes),
            d: half(bytes),
        }
    }

    /// Codes 0 to 7 in element order, four above their value.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        let mut codes = two_bit_codes(self.qs);
        for (i, code) in codes.iter_mut().enumerate() {
            *code |= (self.hmask[i % 32] >> (i / 32) & 1) << 2;
        }
        codes
    }

    /// Signed scales -32 to 31 of the 16 sub-blocks.
    #[inline]
    pub fn scales(&self) -> [i8; 16] {
        std::array::from_fn(|j| {
            let low = self.scales[j % 8] >> (4 * (j / 8)) & 0x0f;
            let high = self.scales[8 + j % 4] >> (2 * (j / 4)) & 0x03;
            (low | high << 4) as i8 - 32
        })
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let (codes, scales) = (self.codes(), self.scales());
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.d * f32::from(scales[i / 16]) * f32::from(codes[i] as i8 - 4);
        }
    }
}

/// 144 bytes: `d` f16, `dmin` f16, 12 bytes of packed 6-bit scales and minimums, 128 bytes of 4-bit
/// codes. Element: `d * scale * code - dmin * min`, 32 elements a sub-block.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q4_K<'a> {
    /// Scale of the scales.
    pub d: f32,
    /// Scale of the minimums.
    pub dmin: f32,
    /// Packed scales and minimums.
    pub scales: &'a [u8; 12],
    /// Packed codes: byte `i` of each 32 holds elements `i` (low half) and `i + 32`.
    pub qs: &'a [u8; 128],
}

impl<'a> Q4_K<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 144]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            dmin: half(bytes),
            scales: take(bytes),
            qs: take(bytes),
        }
    }

    /// Codes 0 to 15 in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        four_bit_codes(self.qs)
    }

    /// Scales and minimums, 0 to 63, of the 8 sub-blocks.
    #[inline]
    pub fn scales_and_mins(&self) -> ([u8; 8], [u8; 8]) {
        six_bit_pairs(self.scales)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let (scales, mins) = self.scales_and_mins();
        affine(self.d, self.dmin, scales, mins, &self.codes(), out);
    }
}

/// 176 bytes: `d` f16, `dmin` f16, 12 bytes of packed 6-bit scales and minimums, 32 bytes of fifth
/// bits, 128 bytes of 4-bit codes. Element: `d * scale * code - dmin * min`, 32 a sub-block.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q5_K<'a> {
    /// Scale of the scales.
    pub d: f32,
    /// Scale of the minimums.
    pub dmin: f32,
    /// Packed scales and minimums, as in [`Q4_K`].
    pub scales: &'a [u8; 12],
    /// Fifth bits of the codes: bit `k` of byte `i` belongs to element `i + 32 * k`.
    pub qh: &'a [u8; 32],
    /// Packed lower four bits of the codes, as in [`Q4_K`].
    pub qs: &'a [u8; 128],
}

impl<'a> Q5_K<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 176]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            dmin: half(bytes),
            scales: take(bytes),
            qh: take(bytes),
            qs: take(bytes),
        }
    }

    /// Codes 0 to 31 in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        let mut codes = four_bit_codes(self.qs);
        for (i, code) in codes.iter_mut().enumerate() {
            *code |= (self.qh[i % 32] >> (i / 32) & 1) << 4;
        }
        codes
    }

    /// Scales and minimums, 0 to 63, of the 8 sub-blocks.
    #[inline]
    pub fn scales_and_mins(&self) -> ([u8; 8], [u8; 8]) {
        six_bit_pairs(self.scales)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let (scales, mins) = self.scales_and_mins();
        affine(self.d, self.dmin, scales, mins, &self.codes(), out);
    }
}

/// 210 bytes: 128 bytes of 4-bit codes, 64 bytes of their upper two bits, 16 signed scales, `d` f16.
/// Element: `d * scale * (code - 32)`, 16 elements a sub-block.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q6_K<'a> {
    /// Lower four bits of the codes: byte `i` of each 64 holds elements `i` (low half) and `i + 64`.
    pub ql: &'a [u8; 128],
    /// Upper two bits of the codes, packed as in [`Q2_K`].
    pub qh: &'a [u8; 64],
    /// Scales of the sub-blocks, each an `i8`.
    pub scales: &'a [u8; 16],
    /// Scale of the scales.
    pub d: f32,
}

impl<'a> Q6_K<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 210]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            ql: take(bytes),
            qh: take(bytes),
            scales: take(bytes),
            d: half(bytes),
        }
    }

    /// Codes 0 to 63 in element order, 32 above their value.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        let high = two_bit_codes(self.qh);
        std::array::from_fn(|i| {
            let low = self.ql[i / 128 * 64 + i % 64] >> (4 * (i % 128 / 64)) & 0x0f;
            low | high[i] << 4
        })
    }

    /// Signed scales of the 16 sub-blocks.
    #[inline]
    pub fn scales(&self) -> [i8; 16] {
        self.scales.map(|byte| byte as i8)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let (codes, scales) = (self.codes(), self.scales());
        for (i, out) in out.iter_mut().enumerate() {
            *out = self.d * f32::from(scales[i / 16]) * f32::from(codes[i] as i8 - 32);
        }
    }
}

fn half(bytes: &mut &[u8]) -> f32 {
    f16_to_f32(u16::from_le_bytes(*take(bytes)))
}

fn two_bit_codes(qs: &[u8; 64]) -> [u8; LEN] {
    std::array::from_fn(|i| qs[i / 128 * 32 + i % 32] >> (2 * (i % 128 / 32)) & 0x03)
}

fn four_bit_codes(qs: &[u8; 128]) -> [u8; LEN] {
    std::array::from_fn(|i| qs[i / 64 * 32 + i % 32] >> (4 * (i % 64 / 32)) & 0x0f)
}

/// Eight 6-bit scales and eight 6-bit minimums. Bytes 0 to 3 and 4 to 7 hold those of sub-blocks 0
/// to 3 in six bits; their spare upper bits and the halves of bytes 8 to 11 hold the other four.
fn six_bit_pairs(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let scales = std::array::from_fn(|j| match j {
        0..4 => packed[j] & 0x3f,
        _ => packed[j + 4] & 0x0f | packed[j - 4] >> 6 << 4,
    });
    let mins = std::array::from_fn(|j| match j {
        0..4 => packed[j + 4] & 0x3f,
        _ => packed[j + 4] >> 4 | packed[j] >> 6 << 4,
    });
    (scales, mins)
}

fn affine(
    d: f32,
    dmin: f32,
    scales: [u8; 8],
    mins: [u8; 8],
    codes: &[u8; LEN],
    out: &mut [f32; LEN],
) {
    for (i, out) in out.iter_mut().enumerate() {
        let scale = d * f32::from(scales[i / 32]);
        let min = dmin * f32::from(mins[i / 32]);
        *out = scale * f32::from(codes[i]) - min;
    }
}
