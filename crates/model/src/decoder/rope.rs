//! Rotation angles of rotary position embeddings.

use crate::config::{Rope, RopeScaling};
use std::f64::consts::PI;

/// Cosines and sines of the angles of positions `0..positions`, a row of `dim / 2` a position.
pub fn rope_table(rope: &Rope, positions: usize) -> (Vec<f32>, Vec<f32>) {
    let frequencies = Frequencies::new(rope);
    let (mut cos, mut sin) = (Vec::new(), Vec::new());
    for position in 0..positions {
        frequencies.extend(position, &mut cos, &mut sin);
    }
    (cos, sin)
}

/// Angular frequencies of one rotary embedding, and a factor on its cosines and sines.
#[derive(Clone, Debug)]
pub(super) struct Frequencies {
    inverse: Vec<f32>,
    factor: f64,
}

impl Frequencies {
    /// Computed as the reference implementation does, rounded to f32 where it rounds.
    pub(super) fn new(rope: &Rope) -> Self {
        let n = rope.dim / 2;
        let dim = rope.dim as f64;
        let theta = f64::from(rope.theta);
        let base = |i: usize| libm::pow(theta, -(2.0 * i as f64) / dim);
        let mut factor = 1.0;
        let inverse: Vec<f64> = match &rope.scaling {
            RopeScaling::None => (0..n).map(base).collect(),
            RopeScaling::Linear { factor } => {
                (0..n).map(|i| base(i) / f64::from(*factor)).collect()
            }
            RopeScaling::Factors { factors } => {
                (0..n).map(|i| base(i) / f64::from(factors[i])).collect()
            }
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => {
                let (factor, context) =
                    (f64::from(*factor), *original_max_position_embeddings as f64);
                let (low, high) = (f64::from(*low_freq_factor), f64::from(*high_freq_factor));
                let scaled = |f: f64| {
                    let rotations = context * f / (2.0 * PI);
                    if rotations < low {
                        f / factor
                    } else if rotations > high {
                        f
                    } else {
                        let smooth = (rotations - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                };
                (0..n).map(|i| scaled(base(i))).collect()
            }
            RopeScaling::Yarn {
                factor: divisor,
                original_max_position_embeddings,
                beta_fast,
                beta_slow,
                attention_factor,
            } => {
                factor = f64::from(*attention_factor);
                let context = *original_max_position_embeddings as f64;
                let dimension = |rotations: f32| {
                    dim * libm::log(context / (f64::from(rotations) * 2.0 * PI))
                        / (2.0 * libm::log(theta))
                };
                let low = dimension(*beta_fast).floor().max(0.0);
                let high = dimension(*beta_slow).ceil().min(dim - 1.0);
                let width = if high > low { high - low } else { 0.001 };
                let mixed = |i: usize| {
                    let ramp = ((i as f64 - low) / width).clamp(0.0, 1.0);
                    base(i) / f64::from(*divisor) * ramp + base(i) * (1.0 - ramp)
                };
                (0..n).map(mixed).collect()
            }
        };
        Self {
            inverse: inverse.into_iter().map(|f| f as f32).collect(),
            factor,
        }
    }

    /// Pairs that are rotated.
    pub(super) fn len(&self) -> usize {
        self.inverse.len()
    }

    /// Appends the cosines and sines of a position's angles.
    pub(super) fn extend(&self, position: usize, cos: &mut Vec<f32>, sin: &mut Vec<f32>) {
        for inverse in &self.inverse {
            // The product is rounded to f32, as the models were trained.
            let angle = f64::from(position as f32 * inverse);
            let (s, c) = libm::sincos(angle);
            cos.push((c * self.factor) as f32);
            sin.push((s * self.factor) as f32);
        }
    }
}
