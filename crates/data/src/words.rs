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

const NONE: Word = Word {
    hash: SEED,
    chars: 0,
    has_letter: false,
};

/// What a byte of ASCII is written as in a word; 0 where it is in none.
static LOWER: [u8; 128] = {
    let mut lower = [0; 128];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            lower[byte] = (byte as u8).to_ascii_lowercase();
        }
        byte += 1;
    }
    lower
};

/// The words of `text`, into `words`.
pub(crate) fn words(text: &str, words: &mut Vec<Word>) {
    words.clear();
    let bytes = text.as_bytes();
    let mut open = NONE;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let taken = if byte < 0x80 {
            at += 1;
            // Of letters and digits, letters have this bit.
            (u32::from(LOWER[usize::from(byte)]), byte & 0x40 != 0)
        } else {
            let c = text[at..].chars().next().unwrap_or_default();
            at += c.len_utf8();
            let lower = c.is_alphanumeric().then(|| c.to_lowercase().next());
            (
                u32::from(lower.flatten().unwrap_or_default()),
                c.is_alphabetic(),
            )
        };
        if taken.0 != 0 {
            open.hash = (open.hash ^ u64::from(taken.0)).wrapping_mul(PRIME);
            open.chars += 1;
            open.has_letter |= taken.1;
        } else if open.chars > 0 {
            open.hash = mix(open.hash);
            words.push(std::mem::replace(&mut open, NONE));
        }
    }
    if open.chars > 0 {
        open.hash = mix(open.hash);
        words.push(open);
    }
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

    /// The plain definition: a character after the other.
    fn plainly(text: &str) -> Vec<Word> {
        let parts = text.split(|c: char| !c.is_alphanumeric());
        let word = |part: &str| Word {
            hash: mix(part.chars().fold(SEED, |hash, c| {
                let lower = c.to_lowercase().next().unwrap_or(c);
                (hash ^ u64::from(lower)).wrapping_mul(PRIME)
            })),
            chars: part.chars().count() as u32,
            has_letter: part.chars().any(char::is_alphabetic),
        };
        parts.filter(|part| !part.is_empty()).map(word).collect()
    }

    proptest::proptest! {
        #[test]
        fn words_are_those_between_other_characters(text in "(\\PC{0,6}|[a-zA-Z0-9]{0,9}|[ ,.\n\u{0}’-]{0,3}|[éÉİß٣中]{0,4}){0,20}") {
            let mut found = Vec::new();
            words(&text, &mut found);
            proptest::prop_assert_eq!(found, plainly(&text));
        }
    }
}
