//! Pages of the web: what a reader would see of them, as text with Markdown's marks for headings and
//! lists. One pass over the bytes, with no tree, so that no nesting is too deep; what is open at the
//! end of the file takes the rest with it.

use std::borrow::Cow;

use crate::document::{Document, Heading, title};
use crate::error::{DocumentError, Result};
use crate::text;

/// Elements whose content is no text for a reader.
const SKIPPED: [&str; 12] = [
    "script", "style", "template", "svg", "math", "iframe", "object", "noembed", "noframes",
    "select", "textarea", "canvas",
];

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "dd",
    "details",
    "dialog",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "thead",
    "ul",
    "caption",
];

/// A page of the web.
pub(crate) fn read(data: &[u8]) -> Result<Document> {
    let source = decode(data)?;
    let mut page = Page::default();
    let mut rest = source.as_str();
    while let Some(open) = rest.find('<') {
        page.words(&rest[..open]);
        rest = page.markup(&rest[open..]);
    }
    page.words(rest);
    Ok(page.document())
}

/// UTF-8, UTF-16 where the file begins so, or the western encoding that a page names itself.
fn decode(data: &[u8]) -> Result<String> {
    match text::decode(data) {
        Err(DocumentError::NotText) if names_western(data) && !data.contains(&0) => {
            Ok(data.iter().map(|&byte| western(byte)).collect())
        }
        other => other,
    }
}

fn names_western(data: &[u8]) -> bool {
    let head = String::from_utf8_lossy(&data[..data.len().min(2048)]).to_ascii_lowercase();
    let Some((_, named)) = head.split_once("charset=") else {
        return false;
    };
    let named = named.trim_start_matches(['"', '\'']);
    ["iso-8859-1", "latin1", "windows-1252", "us-ascii"]
        .iter()
        .any(|name| named.starts_with(name))
}

/// A byte of windows-1252, which stands for Latin 1 too.
fn western(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => HIGH[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[derive(Default)]
struct Page {
    text: String,
    headings: Vec<Heading>,
    /// In `pre`, where blanks count.
    verbatim: usize,
    /// A blank is due before the next word.
    blank: bool,
    /// Where the heading that is open begins.
    heading: Option<usize>,
    /// Cells of the row that is open.
    cells: usize,
}

impl Page {
    /// Text between marks.
    fn words(&mut self, raw: &str) {
        let decoded: Cow<'_, str> = html_escape::decode_html_entities(raw);
        for c in decoded.chars() {
            if self.verbatim > 0 && c == '\n' {
                self.text.push('\n');
            } else if c.is_whitespace() {
                if self.verbatim > 0 {
                    self.text.push(' ');
                } else {
                    self.blank = true;
                }
            } else if !c.is_control() {
                if self.blank && !self.text.ends_with(['\n', ' ']) && !self.text.is_empty() {
                    self.text.push(' ');
                }
                self.blank = false;
                self.text.push(c);
            }
        }
    }

    /// Ends the line, and the paragraph if `empty`.
    fn line(&mut self, empty: bool) {
        while self.text.ends_with(' ') {
            self.text.pop();
        }
        self.blank = false;
        if self.text.is_empty() {
            return;
        }
        let wanted = if empty { 2 } else { 1 };
        let found = self.text.bytes().rev().take_while(|b| *b == b'\n').count();
        for _ in found..wanted {
            self.text.push('\n');
        }
    }

    /// Takes a comment or a tag, and with some tags what they hold; gives what follows.
    fn markup<'a>(&mut self, source: &'a str) -> &'a str {
        if let Some(comment) = source.strip_prefix("<!--") {
            return comment.find("-->").map_or("", |end| &comment[end + 3..]);
        }
        let inner = &source[1..];
        let is_end = inner.starts_with('/');
        let name_from = usize::from(is_end);
        if !inner[name_from..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            // A declaration is left out; any other mark is text.
            if inner.starts_with(['!', '?', '/']) {
                return inner.find('>').map_or("", |end| &inner[end + 1..]);
            }
            self.words("<");
            return inner;
        }
        let name_end = inner[name_from..]
            .find(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))
            .map_or(inner.len(), |length| name_from + length);
        let name = inner[name_from..name_end].to_ascii_lowercase();
        let rest = &inner[name_end..];
        let rest = tag_end(rest).map_or("", |end| &rest[end..]);
        if is_end {
            self.close(&name);
            return rest;
        }
        if SKIPPED.contains(&name.as_str()) {
            return after_element(rest, &name);
        }
        if name == "title" {
            let end = find_end(rest, &name);
            let words = html_escape::decode_html_entities(&rest[..end]).into_owned();
            self.open("h1");
            self.words(&words);
            self.close("h1");
            return after_element(rest, &name);
        }
        self.open(&name);
        rest
    }

    fn open(&mut self, name: &str) {
        match name {
            "br" => self.line(false),
            "li" => {
                self.line(false);
                self.text.push_str("- ");
            }
            "tr" => {
                self.line(false);
                self.cells = 0;
            }
            "td" | "th" => {
                if self.cells > 0 {
                    self.text.push_str(" | ");
                }
                self.cells += 1;
                self.blank = false;
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.line(true);
                self.heading = Some(self.text.len());
                let level = usize::from(name.as_bytes()[1] - b'0');
                self.text.extend(std::iter::repeat_n('#', level));
                self.text.push(' ');
            }
            "pre" => {
                self.line(true);
                self.verbatim += 1;
            }
            _ if BLOCKS.contains(&name) => self.line(true),
            _ => {}
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                if let Some(at) = self.heading.take() {
                    let words = title(self.text[at..].trim_start_matches('#'));
                    if words.is_empty() {
                        self.text.truncate(at);
                    } else {
                        self.headings.push(Heading { at, title: words });
                    }
                }
                self.line(true);
            }
            "pre" => {
                self.verbatim = self.verbatim.saturating_sub(1);
                self.line(true);
            }
            "li" | "tr" => self.line(false),
            _ if BLOCKS.contains(&name) => self.line(true),
            _ => {}
        }
    }

    fn document(mut self) -> Document {
        let length = self.text.trim_end().len();
        self.text.truncate(length);
        self.headings.retain(|heading| heading.at < length);
        Document {
            text: self.text,
            headings: self.headings,
            ..Document::default()
        }
    }
}

