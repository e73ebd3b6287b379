//! Files of lines: text, and JSON with a record a line.

use super::{Item, LINE_MAX, Reading, Shape, Sink, TEXT_MAX};
use crate::Result;
use crate::config::Cut;
use std::io::{self, BufRead, Read as _};

/// What the next line is.
enum Line {
    /// There is none.
    End,
    /// It is in the buffer, with its line feed.
    Here,
    /// It was longer than is held, and was passed over.
    TooLong,
}

/// Reads a line behind what is in `buffer`.
fn next(mut reader: &mut dyn BufRead, buffer: &mut Vec<u8>) -> io::Result<Line> {
    let before = buffer.len();
    let n = (&mut reader)
        .take(LINE_MAX as u64 + 1)
        .read_until(b'\n', buffer)?;
    if n == 0 {
        return Ok(Line::End);
    }
    if n <= LINE_MAX {
        return Ok(Line::Here);
    }
    let is_whole = buffer.ends_with(b"\n");
    buffer.truncate(before);
    buffer.shrink_to(TEXT_MAX);
    if !is_whole {
        reader.skip_until(b'\n')?;
    }
    Ok(Line::TooLong)
}

/// Texts, cut as the source says.
pub(super) fn texts(
    reading: &Reading<'_>,
    reader: &mut dyn BufRead,
    cut: Cut,
    sink: Sink<'_>,
) -> Result<()> {
    let mut text = Vec::new();
    loop {
        let before = text.len();
        match next(reader, &mut text).map_err(|error| reading.wrong(&error))? {
            Line::End => break,
            Line::TooLong => {
                sink(Item::Lost("line_too_long"))?;
                continue;
            }
            Line::Here => {}
        }
        let is_empty = text[before..].trim_ascii().is_empty();
        let is_end = match cut {
            Cut::File => text.len() >= TEXT_MAX && (is_empty || text.len() >= 2 * TEXT_MAX),
            Cut::Paragraph => is_empty || text.len() >= 2 * TEXT_MAX,
            Cut::Line => true,
        };
        if is_end {
            give(&mut text, sink)?;
        }
    }
    give(&mut text, sink)
}

fn give(text: &mut Vec<u8>, sink: Sink<'_>) -> Result<()> {
    let text = std::mem::take(text);
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    sink(Item::Text(text))
}

/// Records, one a line.
pub(super) fn records(
    reading: &Reading<'_>,
    reader: &mut dyn BufRead,
    sink: Sink<'_>,
) -> Result<()> {
    loop {
        let mut line = Vec::new();
        match next(reader, &mut line).map_err(|error| reading.wrong(&error))? {
            Line::End => return Ok(()),
            Line::TooLong => sink(Item::Lost("line_too_long"))?,
            Line::Here if line.trim_ascii().is_empty() => {}
            Line::Here => sink(Item::Json(Shape::Record, line))?,
        }
    }
}
