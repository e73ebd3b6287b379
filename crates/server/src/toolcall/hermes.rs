//! `<tool_call>` and JSON, as Hermes and Qwen write it.

use super::style::Style;

pub(super) const MARK: &str = "<tool_call>";

pub(super) const STYLE: Style = Style {
    openers: &[MARK],
    closer: "</tool_call>",
    bare: false,
    list: true,
    named: false,
    separator: ',',
};
