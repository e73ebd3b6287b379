//! Global functions and constants.

use super::budget::{Failure, Outcome};
use super::eval::{Args, Interpreter};
use super::value::{Key, Value};
use indexmap::IndexMap;
use std::cell::RefCell;
use std::rc::Rc;

/// Most elements of a `range`.
const RANGE_MAX: i128 = 100_000;

/// The global of that name; undefined if there is none.
pub(super) fn global(name: &str) -> Value {
    const FUNCTIONS: [&str; 5] = [
        "raise_exception",
        "strftime_now",
        "namespace",
        "range",
        "dict",
    ];
    FUNCTIONS
        .iter()
        .find(|&&function| function == name)
        .map_or(Value::Undefined, |&function| Value::Function(function))
}

/// A constant of the syntax tree.
pub(super) fn constant(value: &minijinja::Value) -> Value {
    use minijinja::value::ValueKind;
    match value.kind() {
        ValueKind::None => Value::None,
        ValueKind::Bool => Value::Bool(value.is_true()),
        ValueKind::Number => match i128::try_from(value.clone()) {
            Ok(int) if value.is_integer() => Value::Int(int),
            _ => Value::Float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
        },
        ValueKind::String => Value::str(value.as_str().unwrap_or_default()),
        _ => Value::Undefined,
    }
}

pub(super) fn call(interpreter: &mut Interpreter<'_>, name: &str, args: &Args) -> Outcome<Value> {
    let budget = &mut interpreter.budget;
    match name {
        "raise_exception" => {
            let message = args.get(0, "message").and_then(Value::as_str);
            let message: String = message.unwrap_or("no message").chars().take(400).collect();
            Err(Failure::new(format!(
                "it refuses this conversation: {message}"
            )))
        }
        "strftime_now" => {
            let format = args.get(0, "format").and_then(Value::as_str);
            let format = format.ok_or_else(|| Failure::new("strftime_now takes a format"))?;
            budget.allocate(format.len().saturating_mul(32))?;
            let text = interpreter.now.format(format).map_err(Failure::new)?;
            Value::new_str(text, &mut interpreter.budget)
        }
        "namespace" | "dict" => {
            let mut entries: IndexMap<Key, Value> = IndexMap::new();
            if let Some(first) = args.positional.first() {
                let Value::Map(map) = first else {
                    return Err(Failure::new(format!("{name} takes a mapping and names")));
                };
                budget.allocate(map.entries.len() * 64)?;
                entries.extend(map.entries.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            entries.extend(
                args.named
                    .iter()
                    .map(|(k, v)| (Key::Str(Rc::clone(k)), v.clone())),
            );
            if name == "dict" {
                return Value::map(entries, budget);
            }
            budget.allocate(entries.len() * 64 + 64)?;
            let mut attributes = IndexMap::new();
            for (key, value) in entries {
                value.plain_depth()?;
                if let Key::Str(key) = key {
                    attributes.insert(key, value);
                }
            }
            Ok(Value::Namespace(Rc::new(RefCell::new(attributes))))
        }
        "range" => {
            let int = |place: usize| match args.positional.get(place) {
                Some(value) => value
                    .as_int()
                    .map(Some)
                    .ok_or_else(|| Failure::new("range takes integers")),
                None => Ok(None),
            };
            let (start, stop) = match (int(0)?, int(1)?) {
                (Some(stop), None) => (0, stop),
                (Some(start), Some(stop)) => (start, stop),
                _ => return Err(Failure::new("range takes one to three integers")),
            };
            let step = int(2)?.unwrap_or(1);
            if step == 0 {
                return Err(Failure::new("a range's step is zero"));
            }
            let span = if step > 0 {
                stop.saturating_sub(start)
            } else {
                start.saturating_sub(stop)
            };
            let stride = step.saturating_abs();
            let count = if span <= 0 {
                0
            } else {
                (span - 1) / stride + 1
            };
            if count > RANGE_MAX {
                return Err(Failure::new(format!(
                    "a range of over {RANGE_MAX} elements"
                )));
            }
            budget.allocate(count as usize * size_of::<Value>())?;
            Value::list(
                (0..count).map(|i| Value::Int(start + i * step)).collect(),
                budget,
            )
        }
        other => Err(Failure::new(format!("unknown function {other:?}"))),
    }
}
