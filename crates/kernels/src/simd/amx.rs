//! AMX: products of whole tiles, 16 rows of at most 64 bytes.
//!
//! A tile of weights is a group block as [`crate::packed`] has it: a row of the tile is 4 consecutive
//! elements of each of the 16 rows. Sums of int8 products are exact, so tiles give what the vector
//! kernels give. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.)
//!
//! The instructions are written as assembly: the compiler's own names for them are not stable yet.

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Whether the processor has tiles with int8 and bf16 products, and the system lets this process use
/// them. Linux keeps their state only for processes that have asked.
pub(crate) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has() && system_allows())
}

fn processor_has() -> bool {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    if __cpuid(0).eax < 7 {
        return false;
    }
    __cpuid_count(7, 0).edx & (BF16 | TILE | INT8) == BF16 | TILE | INT8
}

#[cfg(target_os = "linux")]
fn system_allows() -> bool {
    const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
    const XFEATURE_XTILEDATA: libc::c_long = 18;
    // SAFETY: the call takes two numbers, and systems that do not know it answer with an error.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_arch_prctl,
            ARCH_REQ_XCOMP_PERM,
            XFEATURE_XTILEDATA,
        )
    };
    answer == 0
}

#[cfg(not(target_os = "linux"))]
fn system_allows() -> bool {
    false
}

/// The shapes of the eight tiles, as `ldtilecfg` reads them.
#[repr(C, align(64))]
pub(crate) struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shapes {
    /// Tiles 0 to 3 are sums of `m` rows by 16; 4 and 5 left sides, `m` rows of `k_bytes`; 6 and 7
    /// right sides of `k_bytes / 4` rows.
    pub(crate) const fn new(m: usize, k_bytes: usize) -> Self {
        assert!(m <= 16 && k_bytes <= 64 && k_bytes.is_multiple_of(4));
        let mut shapes = Self {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        let mut tile = 0;
        while tile < 8 {
            let (rows, row_bytes) = match tile {
                0..4 => (m, 64),
                4..6 => (m, k_bytes),
                _ => (k_bytes / 4, 64),
            };
            shapes.rows[tile] = rows as u8;
            shapes.row_bytes[tile] = row_bytes as u16;
            tile += 1;
        }
        shapes
    }
}

/// Tiles that are set up on this thread. Dropped, they are released, so that the system need not keep
/// them.
pub(crate) struct Tiles {
    /// Tiles belong to a thread.
    not_send: PhantomData<*mut ()>,
}

impl Tiles {
    /// # Safety
    /// [`available`], and no other tiles are set up on this thread.
    pub(crate) unsafe fn new(shapes: &Shapes) -> Self {
        // SAFETY: the instruction is there; it reads 64 bytes, which is what `Shapes` has.
        unsafe { asm!("ldtilecfg [{}]", in(reg) shapes, options(nostack, readonly)) };
        Self {
            not_send: PhantomData,
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: tiles were set up, so the instruction is there.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// Loads a tile: `load!("tmm4", address, bytes from row to row)`.
macro_rules! load {
    ($tile:literal, $from:expr, $stride:expr) => {
        ::std::arch::asm!(
            concat!("tileloadd ", $tile, ", [{from} + {stride}*1]"),
            from = in(reg) $from,
            stride = in(reg) { let stride: usize = $stride; stride },
            options(nostack, readonly),
        )
    };
}

/// Stores a tile: `store!("tmm0", address, bytes from row to row)`.
macro_rules! store {
    ($tile:literal, $to:expr, $stride:expr) => {
        ::std::arch::asm!(
            concat!("tilestored [{to} + {stride}*1], ", $tile),
            to = in(reg) $to,
            stride = in(reg) { let stride: usize = $stride; stride },
            options(nostack),
        )
    };
}

/// Sets a tile to zero.
macro_rules! zero {
    ($tile:literal) => {
        ::std::arch::asm!(concat!("tilezero ", $tile), options(nostack, nomem))
    };
}

/// Adds products: `product!("tdpbssd", "tmm0", "tmm4", "tmm6")`.
macro_rules! product {
    ($operation:literal, $sums:literal, $left:literal, $right:literal) => {
        ::std::arch::asm!(
            concat!($operation, " ", $sums, ", ", $left, ", ", $right),
            options(nostack, nomem),
        )
    };
}

pub(crate) use {load, product, store, zero};
