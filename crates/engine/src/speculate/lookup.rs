//! Guesses from the sequence itself (prompt lookup): what followed the last time when the last few
//! tokens stood there. That is often right where an answer repeats its prompt: code, quotes, lists,
//! translations of names.

use std::collections::HashMap;

use super::Trust;

/// Tokens that must agree before a guess is made.
const NGRAM: usize = 3;

/// Where the tokens of one sequence stood before.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// The position after each run of [`NGRAM`] tokens, where it stood last.
    after: HashMap<[u32; NGRAM], usize>,
    /// Tokens that are in `after`.
    indexed: usize,
    pub(crate) trust: Trust,
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
}
