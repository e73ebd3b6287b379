//! Token ids back to text, one at a time: only whole characters come out, and what comes out piece
//! by piece is what decoding all at once gives.

use super::vocab::Kind;
use super::{CONTINUING, TextForm, Tokenizer};
use std::borrow::Cow;

const METASPACE: &[u8] = "▁".as_bytes();

/// `▁` to space in a token's text.
pub(super) fn metaspace_to_space(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes
        .windows(METASPACE.len())
        .any(|window| window == METASPACE)
    {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(METASPACE) {
            out.push(b' ');
            rest = after;
        } else {
            out.push(first);
            rest = tail;
        }
    }
    Cow::Owned(out)
}

/// Turns a stream of tokens into a stream of text.
#[derive(Clone, Debug)]
pub struct Detokenizer {
    skip_special: bool,
    started: bool,
    /// The beginning of a character: at most three bytes between calls.
    pending: Vec<u8>,
}

impl Detokenizer {
    /// Starts at the beginning of a text. `skip_special`: control tokens give no text.
    pub fn new(skip_special: bool) -> Self {
        Self {
            skip_special,
            started: false,
            pending: Vec::new(),
        }
    }

    /// The characters that this token completes; empty while a character is incomplete. Bytes that
    /// can no longer become UTF-8 come out as U+FFFD.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: u32) -> String {
        let Some(bytes) = tokenizer.vocab.bytes(id) else {
            return String::new();
        };
        let kind = tokenizer.vocab.kind(id);
        if kind == Kind::Special && self.skip_special {
            return String::new();
        }
        let first = !std::mem::replace(&mut self.started, true);
        match (kind, tokenizer.form) {
            (Kind::Byte(byte), _) => self.pending.push(byte),
            (Kind::Special, _) | (_, TextForm::Bytes) => self.pending.extend_from_slice(bytes),
            (_, TextForm::Metaspace { strip_first_space }) => {
                let text = metaspace_to_space(bytes);
                let text = match text.strip_prefix(b" ") {
                    Some(rest) if first && strip_first_space => rest,
                    _ => &text,
                };
                self.pending.extend_from_slice(text);
            }
            (_, TextForm::WordPiece) => match bytes.strip_prefix(CONTINUING.as_bytes()) {
                Some(rest) if !first => self.pending.extend_from_slice(rest),
                _ => {
                    self.pending
                        .extend_from_slice(if first { b"" } else { b" " });
                    self.pending.extend_from_slice(bytes);
                }
            },
        }
        self.take_complete()
    }

    /// What is left at the end: an incomplete character becomes U+FFFD.
    pub fn flush(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }

    fn take_complete(&mut self) -> String {
        // A trailing sequence that may still become a character stays; chunks() reports it as an
        // invalid tail that reaches the end of the input.
        let incomplete = incomplete_tail(&self.pending);
        let complete = self.pending.len() - incomplete;
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        text
    }
}

/// Length of the beginning of a character at the end of `bytes`.
fn incomplete_tail(bytes: &[u8]) -> usize {
    for length in 1..=bytes.len().min(3) {
        let tail = &bytes[bytes.len() - length..];
        let lead = tail[0];
        if lead & 0b1100_0000 == 0b1000_0000 {
            continue;
        }
        return match std::str::from_utf8(tail) {
            Err(e) if e.valid_up_to() == 0 && e.error_len().is_none() => length,
            _ => 0,
        };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tails_that_may_become_characters() {
        assert_eq!(incomplete_tail("é".as_bytes()), 0);
        assert_eq!(incomplete_tail(&"é".as_bytes()[..1]), 1);
        assert_eq!(incomplete_tail(&"a🙂".as_bytes()[..4]), 3);
        assert_eq!(incomplete_tail(&[0xff]), 0);
        assert_eq!(incomplete_tail(&[0xe0, 0x80]), 0);
        assert_eq!(incomplete_tail(&[0x80, 0x80]), 0);
    }

    proptest! {
        #[test]
        fn pieces_add_up_to_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut stream = Detokenizer::new(true);
            let mut text = String::new();
            for &byte in &bytes {
                stream.pending.push(byte);
                text.push_str(&stream.take_complete());
            }
            text.push_str(&stream.flush());
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes).into_owned());
        }
    }
}
