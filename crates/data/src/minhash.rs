//! Which documents resemble each other: `MinHash` signatures (Broder 1997), of which a band of numbers that agrees
//! is enough (arXiv:2406.17557 uses 14 bands of 8). Two documents that share the part `s` of their runs of words
//! are found with the probability `1 - (1 - s^rows)^bands`.
//!
//! One permutation in bins (Li, Owen, Zhang 2012): a run falls into one of `bands × rows` bins by its hash and the
//! bin keeps its smallest. A bin that stays empty takes what a fixed sequence of other bins has, so that short
//! documents have whole signatures too (Shrivastava 2017).

use crate::config::Deduplicate;
use crate::words::{Word, gram, mix};
use sha2::{Digest as _, Sha256};

/// What documents are compared by: equal keys mean equal documents, or nearly equal ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// Of its whole text.
    pub(crate) exact: Option<u64>,
    /// Of each band.
    pub(crate) bands: Vec<u64>,
}

impl Keys {
    pub(crate) fn none() -> Self {
        Self::default()
    }
}

/// How keys are made.
pub(crate) struct MinHash {
    exact: bool,
    near: bool,
    bands: usize,
    rows: usize,
    ngram: usize,
}

impl MinHash {
    pub(crate) fn new(settings: &Deduplicate) -> Self {
        Self {
            exact: settings.exact,
            near: settings.near,
            bands: settings.bands,
            rows: settings.rows,
            ngram: settings.ngram,
        }
    }

    /// The keys of a document with these words.
    pub(crate) fn keys(&self, text: &str, words: &[Word]) -> Keys {
        let exact = self.exact.then(|| {
            let digest = Sha256::digest(text.as_bytes());
            digest[..8]
                .iter()
                .fold(0, |key, byte| key << 8 | u64::from(*byte))
        });
        // A document of a few words has no run to be compared by; equal ones are found as such.
        let bands = if self.near && words.len() >= self.ngram {
            self.bands(words)
        } else {
            Vec::new()
        };
        Keys { exact, bands }
    }

    fn bands(&self, words: &[Word]) -> Vec<u64> {
        let bins = self.signature(words);
        bins.chunks(self.rows)
            .enumerate()
            .map(|(band, rows)| {
                let seed = mix(band as u64 + 1);
                rows.iter()
                    .fold(seed, |key, row| mix(key.rotate_left(29) ^ row))
            })
            .collect()
    }

    fn signature(&self, words: &[Word]) -> Vec<u64> {
        const EMPTY: u64 = u64::MAX;
        let count = self.bands * self.rows;
        let mut bins = vec![EMPTY; count];
        for words in words.windows(self.ngram) {
            let hash = gram(words);
            // The upper half says which bin, the lower half how small.
            let bin = (((hash >> 32) * count as u64) >> 32) as usize;
            bins[bin] = bins[bin].min(hash & 0xffff_ffff);
        }
        let filled = bins.clone();
        for (bin, value) in bins.iter_mut().enumerate() {
            let mut attempt = 0;
            while *value == EMPTY {
                let other = mix((bin as u64) << 32 | attempt) % count as u64;
                *value = filled[other as usize];
                attempt += 1;
            }
        }
        bins
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;
    use proptest::prelude::*;

    fn keys(text: &str) -> Keys {
        let mut found = Vec::new();
        words(text, &mut found);
        MinHash::new(&Deduplicate::default()).keys(text, &found)
    }

    fn is_near(a: &str, b: &str) -> bool {
        let (a, b) = (keys(a), keys(b));
        a.bands.iter().zip(&b.bands).any(|(a, b)| a == b)
    }

    fn text(seed: u64, n: u64) -> String {
        let words = (0..n).map(|i| format!("w{}", mix(seed << 20 | i) % 5000));
        words.collect::<Vec<_>>().join(" ") + " "
    }

    #[test]
    fn a_changed_word_is_near_and_another_text_is_not() {
        let a = text(1, 300);
        let mut b = a.clone();
        b.replace_range(40..44, "zzzz");
        assert!(is_near(&a, &a) && is_near(&a, &b));
        assert!((2..200).all(|seed| !is_near(&a, &text(seed, 300))));
        assert_eq!(keys("too short").bands, Vec::<u64>::new());
        assert!(keys("too short").exact.is_some());
    }

    #[test]
    fn how_often_near_documents_are_found_is_as_predicted() {
        // Sets of runs with a known overlap: words are all different, the last part is replaced.
        for (replaced, low, high) in [(8, 0.9, 1.0), (30, 0.55, 1.0), (120, 0.0, 0.15)] {
            let found = (0..100).filter(|&seed| {
                let n = 200;
                let a = text(seed, n);
                let b = text(seed, n - replaced) + &text(seed + 7777, replaced);
                is_near(&a, &b)
            });
            let part = found.count() as f64 / 100.0;
            assert!((low..=high).contains(&part), "{replaced}: {part}");
        }
    }

    proptest! {
        /// A signature is the smallest of each bin: the order of runs, and how often one stands, are nothing.
        #[test]
        fn a_signature_is_of_the_set(seed in 0u64..1000, n in 5u64..60, times in 1usize..4) {
            let minhash = MinHash::new(&Deduplicate { ngram: 1, ..Deduplicate::default() });
            let mut found = Vec::new();
            words(&text(seed, n), &mut found);
            let signature = minhash.signature(&found);
            let mut other: Vec<Word> = found.iter().rev().copied().cycle().take(found.len() * times).collect();
            prop_assert_eq!(&signature, &minhash.signature(&other));
            other.push(Word { hash: 12345, chars: 1, has_letter: true });
            let changed = minhash.signature(&other).iter().zip(&signature).filter(|(a, b)| a != b).count();
            prop_assert!(changed < signature.len());
        }
    }
}
