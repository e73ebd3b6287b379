//! Grammars that hold an answer to calls of the offered tools, with arguments as their schemas say.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Format, gemma, hermes, mistral};

/// Most calls in one answer that is held to calls: a model that does not know when to stop would
/// otherwise call until its tokens are used up.
const CALLS_MAX: usize = 8;

/// A tool as it is offered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tool {
    pub(crate) name: String,
    /// JSON Schema of the arguments.
    pub(crate) parameters: Option<Value>,
    /// The arguments must be as the schema says.
    pub(crate) strict: bool,
}

/// Whether tools are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// As the model likes.
    #[default]
    Auto,
    /// Not at all.
    None,
    /// One at least.
    Required,
    /// This one.
    Named(String),
}

/// How a format is written as a grammar.
struct Shape {
    /// Before each call or, where `once` is set, before all of them.
    open: &'static str,
    /// After the opener: layout that is not part of a control token.
    open_rest: &'static str,
    close: &'static str,
    between: &'static str,
    once: bool,
    arguments_key: &'static str,
}

fn shape(format: Format) -> Shape {
    match format {
        Format::Hermes | Format::Generic => Shape {
            open: hermes::MARK,
            open_rest: "\n",
            close: "\n</tool_call>",
            between: "\n",
            once: false,
            arguments_key: "arguments",
        },
        Format::Llama => Shape {
            open: "",
            open_rest: "",
            close: "",
            between: "; ",
            once: true,
            arguments_key: "parameters",
        },
        Format::Mistral => Shape {
            open: mistral::MARK,
            open_rest: "[",
            close: "]",
            between: ", ",
            once: true,
            arguments_key: "arguments",
        },
        Format::Gemma => Shape {
            open: gemma::STYLE.openers[0],
            open_rest: "",
            close: "\n```",
            between: "\n",
            once: false,
            arguments_key: "arguments",
        },
    }
}

/// Ids of control tokens by their text; `None` for what is ordinary text in this vocabulary.
pub(crate) type Control<'a> = &'a dyn Fn(&str) -> Option<u32>;

/// One call or, where `parallel` is set, several.
pub(crate) fn calls(format: Format, tools: &[Tool], parallel: bool, control: Control) -> String {
    let mut grammar = "start: calls\n".to_owned();
    write_calls(&mut grammar, format, tools, parallel, control);
    grammar
}

/// Calls, or an answer as the schema says.
pub(crate) fn calls_or_json(
    format: Format,
    tools: &[Tool],
    parallel: bool,
    control: Control,
    schema: &Value,
) -> String {
    let mut grammar = format!("start: calls | json\njson: %json {schema}\n");
    write_calls(&mut grammar, format, tools, parallel, control);
    grammar
}

/// Free text; where a call begins, it is held to the tools. `None` where a call of this format has
/// no beginning of its own.
pub(crate) fn text_or_calls(format: Format, tools: &[Tool], control: Control) -> Option<String> {
    let shape = shape(format);
    if shape.open.is_empty() {
        return None;
    }
    let mut grammar = String::new();
    if let Some(id) = control(shape.open) {
        let _ = write!(
            grammar,
            "start: TEXT ( <[{id}]> block )*\nTEXT: /(?s:.*)/\n"
        );
    } else {
        let open = escape_regex(shape.open);
        let _ = write!(
            grammar,
            "start: ( opening block )* TEXT\nTEXT: /(?s:.*)/\nopening[lazy]: /(?s:.*){open}/\n"
        );
    }
    let rest = literal(shape.open_rest);
    let close = literal(shape.close);
    if shape.once {
        let between = literal(shape.between);
        let more = CALLS_MAX - 1;
        let _ = writeln!(
            grammar,
            "block: {rest} call ( {between} call ){{0,{more}}} {close}"
        );
    } else {
        let _ = writeln!(grammar, "block: {rest} call {close}");
    }
    write_tools(&mut grammar, &shape, tools);
    Some(grammar)
}

fn write_calls(
    grammar: &mut String,
    format: Format,
    tools: &[Tool],
    parallel: bool,
    control: Control,
) {
    let shape = shape(format);
    let more = if parallel { CALLS_MAX - 1 } else { 0 };
    let opener = match control(shape.open) {
        Some(id) => format!("<[{id}]>"),
        None => literal(shape.open),
    };
    let open = format!("{opener} {}", literal(shape.open_rest));
    let (close, between) = (literal(shape.close), literal(shape.between));
    let repeat = |one: &str| {
        if more == 0 {
            one.to_owned()
        } else {
            format!("{one} ( {between} {one} ){{0,{more}}}")
        }
    };
    let body = if shape.once {
        format!("{open} {} {close}", repeat("call"))
    } else {
        repeat("block")
    };
    let _ = writeln!(grammar, "calls: {body}");
    if !shape.once {
        let _ = writeln!(grammar, "block: {open} call {close}");
    }
    write_tools(grammar, &shape, tools);
}

fn write_tools(grammar: &mut String, shape: &Shape, tools: &[Tool]) {
    let names: Vec<String> = (0..tools.len()).map(|i| format!("tool_{i}")).collect();
    let _ = writeln!(grammar, "call: {}", names.join(" | "));
    for (index, tool) in tools.iter().enumerate() {
        let name = Value::from(tool.name.as_str());
        let before = format!("{{\"name\": {name}, \"{}\": ", shape.arguments_key);
        // The schema stands alone, so that references in it mean what they say.
        let schema = arguments_schema(tool.parameters.as_ref());
        let _ = writeln!(
            grammar,
            "tool_{index}: {} arguments_{index} \"}}\"\narguments_{index}: %json {schema}",
            literal(&before)
        );
    }
}

/// The schema of a tool's arguments, with the layout of white space fixed: a small model would
/// otherwise fill its answer with it.
fn arguments_schema(parameters: Option<&Value>) -> Value {
    let mut schema = match parameters {
        Some(Value::Object(schema)) => schema.clone(),
        // A function without parameters is one that takes none.
        _ => serde_json::Map::from_iter([("additionalProperties".to_owned(), false.into())]),
    };
    schema.entry("type").or_insert_with(|| "object".into());
    schema.insert(
        "x-guidance".to_owned(),
        json!({
            "whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "
        }),
    );
    Value::Object(schema)
}

/// Lark's strings are written as JSON's.
fn literal(text: &str) -> String {
    Value::from(text).to_string()
}

fn escape_regex(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            c if c.is_ascii_punctuation() && !matches!(c, '<' | '>' | '_' | '`') => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
