//! Row-wise work between the matrix products: norms, rotary embeddings, gates, sums.
//!
//! Element-wise kernels are one plain function compiled for every level. The only sums, those of the
//! norms, run in 16 virtual lanes (element `i` in lane `i % 16`) that are added in a fixed tree.

use crate::cpu::{Cpu, multiversion};
use crate::math;
use crate::pool::{SharedMut, ThreadPool};
use std::ops::Range;

/// Elements below which forking costs more than it saves.
const FORK_ELEMENTS: usize = 16_384;

/// Calls `part(rows, out)` for ranges of `rows` with their rows of `out`, in parallel when there is
/// enough work.
pub fn for_rows<T: Send>(
    pool: &ThreadPool,
    rows: usize,
    out: &mut [T],
    part: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    if rows == 0 {
        return;
    }
    assert_eq!(out.len() % rows, 0, "output is not a whole number of rows");
    let width = out.len() / rows;
    if out.len() < FORK_ELEMENTS {
        part(0..rows, out);
        return;
    }
    let out = SharedMut::new(out);
    pool.for_chunks(rows, rows.div_ceil(pool.threads() * 4), |_, range| {
        // SAFETY: row ranges of one call never overlap.
        let out = unsafe { out.slice(range.start * width..range.end * width) };
        part(range, out);
    });
}

/// `out = x / sqrt(mean(x^2) + eps) * weight` for each row of `weight.len()` elements (RMSNorm,
/// arXiv:1910.07467).
pub fn rms_norm(cpu: Cpu, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "norm input and output differ in length");
    multiversion!(cpu, rms_norm_plain, (x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]));
}

#[inline(always)]
fn rms_norm_plain(x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
        let scale = inverse_rms(x, eps);
        for ((out, x), w) in out.iter_mut().zip(x).zip(weight) {
            *out = x * scale * w;
        }
    }
}

/// As [`rms_norm`], in place.
pub fn rms_norm_in_place(cpu: Cpu, x: &mut [f32], weight: &[f32], eps: f32) {
    multiversion!(cpu, rms_norm_in_place_plain, (x: &mut [f32], weight: &[f32], eps: f32));
}

#[inline(always)]
fn rms_norm_in_place_plain(x: &mut [f32], weight: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(weight.len()) {
        let scale = inverse_rms(x, eps);
        for (x, w) in x.iter_mut().zip(weight) {
            *x = *x * scale * w;
        }
    }
}

#[inline(always)]
pub(crate) fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (sixteens, rest) = x.as_chunks::<16>();
    for sixteen in sixteens {
        for i in 0..16 {
            lanes[i] = sixteen[i].mul_add(sixteen[i], lanes[i]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane = x.mul_add(*x, *lane);
    }
    1.0 / (tree_sum(lanes) / x.len() as f32 + eps).sqrt()
}

/// `x = (x - mean) / sqrt(variance + eps) * weight + bias` for each row, in place (layer
/// normalization, arXiv:1607.06450).
///
/// # Panics
/// If weight and bias differ in length.
pub fn layer_norm_in_place(cpu: Cpu, x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    assert_eq!(weight.len(), bias.len(), "weight and bias differ in length");
    multiversion!(cpu, layer_norm_in_place_plain, (
        x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32,
    ));
}

#[inline(always)]
fn layer_norm_in_place_plain(x: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    for x in x.chunks_exact_mut(weight.len()) {
        let mut lanes = [0.0f32; 16];
        let (sixteens, rest) = x.as_chunks::<16>();
        for sixteen in sixteens {
            for i in 0..16 {
                lanes[i] += sixteen[i];
            }
        }
        for (lane, x) in lanes.iter_mut().zip(rest) {
            *lane += x;
        }
        let mean = tree_sum(lanes) / x.len() as f32;
        for x in x.iter_mut() {
            *x -= mean;
        }
        let scale = inverse_rms(x, eps);
        for ((x, w), b) in x.iter_mut().zip(weight).zip(bias) {
            *x = (*x * scale).mul_add(*w, *b);
        }
    }
}

/// `x = gelu(x)`, with [`math::gelu_erf`].
pub fn gelu_in_place(cpu: Cpu, x: &mut [f32]) {
    multiversion!(cpu, gelu_in_place_plain, (x: &mut [f32]));
}

#[inline(always)]
fn gelu_in_place_plain(x: &mut [f32]) {
    for x in x {
        *x = math::gelu_erf(*x);
    }
}

/// Adds 16 lanes: `i + (i+8)`, then `i + (i+4)`, `i + (i+2)`, `i + (i+1)`.
#[inline(always)]
pub(crate) fn tree_sum(mut lanes: [f32; 16]) -> f32 {
    let mut width = 8;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// `x += y`.
pub fn add(cpu: Cpu, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "sum of different lengths");
    multiversion!(cpu, add_plain, (x: &mut [f32], y: &[f32]));
}

#[inline(always)]
fn add_plain(x: &mut [f32], y: &[f32]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}

/// `x += factor * y`, rounded once.
pub fn add_scaled(cpu: Cpu, x: &mut [f32], y: &[f32], factor: f32) {
    assert_eq!(x.len(), y.len(), "sum of different lengths");
    multiversion!(cpu, add_scaled_plain, (x: &mut [f32], y: &[f32], factor: f32));
}

#[inline(always)]
fn add_scaled_plain(x: &mut [f32], y: &[f32], factor: f32) {
    for (x, y) in x.iter_mut().zip(y) {
        *x = factor.mul_add(*y, *x);
    }
}

/// `x *= factor`.
pub fn scale(cpu: Cpu, x: &mut [f32], factor: f32) {
    multiversion!(cpu, scale_plain, (x: &mut [f32], factor: f32));
}

#[inline(always)]
fn scale_plain(x: &mut [f32], factor: f32) {
    for x in x {
        *x *= factor;
    }
}

/// `x = cap * tanh(x / cap)`.
pub fn soft_cap(cpu: Cpu, x: &mut [f32], cap: f32) {
    multiversion!(cpu, soft_cap_plain, (x: &mut [f32], cap: f32));
}

#[inline(always)]
pub(crate) fn soft_cap_plain(x: &mut [f32], cap: f32) {
    for x in x {
        *x = cap * math::tanh(*x / cap);
    }
}

/// Gate of a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// [`math::silu`].
    Silu,
    /// [`math::gelu_tanh`].
    GeluTanh,
    /// [`math::gelu`].
    Gelu,
}

