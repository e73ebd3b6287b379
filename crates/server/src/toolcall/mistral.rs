//! `[TOOL_CALLS]` and a list, or a name and its arguments, as Mistral's models write it.

use super::style::Style;

pub(super) const MARK: &str = "[TOOL_CALLS]";

pub(super) const STYLE: Style = Style {
    openers: &[MARK],
    closer: "",
    bare: false,
    list: true,
    named: true,
    separator: ',',
};
