//! Values as text, in the way of Python: `str`, `repr` and `json.dumps`.

use super::budget::{Budget, Failure, Outcome};
use super::value::{Key, Value};
use std::fmt::Write as _;

/// Appends text within a budget.
pub(super) struct Writer<'b> {
    pub(super) out: String,
    pub(super) budget: &'b mut Budget,
}

impl Writer<'_> {
    pub(super) fn push(&mut self, text: &str) -> Outcome<()> {
        // Growing may double the buffer.
        self.budget.allocate(text.len() * 2 + 1)?;
        self.out.push_str(text);
        Ok(())
    }
}

/// `str(value)`.
pub(super) fn to_str(value: &Value, budget: &mut Budget) -> Outcome<String> {
    let mut writer = Writer {
        out: String::new(),
        budget,
    };
    write_str(&mut writer, value)?;
    Ok(writer.out)
}

/// Writes `str(value)`.
pub(super) fn write_str(writer: &mut Writer<'_>, value: &Value) -> Outcome<()> {
    match value {
        Value::Undefined => Ok(()),
        Value::Str(text) => writer.push(text),
        other => write_repr(writer, other),
    }
}

fn write_repr(writer: &mut Writer<'_>, value: &Value) -> Outcome<()> {
    match value {
        Value::Undefined => writer.push("Undefined"),
        Value::None => writer.push("None"),
        Value::Bool(true) => writer.push("True"),
        Value::Bool(false) => writer.push("False"),
        Value::Int(value) => writer.push(&value.to_string()),
        Value::Float(value) => writer.push(&float_repr(*value)),
        Value::Str(text) => write_quoted(writer, text),
        Value::List(list) => {
            writer.push("[")?;
            for (i, item) in list.items.iter().enumerate() {
                if i > 0 {
                    writer.push(", ")?;
                }
                write_repr(writer, item)?;
            }
            writer.push("]")
        }
        Value::Map(map) => {
            writer.push("{")?;
            for (i, (key, item)) in map.entries.iter().enumerate() {
                if i > 0 {
                    writer.push(", ")?;
                }
                match key {
                    Key::Str(key) => write_quoted(writer, key)?,
                    Key::Int(key) => writer.push(&key.to_string())?,
                }
                writer.push(": ")?;
                write_repr(writer, item)?;
            }
            writer.push("}")
        }
        other => Err(Failure::new(format!(
            "a {} cannot be written",
            other.kind()
        ))),
    }
}

/// `repr` of a float: the shortest text that reads back the same.
pub(super) fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e16).contains(&magnitude) {
        // Rust writes 1e-5 and 1e16; Python 1e-05 and 1e+16.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    let mut text = value.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// `repr` of a string.
fn write_quoted(writer: &mut Writer<'_>, text: &str) -> Outcome<()> {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut quoted = String::with_capacity(text.len() + 2);
    writer.budget.allocate(text.len())?;
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\\' => quoted.push_str("\\\\"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if (c as u32) < 0x20 || (0x7f..0xa1).contains(&(c as u32)) || c as u32 == 0xad => {
                let _ = write!(quoted, "\\x{:02x}", c as u32);
            }
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    writer.push(&quoted)
}

/// How JSON is laid out.
pub(super) struct JsonStyle {
    /// What one level is indented by; `None` keeps all on one line.
    pub(super) indent: Option<String>,
    pub(super) item_separator: String,
    pub(super) key_separator: String,
    pub(super) ascii: bool,
    pub(super) sort_keys: bool,
}

impl Default for JsonStyle {
    fn default() -> Self {
        Self {
            indent: None,
            item_separator: ", ".to_owned(),
            key_separator: ": ".to_owned(),
            ascii: false,
            sort_keys: false,
        }
    }
}

/// `json.dumps(value)`.
pub(super) fn write_json(
    writer: &mut Writer<'_>,
    value: &Value,
    style: &JsonStyle,
    level: usize,
) -> Outcome<()> {
    match value {
        Value::None => writer.push("null"),
        Value::Bool(true) => writer.push("true"),
        Value::Bool(false) => writer.push("false"),
        Value::Int(value) => writer.push(&value.to_string()),
        Value::Float(value) if value.is_nan() => writer.push("NaN"),
        Value::Float(value) if value.is_infinite() => writer.push(if *value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        }),
        Value::Float(value) => writer.push(&float_repr(*value)),
        Value::Str(text) => write_json_string(writer, text, style.ascii),
        Value::List(list) => {
            if list.items.is_empty() {
                return writer.push("[]");
            }
            writer.push("[")?;
            for (i, item) in list.items.iter().enumerate() {
                separate(writer, style, level + 1, i > 0)?;
                write_json(writer, item, style, level + 1)?;
            }
            close(writer, style, level)?;
            writer.push("]")
        }
        Value::Map(map) => {
            if map.entries.is_empty() {
                return writer.push("{}");
            }
            let mut entries: Vec<_> = map.entries.iter().collect();
            if style.sort_keys {
                writer.budget.step(entries.len() as u64 * 16)?;
                entries.sort_by(|a, b| match (a.0, b.0) {
                    (Key::Str(a), Key::Str(b)) => a.cmp(b),
                    (Key::Int(a), Key::Int(b)) => a.cmp(b),
                    (Key::Int(_), Key::Str(_)) => std::cmp::Ordering::Less,
                    (Key::Str(_), Key::Int(_)) => std::cmp::Ordering::Greater,
                });
            }
            writer.push("{")?;
            for (i, (key, item)) in entries.into_iter().enumerate() {
                separate(writer, style, level + 1, i > 0)?;
                match key {
                    Key::Str(key) => write_json_string(writer, key, style.ascii)?,
                    Key::Int(key) => writer.push(&format!("\"{key}\""))?,
                }
                writer.push(&style.key_separator)?;
                write_json(writer, item, style, level + 1)?;
            }
            close(writer, style, level)?;
            writer.push("}")
        }
        other => Err(Failure::new(format!("a {} is not JSON", other.kind()))),
    }
}

fn separate(writer: &mut Writer<'_>, style: &JsonStyle, level: usize, more: bool) -> Outcome<()> {
    if more {
        // With an indent the separator ends the line, as in json.dumps.
        let separator = if style.indent.is_some() {
            style.item_separator.trim_end_matches(' ')
        } else {
            &style.item_separator
        };
        writer.push(separator)?;
    }
    line(writer, style, level)
}

fn close(writer: &mut Writer<'_>, style: &JsonStyle, level: usize) -> Outcome<()> {
    line(writer, style, level)
}

fn line(writer: &mut Writer<'_>, style: &JsonStyle, level: usize) -> Outcome<()> {
    if let Some(indent) = &style.indent {
        writer.push("\n")?;
        for _ in 0..level {
            writer.push(indent)?;
        }
    }
    Ok(())
}

fn write_json_string(writer: &mut Writer<'_>, text: &str, ascii: bool) -> Outcome<()> {
    writer.budget.allocate(text.len())?;
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            c if (c as u32) < 0x20 => {
                let _ = write!(quoted, "\\u{:04x}", c as u32);
            }
            c if ascii && !c.is_ascii() => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    writer.push(&quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        for (value, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (123456789012345.0, "123456789012345.0"),
            (1e-4, "0.0001"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(float_repr(value), text);
        }
    }
}
