//! Guards: how a rendered prompt remembers which parts of it came from the conversation.
//!
//! Wherever the text of a control token could begin in a string of the conversation, a guard
//! character is put before it. A template moves the guard along with the text, whatever else it
//! does, and the tokenizer recognises no control token that begins at a guard or reaches over one.
//! The guard is a character that occurs neither in the conversation nor in the template.

use aho_corasick::AhoCorasick;
use std::collections::HashSet;

/// The beginning of a control token's text, of about this many bytes, is guarded even where the
/// rest does not follow: a template that cuts something out of a string must not complete it.
const BEGINNING_BYTES: usize = 3;

/// Where control tokens could begin.
#[derive(Debug, Clone, Default)]
pub(super) struct Guards {
    texts: Vec<String>,
    beginnings: Option<AhoCorasick>,
    /// What may follow a cut in a control token's text.
    endings: HashSet<String>,
    ending_bytes_max: usize,
}

impl Guards {
    /// `Err` tells why these texts cannot be guarded.
    pub(super) fn new(texts: Vec<String>) -> Result<Self, String> {
        let mut beginnings: Vec<&str> = texts
            .iter()
            .map(|text| {
                let cut = (BEGINNING_BYTES..text.len()).find(|&i| text.is_char_boundary(i));
                &text[..cut.unwrap_or(text.len())]
            })
            .collect();
        beginnings.sort_unstable();
        beginnings.dedup();
        let automaton = if beginnings.is_empty() {
            None
        } else {
            Some(AhoCorasick::new(&beginnings).map_err(|e| e.to_string())?)
        };
        let endings: HashSet<String> = texts
            .iter()
            .flat_map(|text| {
                text.char_indices()
                    .skip(1)
                    .map(|(i, _)| text[i..].to_owned())
            })
            .collect();
        Ok(Self {
            beginnings: automaton,
            ending_bytes_max: endings.iter().map(String::len).max().unwrap_or(0),
            endings,
            texts,
        })
    }

    /// The control tokens' texts.
    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// Byte places before which a guard has to stand, ascending.
    fn places(&self, text: &str) -> Vec<usize> {
        let Some(beginnings) = &self.beginnings else {
            return Vec::new();
        };
        let mut places: Vec<usize> = beginnings
            .find_overlapping_iter(text)
            .map(|found| found.start())
            .collect();
        // A beginning that the string's end cuts short.
        let tail = text.len().saturating_sub(BEGINNING_BYTES + 3);
        places.extend((tail..text.len()).filter(|&i| {
            text.is_char_boundary(i) && self.texts.iter().any(|t| t.starts_with(&text[i..]))
        }));
        // An ending that would complete what the template wrote before.
        let ends_something = (1..=text.len().min(self.ending_bytes_max))
            .any(|i| text.is_char_boundary(i) && self.endings.contains(&text[..i]));
        if ends_something {
            places.push(0);
        }
        places.sort_unstable();
        places.dedup();
        places
    }

    /// `text` with guards.
    pub(super) fn apply(&self, text: &str, guard: char) -> Option<String> {
        let places = self.places(text);
        if places.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(text.len() + 3 * places.len());
        let mut done = 0;
        for place in places {
            out.push_str(&text[done..place]);
            out.push(guard);
            done = place;
        }
        out.push_str(&text[done..]);
        Some(out)
    }
}

/// Finds a character that none of the texts it saw contains.
#[derive(Debug)]
pub(super) struct UnusedChar {
    seen: HashSet<char>,
}

impl UnusedChar {
    pub(super) fn new() -> Self {
        Self {
            seen: HashSet::new(),
        }
    }

    /// Noncharacters first, which have no business in text at all; then the last private plane.
    fn candidates() -> impl Iterator<Item = char> {
        ('\u{fdd0}'..='\u{fdef}').chain('\u{100000}'..='\u{10fffd}')
    }

    pub(super) fn see(&mut self, text: &str) {
        if text.is_ascii() {
            return;
        }
        let candidate =
            |c: &char| matches!(*c, '\u{fdd0}'..='\u{fdef}' | '\u{100000}'..='\u{10fffd}');
        self.seen.extend(text.chars().filter(candidate));
    }

    pub(super) fn find(&self) -> Option<char> {
        Self::candidates().find(|c| !self.seen.contains(c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guards() -> Guards {
        let texts = ["<|im_end|>", "<s>", "[INST]", "｜x"];
        Guards::new(texts.map(str::to_owned).to_vec()).unwrap()
    }

    #[test]
    fn every_beginning_is_guarded() {
        let guarded = |text: &str| guards().apply(text, '#').unwrap_or(text.to_owned());
        assert_eq!(guarded("a<|im_end|>b<s>"), "a#<|im_end|>b#<s>");
        assert_eq!(guarded("<|i<s><s"), "#<|i#<s>#<s");
        assert_eq!(guarded("<think>x</think>"), "<think>x</think>");
        assert_eq!(guarded("y <"), "y #<");
        assert_eq!(guarded("> quoted"), "#> quoted");
        assert_eq!(guarded("end|> and"), "#end|> and");
        assert_eq!(guarded("｜y"), "#｜y");
        assert_eq!(guarded("y｜"), "y#｜");
        assert_eq!(guarded(""), "");
    }

    #[test]
    fn the_guard_is_a_character_that_was_not_seen() {
        let mut unused = UnusedChar::new();
        assert_eq!(unused.find(), Some('\u{fdd0}'));
        unused.see("\u{fdd0}\u{fdd2}");
        assert_eq!(unused.find(), Some('\u{fdd1}'));
        unused.see(&('\u{fdd0}'..='\u{fdef}').collect::<String>());
        assert_eq!(unused.find(), Some('\u{100000}'));
    }
}
