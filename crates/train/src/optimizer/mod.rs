//! Optimizers over a model's parameters, and the learning rate over the steps.

mod muon;
mod schedule;
#[cfg(test)]
mod tests;

pub use schedule::{Curve, Schedule};

use crate::decoder::{Kind, Table};
use crate::parallel::for_parts;
use muon::Muon;
use serde::{Deserialize, Serialize};
use terang_kernels::training::{AdamW, sum_of_squares};
use terang_kernels::{Cpu, ThreadPool};

/// Which rule moves the matrices inside of layers; all else is AdamW's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// AdamW (arXiv:1711.05101).
    #[default]
    Adamw,
    /// Muon (Jordan et al., 2024), scaled so that AdamW's learning rate fits (arXiv:2502.16982).
    Muon,
}

/// An optimizer's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The rule for matrices.
    pub rule: Rule,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Decay of weights, times the learning rate; norms and embeddings have none.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Momentum of Muon.
    pub momentum: f64,
    /// The gradient's norm is cut to this; 0 leaves it as it is.
    pub clip: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule: Rule::Adamw,
            learning_rate: 1e-3,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            momentum: 0.95,
            clip: 1.0,
        }
    }
}

/// The optimizer's memory: moments of every parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// First moments, or Muon's momentum.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
    /// Steps that were made.
    pub steps: u64,
}

/// A gradient, and its norm.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<'a> {
    numbers: &'a [f32],
    /// Before it is cut.
    pub norm: f64,
}

impl<'a> Gradient<'a> {
    /// Finds the norm.
    pub fn new(cpu: Cpu, pool: &ThreadPool, numbers: &'a [f32]) -> Self {
        let norm = norm(cpu, pool, numbers);
        Self { numbers, norm }
    }
}

/// Moves parameters by gradients.
#[derive(Debug)]
pub struct Optimizer {
    settings: Settings,
    state: State,
    muon: Muon,
}

/// Elements of which squares are added apart; a multiple of what [`sum_of_squares`] asks for.
const NORM_PART: usize = 1 << 18;
/// Elements that one task moves.
const STEP_PART: usize = 1 << 16;

impl Optimizer {
    /// An optimizer at its first step.
    pub fn new(settings: &Settings, table: &Table) -> Self {
        let state = State {
            m: vec![0.0; table.len],
            v: vec![0.0; table.len],
            steps: 0,
        };
        Self::resume(settings, state)
    }

    /// An optimizer that goes on from `state`.
    pub fn resume(settings: &Settings, state: State) -> Self {
        Self {
            settings: settings.clone(),
            state,
            muon: Muon::default(),
        }
    }

    /// What it remembers.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// One step with that learning rate.
    pub fn step(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        table: &Table,
        parameters: &mut [f32],
        gradient: Gradient<'_>,
        learning_rate: f64,
    ) {
        let s = &self.settings;
        let norm = gradient.norm;
        let scale = if s.clip > 0.0 && norm > s.clip {
            s.clip / norm
        } else {
            1.0
        };
        self.state.steps += 1;
        let steps = i32::try_from(self.state.steps).unwrap_or(i32::MAX);
        let adamw = AdamW {
            beta1: s.beta1 as f32,
            beta2: s.beta2 as f32,
            step_size: (learning_rate / (1.0 - libm::pow(s.beta1, f64::from(steps)))) as f32,
            second_correction: (1.0 / (1.0 - libm::pow(s.beta2, f64::from(steps)))) as f32,
            eps: s.eps as f32,
            decay: 0.0,
            gradient_scale: scale as f32,
        };
        let decay = (learning_rate * s.weight_decay) as f32;
        let mut parts = Vec::new();
        let (mut w, mut m, mut v) = (parameters, &mut self.state.m[..], &mut self.state.v[..]);
        for tensor in &table.tensors {
            let n = tensor.range.len();
            let g = &gradient.numbers[tensor.range.clone()];
            let ((w1, w2), (m1, m2), (v1, v2)) =
                (w.split_at_mut(n), m.split_at_mut(n), v.split_at_mut(n));
            (w, m, v) = (w2, m2, v2);
            let is_matrix = matches!(tensor.kind, Kind::Matrix | Kind::Residual);
            if is_matrix && s.rule == Rule::Muon {
                let step = muon::Step {
                    rows: tensor.shape[0],
                    momentum: s.momentum as f32,
                    learning_rate,
                    decay,
                    gradient_scale: scale as f32,
                };
                self.muon.step(cpu, pool, step, w1, g, m1);
                continue;
            }
            let rule = AdamW {
                decay: if is_matrix { decay } else { 0.0 },
                ..adamw
            };
            let state = m1.chunks_mut(STEP_PART).zip(v1.chunks_mut(STEP_PART));
            let chunks = w1.chunks_mut(STEP_PART).zip(g.chunks(STEP_PART)).zip(state);
            parts.extend(chunks.map(|((w, g), (m, v))| (rule, w, g, m, v)));
        }
        for_parts(pool, parts, |(rule, w, g, m, v)| rule.step(cpu, w, g, m, v));
    }
}

/// The norm of a gradient, summed in one order whatever the threads.
fn norm(cpu: Cpu, pool: &ThreadPool, gradient: &[f32]) -> f64 {
    let mut sums = vec![0.0f64; gradient.len().div_ceil(NORM_PART)];
    let parts: Vec<_> = gradient.chunks(NORM_PART).zip(&mut sums).collect();
    for_parts(pool, parts, |(x, sum)| *sum = sum_of_squares(cpu, x));
    sums.iter().sum::<f64>().sqrt()
}
