//! Groups of the formats with 32 elements in a block: `[scales][minimums][fifth bits][codes]`, with
//! 16 rows in each part.

use super::{GROUP, lane_byte, lane_f16, pack_f16, pack_words};
use crate::dtype::DType;
use crate::simd::Simd;

/// Elements in a block.
pub(crate) const BLOCK: usize = 32;

/// Doubled E2M1 values (OCP Microscaling Formats 1.0, section 5.3.3) by code.
pub(crate) const MXFP4_TABLE: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
/// The non-linear 4-bit table of `IQ4_NL`.
pub(crate) const IQ4_NL_TABLE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// How the vector kernels read one format.
#[allow(
    clippy::missing_safety_doc,
    reason = "pointers are to a whole group block; see `Simd`"
)]
pub(crate) trait Format {
    /// Bytes of a group block.
    const BYTES: usize;
    /// Blocks have minimums.
    const MIN: bool = false;
    /// Codes are signed bytes (otherwise unsigned, at most 127).
    const SIGNED: bool = false;
    /// The element's value is `scale * (code + BIAS)`.
    const BIAS: i32 = 0;

    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> S::F {
        // SAFETY: scales open the block.
        unsafe { S::f_load_f16(block.cast()) }
    }
    /// Codes of 4 consecutive elements for each of the 16 rows, 8 times.
    unsafe fn codes<S: Simd>(block: *const u8) -> [S::B; 8];
}

#[inline(always)]
unsafe fn nibbles<S: Simd>(p: *const u8) -> [S::B; 8] {
    // SAFETY: the caller gives a pointer to four vectors of codes.
    unsafe {
        let mask = S::b_splat(0x0f);
        let v = [
            S::b_load(p),
            S::b_load(p.add(64)),
            S::b_load(p.add(128)),
            S::b_load(p.add(192)),
        ];
        [
            S::b_and(v[0], mask),
            S::b_and(v[1], mask),
            S::b_and(v[2], mask),
            S::b_and(v[3], mask),
            S::b_and(S::b_shr(v[0], 4), mask),
            S::b_and(S::b_shr(v[1], 4), mask),
            S::b_and(S::b_shr(v[2], 4), mask),
            S::b_and(S::b_shr(v[3], 4), mask),
        ]
    }
}

#[inline(always)]
unsafe fn five_bits<S: Simd>(high: *const u8, low: *const u8) -> [S::B; 8] {
    // SAFETY: the caller gives pointers to one vector of fifth bits and four of nibbles.
    unsafe {
        let mut codes = nibbles::<S>(low);
        let h = S::b_load(high);
        let bit = S::b_splat(0x10);
        codes[0] = S::b_or(codes[0], S::b_and(S::b_shl(h, 4), bit));
        codes[1] = S::b_or(codes[1], S::b_and(S::b_shl(h, 3), bit));
        codes[2] = S::b_or(codes[2], S::b_and(S::b_shl(h, 2), bit));
        codes[3] = S::b_or(codes[3], S::b_and(S::b_shl(h, 1), bit));
        codes[4] = S::b_or(codes[4], S::b_and(h, bit));
        codes[5] = S::b_or(codes[5], S::b_and(S::b_shr(h, 1), bit));
        codes[6] = S::b_or(codes[6], S::b_and(S::b_shr(h, 2), bit));
        codes[7] = S::b_or(codes[7], S::b_and(S::b_shr(h, 3), bit));
        codes
    }
}

#[inline(always)]
unsafe fn looked_up<S: Simd>(table: &[i8; 16], p: *const u8) -> [S::B; 8] {
    // SAFETY: as for `nibbles`.
    unsafe {
        let c = nibbles::<S>(p);
        [
            S::b_lookup(table, c[0]),
            S::b_lookup(table, c[1]),
            S::b_lookup(table, c[2]),
            S::b_lookup(table, c[3]),
            S::b_lookup(table, c[4]),
            S::b_lookup(table, c[5]),
            S::b_lookup(table, c[6]),
            S::b_lookup(table, c[7]),
        ]
    }
}

const SCALES: usize = 2 * GROUP;
const FIFTH: usize = 4 * GROUP;
const NIBBLES: usize = 16 * GROUP;

macro_rules! format32 {
    ($name:ident, $bytes:expr, [$($const_name:ident: $ty:ty = $value:expr),*], $p:ident => $codes:expr) => {
        pub(crate) struct $name;
        impl Format for $name {
            const BYTES: usize = $bytes;
            $(const $const_name: $ty = $value;)*
            #[inline(always)]
            unsafe fn codes<S: Simd>($p: *const u8) -> [S::B; 8] {
                // SAFETY: offsets are within the group block.
                unsafe { $codes }
            }
        }
    };
}

format32!(Q4_0, SCALES + NIBBLES, [BIAS: i32 = -8], p => nibbles::<S>(p.add(SCALES)));
format32!(Q4_1, 2 * SCALES + NIBBLES, [MIN: bool = true], p => nibbles::<S>(p.add(2 * SCALES)));
format32!(Q5_0, SCALES + FIFTH + NIBBLES, [BIAS: i32 = -16],
    p => five_bits::<S>(p.add(SCALES), p.add(SCALES + FIFTH)));
format32!(Q5_1, 2 * SCALES + FIFTH + NIBBLES, [MIN: bool = true],
    p => five_bits::<S>(p.add(2 * SCALES), p.add(2 * SCALES + FIFTH)));
format32!(Iq4Nl, SCALES + NIBBLES, [SIGNED: bool = true],
    p => looked_up::<S>(&IQ4_NL_TABLE, p.add(SCALES)));
