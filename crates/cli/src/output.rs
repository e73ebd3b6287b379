//! Standard output, and lines on standard error. A reader that goes away ends the program quietly;
//! nothing else is lost silently.

use std::io::Write;

use serde::Serialize;

use crate::messages::Msg;
use crate::problem::{Outcome, Problem, fail};

/// Writes `text` as it is.
pub(crate) fn write(text: &str) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|e| Problem::output(&e))
}

/// Writes `text` and a line end; control characters are dropped.
pub(crate) fn line(text: &str) -> Outcome<()> {
    write(&(crate::terminal::safe(text) + "\n"))
}

/// Writes `text` as one line on standard error. Where nobody reads that, there is nobody left to tell,
/// and the work and its exit code count alone; `eprintln!` would panic.
pub(crate) fn note(text: &str) {
    let line = crate::terminal::safe_line(text) + "\n";
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Writes `value` as JSON and a line end.
pub(crate) fn json(value: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| {
        fail(Msg::OutputFailed {
            reason: e.to_string(),
        })
    })?;
    write(&(escaped(&text) + "\n"))
}

/// Writes `value` as one line of JSON.
pub(crate) fn json_line(value: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string(value).map_err(|e| {
        fail(Msg::OutputFailed {
            reason: e.to_string(),
        })
    })?;
    write(&(escaped(&text) + "\n"))
}

/// JSON in which the control characters that its grammar allows in the clear are escaped too: a
/// terminal obeys U+009B as it obeys ESC [.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_control() && c != '\n' {
            let code = format!("\\u{:04x}", c as u32);
            out.push_str(&code);
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn json_holds_no_control_character_in_the_clear() {
        let text = serde_json::to_string("a\u{9b}31m\u{7f}\u{1b}").unwrap();
        let safe = super::escaped(&text);
        assert!(!safe.chars().any(char::is_control));
        let back: String = serde_json::from_str(&safe).unwrap();
        assert_eq!(back, "a\u{9b}31m\u{7f}\u{1b}");
    }
}
