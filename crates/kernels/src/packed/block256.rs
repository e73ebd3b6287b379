//! Groups of the K-quants, 256 elements in a super-block: `[scales][sub-scales][sub-minimums][high bits]
//! [codes]`, with 16 rows in each part, so that kernels read a block front to back; of `Q6_K` each half
//! has its own high bits. Code bytes keep the order of the file format.

use super::{GROUP, lane_byte, lane_f16, pack_f16, pack_words};
use crate::dtype::DType;
use crate::simd::Simd;
use std::cmp::Ordering;

/// Elements in a super-block.
pub(crate) const BLOCK: usize = 256;

const F16S: usize = 2 * GROUP;
const VECTOR: usize = 4 * GROUP;

/// How the vector kernels read one format.
#[allow(
    clippy::missing_safety_doc,
    reason = "pointers are to a whole group block; see `Simd`"
)]
pub(crate) trait Format {
    /// Bytes of a group block.
    const BYTES: usize;
    /// Elements that share a sub-scale: 16 or 32.
    const SUB: usize;
    /// Sub-blocks have minimums.
    const MIN: bool = false;
    /// Sub-scales are signed.
    const SIGNED_SCALES: bool = false;
    /// The element's value is `scale * sub_scale * (code + BIAS)`.
    const BIAS: i32 = 0;

    /// Sub-scales `4 v` to `4 v + 3` of each row.
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B;
    /// Sub-minimums `4 v` to `4 v + 3` of each row.
    unsafe fn sub_mins<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: only called where MIN is set, and those formats define their own.
        unsafe { Self::sub_scales::<S>(block, v) }
    }
    /// Codes of elements `32 j` to `32 j + 31`, 4 consecutive ones of each row, 8 times. `CONST`: `j` is
    /// a constant.
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8];
}

macro_rules! each8 {
    ($i:ident => $e:expr) => {
        [
            { const $i: usize = 0; $e },
            { const $i: usize = 1; $e },
            { const $i: usize = 2; $e },
            { const $i: usize = 3; $e },
            { const $i: usize = 4; $e },
            { const $i: usize = 5; $e },
            { const $i: usize = 6; $e },
            { const $i: usize = 7; $e },
        ]
    };
}

/// The `bits` bits from bit `from` on of each byte of 8 consecutive vectors, moved to bit `to`: a shift
/// and a mask where `from` is a constant, and no branch where it is not.
#[inline(always)]
unsafe fn field<S: Simd, const CONST: bool>(
    p: *const u8,
    from: usize,
    bits: u32,
    to: u32,
) -> [S::B; 8] {
    // SAFETY: the caller gives a pointer to 8 vectors.
    unsafe { each8!(I => moved::<S, CONST>(S::b_load(p.add(I * VECTOR)), from as u32, bits, to)) }
}

/// A function and no closure: a closure that is not inlined lacks the caller's instructions.
#[inline(always)]
unsafe fn moved<S: Simd, const CONST: bool>(v: S::B, from: u32, bits: u32, to: u32) -> S::B {
    let ones = (1 << bits) - 1;
    // Shifts are of 16-bit pairs; the mask takes out what crossed from the other byte.
    // SAFETY: the caller's contract.
    unsafe {
        match (CONST, from.cmp(&to)) {
            (false, _) => S::b_shl(S::b_and(S::b_shr(v, from), S::b_splat(ones)), to),
            (_, Ordering::Less) => S::b_and(S::b_shl(v, to - from), S::b_splat(ones << to)),
            (_, Ordering::Equal) => S::b_and(v, S::b_splat(ones << to)),
            (_, Ordering::Greater) => S::b_and(S::b_shr(v, from - to), S::b_splat(ones << to)),
        }
    }
}

#[inline(always)]
unsafe fn or8<S: Simd>(a: [S::B; 8], b: [S::B; 8]) -> [S::B; 8] {
    // SAFETY: the caller's contract.
    unsafe { each8!(I => S::b_or(a[I], b[I])) }
}

pub(crate) struct Q2K;
impl Format for Q2K {
    const BYTES: usize = 2 * F16S + 4 * VECTOR + 16 * VECTOR;
    const SUB: usize = 16;
    const MIN: bool = true;
    #[inline(always)]
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: offsets are within the group block; so below.
        unsafe { S::b_and(S::b_load(block.add(2 * F16S + v * VECTOR)), S::b_splat(15)) }
    }
    #[inline(always)]
    unsafe fn sub_mins<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: as above.
        unsafe {
            S::b_and(
                S::b_shr(S::b_load(block.add(2 * F16S + v * VECTOR)), 4),
                S::b_splat(15),
            )
        }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8] {
        // SAFETY: as above.
        unsafe {
            let p = block.add(2 * F16S + (4 + j / 4 * 8) * VECTOR);
            field::<S, CONST>(p, 2 * (j % 4), 2, 0)
        }
    }
}

