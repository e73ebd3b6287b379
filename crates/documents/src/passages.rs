//! Where a document is cut: at headings and paragraphs, else between sentences, else between words,
//! to about what an encoder reads at once. Each passage is a range of the document's text, and begins
//! with the last sentences of the one before it where both stand under one heading.

use std::ops::Range;

use crate::csv;
use crate::document::Document;
use crate::error::{DocumentError, Result};

/// Tokens of a passage, of the overlap, and of a section that is too short to stand alone; all by
/// estimate, since what a token is differs between models.
const TOKENS: usize = 200;
const OVERLAP_TOKENS: usize = 40;
const SHORT_TOKENS: usize = 60;
/// Passages of a document.
const PASSAGES_MAX: usize = 20_000;

/// A part of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Bytes of the document's text.
    pub range: Range<usize>,
    /// The page on which it begins.
    pub page: Option<usize>,
    /// The heading under which it begins.
    pub heading: Option<String>,
}

/// A run of text that is not parted further.
struct Piece {
    range: Range<usize>,
    tokens: usize,
    begins_section: bool,
}

/// Cuts a document.
pub fn passages(document: &Document) -> Result<Vec<Passage>> {
    let pieces = pieces(document);
    let mut found = Vec::new();
    let mut from = 0;
    while from < pieces.len() {
        let to = passage_end(&pieces, from);
        let range = pieces[from].range.start..pieces[to - 1].range.end;
        found.push(Passage {
            page: document.page_at(range.start),
            heading: document.heading_at(range.start).map(str::to_owned),
            range,
        });
        if found.len() > PASSAGES_MAX {
            return Err(DocumentError::TooMuchText {
                limit: crate::TEXT_BYTES_MAX,
            });
        }
        from = if document.is_table {
            to
        } else {
            next_begin(&pieces, from, to)
        };
    }
    Ok(found)
}

/// The piece after the passage that begins with `from`.
fn passage_end(pieces: &[Piece], from: usize) -> usize {
    let mut tokens = pieces[from].tokens;
    let mut to = from + 1;
    while let Some(piece) = pieces.get(to) {
        if tokens + piece.tokens > TOKENS || (piece.begins_section && tokens >= SHORT_TOKENS) {
            break;
        }
        tokens += piece.tokens;
        to += 1;
    }
    to
}

/// The piece with which the next passage begins: some sentences before `to`, if they leave room.
fn next_begin(pieces: &[Piece], from: usize, to: usize) -> usize {
    let Some(next) = pieces.get(to) else {
        return to;
    };
    let mut begin = to;
    let mut tokens = 0;
    while begin > from + 1 && !pieces[begin].begins_section {
        let before = &pieces[begin - 1];
        tokens += before.tokens;
        if tokens > OVERLAP_TOKENS || tokens + next.tokens > TOKENS {
            break;
        }
        begin -= 1;
    }
    begin
}

fn pieces(document: &Document) -> Vec<Piece> {
    let text = &document.text;
    let mut pieces = Vec::new();
    let mut sections: Vec<usize> = document.headings.iter().map(|heading| heading.at).collect();
    sections.push(text.len());
    let mut from = 0;
    for &end in &sections {
        let before = pieces.len();
        if document.is_table {
            records(text, from..end, &mut pieces);
        } else {
            sentences(text, from..end, &mut pieces);
        }
        if let Some(first) = pieces.get_mut(before) {
            first.begins_section = true;
        }
        from = end;
    }
    pieces
}

fn records(text: &str, within: Range<usize>, pieces: &mut Vec<Piece>) {
    let mut from = within.start;
    while from < within.end {
        let end = csv::record_end(text, from).min(within.end);
        add(text, from..end, pieces);
        from = end;
    }
}

/// Parts a range behind sentences and paragraphs.
fn sentences(text: &str, within: Range<usize>, pieces: &mut Vec<Piece>) {
    let part = &text[within.clone()];
    let mut from = 0;
    let mut chars = part.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let next = chars.peek().map(|&(_, next)| next);
        let after = at + c.len_utf8();
        let is_end = match c {
            '\n' => next == Some('\n'),
            '.' | '!' | '?' | ';' => next.is_some_and(char::is_whitespace),
            '。' | '！' | '？' | '।' | '؟' => true,
            _ => false,
        };
        if is_end {
            add(text, within.start + from..within.start + after, pieces);
            from = after;
        }
    }
    add(text, within.start + from..within.end, pieces);
}

