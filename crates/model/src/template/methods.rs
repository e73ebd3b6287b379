//! Methods of strings and mappings, as Python has them, and of `loop`.

use super::budget::{Budget, Failure, Outcome};
use super::eval::{Args, Interpreter};
use super::operators;
use super::python;
use super::value::{Key, Value};

const STRING_METHODS: &[&str] = &[
    "capitalize",
    "count",
    "endswith",
    "find",
    "format",
    "index",
    "isalnum",
    "isalpha",
    "isdecimal",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "join",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
];

const MAPPING_METHODS: &[&str] = &["copy", "get", "items", "keys", "values"];

/// Whether `value` has a method of that name.
pub(super) fn exists(value: &Value, name: &str) -> bool {
    match value {
        Value::Str(_) => STRING_METHODS.contains(&name),
        Value::Map(_) => MAPPING_METHODS.contains(&name),
        Value::List(_) => matches!(name, "count" | "index" | "copy"),
        Value::Loop(_) => matches!(name, "cycle" | "changed"),
        _ => false,
    }
}

pub(super) fn call(
    interpreter: &mut Interpreter<'_>,
    object: &Value,
    name: &str,
    args: &Args,
) -> Outcome<Value> {
    match object {
        Value::Str(text) => string(interpreter, text, name, args),
        Value::Map(map) => {
            let budget = &mut interpreter.budget;
            match name {
                "get" => {
                    let key = args.get(0, "key").cloned().unwrap_or(Value::Undefined);
                    let default = args.get(1, "default").cloned().unwrap_or(Value::None);
                    let found = Key::of(&key).and_then(|key| map.entries.get(&key));
                    Ok(found.cloned().unwrap_or(default))
                }
                "items" => items(object, budget),
                "keys" => {
                    let keys = object.iterate(budget)?;
                    Value::list(keys.to_vec(), budget)
                }
                "values" => {
                    budget.allocate(map.entries.len() * size_of::<Value>())?;
                    Value::list(map.entries.values().cloned().collect(), budget)
                }
                _ => Ok(object.clone()),
            }
        }
        Value::List(list) => {
            let wanted = args.get(0, "value").cloned().unwrap_or(Value::Undefined);
            let mut count = 0;
            for (i, item) in list.items.iter().enumerate() {
                if operators::equal(item, &wanted, &mut interpreter.budget)? {
                    if name == "index" {
                        return Ok(Value::Int(i as i128));
                    }
                    count += 1;
                }
            }
            match name {
                "count" => Ok(Value::Int(count)),
                "copy" => Ok(object.clone()),
                _ => Err(Failure::new("the value is not in the list")),
            }
        }
        Value::Loop(state) => {
            if name == "cycle" {
                let n = args.positional.len();
                if n == 0 {
                    return Err(Failure::new("loop.cycle takes at least one argument"));
                }
                return Ok(args.positional[state.index0.get() % n].clone());
            }
            for value in &args.positional {
                value.plain_depth()?;
            }
            let mut last = state.last_changed.borrow_mut();
            let mut changed = true;
            if let Some(last) = &*last
                && last.len() == args.positional.len()
            {
                changed = false;
                for (a, b) in last.iter().zip(&args.positional) {
                    changed |= !operators::equal(a, b, &mut interpreter.budget)?;
                }
            }
            *last = Some(args.positional.clone());
            Ok(Value::Bool(changed))
        }
        other => Err(Failure::new(format!(
            "a {} has no method {name:?}",
            other.kind()
        ))),
    }
}

/// Pairs of key and value.
pub(super) fn items(object: &Value, budget: &mut Budget) -> Outcome<Value> {
    let Value::Map(map) = object else {
        return Err(Failure::new(format!("a {} has no items", object.kind())));
    };
    let mut pairs = Vec::new();
    for (key, value) in &map.entries {
        let pair = vec![key.to_value(), value.clone()];
        pairs.push(Value::list(pair, budget)?);
    }
    Value::list(pairs, budget)
}