pub(crate) struct Q3K;
impl Format for Q3K {
    const BYTES: usize = F16S + 4 * VECTOR + 16 * VECTOR + 8 * VECTOR;
    const SUB: usize = 16;
    const SIGNED_SCALES: bool = true;
    const BIAS: i32 = -4;
    #[inline(always)]
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: offsets are within the group block; so below.
        unsafe { S::b_load(block.add(F16S + v * VECTOR)) }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8] {
        // SAFETY: as above.
        unsafe {
            let p = block.add(F16S + 4 * VECTOR);
            let low = p.add((8 + j / 4 * 8) * VECTOR);
            let low = field::<S, CONST>(low, 2 * (j % 4), 2, 0);
            or8::<S>(low, field::<S, CONST>(p, j, 1, 2))
        }
    }
}

pub(crate) struct Q4K;
impl Format for Q4K {
    const BYTES: usize = 2 * F16S + 4 * VECTOR + 32 * VECTOR;
    const SUB: usize = 32;
    const MIN: bool = true;
    #[inline(always)]
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: offsets are within the group block; so below.
        unsafe { S::b_load(block.add(2 * F16S + v * VECTOR)) }
    }
    #[inline(always)]
    unsafe fn sub_mins<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: as above.
        unsafe { S::b_load(block.add(2 * F16S + (2 + v) * VECTOR)) }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8] {
        // SAFETY: as above.
        unsafe {
            let p = block.add(2 * F16S + (4 + j / 2 * 8) * VECTOR);
            field::<S, CONST>(p, 4 * (j % 2), 4, 0)
        }
    }
}

pub(crate) struct Q5K;
impl Format for Q5K {
    const BYTES: usize = Q4K::BYTES + 8 * VECTOR;
    const SUB: usize = 32;
    const MIN: bool = true;
    #[inline(always)]
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: the block opens like that of Q4_K.
        unsafe { Q4K::sub_scales::<S>(block, v) }
    }
    #[inline(always)]
    unsafe fn sub_mins<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: as above.
        unsafe { Q4K::sub_mins::<S>(block, v) }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8] {
        // SAFETY: as above; the fifth bits stand before the nibbles.
        unsafe {
            let p = block.add(2 * F16S + 4 * VECTOR);
            let high = field::<S, CONST>(p, j, 1, 4);
            or8::<S>(Q4K::codes::<S, CONST>(block.add(8 * VECTOR), j), high)
        }
    }
}

pub(crate) struct Q6K;
impl Format for Q6K {
    const BYTES: usize = F16S + 4 * VECTOR + 32 * VECTOR + 16 * VECTOR;
    const SUB: usize = 16;
    const SIGNED_SCALES: bool = true;
    const BIAS: i32 = -32;
    #[inline(always)]
    unsafe fn sub_scales<S: Simd>(block: *const u8, v: usize) -> S::B {
        // SAFETY: offsets are within the group block; so below.
        unsafe { S::b_load(block.add(F16S + v * VECTOR)) }
    }
    #[inline(always)]
    unsafe fn codes<S: Simd, const CONST: bool>(block: *const u8, j: usize) -> [S::B; 8] {
        // SAFETY: as above.
        unsafe {
            let (half, t) = (j / 4, j % 4);
            let p = block.add(F16S + (4 + half * 24) * VECTOR);
            let low = p.add((8 + t % 2 * 8) * VECTOR);
            let low = field::<S, CONST>(low, 4 * (t / 2), 4, 0);
            or8::<S>(low, field::<S, CONST>(p, 2 * t, 2, 4))
        }
    }
}

/// Copies one super-block from its file layout into lane `row`; false if a scale is not finite.
#[inline(always)]
pub(super) fn pack(dtype: DType, src: &[u8], dst: &mut [u8], row: usize) -> bool {
    match dtype {
        // File: 16 scale bytes, 64 code bytes, d, dmin.
        DType::Q2_K => {
            pack_words(&src[..16], &mut dst[2 * F16S..], row);
            pack_words(&src[16..80], &mut dst[2 * F16S + 4 * VECTOR..], row);
            pack_f16(&src[80..], dst, row) & pack_f16(&src[82..], &mut dst[F16S..], row)
        }
        // File: 32 bytes of high bits (set: not less 4), 64 code bytes, 12 scale bytes, d.
        DType::Q3_K => {
            pack_words(
                &q3_scales(&src[96..108]).map(|s| s as u8),
                &mut dst[F16S..],
                row,
            );
            pack_words(&src[..96], &mut dst[F16S + 4 * VECTOR..], row);
            pack_f16(&src[108..], dst, row)
        }
        // File: d, dmin, 12 bytes of scales and minimums, (Q5_K: 32 bytes of high bits), 128 code
        // bytes.
        DType::Q4_K | DType::Q5_K => {
            let (scales, mins) = q4_scales(&src[4..16]);
            pack_words(&scales, &mut dst[2 * F16S..], row);
            pack_words(&mins, &mut dst[2 * F16S + 2 * VECTOR..], row);
            pack_words(&src[16..], &mut dst[2 * F16S + 4 * VECTOR..], row);
            pack_f16(src, dst, row) & pack_f16(&src[2..], &mut dst[F16S..], row)
        }
        // File: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 signed scales, d.
        DType::Q6_K => {
            pack_words(&src[192..208], &mut dst[F16S..], row);
            for half in 0..2 {
                let dst = &mut dst[F16S + (4 + half * 24) * VECTOR..];
                pack_words(&src[128 + half * 32..][..32], dst, row);
                pack_words(&src[half * 64..][..64], &mut dst[8 * VECTOR..], row);
            }
            pack_f16(&src[208..], dst, row)
        }
        other => unreachable!("{other} has no blocks of 256"),
    }
}

