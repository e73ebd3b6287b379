//! The 16-lane vector that kernels are written against, once for all instruction sets.
//!
//! A vector of weights holds 16 rows side by side: 16 floats, 16 integers, or 16 times 4 bytes. It
//! is one AVX-512 register, two AVX2 or four NEON ones. Only one operation, which says so, mixes lanes.
//!
//! Every method is `unsafe` for one reason: the caller must run on a machine that has the
//! instruction set, inside a function compiled for it. Loads and stores need valid pointers; none
//! needs alignment.

#[cfg(target_arch = "x86_64")]
pub(crate) mod amx;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

/// Lanes of a vector: rows of a weight group, keys of a score group, elements of a head.
pub(crate) const LANES: usize = 16;

/// 16-lane operations of one instruction set.
#[allow(
    clippy::missing_safety_doc,
    reason = "one contract for all, in the module's comment"
)]
pub(crate) trait Simd: Copy {
    /// 16 f32.
    type F: Copy;
    /// 16 i32.
    type I: Copy;
    /// 16 groups of 4 bytes.
    type B: Copy;
    /// What `dot_i8` adds to each product sum, as a multiple of the activations' sum: instruction
    /// sets without a signed-by-signed product shift the weights by 128.
    const I8_BIAS: i32;
    /// Tokens that an int8 tile computes at once.
    const TILE: usize;
    /// Rows and vectors of a tile of a product of f32 matrices: what the registers hold.
    const GEMM_ROWS: usize;
    /// See `GEMM_ROWS`.
    const GEMM_VECTORS: usize;

    unsafe fn f_splat(x: f32) -> Self::F;
    unsafe fn f_load(p: *const f32) -> Self::F;
    unsafe fn f_store(p: *mut f32, x: Self::F);
    unsafe fn f_load_f16(p: *const u16) -> Self::F;
    /// Rounds to nearest, ties to even.
    unsafe fn f_store_f16(p: *mut u16, x: Self::F);
    unsafe fn f_load_i8(p: *const i8) -> Self::F;
    unsafe fn f_load_bf16(p: *const u16) -> Self::F;
    /// Block scales stored as the 8-bit exponents of MXFP4, halved (its table holds doubled
    /// values): `2^(e - 128)`.
    unsafe fn f_load_e8m0_half(p: *const u8) -> Self::F;
    /// 16 pairs of bf16 numbers: those in the lower halves, and those in the upper ones.
    unsafe fn f_load_bf16_pairs(p: *const u32) -> [Self::F; 2];
    unsafe fn f_add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn f_mul(a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once.
    unsafe fn f_fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once.
    unsafe fn f_fnma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`.
    unsafe fn f_larger(a: Self::F, b: Self::F) -> Self::F;
    /// The upper half of the lanes added to the lower one, until one is left.
    unsafe fn f_tree_sum(x: Self::F) -> f32;
    unsafe fn f_from_i(x: Self::I) -> Self::F;

    unsafe fn i_splat(x: i32) -> Self::I;
    unsafe fn i_add(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn i_mul(a: Self::I, b: Self::I) -> Self::I;
    /// The byte `index` (0 to 3) of each lane, zero-extended.
    unsafe fn i_byte_u(x: Self::B, index: i32) -> Self::I;
    /// The byte `index` (0 to 3) of each lane, sign-extended.
    unsafe fn i_byte_s(x: Self::B, index: i32) -> Self::I;

    unsafe fn b_load(p: *const u8) -> Self::B;
    /// The same 4 bytes in every lane.
    unsafe fn b_splat4(p: *const i8) -> Self::B;
    unsafe fn b_splat(x: u8) -> Self::B;
    unsafe fn b_and(a: Self::B, b: Self::B) -> Self::B;
    unsafe fn b_or(a: Self::B, b: Self::B) -> Self::B;
    /// Shifts 16-bit pairs of bytes right; bits cross from the upper byte.
    unsafe fn b_shr(a: Self::B, n: u32) -> Self::B;
    /// Shifts 16-bit pairs of bytes left; bits cross from the lower byte.
    unsafe fn b_shl(a: Self::B, n: u32) -> Self::B;
    /// `table[index]` for each byte, indices 0 to 15.
    unsafe fn b_lookup(table: &[i8; 16], index: Self::B) -> Self::B;

    /// Adds to each lane the four products of unsigned bytes (at most 127) and signed bytes.
    unsafe fn dot_u7(acc: Self::I, u: Self::B, a: Self::B) -> Self::I;
    /// Adds to each lane the four products of signed bytes (`a` within ±127), plus
    /// `-I8_BIAS` times the sum of the four `a`.
    unsafe fn dot_i8(acc: Self::I, w: Self::B, a: Self::B) -> Self::I;
    /// Adds to each lane the two products of 16-bit pairs; each sum fits 32 bits.
    unsafe fn dot_i16(acc: Self::I, x: Self::B, y: Self::B) -> Self::I;

    /// Swaps rows and columns of 16 x 16 elements.
    #[inline(always)]
    unsafe fn transpose(tile: *mut u32) {
        for i in 0..LANES {
            for j in 0..i {
                // SAFETY: the caller gives that many elements.
                unsafe { tile.add(i * LANES + j).swap(tile.add(j * LANES + i)) };
            }
        }
    }
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Asks for a cache line that will be read soon. Any address is allowed.
#[inline(always)]
pub(crate) fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
