//! Standard output. A reader that goes away ends the program quietly; nothing else is lost silently.

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

/// Writes `value` as JSON and a line end.
pub(crate) fn json(value: &impl Serialize) -> Outcome<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| {
        fail(Msg::OutputFailed {
            reason: e.to_string(),
        })
    })?;
    write(&(text + "\n"))
}
