//! NEON, the baseline of aarch64: a vector is four registers.
#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks,
    clippy::wildcard_imports,
    reason = "each function is a few intrinsics under the contract in `simd`"
)]

use super::{LANES, Simd};
use crate::quant::f32_to_f16;
use std::arch::aarch64::*;

#[derive(Clone, Copy)]
pub(crate) struct Neon;

/// Applies an expression to each of the four registers.
macro_rules! four {
    ($i:ident => $e:expr) => {
        [
            {
                const $i: usize = 0;
                $e
            },
            {
                const $i: usize = 1;
                $e
            },
            {
                const $i: usize = 2;
                $e
            },
            {
                const $i: usize = 3;
                $e
            },
        ]
    };
}

/// Widens half precision exactly, subnormals included, without the half-precision extension: the
/// exponent is rebased by a multiplication.
#[inline(always)]
unsafe fn widen_f16(p: *const u16) -> float32x4_t {
    let h = vmovl_u16(vld1_u16(p));
    let magnitude = vshlq_n_u32::<13>(vandq_u32(h, vdupq_n_u32(0x7fff)));
    let rebase = vreinterpretq_f32_u32(vdupq_n_u32(0x7780_0000)); // 2^112
    let value = vreinterpretq_u32_f32(vmulq_f32(vreinterpretq_f32_u32(magnitude), rebase));
    let not_finite = vcgeq_u32(magnitude, vdupq_n_u32(0x0f80_0000));
    let value = vorrq_u32(value, vandq_u32(not_finite, vdupq_n_u32(0x7f80_0000)));
    let sign = vshlq_n_u32::<16>(vandq_u32(h, vdupq_n_u32(0x8000)));
    vreinterpretq_f32_u32(vorrq_u32(value, sign))
}

/// Adds to each of 4 lanes its four products of signed bytes: sums of two fit 16 bits after the
/// widening multiplication, so nothing saturates.
#[inline(always)]
unsafe fn dot_signed(acc: int32x4_t, w: uint8x16_t, a: uint8x16_t) -> int32x4_t {
    let (w, a) = (vreinterpretq_s8_u8(w), vreinterpretq_s8_u8(a));
    let low = vpaddlq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a)));
    let high = vpaddlq_s16(vmull_high_s8(w, a));
    vaddq_s32(acc, vpaddq_s32(low, high))
}

