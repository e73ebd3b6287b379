//! Muon: momentum whose matrix is made orthogonal before it is added.

use terang_kernels::gemm::{Size, Start, View, Workspace, gemm};
use terang_kernels::rows::{add_scaled, scale};
use terang_kernels::{Cpu, ThreadPool};

/// Coefficients of the quintic iteration, and how often it runs (Jordan et al., 2024).
const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
const ITERATIONS: usize = 5;

/// Constants of a step of one matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) rows: usize,
    pub(super) momentum: f32,
    pub(super) learning_rate: f64,
    pub(super) decay: f32,
    pub(super) gradient_scale: f32,
}

/// Memory for one matrix at a time.
#[derive(Debug, Default)]
pub(super) struct Muon {
    workspace: Workspace,
    x: Vec<f32>,
    next: Vec<f32>,
    gram: Vec<f32>,
    square: Vec<f32>,
}

impl Muon {
    pub(super) fn step(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        step: Step,
        weights: &mut [f32],
        gradient: &[f32],
        momentum: &mut [f32],
    ) {
        let Step {
            rows, momentum: mu, ..
        } = step;
        let cols = weights.len() / rows;
        self.x.clear();
        for (m, g) in momentum.iter_mut().zip(gradient) {
            let g = g * step.gradient_scale;
            *m = mu.mul_add(*m, (1.0 - mu) * g);
            // Nesterov's look ahead.
            self.x.push(mu.mul_add(*m, (1.0 - mu) * g));
        }
        self.orthogonalize(cpu, pool, rows, cols);
        // The root mean square of AdamW's steps (arXiv:2502.16982).
        let size = 0.2 * libm::sqrt(rows.max(cols) as f64);
        scale(cpu, weights, 1.0 - step.decay);
        add_scaled(cpu, weights, &self.x, -(step.learning_rate * size) as f32);
    }

    /// Moves the singular values of `x` towards 1: `X = a X + (b A + c A^2) X` with `A = X X^T`.
    fn orthogonalize(&mut self, cpu: Cpu, pool: &ThreadPool, rows: usize, cols: usize) {
        let [a, b, c] = COEFFICIENTS;
        let norm = super::norm(cpu, pool, &self.x);
        scale(cpu, &mut self.x, (1.0 / (norm + 1e-7)) as f32);
        // The smaller side is multiplied: `X^T X` where there are more rows than columns.
        let tall = rows > cols;
        let side = rows.min(cols);
        self.gram.resize(side * side, 0.0);
        self.square.resize(side * side, 0.0);
        self.next.resize(self.x.len(), 0.0);
        for _ in 0..ITERATIONS {
            let x = View::rows(&self.x, cols);
            let size = Size {
                m: side,
                n: side,
                k: rows.max(cols),
            };
            let (left, right) = if tall {
                (x.transposed(), x)
            } else {
                (x, x.transposed())
            };
            gemm(
                cpu,
                pool,
                &mut self.workspace,
                size,
                left,
                right,
                &mut self.gram,
                side,
                Start::Zero,
            );
            let gram = View::rows(&self.gram, side);
            let size = Size {
                m: side,
                n: side,
                k: side,
            };
            gemm(
                cpu,
                pool,
                &mut self.workspace,
                size,
                gram,
                gram,
                &mut self.square,
                side,
                Start::Zero,
            );
            scale(cpu, &mut self.square, c);
            add_scaled(cpu, &mut self.square, &self.gram, b);
            self.next.copy_from_slice(&self.x);
            scale(cpu, &mut self.next, a);
            let factor = View::rows(&self.square, side);
            let size = Size {
                m: rows,
                n: cols,
                k: side,
            };
            let (left, right) = if tall { (x, factor) } else { (factor, x) };
            gemm(
                cpu,
                pool,
                &mut self.workspace,
                size,
                left,
                right,
                &mut self.next,
                cols,
                Start::Add,
            );
            std::mem::swap(&mut self.x, &mut self.next);
        }
    }

    #[cfg(test)]
    pub(super) fn orthogonal(cpu: Cpu, pool: &ThreadPool, x: &[f32], rows: usize) -> Vec<f32> {
        let mut muon = Self {
            x: x.to_vec(),
            ..Self::default()
        };
        muon.orthogonalize(cpu, pool, rows, x.len() / rows);
        muon.x
    }
}
