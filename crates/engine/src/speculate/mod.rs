//! Guessing tokens so that several can be evaluated in one step. A guess never changes an answer: it
//! only decides which rows of logits exist already when a token is chosen.
//!
//! Guesses come from a constraint that leaves no choice, from the sequence itself ([`lookup`]) or
//! from a smaller model ([`model`]). Which of the last two, and how many are worth their time, is
//! decided from what guesses were right so far and from what steps of more rows, and steps of the
//! smaller model, have been seen to cost.

mod lookup;
mod model;

pub(crate) use lookup::Lookup;
pub(crate) use model::{Drafter, Wish};

/// Most guesses of one sequence in a step.
pub(crate) const DRAFT_MAX: usize = 8;
/// What is believed of guesses before any was tried, as if this many had been.
const PRIOR_RIGHT: f64 = 1.2;
const PRIOR_TRIED: f64 = 2.0;
/// How fast experience fades, for each guess tried and for each step without.
const FADE: f64 = 0.95;
const FADE_IDLE: f64 = 0.99;

/// Whether tokens are guessed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speculation {
    /// Never.
    Off,
    /// As many as are expected to save time.
    #[default]
    Auto,
    /// Up to this many a step, whatever they cost.
    Fixed(usize),
}

/// How often guesses of one kind proved right lately.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    right: f64,
    tried: f64,
}

impl Trust {
    /// Remembers that of `drafted` guesses the first `right` were right.
    pub(crate) fn learn(&mut self, right: usize, drafted: usize) {
        let fade = if drafted == 0 { FADE_IDLE } else { FADE };
        self.right *= fade;
        self.tried *= fade;
        self.right += right as f64;
        // Those after the first wrong one were not tried.
        self.tried += (right + 1).min(drafted) as f64;
    }

    /// How likely a guess is right.
    fn chance(&self) -> f64 {
        ((self.right + PRIOR_RIGHT) / (self.tried + PRIOR_TRIED)).min(0.99)
    }
}

/// What a step costs, learnt from steps: a fixed part and a part for each row, by least squares over
/// steps that fade.
#[derive(Debug)]
pub(crate) struct StepCost {
    weight: f64,
    rows: f64,
    time: f64,
    rows_rows: f64,
    rows_time: f64,
}

impl StepCost {
    /// A first guess, in arbitrary units: a row costs a tenth of the fixed part.
    pub(crate) fn new() -> Self {
        let mut cost = Self {
            weight: 0.0,
            rows: 0.0,
            time: 0.0,
            rows_rows: 0.0,
            rows_time: 0.0,
        };
        cost.learn(1, 1.1e-3);
        cost.learn(8, 1.8e-3);
        cost
    }

    /// Remembers a step that decoded `rows` rows in `seconds`.
    pub(crate) fn learn(&mut self, rows: usize, seconds: f64) {
        let (x, y) = (rows as f64, seconds);
        for (sum, term) in [
            (&mut self.weight, 1.0),
            (&mut self.rows, x),
            (&mut self.time, y),
            (&mut self.rows_rows, x * x),
            (&mut self.rows_time, x * y),
        ] {
            *sum = *sum * 0.98 + term;
        }
    }

    /// A step's time, and that of each row more.
    fn line(&self) -> (f64, f64) {
        let spread = self.weight * self.rows_rows - self.rows * self.rows;
        let mean = self.time / self.weight;
        // Steps of one size alone say nothing about others.
        let slope = if spread > 1e-6 * self.weight * self.rows_rows {
            (self.weight * self.rows_time - self.rows * self.time) / spread
        } else {
            0.1 * mean / (1.0 + 0.1 * self.rows / self.weight)
        };
        let slope = slope.clamp(0.0, mean);
        let fixed = (mean - slope * self.rows / self.weight).max(0.0);
        (fixed, slope)
    }

    /// How many guesses make the most tokens in the least time, for a sequence that shares its step
    /// with `rows` rows of others and pays `price_s` for each guess; and how fast that is, in tokens
    /// a second.
    pub(crate) fn worthwhile(&self, trust: &Trust, rows: usize, price_s: f64) -> (usize, f64) {
        let (fixed, slope) = self.line();
        let chance = trust.chance();
        let others = rows as f64;
        let mut best = (0, 0.0);
        let (mut expected, mut likely) = (0.0, 1.0);
        for guesses in 0..=DRAFT_MAX {
            expected += likely;
            likely *= chance;
            let guesses_s = guesses as f64 * (slope + price_s);
            let time = fixed + slope * (others + 1.0) + guesses_s;
            let speed = (others + expected) / time;
            // A gain of a few percent is within the error of the estimate.
            if speed > best.1 * 1.03 {
                best = (guesses, speed);
            }
        }
        best
    }

    /// What each of so many sequences pays for its row of a step that they share.
    fn price_s(&self, sequences: usize) -> f64 {
        let (fixed, slope) = self.line();
        fixed / sequences.max(1) as f64 + slope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_that_fail_are_given_up_and_tried_again_later() {
        let mut cost = StepCost::new();
        for rows in [1, 2, 4, 8, 1, 2, 4, 8].repeat(20) {
            cost.learn(rows, 4e-3 + 1e-3 * rows as f64);
        }
        let mut trust = Trust::default();
        assert!(cost.worthwhile(&trust, 0, 0.0).0 > 0);
        for _ in 0..10 {
            trust.learn(0, 4);
        }
        assert_eq!(cost.worthwhile(&trust, 0, 0.0).0, 0);
        for _ in 0..1000 {
            trust.learn(0, 0);
        }
        assert!(cost.worthwhile(&trust, 0, 0.0).0 > 0);
        for _ in 0..30 {
            trust.learn(8, 8);
        }
        assert_eq!(cost.worthwhile(&trust, 0, 0.0).0, DRAFT_MAX);
    }

    #[test]
    fn rows_that_cost_as_much_as_a_step_are_not_spent_on_guesses() {
        let mut cost = StepCost::new();
        for rows in [1, 2, 4, 8].repeat(100) {
            cost.learn(rows, 1e-3 * rows as f64);
        }
        assert_eq!(cost.worthwhile(&Trust::default(), 0, 0.0).0, 0);
    }

    #[test]
    fn a_price_on_guesses_is_weighed_against_their_gain() {
        let mut cost = StepCost::new();
        for rows in [1, 2, 4, 8].repeat(100) {
            cost.learn(rows, 4e-3 + 0.1e-3 * rows as f64);
        }
        let mut trust = Trust::default();
        for _ in 0..30 {
            trust.learn(4, 4);
        }
        let (free, fast) = cost.worthwhile(&trust, 0, 0.0);
        let (dear, slow) = cost.worthwhile(&trust, 0, 1e-3);
        assert!(free >= dear && dear > 0 && fast > slow);
        // A model as slow as the one it guesses for saves nothing.
        assert_eq!(cost.worthwhile(&trust, 0, 4.1e-3).0, 0);
    }
}
