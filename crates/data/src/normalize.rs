//! One way of writing: NFC, line feeds, no control characters, no blanks where nobody sees them.

use crate::document::{CONTENT, MESSAGE};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A text in its one way of writing. Marks of conversations stay.
pub(crate) fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if is_composed(text) {
        clean(text, &mut out);
    } else {
        // Before composing: what stood between a letter and its accent must not keep them apart.
        let seen = text.chars().filter(|c| !is_invisible(*c));
        clean(&seen.nfc().collect::<String>(), &mut out);
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out
}

/// Whether a text is surely NFC, but for what is not seen. Letters of ASCII are always, so that the order of the
/// others is all that counts; to look for accents that they do not have between them may only err on the safe side.
fn is_composed(text: &str) -> bool {
    // U+0300, the first accent, begins with this byte; nothing below composes with what is before it.
    const ACCENTS: u8 = 0xcc;
    if text.is_ascii() {
        return true;
    }
    let above = text
        .bytes()
        .enumerate()
        .filter(|(_, byte)| *byte >= ACCENTS);
    let letters = above.filter_map(|(at, _)| text[at..].chars().next());
    is_nfc_quick(letters.filter(|c| !is_invisible(*c))) == IsNormalized::Yes
}

/// Writes what is seen of a text that is composed. Letters between two places where something may have to change
/// are copied as they are.
fn clean(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    let mut after_return = false;
    // At the beginning of a text, or of what somebody says: no blank stands there, and no line feed.
    let mut at_begin = true;
    let mut at = 0;
    while at < bytes.len() {
        let plain = bytes[at..]
            .iter()
            .position(|byte| !IS_PLAIN[usize::from(*byte)])
            .unwrap_or(bytes.len() - at);
        if plain > 0 {
            let mut run = &text[at..at + plain];
            at += plain;
            after_return = false;
            if at_begin {
                run = run.trim_start_matches([' ', '\t']);
                at_begin = run.is_empty();
            }
            out.push_str(run);
            continue;
        }
        let c = text[at..].chars().next().unwrap_or_default();
        at += c.len_utf8();
        if is_invisible(c) {
            continue;
        }
        if c == '\n' && after_return {
            after_return = false;
            continue;
        }
        after_return = c == '\r';
        match c {
            '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => {
                trim(out, b" \t");
                // More than one empty line says no more than one.
                match out.as_bytes() {
                    [] | [.., b'\n', b'\n'] => {}
                    _ if out.ends_with(CONTENT) => {}
                    _ => out.push('\n'),
                }
                at_begin = out.is_empty() || out.ends_with(CONTENT);
            }
            MESSAGE | CONTENT => {
                trim(out, b" \t\n");
                out.push(c);
                at_begin = c == CONTENT;
            }
            '\u{a0}' if at_begin => {}
            c => {
                out.push(if c == '\u{a0}' { ' ' } else { c });
                at_begin = false;
            }
        }
    }
}

/// Takes what is one of `these` from the end.
fn trim(out: &mut String, these: &[u8]) {
    let rest = out
        .bytes()
        .rev()
        .take_while(|byte| these.contains(byte))
        .count();
    out.truncate(out.len() - rest);
}

/// Bytes that stay what they are wherever they stand: those of ASCII that are seen, tabs, and those of letters beyond
/// it that begin none of the characters which do not stay. What follows the first byte stays with it.
static IS_PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        // C2: U+0085, U+00A0, U+00AD and controls; E2: U+200B, U+2028, U+2029, U+2060; EF: U+FEFF, U+FFFE, U+FFFF.
        plain[byte] =
            matches!(byte, 0x09 | 0x20..=0x7e | 0x80..=0xff) && !matches!(byte, 0xc2 | 0xe2 | 0xef);
        byte += 1;
    }
    plain
};

/// Characters that no reader sees and no writer means: controls, marks of byte order, soft hyphens, zero-width
/// spaces.
fn is_invisible(c: char) -> bool {
    match c {
        '\n' | '\r' | '\t' | '\u{85}' | MESSAGE | CONTENT => false,
        '\u{feff}' | '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{fffe}' | '\u{ffff}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_way_of_writing() {
        for (found, expected) in [
            ("a\r\nb\rc\n\n\n\nd  \n", "a\nb\nc\n\nd"),
            ("\u{feff}e\u{301}\u{0}x\u{200b}y", "éxy"),
            ("\n\n  a", "a"),
            (
                "\u{1e}user\u{1f}  hi \n\n\u{1e}assistant\u{1f}yo\n",
                "\u{1e}user\u{1f}hi\u{1e}assistant\u{1f}yo",
            ),
            ("if x:\n    y", "if x:\n    y"),
            ("\r\n\r\n", ""),
        ] {
            assert_eq!(normalize(found), expected, "{found:?}");
        }
    }

    /// The plain definition: a character after the other.
    fn plainly(text: &str) -> String {
        let mut out = String::new();
        let mut after_return = false;
        for c in text.chars().filter(|c| !is_invisible(*c)).nfc() {
            let is_second = c == '\n' && after_return;
            after_return = c == '\r';
            let at_begin = out.is_empty() || out.ends_with(CONTENT);
            match c {
                _ if is_second => after_return = false,
                '\n' | '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => {
                    out.truncate(out.trim_end_matches([' ', '\t']).len());
                    if !(out.is_empty() || out.ends_with(CONTENT) || out.ends_with("\n\n")) {
                        out.push('\n');
                    }
                }
                MESSAGE | CONTENT => {
                    out.truncate(out.trim_end_matches([' ', '\t', '\n']).len());
                    out.push(c);
                }
                ' ' | '\t' | '\u{a0}' if at_begin => {}
                '\u{a0}' => out.push(' '),
                c => out.push(c),
            }
        }
        out.trim_end().to_owned()
    }

    proptest::proptest! {
        #[test]
        fn runs_are_copied_as_characters_would_be(
            text in "(\\PC{0,4}|[ \t\r\n]{0,4}|[\u{1e}\u{1f}\u{a0}\u{ad}\u{200b}\u{2028}\u{85}\u{feff}]|\u{0}|[a-zé“]{0,9}|\u{301}|\u{323}){0,30}"
        ) {
            proptest::prop_assert_eq!(normalize(&text), plainly(&text));
        }

        #[test]
        fn what_is_normal_stays(text in "\\PC{0,40}[\r\n \t]{0,6}\\PC{0,40}") {
            let once = normalize(&text);
            proptest::prop_assert_eq!(normalize(&once), once.clone());
            proptest::prop_assert!(!once.contains('\r') && !once.contains('\0'));
        }
    }
}
