//! Byte-pair encoding (Sennrich et al., 2016), on bytes: the pair that occurs most often becomes a token,
//! again and again.
//!
//! The merges are exactly those of Hugging Face's `tokenizers`, which is what others compare with: of
//! pairs that occur equally often the one with the smaller token ids goes first, and a pair that makes
//! the text of a token that is there already merges into that one. That library takes nothing off the
//! count of a pair that it merges, so neither does this.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// Two tokens, one after the other.
pub type Pair = (u32, u32);

/// What was learned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The bytes of each token: the 256 bytes in the order of the characters that stand for them, then
    /// what was merged.
    pub tokens: Vec<Vec<u8>>,
    /// Pairs in the order in which they merge.
    pub merges: Vec<Pair>,
}

/// Words with how often each occurs.
pub type Counts = Vec<(Vec<u8>, u64)>;

/// A pair that may be the next to merge.
struct Candidate {
    pair: Pair,
    count: u64,
    /// Words that have it, or had it.
    words: Vec<u32>,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_count = self.count.cmp(&other.count);
        by_count.then_with(|| other.pair.cmp(&self.pair))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// A word as tokens.
struct Word {
    tokens: Vec<u32>,
    count: i64,
}

/// The bytes in the order of the characters that stand for them in a `tokenizer.json`: printable ones
/// first.
pub fn alphabet() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..=255).collect();
    bytes.sort_by_key(|&byte| terang_model::tokenizer::byte_text(&[byte]));
    bytes
}

/// Learns merges until there are `vocab_size` tokens, of which `reserved` lie before the bytes, or until
/// no pair occurs `min_frequency` times. `on_progress` is told the number of tokens now and then; it
/// says whether to go on, and `None` comes back if not.
pub fn learn(
    counts: &Counts,
    vocab_size: usize,
    reserved: usize,
    min_frequency: u64,
    mut on_progress: impl FnMut(usize) -> bool,
) -> Option<Learned> {
    let mut tokens: Vec<Vec<u8>> = alphabet().into_iter().map(|byte| vec![byte]).collect();
    let mut ids: HashMap<Vec<u8>, u32> = HashMap::new();
    for (id, token) in tokens.iter().enumerate() {
        ids.insert(token.clone(), id as u32);
    }
    let byte_ids: Vec<u32> = (0..=255u8).map(|byte| ids[&vec![byte]]).collect();
    let mut words: Vec<Word> = counts
        .iter()
        .map(|(word, count)| Word {
            tokens: word.iter().map(|&byte| byte_ids[byte as usize]).collect(),
            count: *count as i64,
        })
        .collect();

    let mut pair_counts: HashMap<Pair, i64> = HashMap::new();
    let mut places: HashMap<Pair, Vec<u32>> = HashMap::new();
    for (index, word) in words.iter().enumerate() {
        for pair in word.tokens.windows(2) {
            let pair = (pair[0], pair[1]);
            *pair_counts.entry(pair).or_default() += word.count;
            note(places.entry(pair).or_default(), index as u32);
        }
    }
    let mut queue: BinaryHeap<Candidate> = BinaryHeap::with_capacity(places.len());
    for (pair, words) in places.drain() {
        let count = pair_counts[&pair] as u64;
        queue.push(Candidate { pair, count, words });
    }

    let mut merges = Vec::new();
    while reserved + tokens.len() < vocab_size {
        let Some(mut best) = queue.pop() else { break };
        let count = pair_counts[&best.pair].max(0) as u64;
        if best.count != count {
            best.count = count;
            queue.push(best);
            continue;
        }
        if best.count < min_frequency.max(1) {
            break;
        }
        let (left, right) = best.pair;
        let text = [&tokens[left as usize][..], &tokens[right as usize]].concat();
        let merged = *ids.entry(text.clone()).or_insert_with(|| {
            tokens.push(text);
            tokens.len() as u32 - 1
        });
        merges.push(best.pair);
        for &index in &best.words {
            let word = &mut words[index as usize];
            merge(&mut word.tokens, best.pair, merged, |pair, change| {
                *pair_counts.entry(pair).or_default() += change * word.count;
                if change > 0 {
                    note(places.entry(pair).or_default(), index);
                }
            });
        }
        for (pair, words) in places.drain() {
            let count = pair_counts[&pair];
            if count > 0 {
                let count = count as u64;
                queue.push(Candidate { pair, count, words });
            }
        }
        if merges.len() % 64 == 0 && !on_progress(reserved + tokens.len()) {
            return None;
        }
    }
    Some(Learned { tokens, merges })
}

