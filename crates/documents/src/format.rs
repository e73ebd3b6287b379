//! What a file is: by its first bytes where its format has any, else by the end of its name.

use crate::error::{DocumentError, Result};

/// A kind of document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Text of any kind: notes, code, JSON.
    Text,
    /// Text with headings.
    Markdown,
    /// A table.
    Csv,
    /// A page of the web.
    Html,
    /// Pages.
    Pdf,
    /// Word's.
    Docx,
}

impl Format {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Text,
        Self::Markdown,
        Self::Csv,
        Self::Html,
        Self::Pdf,
        Self::Docx,
    ];

    /// Its name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::Html => "html",
            Self::Pdf => "pdf",
            Self::Docx => "docx",
        }
    }

    /// The one of a name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Its media type.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Markdown => "text/markdown",
            Self::Csv => "text/csv",
            Self::Html => "text/html",
            Self::Pdf => "application/pdf",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        }
    }

    /// Whether reading it is more than looking for headings in a text.
    pub fn needs_parser(self) -> bool {
        matches!(self, Self::Html | Self::Pdf | Self::Docx)
    }

    /// What a file with this name and these bytes is.
    pub fn detect(name: &str, data: &[u8]) -> Result<Self> {
        let end = name.rsplit_once('.').map_or("", |(_, end)| end);
        let end = end.to_ascii_lowercase();
        // Some programs write a few bytes before it, which readers allow.
        let head = &data[..data.len().min(1024)];
        if head.windows(5).any(|five| five == b"%PDF-")
            && (data.starts_with(b"%PDF-") || end == "pdf")
        {
            return Ok(Self::Pdf);
        }
        if data.starts_with(b"PK\x03\x04") || data.starts_with(b"PK\x05\x06") {
            return if end == "docx" {
                Ok(Self::Docx)
            } else {
                Err(DocumentError::UnknownFormat)
            };
        }
        let pictures: [&[u8]; 5] = [b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM"];
        let is_text = std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0'))
            || head.len() == 1024 && std::str::from_utf8(&head[..1020]).is_ok();
        if !is_text && pictures.iter().any(|magic| data.starts_with(magic)) {
            return Err(DocumentError::Picture);
        }
        match end.as_str() {
            "pdf" | "docx" => Err(DocumentError::Damaged),
            "md" | "markdown" | "mdx" => Ok(Self::Markdown),
            "csv" | "tsv" => Ok(Self::Csv),
            "html" | "htm" | "xhtml" => Ok(Self::Html),
            _ => Ok(Self::Text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_more_than_names() {
        let is = |name: &str, data: &[u8]| Format::detect(name, data);
        assert_eq!(is("a.txt", b"%PDF-1.7"), Ok(Format::Pdf));
        assert_eq!(is("a.pdf", b"\n\n%PDF-1.7"), Ok(Format::Pdf));
        assert_eq!(is("a.md", b"about %PDF-1.7"), Ok(Format::Markdown));
        assert_eq!(is("a.PDF", b"hello"), Err(DocumentError::Damaged));
        assert_eq!(is("a.docx", b"PK\x03\x04"), Ok(Format::Docx));
        assert_eq!(
            is("a.zip", b"PK\x03\x04"),
            Err(DocumentError::UnknownFormat)
        );
        assert_eq!(
            is("a.xlsx", b"PK\x03\x04"),
            Err(DocumentError::UnknownFormat)
        );
        assert_eq!(
            is("a.md", b"\x89PNG\r\n\x1a\n\xff"),
            Err(DocumentError::Picture)
        );
        assert_eq!(is("a.md", b"BM is text"), Ok(Format::Markdown));
        assert_eq!(is("a.HTM", b"<p>"), Ok(Format::Html));
        assert_eq!(is("Makefile", b"all:"), Ok(Format::Text));
        for format in Format::ALL {
            assert_eq!(Format::of_name(format.name()), Some(format));
        }
    }
}