/// Adds a range without blanks at its ends, in several pieces where it is too long for a passage.
fn add(text: &str, range: Range<usize>, pieces: &mut Vec<Piece>) {
    let whole = &text[range.clone()];
    let begin = range.start + (whole.len() - whole.trim_start().len());
    let end = begin + whole.trim().len();
    let mut from = begin;
    while from < end {
        let (length, tokens) = piece_length(&text[from..end]);
        let trimmed = text[from..from + length].trim_end();
        pieces.push(Piece {
            range: from..from + trimmed.len(),
            tokens,
            begins_section: false,
        });
        from += length;
        from += text[from..end].len() - text[from..end].trim_start().len();
    }
}

/// Bytes and tokens of the longest beginning that fits into a passage; it ends behind a word if one
/// ends in its second half.
fn piece_length(text: &str) -> (usize, usize) {
    let mut twelfths = 0;
    let mut word = None;
    for (at, c) in text.char_indices() {
        let more = twelfths + weight(c);
        if more > TOKENS * 12 {
            return match word {
                Some((end, spent)) => (end, tokens(spent)),
                // One character takes far less than a passage, so there is one before it.
                None => (at, tokens(twelfths)),
            };
        }
        twelfths = more;
        if c.is_whitespace() && twelfths > TOKENS * 6 {
            word = Some((at + c.len_utf8(), twelfths));
        }
    }
    (text.len(), tokens(twelfths))
}

fn tokens(twelfths: usize) -> usize {
    twelfths.div_ceil(12).max(1)
}

/// Of a token: four letters of English take one, three of other alphabets, and other scripts' signs
/// one each.
fn weight(c: char) -> usize {
    match c {
        '\0'..='\u{7f}' => 3,
        '\u{80}'..='\u{52f}' => 4,
        _ => 12,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Format, read};

    fn of(format: Format, text: &str) -> (Document, Vec<Passage>) {
        let document = read(format, text.as_bytes().to_vec()).unwrap();
        let found = passages(&document).unwrap();
        (document, found)
    }

    #[test]
    fn sections_stand_alone_and_sentences_whole() {
        let sentence = "The quick brown fox jumps over the lazy dog near the river. ";
        let text = format!(
            "# One\n\n{}\n# Two\n\n{}",
            sentence.repeat(40),
            sentence.repeat(8)
        );
        let (document, found) = of(Format::Markdown, &text);
        assert!(found.len() >= 4, "{}", found.len());
        for passage in &found {
            let words = &document.text[passage.range.clone()];
            assert!(words.ends_with('.') && words.len() < 1000, "{words}");
        }
        let of_one: Vec<_> = found
            .iter()
            .filter(|p| p.heading.as_deref() == Some("One"))
            .collect();
        for pair in of_one.windows(2) {
            assert!(pair[1].range.start < pair[0].range.end, "they overlap");
        }
        let two = found
            .iter()
            .find(|p| p.heading.as_deref() == Some("Two"))
            .unwrap();
        assert!(document.text[two.range.clone()].starts_with("# Two"));
    }

    #[test]
    fn short_sections_stand_together() {
        let sections = (0..10).map(|n| format!("# {n}\n\nshort.\n\n"));
        let text = sections.collect::<Vec<_>>().concat();
        let (_, found) = of(Format::Markdown, &text);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn records_are_not_parted_and_know_their_columns() {
        let rows = (0..200).map(|n| format!("{n},\"a\nb {n}\"\n"));
        let rows = rows.collect::<Vec<_>>().concat();
        let (document, found) = of(Format::Csv, &format!("id,note\n{rows}"));
        assert!(found.len() > 2);
        for passage in &found {
            assert_eq!(passage.heading.as_deref(), Some("id,note"));
            assert_eq!(
                document.text[passage.range.clone()].matches('"').count() % 2,
                0
            );
        }
    }

    #[test]
    fn what_has_no_ends_is_parted_all_the_same() {
        for text in ["字".repeat(5000), "x".repeat(50_000), "a ".repeat(50_000)] {
            let (document, found) = of(Format::Text, &text);
            assert!(found.len() > 20);
            for passage in found {
                assert!(document.text[passage.range].len() <= 12 * TOKENS);
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "(\\PC{0,30}[ .\n#]{0,3}){0,200}") {
            prop_assume!(!text.trim().is_empty());
            let (document, found) = of(Format::Markdown, &text);
            let mut covered = 0;
            for passage in &found {
                let between = document.text.get(covered..passage.range.start.max(covered)).unwrap();
                prop_assert!(between.trim().is_empty(), "{between:?}");
                prop_assert!(!document.text[passage.range.clone()].trim().is_empty());
                prop_assert!(passage.range.end > covered);
                covered = passage.range.end;
            }
            prop_assert!(document.text[covered..].trim().is_empty());
        }
    }
}
