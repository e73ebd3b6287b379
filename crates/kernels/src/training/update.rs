//! The optimizer's arithmetic.

use crate::cpu::{Cpu, multiversion};
use crate::rows::tree_sum;

/// Constants of one step of AdamW (arXiv:1711.05101), bias corrections already in them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// The learning rate over `1 - beta1^step`.
    pub step_size: f32,
    /// `1 / (1 - beta2^step)`.
    pub second_correction: f32,
    /// Added to the root.
    pub eps: f32,
    /// The learning rate times the weight decay.
    pub decay: f32,
    /// Factor on the gradient, for clipping.
    pub gradient_scale: f32,
}

impl AdamW {
    /// One step over a part of the parameters.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn step(
        &self,
        cpu: Cpu,
        weights: &mut [f32],
        gradient: &[f32],
        m: &mut [f32],
        v: &mut [f32],
    ) {
        let n = weights.len();
        assert!(
            gradient.len() == n && m.len() == n && v.len() == n,
            "optimizer: lengths differ"
        );
        let constants = *self;
        multiversion!(cpu, adamw_plain, (
            constants: AdamW, weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32],
        ));
    }
}

#[inline(always)]
fn adamw_plain(c: AdamW, weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32]) {
    let state = m.iter_mut().zip(v);
    for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(state) {
        let g = g * c.gradient_scale;
        *m = c.beta1.mul_add(*m, (1.0 - c.beta1) * g);
        *v = c.beta2.mul_add(*v, (1.0 - c.beta2) * (g * g));
        let root = (*v * c.second_correction).sqrt() + c.eps;
        *w = (-c.decay).mul_add(*w, *w) - c.step_size * *m / root;
    }
}

/// Elements whose squares are added in single precision, before double takes over.
const PART: usize = 4096;

/// The sum of squares: parts of 4096 elements in 16 virtual lanes, then the parts in order in f64. Slices
/// whose length is a multiple of 4096 can be summed apart and their sums added in order.
pub fn sum_of_squares(cpu: Cpu, x: &[f32]) -> f64 {
    let mut total = 0.0f64;
    for part in x.chunks(PART) {
        let mut sum = 0.0f32;
        squares(cpu, part, &mut sum);
        total += f64::from(sum);
    }
    total
}

fn squares(cpu: Cpu, x: &[f32], sum: &mut f32) {
    multiversion!(cpu, squares_plain, (x: &[f32], sum: &mut f32));
}

#[inline(always)]
fn squares_plain(x: &[f32], sum: &mut f32) {
    let mut lanes = [0.0f32; 16];
    let (sixteens, rest) = x.as_chunks::<16>();
    for x in sixteens {
        for i in 0..16 {
            lanes[i] = x[i].mul_add(x[i], lanes[i]);
        }
    }
    for (x, lane) in rest.iter().zip(&mut lanes) {
        *lane = x.mul_add(*x, *lane);
    }
    *sum = tree_sum(lanes);
}
