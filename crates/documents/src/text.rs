//! Text and Markdown: what encoding it is in, and where its headings are.

use crate::document::{Document, Heading, title};
use crate::error::{DocumentError, Result};

/// The text in these bytes: UTF-8, or UTF-16 where the file says so itself.
pub(crate) fn decode(data: &[u8]) -> Result<String> {
    let text = if let Some(rest) = data.strip_prefix(b"\xff\xfe") {
        utf16(rest, u16::from_le_bytes)?
    } else if let Some(rest) = data.strip_prefix(b"\xfe\xff") {
        utf16(rest, u16::from_be_bytes)?
    } else {
        let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
        let text = std::str::from_utf8(data).map_err(|_| DocumentError::NotText)?;
        text.to_owned()
    };
    if text.contains('\0') {
        return Err(DocumentError::NotText);
    }
    Ok(text)
}

fn utf16(data: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String> {
    let (pairs, []) = data.as_chunks::<2>() else {
        return Err(DocumentError::NotText);
    };
    let units = pairs.iter().map(|pair| unit(*pair));
    let text: std::result::Result<String, _> = char::decode_utf16(units).collect();
    text.map_err(|_| DocumentError::NotText)
}

/// Lines end with a line feed alone.
fn lines_of(text: String) -> String {
    if text.contains('\r') {
        text.replace("\r\n", "\n").replace('\r', "\n")
    } else {
        text
    }
}

/// A text without structure.
pub(crate) fn plain(data: &[u8]) -> Result<Document> {
    Ok(Document {
        text: lines_of(decode(data)?),
        ..Document::default()
    })
}

/// A text whose headings are Markdown's: `#` before them, or a line of `=` or `-` below.
pub(crate) fn markdown(data: &[u8]) -> Result<Document> {
    let text = lines_of(decode(data)?);
    let mut headings = Vec::new();
    let mut fence: Option<char> = None;
    let mut before: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let mark = ['`', '~'].into_iter().find(|mark| {
            let run = trimmed.chars().take_while(|c| c == mark).count();
            run >= 3
        });
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => {
                let level = trimmed.bytes().take_while(|b| *b == b'#').count();
                let rest = &trimmed[level..];
                let is_rule = |mark: char| trimmed.len() >= 3 && trimmed.chars().all(|c| c == mark);
                if (1..=6).contains(&level) && rest.starts_with([' ', '\t']) {
                    headings.push(Heading {
                        at,
                        title: title(rest.trim().trim_end_matches('#')),
                    });
                } else if (is_rule('=') || is_rule('-'))
                    && let Some((at, above)) = before
                {
                    headings.push(Heading {
                        at,
                        title: title(above),
                    });
                }
            }
            _ => {}
        }
        let is_words =
            fence.is_none() && mark.is_none() && trimmed.starts_with(char::is_alphanumeric);
        before = is_words.then_some((at, trimmed));
        at += line.len();
    }
    headings.retain(|heading| !heading.title.is_empty());
    Ok(Document {
        text,
        headings,
        ..Document::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_that_say_so_are_read() {
        assert_eq!(decode("\u{feff}né".as_bytes()).unwrap(), "né");
        assert_eq!(decode(b"\xff\xfea\0\xe9\0").unwrap(), "aé");
        assert_eq!(decode(b"\xfe\xff\0a\0\xe9").unwrap(), "aé");
        for bad in [
            &b"\xff\xfea"[..],
            b"\xff\xfe\0\xd8",
            b"a\xff",
            b"a\0b",
            b"\xff\xfe\0\0",
        ] {
            assert_eq!(decode(bad), Err(DocumentError::NotText), "{bad:?}");
        }
    }

    #[test]
    fn headings_are_found_but_not_in_code() {
        let text =
            "# One #\r\ntext\r\n```sh\n# no\n```\nTwo\n===\n#no\n- item\n---\n\n###### Six\n";
        let document = markdown(text.as_bytes()).unwrap();
        let titles: Vec<&str> = document.headings.iter().map(|h| h.title.as_str()).collect();
        assert_eq!(titles, ["One", "Two", "Six"]);
        for heading in &document.headings {
            assert!(document.text[heading.at..].contains(&heading.title));
        }
        assert!(!document.text.contains('\r'));
    }
}
