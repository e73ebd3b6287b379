//! Guessing tokens so that several can be evaluated in one step. A guess never changes an answer: it
//! only decides which rows of logits exist already when a token is chosen.
//!
//! Guesses come from the sequence itself (prompt lookup): what followed the last time when the last
//! few tokens stood there. That is often right where an answer repeats its prompt: code, quotes,
//! lists, translations of names. How many are worth their time is decided from what guesses were
//! right so far and from what steps of more rows have been seen to cost.

use std::collections::HashMap;

/// Tokens that must agree before a guess is made.
const NGRAM: usize = 3;
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

/// Where the tokens of one sequence stood before.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The position after each run of [`NGRAM`] tokens, where it stood last.
    after: HashMap<[u32; NGRAM], usize>,
    /// Tokens that are in `after`.
    indexed: usize,
    right: f64,
    tried: f64,
}

impl Lookup {
    /// Up to `count` tokens that may come next.
    pub(crate) fn draft(&mut self, tokens: &[u32], count: usize) -> Vec<u32> {
        // The last run is not entered: it would find itself.
        let ends = self.indexed.max(NGRAM)..tokens.len();
        for end in ends {
            if let Some(run) = tokens[..end].last_chunk() {
                self.after.insert(*run, end);
            }
            self.indexed = end + 1;
        }
        let Some(&from) = tokens.last_chunk().and_then(|run| self.after.get(run)) else {
            return Vec::new();
        };
        tokens[from..].iter().take(count).copied().collect()
    }

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
    /// with `rows` rows of others.
    pub(crate) fn worthwhile(&self, lookup: &Lookup, rows: usize) -> usize {
        let (fixed, slope) = self.line();
        let chance = lookup.chance();
        let others = rows as f64;
        let mut best = (0, 0.0);
        let (mut expected, mut likely) = (0.0, 1.0);
        for guesses in 0..=DRAFT_MAX {
            expected += likely;
            likely *= chance;
            let time = fixed + slope * (others + 1.0 + guesses as f64);
            let speed = (others + expected) / time;
            // A gain of a few percent is within the error of the estimate.
            if speed > best.1 * 1.03 {
                best = (guesses, speed);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_last_time_is_guessed() {
        let mut lookup = Lookup::default();
        assert!(lookup.draft(&[1, 2, 3], 8).is_empty());
        let mut tokens = vec![1, 2, 3, 4, 5, 6, 1, 2, 3];
        assert_eq!(lookup.draft(&tokens, 8), [4, 5, 6, 1, 2, 3]);
        assert_eq!(lookup.draft(&tokens, 2), [4, 5]);
        tokens.extend([9, 1, 2, 3]);
        assert_eq!(lookup.draft(&tokens, 1), [9]);
        tokens.push(7);
        assert!(lookup.draft(&tokens, 8).is_empty());
    }

    #[test]
    fn guesses_that_fail_are_given_up_and_tried_again_later() {
        let mut cost = StepCost::new();
        for rows in [1, 2, 4, 8, 1, 2, 4, 8].repeat(20) {
            cost.learn(rows, 4e-3 + 1e-3 * rows as f64);
        }
        let mut lookup = Lookup::default();
        assert!(cost.worthwhile(&lookup, 0) > 0);
        for _ in 0..10 {
            lookup.learn(0, 4);
        }
        assert_eq!(cost.worthwhile(&lookup, 0), 0);
        for _ in 0..1000 {
            lookup.learn(0, 0);
        }
        assert!(cost.worthwhile(&lookup, 0) > 0);
        for _ in 0..30 {
            lookup.learn(8, 8);
        }
        assert_eq!(cost.worthwhile(&lookup, 0), DRAFT_MAX);
    }

    #[test]
    fn rows_that_cost_as_much_as_a_step_are_not_spent_on_guesses() {
        let mut cost = StepCost::new();
        for rows in [1, 2, 4, 8].repeat(100) {
            cost.learn(rows, 1e-3 * rows as f64);
        }
        assert_eq!(cost.worthwhile(&Lookup::default(), 0), 0);
    }
}
