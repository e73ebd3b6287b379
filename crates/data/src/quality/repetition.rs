//! How much of a text was said before in it (Gopher, table A1). Sorting numbers is enough: nothing is kept by
//! its words.

use crate::words::{Word, gram, mix};

/// Whether more of the pieces, or of the text in them, than is allowed was said before.
pub(super) fn pieces(text: &str, between: &str, pieces_max: f64, text_max: f64) -> bool {
    let mut found: Vec<(u64, usize)> = text
        .split(between)
        .map(str::trim)
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

fn hash(piece: &str) -> u64 {
    piece.bytes().fold(0, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether the most frequent 2, 3 or 4 words that follow each other are too much of the text.
pub(super) fn top_gram(words: &[Word]) -> bool {
    let chars = chars_of(words);
    [(2, 0.20), (3, 0.18), (4, 0.16)].iter().any(|&(n, max)| {
        let mut grams: Vec<(u64, u32)> = words
            .windows(n)
            .map(|words| (gram(words), words.iter().map(|word| word.chars).sum()))
            .collect();
        grams.sort_unstable();
        let runs = grams
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|run| run.len() > 1);
        let most = runs
            .map(|run| run.len() as u64 * u64::from(run[0].1))
            .max()
            .unwrap_or(0);
        most as f64 > max * chars as f64
    })
}

/// Whether too many characters stand in 5 to 10 words that were said in that order before.
pub(super) fn grams(words: &[Word]) -> bool {
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
        let again = repeated_chars(words, n);
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
fn repeated_chars(words: &[Word], n: usize) -> u64 {
    if words.len() <= n {
        return 0;
    }
    // A table of open addressing: twice as many places as runs, a power of two.
    let mut seen = vec![0u64; (2 * words.len()).next_power_of_two()];
    let mask = seen.len() - 1;
    let (mut chars, mut counted_to) = (0, 0);
    for (at, run) in words.windows(n).enumerate() {
        let key = gram(run) | 1;
        let mut place = mix(key) as usize & mask;
        while seen[place] != 0 && seen[place] != key {
            place = (place + 1) & mask;
        }
        if seen[place] == key {
            let new = &words[at.max(counted_to)..at + n];
            chars += new.iter().map(|word| u64::from(word.chars)).sum::<u64>();
            counted_to = at + n;
        }
        seen[place] = key;
    }
    chars
}

fn chars_of(words: &[Word]) -> u64 {
    words.iter().map(|word| u64::from(word.chars)).sum()
}
