//! What happens to text before merging: normalisation, and splitting into words that never merge
//! with each other. The steps are those of `tokenizer.json`; GGUF's named pre-tokenizers are built
//! from the same steps.

use super::bert;
use super::pattern::{Deadline, Pattern};
use crate::{Error, Result};
use std::borrow::Cow;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;

/// Text is split in one go up to this length; regex offsets and symbols are 32 bits wide.
pub(super) const TEXT_BYTES_MAX: usize = 1 << 30;

/// One step of normalisation.
#[derive(Debug)]
pub(super) enum Normalize {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    Lowercase,
    /// As [`Self::Lowercase`], each character by itself: `Σ` is `σ` at the end of a word too.
    LowercaseChars,
    /// A space on each side of every Chinese character.
    SpaceIdeographs,
    /// Leading and trailing whitespace off.
    Strip {
        left: bool,
        right: bool,
    },
    /// Put before a text that is not empty.
    Prepend(String),
    Replace {
        pattern: Pattern,
        with: String,
    },
}

/// What becomes of the matches of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behavior {
    Removed,
    Isolated,
    MergedWithPrevious,
    MergedWithNext,
    Contiguous,
}

/// When a space is put before the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PrependScheme {
    Never,
    First,
    Always,
}

/// One step of splitting.
#[derive(Debug)]
pub(super) enum Split {
    Pattern {
        pattern: Pattern,
        behavior: Behavior,
        invert: bool,
    },
    /// Before byte-level merging: a space in front of a text that has none.
    PrefixSpace,
    /// Spaces become `▁`, and words begin with one.
    Metaspace {
        replacement: char,
        scheme: PrependScheme,
        split: bool,
    },
}

/// Applies all steps of normalisation.
pub(super) fn normalize<'t>(steps: &[Normalize], text: &'t str) -> Result<Cow<'t, str>> {
    let mut text = Cow::Borrowed(text);
    let deadline = Deadline::for_text(&text);
    for step in steps {
        let changed = match step {
            Normalize::Nfc | Normalize::Nfd | Normalize::Nfkc | Normalize::Nfkd
                if text.is_ascii() =>
            {
                continue;
            }
            Normalize::Nfc => {
                if unicode_normalization::is_nfc(&text) {
                    continue;
                }
                text.nfc().collect()
            }
            Normalize::Nfd => text.nfd().collect(),
            Normalize::Nfkc => text.nfkc().collect(),
            Normalize::Nfkd => text.nfkd().collect(),
            Normalize::Lowercase => text.to_lowercase(),
            Normalize::LowercaseChars => text.chars().flat_map(char::to_lowercase).collect(),
            Normalize::SpaceIdeographs => {
                if !text.contains(bert::is_ideograph) {
                    continue;
                }
                let mut out = String::with_capacity(2 * text.len());
                for c in text.chars() {
                    if bert::is_ideograph(c) {
                        out.extend([' ', c, ' ']);
                    } else {
                        out.push(c);
                    }
                }
                out
            }
            Normalize::Strip { left, right } => {
                let mut rest: &str = &text;
                if *left {
                    rest = rest.trim_start();
                }
                if *right {
                    rest = rest.trim_end();
                }
                rest.to_owned()
            }
            Normalize::Prepend(prefix) => {
                if text.is_empty() {
                    continue;
                }
                [prefix.as_str(), &text].concat()
            }
            Normalize::Replace { pattern, with } => {
                let mut out = String::new();
                let mut done = 0;
                pattern.each_match(&text, deadline, |range| {
                    out.push_str(&text[done..range.start]);
                    out.push_str(with);
                    done = range.end;
                })?;
                if done == 0 {
                    continue;
                }
                out.push_str(&text[done..]);
                out
            }
        };
        if changed.len() > TEXT_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes of normalised text",
                found: changed.len(),
                limit: TEXT_BYTES_MAX,
            });
        }
        text = Cow::Owned(changed);
    }
    Ok(text)
}