/// Adds a word to those that have a pair, of which the last may be the same.
fn note(words: &mut Vec<u32>, index: u32) {
    if words.last() != Some(&index) {
        words.push(index);
    }
}

/// Merges a pair wherever it stands in a word, and tells which pairs came and went beside it.
fn merge(
    tokens: &mut Vec<u32>,
    (left, right): Pair,
    merged: u32,
    mut on_change: impl FnMut(Pair, i64),
) {
    let mut kept = 0;
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == left && tokens.get(at + 1) == Some(&right) {
            if kept > 0 {
                let before = tokens[kept - 1];
                on_change((before, left), -1);
                on_change((before, merged), 1);
            }
            if let Some(&after) = tokens.get(at + 2) {
                on_change((right, after), -1);
                on_change((merged, after), 1);
            }
            tokens[kept] = merged;
            at += 2;
        } else {
            tokens[kept] = tokens[at];
            at += 1;
        }
        kept += 1;
    }
    tokens.truncate(kept);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts(words: &[(&str, u64)]) -> Counts {
        let words = words.iter();
        words
            .map(|(word, count)| (word.as_bytes().to_vec(), *count))
            .collect()
    }

    fn texts(learned: &Learned) -> Vec<String> {
        let merged = learned.tokens[256..].iter();
        merged
            .map(|token| String::from_utf8(token.clone()).unwrap())
            .collect()
    }

    #[test]
    fn the_commonest_pair_goes_first_and_the_smaller_ids_of_equals() {
        let words = counts(&[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)]);
        let learned = learn(&words, 256 + 4, 0, 0, |_| true).unwrap();
        // e s: 9, s t: 9, w e: 8, and so on; of es and st, e has the smaller identity.
        assert_eq!(texts(&learned), ["es", "est", "lo", "low"]);
        let learned = learn(&words, 10_000, 0, 7, |_| true).unwrap();
        assert_eq!(texts(&learned), ["es", "est", "lo", "low"]);
        assert_eq!(learn(&words, 256, 0, 0, |_| true).unwrap().merges, []);
    }

    #[test]
    fn somebody_may_stop_it() {
        let words: Counts = (0..200_u8).map(|byte| (vec![byte, byte, 7], 3)).collect();
        assert!(learn(&words, 100_000, 0, 0, |_| false).is_none());
    }

    proptest! {
        #[test]
        fn words_are_only_ever_grouped(words in prop::collection::vec(("[ab ]{1,12}", 1..9_u64), 1..20)) {
            let counts: Counts = words.iter().map(|(w, n)| (w.clone().into_bytes(), *n)).collect();
            let learned = learn(&counts, 300, 0, 0, |_| true).unwrap();
            for (word, _) in &counts {
                let mut tokens: Vec<u32> = word.iter().map(|&b| {
                    learned.tokens.iter().position(|t| t == &[b]).unwrap() as u32
                }).collect();
                for &pair in &learned.merges {
                    let text = [&learned.tokens[pair.0 as usize][..], &learned.tokens[pair.1 as usize]].concat();
                    let merged = learned.tokens.iter().position(|t| t == &text).unwrap() as u32;
                    merge(&mut tokens, pair, merged, |_, _| {});
                }
                let back: Vec<u8> = tokens.iter().flat_map(|&id| learned.tokens[id as usize].clone()).collect();
                prop_assert_eq!(&back, word);
            }
        }
    }
}
