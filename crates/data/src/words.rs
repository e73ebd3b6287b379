//! The words of a text, looked at once: every rule that counts words or compares documents reads these.

/// A word: letters and digits between others, compared without case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Of its lower-case letters; equal words have equal numbers.
    pub(crate) hash: u64,
    /// Its characters.
    pub(crate) chars: u32,
    /// It has a letter.
    pub(crate) has_letter: bool,
}

const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The words of `text`, into `words`.
pub(crate) fn words(text: &str, words: &mut Vec<Word>) {
    words.clear();
    let mut open = Word {
        hash: SEED,
        chars: 0,
        has_letter: false,
    };
    let mut close = |word: &mut Word| {
        if word.chars > 0 {
            word.hash = mix(word.hash);
            words.push(*word);
        }
        *word = Word {
            hash: SEED,
            chars: 0,
            has_letter: false,
        };
    };
    let take = |word: &mut Word, c: char, is_letter: bool| {
        word.hash = (word.hash ^ u64::from(c)).wrapping_mul(PRIME);
        word.chars += 1;
        word.has_letter |= is_letter;
    };
    for c in text.chars() {
        if c.is_ascii() {
            if c.is_ascii_alphanumeric() {
                take(&mut open, c.to_ascii_lowercase(), c.is_ascii_alphabetic());
            } else {
                close(&mut open);
            }
        } else if c.is_alphanumeric() {
            let is_letter = c.is_alphabetic();
            let mut lower = c.to_lowercase();
            take(&mut open, lower.next().unwrap_or(c), is_letter);
        } else {
            close(&mut open);
        }
    }
    close(&mut open);
}

/// The number of a word, for tables of them.
pub(crate) fn hash_of(word: &str) -> u64 {
    let mut found = Vec::new();
    words(word, &mut found);
    found.first().map_or(0, |word| word.hash)
}

/// Spreads what differs in a few bits over all of them (`SplitMix64`'s finish).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// One number for words that follow each other.
pub(crate) fn gram(words: &[Word]) -> u64 {
    let fold = |hash: u64, word: &Word| mix(hash.rotate_left(23) ^ word.hash);
    words.iter().fold(SEED, fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_marks() {
        let of = |text: &str| {
            let mut found = Vec::new();
            words(text, &mut found);
            found
        };
        assert_eq!(of("Hello, WORLD 3!"), of("hello world-3"));
        assert_eq!(of("É a"), of("é A"));
        assert_eq!(of("a b").len(), 2);
        assert!(of(" ,. ").is_empty());
        assert_ne!(gram(&of("a b")), gram(&of("b a")));
    }
}
