//! Blocks of 32 elements with one scale: `Q4_0`, `Q4_1`, `Q5_0`, `Q5_1`, `Q8_0`, `IQ4_NL`, `MXFP4`.
//!
//! Each view borrows one block as it lies in a GGUF file (little endian, no padding). Four-bit
//! codes lie sixteen bytes to a block: byte `i` holds element `i` in its low and element `i + 16`
//! in its high half. `codes` always gives them in element order.

use super::{f16_to_f32, take};

/// Elements of a block.
pub const LEN: usize = 32;

/// Values of the sixteen codes of [`IQ4_NL`], in units of the scale.
pub const IQ4_NL_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// Values of the sixteen codes of [`MXFP4`] (E2M1), doubled so that all are whole numbers.
pub const MXFP4_VALUES: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// 18 bytes: `d` f16, 16 bytes of codes. Element: `d * (code - 8)`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q4_0<'a> {
    /// Scale.
    pub d: f32,
    /// Packed codes, 0 to 15.
    pub qs: &'a [u8; 16],
}

impl<'a> Q4_0<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 18]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        nibbles(self.qs)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(code as i8 - 8);
        }
    }
}

/// 20 bytes: `d` f16, `m` f16, 16 bytes of codes. Element: `d * code + m`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q4_1<'a> {
    /// Scale.
    pub d: f32,
    /// Minimum.
    pub m: f32,
    /// Packed codes, 0 to 15.
    pub qs: &'a [u8; 16],
}

impl<'a> Q4_1<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 20]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            m: half(bytes),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        nibbles(self.qs)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(code) + self.m;
        }
    }
}

/// 22 bytes: `d` f16, 4 bytes of fifth bits, 16 bytes of codes. Element: `d * (code - 16)`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q5_0<'a> {
    /// Scale.
    pub d: f32,
    /// Fifth bits: bit `i` belongs to element `i`.
    pub qh: u32,
    /// Packed lower four bits of the codes.
    pub qs: &'a [u8; 16],
}

impl<'a> Q5_0<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 22]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            qh: u32::from_le_bytes(*take(bytes)),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        with_fifth_bits(self.qs, self.qh)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(code as i8 - 16);
        }
    }
}

/// 24 bytes: `d` f16, `m` f16, 4 bytes of fifth bits, 16 bytes of codes. Element:
/// `d * code + m`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q5_1<'a> {
    /// Scale.
    pub d: f32,
    /// Minimum.
    pub m: f32,
    /// Fifth bits: bit `i` belongs to element `i`.
    pub qh: u32,
    /// Packed lower four bits of the codes.
    pub qs: &'a [u8; 16],
}

impl<'a> Q5_1<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 24]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            m: half(bytes),
            qh: u32::from_le_bytes(*take(bytes)),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        with_fifth_bits(self.qs, self.qh)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(code) + self.m;
        }
    }
}

/// 34 bytes: `d` f16, 32 signed bytes. Element: `d * code`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct Q8_0<'a> {
    /// Scale.
    pub d: f32,
    /// Codes, each an `i8`.
    pub qs: &'a [u8; 32],
}

impl<'a> Q8_0<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 34]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [i8; LEN] {
        self.qs.map(|byte| byte as i8)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(code);
        }
    }
}

/// 18 bytes: `d` f16, 16 bytes of codes. Element: `d * IQ4_NL_VALUES[code]`.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "GGUF's own name")]
pub struct IQ4_NL<'a> {
    /// Scale.
    pub d: f32,
    /// Packed codes, 0 to 15.
    pub qs: &'a [u8; 16],
}

impl<'a> IQ4_NL<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 18]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            d: half(bytes),
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        nibbles(self.qs)
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = self.d * f32::from(IQ4_NL_VALUES[usize::from(code)]);
        }
    }
}

/// 17 bytes: exponent, 16 bytes of codes. Element: `d * MXFP4_VALUES[code]` with
/// `d = 2^(e - 128)`, half of the format's scale since the values are doubled. (As in the reference
/// implementation, `e = 255` is a scale like any other, not NaN.)
#[derive(Clone, Copy, Debug)]
pub struct MXFP4<'a> {
    /// Biased exponent of the scale.
    pub e: u8,
    /// Packed codes, 0 to 15.
    pub qs: &'a [u8; 16],
}

impl<'a> MXFP4<'a> {
    /// The view of one block.
    #[inline]
    pub fn new(block: &'a [u8; 17]) -> Self {
        let bytes = &mut block.as_slice();
        Self {
            e: take::<1>(bytes)[0],
            qs: take(bytes),
        }
    }

    /// Codes in element order.
    #[inline]
    pub fn codes(&self) -> [u8; LEN] {
        nibbles(self.qs)
    }

    /// Half of the scale, `2^(e - 128)`; the two smallest are subnormal.
    #[inline]
    pub const fn d(&self) -> f32 {
        f32::from_bits(match self.e {
            0 => 0x0020_0000,
            1 => 0x0040_0000,
            e => (e as u32 - 1) << 23,
        })
    }

    pub(super) fn dequantize(&self, out: &mut [f32; LEN]) {
        let d = self.d();
        for (out, code) in out.iter_mut().zip(self.codes()) {
            *out = d * f32::from(MXFP4_VALUES[usize::from(code)]);
        }
    }
}

fn half(bytes: &mut &[u8]) -> f32 {
    f16_to_f32(u16::from_le_bytes(*take(bytes)))
}

fn nibbles(qs: &[u8; 16]) -> [u8; LEN] {
    std::array::from_fn(|i| {
        if i < 16 {
            qs[i] & 0x0f
        } else {
            qs[i - 16] >> 4
        }
    })
}

fn with_fifth_bits(qs: &[u8; 16], qh: u32) -> [u8; LEN] {
    let mut codes = nibbles(qs);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((qh >> i & 1) as u8) << 4;
    }
    codes
}
