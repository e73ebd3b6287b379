//! Marks inside a line: `*`, `**`, `_`, `~~`, code spans, links and escapes. A mark acts when the
//! character after it is known; one that never closes ends with its block.

use super::style::Style;

/// What comes out: a character to show, or a change of style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Char(char),
    Style(Style),
}

/// Where in a line we are.
#[derive(Debug, Default)]
pub(super) struct Inline {
    style: Style,
    mode: Mode,
    previous: Option<char>,
}

#[derive(Debug, Default)]
enum Mode {
    #[default]
    Normal,
    /// A run of one mark, whose meaning depends on what follows.
    Run(char, usize),
    Escape,
    /// In a code span that `usize` backticks opened, with a run of backticks just seen.
    Code(usize, usize),
    /// In something that may be a link.
    Link(String),
}

/// A longer text in brackets is not a link's.
const LINK_CHARS_MAX: usize = 600;

impl Inline {
    /// Takes one character, which is not a line end.
    pub(super) fn push(&mut self, c: char, sink: &mut dyn FnMut(Piece)) {
        match std::mem::take(&mut self.mode) {
            Mode::Normal => self.normal(c, sink),
            Mode::Run(mark, count) if c == mark => self.mode = Mode::Run(mark, count + 1),
            Mode::Run(mark, count) => {
                self.run(mark, count, Some(c), sink);
                // The run may have opened a code span.
                self.push_after_run(c, sink);
            }
            Mode::Escape => {
                if !c.is_ascii_punctuation() {
                    self.show('\\', sink);
                }
                if c.is_ascii_punctuation() {
                    self.show(c, sink);
                } else {
                    self.normal(c, sink);
                }
            }
            Mode::Code(open, seen) => self.code(open, seen, c, sink),
            Mode::Link(mut text) => {
                text.push(c);
                self.link(text, sink);
            }
        }
    }

    fn push_after_run(&mut self, c: char, sink: &mut dyn FnMut(Piece)) {
        if let Mode::Code(open, seen) = self.mode {
            self.code(open, seen, c, sink);
        } else {
            self.normal(c, sink);
        }
    }

    /// The line ends; styles may go on in the next.
    pub(super) fn line_end(&mut self, sink: &mut dyn FnMut(Piece)) {
        match std::mem::take(&mut self.mode) {
            Mode::Normal => {}
            Mode::Run('`', count) => (0..count).for_each(|_| self.show('`', sink)),
            Mode::Run(mark, count) => self.run(mark, count, None, sink),
            Mode::Escape => self.show('\\', sink),
            Mode::Code(open, seen) => {
                if seen == open {
                    self.set(|s| s.yellow = false, sink);
                } else {
                    (0..seen).for_each(|_| self.show('`', sink));
                    self.mode = Mode::Code(open, 0);
                }
            }
            Mode::Link(text) => {
                self.fail_link(&text, sink);
                self.line_end(sink);
            }
        }
        self.previous = None;
    }

