//! `WordPiece` (Schuster and Nakajima 2012, as in BERT): a word becomes the longest token that it
//! begins with, then the longest that goes on from there, and so on. A word for which that fails is
//! unknown as a whole.

use super::CONTINUING;
use super::vocab::Vocab;

/// Most characters of a word that any vocabulary may have looked up; those in use say 100. The work
/// for a word grows with their square.
pub(super) const WORD_CHARS_MAX: usize = 1000;

/// The model; its tokens are in the vocabulary.
#[derive(Debug)]
pub(super) struct WordPiece {
    /// A longer word is unknown.
    pub(super) word_chars_max: usize,
    /// The unknown token.
    pub(super) unknown: u32,
}

impl WordPiece {
    /// Appends the tokens of one word.
    pub(super) fn encode_word(&self, vocab: &Vocab, word: &str, out: &mut Vec<u32>) {
        let before = out.len();
        if word.chars().count() > self.word_chars_max || !pieces(vocab, word, out) {
            out.truncate(before);
            out.push(self.unknown);
        }
    }
}

/// Whether the whole word could be taken apart.
fn pieces(vocab: &Vocab, word: &str, out: &mut Vec<u32>) -> bool {
    let mut text = String::with_capacity(CONTINUING.len() + word.len());
    let mut rest = word;
    while !rest.is_empty() {
        text.clear();
        if rest.len() < word.len() {
            text.push_str(CONTINUING);
        }
        let mark = text.len();
        text.push_str(rest);
        let found = loop {
            if text.len() == mark {
                return false;
            }
            if let Some(id) = vocab.id(text.as_bytes()) {
                break id;
            }
            text.pop();
        };
        out.push(found);
        rest = &rest[text.len() - mark..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::vocab::Kind;
    use super::*;

    fn encode(word: &str) -> Vec<u32> {
        let mut vocab = Vocab::with_capacity(8);
        let tokens = ["[UNK]", "un", "##aff", "##able", "##a", "é", "##"];
        for (id, token) in (0..).zip(tokens) {
            let kind = if id == 0 { Kind::Special } else { Kind::Normal };
            vocab.insert(id, token.as_bytes(), kind).unwrap();
        }
        let model = WordPiece {
            word_chars_max: 10,
            unknown: 0,
        };
        let mut out = Vec::new();
        model.encode_word(&vocab, word, &mut out);
        out
    }

    #[test]
    fn the_longest_pieces_are_taken_from_the_left() {
        assert_eq!(encode("unaffable"), [1, 2, 3]);
        assert_eq!(encode("una"), [1, 4]);
        assert_eq!(encode("éa"), [5, 4]);
    }

    #[test]
    fn what_cannot_be_taken_apart_is_unknown_as_a_whole() {
        for word in ["unaffx", "x", "able", "[UNK]", "unaaaaaaaaaa", "unéa"] {
            assert_eq!(encode(word), [0], "{word}");
        }
    }
}