/// Splits `text` into words and calls `on_word` with each. `first`: this text begins the input.
pub(super) fn split(
    steps: &[Split],
    text: &str,
    first: bool,
    mut on_word: impl FnMut(&str),
) -> Result<()> {
    let deadline = Deadline::for_text(text);
    let mut text = Cow::Borrowed(text);
    let whole = 0..text.len();
    let mut words = vec![whole];
    for step in steps {
        let mut next = Vec::with_capacity(words.len());
        match step {
            Split::Pattern {
                pattern,
                behavior,
                invert,
            } => {
                for word in words {
                    let piece = &text[word.clone()];
                    cut(pattern, *behavior, *invert, piece, deadline, |range| {
                        next.push(word.start + range.start..word.start + range.end);
                    })?;
                }
            }
            Split::PrefixSpace => {
                text = rewrite(&text, &words, &mut next, |piece, _, out| {
                    if !piece.starts_with(' ') {
                        out.push(' ');
                    }
                    out.push_str(piece);
                    Vec::new()
                });
            }
            Split::Metaspace {
                replacement,
                scheme,
                split,
            } => {
                text = rewrite(&text, &words, &mut next, |piece, is_first, out| {
                    let from = out.len();
                    let wanted = match scheme {
                        PrependScheme::Never => false,
                        PrependScheme::First => first && is_first,
                        PrependScheme::Always => true,
                    };
                    if wanted && !piece.starts_with([' ', *replacement]) {
                        out.push(*replacement);
                    }
                    out.extend(
                        piece
                            .chars()
                            .map(|c| if c == ' ' { *replacement } else { c }),
                    );
                    if !split {
                        return Vec::new();
                    }
                    out[from..]
                        .match_indices(*replacement)
                        .map(|(i, _)| from + i)
                        .filter(|&i| i > from)
                        .collect()
                });
            }
        }
        words = next;
    }
    for word in words {
        on_word(&text[word]);
    }
    Ok(())
}

/// Writes every word anew through `write`, which returns further places to cut at.
fn rewrite<'t>(
    text: &str,
    words: &[Range<usize>],
    next: &mut Vec<Range<usize>>,
    mut write: impl FnMut(&str, bool, &mut String) -> Vec<usize>,
) -> Cow<'t, str> {
    let mut out = String::with_capacity(text.len() + words.len());
    for word in words {
        if word.is_empty() {
            continue;
        }
        let mut start = out.len();
        for cut in write(&text[word.clone()], word.start == 0, &mut out) {
            next.push(start..cut);
            start = cut;
        }
        next.push(start..out.len());
    }
    Cow::Owned(out)
}

/// Cuts one piece at the matches of a pattern.
fn cut(
    pattern: &Pattern,
    behavior: Behavior,
    invert: bool,
    piece: &str,
    deadline: Deadline,
    mut on_piece: impl FnMut(Range<usize>),
) -> Result<()> {
    let mut parts: Vec<(Range<usize>, bool)> = Vec::new();
    let mut done = 0;
    pattern.each_match(piece, deadline, |range| {
        if done < range.start {
            parts.push((done..range.start, invert));
        }
        done = range.end;
        parts.push((range, !invert));
    })?;
    if done < piece.len() {
        parts.push((done..piece.len(), invert));
    }
    match behavior {
        Behavior::Removed => parts.retain(|(_, matched)| !matched),
        Behavior::Isolated => {}
        Behavior::MergedWithPrevious => {
            let mut merged: Vec<(Range<usize>, bool)> = Vec::with_capacity(parts.len());
            for (range, matched) in parts {
                match merged.last_mut() {
                    Some((last, false)) if matched => {
                        last.end = range.end;
                        // What follows starts anew, another match included.
                        if let Some(last) = merged.last_mut() {
                            last.1 = true;
                        }
                    }
                    _ => merged.push((range, matched)),
                }
            }
            parts = merged;
        }
        Behavior::MergedWithNext => {
            let mut merged: Vec<(Range<usize>, bool)> = Vec::with_capacity(parts.len());
            for (range, matched) in parts {
                match merged.last_mut() {
                    Some((last, true)) if !matched => {
                        last.end = range.end;
                        if let Some(last) = merged.last_mut() {
                            last.1 = false;
                        }
                    }
                    _ => merged.push((range, matched)),
                }
            }
            parts = merged;
        }
        Behavior::Contiguous => {
            let mut merged: Vec<(Range<usize>, bool)> = Vec::with_capacity(parts.len());
            for (range, matched) in parts {
                match merged.last_mut() {
                    Some((last, same)) if *same == matched => last.end = range.end,
                    _ => merged.push((range, matched)),
                }
            }
            parts = merged;
        }
    }
    for (range, _) in parts {
        on_piece(range);
    }
    Ok(())
}