fn string(
    interpreter: &mut Interpreter<'_>,
    text: &str,
    name: &str,
    args: &Args,
) -> Outcome<Value> {
    let budget = &mut interpreter.budget;
    budget.step_bytes(text.len())?;
    let first = args.positional.first();
    let part = || {
        first
            .and_then(Value::as_str)
            .ok_or_else(|| Failure::new(format!("{name} takes a string")))
    };
    let set = |first: Option<&Value>| -> Outcome<Option<Vec<char>>> {
        match first {
            None | Some(Value::None) => Ok(None),
            Some(Value::Str(set)) => Ok(Some(set.chars().collect())),
            Some(other) => Err(Failure::new(format!(
                "{name} takes a string, not {}",
                other.kind()
            ))),
        }
    };
    let all = |holds: fn(char) -> bool| Value::Bool(!text.is_empty() && text.chars().all(holds));
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let (left, right) = (name != "rstrip", name != "lstrip");
            let set = set(first)?;
            budget.step((text.len() / 8 * set.as_ref().map_or(1, Vec::len)) as u64)?;
            Value::new_str(strip(text, set.as_deref(), left, right).to_owned(), budget)
        }
        "startswith" | "endswith" => {
            let holds = |part: &Value| match part.as_str() {
                Some(part) if name == "startswith" => Ok(text.starts_with(part)),
                Some(part) => Ok(text.ends_with(part)),
                None => Err(Failure::new(format!("{name} takes strings"))),
            };
            match first {
                Some(Value::List(parts)) => {
                    budget.step(parts.items.len() as u64)?;
                    let mut any = false;
                    for part in &parts.items {
                        any |= holds(part)?;
                    }
                    Ok(Value::Bool(any))
                }
                Some(part) => holds(part).map(Value::Bool),
                None => Err(Failure::new(format!("{name} takes a string"))),
            }
        }
        "split" | "rsplit" => {
            let limit = args
                .get(1, "maxsplit")
                .and_then(Value::as_int)
                .unwrap_or(-1);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let separator = args.get(0, "sep").cloned().unwrap_or(Value::None);
            let parts = split(text, &separator, limit, name == "rsplit", budget)?;
            strings(parts, budget)
        }
        "partition" | "rpartition" => {
            let part = part()?;
            let found = if name == "partition" {
                text.split_once(part)
            } else {
                text.rsplit_once(part)
            };
            let parts = match found {
                Some((before, after)) => [before, part, after],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            strings(parts.to_vec(), budget)
        }
        "splitlines" => {
            let lines = text.split_inclusive('\n').map(|line| {
                let line = line.strip_suffix('\n').unwrap_or(line);
                line.strip_suffix('\r').unwrap_or(line)
            });
            budget.allocate(text.len())?;
            strings(lines.collect(), budget)
        }
        "upper" | "lower" | "title" | "capitalize" => change_case(text, name, budget),
        "replace" => {
            let from = part()?;
            let to = args.get(1, "new").and_then(Value::as_str);
            let to = to.ok_or_else(|| Failure::new("replace takes two strings"))?;
            let count = args.get(2, "count").and_then(Value::as_int).unwrap_or(-1);
            replace(text, from, to, usize::try_from(count).ok(), budget)
        }
        "removeprefix" => {
            let rest = text.strip_prefix(part()?).unwrap_or(text);
            Value::new_str(rest.to_owned(), budget)
        }
        "removesuffix" => {
            let rest = text.strip_suffix(part()?).unwrap_or(text);
            Value::new_str(rest.to_owned(), budget)
        }
        "find" | "rfind" | "index" => {
            let part = part()?;
            let found = if name == "rfind" {
                text.rfind(part)
            } else {
                text.find(part)
            };
            match found {
                Some(i) => Ok(Value::Int(text[..i].chars().count() as i128)),
                None if name == "index" => Err(Failure::new("the substring is not found")),
                None => Ok(Value::Int(-1)),
            }
        }
        "count" => {
            let part = part()?;
            let count = if part.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(part).count()
            };
            Ok(Value::Int(count as i128))
        }
        "join" => {
            let Some(items) = first else {
                return Err(Failure::new("join takes a list"));
            };
            let items = interpreter.elements(items)?;
            if let Some(other) = items.iter().find(|item| item.as_str().is_none()) {
                return Err(Failure::new(format!(
                    "join takes strings, not {}",
                    other.kind()
                )));
            }
            interpreter.joined(&items, text)
        }
        "format" => brace_format(text, args, budget),
        "isdigit" | "isdecimal" | "isnumeric" => Ok(all(char::is_numeric)),
        "isalpha" => Ok(all(char::is_alphabetic)),
        "isalnum" => Ok(all(char::is_alphanumeric)),
        "isspace" => Ok(all(char::is_whitespace)),
        "isupper" | "islower" => {
            let upper = text.chars().any(char::is_uppercase);
            let lower = text.chars().any(char::is_lowercase);
            Ok(Value::Bool(upper != lower && upper == (name == "isupper")))
        }
        _ => Err(Failure::new(format!("a string has no method {name:?}"))),
    }
}

fn strings(parts: Vec<&str>, budget: &mut Budget) -> Outcome<Value> {
    let mut items = Vec::new();
    for part in parts {
        items.push(Value::new_str(part.to_owned(), budget)?);
    }
    Value::list(items, budget)
}

/// Whitespace (or the characters of a set) off the ends.
pub(super) fn strip<'t>(text: &'t str, set: Option<&[char]>, left: bool, right: bool) -> &'t str {
    // Python also strips the four separators 0x1c to 0x1f.
    let gone = |c: char| match set {
        Some(set) => set.contains(&c),
        None => c.is_whitespace() || ('\x1c'..='\x1f').contains(&c),
    };
    let text = if left {
        text.trim_start_matches(gone)
    } else {
        text
    };
    if right {
        text.trim_end_matches(gone)
    } else {
        text
    }
}

