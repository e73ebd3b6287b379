//! AVX2 with FMA and F16C: a vector is two registers.
#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks,
    clippy::wildcard_imports,
    reason = "each function is a few intrinsics under the contract in `simd`"
)]

use super::Simd;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx2;

#[inline(always)]
unsafe fn widen_bf16(p: *const u16) -> __m256 {
    let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
}

#[inline(always)]
unsafe fn widen_e8m0_half(p: *const u8) -> __m256 {
    let e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()));
    let normal = _mm256_slli_epi32::<23>(_mm256_sub_epi32(e, _mm256_set1_epi32(1)));
    let tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x0020_0000), e);
    let is_tiny = _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e);
    _mm256_castsi256_ps(_mm256_blendv_epi8(normal, tiny, is_tiny))
}

/// `|w|` times `a` with `w`'s sign: two products of at most 128 * 127 still fit 16 bits.
#[inline(always)]
unsafe fn dot_signed(w: __m256i, a: __m256i) -> __m256i {
    let products = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
    _mm256_madd_epi16(products, _mm256_set1_epi16(1))
}

#[inline(always)]
unsafe fn load2(p: *const u8) -> [__m256i; 2] {
    [
        _mm256_loadu_si256(p.cast()),
        _mm256_loadu_si256(p.add(32).cast()),
    ]
}

impl Simd for Avx2 {
    type F = [__m256; 2];
    type I = [__m256i; 2];
    type B = [__m256i; 2];
    const I8_BIAS: i32 = 0;
    const TILE: usize = 4;
    const GEMM_ROWS: usize = 6;
    const GEMM_VECTORS: usize = 1;

