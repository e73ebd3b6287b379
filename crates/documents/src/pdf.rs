//! PDF: glyphs in the order in which they are drawn, put together to words, lines and paragraphs by
//! where they stand; larger lines are headings. The format's own rules are `hayro`'s work.

use std::collections::BTreeMap;

use hayro_interpret::font::{Glyph, GlyphRun};
use hayro_interpret::hayro_cmap::BfString;
use hayro_interpret::hayro_syntax::{LoadPdfError, Pdf};
use hayro_interpret::kurbo::{Affine, BezPath, Point, Rect, Vec2};
use hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps,
    InterpreterCache, InterpreterSettings, SoftMask, interpret_page,
};

use crate::document::{Document, Heading, PageStart, title};
use crate::error::{DocumentError, Result};
use crate::{PAGES_MAX, TEXT_BYTES_MAX};

/// Lines so much larger than most of the text are headings.
const HEADING_SCALE: f64 = 1.2;
const HEADING_CHARS_MAX: usize = 120;
/// In sizes of the font: a gap that parts words, and one that ends a column's line.
const WORD_GAP: f64 = 0.18;
const COLUMN_GAP: f64 = 3.0;
/// Lines further apart than this belong to two paragraphs.
const PARAGRAPH_GAP: f64 = 1.7;

pub(crate) fn read(data: Vec<u8>) -> Result<Document> {
    let pdf = Pdf::new(data).map_err(|error| match error {
        LoadPdfError::Decryption(_) => DocumentError::Locked,
        LoadPdfError::Invalid => DocumentError::Damaged,
    })?;
    let pages = pdf.pages();
    if pages.len() > PAGES_MAX {
        return Err(DocumentError::TooManyPages {
            found: pages.len(),
            limit: PAGES_MAX,
        });
    }
    let cache = InterpreterCache::new();
    let mut lines = Vec::new();
    let mut bytes = 0;
    for (index, page) in pages.iter().enumerate() {
        let bounds = Rect::new(0.0, 0.0, 1.0, 1.0);
        let settings = InterpreterSettings::default();
        let mut context = Context::new(Affine::IDENTITY, bounds, &cache, pdf.xref(), settings);
        let mut writer = Writer::new(index + 1, TEXT_BYTES_MAX - bytes);
        interpret_page(page, &mut context, &mut writer);
        writer.end_line();
        if writer.is_full {
            return Err(DocumentError::TooMuchText {
                limit: TEXT_BYTES_MAX,
            });
        }
        bytes += writer.bytes;
        lines.append(&mut writer.lines);
    }
    Ok(document(&lines))
}

/// A line as it stands on its page.
#[derive(Debug)]
struct Line {
    page: usize,
    text: String,
    /// Of its largest glyphs, in the page's units.
    size: f64,
    /// It begins a paragraph.
    is_first: bool,
}

/// Where the glyph before ended.
#[derive(Clone, Copy)]
struct Pen {
    end: Point,
    /// The direction of writing, of length one.
    along: Vec2,
    size: f64,
}

struct Writer {
    page: usize,
    lines: Vec<Line>,
    line: String,
    line_size: f64,
    begins_paragraph: bool,
    /// Where the line before began.
    above: Option<(Point, f64)>,
    begun: Point,
    pen: Option<Pen>,
    /// The first glyph of the run before: what is drawn twice to be bold is read once.
    last_run: Option<(Point, usize, u32)>,
    bytes: usize,
    bytes_max: usize,
    is_full: bool,
}

impl Writer {
    fn new(page: usize, bytes_max: usize) -> Self {
        Self {
            page,
            lines: Vec::new(),
            line: String::new(),
            line_size: 0.0,
            begins_paragraph: true,
            above: None,
            begun: Point::ZERO,
            pen: None,
            last_run: None,
            bytes: 0,
            bytes_max,
            is_full: false,
        }
    }

    fn end_line(&mut self) {
        let text = self.line.split_whitespace().collect::<Vec<_>>().join(" ");
        self.line.clear();
        if !text.is_empty() {
            self.lines.push(Line {
                page: self.page,
                text,
                size: self.line_size,
                is_first: self.begins_paragraph,
            });
            self.above = Some((self.begun, self.line_size));
        }
        self.line_size = 0.0;
        self.pen = None;
    }