fn split<'t>(
    text: &'t str,
    separator: &Value,
    limit: usize,
    from_right: bool,
    budget: &mut Budget,
) -> Outcome<Vec<&'t str>> {
    budget.allocate(text.len() * size_of::<&str>())?;
    match separator {
        Value::None | Value::Undefined => {
            if from_right && limit != usize::MAX {
                return Err(Failure::new("rsplit without a separator takes no limit"));
            }
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while !rest.is_empty() {
                if parts.len() == limit {
                    parts.push(rest);
                    break;
                }
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                parts.push(&rest[..end]);
                rest = rest[end..].trim_start();
            }
            Ok(parts)
        }
        Value::Str(separator) if separator.is_empty() => Err(Failure::new("an empty separator")),
        Value::Str(separator) => {
            let pieces = limit.saturating_add(1);
            let mut parts: Vec<&str> = if from_right {
                text.rsplitn(pieces, &**separator).collect()
            } else {
                text.splitn(pieces, &**separator).collect()
            };
            if from_right {
                parts.reverse();
            }
            Ok(parts)
        }
        other => Err(Failure::new(format!(
            "split takes a string, not {}",
            other.kind()
        ))),
    }
}

/// `upper`, `lower`, `title` or `capitalize`.
pub(super) fn change_case(text: &str, name: &str, budget: &mut Budget) -> Outcome<Value> {
    // A character may become up to three.
    budget.allocate(text.len() * 3)?;
    let changed = match name {
        "upper" => text.to_uppercase(),
        "lower" => text.to_lowercase(),
        _ => {
            let mut out = String::with_capacity(text.len());
            let mut in_word = false;
            for (i, c) in text.chars().enumerate() {
                let starts = if name == "title" { !in_word } else { i == 0 };
                if starts {
                    out.extend(c.to_uppercase());
                } else {
                    out.extend(c.to_lowercase());
                }
                in_word = c.is_alphabetic();
            }
            out
        }
    };
    Value::new_str(changed, budget)
}

/// The first `count` places of `from`, or all, become `to`.
pub(super) fn replace(
    text: &str,
    from: &str,
    to: &str,
    count: Option<usize>,
    budget: &mut Budget,
) -> Outcome<Value> {
    let count = count.unwrap_or(usize::MAX);
    budget.step_bytes(text.len() + from.len())?;
    let places = if from.is_empty() {
        text.chars().count() + 1
    } else {
        text.matches(from).count()
    };
    let added = to.len().saturating_mul(places.min(count));
    budget.allocate(text.len().saturating_add(added))?;
    Value::new_str(text.replacen(from, to, count), budget)
}

/// `text % args`: `%s`, `%d`, `%r`-less.
pub(super) fn percent_format(text: &str, args: &[Value], budget: &mut Budget) -> Outcome<Value> {
    let mut writer = python::Writer {
        out: String::new(),
        budget,
    };
    let mut args = args.iter();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        writer.push(before)?;
        let kind = after.chars().next();
        match kind {
            Some('%') => writer.push("%")?,
            Some('s' | 'd' | 'i') => {
                let value = args
                    .next()
                    .ok_or_else(|| Failure::new("fewer values than the format asks for"))?;
                python::write_str(&mut writer, value)?;
            }
            _ => return Err(Failure::new("formats are %s, %d and %%")),
        }
        rest = &after[1..];
    }
    writer.push(rest)?;
    if args.next().is_some() {
        return Err(Failure::new("more values than the format asks for"));
    }
    let out = writer.out;
    Value::new_str(out, budget)
}

/// `text.format(…)` with `{}`, `{0}` and `{name}`.
fn brace_format(text: &str, args: &Args, budget: &mut Budget) -> Outcome<Value> {
    let mut writer = python::Writer {
        out: String::new(),
        budget,
    };
    let mut next = 0;
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        writer.push(&rest[..at])?;
        let brace = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(brace) {
            writer.push(brace)?;
            rest = after;
            continue;
        }
        let field = after.split_once('}').filter(|_| brace == "{");
        let Some((field, after)) = field else {
            return Err(Failure::new("a single brace in a format"));
        };
        let value = if field.is_empty() {
            next += 1;
            args.positional.get(next - 1)
        } else if let Ok(place) = field.parse::<usize>() {
            args.positional.get(place)
        } else {
            args.named(field)
        };
        let value = value.ok_or_else(|| {
            Failure::new(format!("the format asks for {field:?}, which is not given"))
        })?;
        python::write_str(&mut writer, value)?;
        rest = after;
    }
    writer.push(rest)?;
    let out = writer.out;
    Value::new_str(out, budget)
}
