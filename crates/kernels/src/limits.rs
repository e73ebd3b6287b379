//! What this machine can do at most: how fast all threads together read memory, multiply small
//! integers and multiply floats. A benchmark lays its figures beside these.
//!
//! Every figure is the best of a few short passes, each timed from the first thread's start to the
//! last one's end, so that one interruption by the system does not lower a limit. A multiplication
//! and an addition count as two operations.

use std::hint::black_box;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::buffer::{AlignedBytes, Arena};
use crate::cpu::{Cpu, dispatch};
use crate::pool::ThreadPool;
use crate::simd::{LANES, Simd};

/// Bytes of a vector of int8 or f32.
const VECTOR: usize = 4 * LANES;
/// Independent chains of the largest register tile.
const CHAINS_MAX: usize = 12;
/// Inputs of a tile of 3 by 4 vectors.
const INPUTS: usize = 3 + 4;
/// Long enough that the fork of the threads does not count.
const PASS_MIN: Duration = Duration::from_millis(8);
const PASSES: usize = 5;

/// Vectors that start on a cache line: a load that crosses two counts twice.
#[repr(align(64))]
struct Inputs<T>([T; INPUTS]);

/// Memory to read, larger than any cache that one would care about, a part for each thread.
pub struct ReadBuffer {
    parts: Vec<Mutex<AlignedBytes>>,
}

impl std::fmt::Debug for ReadBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadBuffer")
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

impl ReadBuffer {
    /// At least `bytes` in all. Each thread writes its part first, so that the part lies in memory
    /// near that thread.
    ///
    /// # Errors
    /// What the system says when it has no more memory.
    pub fn new(pool: &ThreadPool, bytes: usize) -> io::Result<Self> {
        let len = bytes.div_ceil(pool.threads()).next_multiple_of(8 * VECTOR);
        let arena = Arena::new();
        let parts = (0..pool.threads())
            .map(|_| arena.zeroed(len).map(Mutex::new))
            .collect::<io::Result<Vec<_>>>()?;
        // Pages that were never written would all be the system's one page of zeros.
        pool.run(&|worker| lock(&parts[worker]).as_mut_slice().fill(1));
        Ok(Self { parts })
    }

    /// Bytes read a second, by all threads of the `pool` that the buffer was made with.
    pub fn bytes_per_s(&self, cpu: Cpu, pool: &ThreadPool) -> f64 {
        assert_eq!(self.parts.len(), pool.threads(), "a part for each thread");
        let lens = self.parts.iter().map(|part| lock(part).as_slice().len());
        let bytes: usize = lens.sum();
        let best = (0..PASSES).map(|_| {
            timed(pool, &|worker| {
                let part = lock(&self.parts[worker]);
                let data = part.as_slice();
                dispatch!(cpu, read_scalar, read_vector, (data: &[u8]));
            })
        });
        bytes as f64 / shortest(best)
    }
}

/// Products of int8 with sums in int32 that all threads make a second, operands in registers.
pub fn int8_ops_per_s(cpu: Cpu, pool: &ThreadPool) -> f64 {
    peak(pool, &|rounds| {
        #[cfg(target_arch = "aarch64")]
        if cpu != Cpu::SCALAR && std::arch::is_aarch64_feature_detected!("dotprod") {
            // SAFETY: the feature is there.
            unsafe { sdot(rounds) };
            return rounds * SDOT_PRODUCTS;
        }
        dispatch!(cpu, int8_scalar, int8_vector, (rounds: usize));
        rounds * chains(cpu) * VECTOR
    })
}

/// As [`int8_ops_per_s`], by tiles; nothing where the level has none. Few products come near: sums of a
/// tile go through memory to be scaled, for weights with a scale for each 32 after every second half tile.
pub fn int8_tile_ops_per_s(cpu: Cpu, pool: &ThreadPool) -> Option<f64> {
    #[cfg(target_arch = "x86_64")]
    if cpu.has_tiles() {
        return Some(peak(pool, &|rounds| {
            // SAFETY: the level has tiles, and none are set up on this thread.
            unsafe { int8_tiles(rounds) };
            rounds * TILE_PRODUCTS
        }));
    }
    let _ = (cpu, pool);
    None
}

/// Fused multiply-adds of f32 that all threads make a second, two operations each, operands in
/// registers.
pub fn f32_flops_per_s(cpu: Cpu, pool: &ThreadPool) -> f64 {
    peak(pool, &|rounds| {
        dispatch!(cpu, f32_scalar, f32_vector, (rounds: usize));
        rounds * chains(cpu) * LANES
    })
}

fn lock(part: &Mutex<AlignedBytes>) -> std::sync::MutexGuard<'_, AlignedBytes> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds from the start of `job` on all threads to the end of the last.
fn timed(pool: &ThreadPool, job: &(dyn Fn(usize) + Sync)) -> f64 {
    let begun = Instant::now();
    pool.run(job);
    begun.elapsed().as_secs_f64()
}

