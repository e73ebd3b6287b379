//! Words into lines of a given width. Widths are those of the terminal's cells: wide characters
//! count two, combining ones none, and a line may break between wide characters.

use unicode_width::UnicodeWidthChar;

use super::inline::Piece;
use super::style::{RESET, Style};

/// Where on the page we are.
#[derive(Debug)]
pub(super) struct Flow {
    width: usize,
    /// Cells used in this line, its prefix included.
    column: usize,
    /// Whether the line holds a word besides its prefix.
    filled: bool,
    /// Spaces before the word at hand.
    spaces: usize,
    word: String,
    word_width: usize,
    prefix: String,
    prefix_width: usize,
    base: Style,
    /// The style at the end of `word`, and the one at the end of what was given out.
    style: Style,
    shown: Style,
}

impl Flow {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width: width.max(8),
            column: 0,
            filled: false,
            spaces: 0,
            word: String::new(),
            word_width: 0,
            prefix: String::new(),
            prefix_width: 0,
            base: Style::default(),
            style: Style::default(),
            shown: Style::default(),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// What stands before each further line of the block.
    pub(super) fn set_prefix(&mut self, prefix: String, width: usize) {
        self.prefix = prefix;
        self.prefix_width = width;
    }

    /// The style of the whole block.
    pub(super) fn set_base(&mut self, base: Style, out: &mut String) {
        self.base = base;
        self.style = base;
        self.shown = base;
        out.push_str(&base.sequence());
    }

    pub(super) fn has_base(&self) -> bool {
        self.base != Style::default()
    }

    /// Begins a line with `mark`.
    pub(super) fn start_line(&mut self, mark: &str, width: usize, out: &mut String) {
        out.push_str(mark);
        self.column = width;
        if !mark.is_empty() && self.shown != Style::default() {
            out.push_str(&self.shown.sequence());
        }
    }

    pub(super) fn piece(&mut self, piece: Piece, out: &mut String) {
        match piece {
            Piece::Style(style) => {
                self.style = self.base.with(style);
                self.word.push_str(&self.style.sequence());
            }
            Piece::Char(' ' | '\t') => {
                self.end_word(out);
                self.spaces += 1;
            }
            Piece::Char(c) => {
                let width = c.width().unwrap_or(0);
                // Between wide characters a line may break without a space.
                if width == 2 {
                    self.end_word(out);
                }
                let room = self.width.saturating_sub(self.prefix_width).max(1);
                if self.word_width + width > room {
                    self.end_word(out);
                }
                self.word.push(c);
                self.word_width += width;
                if width == 2 {
                    self.end_word(out);
                }
            }
        }
    }

    /// Gives out the word at hand, on this line or the next.
    fn end_word(&mut self, out: &mut String) {
        if self.word.is_empty() {
            return;
        }
        let spaces = if self.filled { self.spaces } else { 0 };
        if self.word_width > 0 {
            if self.filled && self.column + spaces + self.word_width > self.width {
                self.wrap(out);
            } else {
                out.push_str(&" ".repeat(spaces));
                self.column += spaces;
            }
            self.filled = true;
            self.spaces = 0;
        }
        out.push_str(&self.word);
        self.column += self.word_width;
        self.shown = self.style;
        self.word.clear();
        self.word_width = 0;
    }

    fn wrap(&mut self, out: &mut String) {
        out.push('\n');
        self.column = 0;
        let prefix = std::mem::take(&mut self.prefix);
        self.start_line(&prefix, self.prefix_width, out);
        self.prefix = prefix;
    }

    /// The line of text ends here.
    pub(super) fn end_line(&mut self, out: &mut String) {
        self.end_word(out);
        self.spaces = 0;
        self.filled = false;
        self.column = 0;
        out.push('\n');
    }

    /// The block ends: its style does too.
    pub(super) fn end_block(&mut self, out: &mut String) {
        self.end_word(out);
        if self.column > 0 {
            self.end_line(out);
        }
        if self.base != Style::default() || self.shown != Style::default() {
            out.push_str(RESET);
        }
        self.base = Style::default();
        self.style = Style::default();
        self.shown = Style::default();
    }
}