    fn glyph(&mut self, transform: Affine, glyph: &Glyph<'_>) {
        let at = transform * Point::ZERO;
        let [a, b, c, d, ..] = transform.as_coeffs();
        let size = 1000.0 * Vec2::new(c, d).hypot();
        let across = Vec2::new(a, b);
        if !at.is_finite() || !size.is_finite() || across.hypot() <= 0.0 || size <= 0.0 {
            return;
        }
        let along = across.normalize();
        let advance = match glyph {
            Glyph::Outline(glyph) => glyph.advance_width(),
            Glyph::Type3(glyph) => glyph.advance_width(),
        };
        let advance = f64::from(advance.filter(|width| *width > 0.0).unwrap_or(500.0));
        let end = transform * Point::new(advance, 0.0);
        if let Some(pen) = self.pen {
            self.place(pen, at, along, size);
        }
        if self.line.is_empty() {
            self.begun = at;
            self.begins_paragraph = self.above.is_none_or(|(above, above_size)| {
                let drop = (at - above).dot(Vec2::new(-along.y, along.x)).abs();
                drop > PARAGRAPH_GAP * above_size.max(size)
            });
        }
        let before = self.line.len();
        match glyph.as_unicode() {
            Some(BfString::Char(c)) => push(&mut self.line, c),
            Some(BfString::String(text)) => text.chars().for_each(|c| push(&mut self.line, c)),
            // A glyph that means nothing known is no reason to tear its word apart.
            None => {}
        }
        self.bytes += self.line.len() - before;
        self.line_size = self.line_size.max(size);
        self.pen = Some(Pen { end, along, size });
    }

    /// Ends the line or the word, by where the next glyph stands.
    fn place(&mut self, pen: Pen, at: Point, along: Vec2, size: f64) {
        let step = at - pen.end;
        let forward = step.dot(pen.along);
        let aside = step.dot(Vec2::new(-pen.along.y, pen.along.x)).abs();
        let size = pen.size.max(size);
        if pen.along.dot(along) < 0.9
            || aside > 0.6 * size
            || forward < -1.5 * size
            || forward > COLUMN_GAP * size
        {
            self.end_line();
        } else if forward > WORD_GAP * size && !self.line.ends_with(' ') {
            self.line.push(' ');
        }
    }
}

fn push(line: &mut String, c: char) {
    match c {
        // Letters that are drawn together are still letters.
        'ﬀ' => line.push_str("ff"),
        'ﬁ' => line.push_str("fi"),
        'ﬂ' => line.push_str("fl"),
        'ﬃ' => line.push_str("ffi"),
        'ﬄ' => line.push_str("ffl"),
        '\u{ad}' => line.push('-'),
        _ if c.is_whitespace() || c.is_control() => line.push(' '),
        _ => line.push(c),
    }
}

impl Device<'_> for Writer {
    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'_>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_clip_rect(&mut self, _: &Rect) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'_>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'_, '_>, _: ImageDrawProps<'_>) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
    fn draw_rect(&mut self, _: &Rect, _: DrawProps<'_>, _: &DrawMode) {}

    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, '_>, props: DrawProps<'_>, _: &DrawMode) {
        let glyphs = run.glyphs();
        let Some(first) = glyphs.first() else { return };
        let begun = props.transform * first.transform() * Point::ZERO;
        let this = (begun, glyphs.len(), first.char_code());
        if self.last_run.replace(this) == Some(this) {
            return;
        }
        for glyph in glyphs {
            if self.bytes > self.bytes_max {
                self.is_full = true;
                return;
            }
            self.glyph(props.transform * glyph.transform(), glyph);
        }
    }
}

/// Puts lines together.
fn document(lines: &[Line]) -> Document {
    let usual = usual_size(lines);
    let is_heading = |line: &Line| {
        line.size > HEADING_SCALE * usual
            && line.text.chars().count() <= HEADING_CHARS_MAX
            && line.text.chars().any(char::is_alphabetic)
    };
    let mut document = Document::default();
    let mut page = 0;
    let mut before: Option<&Line> = None;
    for line in lines {
        let heading = is_heading(line);
        let after_heading = before.is_some_and(is_heading);
        let text = &mut document.text;
        if line.page != page {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            page = line.page;
            document.pages.push(PageStart {
                at: text.len(),
                number: page,
            });
        } else if line.is_first || heading != after_heading {
            text.push_str("\n\n");
        } else if text.ends_with('-') && joins(text, &line.text) {
            text.pop();
        } else {
            text.push('\n');
        }
        if heading && !after_heading {
            document.headings.push(Heading {
                at: text.len(),
                title: title(&line.text),
            });
        } else if heading && let Some(open) = document.headings.last_mut() {
            // A heading of two lines.
            open.title = title(&format!("{} {}", open.title, line.text));
        }
        text.push_str(&line.text);
        before = Some(line);
    }
    document
}

/// A word was parted at the end of its line.
fn joins(text: &str, next: &str) -> bool {
    let letter = text.chars().rev().nth(1).is_some_and(char::is_alphabetic);
    letter && next.starts_with(char::is_lowercase)
}

/// The size of most of the text.
fn usual_size(lines: &[Line]) -> f64 {
    let mut chars: BTreeMap<i64, usize> = BTreeMap::new();
    for line in lines {
        *chars.entry((line.size * 4.0).round() as i64).or_default() += line.text.len();
    }
    let most = chars.into_iter().max_by_key(|(_, count)| *count);
    most.map_or(0.0, |(size, _)| size as f64 / 4.0)
}
