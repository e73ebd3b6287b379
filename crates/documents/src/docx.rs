//! Word's documents: an archive whose `word/document.xml` holds paragraphs, their styles and tables.
//! What it unpacks to is bounded while it is unpacked, whatever the archive says of itself.

use std::io::{Cursor, Read};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;
use zip::result::ZipError;

use crate::TEXT_BYTES_MAX;
use crate::document::{Document, Heading, title};
use crate::error::{DocumentError, Result};

/// Bytes that the part with the text may unpack to: marks take many times what the words take.
const PART_BYTES_MAX: usize = 64 << 20;
/// Files in the archive.
const ENTRIES_MAX: usize = 10_000;

pub(crate) fn read(data: Vec<u8>) -> Result<Document> {
    let xml = part(data)?;
    let mut reader = Reader::from_str(&xml);
    // Word closes what it opens; what does not is still read as far as it goes.
    reader.config_mut().check_end_names = false;
    let mut body = Body::default();
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag)) => body.open(&tag),
            Ok(Event::Empty(tag)) => {
                body.open(&tag);
                body.close(tag.local_name().into_inner());
            }
            Ok(Event::End(tag)) => body.close(tag.local_name().into_inner()),
            Ok(Event::Text(text)) if body.in_text => {
                body.text.push_str(&text);
            }
            Ok(Event::GeneralRef(name)) if body.in_text => {
                let entity = format!("&{};", &*name);
                body.text
                    .push_str(&html_escape::decode_html_entities(&entity));
            }
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(_) => return Err(DocumentError::Damaged),
        }
        if body.text.len() > TEXT_BYTES_MAX {
            return Err(DocumentError::TooMuchText {
                limit: TEXT_BYTES_MAX,
            });
        }
    }
    Ok(Document {
        text: body.text,
        headings: body.headings,
        ..Document::default()
    })
}

/// The part of the archive that holds the text.
fn part(data: Vec<u8>) -> Result<String> {
    let mut archive = ZipArchive::new(Cursor::new(data)).map_err(|_| DocumentError::Damaged)?;
    if archive.len() > ENTRIES_MAX {
        return Err(DocumentError::Damaged);
    }
    let entry = match archive.by_name("word/document.xml") {
        Ok(entry) => entry,
        Err(ZipError::UnsupportedArchive(_)) => return Err(DocumentError::Locked),
        Err(_) => return Err(DocumentError::Damaged),
    };
    let mut xml = Vec::new();
    let limit = PART_BYTES_MAX as u64 + 1;
    entry
        .take(limit)
        .read_to_end(&mut xml)
        .map_err(|_| DocumentError::Damaged)?;
    if xml.len() > PART_BYTES_MAX {
        return Err(DocumentError::UnpacksToTooMuch {
            limit: PART_BYTES_MAX,
        });
    }
    String::from_utf8(xml).map_err(|_| DocumentError::Damaged)
}

#[derive(Default)]
struct Body {
    text: String,
    headings: Vec<Heading>,
    in_text: bool,
    /// Where the paragraph that is open begins.
    paragraph: usize,
    /// It is a heading of this depth.
    level: Option<usize>,
    in_cell: usize,
    cells: usize,
}

impl Body {
    fn open(&mut self, tag: &BytesStart<'_>) {
        match tag.local_name().into_inner() {
            "p" => {
                self.paragraph = self.text.len();
                self.level = None;
            }
            "pStyle" => self.level = heading_level(tag),
            "t" => self.in_text = true,
            "ta" => self.text.push('\t'),
            "br" | "cr" => self.text.push('\n'),
            "tr" => self.cells = 0,
            "tc" => {
                if self.cells > 0 {
                    self.text.push_str(" | ");
                }
                self.cells += 1;
                self.in_cell += 1;
            }
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "t" => self.in_text = false,
            "tc" => self.in_cell = self.in_cell.saturating_sub(1),
            "tr" | "tbl" => self.text.push('\n'),
            "p" if self.in_cell > 0 => self.end_words_of_cell(),
            "p" => {
                let begun = self.paragraph.min(self.text.len());
                let words = title(&self.text[begun..]);
                if let (Some(level), false) = (self.level.take(), words.is_empty()) {
                    self.text
                        .insert_str(begun, &format!("{} ", "#".repeat(level)));
                    self.headings.push(Heading {
                        at: begun,
                        title: words,
                    });
                }
                if self.text.len() > begun {
                    self.text.push_str("\n\n");
                }
            }
            _ => {}
        }
    }
}

impl Body {
    /// Paragraphs of one cell stand on its line.
    fn end_words_of_cell(&mut self) {
        if self.text.len() > self.paragraph {
            self.text.push(' ');
        }
    }
}

/// `Heading1` to `Heading9`, and `Title`.
fn heading_level(tag: &BytesStart<'_>) -> Option<usize> {
    let value = tag.attributes().flatten().find_map(|attribute| {
        let is_value = attribute.key.local_name().into_inner() == "val";
        is_value.then(|| attribute.value.to_ascii_lowercase())
    })?;
    if value == "title" {
        return Some(1);
    }
    let digit = value.strip_prefix("heading")?.as_bytes().first()?;
    let level = usize::from(digit.checked_sub(b'0')?);
    (1..=9).contains(&level).then_some(level.min(6))
}
