//! A fenced block with JSON, as Gemma's models are asked to write it.

use super::style::Style;

pub(super) const STYLE: Style = Style {
    openers: &["```tool_call\n", "```tool_code\n", "```json\n"],
    closer: "```",
    bare: false,
    list: true,
    named: false,
    separator: ',',
};
