//! Tables: the text as it is. Its first record names the columns, and stands over every passage.

use crate::document::{Document, Heading, title};
use crate::error::Result;
use crate::text;

/// A table of comma- or tab-separated values.
pub(crate) fn read(data: &[u8]) -> Result<Document> {
    let mut document = text::plain(data)?;
    let end = record_end(&document.text, 0);
    let columns = title(&document.text[..end]);
    if !columns.is_empty() {
        document.headings.push(Heading {
            at: 0,
            title: columns,
        });
    }
    document.is_table = true;
    Ok(document)
}

/// The byte after the record that begins at `from`: a line feed in quotes is part of a value.
pub(crate) fn record_end(text: &str, from: usize) -> usize {
    let mut quoted = false;
    for (at, byte) in text.as_bytes().iter().enumerate().skip(from) {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_have_lines() {
        let text = "name,note\nann,\"a\nb \"\"c\"\"\nd\"\nbob,x\n";
        let first = record_end(text, 0);
        assert_eq!(&text[..first], "name,note\n");
        let second = record_end(text, first);
        assert_eq!(&text[second..], "bob,x\n");
        let document = read(text.as_bytes()).unwrap();
        assert_eq!(document.headings[0].title, "name,note");
    }
}