format32!(Q8_0, SCALES + 2 * NIBBLES, [SIGNED: bool = true], p => {
    let q = p.add(SCALES);
    [
        S::b_load(q),
        S::b_load(q.add(64)),
        S::b_load(q.add(128)),
        S::b_load(q.add(192)),
        S::b_load(q.add(256)),
        S::b_load(q.add(320)),
        S::b_load(q.add(384)),
        S::b_load(q.add(448)),
    ]
});

pub(crate) struct Mxfp4;
impl Format for Mxfp4 {
    const BYTES: usize = GROUP + NIBBLES;
    const SIGNED: bool = true;
    #[inline(always)]
    unsafe fn scales<S: Simd>(block: *const u8) -> S::F {
        // SAFETY: 16 exponents open the block.
        unsafe { S::f_load_e8m0_half(block) }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd>(block: *const u8) -> [S::B; 8] {
        // SAFETY: the codes follow the exponents.
        unsafe { looked_up::<S>(&MXFP4_TABLE, block.add(GROUP)) }
    }
}

/// Copies one block from its file layout into lane `row`; false if a scale is not finite.
#[inline(always)]
pub(super) fn pack(dtype: DType, src: &[u8], dst: &mut [u8], row: usize) -> bool {
    match dtype {
        DType::Q4_0 | DType::IQ4_NL | DType::Q8_0 => {
            pack_words(&src[2..], &mut dst[SCALES..], row);
            pack_f16(src, dst, row)
        }
        DType::Q4_1 => {
            pack_words(&src[4..], &mut dst[2 * SCALES..], row);
            pack_f16(src, dst, row) & pack_f16(&src[2..], &mut dst[SCALES..], row)
        }
        DType::Q5_0 => {
            pack_fifth_bits(&src[2..6], &mut dst[SCALES..], row);
            pack_words(&src[6..], &mut dst[SCALES + FIFTH..], row);
            pack_f16(src, dst, row)
        }
        DType::Q5_1 => {
            pack_fifth_bits(&src[4..8], &mut dst[2 * SCALES..], row);
            pack_words(&src[8..], &mut dst[2 * SCALES + FIFTH..], row);
            pack_f16(src, dst, row) & pack_f16(&src[2..], &mut dst[SCALES..], row)
        }
        DType::MXFP4 => {
            dst[row] = src[0];
            pack_words(&src[1..], &mut dst[GROUP..], row);
            // 255 is the format's NaN.
            src[0] != 255
        }
        other => unreachable!("{other} has no blocks of 32"),
    }
}

/// Turns the fifth bits, one of each element in order, into 4 bytes: bit `k` of byte `c` belongs to
/// element `4 k + c`, so that one shift serves 4 consecutive elements.
fn pack_fifth_bits(src: &[u8], dst: &mut [u8], row: usize) {
    let bits = u32::from_le_bytes([src[0], src[1], src[2], src[3]]);
    for c in 0..4 {
        let mut x = (bits >> c) & 0x1111_1111;
        x = (x | (x >> 3)) & 0x0303_0303;
        x = (x | (x >> 6)) & 0x000f_000f;
        x = (x | (x >> 12)) & 0xff;
        dst[4 * row + c] = x as u8;
    }
}

/// One row's block, as the scalar kernels see it: element `i` is `scale * codes[i] + min`.
pub(crate) struct Block {
    pub(crate) scale: f32,
    pub(crate) min: f32,
    pub(crate) codes: [i32; BLOCK],
}

/// Reads lane `row` of a group block.
pub(crate) fn unpack(dtype: DType, block: &[u8], row: usize) -> Block {
    let mut codes = [0; BLOCK];
    let nibble = |at: &[u8], i: usize| {
        let byte = lane_byte(at, row, i % 16);
        i32::from(if i < 16 { byte & 15 } else { byte >> 4 })
    };
    let fifth = |at: &[u8], i: usize| i32::from((at[4 * row + i % 4] >> (i / 4)) & 1) << 4;
    for (i, code) in codes.iter_mut().enumerate() {
        *code = match dtype {
            DType::Q4_0 => nibble(&block[SCALES..], i) - 8,
            DType::Q4_1 => nibble(&block[2 * SCALES..], i),
            DType::Q5_0 => (nibble(&block[SCALES + FIFTH..], i) | fifth(&block[SCALES..], i)) - 16,
            DType::Q5_1 => nibble(&block[2 * SCALES + FIFTH..], i) | fifth(&block[2 * SCALES..], i),
            DType::Q8_0 => i32::from(lane_byte(&block[SCALES..], row, i) as i8),
            DType::IQ4_NL => IQ4_NL_TABLE[nibble(&block[SCALES..], i) as usize].into(),
            DType::MXFP4 => MXFP4_TABLE[nibble(&block[GROUP..], i) as usize].into(),
            other => unreachable!("{other} has no blocks of 32"),
        };
    }
    let (scale, min) = match dtype {
        DType::MXFP4 => (e8m0_half(block[row]), 0.0),
        DType::Q4_1 | DType::Q5_1 => (lane_f16(block, row), lane_f16(&block[SCALES..], row)),
        _ => (lane_f16(block, row), 0.0),
    };
    Block { scale, min, codes }
}

/// `2^(e - 128)`: half the scale that the exponent stands for.
pub(crate) fn e8m0_half(e: u8) -> f32 {
    f32::from_bits(if e < 2 {
        0x0020_0000 << e
    } else {
        (u32::from(e) - 1) << 23
    })
}