impl Simd for Neon {
    type F = [float32x4_t; 4];
    type I = [int32x4_t; 4];
    type B = [uint8x16_t; 4];
    const I8_BIAS: i32 = 0;
    const TILE: usize = 4;
    const GEMM_ROWS: usize = 6;
    const GEMM_VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn f_splat(x: f32) -> Self::F {
        [vdupq_n_f32(x); 4]
    }
    #[inline(always)]
    unsafe fn f_load(p: *const f32) -> Self::F {
        four!(I => vld1q_f32(p.add(4 * I)))
    }
    #[inline(always)]
    unsafe fn f_store(p: *mut f32, x: Self::F) {
        four!(I => vst1q_f32(p.add(4 * I), x[I]));
    }
    #[inline(always)]
    unsafe fn f_load_f16(p: *const u16) -> Self::F {
        four!(I => widen_f16(p.add(4 * I)))
    }
    #[inline(always)]
    unsafe fn f_store_f16(p: *mut u16, x: Self::F) {
        let mut lanes = [0.0; LANES];
        Self::f_store(lanes.as_mut_ptr(), x);
        for (i, lane) in lanes.into_iter().enumerate() {
            p.add(i).write(f32_to_f16(lane));
        }
    }
    #[inline(always)]
    unsafe fn f_load_i8(p: *const i8) -> Self::F {
        let bytes = vld1q_s8(p);
        let (low, high) = (vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes));
        [
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))),
            vcvtq_f32_s32(vmovl_high_s16(low)),
            vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))),
            vcvtq_f32_s32(vmovl_high_s16(high)),
        ]
    }
    #[inline(always)]
    unsafe fn f_load_bf16(p: *const u16) -> Self::F {
        four!(I => vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.add(4 * I)))))
    }
    #[inline(always)]
    unsafe fn f_load_e8m0_half(p: *const u8) -> Self::F {
        let bytes = vld1q_u8(p);
        let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
        let exponents = [
            vmovl_u16(vget_low_u16(low)),
            vmovl_high_u16(low),
            vmovl_u16(vget_low_u16(high)),
            vmovl_high_u16(high),
        ];
        four!(I => {
            let e = exponents[I];
            let normal = vshlq_n_u32::<23>(vsubq_u32(e, vdupq_n_u32(1)));
            let tiny = vshlq_u32(vdupq_n_u32(0x0020_0000), vreinterpretq_s32_u32(e));
            vreinterpretq_f32_u32(vbslq_u32(vcltq_u32(e, vdupq_n_u32(2)), tiny, normal))
        })
    }
    #[inline(always)]
    unsafe fn f_load_bf16_pairs(p: *const u32) -> [Self::F; 2] {
        let upper = vdupq_n_u32(0xffff_0000);
        [
            four!(I => vreinterpretq_f32_u32(vshlq_n_u32::<16>(vld1q_u32(p.add(4 * I))))),
            four!(I => vreinterpretq_f32_u32(vandq_u32(vld1q_u32(p.add(4 * I)), upper))),
        ]
    }
    #[inline(always)]
    unsafe fn f_add(a: Self::F, b: Self::F) -> Self::F {
        four!(I => vaddq_f32(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn f_mul(a: Self::F, b: Self::F) -> Self::F {
        four!(I => vmulq_f32(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn f_fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        four!(I => vfmaq_f32(c[I], a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn f_fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        four!(I => vfmsq_f32(c[I], a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn f_larger(a: Self::F, b: Self::F) -> Self::F {
        // `vmaxq_f32` would give NaN where either is.
        four!(I => vbslq_f32(vcgtq_f32(a[I], b[I]), a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn f_tree_sum(x: Self::F) -> f32 {
        let x = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
        let x = vadd_f32(vget_low_f32(x), vget_high_f32(x));
        vget_lane_f32::<0>(x) + vget_lane_f32::<1>(x)
    }
    #[inline(always)]
    unsafe fn f_from_i(x: Self::I) -> Self::F {
        four!(I => vcvtq_f32_s32(x[I]))
    }

    #[inline(always)]
    unsafe fn i_splat(x: i32) -> Self::I {
        [vdupq_n_s32(x); 4]
    }
    #[inline(always)]
    unsafe fn i_add(a: Self::I, b: Self::I) -> Self::I {
        four!(I => vaddq_s32(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn i_mul(a: Self::I, b: Self::I) -> Self::I {
        four!(I => vmulq_s32(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn i_byte_u(x: Self::B, index: i32) -> Self::I {
        let (shift, mask) = (vdupq_n_s32(-8 * index), vdupq_n_u32(0xff));
        four!(I => {
            let shifted = vshlq_u32(vreinterpretq_u32_u8(x[I]), shift);
            vreinterpretq_s32_u32(vandq_u32(shifted, mask))
        })
    }
    #[inline(always)]
    unsafe fn i_byte_s(x: Self::B, index: i32) -> Self::I {
        let shift = vdupq_n_s32(24 - 8 * index);
        four!(I => vshrq_n_s32::<24>(vshlq_s32(vreinterpretq_s32_u8(x[I]), shift)))
    }

    #[inline(always)]
    unsafe fn b_load(p: *const u8) -> Self::B {
        four!(I => vld1q_u8(p.add(16 * I)))
    }
    #[inline(always)]
    unsafe fn b_splat4(p: *const i8) -> Self::B {
        [vreinterpretq_u8_s32(vdupq_n_s32(p.cast::<i32>().read_unaligned())); 4]
    }
    #[inline(always)]
    unsafe fn b_splat(x: u8) -> Self::B {
        [vdupq_n_u8(x); 4]
    }
    #[inline(always)]
    unsafe fn b_and(a: Self::B, b: Self::B) -> Self::B {
        four!(I => vandq_u8(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn b_or(a: Self::B, b: Self::B) -> Self::B {
        four!(I => vorrq_u8(a[I], b[I]))
    }
    #[inline(always)]
    unsafe fn b_shr(a: Self::B, n: u32) -> Self::B {
        let shift = vdupq_n_s16(-(n as i16));
        four!(I => vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(a[I]), shift)))
    }
    #[inline(always)]
    unsafe fn b_shl(a: Self::B, n: u32) -> Self::B {
        let shift = vdupq_n_s16(n as i16);
        four!(I => vreinterpretq_u8_u16(vshlq_u16(vreinterpretq_u16_u8(a[I]), shift)))
    }
    #[inline(always)]
    unsafe fn b_lookup(table: &[i8; 16], index: Self::B) -> Self::B {
        let table = vreinterpretq_u8_s8(vld1q_s8(table.as_ptr()));
        four!(I => vqtbl1q_u8(table, index[I]))
    }

    #[inline(always)]
    unsafe fn dot_u7(acc: Self::I, u: Self::B, a: Self::B) -> Self::I {
        four!(I => dot_signed(acc[I], u[I], a[I]))
    }
    #[inline(always)]
    unsafe fn dot_i8(acc: Self::I, w: Self::B, a: Self::B) -> Self::I {
        four!(I => dot_signed(acc[I], w[I], a[I]))
    }
    #[inline(always)]
    unsafe fn dot_i16(acc: Self::I, x: Self::B, y: Self::B) -> Self::I {
        four!(I => {
            let (x, y) = (vreinterpretq_s16_u8(x[I]), vreinterpretq_s16_u8(y[I]));
            let low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
            vaddq_s32(acc[I], vpaddq_s32(low, vmull_high_s16(x, y)))
        })
    }
}
