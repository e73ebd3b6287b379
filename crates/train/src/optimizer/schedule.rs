//! The learning rate over the steps of a stage.

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Curve {
    /// Along a cosine from the highest to the last rate (arXiv:1608.03983).
    #[default]
    Cosine,
    /// Warmup, stable, decay (MiniCPM, arXiv:2404.06395): straight down over the last `decay` steps.
    Wsd,
    /// Not at all.
    Constant,
}

/// The learning rate's course.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// How it falls.
    pub curve: Curve,
    /// Steps in which it rises from 0.
    pub warmup: u64,
    /// Steps in which it falls, for `wsd`; 0 is a fifth of all.
    pub decay: u64,
    /// The last rate, as a fraction of the highest.
    pub last: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            curve: Curve::Cosine,
            warmup: 0,
            decay: 0,
            last: 0.1,
        }
    }
}

impl Schedule {
    /// The fraction of the highest rate at `step` (from 0) of `steps`.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup {
            return (step + 1) as f64 / self.warmup as f64;
        }
        let fall = |done: f64, of: f64| (done / of.max(1.0)).clamp(0.0, 1.0);
        match self.curve {
            Curve::Constant => 1.0,
            Curve::Cosine => {
                let part = fall(
                    (step - self.warmup) as f64,
                    (steps.saturating_sub(self.warmup)) as f64,
                );
                self.last + (1.0 - self.last) * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * part))
            }
            Curve::Wsd => {
                let decay = if self.decay == 0 {
                    steps / 5
                } else {
                    self.decay
                };
                let begins = steps.saturating_sub(decay);
                let part = fall(step.saturating_sub(begins) as f64, decay as f64);
                1.0 - (1.0 - self.last) * part
            }
        }
    }
}
