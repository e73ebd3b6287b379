//! Markdown in a terminal, while it streams. Text goes in by any pieces and comes out final: nothing
//! that was printed is ever moved or repainted, so nothing flickers. The state advances by single
//! characters, hence the output does not depend on how the stream was cut.
//!
//! A line's kind is decided from its first characters; a word is held until it is whole, since
//! wrapping needs its width; a table is held until it ends, since its columns do. Line ends of the
//! text are kept, as in verse and addresses.

mod flow;
mod highlight;
mod inline;
mod line;
mod style;
mod table;

use self::flow::Flow;
use self::inline::Inline;
use self::line::{Kind, classify};
use self::style::{DIM, RESET, Style};
use self::table::Table;

/// Turns a stream of Markdown into a stream of terminal text.
#[derive(Debug)]
pub(crate) struct Renderer {
    rich: bool,
    flow: Flow,
    inline: Inline,
    state: State,
    /// Beginning of a line whose kind is not known yet.
    head: String,
    table: Option<Table>,
    /// A blank line is due before the next block.
    gap: bool,
    started: bool,
    last: char,
}

#[derive(Debug)]
enum State {
    /// At the start of a line.
    Head,
    /// In text.
    Text,
    /// In a line that only counts as a whole: an opening fence, a table's row, a rule.
    Whole(String),
    /// In a fenced block.
    Code { fence: Fence, line: String },
}

#[derive(Clone, Debug)]
struct Fence {
    mark: char,
    length: usize,
    indent: usize,
    language: String,
}

/// Lines of a table or of code that are held at most; a longer one is shown in pieces.
const LINE_CHARS_MAX: usize = 10_000;

impl Renderer {
    /// For a terminal of `width` columns; `rich` off gives the text as it is.
    pub(crate) fn new(width: usize, rich: bool) -> Self {
        Self {
            rich,
            flow: Flow::new(width),
            inline: Inline::default(),
            state: State::Head,
            head: String::new(),
            table: None,
            gap: false,
            started: false,
            last: '\n',
        }
    }

    /// Takes the next piece and gives what can be shown.
    pub(crate) fn push(&mut self, text: &str) -> String {
        let mut out = String::new();
        for c in text.chars().filter(|c| crate::terminal::is_safe(*c)) {
            if self.rich {
                self.take(c, &mut out);
            } else {
                out.push(c);
            }
            self.last = c;
        }
        out
    }

    /// The text has ended: gives the rest, ended by a line end.
    pub(crate) fn finish(&mut self) -> String {
        let mut out = String::new();
        if !self.rich {
            if self.last != '\n' {
                out.push('\n');
            }
            return out;
        }
        if !matches!(self.state, State::Head) || !self.head.is_empty() {
            self.take('\n', &mut out);
        }
        self.end_table(&mut out);
        if let State::Code { .. } = self.state {
            self.rule("", &mut out);
            self.state = State::Head;
        }
        self.end_inline(&mut out);
        out
    }

    fn take(&mut self, c: char, out: &mut String) {
        match std::mem::replace(&mut self.state, State::Head) {
            State::Head => self.head(c, out),
            State::Text => {
                self.state = State::Text;
                self.text(c, out);
            }
            State::Whole(mut line) => {
                if c == '\n' {
                    self.whole(&line, out);
                } else {
                    line.push(c);
                    if line.len() > LINE_CHARS_MAX {
                        self.paragraph(&line, out);
                    } else {
                        self.state = State::Whole(line);
                    }
                }
            }
            State::Code { fence, mut line } => {
                if c != '\n' {
                    line.push(c);
                    if line.len() < LINE_CHARS_MAX {
                        self.state = State::Code { fence, line };
                        return;
                    }
                    out.push_str(&highlight::line(&line, &fence.language));
                    line.clear();
                } else if line::closes(&line, fence.mark, fence.length) {
                    self.rule("", out);
                    self.gap = true;
                    return;
                } else {
                    let code = line::without_indent(&line, fence.indent);
                    out.push_str(&highlight::line(code, &fence.language));
                    out.push('\n');
                    line.clear();
                }
                self.state = State::Code { fence, line };
            }
        }
    }

