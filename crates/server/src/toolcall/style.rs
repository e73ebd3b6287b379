//! How a family of models writes calls, as data, and the one machine that reads them all.

use std::sync::Arc;

use super::Part;
use super::scan::{CallScanner, Step, ValueScanner, arguments};

/// How calls are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// Any of these begins a block of calls.
    pub(super) openers: &'static [&'static str],
    /// Ends it; empty: the first character that cannot belong to a call does.
    pub(super) closer: &'static str,
    /// An answer whose first character is `{` begins a block too.
    pub(super) bare: bool,
    /// A block may be a JSON list of calls.
    pub(super) list: bool,
    /// Calls may be written `name{…}` or `name[ARGS]{…}`.
    pub(super) named: bool,
    /// Stands between calls of one block.
    pub(super) separator: char,
}

#[derive(Debug)]
enum State {
    /// The answer's beginning, where white space does not count.
    Start,
    Text,
    /// In a block, where a call may begin.
    Between,
    Call(CallScanner),
    /// The name of a call that is written before its arguments.
    Name(String),
    Arguments(ValueScanner),
}

/// Reads an answer's text, piece by piece.
#[derive(Debug)]
pub(crate) struct Parser {
    style: Style,
    tools: Arc<[String]>,
    state: State,
    /// Text that may be the beginning of an opener.
    held: String,
    /// White space that is dropped if a block follows.
    space: String,
    /// What of the block has not become a call: it is text if it never does.
    raw: String,
    in_list: bool,
}

impl Parser {
    pub(super) fn new(style: Style, tools: Arc<[String]>) -> Self {
        Self {
            style,
            tools,
            state: State::Start,
            held: String::new(),
            space: String::new(),
            raw: String::new(),
            in_list: false,
        }
    }

