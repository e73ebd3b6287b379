//! The filters of Jinja that chat templates use.

use super::budget::{Budget, Failure, Outcome};
use super::eval::{Args, Interpreter};
use super::python::{self, JsonStyle, Writer};
use super::value::Value;
use super::{methods, operators, predicates};
use std::cmp::Ordering;
use std::rc::Rc;

/// Most levels by which text may be indented.
const INDENT_MAX: i128 = 256;

/// `value | name(args)`.
pub(super) fn apply(
    interpreter: &mut Interpreter<'_>,
    name: &str,
    value: &Value,
    args: &Args,
) -> Outcome<Value> {
    let budget = &mut interpreter.budget;
    budget.step(1)?;
    match name {
        "trim" => {
            let text = text_of(value, budget)?;
            let set: Option<Vec<char>> = args
                .get(0, "chars")
                .and_then(Value::as_str)
                .map(|set| set.chars().collect());
            budget.step((text.len() / 8 * set.as_ref().map_or(1, Vec::len)) as u64)?;
            let text = methods::strip(&text, set.as_deref(), true, true);
            Value::new_str(text.to_owned(), budget)
        }
        "upper" | "lower" | "title" | "capitalize" => {
            let text = text_of(value, budget)?;
            methods::change_case(&text, name, budget)
        }
        "replace" => {
            let text = text_of(value, budget)?;
            let (Some(from), Some(to)) = (args.get(0, "old"), args.get(1, "new")) else {
                return Err(Failure::new("replace takes two strings"));
            };
            let (from, to) = (text_of(from, budget)?, text_of(to, budget)?);
            let count = args.get(2, "count").and_then(Value::as_int);
            let count = count.and_then(|count| usize::try_from(count).ok());
            methods::replace(&text, &from, &to, count, budget)
        }
        "string" => match value {
            Value::Str(_) => Ok(value.clone()),
            other => {
                let text = python::to_str(other, budget)?;
                Value::new_str(text, budget)
            }
        },
        "safe" => Ok(value.clone()),
        "escape" | "e" | "forceescape" => {
            let text = text_of(value, budget)?;
            budget.allocate(text.len() * 6)?;
            let mut out = String::new();
            for c in text.chars() {
                match c {
                    '&' => out.push_str("&amp;"),
                    '<' => out.push_str("&lt;"),
                    '>' => out.push_str("&gt;"),
                    '"' => out.push_str("&#34;"),
                    '\'' => out.push_str("&#39;"),
                    c => out.push(c),
                }
            }
            Value::new_str(out, budget)
        }
        "indent" => indent(value, args, budget),
        "format" => {
            let text = text_of(value, budget)?;
            methods::percent_format(&text, &args.positional, budget)
        }
        "tojson" => tojson(value, args, budget),
        "length" | "count" => Ok(Value::Int(value.length(budget)? as i128)),
        "default" | "d" => {
            let fallback = args.get(0, "default_value").cloned();
            let fallback = fallback.unwrap_or_else(|| Value::str(""));
            let falsy = args.get(1, "boolean").is_some_and(Value::is_true);
            let replace = value.is_undefined() || (falsy && !value.is_true());
            Ok(if replace { fallback } else { value.clone() })
        }
        "int" => Ok(match value {
            Value::Float(value) if value.is_finite() => Value::Int(value.trunc() as i128),
            Value::Str(text) => {
                budget.step_bytes(text.len())?;
                match text.trim().parse::<i128>() {
                    Ok(value) => Value::Int(value),
                    Err(_) => match text.trim().parse::<f64>() {
                        Ok(value) if value.is_finite() => Value::Int(value.trunc() as i128),
                        _ => args.get(0, "default").cloned().unwrap_or(Value::Int(0)),
                    },
                }
            }
            other => match other.as_int() {
                Some(value) => Value::Int(value),
                None => args.get(0, "default").cloned().unwrap_or(Value::Int(0)),
            },
        }),
        "float" => {
            let parsed = match value {
                Value::Str(text) => {
                    budget.step_bytes(text.len())?;
                    text.trim().parse().ok()
                }
                other => other.as_float(),
            };
            let fallback = || args.get(0, "default").cloned().unwrap_or(Value::Float(0.0));
            Ok(parsed.map_or_else(fallback, Value::Float))
        }
        "abs" => match value {
            Value::Float(value) => Ok(Value::Float(value.abs())),
            other => other
                .as_int()
                .and_then(i128::checked_abs)
                .map(Value::Int)
                .ok_or_else(|| Failure::new(format!("abs takes no {}", other.kind()))),
        },
        "round" => {
            let value = value
                .as_float()
                .ok_or_else(|| Failure::new(format!("round takes no {}", value.kind())))?;
            let precision = args
                .get(0, "precision")
                .and_then(Value::as_int)
                .unwrap_or(0);
            let factor = 10f64.powi(precision.clamp(-300, 300) as i32);
            let scaled = value * factor;
            let rounded = match args.get(1, "method").and_then(Value::as_str) {
                Some("ceil") => scaled.ceil(),
                Some("floor") => scaled.floor(),
                _ => scaled.round_ties_even(),
            };
            Ok(Value::Float(rounded / factor))
        }
        "items" => match value {
            Value::Undefined => Value::list(Vec::new(), budget),
            other => methods::items(other, budget),
        },
        _ => of_list(interpreter, name, value, args),
    }
}

