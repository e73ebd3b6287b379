//! The tests of `is`.

use super::budget::{Budget, Failure, Outcome};
use super::operators;
use super::value::Value;
use minijinja::machinery::ast::CompareOpKind;

pub(super) fn holds(
    name: &str,
    value: &Value,
    args: &[Value],
    budget: &mut Budget,
) -> Outcome<bool> {
    let comparison = match name {
        "eq" | "equalto" | "==" => Some(CompareOpKind::Eq),
        "ne" | "!=" => Some(CompareOpKind::Ne),
        "lt" | "lessthan" | "<" => Some(CompareOpKind::Lt),
        "le" | "<=" => Some(CompareOpKind::Lte),
        "gt" | "greaterthan" | ">" => Some(CompareOpKind::Gt),
        "ge" | ">=" => Some(CompareOpKind::Gte),
        "in" => Some(CompareOpKind::In),
        _ => None,
    };
    let argument = || {
        args.first()
            .ok_or_else(|| Failure::new(format!("test {name:?} takes an argument")))
    };
    if let Some(comparison) = comparison {
        return operators::compare(comparison, value, argument()?, budget);
    }
    let letters = |wanted: fn(char) -> bool, other: fn(char) -> bool| match value {
        Value::Str(text) => text.chars().any(wanted) && !text.chars().any(other),
        _ => false,
    };
    if let Value::Str(text) = value {
        budget.step_bytes(text.len())?;
    }
    Ok(match name {
        "defined" => !value.is_undefined(),
        "undefined" => value.is_undefined(),
        "none" => matches!(value, Value::None),
        "string" => matches!(value, Value::Str(_)),
        "boolean" => matches!(value, Value::Bool(_)),
        "true" => matches!(value, Value::Bool(true)),
        "false" => matches!(value, Value::Bool(false)),
        "integer" => matches!(value, Value::Int(_)),
        "float" => matches!(value, Value::Float(_)),
        "number" => matches!(value, Value::Int(_) | Value::Float(_) | Value::Bool(_)),
        "mapping" => matches!(value, Value::Map(_)),
        "sequence" | "iterable" => matches!(
            value,
            Value::Str(_) | Value::List(_) | Value::Map(_) | Value::Undefined
        ),
        "callable" => matches!(
            value,
            Value::Macro(_) | Value::Function(_) | Value::Method(..)
        ),
        "odd" | "even" => match value.as_int() {
            Some(value) => (value % 2 == 0) == (name == "even"),
            None => return Err(Failure::new(format!("{name} takes an integer"))),
        },
        "divisibleby" => match (value.as_int(), argument()?.as_int()) {
            (Some(_), Some(0)) | (None, _) | (_, None) => {
                return Err(Failure::new("divisibleby takes integers other than zero"));
            }
            (Some(a), Some(b)) => a.checked_rem(b).is_none_or(|rest| rest == 0),
        },
        "upper" => letters(char::is_uppercase, char::is_lowercase),
        "lower" => letters(char::is_lowercase, char::is_uppercase),
        "sameas" => match (value, argument()?) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Bool(_), _) | (_, Value::Bool(_)) => false,
            (a, b) => operators::equal(a, b, budget)?,
        },
        other => return Err(Failure::new(format!("unknown test {other:?}"))),
    })
}