/// The byte after a tag's `>`; one in a quoted value is none.
fn tag_end(rest: &str) -> Option<usize> {
    let mut quote = None;
    let mut before = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            // A quote begins a value only after an equals sign.
            (None, b'"' | b'\'') if before == b'=' => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
    None
}

/// Where the end tag of an element begins, or the end of the file.
fn find_end(rest: &str, name: &str) -> usize {
    let mut from = 0;
    while let Some(found) = rest[from..].find("</") {
        let at = from + found;
        let tail = &rest.as_bytes()[at + 2..];
        if tail.len() >= name.len() && tail[..name.len()].eq_ignore_ascii_case(name.as_bytes()) {
            return at;
        }
        from = at + 2;
    }
    rest.len()
}

fn after_element<'a>(rest: &'a str, name: &str) -> &'a str {
    let end = find_end(rest, name);
    let tail = &rest[end..];
    tail.find('>').map_or("", |close| &tail[close + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(html: &str) -> String {
        read(html.as_bytes()).unwrap().text
    }

    #[test]
    fn a_page_is_what_its_reader_sees() {
        let html = "<!doctype html><html><head><title>A &amp; B</title><style>p{}</style></head>\
            <body><h2 class='>'>First</h2><p>One\n two&nbsp;<b>three</b><p>four</p>\
            <ul><li>x<li>y</ul><script>if (a < b) alert('</scrip')</script>\
            <table><tr><th>n<th>v</tr><tr><td>1<td>2</table><pre>a\n  b</pre><!-- <p>no --></body>";
        let document = read(html.as_bytes()).unwrap();
        assert_eq!(
            document.text,
            "# A & B\n\n## First\n\nOne two three\n\nfour\n\n- x\n- y\n\nn | v\n1 | 2\n\na\n  b"
        );
        let titles: Vec<&str> = document.headings.iter().map(|h| h.title.as_str()).collect();
        assert_eq!(titles, ["A & B", "First"]);
        assert_eq!(document.heading_at(document.text.len()), Some("First"));
    }

    #[test]
    fn what_would_run_is_left_out() {
        let html = "<p>a<img src=x onerror=alert(1)><SCRIPT>alert(2)</SCRIPT ><svg/onload=alert(3)>\
            </svg><iframe srcdoc='<script>alert(4)</script>'></iframe>b";
        assert_eq!(text_of(html), "ab");
        // As text it is text, and whoever shows it shows text.
        assert_eq!(text_of("&lt;script&gt;x"), "<script>x");
    }

    #[test]
    fn what_is_never_closed_ends_with_the_file() {
        for html in ["a<script>", "a<!--", "a<p", "a<p x='", "a<title>", "a</"] {
            assert_eq!(text_of(html).trim_start_matches(['#', ' ']), "a", "{html}");
        }
        assert_eq!(text_of("1 < 2 <3"), "1 < 2 <3");
        assert_eq!(text_of(&"<div>".repeat(100_000)), "");
        assert!(!text_of(&"<h1>".repeat(100_000)).contains('<'));
    }

    #[test]
    fn a_western_page_that_says_so_is_read() {
        let page = b"<meta charset=\"windows-1252\"><p>caf\xe9 \x93x\x94";
        assert_eq!(read(page).unwrap().text, "café “x”");
        assert_eq!(read(b"<p>caf\xe9"), Err(DocumentError::NotText));
    }
}