/// Filters that take a list, or anything that can be walked over.
fn of_list(
    interpreter: &mut Interpreter<'_>,
    name: &str,
    value: &Value,
    args: &Args,
) -> Outcome<Value> {
    match name {
        "join" => {
            let separator = args.get(0, "d").cloned().unwrap_or_else(|| Value::str(""));
            let separator = text_of(&separator, &mut interpreter.budget)?;
            let mut items = interpreter.elements(value)?;
            if let Some(attribute) = args.get(1, "attribute") {
                let budget = &mut interpreter.budget;
                items = items
                    .iter()
                    .map(|item| path(item, attribute, budget))
                    .collect::<Outcome<_>>()?;
            }
            interpreter.joined(&items, &separator)
        }
        "list" => {
            let items = interpreter.elements(value)?;
            Value::list(items.to_vec(), &mut interpreter.budget)
        }
        "first" | "last" => {
            if let Value::Str(text) = value {
                let budget = &mut interpreter.budget;
                let c = if name == "first" {
                    text.chars().next()
                } else {
                    text.chars().next_back()
                };
                return c.map_or(Ok(Value::Undefined), |c| {
                    Value::new_str(c.to_string(), budget)
                });
            }
            let items = interpreter.elements(value)?;
            let found = if name == "first" {
                items.first()
            } else {
                items.last()
            };
            Ok(found.cloned().unwrap_or(Value::Undefined))
        }
        "reverse" => {
            let items = interpreter.elements(value)?;
            if matches!(value, Value::Str(_)) {
                let items: Vec<Value> = items.iter().rev().cloned().collect();
                return interpreter.joined(&items, "");
            }
            Value::list(
                items.iter().rev().cloned().collect(),
                &mut interpreter.budget,
            )
        }
        "map" => map(interpreter, value, args),
        "select" | "reject" | "selectattr" | "rejectattr" => {
            let by_attribute = name.ends_with("attr");
            let wanted = name.starts_with("select");
            let budget = &mut interpreter.budget;
            let items = value.iterate(budget)?;
            let (attribute, rest) = match args.positional.split_first() {
                Some((attribute, rest)) if by_attribute => (Some(attribute), rest),
                None if by_attribute => return Err(Failure::new(format!("{name} takes a name"))),
                _ => (None, args.positional.as_slice()),
            };
            let mut kept = Vec::new();
            for item in items.iter() {
                let subject = match attribute {
                    Some(attribute) => path(item, attribute, budget)?,
                    None => item.clone(),
                };
                let holds = match rest.split_first() {
                    Some((test, args)) => {
                        let test = test.as_str().unwrap_or_default();
                        predicates::holds(test, &subject, args, budget)?
                    }
                    None => subject.is_true(),
                };
                if holds == wanted {
                    kept.push(item.clone());
                }
            }
            Value::list(kept, budget)
        }
        "sort" | "unique" | "min" | "max" | "dictsort" => ordered(interpreter, name, value, args),
        "sum" => {
            let items = interpreter.elements(value)?;
            let budget = &mut interpreter.budget;
            let mut total = args.get(1, "start").cloned().unwrap_or(Value::Int(0));
            for item in items.iter() {
                let item = match args.get(0, "attribute") {
                    Some(attribute) => path(item, attribute, budget)?,
                    None => item.clone(),
                };
                let add = minijinja::machinery::ast::BinOpKind::Add;
                total = operators::arithmetic(add, &total, &item, budget)?;
            }
            Ok(total)
        }
        other => Err(Failure::new(format!("unknown filter {other:?}"))),
    }
}

