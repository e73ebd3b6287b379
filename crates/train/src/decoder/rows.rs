//! Row-wise work on all threads, for both directions.

use crate::parallel::{for_parts, rows_a_part};
use terang_kernels::rows::{Gate, for_rows, gated, rms_norm};
use terang_kernels::training::{rms_norm_backward, rms_norm_weight_gradient};
use terang_kernels::{Cpu, ThreadPool};

/// The norm of each row.
pub(super) fn norm(
    cpu: Cpu,
    pool: &ThreadPool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    let d = weight.len();
    for_rows(pool, x.len() / d, out, |rows, out| {
        rms_norm(cpu, &x[rows.start * d..rows.end * d], weight, eps, out);
    });
}

/// Copies rows of `width`.
pub(super) fn copy(pool: &ThreadPool, from: &[f32], width: usize, to: &mut [f32]) {
    for_rows(pool, from.len() / width, to, |rows, to| {
        to.copy_from_slice(&from[rows.start * width..rows.end * width]);
    });
}

/// Makes rows of `width` zero.
pub(super) fn clear(pool: &ThreadPool, width: usize, rows: &mut [f32]) {
    for_rows(pool, rows.len() / width, rows, |_, rows| rows.fill(0.0));
}

/// The gated product of rows `[g, u]` of twice `width`.
pub(super) fn gate(cpu: Cpu, pool: &ThreadPool, gate_up: &[f32], width: usize, out: &mut [f32]) {
    let part = rows_a_part(pool, out.len() / width);
    let parts: Vec<_> = gate_up
        .chunks(part * 2 * width)
        .zip(out.chunks_mut(part * width))
        .collect();
    for_parts(pool, parts, |(gate_up, out)| {
        gated(cpu, Gate::Silu, gate_up, width, out);
    });
}

/// The gradient through a norm on all threads: added to `dx`, written to `d_weight`.
#[allow(clippy::too_many_arguments, reason = "inputs, outputs and threads")]
pub(super) fn norm_backward(
    cpu: Cpu,
    pool: &ThreadPool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    dy: &[f32],
    dx: &mut [f32],
    inverse: &mut [f32],
    d_weight: &mut [f32],
) {
    let d = weight.len();
    let part = rows_a_part(pool, x.len() / d);
    let parts: Vec<_> = x
        .chunks(part * d)
        .zip(dy.chunks(part * d))
        .zip(dx.chunks_mut(part * d))
        .zip(inverse.chunks_mut(part))
        .collect();
    for_parts(pool, parts, |(((x, dy), dx), inverse)| {
        rms_norm_backward(cpu, x, weight, eps, dy, dx, inverse);
    });
    d_weight.fill(0.0);
    let width = d.div_ceil(pool.threads()).next_multiple_of(16);
    let parts: Vec<_> = d_weight.chunks_mut(width).enumerate().collect();
    for_parts(pool, parts, |(index, d_weight)| {
        let columns = index * width..index * width + d_weight.len();
        rms_norm_weight_gradient(cpu, x, dy, inverse, d, columns, d_weight);
    });
}