fn shortest(seconds: impl Iterator<Item = f64>) -> f64 {
    seconds.fold(f64::INFINITY, f64::min).max(1e-9)
}

/// Operations a second of `kernel`, which makes `rounds` rounds and says how many products they
/// were.
fn peak(pool: &ThreadPool, kernel: &(dyn Fn(usize) -> usize + Sync)) -> f64 {
    let mut rounds = 1024;
    loop {
        let begun = Instant::now();
        let products = kernel(rounds);
        if begun.elapsed() >= PASS_MIN {
            let run = |_| {
                timed(pool, &|_| {
                    kernel(rounds);
                })
            };
            let ops = 2.0 * products as f64 * pool.threads() as f64;
            return ops / shortest((0..PASSES).map(run));
        }
        rounds *= 2;
    }
}

/// Chains that [`int8_vector`] and [`f32_vector`] keep; the scalar code has as many as AVX-512.
fn chains(cpu: Cpu) -> usize {
    match cpu.0 {
        #[cfg(target_arch = "x86_64")]
        crate::cpu::Level::Avx2 => 6,
        #[cfg(target_arch = "aarch64")]
        crate::cpu::Level::Neon => 6,
        _ => CHAINS_MAX,
    }
}

fn read_scalar(data: &[u8]) {
    let mut sums = [0_u64; 8];
    for line in data.chunks_exact(VECTOR) {
        for (sum, word) in sums.iter_mut().zip(line.as_chunks::<8>().0) {
            *sum |= u64::from_le_bytes(*word);
        }
    }
    black_box(sums);
}

/// # Safety
/// That of `simd`.
#[inline(always)]
unsafe fn read_vector<S: Simd>(data: &[u8]) {
    // SAFETY: the features are the caller's; each of the eight loads lies within its chunk.
    unsafe {
        let mut sums = [S::b_splat(0); 8];
        for chunk in data.chunks_exact(8 * VECTOR) {
            for i in 0..8 {
                sums[i] = S::b_or(sums[i], S::b_load(chunk.as_ptr().add(i * VECTOR)));
            }
        }
        black_box(sums);
    }
}

fn int8_scalar(rounds: usize) {
    let inputs = Inputs([[3_i8; VECTOR]; INPUTS]);
    let mut sums = [[[0_i32; LANES]; 4]; 3];
    for _ in 0..rounds {
        let Inputs(inputs) = black_box(&inputs);
        for i in 0..3 {
            for j in 0..4 {
                for lane in 0..LANES {
                    for byte in 4 * lane..4 * lane + 4 {
                        let product = i32::from(inputs[i][byte]) * i32::from(inputs[3 + j][byte]);
                        sums[i][j][lane] = sums[i][j][lane].wrapping_add(product);
                    }
                }
            }
        }
    }
    black_box(sums);
}

fn f32_scalar(rounds: usize) {
    let inputs = Inputs([[0.5_f32; LANES]; INPUTS]);
    let mut sums = [[[0_f32; LANES]; 4]; 3];
    for _ in 0..rounds {
        let Inputs(inputs) = black_box(&inputs);
        for i in 0..3 {
            for j in 0..4 {
                for lane in 0..LANES {
                    sums[i][j][lane] =
                        inputs[i][lane].mul_add(inputs[3 + j][lane], sums[i][j][lane]);
                }
            }
        }
    }
    black_box(sums);
}

/// A tile of products as a matrix kernel has it: 3 vectors by 4 where there are 32 wide registers,
/// else by 2. No product of two of the inputs appears twice, so none can be saved.
///
/// # Safety
/// That of `simd`.
#[inline(always)]
unsafe fn int8_vector<S: Simd>(rounds: usize) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        if S::TILE == 8 {
            int8_tile::<S, 4>(rounds);
        } else {
            int8_tile::<S, 2>(rounds);
        }
    }
}

#[inline(always)]
unsafe fn int8_tile<S: Simd, const N: usize>(rounds: usize) {
    let inputs = Inputs([[3_u8; VECTOR]; INPUTS]);
    // SAFETY: the features are the caller's; the loads lie within `inputs`.
    unsafe {
        let mut sums = [[S::i_splat(0); N]; 3];
        for _ in 0..rounds {
            // What lies behind the pointer may have changed, as far as the compiler knows.
            let p = black_box(inputs.0.as_ptr());
            for i in 0..3 {
                for j in 0..N {
                    let (u, a) = (S::b_load(p.add(i).cast()), S::b_load(p.add(3 + j).cast()));
                    sums[i][j] = S::dot_u7(sums[i][j], u, a);
                }
            }
        }
        black_box(sums);
    }
}