fn text_of(value: &Value, budget: &mut Budget) -> Outcome<Rc<str>> {
    match value {
        Value::Str(text) => {
            budget.step_bytes(text.len())?;
            Ok(Rc::clone(text))
        }
        other => Ok(Rc::from(python::to_str(other, budget)?)),
    }
}

/// `a.b.0` of a value.
fn path(value: &Value, attribute: &Value, budget: &mut Budget) -> Outcome<Value> {
    let Some(names) = attribute.as_str() else {
        return operators::item(value, attribute, budget);
    };
    let mut value = value.clone();
    for name in names.split('.') {
        budget.step(1)?;
        let key = name
            .parse::<u32>()
            .map_or_else(|_| Value::str(name), |i| Value::Int(i128::from(i)));
        value = operators::item(&value, &key, budget)?;
    }
    Ok(value)
}

fn map(interpreter: &mut Interpreter<'_>, value: &Value, args: &Args) -> Outcome<Value> {
    let items = interpreter.elements(value)?;
    let mut out = Vec::new();
    if let Some(attribute) = args.named("attribute") {
        let default = args.named("default");
        for item in items.iter() {
            let found = path(item, attribute, &mut interpreter.budget)?;
            out.push(match default {
                Some(default) if found.is_undefined() => default.clone(),
                _ => found,
            });
        }
    } else {
        let Some((filter, rest)) = args.positional.split_first() else {
            return Err(Failure::new(
                "map takes the name of a filter or an attribute",
            ));
        };
        let filter = filter.as_str().unwrap_or_default();
        if filter == "map" {
            return Err(Failure::new("map takes no map"));
        }
        let rest = Args {
            positional: rest.to_vec(),
            named: args.named.clone(),
        };
        for item in items.iter() {
            out.push(apply(interpreter, filter, item, &rest)?);
        }
    }
    Value::list(out, &mut interpreter.budget)
}

fn ordered(
    interpreter: &mut Interpreter<'_>,
    name: &str,
    value: &Value,
    args: &Args,
) -> Outcome<Value> {
    let budget = &mut interpreter.budget;
    let case_sensitive = args.named("case_sensitive").is_some_and(Value::is_true);
    let items = if name == "dictsort" {
        methods::items(value, budget)?.iterate(budget)?
    } else {
        value.iterate(budget)?
    };
    let attribute = match name {
        "dictsort" => {
            let by_value = args.get(1, "by").and_then(Value::as_str) == Some("value");
            Some(Value::Int(i128::from(by_value)))
        }
        "sort" => args.get(2, "attribute").cloned(),
        _ => args.get(1, "attribute").cloned(),
    };
    let mut keyed = Vec::new();
    for item in items.iter() {
        budget.allocate(2 * size_of::<Value>())?;
        let key = match &attribute {
            Some(attribute) => path(item, attribute, budget)?,
            None => item.clone(),
        };
        let key = match &key {
            Value::Str(text) if !case_sensitive => methods::change_case(text, "lower", budget)?,
            _ => key,
        };
        keyed.push((key, item.clone()));
    }
    if name == "unique" {
        let mut kept: Vec<(Value, Value)> = Vec::new();
        for (key, item) in keyed {
            let mut seen = false;
            for (other, _) in &kept {
                if operators::equal(other, &key, budget)? {
                    seen = true;
                    break;
                }
            }
            if !seen {
                kept.push((key, item));
            }
        }
        return Value::list(kept.into_iter().map(|(_, item)| item).collect(), budget);
    }
    let mut sorted = merge_sort(keyed, budget)?;
    if matches!(name, "min" | "max") {
        let found = if name == "min" {
            sorted.into_iter().next()
        } else {
            sorted.pop()
        };
        return Ok(found.map_or(Value::Undefined, |(_, item)| item));
    }
    let place = if name == "dictsort" { 2 } else { 0 };
    if args.get(place, "reverse").is_some_and(Value::is_true) {
        sorted.reverse();
    }
    Value::list(sorted.into_iter().map(|(_, item)| item).collect(), budget)
}

