//! How much of a text was said before in it (Gopher, table A1). Numbers are compared, and nothing is kept by its words.

use crate::words::Word;
use memchr::memmem;

const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whether more of the pieces, or of the text in them, than is allowed was said before.
pub(super) fn pieces(text: &str, between: &str, pieces_max: f64, text_max: f64) -> bool {
    let ends = memmem::find_iter(text.as_bytes(), between).chain([text.len()]);
    let mut begin = 0;
    let mut found: Vec<(u64, usize)> = ends
        .map(|end| {
            let piece = text[begin..end].trim();
            begin = end + between.len();
            piece
        })
        .filter(|piece| !piece.is_empty())
        .map(|piece| (hash(piece), piece.len()))
        .collect();
    let bytes: usize = found.iter().map(|(_, bytes)| bytes).sum();
    let all = found.len();
    found.sort_unstable();
    let again = found.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    let (count, bytes_again) = again.fold((0, 0), |(n, bytes), pair| (n + 1, bytes + pair[1].1));
    all > 0
        && (f64::from(count) > pieces_max * all as f64
            || bytes_again as f64 > text_max * bytes as f64)
}

/// One number for a piece, eight bytes at a time.
fn hash(piece: &str) -> u64 {
    let (eights, rest) = piece.as_bytes().as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let numbers = eights
        .iter()
        .chain([&last])
        .map(|bytes| u64::from_le_bytes(*bytes));
    numbers.fold(piece.len() as u64, |hash, number| {
        let wide = u128::from(hash.rotate_left(29) ^ number) * u128::from(PRIME);
        (wide >> 64) as u64 ^ wide as u64
    })
}

/// A run of words that stands in a text.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u32,
    /// Its place in the table.
    place: u32,
    /// Of its words; equal runs have equal numbers.
    key: u64,
}

/// Equal runs: how many, and the place in the list of the first of them.
#[derive(Clone, Copy, Debug, Default)]
struct Equal {
    count: u32,
    first: u32,
}

/// The runs of one length that may stand in a text more than once; room that is kept from text to text.
///
/// A run of words can only stand twice where both the one that it begins with and the one that it ends with do, each
/// a word shorter. So each length leaves fewer for the next: a page has hardly any at four words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs {
    /// How many words; 0 before the first.
    n: usize,
    list: Vec<Run>,
    table: Vec<Equal>,
}

impl Runs {
    /// Begins with another text.
    pub(super) fn begin(&mut self) {
        self.n = 0;
    }

    /// Counts runs of `n` words.
    fn count(&mut self, words: &[Word], n: usize) {
        let add = |key: u64, word: &Word| (key.rotate_left(23) ^ word.hash).wrapping_mul(PRIME);
        if self.n + 1 == n && n > 1 {
            let stands_again = |run: &Run| self.table[run.place as usize].count > 1;
            let mut kept = 0;
            for i in 1..self.list.len() {
                let (run, next) = (self.list[i - 1], self.list[i]);
                if run.at + 1 == next.at && stands_again(&run) && stands_again(&next) {
                    let key = add(run.key, &words[run.at as usize + n - 1]);
                    self.list[kept] = Run { key, ..run };
                    kept += 1;
                }
            }
            self.list.truncate(kept);
        } else {
            self.list.clear();
            let runs = words.windows(n).enumerate();
            self.list.extend(runs.map(|(at, run)| Run {
                at: at as u32,
                place: 0,
                key: run.iter().fold(PRIME, add),
            }));
        }
        self.n = n;
        // A table of open addressing: at least twice as many places as runs, a power of two.
        let bits = (2 * self.list.len()).next_power_of_two().ilog2().max(4);
        self.table.clear();
        self.table.resize(1 << bits, Equal::default());
        let mask = self.table.len() - 1;
        for i in 0..self.list.len() {
            let key = self.list[i].key;
            let mut place = (key >> (64 - bits)) as usize;
            loop {
                let equal = &mut self.table[place];
                if equal.count == 0 {
                    equal.first = i as u32;
                } else if self.list[equal.first as usize].key != key {
                    place = (place + 1) & mask;
                    continue;
                }
                equal.count += 1;
                break;
            }
            self.list[i].place = place as u32;
        }
    }

    /// Runs with how many are equal, and whether one stands before.
    fn counted(&self) -> impl Iterator<Item = (usize, u32, bool)> {
        self.list.iter().enumerate().map(|(i, run)| {
            let equal = self.table[run.place as usize];
            (run.at as usize, equal.count, equal.first != i as u32)
        })
    }

    /// Whether the most frequent 2, 3 or 4 words that follow each other are too much of the text.
    pub(super) fn top_gram(&mut self, words: &[Word]) -> bool {
        let chars = chars_of(words);
        [(2, 0.20), (3, 0.18), (4, 0.16)].iter().any(|&(n, max)| {
            self.count(words, n);
            let again = self
                .counted()
                .filter(|(_, count, is_again)| *count > 1 && !is_again);
            let most = again
                .map(|(at, count, _)| u64::from(count) * chars_of(&words[at..at + n]))
                .max()
                .unwrap_or(0);
            most as f64 > max * chars as f64
        })
    }

