//! Text out of the documents that people have, with pages and headings, and cut into passages. A leaf:
//! it knows files and text, and neither users nor models.
//!
//! - [`Format`]: what a file is, by what it holds and how it is called.
//! - [`read()`]: from bytes to a [`Document`]; `text`, `html`, `pdf`, `docx` do it, each for its formats.
//! - [`passages()`]: where a document is cut, by its structure and for the length that an encoder reads.
//! - [`Picture`]: a picture as it is kept; looked at, and never decoded.
//! - [`isolated`]: the same reading in a child process that may do nothing but compute, and not for long.
//!
//! Invariants: what is read is hostile. It ends in a text of bounded length or in a [`DocumentError`];
//! formats that are more than text are read by [`isolated::Reader`] alone, so that a bomb, a loop or a
//! fault of a parser costs an answer and never the server.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod csv;
mod document;
mod docx;
mod error;
mod format;
mod html;
pub mod isolated;
mod passages;
mod pdf;
mod picture;
mod text;

pub use document::{Document, Heading, PageStart};
pub use error::{DocumentError, Result};
pub use format::Format;
pub use passages::{Passage, passages};
pub use picture::{
    PICTURE_BYTES_MAX, PICTURE_PIXELS_MAX, PICTURE_SIDE_MAX, Picture, PictureError, PictureKind,
    is_called_a_picture,
};

/// Bytes of a file that is read.
pub const FILE_BYTES_MAX: usize = 20 << 20;
/// Bytes of text that a document may hold: some two thousand pages. What is longer is refused, not cut.
pub const TEXT_BYTES_MAX: usize = 4 << 20;
/// Pages of a document.
pub const PAGES_MAX: usize = 5000;

/// Reads a document in this process. Whoever reads what strangers wrote uses [`isolated::Reader`].
pub fn read(format: Format, data: Vec<u8>) -> Result<Document> {
    if data.len() > FILE_BYTES_MAX {
        return Err(DocumentError::FileTooLarge {
            limit: FILE_BYTES_MAX,
        });
    }
    let document = match format {
        Format::Text => text::plain(&data)?,
        Format::Markdown => text::markdown(&data)?,
        Format::Csv => csv::read(&data)?,
        Format::Html => html::read(&data)?,
        Format::Pdf => pdf::read(data)?,
        Format::Docx => docx::read(data)?,
    };
    document.check()
}
