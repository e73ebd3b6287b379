//! What is wanted of a prompt itself, beside an answer to it: how likely its tokens are, or the mean
//! of its hidden states. It is gathered chunk by chunk, in order of position, so that no more of it
//! exists at once than was asked for.

use crate::runner::LogitsWanted;
use crate::{Result, TokenLogprob};

/// What has been gathered so far.
#[derive(Clone, Debug)]
pub(crate) enum Harvest {
    /// Log-probabilities, each with `count` alternatives; the first token has none.
    Logprobs {
        count: usize,
        prompt_len: usize,
        found: Vec<Option<TokenLogprob>>,
    },
    /// Hidden states, added in order of position.
    Hidden {
        prompt_len: usize,
        positions: usize,
        sums: Vec<f64>,
    },
}

impl Harvest {
    pub(crate) fn logprobs(prompt_len: usize, count: usize) -> Self {
        Self::Logprobs {
            count,
            prompt_len,
            found: vec![None],
        }
    }

    pub(crate) fn hidden(prompt_len: usize, hidden_size: usize) -> Self {
        Self::Hidden {
            prompt_len,
            positions: 0,
            sums: vec![0.0; hidden_size],
        }
    }

    /// Positions that need not be evaluated again.
    pub(super) fn positions(&self) -> usize {
        match self {
            Self::Logprobs { found, .. } => found.len() - 1,
            Self::Hidden { positions, .. } => *positions,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match self {
            Self::Logprobs {
                prompt_len, found, ..
            } => found.len() == *prompt_len,
            Self::Hidden {
                prompt_len,
                positions,
                ..
            } => positions == prompt_len,
        }
    }

    pub(super) fn wanted(&self) -> LogitsWanted {
        match self {
            Self::Logprobs { .. } => LogitsWanted::All,
            Self::Hidden { .. } => LogitsWanted::Hidden,
        }
    }

    /// The alternatives wanted of each token, if it is log-probabilities that are.
    pub(super) fn alternatives(&self) -> Option<usize> {
        match self {
            Self::Logprobs { count, .. } => Some(*count),
            Self::Hidden { .. } => None,
        }
    }

    /// The next log-probability.
    pub(super) fn add_logprob(&mut self, logprob: Result<TokenLogprob>) -> Result<()> {
        if let Self::Logprobs { found, .. } = self {
            found.push(Some(logprob?));
        }
        Ok(())
    }

    /// The hidden states of the positions from `start` on.
    pub(super) fn add_hidden(&mut self, start: usize, rows: &[f32]) {
        let Self::Hidden {
            positions, sums, ..
        } = self
        else {
            return;
        };
        for (position, row) in (start..).zip(rows.chunks_exact(sums.len())) {
            // Those that were added before the sequence had to make way are evaluated again.
            if position == *positions {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum += f64::from(x);
                }
                *positions += 1;
            }
        }
    }

    /// The mean of the hidden states, scaled to length 1. (The mean's length does not matter then, so
    /// the sum will do.)
    pub(super) fn embedding(self) -> Vec<f32> {
        let Self::Hidden { sums, .. } = self else {
            return Vec::new();
        };
        let squares: f64 = sums.iter().map(|x| x * x).sum();
        let scale = if squares > 0.0 {
            1.0 / squares.sqrt()
        } else {
            0.0
        };
        sums.into_iter().map(|x| (x * scale) as f32).collect()
    }
}
