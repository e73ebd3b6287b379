//! Added tokens: taken out of the text before it is split and merged. Where several could start at
//! one place the longest wins, as in Hugging Face's library.

use aho_corasick::{AhoCorasick, Input, MatchKind, StartKind};
use std::ops::Range;

/// A token that is found in the text as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the format's independent switches"
)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    /// Control token: never recognised in user text.
    pub(super) special: bool,
    /// Only where no letter, digit or underscore is adjacent.
    pub(super) single_word: bool,
    /// Takes the whitespace before it.
    pub(super) strip_left: bool,
    /// Takes the whitespace after it.
    pub(super) strip_right: bool,
}

/// Finds a set of added tokens.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    tokens: Vec<AddedToken>,
    automaton: Option<AhoCorasick>,
}

/// A piece of text between added tokens, or one of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Section {
    Text(Range<usize>),
    Token(u32),
}

impl Matcher {
    /// `Err` tells why the automaton could not be built.
    pub(super) fn new(mut tokens: Vec<AddedToken>) -> Result<Self, String> {
        tokens.retain(|token| !token.content.is_empty());
        let automaton = if tokens.is_empty() {
            None
        } else {
            Some(
                AhoCorasick::builder()
                    .match_kind(MatchKind::LeftmostLongest)
                    .start_kind(StartKind::Unanchored)
                    .build(tokens.iter().map(|token| token.content.as_bytes()))
                    .map_err(|e| e.to_string())?,
            )
        };
        Ok(Self { tokens, automaton })
    }

    pub(super) fn tokens(&self) -> &[AddedToken] {
        &self.tokens
    }

    /// Cuts `text` into sections. A token for which `allowed(token, start, end)` is false is passed
    /// over: the search goes on at the next character, so that what it covers cannot hide another.
    pub(super) fn sections(
        &self,
        text: &str,
        allowed: impl Fn(&AddedToken, Range<usize>) -> bool,
    ) -> Vec<Section> {
        let mut sections = Vec::new();
        let mut done = 0;
        let mut from = 0;
        if let Some(automaton) = &self.automaton {
            while let Some(found) = automaton.find(Input::new(text).range(from..)) {
                let token = &self.tokens[found.pattern().as_usize()];
                let (start, end) = (found.start(), found.end());
                if !allowed(token, start..end) || (token.single_word && !alone(text, start, end)) {
                    from = start + text[start..].chars().next().map_or(1, char::len_utf8);
                    continue;
                }
                let mut cut_start = start;
                let mut cut_end = end;
                if token.strip_left {
                    cut_start = done + text[done..start].trim_end().len();
                }
                if token.strip_right {
                    cut_end = text.len() - text[end..].trim_start().len();
                }
                if done < cut_start {
                    sections.push(Section::Text(done..cut_start));
                }
                sections.push(Section::Token(token.id));
                done = cut_end;
                from = cut_end;
            }
        }
        if done < text.len() {
            sections.push(Section::Text(done..text.len()));
        }
        sections
    }
}

fn alone(text: &str, start: usize, end: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..start].chars().next_back().is_some_and(word)
        && !text[end..].chars().next().is_some_and(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: u32, content: &str) -> AddedToken {
        AddedToken {
            id,
            content: content.to_owned(),
            special: true,
            ..AddedToken::default()
        }
    }

    #[test]
    fn a_refused_token_hides_no_other() {
        let matcher = Matcher::new(vec![token(1, "<a><b>"), token(2, "<b>")]).unwrap();
        let refused_at_0 = |_: &AddedToken, range: Range<usize>| range.start != 0;
        assert_eq!(
            matcher.sections("<a><b>x", refused_at_0),
            [Section::Text(0..3), Section::Token(2), Section::Text(6..7)]
        );
        assert_eq!(
            matcher.sections("<a><b>x", |_, _| true),
            [Section::Token(1), Section::Text(6..7)]
        );
    }

    #[test]
    fn whitespace_is_taken_where_the_token_asks() {
        let mut both = token(7, "<m>");
        both.strip_left = true;
        both.strip_right = true;
        let matcher = Matcher::new(vec![both]).unwrap();
        assert_eq!(
            matcher.sections("a  <m> \n b", |_, _| true),
            [Section::Text(0..1), Section::Token(7), Section::Text(9..10)]
        );
    }

    #[test]
    fn a_single_word_token_stands_alone() {
        let mut word = token(3, "ab");
        word.single_word = true;
        let matcher = Matcher::new(vec![word]).unwrap();
        assert_eq!(
            matcher.sections("abc ab", |_, _| true),
            [Section::Text(0..4), Section::Token(3)]
        );
    }
}