/// Stable; written out because a comparison may fail, which the standard library's sort has no
/// room for.
fn merge_sort(mut items: Vec<(Value, Value)>, budget: &mut Budget) -> Outcome<Vec<(Value, Value)>> {
    if items.len() < 2 {
        return Ok(items);
    }
    budget.allocate(items.len() * 2 * size_of::<Value>())?;
    let right = items.split_off(items.len() / 2);
    let mut left = merge_sort(items, budget)?.into_iter().peekable();
    let mut right = merge_sort(right, budget)?.into_iter().peekable();
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let order = operators::order(a, b, budget)?.ok_or_else(|| {
            Failure::new(format!("a {} and a {} have no order", a.kind(), b.kind()))
        })?;
        let next = if order == Ordering::Greater {
            right.next()
        } else {
            left.next()
        };
        merged.extend(next);
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

fn indent(value: &Value, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let text = text_of(value, budget)?;
    let prefix = match args.get(0, "width") {
        Some(Value::Str(prefix)) => Rc::clone(prefix),
        Some(width) => {
            let width = width.as_int().filter(|width| *width <= INDENT_MAX);
            let width = width
                .ok_or_else(|| Failure::new(format!("indent takes a width up to {INDENT_MAX}")))?;
            Rc::from(" ".repeat(usize::try_from(width).unwrap_or(0)))
        }
        None => Rc::from("    "),
    };
    let first = args.get(1, "first").is_some_and(Value::is_true);
    let blank = args.get(2, "blank").is_some_and(Value::is_true);
    let mut writer = Writer {
        out: String::new(),
        budget,
    };
    for (i, line) in text.split('\n').enumerate() {
        if i > 0 {
            writer.push("\n")?;
        }
        if if i == 0 {
            first
        } else {
            blank || !line.is_empty()
        } {
            writer.push(&prefix)?;
        }
        writer.push(line)?;
    }
    let out = writer.out;
    Value::new_str(out, budget)
}

/// `transformers`' `tojson`: `json.dumps` with `ensure_ascii` off, and nothing escaped for HTML.
fn tojson(value: &Value, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let mut style = JsonStyle {
        ascii: args.get(0, "ensure_ascii").is_some_and(Value::is_true),
        sort_keys: args.get(3, "sort_keys").is_some_and(Value::is_true),
        ..JsonStyle::default()
    };
    match args.get(1, "indent") {
        None | Some(Value::None) => {}
        Some(Value::Str(indent)) => style.indent = Some(indent.as_ref().to_owned()),
        Some(width) => {
            let width = width.as_int().filter(|width| *width <= INDENT_MAX);
            let width = width.ok_or_else(|| {
                Failure::new(format!("tojson takes an indent up to {INDENT_MAX}"))
            })?;
            style.indent = Some(" ".repeat(usize::try_from(width).unwrap_or(0)));
        }
    }
    if let Some(Value::List(separators)) = args.get(2, "separators") {
        let [Value::Str(item), Value::Str(key)] = separators.items.as_slice() else {
            return Err(Failure::new("separators are two strings"));
        };
        style.item_separator = String::from(&**item);
        style.key_separator = String::from(&**key);
    }
    let mut writer = Writer {
        out: String::new(),
        budget,
    };
    python::write_json(&mut writer, value, &style, 0)?;
    let out = writer.out;
    Value::new_str(out, budget)
}