    /// Whether too many characters stand in 5 to 10 words that were said in that order before.
    pub(super) fn grams(&mut self, words: &[Word]) -> bool {
        let chars = chars_of(words);
        // A text of 10 words that repeats none of 5 repeats none of more.
        for (n, max) in [
            (5, 0.15),
            (6, 0.14),
            (7, 0.13),
            (8, 0.12),
            (9, 0.11),
            (10, 0.10),
        ] {
            self.count(words, n);
            let again = self.chars_again(words, n);
            if again as f64 > max * chars as f64 {
                return true;
            }
            if again == 0 {
                return false;
            }
        }
        false
    }

    /// Characters of words in runs of `n` that stood somewhere before.
    fn chars_again(&self, words: &[Word], n: usize) -> u64 {
        let (mut chars, mut counted_to) = (0, 0);
        for (at, _, _) in self.counted().filter(|(_, _, is_again)| *is_again) {
            chars += chars_of(&words[at.max(counted_to)..at + n]);
            counted_to = at + n;
        }
        chars
    }
}

fn chars_of(words: &[Word]) -> u64 {
    words.iter().map(|word| u64::from(word.chars)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// Words by their letters, as they are counted here.
    fn of(letters: &[u8]) -> Vec<Word> {
        let word = |letter: &u8| Word {
            hash: crate::words::mix(u64::from(*letter) + 1),
            chars: u32::from(*letter % 7) + 1,
            has_letter: true,
        };
        letters.iter().map(word).collect()
    }

    fn top_plainly(letters: &[u8]) -> bool {
        let chars = chars_of(&of(letters));
        [(2, 0.20), (3, 0.18), (4, 0.16)].iter().any(|&(n, max)| {
            let mut counts: HashMap<&[u8], u64> = HashMap::new();
            letters
                .windows(n)
                .for_each(|run| *counts.entry(run).or_default() += 1);
            let again = counts.iter().filter(|(_, count)| **count > 1);
            let most = again.map(|(run, count)| count * chars_of(&of(run))).max();
            most.unwrap_or(0) as f64 > max * chars as f64
        })
    }

    fn grams_plainly(letters: &[u8]) -> bool {
        let words = of(letters);
        let chars = chars_of(&words);
        (5..=10)
            .zip([0.15, 0.14, 0.13, 0.12, 0.11, 0.10])
            .any(|(n, max)| {
                let mut seen = HashSet::new();
                let mut is_again = vec![false; letters.len()];
                for (at, run) in letters.windows(n).enumerate() {
                    if !seen.insert(run) {
                        is_again[at..at + n].fill(true);
                    }
                }
                let again = words.iter().zip(is_again).filter(|(_, is_again)| *is_again);
                let again: u64 = again.map(|(word, _)| u64::from(word.chars)).sum();
                again as f64 > max * chars as f64
            })
    }

    fn pieces_plainly(text: &str, between: &str, pieces_max: f64, text_max: f64) -> bool {
        let pieces = text
            .split(between)
            .map(str::trim)
            .filter(|piece| !piece.is_empty());
        let (mut seen, mut all, mut again) = (HashSet::new(), (0, 0), (0, 0));
        for piece in pieces {
            all = (all.0 + 1, all.1 + piece.len());
            if !seen.insert(piece) {
                again = (again.0 + 1, again.1 + piece.len());
            }
        }
        f64::from(again.0) > pieces_max * f64::from(all.0)
            || again.1 as f64 > text_max * all.1 as f64
    }

    proptest! {
        /// Some parts repeat, some words are frequent, and rules are asked one after the other or alone.
        #[test]
        fn runs_are_those_that_a_plain_count_finds(
            parts in prop::collection::vec((prop::collection::vec(0u8..40, 1..14), 1usize..4), 0..8),
            order in prop::collection::vec(0usize..12, 0..24),
            ask_first in any::<bool>(),
        ) {
            let mut letters: Vec<u8> = order
                .iter()
                .filter_map(|at| parts.get(*at))
                .flat_map(|(part, times)| part.repeat(*times))
                .collect();
            // Without some that repeat nothing, all texts would break all rules.
            letters.extend((40..40 + 4 * order.len() as u8).filter(|letter| letter % 3 != 0));
            let words = of(&letters);
            let mut runs = Runs::default();
            for _ in 0..2 {
                runs.begin();
                if ask_first {
                    prop_assert_eq!(runs.top_gram(&words), top_plainly(&letters));
                }
                prop_assert_eq!(runs.grams(&words), grams_plainly(&letters));
            }
        }

        #[test]
        fn pieces_are_those_that_a_plain_count_finds(text in "([ab]{0,9}\n{0,3}|  |cdefghijklm\n|é\n){0,12}") {
            for between in ["\n", "\n\n"] {
                for (pieces_max, text_max) in [(0.3, 0.2), (1.0, 0.1)] {
                    let expected = pieces_plainly(&text, between, pieces_max, text_max);
                    prop_assert_eq!(pieces(&text, between, pieces_max, text_max), expected);
                }
            }
        }
    }
}
