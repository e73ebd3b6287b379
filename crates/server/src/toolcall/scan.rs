//! One call as JSON, `{"name": …, "arguments": {…}}`, read a character at a time, so that the
//! arguments can go out while the model still writes them.

use std::sync::Arc;

use super::Part;

/// Where a character has led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The object goes on.
    More,
    /// It is complete.
    Done,
    /// It is no call of a tool that there is; nothing of it went out.
    NoCall,
}

/// Finds the end of a JSON value. It does not check the value: models write what they write.
#[derive(Clone, Debug, Default)]
pub(super) struct ValueScanner {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl ValueScanner {
    /// Takes the next character of an object, array or string; says whether it was the last.
    pub(super) fn push(&mut self, c: char) -> bool {
        if self.in_string {
            match c {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => {
                    self.in_string = false;
                    return self.depth == 0;
                }
                _ => {}
            }
            return false;
        }
        match c {
            '"' => self.in_string = true,
            '{' | '[' => self.depth += 1,
            '}' | ']' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Open,
    Key,
    InKey,
    Colon,
    Value,
    /// An object, array or string, or else a bare word or number.
    InValue {
        bare: bool,
    },
}

/// Reads one call.
#[derive(Clone, Debug)]
pub(super) struct CallScanner {
    tools: Arc<[String]>,
    at: At,
    key: String,
    value: String,
    end: ValueScanner,
    /// The name is known and is a tool's.
    begun: bool,
    /// Arguments that came before the name.
    early: Option<String>,
    arguments_seen: bool,
}

fn is_arguments(key: &str) -> bool {
    matches!(key, "arguments" | "parameters" | "args")
}

/// The arguments as an object's text: some models write that text into a string.
fn arguments_text(value: &str) -> String {
    if value.starts_with('"') {
        return serde_json::from_str(value).unwrap_or_else(|_| value.to_owned());
    }
    if value.is_empty() || value == "null" {
        "{}".to_owned()
    } else {
        value.to_owned()
    }
}

impl CallScanner {
    pub(super) fn new(tools: Arc<[String]>) -> Self {
        Self {
            tools,
            at: At::Open,
            key: String::new(),
            value: String::new(),
            end: ValueScanner::default(),
            begun: false,
            early: None,
            arguments_seen: false,
        }
    }

    /// Whether a part of it went out already.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Takes the next character, the first of which is `{`.
    pub(super) fn push(&mut self, c: char, out: &mut Vec<Part>) -> Step {
        match self.at {
            At::Open => match c {
                '{' => self.at = At::Key,
                c if c.is_whitespace() => {}
                _ => return self.broken(out),
            },
            At::Key => match c {
                '"' => {
                    self.key.clear();
                    self.end = ValueScanner::default();
                    self.end.push('"');
                    self.at = At::InKey;
                }
                '}' => return self.close(out),
                ',' => {}
                c if c.is_whitespace() => {}
                _ => return self.broken(out),
            },
            At::InKey => {
                if self.end.push(c) {
                    self.at = At::Colon;
                } else {
                    self.key.push(c);
                }
            }
            At::Colon => match c {
                ':' => self.at = At::Value,
                c if c.is_whitespace() => {}
                _ => return self.broken(out),
            },
            At::Value if c.is_whitespace() => {}
            At::Value => {
                self.value.clear();
                self.end = ValueScanner::default();
                let bare = !matches!(c, '{' | '[' | '"');
                self.at = At::InValue { bare };
                return self.value_char(c, bare, out);
            }
            At::InValue { bare } => return self.value_char(c, bare, out),
        }
        Step::More
    }

    fn value_char(&mut self, c: char, bare: bool, out: &mut Vec<Part>) -> Step {
        if bare {
            if !matches!(c, ',' | '}') && !c.is_whitespace() {
                self.value.push(c);
                return Step::More;
            }
            let step = self.value_ended(out);
            if step == Step::More && c == '}' {
                return self.close(out);
            }
            return step;
        }
        self.value.push(c);
        if self.streams() {
            arguments(out, c);
        }
        if self.end.push(c) {
            return self.value_ended(out);
        }
        Step::More
    }

    /// Whether the value at hand goes out as it comes.
    fn streams(&self) -> bool {
        self.begun
            && !self.arguments_seen
            && is_arguments(&self.key)
            && !self.value.starts_with('"')
    }

    fn value_ended(&mut self, out: &mut Vec<Part>) -> Step {
        self.at = At::Key;
        if self.key == "name" && !self.begun {
            let Ok(name) = serde_json::from_str::<String>(&self.value) else {
                return Step::NoCall;
            };
            if !self.tools.contains(&name) {
                return Step::NoCall;
            }
            self.begun = true;
            out.push(Part::Begin { name });
            if let Some(early) = self.early.take() {
                self.arguments_seen = true;
                out.push(Part::Arguments(early));
            }
        } else if is_arguments(&self.key) && !self.arguments_seen {
            if self.begun {
                // An object has gone out already.
                if !matches!(self.value.chars().next(), Some('{' | '[')) {
                    out.push(Part::Arguments(arguments_text(&self.value)));
                }
                self.arguments_seen = true;
            } else if self.early.is_none() {
                self.early = Some(arguments_text(&self.value));
            }
        }
        Step::More
    }

    fn close(&mut self, out: &mut Vec<Part>) -> Step {
        if !self.begun {
            return Step::NoCall;
        }
        if !self.arguments_seen {
            out.push(Part::Arguments("{}".to_owned()));
        }
        out.push(Part::End);
        Step::Done
    }

    fn broken(&mut self, out: &mut Vec<Part>) -> Step {
        if self.begun {
            // What went out cannot be taken back; the call ends here.
            return self.close(out);
        }
        Step::NoCall
    }
}

/// Adds a character to the arguments that go out.
pub(super) fn arguments(out: &mut Vec<Part>, c: char) {
    if let Some(Part::Arguments(text)) = out.last_mut() {
        text.push(c);
    } else {
        out.push(Part::Arguments(c.to_string()));
    }
}