    /// The block ends: everything is off.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(Piece)) {
        self.line_end(sink);
        self.mode = Mode::Normal;
        if self.style != Style::default() {
            self.style = Style::default();
            sink(Piece::Style(self.style));
        }
    }

    fn normal(&mut self, c: char, sink: &mut dyn FnMut(Piece)) {
        match c {
            '*' | '_' | '~' | '`' => self.mode = Mode::Run(c, 1),
            '\\' => self.mode = Mode::Escape,
            '[' => self.mode = Mode::Link("[".to_owned()),
            _ => self.show(c, sink),
        }
    }

    fn show(&mut self, c: char, sink: &mut dyn FnMut(Piece)) {
        sink(Piece::Char(c));
        self.previous = Some(c);
    }

    fn set(&mut self, change: impl FnOnce(&mut Style), sink: &mut dyn FnMut(Piece)) {
        change(&mut self.style);
        sink(Piece::Style(self.style));
    }

    /// A run of `count` marks before `next` has come to its end.
    fn run(&mut self, mark: char, count: usize, next: Option<char>, sink: &mut dyn FnMut(Piece)) {
        let alphanumeric = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let filled = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace());
        let (before, after) = (self.previous, next);
        // `2*3` and `snake_case` are not emphasis.
        let opens = filled(after) && !alphanumeric(before);
        let closes = filled(before) && (mark != '_' || !alphanumeric(after));
        let (bold, italic, strike) = match (mark, count) {
            ('`', open) => {
                self.mode = Mode::Code(open, 0);
                self.set(|s| s.yellow = true, sink);
                return;
            }
            ('*' | '_', 1) => (false, true, false),
            ('*' | '_', 2) => (true, false, false),
            ('*' | '_', 3) => (true, true, false),
            ('~', 2) => (false, false, true),
            _ => (false, false, false),
        };
        let style = self.style;
        let on = (bold && style.bold) || (italic && style.italic) || (strike && style.strike);
        // Bold may open inside a word, as in languages that write without spaces.
        let opens = opens || (bold && mark == '*' && filled(after));
        if (bold || italic || strike) && ((on && closes) || (!on && opens)) {
            self.set(
                |s| {
                    s.bold = if bold { !on } else { s.bold };
                    s.italic = if italic { !on } else { s.italic };
                    s.strike = if strike { !on } else { s.strike };
                },
                sink,
            );
        } else {
            (0..count).for_each(|_| self.show(mark, sink));
        }
    }

    fn code(&mut self, open: usize, seen: usize, c: char, sink: &mut dyn FnMut(Piece)) {
        if c == '`' {
            self.mode = Mode::Code(open, seen + 1);
            return;
        }
        if seen == open {
            self.set(|s| s.yellow = false, sink);
            // What stood last is the span's inside, not a space.
            self.previous = Some('`');
            self.normal(c, sink);
            return;
        }
        (0..seen).for_each(|_| self.show('`', sink));
        self.show(c, sink);
        self.mode = Mode::Code(open, 0);
    }

    /// Looks whether `text`, which begins with a bracket, has become a link or cannot.
    fn link(&mut self, text: String, sink: &mut dyn FnMut(Piece)) {
        let inner = &text[1..];
        let Some(close) = inner.find(']') else {
            if inner.contains(['[', '`']) || inner.len() > LINK_CHARS_MAX {
                self.fail_link(&text, sink);
            } else {
                self.mode = Mode::Link(text);
            }
            return;
        };
        let target = &inner[close + 1..];
        if target.is_empty() {
            self.mode = Mode::Link(text);
            return;
        }
        let Some(target) = target.strip_prefix('(') else {
            self.fail_link(&text, sink);
            return;
        };
        if let Some(url) = target.strip_suffix(')').filter(|u| balanced(u)) {
            let (label, url) = (inner[..close].to_owned(), url.to_owned());
            self.show_link(&label, &url, sink);
        } else if target.contains(' ') || target.len() > LINK_CHARS_MAX {
            self.fail_link(&text, sink);
        } else {
            self.mode = Mode::Link(text);
        }
    }

    fn show_link(&mut self, label: &str, url: &str, sink: &mut dyn FnMut(Piece)) {
        self.set(|s| s.underline = true, sink);
        for c in label.chars() {
            if matches!(self.mode, Mode::Run(..)) {
                self.push(c, sink);
            } else if matches!(c, '*' | '`') {
                // Emphasis of a label that is underlined already adds nothing.
            } else {
                self.show(c, sink);
            }
        }
        self.set(|s| s.underline = false, sink);
        if url != label && !url.is_empty() {
            self.set(|s| s.dim = true, sink);
            for c in format!(" ({url})").chars() {
                self.show(c, sink);
            }
            self.set(|s| s.dim = false, sink);
        }
    }

    /// It was no link: the bracket is a bracket, and the rest is read again.
    fn fail_link(&mut self, text: &str, sink: &mut dyn FnMut(Piece)) {
        self.show('[', sink);
        self.mode = Mode::Normal;
        for c in text.chars().skip(1) {
            self.push(c, sink);
        }
    }
}

/// Whether the brackets of a link's target are closed, as in addresses that contain some.
fn balanced(url: &str) -> bool {
    url.matches('(').count() == url.matches(')').count()
}
