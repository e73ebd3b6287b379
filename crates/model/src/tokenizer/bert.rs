//! BERT's normalizer and pre-tokenizer as Hugging Face's library has them, put together from ordinary
//! steps. Its tables of characters are those of Unicode 8, and so are the classes here: a character
//! that was assigned later is no mark, no punctuation and no control character.

use super::json_format::Component;
use super::pattern::Pattern;
use super::split::{Behavior, Normalize, Split};
use crate::Result;
use std::path::Path;

/// Taken out: control characters but tab, line feed and carriage return; and U+FFFD.
const CONTROL: &str =
    r"[\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{7f}-\x{9f}\x{fffd}\p{Co}[\p{Cf}&&\p{age:8.0}]]";
/// Whitespace that becomes a space.
const WHITESPACE: &str = r"[\s&&[^ ]]";
/// Accents, which normal form D sets apart. (The last is a spacing mark by now.)
const ACCENTS: &str = r"[[\p{Mn}&&\p{age:8.0}]--[\x{111c9}]]";
/// ASCII's punctuation with its symbols, and everybody else's punctuation. (Two are something else by
/// now.)
const PUNCTUATION: &str = r"[[:punct:]\x{166d}\x{111c9}[\p{P}&&\p{age:8.0}]]";

/// `BertNormalizer`.
pub(super) fn normalizer(
    path: &Path,
    component: &Component<'_>,
    out: &mut Vec<Normalize>,
) -> Result<()> {
    let replace = |source: &str, with: &str| -> Result<Normalize> {
        Ok(Normalize::Replace {
            pattern: Pattern::regex(path, "normalizer", source)?,
            with: with.to_owned(),
        })
    };
    if component.clean_text.unwrap_or(true) {
        out.push(replace(CONTROL, "")?);
        out.push(replace(WHITESPACE, " ")?);
    }
    if component.handle_chinese_chars.unwrap_or(true) {
        out.push(Normalize::SpaceIdeographs);
    }
    let lowercase = component.lowercase.unwrap_or(true);
    if component.strip_accents.unwrap_or(lowercase) {
        out.push(Normalize::Nfd);
        out.push(replace(ACCENTS, "")?);
    }
    if lowercase {
        out.push(Normalize::LowercaseChars);
    }
    Ok(())
}

/// `BertPreTokenizer`: words between spaces, and each punctuation mark by itself.
pub(super) fn pre_tokenizer(path: &Path, out: &mut Vec<Split>) -> Result<()> {
    for (source, behavior) in [
        (r"\s", Behavior::Removed),
        (PUNCTUATION, Behavior::Isolated),
    ] {
        out.push(Split::Pattern {
            pattern: Pattern::regex(path, "pre_tokenizer", source)?,
            behavior,
            invert: false,
        });
    }
    Ok(())
}

/// A character of the blocks of CJK ideographs, each of which is a word by itself.
pub(super) fn is_ideograph(c: char) -> bool {
    matches!(
        u32::from(c),
        0x4e00..=0x9fff
            | 0x3400..=0x4dbf
            | 0x2_0000..=0x2_a6df
            | 0x2_a700..=0x2_b73f
            | 0x2_b740..=0x2_b81f
            | 0x2_b920..=0x2_ceaf
            | 0xf900..=0xfaff
            | 0x2_f800..=0x2_fa1f
    )
}