    #[inline(always)]
    unsafe fn f_splat(x: f32) -> Self::F {
        [_mm256_set1_ps(x); 2]
    }
    #[inline(always)]
    unsafe fn f_load(p: *const f32) -> Self::F {
        [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))]
    }
    #[inline(always)]
    unsafe fn f_store(p: *mut f32, x: Self::F) {
        _mm256_storeu_ps(p, x[0]);
        _mm256_storeu_ps(p.add(8), x[1]);
    }
    #[inline(always)]
    unsafe fn f_load_f16(p: *const u16) -> Self::F {
        [
            _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
            _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast())),
        ]
    }
    #[inline(always)]
    unsafe fn f_store_f16(p: *mut u16, x: Self::F) {
        _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x[0]));
        _mm_storeu_si128(
            p.add(8).cast(),
            _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x[1]),
        );
    }
    #[inline(always)]
    unsafe fn f_load_i8(p: *const i8) -> Self::F {
        let eight = |p: *const i8| _mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()));
        [
            _mm256_cvtepi32_ps(eight(p)),
            _mm256_cvtepi32_ps(eight(p.add(8))),
        ]
    }
    #[inline(always)]
    unsafe fn f_load_bf16(p: *const u16) -> Self::F {
        [widen_bf16(p), widen_bf16(p.add(8))]
    }
    #[inline(always)]
    unsafe fn f_load_e8m0_half(p: *const u8) -> Self::F {
        [widen_e8m0_half(p), widen_e8m0_half(p.add(8))]
    }
    #[inline(always)]
    unsafe fn f_load_bf16_pairs(p: *const u32) -> [Self::F; 2] {
        let upper = _mm256_set1_epi32(-0x1_0000);
        let pairs = load2(p.cast());
        let mut out = [Self::f_splat(0.0); 2];
        for i in 0..2 {
            out[0][i] = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pairs[i]));
            out[1][i] = _mm256_castsi256_ps(_mm256_and_si256(pairs[i], upper));
        }
        out
    }
    #[inline(always)]
    unsafe fn f_add(a: Self::F, b: Self::F) -> Self::F {
        [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn f_mul(a: Self::F, b: Self::F) -> Self::F {
        [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn f_fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        [
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1]),
        ]
    }
    #[inline(always)]
    unsafe fn f_fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        [
            _mm256_fnmadd_ps(a[0], b[0], c[0]),
            _mm256_fnmadd_ps(a[1], b[1], c[1]),
        ]
    }
    #[inline(always)]
    unsafe fn f_larger(a: Self::F, b: Self::F) -> Self::F {
        [_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn f_tree_sum(x: Self::F) -> f32 {
        let x = _mm256_add_ps(x[0], x[1]);
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
    #[inline(always)]
    unsafe fn f_from_i(x: Self::I) -> Self::F {
        [_mm256_cvtepi32_ps(x[0]), _mm256_cvtepi32_ps(x[1])]
    }

    #[inline(always)]
    unsafe fn i_splat(x: i32) -> Self::I {
        [_mm256_set1_epi32(x); 2]
    }
    #[inline(always)]
    unsafe fn i_add(a: Self::I, b: Self::I) -> Self::I {
        [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn i_mul(a: Self::I, b: Self::I) -> Self::I {
        [
            _mm256_mullo_epi32(a[0], b[0]),
            _mm256_mullo_epi32(a[1], b[1]),
        ]
    }
    #[inline(always)]
    unsafe fn i_byte_u(x: Self::B, index: i32) -> Self::I {
        let shift = _mm256_set1_epi32(8 * index);
        let mask = _mm256_set1_epi32(0xff);
        [
            _mm256_and_si256(_mm256_srlv_epi32(x[0], shift), mask),
            _mm256_and_si256(_mm256_srlv_epi32(x[1], shift), mask),
        ]
    }
    #[inline(always)]
    unsafe fn i_byte_s(x: Self::B, index: i32) -> Self::I {
        let shift = _mm256_set1_epi32(24 - 8 * index);
        [
            _mm256_srai_epi32::<24>(_mm256_sllv_epi32(x[0], shift)),
            _mm256_srai_epi32::<24>(_mm256_sllv_epi32(x[1], shift)),
        ]
    }

    #[inline(always)]
    unsafe fn b_load(p: *const u8) -> Self::B {
        load2(p)
    }
    #[inline(always)]
    unsafe fn b_splat4(p: *const i8) -> Self::B {
        [_mm256_set1_epi32(p.cast::<i32>().read_unaligned()); 2]
    }
    #[inline(always)]
    unsafe fn b_splat(x: u8) -> Self::B {
        [_mm256_set1_epi8(x as i8); 2]
    }
    #[inline(always)]
    unsafe fn b_and(a: Self::B, b: Self::B) -> Self::B {
        [_mm256_and_si256(a[0], b[0]), _mm256_and_si256(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn b_or(a: Self::B, b: Self::B) -> Self::B {
        [_mm256_or_si256(a[0], b[0]), _mm256_or_si256(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn b_shr(a: Self::B, n: u32) -> Self::B {
        let n = _mm_cvtsi32_si128(n as i32);
        [_mm256_srl_epi16(a[0], n), _mm256_srl_epi16(a[1], n)]
    }
    #[inline(always)]
    unsafe fn b_shl(a: Self::B, n: u32) -> Self::B {
        let n = _mm_cvtsi32_si128(n as i32);
        [_mm256_sll_epi16(a[0], n), _mm256_sll_epi16(a[1], n)]
    }
    #[inline(always)]
    unsafe fn b_lookup(table: &[i8; 16], index: Self::B) -> Self::B {
        let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
        [
            _mm256_shuffle_epi8(table, index[0]),
            _mm256_shuffle_epi8(table, index[1]),
        ]
    }

    #[inline(always)]
    unsafe fn dot_u7(acc: Self::I, u: Self::B, a: Self::B) -> Self::I {
        let ones = _mm256_set1_epi16(1);
        // Two products of at most 127 * 127 fit 16 bits, so the saturating add never saturates.
        let p0 = _mm256_madd_epi16(_mm256_maddubs_epi16(u[0], a[0]), ones);
        let p1 = _mm256_madd_epi16(_mm256_maddubs_epi16(u[1], a[1]), ones);
        [_mm256_add_epi32(acc[0], p0), _mm256_add_epi32(acc[1], p1)]
    }
    #[inline(always)]
    unsafe fn dot_i8(acc: Self::I, w: Self::B, a: Self::B) -> Self::I {
        [
            _mm256_add_epi32(acc[0], dot_signed(w[0], a[0])),
            _mm256_add_epi32(acc[1], dot_signed(w[1], a[1])),
        ]
    }
    #[inline(always)]
    unsafe fn dot_i16(acc: Self::I, x: Self::B, y: Self::B) -> Self::I {
        [
            _mm256_add_epi32(acc[0], _mm256_madd_epi16(x[0], y[0])),
            _mm256_add_epi32(acc[1], _mm256_madd_epi16(x[1], y[1])),
        ]
    }
}
