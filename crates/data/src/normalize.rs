//! One way of writing: NFC, line feeds, no control characters, no blanks where nobody sees them.

use crate::document::{CONTENT, MESSAGE};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A text in its one way of writing. Marks of conversations stay.
pub(crate) fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // Before composing: what stood between a letter and its accent must not keep them apart.
    let seen = || text.chars().filter(|c| !is_invisible(*c));
    if text.is_ascii() || is_nfc_quick(seen()) == IsNormalized::Yes {
        clean(seen(), &mut out);
    } else {
        clean(seen().nfc(), &mut out);
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out
}

fn clean(text: impl Iterator<Item = char>, out: &mut String) {
    // Line feeds in a row; nothing stands before the first word.
    let mut feeds = 2;
    let mut after_return = false;
    for c in text {
        if c == '\n' && after_return {
            after_return = false;
            continue;
        }
        after_return = c == '\r';
        let c = match c {
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => '\n',
            '\u{a0}' => ' ',
            c => c,
        };
        if c == '\n' {
            while out.ends_with([' ', '\t']) {
                out.pop();
            }
            // More than one empty line says no more than one.
            feeds = match out.as_bytes() {
                [] | [.., b'\n', b'\n'] => 2,
                _ if out.ends_with(CONTENT) => 2,
                _ => {
                    out.push('\n');
                    1 + usize::from(out.ends_with("\n\n"))
                }
            };
        } else if matches!(c, MESSAGE | CONTENT) {
            while out.ends_with([' ', '\t', '\n']) {
                out.pop();
            }
            out.push(c);
            feeds = 2;
        } else {
            if (c == ' ' || c == '\t') && feeds >= 2 && (out.is_empty() || out.ends_with(CONTENT)) {
                continue;
            }
            out.push(c);
            feeds = 0;
        }
    }
}

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

    proptest::proptest! {
        #[test]
        fn what_is_normal_stays(text in "\\PC{0,40}[\r\n \t]{0,6}\\PC{0,40}") {
            let once = normalize(&text);
            proptest::prop_assert_eq!(normalize(&once), once.clone());
            proptest::prop_assert!(!once.contains('\r') && !once.contains('\0'));
        }
    }
}
