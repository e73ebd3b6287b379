//! Time of single kernels on one GPU: matrix products by shape, attention, and what only moves bytes.

use crate::fitted::Fitted;
use crate::gpu::{Generation, Gpu, Precision};
use crate::layout::Software;

/// A product's tile on the chip: what one multiprocessor works on.
const TILE: (f64, f64) = (128.0, 256.0);

/// Rates of one GPU kind under one set of parameters.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<'a> {
    gpu: &'a Gpu,
    fitted: &'a Fitted,
    /// FLOP/s of large 16-bit products.
    bf16: f64,
    /// FLOP/s of large products in the run's precision.
    low: f64,
    /// Bytes/s of pointwise kernels.
    memory: f64,
    /// FLOP/s of flash attention.
    flash: f64,
    /// FLOP/s of unfused attention.
    unfused: f64,
}

impl<'a> Kernels<'a> {
    /// The rates of `gpu` for products in `precision` (16 bit where the chip lacks it).
    pub fn new(
        gpu: &'a Gpu,
        precision: Precision,
        software: &Software,
        fitted: &'a Fitted,
    ) -> Self {
        let f = fitted;
        let share = f.kind_factor(gpu)
            * match gpu.generation {
                Generation::Volta => f.gemm_volta,
                Generation::Ampere | Generation::Cdna3 => f.gemm,
                Generation::Hopper => f.gemm * f.gemm_hopper,
                Generation::Blackwell => f.gemm * f.gemm_blackwell,
            };
        // Large products draw more than the limit allows, so clocks fall: with the cube root of the
        // limit at a fixed voltage slope, faster near the threshold.
        let usual = match gpu.generation {
            Generation::Hopper => 700.0,
            Generation::Blackwell => 1000.0,
            _ => gpu.watts,
        };
        let share = share * (gpu.watts / usual).powf(f.power);
        let share = share * if software.flash { 1.0 } else { f.gemm_classic };
        let peak = gpu.bf16_tflops * 1e12;
        let low = gpu.peak(precision).unwrap_or(peak)
            * share
            * match precision {
                Precision::Bf16 => 1.0,
                Precision::Fp8 | Precision::Mxfp8 if gpu.generation == Generation::Blackwell => {
                    f.fp8_blackwell
                }
                Precision::Fp8 | Precision::Mxfp8 => f.fp8,
                Precision::Nvfp4 => f.fp4,
            };
        let flash = match gpu.generation {
            Generation::Volta | Generation::Ampere if software.first_attention => f.attention_first,
            Generation::Volta | Generation::Ampere | Generation::Cdna3 => f.attention_ampere,
            Generation::Hopper if !software.new_attention => f.attention_hopper_old,
            Generation::Hopper => f.attention_hopper,
            Generation::Blackwell => f.attention_blackwell,
        };
        Self {
            gpu,
            fitted,
            bf16: peak * share,
            low: low.max(peak * share),
            memory: gpu.memory_gbs * 1e9 * f.memory,
            flash: peak * flash * gpu.attention_factor,
            unfused: peak * f.attention_unfused,
        }
    }

    /// Seconds of a product of m×k and k×n. `groups` of them run as one kernel, which moves
    /// `result` bytes for each number of the result.
    pub fn product(&self, m: f64, n: f64, k: f64, groups: f64, low: bool, result: f64) -> f64 {
        if m <= 0.0 || n <= 0.0 || k <= 0.0 {
            return 0.0;
        }
        let f = self.fitted;
        let rate = if low { self.low } else { self.bf16 };
        let waves =
            groups * (m / TILE.0).max(1.0) * (n / TILE.1).max(1.0) / f64::from(self.gpu.sms);
        // A tile that is not full costs as much as one that is.
        let fill = (m / TILE.0).min(1.0) * (n / TILE.1).min(1.0);
        let share = waves / (waves + f.wave_half) * k / (k + f.k_half) * fill;
        let compute = 2.0 * groups * m * n * k / (rate * share);
        let width = if low { 1.0 } else { 2.0 };
        let bytes = groups * (width * (m * k + k * n) + result * m * n);
        smooth_max(compute, bytes / self.memory)
    }

    /// Seconds to move `bytes` by pointwise kernels.
    pub fn move_bytes(&self, bytes: f64) -> f64 {
        bytes / self.memory
    }

    /// Seconds of `flops` of flash attention, whose heads of queries and values are `widths` wide
    /// together. The exponentials are as many for a narrow head as for a wide one, and take a share of
    /// the time that grew with each generation's products (Shah et al. 2024).
    pub fn flash_attention(&self, flops: f64, widths: f64) -> f64 {
        let share = match self.gpu.generation {
            Generation::Blackwell => 0.5,
            _ => 0.25,
        };
        flops / self.flash * (1.0 - share + share * 256.0 / widths.max(1.0))
    }

    /// Seconds of `flops` of unfused attention's products.
    pub fn unfused_attention(&self, flops: f64) -> f64 {
        flops / self.unfused
    }
}

/// The larger of two, and a little more where they are near each other: work that shares a resource
/// overlaps, but not perfectly. Monotone in both.
pub fn smooth_max(a: f64, b: f64) -> f64 {
    let high = a.max(b);
    if high <= 0.0 {
        return 0.0;
    }
    let ratio = a.min(b) / high;
    high * (1.0 + ratio.powi(4)).powf(0.25)
}