    /// At the start of a line: gathers until the line's kind is clear.
    fn head(&mut self, c: char, out: &mut String) {
        if c != '\n' {
            self.head.push(c);
        }
        let Some(kind) = classify(&self.head, c == '\n') else {
            return;
        };
        let head = std::mem::take(&mut self.head);
        if !matches!(kind, Kind::Row) {
            self.end_table(out);
        }
        match kind {
            Kind::Blank => {
                self.end_inline(out);
                self.flow.set_prefix(String::new(), 0);
                self.gap = true;
            }
            Kind::Row | Kind::Fence { .. } | Kind::Rule if c != '\n' => {
                self.state = State::Whole(head);
            }
            Kind::Row | Kind::Fence { .. } | Kind::Rule => self.whole(&head, out),
            Kind::Heading(level) => {
                self.end_inline(out);
                self.gap = true;
                self.open_block(out);
                self.flow.set_base(Style::heading(level), out);
                self.begin_text(c, "", out);
            }
            Kind::Item { indent, marker } => {
                self.end_inline(out);
                let indent = indent.min(self.flow.width() / 3);
                let (mark, width) = if marker
                    .chars()
                    .all(|m| m.is_ascii_digit() || ".)".contains(m))
                {
                    (format!("{marker} "), marker.len() + 1)
                } else {
                    ("• ".to_owned(), 2)
                };
                self.open_block(out);
                self.flow.start_line(
                    &format!("{}{DIM}{mark}{RESET}", " ".repeat(indent)),
                    indent + width,
                    out,
                );
                self.flow
                    .set_prefix(" ".repeat(indent + width), indent + width);
                self.begin_text(c, "", out);
            }
            Kind::Quote { depth, rest } => {
                self.end_inline(out);
                self.open_block(out);
                let depth = depth.min(self.flow.width() / 8);
                let bars = format!("{DIM}{}{RESET}", "│ ".repeat(depth));
                self.flow.start_line(&bars, depth * 2, out);
                self.flow.set_prefix(bars, depth * 2);
                self.begin_text(c, &rest, out);
            }
            Kind::Paragraph => self.paragraph_head(c, &head, out),
        }
    }

    fn paragraph_head(&mut self, c: char, head: &str, out: &mut String) {
        self.open_block(out);
        let trimmed = head.trim_start();
        let indent = (head.len() - trimmed.len()).min(self.flow.width() / 3);
        self.flow.start_line(&" ".repeat(indent), indent, out);
        self.flow.set_prefix(" ".repeat(indent), indent);
        self.begin_text(c, trimmed, out);
    }

    fn paragraph(&mut self, line: &str, out: &mut String) {
        self.open_block(out);
        self.state = State::Text;
        for c in line.chars() {
            self.text(c, out);
        }
    }

    fn begin_text(&mut self, c: char, rest: &str, out: &mut String) {
        self.state = State::Text;
        for r in rest.chars() {
            self.text(r, out);
        }
        if c == '\n' {
            self.text('\n', out);
        }
    }

    fn text(&mut self, c: char, out: &mut String) {
        if c == '\n' {
            let flow = &mut self.flow;
            self.inline.line_end(&mut |piece| flow.piece(piece, out));
            self.flow.end_line(out);
            if self.flow.has_base() {
                self.end_inline(out);
                self.gap = true;
            }
            self.state = State::Head;
        } else {
            let flow = &mut self.flow;
            self.inline.push(c, &mut |piece| flow.piece(piece, out));
        }
    }

    /// A line that had to be seen as a whole.
    fn whole(&mut self, line: &str, out: &mut String) {
        match classify(line, true) {
            Some(Kind::Row) => match &mut self.table {
                Some(table) if table.has_room() => table.push(line),
                _ => {
                    self.end_table(out);
                    self.table = Some(Table::new(line));
                }
            },
            Some(Kind::Fence {
                mark,
                length,
                indent,
                language,
            }) => {
                self.end_inline(out);
                self.open_block(out);
                self.rule(&language, out);
                self.state = State::Code {
                    fence: Fence {
                        mark,
                        length,
                        indent,
                        language,
                    },
                    line: String::new(),
                };
            }
            Some(Kind::Rule) => {
                self.end_inline(out);
                self.gap = true;
                self.open_block(out);
                self.rule("", out);
                self.gap = true;
            }
            _ => {
                self.paragraph_head('\n', line, out);
            }
        }
    }

    fn end_table(&mut self, out: &mut String) {
        let Some(table) = self.table.take() else {
            return;
        };
        if table.is_table() {
            self.end_inline(out);
            self.open_block(out);
            self.flow.set_prefix(String::new(), 0);
            out.push_str(&table.render(self.flow.width()));
            self.gap = true;
        } else {
            for line in table.lines() {
                self.paragraph_head('\n', line, out);
            }
        }
    }

    /// Ends what is open inside a block, so that a star that never closed reaches no further.
    fn end_inline(&mut self, out: &mut String) {
        let flow = &mut self.flow;
        self.inline.end(&mut |piece| flow.piece(piece, out));
        self.flow.end_block(out);
    }

    /// The blank line before a block, except before the first.
    fn open_block(&mut self, out: &mut String) {
        if self.gap && self.started {
            out.push('\n');
        }
        self.gap = false;
        self.started = true;
    }

    /// A dim line across the page, with a word at its start.
    fn rule(&self, word: &str, out: &mut String) {
        use unicode_width::UnicodeWidthStr;
        let word = if word.is_empty() {
            String::new()
        } else {
            format!("── {word} ")
        };
        let rest = "─".repeat(self.flow.width().saturating_sub(word.width()));
        out.extend([DIM, &word, &rest, RESET, "\n"]);
    }
}

#[cfg(test)]
mod tests;
