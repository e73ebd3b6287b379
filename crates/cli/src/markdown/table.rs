//! A table: its rows are gathered, then set in columns that fit the page.

use unicode_width::UnicodeWidthChar;

use super::inline::{Inline, Piece};
use super::style::{DIM, RESET, Style};

/// Rows that are held; a longer table is set in pieces.
const ROWS_MAX: usize = 200;
const COLUMN_WIDTH_MIN: usize = 3;

/// Lines that begin with a bar.
#[derive(Debug)]
pub(super) struct Table {
    lines: Vec<String>,
}

impl Table {
    pub(super) fn new(line: &str) -> Self {
        Self {
            lines: vec![line.to_owned()],
        }
    }

    pub(super) fn push(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < ROWS_MAX
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the second line is the row of dashes.
    pub(super) fn is_table(&self) -> bool {
        self.lines.get(1).is_some_and(|line| is_dashes(line))
    }

    /// The table in at most `width` columns.
    pub(super) fn render(&self, width: usize) -> String {
        let rows: Vec<Vec<String>> = self
            .lines
            .iter()
            .filter(|line| !is_dashes(line))
            .map(|line| cells(line))
            .collect();
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let natural: Vec<usize> = (0..columns)
            .map(|c| {
                rows.iter()
                    .filter_map(|row| row.get(c))
                    .map(|cell| styled(cell, Style::default()).iter().map(|p| p.1).sum())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let widths = fit(natural, width);
        let mut out = String::new();
        for (index, row) in rows.iter().enumerate() {
            let base = Style {
                bold: index == 0,
                ..Style::default()
            };
            set_row(row, &widths, base, &mut out);
            if index == 0 {
                let dashes: Vec<String> = widths.iter().map(|w| "─".repeat(*w)).collect();
                out.extend([DIM, &dashes.join("─┼─"), RESET, "\n"]);
            }
        }
        out
    }
}

fn is_dashes(line: &str) -> bool {
    line.contains('-')
        && line
            .chars()
            .all(|c| matches!(c, '|' | '-' | ':' | ' ' | '\t'))
}

/// The cells of a row; `\|` is a bar inside one.
fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let line = line.strip_prefix('|').unwrap_or(line);
    let line = line.strip_suffix('|').unwrap_or(line);
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.next_if_eq(&'|').is_some() => cell.push('|'),
            '|' => cells.push(std::mem::take(&mut cell)),
            _ => cell.push(c),
        }
    }
    cells.push(cell);
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// Characters of a cell with the cells they take and the style they have.
fn styled(cell: &str, base: Style) -> Vec<(char, usize, Style)> {
    let mut inline = Inline::default();
    let mut style = base;
    let mut pieces = Vec::new();
    let mut sink = |piece| match piece {
        Piece::Style(s) => style = base.with(s),
        Piece::Char(c) => pieces.push((c, c.width().unwrap_or(0), style)),
    };
    for c in cell.chars() {
        inline.push(c, &mut sink);
    }
    inline.end(&mut sink);
    pieces
}

/// Takes from the widest columns until all fit.
fn fit(mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let room = width.saturating_sub(3 * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > COLUMN_WIDTH_MIN => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// Sets one row, on as many lines as its fullest cell needs.
fn set_row(row: &[String], widths: &[usize], base: Style, out: &mut String) {
    let mut queues: Vec<Vec<Vec<(char, usize, Style)>>> = widths
        .iter()
        .enumerate()
        .map(|(c, w)| {
            let cell = row.get(c).map_or("", String::as_str);
            wrap(&styled(cell, base), (*w).max(1))
        })
        .collect();
    let lines = queues.iter().map(Vec::len).max().unwrap_or(1).max(1);
    for line in 0..lines {
        let last = widths.len().saturating_sub(1);
        for (c, column) in queues.iter_mut().enumerate() {
            let mut used = 0;
            let mut style = Style::default();
            for (char, width, wanted) in column.get(line).into_iter().flatten() {
                if *wanted != style {
                    style = *wanted;
                    out.push_str(&style.sequence());
                }
                out.push(*char);
                used += width;
            }
            if style != Style::default() {
                out.push_str(RESET);
            }
            if c < last {
                out.push_str(&" ".repeat(widths[c].saturating_sub(used)));
                out.extend([DIM, " │ ", RESET]);
            }
        }
        out.push('\n');
    }
}

fn wrap(text: &[(char, usize, Style)], width: usize) -> Vec<Vec<(char, usize, Style)>> {
    let mut lines = vec![Vec::new()];
    let mut used = 0;
    for word in text.split_inclusive(|p| p.0 == ' ') {
        let bare: usize = word.iter().filter(|p| p.0 != ' ').map(|p| p.1).sum();
        if used > 0 && used + bare > width {
            lines.push(Vec::new());
            used = 0;
        }
        for piece in word {
            if used + piece.1 > width {
                if piece.0 == ' ' {
                    continue;
                }
                lines.push(Vec::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(*piece);
            }
            used += piece.1;
        }
    }
    lines
}
