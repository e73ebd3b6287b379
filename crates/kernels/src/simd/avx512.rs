//! AVX-512 with VNNI: a vector is one register.
#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::undocumented_unsafe_blocks,
    clippy::wildcard_imports,
    reason = "each function is one or two intrinsics under the contract in `simd`"
)]

use super::Simd;
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;
    const I8_BIAS: i32 = -128;
    const TILE: usize = 8;
    const GEMM_ROWS: usize = 8;
    const GEMM_VECTORS: usize = 3;

    #[inline(always)]
    unsafe fn f_splat(x: f32) -> __m512 {
        _mm512_set1_ps(x)
    }
    #[inline(always)]
    unsafe fn f_load(p: *const f32) -> __m512 {
        _mm512_loadu_ps(p)
    }
    #[inline(always)]
    unsafe fn f_store(p: *mut f32, x: __m512) {
        _mm512_storeu_ps(p, x);
    }
    #[inline(always)]
    unsafe fn f_load_f16(p: *const u16) -> __m512 {
        _mm512_cvtph_ps(_mm256_loadu_si256(p.cast()))
    }
    #[inline(always)]
    unsafe fn f_store_f16(p: *mut u16, x: __m512) {
        _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
    }
    #[inline(always)]
    unsafe fn f_load_i8(p: *const i8) -> __m512 {
        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())))
    }
    #[inline(always)]
    unsafe fn f_load_bf16(p: *const u16) -> __m512 {
        let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()));
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide))
    }
    #[inline(always)]
    unsafe fn f_load_e8m0_half(p: *const u8) -> __m512 {
        let e = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
        let normal = _mm512_slli_epi32::<23>(_mm512_sub_epi32(e, _mm512_set1_epi32(1)));
        let tiny = _mm512_sllv_epi32(_mm512_set1_epi32(0x0020_0000), e);
        let is_tiny = _mm512_cmplt_epu32_mask(e, _mm512_set1_epi32(2));
        _mm512_castsi512_ps(_mm512_mask_mov_epi32(normal, is_tiny, tiny))
    }
    #[inline(always)]
    unsafe fn f_load_bf16_pairs(p: *const u32) -> [__m512; 2] {
        let pairs = _mm512_loadu_si512(p.cast());
        let odd = _mm512_and_si512(pairs, _mm512_set1_epi32(-0x1_0000));
        [
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(pairs)),
            _mm512_castsi512_ps(odd),
        ]
    }
    #[inline(always)]
    unsafe fn f_add(a: __m512, b: __m512) -> __m512 {
        _mm512_add_ps(a, b)
    }
    #[inline(always)]
    unsafe fn f_mul(a: __m512, b: __m512) -> __m512 {
        _mm512_mul_ps(a, b)
    }
    #[inline(always)]
    unsafe fn f_fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn f_fnma(a: __m512, b: __m512, c: __m512) -> __m512 {
        _mm512_fnmadd_ps(a, b, c)
    }
    #[inline(always)]
    unsafe fn f_larger(a: __m512, b: __m512) -> __m512 {
        _mm512_max_ps(a, b)
    }
    #[inline(always)]
    unsafe fn f_tree_sum(x: __m512) -> f32 {
        super::avx2::Avx2::f_tree_sum([_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x)])
    }
    #[inline(always)]
    unsafe fn f_from_i(x: __m512i) -> __m512 {
        _mm512_cvtepi32_ps(x)
    }

    #[inline(always)]
    unsafe fn i_splat(x: i32) -> __m512i {
        _mm512_set1_epi32(x)
    }
    #[inline(always)]
    unsafe fn i_add(a: __m512i, b: __m512i) -> __m512i {
        _mm512_add_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn i_mul(a: __m512i, b: __m512i) -> __m512i {
        _mm512_mullo_epi32(a, b)
    }
    #[inline(always)]
    unsafe fn i_byte_u(x: __m512i, index: i32) -> __m512i {
        let shifted = _mm512_srlv_epi32(x, _mm512_set1_epi32(8 * index));
        _mm512_and_si512(shifted, _mm512_set1_epi32(0xff))
    }
    #[inline(always)]
    unsafe fn i_byte_s(x: __m512i, index: i32) -> __m512i {
        let top = _mm512_sllv_epi32(x, _mm512_set1_epi32(24 - 8 * index));
        _mm512_srai_epi32::<24>(top)
    }

    #[inline(always)]
    unsafe fn b_load(p: *const u8) -> __m512i {
        _mm512_loadu_si512(p.cast())
    }
    #[inline(always)]
    unsafe fn b_splat4(p: *const i8) -> __m512i {
        _mm512_set1_epi32(p.cast::<i32>().read_unaligned())
    }
    #[inline(always)]
    unsafe fn b_splat(x: u8) -> __m512i {
        _mm512_set1_epi8(x as i8)
    }
    #[inline(always)]
    unsafe fn b_and(a: __m512i, b: __m512i) -> __m512i {
        _mm512_and_si512(a, b)
    }
    #[inline(always)]
    unsafe fn b_or(a: __m512i, b: __m512i) -> __m512i {
        _mm512_or_si512(a, b)
    }
    #[inline(always)]
    unsafe fn b_shr(a: __m512i, n: u32) -> __m512i {
        _mm512_srl_epi16(a, _mm_cvtsi32_si128(n as i32))
    }
    #[inline(always)]
    unsafe fn b_shl(a: __m512i, n: u32) -> __m512i {
        _mm512_sll_epi16(a, _mm_cvtsi32_si128(n as i32))
    }
    #[inline(always)]
    unsafe fn b_lookup(table: &[i8; 16], index: __m512i) -> __m512i {
        let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
        _mm512_shuffle_epi8(table, index)
    }

    #[inline(always)]
    unsafe fn dot_u7(acc: __m512i, u: __m512i, a: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, u, a)
    }
    #[inline(always)]
    unsafe fn dot_i8(acc: __m512i, w: __m512i, a: __m512i) -> __m512i {
        _mm512_dpbusd_epi32(acc, _mm512_xor_si512(w, _mm512_set1_epi8(-128)), a)
    }
    #[inline(always)]
    unsafe fn dot_i16(acc: __m512i, x: __m512i, y: __m512i) -> __m512i {
        _mm512_dpwssd_epi32(acc, x, y)
    }

    #[inline(always)]
    unsafe fn transpose(tile: *mut u32) {
        let mut x = [_mm512_setzero_si512(); 16];
        for i in 0..16 {
            x[i] = _mm512_loadu_si512(tile.add(16 * i).cast());
        }
        // Within 128-bit lanes first: row `4i + j` then has, in lane `l`, column `4l + j` of four rows.
        for i in (0..16).step_by(4) {
            let (a, b) = (
                _mm512_unpacklo_epi32(x[i], x[i + 1]),
                _mm512_unpackhi_epi32(x[i], x[i + 1]),
            );
            let (c, d) = (
                _mm512_unpacklo_epi32(x[i + 2], x[i + 3]),
                _mm512_unpackhi_epi32(x[i + 2], x[i + 3]),
            );
            x[i] = _mm512_unpacklo_epi64(a, c);
            x[i + 1] = _mm512_unpackhi_epi64(a, c);
            x[i + 2] = _mm512_unpacklo_epi64(b, d);
            x[i + 3] = _mm512_unpackhi_epi64(b, d);
        }
        for j in 0..4 {
            let (a, b, c, d) = (x[j], x[j + 4], x[j + 8], x[j + 12]);
            let even = _mm512_shuffle_i32x4::<0x88>(a, b);
            let odd = _mm512_shuffle_i32x4::<0xdd>(a, b);
            let even_low = _mm512_shuffle_i32x4::<0x88>(c, d);
            let odd_low = _mm512_shuffle_i32x4::<0xdd>(c, d);
            let rows = [
                _mm512_shuffle_i32x4::<0x88>(even, even_low),
                _mm512_shuffle_i32x4::<0x88>(odd, odd_low),
                _mm512_shuffle_i32x4::<0xdd>(even, even_low),
                _mm512_shuffle_i32x4::<0xdd>(odd, odd_low),
            ];
            for (lane, row) in rows.into_iter().enumerate() {
                _mm512_storeu_si512(tile.add(16 * (4 * lane + j)).cast(), row);
            }
        }
    }
}
