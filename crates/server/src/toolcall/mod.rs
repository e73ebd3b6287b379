//! Calls of tools in an answer's text: how families of models write them, told apart by what the
//! model's own chat template contains, never by a name.
//!
//! Pure functions of text. A call of a tool that was not offered is text.

mod gemma;
mod generic;
mod grammar;
mod hermes;
mod llama;
mod mistral;
mod scan;
mod style;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

pub(crate) use generic::fold_into_messages;
pub(crate) use grammar::{Choice, Tool, calls, calls_or_json, text_or_calls};
pub(crate) use style::Parser;
use style::Style;

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What the model says.
    Text(String),
    /// A call begins.
    Begin {
        /// The tool.
        name: String,
    },
    /// More of its arguments' JSON.
    Arguments(String),
    /// The call is complete.
    End,
}

/// A way to write calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// `<tool_call>{…}</tool_call>`: Hermes, Qwen and many after them.
    Hermes,
    /// `{"name": …, "parameters": …}`, perhaps after `<|python_tag|>`: Llama 3.
    Llama,
    /// `[TOOL_CALLS][{…}]` or `[TOOL_CALLS]name[ARGS]{…}`: Mistral.
    Mistral,
    /// A fenced block: Gemma.
    Gemma,
    /// As Hermes, for a template that knows nothing of tools: they are told in the system's
    /// message.
    Generic,
}

impl Format {
    /// The way that a chat template speaks of.
    pub(crate) fn of_template(source: &str) -> Self {
        let has = |text: &str| source.contains(text);
        if has(hermes::MARK) {
            Self::Hermes
        } else if has(mistral::MARK) {
            Self::Mistral
        } else if has(llama::PYTHON_TAG) || (has("\"parameters\":") && has("tools")) {
            Self::Llama
        } else if has("```tool_call") || has("```tool_code") {
            Self::Gemma
        } else {
            Self::Generic
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Hermes | Self::Generic => hermes::STYLE,
            Self::Llama => llama::STYLE,
            Self::Mistral => mistral::STYLE,
            Self::Gemma => gemma::STYLE,
        }
    }

    /// A reader for answers to a request that offers these tools.
    pub(crate) fn parser(self, tools: Arc<[String]>) -> Parser {
        Parser::new(self.style(), tools)
    }

    /// Control tokens that are part of this way of writing; they have no text of their own.
    pub(crate) fn control_texts(self) -> &'static [&'static str] {
        match self {
            Self::Mistral => &[mistral::MARK],
            Self::Llama => &[llama::PYTHON_TAG],
            Self::Hermes => &[hermes::MARK, "</tool_call>"],
            Self::Gemma | Self::Generic => &[],
        }
    }
}

/// The arguments as templates want them: an object where the text is one.
pub(crate) fn arguments_value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => Value::String(text.to_owned()),
    }
}