/// The 16 six-bit scales of `Q3_K`, less 32.
fn q3_scales(src: &[u8]) -> [i8; 16] {
    std::array::from_fn(|j| {
        let low = if j < 8 { src[j] & 15 } else { src[j - 8] >> 4 };
        let high = (src[8 + j % 4] >> (2 * (j / 4))) & 3;
        (low | (high << 4)) as i8 - 32
    })
}

/// The 8 six-bit scales and 8 six-bit minimums of `Q4_K` and `Q5_K`.
fn q4_scales(src: &[u8]) -> ([u8; 8], [u8; 8]) {
    let mut scales = [0; 8];
    let mut mins = [0; 8];
    for j in 0..4 {
        scales[j] = src[j] & 63;
        mins[j] = src[j + 4] & 63;
        scales[j + 4] = (src[j + 8] & 15) | ((src[j] >> 6) << 4);
        mins[j + 4] = (src[j + 8] >> 4) | ((src[j + 4] >> 6) << 4);
    }
    (scales, mins)
}

/// One row's super-block, as the scalar kernels see it: element `i` is
/// `scale * sub_scales[i / 16] * codes[i] - min * sub_mins[i / 16]`.
pub(crate) struct Block {
    pub(crate) scale: f32,
    pub(crate) min: f32,
    pub(crate) sub_scales: [i32; 16],
    pub(crate) sub_mins: [i32; 16],
    pub(crate) codes: [i32; BLOCK],
}

/// Reads lane `row` of a group block.
pub(crate) fn unpack(dtype: DType, block: &[u8], row: usize) -> Block {
    let byte = |at: usize, i: usize| lane_byte(&block[at..], row, i);
    let mut out = Block {
        scale: lane_f16(block, row),
        min: 0.0,
        sub_scales: [0; 16],
        sub_mins: [0; 16],
        codes: [0; BLOCK],
    };
    for s in 0..16 {
        (out.sub_scales[s], out.sub_mins[s]) = match dtype {
            DType::Q2_K => {
                let both = byte(2 * F16S, s);
                ((both & 15).into(), (both >> 4).into())
            }
            DType::Q4_K | DType::Q5_K => (
                byte(2 * F16S, s / 2).into(),
                byte(2 * F16S + 2 * VECTOR, s / 2).into(),
            ),
            _ => ((byte(F16S, s) as i8).into(), 0),
        };
    }
    if matches!(dtype, DType::Q2_K | DType::Q4_K | DType::Q5_K) {
        out.min = lane_f16(&block[F16S..], row);
    }
    for (i, code) in out.codes.iter_mut().enumerate() {
        // j: block of 32 elements; l: element in it; 4 such blocks make a half.
        let (j, l, half) = (i / 32, i % 32, i / 128);
        let t = j % 4;
        let nibble = |at: usize| byte(at, 32 * (j / 2) + l) >> (4 * (j % 2)) & 15;
        *code = match dtype {
            DType::Q2_K => (byte(2 * F16S + 4 * VECTOR, 32 * half + l) >> (2 * t) & 3).into(),
            DType::Q3_K => {
                let low = byte(F16S + 12 * VECTOR, 32 * half + l) >> (2 * t) & 3;
                let high = byte(F16S + 4 * VECTOR, l) >> j & 1;
                i32::from(low | (high << 2)) - 4
            }
            DType::Q4_K => nibble(2 * F16S + 4 * VECTOR).into(),
            DType::Q5_K => {
                let high = byte(2 * F16S + 4 * VECTOR, l) >> j & 1;
                (nibble(2 * F16S + 12 * VECTOR) | (high << 4)).into()
            }
            DType::Q6_K => {
                let at = F16S + (4 + half * 24) * VECTOR;
                let low = byte(at + 8 * VECTOR, 32 * (t % 2) + l) >> (4 * (t / 2)) & 15;
                let high = byte(at, l) >> (2 * t) & 3;
                i32::from(low | (high << 4)) - 32
            }
            other => unreachable!("{other} has no blocks of 256"),
        };
    }
    out
}
