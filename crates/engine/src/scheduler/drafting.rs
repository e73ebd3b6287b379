//! Which sequences guess, how many tokens, and from where.

use super::task::{Guesser, Sink};
use super::{Scheduler, Share};
use crate::runner::Runner;
use crate::speculate::{Speculation, Wish};

/// Guessed tokens of all sequences in one step; each has a row of logits.
const DRAFT_ROWS_MAX: usize = 32;

impl<R: Runner, S: Sink> Scheduler<R, S> {
    /// Lets sequences that decode guess, as far as that is worth the time.
    pub(super) fn draft(&mut self, shares: &mut [Share]) {
        let sequences = shares.len();
        let mut rows = sequences;
        let rows_max = rows + DRAFT_ROWS_MAX;
        // What is wanted of the smaller model, as (share, guesses).
        let mut wanted = Vec::new();
        for (place, share) in shares.iter_mut().enumerate() {
            let task = &mut self.running[share.index].task;
            if task.chosen() == 0 || rows >= rows_max {
                continue;
            }
            let forced = match self.budget.speculation {
                Speculation::Off => 0,
                // Another row costs less than another step.
                _ => task.guess_forced(rows_max - rows),
            };
            if forced > 0 {
                share.tokens += forced;
                rows += forced;
                continue;
            }
            let (from_lookup, from_model) = match (self.budget.speculation, &self.drafter) {
                (Speculation::Off, _) => (0, 0),
                (Speculation::Fixed(count), None) => (count, 0),
                (Speculation::Fixed(count), Some(_)) => (0, count),
                (Speculation::Auto, drafter) => {
                    let cost = &self.step_cost;
                    let lookup = cost.worthwhile(&task.lookup.trust, rows - 1, 0.0);
                    let model = drafter.as_ref().map_or((0, 0.0), |drafter| {
                        let price_s = drafter.price_s(sequences);
                        cost.worthwhile(&drafter.trust, rows - 1, price_s)
                    });
                    // Where both gain, the one that gains more; but there may be nothing to look up.
                    if model.1 > lookup.1 {
                        (0, model.0)
                    } else {
                        (lookup.0, model.0)
                    }
                }
            };
            let guessed = task.look_up(from_lookup.min(rows_max - rows));
            share.tokens += guessed;
            rows += guessed;
            let count = from_model.min(rows_max - rows);
            if guessed == 0 && count > 0 {
                wanted.push((place, count));
                rows += count;
            }
        }
        self.ask_smaller_model(shares, &wanted);
    }

    fn ask_smaller_model(&mut self, shares: &mut [Share], wanted: &[(usize, usize)]) {
        let Some(drafter) = &mut self.drafter else {
            return;
        };
        if wanted.is_empty() {
            // It is tried again when experience has faded.
            drafter.trust.learn(0, 0);
            return;
        }
        let mut counts = vec![0; self.running.len()];
        for &(place, count) in wanted {
            counts[shares[place].index] = count;
        }
        let running = self.running.iter_mut().zip(&counts);
        let mut wishes: Vec<Wish<'_>> = running
            .filter(|&(_, &count)| count > 0)
            .map(|(running, &count)| running.task.wish(count))
            .collect();
        if drafter.fulfil(&mut wishes).is_err() {
            // Answers do not need it.
            self.drafter = None;
            return;
        }
        let guesses: Vec<Vec<u32>> = wishes.into_iter().map(|wish| wish.guesses).collect();
        for (&(place, _), guesses) in wanted.iter().zip(guesses) {
            let share = &mut shares[place];
            let task = &mut self.running[share.index].task;
            share.tokens += task.guess(guesses, Guesser::Model);
        }
    }
}
