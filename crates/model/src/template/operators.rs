//! Operators, comparison, subscripts and attributes.

use super::budget::{Budget, Failure, Outcome};
use super::methods;
use super::python;
use super::value::{Key, Value};
use minijinja::machinery::ast::{BinOpKind, CompareOpKind};
use std::cmp::Ordering;
use std::rc::Rc;

fn mismatch(op: &str, left: &Value, right: &Value) -> Failure {
    Failure::new(format!(
        "{op} takes no {} and {}",
        left.kind(),
        right.kind()
    ))
}

pub(super) fn negate(value: &Value) -> Outcome<Value> {
    match value {
        Value::Float(value) => Ok(Value::Float(-value)),
        other => other
            .as_int()
            .and_then(i128::checked_neg)
            .map(Value::Int)
            .ok_or_else(|| Failure::new(format!("- takes no {}", other.kind()))),
    }
}

pub(super) fn arithmetic(
    op: BinOpKind,
    left: &Value,
    right: &Value,
    budget: &mut Budget,
) -> Outcome<Value> {
    match op {
        BinOpKind::Concat => concat(left, right, budget),
        BinOpKind::Add => match (left, right) {
            (Value::Str(_), Value::Str(_)) => concat(left, right, budget),
            (Value::List(a), Value::List(b)) => {
                let length = a.items.len() + b.items.len();
                budget.allocate(length * size_of::<Value>())?;
                Value::list(a.items.iter().chain(&b.items).cloned().collect(), budget)
            }
            _ => number(op, "+", left, right),
        },
        BinOpKind::Mul => match (left, right) {
            (Value::Str(_) | Value::List(_), count) => repeat(left, count, budget),
            (count, Value::Str(_) | Value::List(_)) => repeat(right, count, budget),
            _ => number(op, "*", left, right),
        },
        BinOpKind::Sub => number(op, "-", left, right),
        BinOpKind::Div => number(op, "/", left, right),
        BinOpKind::FloorDiv => number(op, "//", left, right),
        BinOpKind::Pow => number(op, "**", left, right),
        BinOpKind::Rem => match left {
            Value::Str(text) => {
                let args = match right {
                    Value::List(list) => list.items.clone(),
                    other => vec![other.clone()],
                };
                methods::percent_format(text, &args, budget)
            }
            _ => number(op, "%", left, right),
        },
        _ => Err(mismatch("this operator", left, right)),
    }
}

