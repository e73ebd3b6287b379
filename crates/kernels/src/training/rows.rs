//! Gradients of norms and gates.

use crate::cpu::{Cpu, multiversion};
use crate::math;
use crate::rows::{inverse_rms, tree_sum};
use std::ops::Range;

/// Adds to `dx` the gradient through [`crate::rows::rms_norm`] of rows of `weight.len()` elements, and
/// writes each row's `1 / rms` to `inverse`.
///
/// With `r = 1 / sqrt(mean(x^2) + eps)`: `dx_i = r w_i dy_i - x_i r^3 / n * sum_j(w_j dy_j x_j)`.
///
/// # Panics
/// If the slices do not hold the same rows.
pub fn rms_norm_backward(
    cpu: Cpu,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    inverse: &mut [f32],
) {
    assert!(
        x.len() == dy.len() && x.len() == dx.len() && x.len() == inverse.len() * weight.len(),
        "gradient of a norm: lengths differ"
    );
    multiversion!(cpu, rms_norm_backward_plain, (
        x: &[f32], weight: &[f32], eps: f32, dy: &[f32], dx: &mut [f32], inverse: &mut [f32],
    ));
}

#[inline(always)]
fn rms_norm_backward_plain(
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    inverse: &mut [f32],
) {
    let n = weight.len();
    let rows = x.chunks_exact(n).zip(dy.chunks_exact(n));
    for (((x, dy), dx), inverse) in rows.zip(dx.chunks_exact_mut(n)).zip(inverse) {
        let r = inverse_rms(x, eps);
        *inverse = r;
        let mut lanes = [0.0f32; 16];
        let sixteens = x.as_chunks::<16>().0.iter().zip(dy.as_chunks::<16>().0);
        for ((x, dy), w) in sixteens.zip(weight.as_chunks::<16>().0) {
            for i in 0..16 {
                lanes[i] = (w[i] * dy[i]).mul_add(x[i], lanes[i]);
            }
        }
        let done = n - n % 16;
        for i in done..n {
            lanes[i - done] = (weight[i] * dy[i]).mul_add(x[i], lanes[i - done]);
        }
        let factor = -(tree_sum(lanes) * r * r * r) / n as f32;
        for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
            *dx += factor.mul_add(*x, r * (w * dy));
        }
    }
}

/// Adds to `dweight` the gradient of a norm's weights in some columns: `sum over rows of dy x / rms`, rows
/// in ascending order. `x` and `dy` have rows of `width`, `inverse` is from [`rms_norm_backward`].
///
/// # Panics
/// If the slices do not hold the same rows, or `dweight` is not as wide as `columns`.
pub fn rms_norm_weight_gradient(
    cpu: Cpu,
    x: &[f32],
    dy: &[f32],
    inverse: &[f32],
    width: usize,
    columns: Range<usize>,
    dweight: &mut [f32],
) {
    assert!(
        x.len() == dy.len() && x.len() == inverse.len() * width && dweight.len() == columns.len(),
        "gradient of a norm's weights: lengths differ"
    );
    multiversion!(cpu, weight_gradient_plain, (
        x: &[f32], dy: &[f32], inverse: &[f32], width: usize, columns: Range<usize>, dweight: &mut [f32],
    ));
}

#[inline(always)]
fn weight_gradient_plain(
    x: &[f32],
    dy: &[f32],
    inverse: &[f32],
    width: usize,
    columns: Range<usize>,
    dweight: &mut [f32],
) {
    let rows = x.chunks_exact(width).zip(dy.chunks_exact(width));
    for ((x, dy), r) in rows.zip(inverse) {
        let pairs = x[columns.clone()].iter().zip(&dy[columns.clone()]);
        for (dw, (x, dy)) in dweight.iter_mut().zip(pairs) {
            *dw = (x * r).mul_add(*dy, *dw);
        }
    }
}

/// The gradient through `silu(g) * u` of rows `[g, u]`, `d_out` half as wide.
///
/// # Panics
/// If the slices do not hold the same rows.
pub fn gated_silu_backward(
    cpu: Cpu,
    gate_up: &[f32],
    d_out: &[f32],
    width: usize,
    d_gate_up: &mut [f32],
) {
    assert!(
        gate_up.len() == d_gate_up.len() && gate_up.len() == 2 * d_out.len(),
        "gradient of a gate: lengths differ"
    );
    multiversion!(cpu, gated_silu_backward_plain, (
        gate_up: &[f32], d_out: &[f32], width: usize, d_gate_up: &mut [f32],
    ));
}

#[inline(always)]
fn gated_silu_backward_plain(gate_up: &[f32], d_out: &[f32], width: usize, d_gate_up: &mut [f32]) {
    let rows = gate_up
        .chunks_exact(2 * width)
        .zip(d_out.chunks_exact(width))
        .zip(d_gate_up.chunks_exact_mut(2 * width));
    for ((row, d_out), d_row) in rows {
        let (g, u) = row.split_at(width);
        let (dg, du) = d_row.split_at_mut(width);
        let inputs = g.iter().zip(u).zip(d_out);
        for ((dg, du), ((g, u), d)) in dg.iter_mut().zip(du).zip(inputs) {
            let sigmoid = 1.0 / (1.0 + math::exp(-*g));
            *du = d * (g * sigmoid);
            *dg = d * u * (sigmoid * g.mul_add(1.0 - sigmoid, 1.0));
        }
    }
}