    /// Takes the next piece of text.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Part> {
        let mut out = Vec::new();
        for c in piece.chars() {
            self.push_char(c, &mut out);
        }
        out
    }

    /// The answer has ended.
    pub(crate) fn finish(&mut self) -> Vec<Part> {
        let mut out = Vec::new();
        match std::mem::replace(&mut self.state, State::Text) {
            State::Call(call) if call.begun() => out.push(Part::End),
            State::Arguments(_) => out.push(Part::End),
            State::Between if self.raw_is_end_of_block() => self.raw.clear(),
            _ => {}
        }
        let rest = std::mem::take(&mut self.raw) + &std::mem::take(&mut self.held);
        self.text_str(&rest, &mut out);
        let space = std::mem::take(&mut self.space);
        if !space.is_empty() {
            text(&mut out, &space);
        }
        out
    }

    /// After a call, only white space and the beginning of what closes the block have come.
    fn raw_is_end_of_block(&self) -> bool {
        let rest = self.raw.trim_start();
        !self.style.openers.iter().any(|o| self.raw.starts_with(o))
            && (rest.is_empty() || self.style.closer.starts_with(rest))
    }

    fn push_char(&mut self, c: char, out: &mut Vec<Part>) {
        match &mut self.state {
            State::Start if c.is_whitespace() => self.space.push(c),
            State::Start if self.style.bare && c == '{' => {
                self.begin_call(c, out);
            }
            State::Start => {
                self.state = State::Text;
                self.push_char(c, out);
            }
            State::Text => self.text_char(c, out),
            State::Between => self.between(c, out),
            State::Call(call) => {
                let began = call.begun();
                let step = call.push(c, out);
                if !began {
                    self.raw.push(c);
                    if call.begun() {
                        self.raw.clear();
                        self.space.clear();
                    }
                }
                match step {
                    Step::More => {}
                    Step::Done => self.state = State::Between,
                    Step::NoCall => self.no_call(out),
                }
            }
            State::Name(name) => {
                self.raw.push(c);
                if c != '{' {
                    name.push(c);
                    return;
                }
                let name = name.split('[').next().unwrap_or_default().trim().to_owned();
                if !self.tools.contains(&name) {
                    self.no_call(out);
                    return;
                }
                self.raw.clear();
                self.space.clear();
                out.push(Part::Begin { name });
                let mut value = ValueScanner::default();
                value.push(c);
                arguments(out, c);
                self.state = State::Arguments(value);
            }
            State::Arguments(value) => {
                arguments(out, c);
                if value.push(c) {
                    out.push(Part::End);
                    self.state = State::Between;
                }
            }
        }
    }

    fn begin_call(&mut self, c: char, out: &mut Vec<Part>) {
        let mut call = CallScanner::new(Arc::clone(&self.tools));
        call.push(c, out);
        self.raw.push(c);
        self.state = State::Call(call);
    }

    fn between(&mut self, c: char, out: &mut Vec<Part>) {
        let closing = self.closing();
        if closing.is_empty() {
            let ends_list = self.in_list && c == ']';
            match c {
                '{' => return self.begin_call(c, out),
                '[' if self.style.list && !self.in_list => {
                    self.in_list = true;
                    self.raw.push(c);
                    return;
                }
                c if c == self.style.separator || c.is_whitespace() || ends_list => {
                    self.raw.push(c);
                    if ends_list && self.style.closer.is_empty() {
                        self.end_block();
                    }
                    return;
                }
                c if self.style.named && !self.in_list && is_name(c) => {
                    self.raw.push(c);
                    self.state = State::Name(c.to_string());
                    return;
                }
                _ => {}
            }
        }
        let closes = self.style.closer.strip_prefix(closing.as_str());
        let closes = closes.and_then(|rest| rest.strip_prefix(c));
        self.raw.push(c);
        match closes {
            Some("") => self.end_block(),
            Some(_) => {}
            None => self.no_call(out),
        }
    }

    /// The beginning of the closer that has come.
    fn closing(&self) -> String {
        let closer = self.style.closer;
        (1..closer.len())
            .rev()
            .filter_map(|len| closer.get(..len))
            .find(|part| self.raw.ends_with(part))
            .filter(|_| !self.style.openers.contains(&self.raw.as_str()))
            .unwrap_or_default()
            .to_owned()
    }

    fn end_block(&mut self) {
        self.raw.clear();
        self.in_list = false;
        self.state = State::Text;
    }

    /// What stands in the block is text after all.
    fn no_call(&mut self, out: &mut Vec<Part>) {
        self.in_list = false;
        self.state = State::Text;
        let raw = std::mem::take(&mut self.raw);
        let mut chars = raw.chars();
        // The opener's first character cannot begin the same block again.
        if self.style.openers.iter().any(|o| raw.starts_with(o))
            && let Some(first) = chars.next()
        {
            self.release(first, out);
        }
        for c in chars {
            self.push_char(c, out);
        }
    }

    fn text_char(&mut self, c: char, out: &mut Vec<Part>) {
        self.held.push(c);
        loop {
            if self.style.openers.contains(&self.held.as_str()) {
                self.raw = std::mem::take(&mut self.held);
                self.state = State::Between;
                return;
            }
            if self.held.is_empty() || self.style.openers.iter().any(|o| o.starts_with(&self.held))
            {
                return;
            }
            let first = self.held.remove(0);
            self.release(first, out);
        }
    }

    fn text_str(&mut self, piece: &str, out: &mut Vec<Part>) {
        for c in piece.chars() {
            self.release(c, out);
        }
    }

    fn release(&mut self, c: char, out: &mut Vec<Part>) {
        if c.is_whitespace() {
            self.space.push(c);
            return;
        }
        let space = std::mem::take(&mut self.space);
        text(out, &space);
        text(out, c.encode_utf8(&mut [0; 4]));
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn text(out: &mut Vec<Part>, piece: &str) {
    if piece.is_empty() {
        return;
    }
    if let Some(Part::Text(text)) = out.last_mut() {
        text.push_str(piece);
    } else {
        out.push(Part::Text(piece.to_owned()));
    }
}
