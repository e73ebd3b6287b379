//! Matrix products of a step, in either precision.

use std::collections::HashMap;
use std::sync::Arc;
use terang_kernels::gemm::bf16::{Packed, multiply};
use terang_kernels::gemm::{Precision, Size, Start, View, Workspace, gemm};
use terang_kernels::{Cpu, ThreadPool};

/// Products on the threads of a decoder.
#[derive(Debug)]
pub(super) struct Products {
    pub(super) cpu: Cpu,
    pub(super) pool: Arc<ThreadPool>,
    pub(super) precision: Precision,
    workspace: Workspace,
    /// Sides of a bf16 product that change with each.
    left: Packed,
    right: Packed,
    weights: Weights,
}

/// Weights as right sides of bf16 products.
#[derive(Debug, Default)]
struct Weights {
    /// By address and direction, with the hold in which they were packed.
    packed: HashMap<(usize, bool), (u64, Packed)>,
    hold: u64,
    is_held: bool,
}

impl Products {
    pub(super) fn new(cpu: Cpu, pool: Arc<ThreadPool>) -> Self {
        Self {
            cpu,
            pool,
            precision: Precision::F32,
            workspace: Workspace::new(),
            left: Packed::new(),
            right: Packed::new(),
            weights: Weights::default(),
        }
    }

    /// Weights do not change until [`Self::release`].
    pub(super) fn hold(&mut self) {
        self.weights.hold += 1;
        self.weights.is_held = true;
    }

    pub(super) fn release(&mut self) {
        self.weights.is_held = false;
    }

    /// `c = x W^T` (or `c += …`) for rows of `inputs`, `W` being `[outputs, inputs]`.
    pub(super) fn forward(
        &mut self,
        x: &[f32],
        w: &[f32],
        inputs: usize,
        c: &mut [f32],
        start: Start,
    ) {
        let size = Size {
            m: x.len() / inputs,
            n: w.len() / inputs,
            k: inputs,
        };
        let x = View::rows(x, inputs);
        match self.precision {
            Precision::F32 => self.exact(size, x, View::rows(w, inputs).transposed(), c, start),
            Precision::Bf16 => self.by_weights(size, x, w, true, c, start),
        }
    }

    /// As [`Self::forward`] in single precision: for a few rows, rounding the weights would cost more than
    /// their products do.
    pub(super) fn forward_of_few(
        &mut self,
        x: &[f32],
        w: &[f32],
        inputs: usize,
        c: &mut [f32],
        start: Start,
    ) {
        let precision = std::mem::replace(&mut self.precision, Precision::F32);
        self.forward(x, w, inputs, c, start);
        self.precision = precision;
    }

    /// `dx = dy W`.
    pub(super) fn input_gradient(
        &mut self,
        dy: &[f32],
        w: &[f32],
        inputs: usize,
        dx: &mut [f32],
        start: Start,
    ) {
        let outputs = w.len() / inputs;
        let size = Size {
            m: dy.len() / outputs,
            n: inputs,
            k: outputs,
        };
        let dy = View::rows(dy, outputs);
        match self.precision {
            Precision::F32 => self.exact(size, dy, View::rows(w, inputs), dx, start),
            Precision::Bf16 => self.by_weights(size, dy, w, false, dx, start),
        }
    }

    /// `dW = dy^T x`, summed over the tokens in ascending order.
    pub(super) fn weight_gradient(
        &mut self,
        dy: &[f32],
        x: &[f32],
        inputs: usize,
        dw: &mut [f32],
        start: Start,
    ) {
        let tokens = x.len() / inputs;
        let outputs = dy.len() / tokens;
        let size = Size {
            m: outputs,
            n: inputs,
            k: tokens,
        };
        let (dy, x) = (View::rows(dy, outputs).transposed(), View::rows(x, inputs));
        match self.precision {
            Precision::F32 => self.exact(size, dy, x, dw, start),
            Precision::Bf16 => {
                let (cpu, pool) = (self.cpu, &self.pool);
                self.left.left(cpu, pool, dy, size.m, size.k);
                self.right.right(cpu, pool, x, size.k, size.n);
                multiply(cpu, pool, &self.left, &self.right, dw, size.n, start);
            }
        }
    }

    fn exact(&mut self, size: Size, a: View<'_>, b: View<'_>, c: &mut [f32], start: Start) {
        let (cpu, pool, n) = (self.cpu, &self.pool, size.n);
        gemm(cpu, pool, &mut self.workspace, size, a, b, c, n, start);
    }

    /// A product whose right side is weights, or those with rows and columns swapped.
    fn by_weights(
        &mut self,
        size: Size,
        a: View<'_>,
        w: &[f32],
        is_transposed: bool,
        c: &mut [f32],
        start: Start,
    ) {
        let (cpu, pool) = (self.cpu, &self.pool);
        let b = if is_transposed {
            View::rows(w, size.k).transposed()
        } else {
            View::rows(w, size.n)
        };
        let weights = &mut self.weights;
        let right = if weights.is_held {
            let key = (w.as_ptr().addr(), is_transposed);
            let (hold, packed) = weights.packed.entry(key).or_default();
            if *hold != weights.hold {
                packed.right(cpu, pool, b, size.k, size.n);
                *hold = weights.hold;
            }
            packed
        } else {
            self.right.right(cpu, pool, b, size.k, size.n);
            &mut self.right
        };
        self.left.left(cpu, pool, a, size.m, size.k);
        multiply(cpu, pool, &self.left, right, c, size.n, start);
    }
}