/// # Safety
/// That of `simd`.
#[inline(always)]
unsafe fn f32_vector<S: Simd>(rounds: usize) {
    // SAFETY: the caller's contract is passed on.
    unsafe {
        if S::TILE == 8 {
            f32_tile::<S, 4>(rounds);
        } else {
            f32_tile::<S, 2>(rounds);
        }
    }
}

#[inline(always)]
unsafe fn f32_tile<S: Simd, const N: usize>(rounds: usize) {
    let inputs = Inputs([[0.5_f32; LANES]; INPUTS]);
    // SAFETY: the features are the caller's; the loads lie within `inputs`.
    unsafe {
        let mut sums = [[S::f_splat(0.0); N]; 3];
        for _ in 0..rounds {
            let p = black_box(inputs.0.as_ptr());
            for i in 0..3 {
                for j in 0..N {
                    let (a, b) = (S::f_load(p.add(i).cast()), S::f_load(p.add(3 + j).cast()));
                    sums[i][j] = S::f_fma(a, b, sums[i][j]);
                }
            }
        }
        black_box(sums);
    }
}

/// Products of one round of [`int8_tiles`]: four tiles of 16 by 16 sums over 64.
#[cfg(target_arch = "x86_64")]
const TILE_PRODUCTS: usize = 4 * 16 * 16 * 64;

/// # Safety
/// The machine has tiles, and none are set up on this thread.
#[cfg(target_arch = "x86_64")]
unsafe fn int8_tiles(rounds: usize) {
    use crate::simd::amx;
    // SAFETY: the caller's contract; tiles are set to zero before they are used.
    unsafe {
        let _tiles = amx::Tiles::new(const { &amx::Shapes::new(16, 64) });
        amx::zero!("tmm4");
        amx::zero!("tmm5");
        amx::zero!("tmm6");
        amx::zero!("tmm7");
        for _ in 0..rounds {
            amx::product!("tdpbssd", "tmm0", "tmm4", "tmm6");
            amx::product!("tdpbssd", "tmm1", "tmm4", "tmm7");
            amx::product!("tdpbssd", "tmm2", "tmm5", "tmm6");
            amx::product!("tdpbssd", "tmm3", "tmm5", "tmm7");
        }
    }
}

/// Products of one round of [`sdot`]: 16 instructions of 16.
#[cfg(target_arch = "aarch64")]
const SDOT_PRODUCTS: usize = 16 * 16;

/// The machine's own product of signed bytes, which our kernels do without: the limit is the
/// machine's, not theirs.
#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot(rounds: usize) {
    for _ in 0..rounds {
        // SAFETY: only the registers that are named change, and no memory.
        unsafe {
            std::arch::asm!(
                "sdot v16.4s, v0.16b, v1.16b",
                "sdot v17.4s, v0.16b, v1.16b",
                "sdot v18.4s, v0.16b, v1.16b",
                "sdot v19.4s, v0.16b, v1.16b",
                "sdot v20.4s, v0.16b, v1.16b",
                "sdot v21.4s, v0.16b, v1.16b",
                "sdot v22.4s, v0.16b, v1.16b",
                "sdot v23.4s, v0.16b, v1.16b",
                "sdot v24.4s, v0.16b, v1.16b",
                "sdot v25.4s, v0.16b, v1.16b",
                "sdot v26.4s, v0.16b, v1.16b",
                "sdot v27.4s, v0.16b, v1.16b",
                "sdot v28.4s, v0.16b, v1.16b",
                "sdot v29.4s, v0.16b, v1.16b",
                "sdot v30.4s, v0.16b, v1.16b",
                "sdot v31.4s, v0.16b, v1.16b",
                out("v16") _, out("v17") _, out("v18") _, out("v19") _,
                out("v20") _, out("v21") _, out("v22") _, out("v23") _,
                out("v24") _, out("v25") _, out("v26") _, out("v27") _,
                out("v28") _, out("v29") _, out("v30") _, out("v31") _,
                options(nomem, nostack),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_has_limits_that_are_numbers() {
        let pool = ThreadPool::new(2);
        let buffer = ReadBuffer::new(&pool, 1 << 20).unwrap();
        for cpu in Cpu::available() {
            for figure in [
                buffer.bytes_per_s(cpu, &pool),
                int8_ops_per_s(cpu, &pool),
                f32_flops_per_s(cpu, &pool),
            ] {
                assert!(figure.is_finite() && figure > 1e6, "{cpu:?}: {figure}");
            }
            let by_tiles = int8_tile_ops_per_s(cpu, &pool);
            assert_eq!(by_tiles.is_some(), cpu.has_tiles());
            assert!(by_tiles.is_none_or(|figure| figure > 1e6));
        }
    }
}