/// `out = gate(g) * u` for rows `[g, u]`, `out` half as wide as `gate_up`.
pub fn gated(cpu: Cpu, gate: Gate, gate_up: &[f32], width: usize, out: &mut [f32]) {
    assert_eq!(
        gate_up.len(),
        out.len() * 2,
        "gate and up are not twice the output"
    );
    match gate {
        Gate::Silu => {
            multiversion!(cpu, gated_silu, (gate_up: &[f32], width: usize, out: &mut [f32]));
        }
        Gate::GeluTanh => {
            multiversion!(cpu, gated_gelu_tanh, (gate_up: &[f32], width: usize, out: &mut [f32]));
        }
        Gate::Gelu => {
            multiversion!(cpu, gated_gelu, (gate_up: &[f32], width: usize, out: &mut [f32]));
        }
    }
}

macro_rules! gated {
    ($name:ident, $gate:path) => {
        #[inline(always)]
        fn $name(gate_up: &[f32], width: usize, out: &mut [f32]) {
            for (row, out) in gate_up
                .chunks_exact(2 * width)
                .zip(out.chunks_exact_mut(width))
            {
                let (g, u) = row.split_at(width);
                for ((out, g), u) in out.iter_mut().zip(g).zip(u) {
                    *out = $gate(*g) * u;
                }
            }
        }
    };
}
gated!(gated_silu, math::silu);
gated!(gated_gelu_tanh, math::gelu_tanh);
gated!(gated_gelu, math::gelu);

/// Rotates the pairs `(i, i + dim/2)` of each head by the angles whose cosines and sines are given;
/// `dim` is twice their number, elements after it stay (RoFormer, arXiv:2104.09864).
pub fn rope_half(cpu: Cpu, heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    multiversion!(cpu, rope_half_plain, (
        heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32],
    ));
}

#[inline(always)]
fn rope_half_plain(heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    for head in heads.chunks_exact_mut(head_dim) {
        let (first, second) = head.split_at_mut(half);
        for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            (*a, *b) = rotate(*a, *b, *c, *s);
        }
    }
}

/// As [`rope_half`] for the pairs `(2i, 2i + 1)`.
pub fn rope_interleaved(cpu: Cpu, heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    multiversion!(cpu, rope_interleaved_plain, (
        heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32],
    ));
}

#[inline(always)]
fn rope_interleaved_plain(heads: &mut [f32], head_dim: usize, cos: &[f32], sin: &[f32]) {
    for head in heads.chunks_exact_mut(head_dim) {
        for ((pair, c), s) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
            (pair[0], pair[1]) = rotate(pair[0], pair[1], *c, *s);
        }
    }
}

#[inline(always)]
pub(crate) fn rotate(a: f32, b: f32, cos: f32, sin: f32) -> (f32, f32) {
    (a.mul_add(cos, -(b * sin)), b.mul_add(cos, a * sin))
}

/// Softmax in place, in f32: largest subtracted, sum in 16 virtual lanes.
pub fn softmax(cpu: Cpu, x: &mut [f32]) {
    multiversion!(cpu, softmax_plain, (x: &mut [f32]));
}

#[inline(always)]
fn softmax_plain(x: &mut [f32]) {
    let max = x
        .iter()
        .fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    let mut lanes = [0.0; 16];
    for (i, x) in x.iter_mut().enumerate() {
        *x = math::exp(*x - max);
        lanes[i % 16] += *x;
    }
    let sum = tree_sum(lanes);
    for x in x {
        *x /= sum;
    }
}
