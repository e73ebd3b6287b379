//! The parts of a layer between attention and the residual stream: norms, projections, feed-forward
//! and mixtures of experts, each over any number of rows.

use super::forward::Scratch;
use super::weights::{Linear, Mlp};
use crate::config::Experts;
use terang_kernels::matmul::{Activations, Target, matmul};
use terang_kernels::rows::{self, Gate};
use terang_kernels::{Cpu, ThreadPool};

/// `out = norm(x)`, row by row.
pub(super) fn norm(
    cpu: Cpu,
    pool: &ThreadPool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut Vec<f32>,
) {
    out.resize(x.len(), 0.0);
    let d = weight.len();
    rows::for_rows(pool, x.len() / d, out, |range, out| {
        rows::rms_norm(cpu, &x[range.start * d..range.end * d], weight, eps, out);
    });
}

/// `x += y`, or `x += norm(y)` for families that norm a layer's output.
pub(super) fn residual(
    cpu: Cpu,
    pool: &ThreadPool,
    weight: Option<&[f32]>,
    eps: f32,
    y: &mut [f32],
    x: &mut [f32],
) {
    if let Some(weight) = weight {
        rows::for_rows(pool, y.len() / weight.len(), y, |_, y| {
            rows::rms_norm_in_place(cpu, y, weight, eps);
        });
    }
    let y = &*y;
    rows::for_rows(pool, x.len(), x, |range, x| rows::add(cpu, x, &y[range]));
}

/// `out = [x W1^T + b1, x W2^T + b2, …]` for `n` rows.
pub(crate) fn product(
    cpu: Cpu,
    pool: &ThreadPool,
    weights: &[&Linear],
    x: &[f32],
    n: usize,
    activations: &mut Activations,
    out: &mut Vec<f32>,
) {
    let cols = weights[0].matrix.cols();
    activations.set(
        cpu,
        pool,
        x,
        n,
        cols,
        weights.iter().map(|w| w.matrix.dtype()),
    );
    let mut width = 0;
    let mut targets = Vec::with_capacity(weights.len());
    for w in weights {
        targets.push(Target {
            matrix: &w.matrix,
            column: width,
        });
        width += w.matrix.rows();
    }
    out.resize(n * width, 0.0);
    matmul(cpu, pool, &targets, activations, out, width);
    if weights.iter().all(|w| w.bias.is_none()) {
        return;
    }
    rows::for_rows(pool, n, out, |_, out| {
        for row in out.chunks_exact_mut(width) {
            for (target, w) in targets.iter().zip(weights) {
                if let Some(bias) = &w.bias {
                    rows::add(cpu, &mut row[target.column..][..bias.len()], bias);
                }
            }
        }
    });
}

/// `hidden = gate(g) * u` for `n` rows of `[g, u]`.
pub(super) fn activate(
    cpu: Cpu,
    pool: &ThreadPool,
    gate: Gate,
    n: usize,
    gate_up: &[f32],
    hidden: &mut Vec<f32>,
) {
    let width = gate_up.len() / n / 2;
    hidden.resize(n * width, 0.0);
    rows::for_rows(pool, n, hidden, |range, hidden| {
        let part = &gate_up[range.start * 2 * width..range.end * 2 * width];
        rows::gated(cpu, gate, part, width, hidden);
    });
}

/// A mixture of experts: `normed` in, `normed` out. Each token's sum runs over its experts in
/// ascending order, whichever tokens share a product.
#[allow(clippy::too_many_arguments, reason = "one layer's parts")]
pub(super) fn mixture(
    cpu: Cpu,
    pool: &ThreadPool,
    gate: Gate,
    shape: Experts,
    router: &Linear,
    experts: &[Mlp],
    d: usize,
    s: &mut Scratch,
) {
    let n = s.normed.len() / d;
    product(
        cpu,
        pool,
        &[router],
        &s.normed,
        n,
        &mut s.activations,
        &mut s.router,
    );
    let mut assigned: Vec<Vec<(usize, f32)>> = vec![Vec::new(); shape.num_experts];
    for (token, scores) in s.router.chunks_exact_mut(shape.num_experts).enumerate() {
        rows::softmax(cpu, scores);
        let mut order: Vec<usize> = (0..shape.num_experts).collect();
        // Stable: of equal experts the first is taken.
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(shape.num_experts_per_tok);
        let sum: f32 = order.iter().map(|&e| scores[e]).sum();
        for expert in order {
            let weight = if shape.norm_topk_prob {
                scores[expert] / sum
            } else {
                scores[expert]
            };
            assigned[expert].push((token, weight));
        }
    }
    let x = std::mem::take(&mut s.normed);
    let mut out = vec![0.0; x.len()];
    for (mlp, tokens) in experts.iter().zip(&assigned) {
        if tokens.is_empty() {
            continue;
        }
        s.expert_in.clear();
        for &(token, _) in tokens {
            s.expert_in.extend_from_slice(&x[token * d..][..d]);
        }
        let m = tokens.len();
        product(
            cpu,
            pool,
            &[&mlp.gate, &mlp.up],
            &s.expert_in,
            m,
            &mut s.activations,
            &mut s.gate_up,
        );
        activate(cpu, pool, gate, m, &s.gate_up, &mut s.hidden);
        product(
            cpu,
            pool,
            &[&mlp.down],
            &s.hidden,
            m,
            &mut s.activations,
            &mut s.expert_out,
        );
        for (&(token, weight), y) in tokens.iter().zip(s.expert_out.chunks_exact(d)) {
            rows::add_scaled(cpu, &mut out[token * d..][..d], y, weight);
        }
    }
    s.normed = out;
}