fn concat(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Value> {
    let (a, b);
    let left = match left {
        Value::Str(text) => &**text,
        other => {
            a = python::to_str(other, budget)?;
            &a
        }
    };
    let right = match right {
        Value::Str(text) => &**text,
        other => {
            b = python::to_str(other, budget)?;
            &b
        }
    };
    budget.allocate(left.len() + right.len())?;
    Value::new_str([left, right].concat(), budget)
}

fn repeat(value: &Value, count: &Value, budget: &mut Budget) -> Outcome<Value> {
    let Some(count) = count.as_int() else {
        return Err(mismatch("*", value, count));
    };
    let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
    match value {
        Value::Str(text) => {
            budget.allocate(text.len().saturating_mul(count))?;
            Value::new_str(text.repeat(if text.is_empty() { 0 } else { count }), budget)
        }
        Value::List(list) if list.items.is_empty() => Ok(value.clone()),
        Value::List(list) => {
            let bytes = list.items.len() * size_of::<Value>();
            budget.allocate(bytes.saturating_mul(count))?;
            let items = list.items.iter().cycle().take(list.items.len() * count);
            Value::list(items.cloned().collect(), budget)
        }
        other => Err(mismatch("*", other, &Value::Int(0))),
    }
}

fn number(op: BinOpKind, name: &str, left: &Value, right: &Value) -> Outcome<Value> {
    let zero = || Failure::new("division by zero");
    let large = || Failure::new(format!("the result of {name} is too large"));
    if let (Some(a), Some(b)) = (left.as_int(), right.as_int()) {
        return Ok(match op {
            BinOpKind::Add => Value::Int(a.checked_add(b).ok_or_else(large)?),
            BinOpKind::Sub => Value::Int(a.checked_sub(b).ok_or_else(large)?),
            BinOpKind::Mul => Value::Int(a.checked_mul(b).ok_or_else(large)?),
            BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem if b == 0 => return Err(zero()),
            BinOpKind::Div => Value::Float(a as f64 / b as f64),
            BinOpKind::FloorDiv => {
                let quotient = a.checked_div(b).ok_or_else(large)?;
                let inexact = a.checked_rem(b).ok_or_else(large)? != 0;
                Value::Int(quotient - i128::from(inexact && (a < 0) != (b < 0)))
            }
            BinOpKind::Rem => {
                let rest = a.checked_rem(b).ok_or_else(large)?;
                let adjust = rest != 0 && (rest < 0) != (b < 0);
                Value::Int(if adjust { rest + b } else { rest })
            }
            _ => match u32::try_from(b) {
                Ok(power) => Value::Int(a.checked_pow(power).ok_or_else(large)?),
                Err(_) => Value::Float((a as f64).powf(b as f64)),
            },
        });
    }
    let (Some(a), Some(b)) = (left.as_float(), right.as_float()) else {
        return Err(mismatch(name, left, right));
    };
    if b == 0.0 && matches!(op, BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem) {
        return Err(zero());
    }
    Ok(Value::Float(match op {
        BinOpKind::Add => a + b,
        BinOpKind::Sub => a - b,
        BinOpKind::Mul => a * b,
        BinOpKind::Div => a / b,
        BinOpKind::FloorDiv => (a / b).floor(),
        BinOpKind::Rem => a - b * (a / b).floor(),
        _ => a.powf(b),
    }))
}

pub(super) fn compare(
    op: CompareOpKind,
    left: &Value,
    right: &Value,
    budget: &mut Budget,
) -> Outcome<bool> {
    let ordered = |wanted: fn(Ordering) -> bool, budget: &mut Budget| {
        order(left, right, budget)?
            .map(wanted)
            .ok_or_else(|| mismatch("a comparison", left, right))
    };
    match op {
        CompareOpKind::Eq => equal(left, right, budget),
        CompareOpKind::Ne => Ok(!equal(left, right, budget)?),
        CompareOpKind::Lt => ordered(Ordering::is_lt, budget),
        CompareOpKind::Lte => ordered(Ordering::is_le, budget),
        CompareOpKind::Gt => ordered(Ordering::is_gt, budget),
        CompareOpKind::Gte => ordered(Ordering::is_ge, budget),
        CompareOpKind::In => contains(right, left, budget),
        CompareOpKind::NotIn => Ok(!contains(right, left, budget)?),
    }
}

pub(super) fn equal(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<bool> {
    budget.step(1)?;
    Ok(match (left, right) {
        (Value::Undefined, Value::Undefined) | (Value::None, Value::None) => true,
        (Value::Str(a), Value::Str(b)) => {
            budget.step_bytes(a.len().min(b.len()))?;
            a == b
        }
        (Value::List(a), Value::List(b)) => {
            if a.items.len() != b.items.len() {
                return Ok(false);
            }
            for (a, b) in a.items.iter().zip(&b.items) {
                if !equal(a, b, budget)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            if a.entries.len() != b.entries.len() {
                return Ok(false);
            }
            for (key, a) in &a.entries {
                budget.step(1)?;
                match b.entries.get(key) {
                    Some(b) if equal(a, b, budget)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Value::Namespace(a), Value::Namespace(b)) => Rc::ptr_eq(a, b),
        _ => match (left.as_int(), right.as_int()) {
            (Some(a), Some(b)) => a == b,
            _ => match (left.as_float(), right.as_float()) {
                (Some(a), Some(b)) => a == b,
                _ => false,
            },
        },
    })
}

/// `None` where Python would not compare the two.
pub(super) fn order(left: &Value, right: &Value, budget: &mut Budget) -> Outcome<Option<Ordering>> {
    budget.step(1)?;
    Ok(match (left, right) {
        (Value::Str(a), Value::Str(b)) => {
            budget.step_bytes(a.len().min(b.len()))?;
            Some(a.cmp(b))
        }
        (Value::List(a), Value::List(b)) => {
            for (a, b) in a.items.iter().zip(&b.items) {
                match order(a, b, budget)? {
                    Some(Ordering::Equal) => {}
                    other => return Ok(other),
                }
            }
            Some(a.items.len().cmp(&b.items.len()))
        }
        _ => match (left.as_int(), right.as_int()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => match (left.as_float(), right.as_float()) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        },
    })
}

pub(super) fn contains(container: &Value, value: &Value, budget: &mut Budget) -> Outcome<bool> {
    match container {
        Value::Undefined => Ok(false),
        Value::Str(text) => {
            let Value::Str(part) = value else {
                return Err(mismatch("in", value, container));
            };
            budget.step_bytes(text.len() + part.len())?;
            Ok(text.contains(&**part))
        }
        Value::List(list) => {
            for item in &list.items {
                if equal(item, value, budget)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => match value {
            Value::Str(key) => {
                budget.step_bytes(key.len())?;
                Ok(map.entries.contains_key(&**key))
            }
            other => Ok(Key::of(other).is_some_and(|key| map.entries.contains_key(&key))),
        },
        Value::Namespace(namespace) => {
            let key = value.as_str().unwrap_or_default();
            Ok(namespace.borrow().contains_key(key))
        }
        other => Err(mismatch("in", value, other)),
    }
}

/// `value.name`: methods come before entries, as in Jinja.
pub(super) fn attribute(value: &Value, name: &str, budget: &mut Budget) -> Outcome<Value> {
    budget.step_bytes(name.len())?;
    if methods::exists(value, name) {
        return Ok(Value::Method(Box::new(value.clone()), Rc::from(name)));
    }
    Ok(match value {
        Value::Undefined => {
            return Err(Failure::new(format!(
                "attribute {name:?} of a value that is undefined"
            )));
        }
        Value::Map(map) => map.entries.get(name).cloned().unwrap_or(Value::Undefined),
        Value::Namespace(namespace) => namespace
            .borrow()
            .get(name)
            .cloned()
            .unwrap_or(Value::Undefined),
        Value::Loop(state) => {
            let (i, n) = (state.index0.get(), state.items.len());
            let int = |value: usize| Value::Int(value as i128);
            let at = |i: usize| state.items.get(i).cloned().unwrap_or(Value::Undefined);
            match name {
                "index" => int(i + 1),
                "index0" => int(i),
                "revindex" => int(n - i),
                "revindex0" => int(n - i - 1),
                "first" => Value::Bool(i == 0),
                "last" => Value::Bool(i + 1 == n),
                "length" => int(n),
                "depth" => int(state.depth0 + 1),
                "depth0" => int(state.depth0),
                "previtem" => at(i.wrapping_sub(1)),
                "nextitem" => at(i + 1),
                _ => Value::Undefined,
            }
        }
        _ => Value::Undefined,
    })
}

/// `value[key]`.
pub(super) fn item(value: &Value, key: &Value, budget: &mut Budget) -> Outcome<Value> {
    Ok(match (value, key) {
        (Value::Undefined, _) => {
            return Err(Failure::new("a part of a value that is undefined"));
        }
        (Value::Map(map), Value::Str(key)) => {
            budget.step_bytes(key.len())?;
            match map.entries.get(&**key) {
                Some(value) => value.clone(),
                None => attribute(value, key, budget)?,
            }
        }
        (Value::Map(map), key) => Key::of(key)
            .and_then(|key| map.entries.get(&key).cloned())
            .unwrap_or(Value::Undefined),
        (Value::List(list), key) if key.as_int().is_some() => {
            let place = place(key.as_int().unwrap_or_default(), list.items.len());
            place.map_or(Value::Undefined, |i| list.items[i].clone())
        }
        (Value::Str(text), key) if key.as_int().is_some() => {
            budget.step_bytes(text.len())?;
            let index = key.as_int().unwrap_or_default();
            let place = if index >= 0 {
                usize::try_from(index).ok()
            } else {
                place(index, text.chars().count())
            };
            match place.and_then(|i| text.chars().nth(i)) {
                Some(c) => Value::new_str(c.to_string(), budget)?,
                None => Value::Undefined,
            }
        }
        (other, Value::Str(key)) => attribute(other, key, budget)?,
        _ => Value::Undefined,
    })
}

fn place(index: i128, length: usize) -> Option<usize> {
    let index = if index < 0 {
        index + length as i128
    } else {
        index
    };
    usize::try_from(index).ok().filter(|&i| i < length)
}

/// `value[start:stop:step]`.
pub(super) fn slice(
    value: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
    budget: &mut Budget,
) -> Outcome<Value> {
    let bound = |value: &Value| match value {
        Value::None | Value::Undefined => Ok(None),
        other => other
            .as_int()
            .map(Some)
            .ok_or_else(|| Failure::new(format!("a {} in a slice", other.kind()))),
    };
    let (start, stop) = (bound(start)?, bound(stop)?);
    let step = bound(step)?.unwrap_or(1);
    if step == 0 {
        return Err(Failure::new("a slice's step is zero"));
    }
    match value {
        Value::List(list) => {
            let places = slice_places(list.items.len(), start, stop, step);
            budget.allocate(list.items.len() * size_of::<Value>())?;
            Value::list(places.map(|i| list.items[i].clone()).collect(), budget)
        }
        Value::Str(text) => {
            budget.allocate(text.len() * 5)?;
            let chars: Vec<char> = text.chars().collect();
            let places = slice_places(chars.len(), start, stop, step);
            Value::new_str(places.map(|i| chars[i]).collect(), budget)
        }
        Value::Undefined => Err(Failure::new("a slice of a value that is undefined")),
        other => Err(Failure::new(format!("a slice of a {}", other.kind()))),
    }
}

fn slice_places(
    length: usize,
    start: Option<i128>,
    stop: Option<i128>,
    step: i128,
) -> impl Iterator<Item = usize> {
    let n = length as i128;
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let clamp = |index: i128| {
        let index = if index < 0 {
            index.saturating_add(n)
        } else {
            index
        };
        index.clamp(low, high)
    };
    let first = start.map_or(if step > 0 { low } else { high }, clamp);
    let end = stop.map_or(if step > 0 { high } else { low }, clamp);
    let mut next = first;
    std::iter::from_fn(move || {
        let more = if step > 0 { next < end } else { next > end };
        let here = next;
        next = next.saturating_add(step);
        more.then_some(here as usize)
    })
}
