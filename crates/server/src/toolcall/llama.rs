//! Bare JSON with `parameters`, perhaps after a control token, as Llama 3 writes it.

use super::style::Style;

pub(super) const PYTHON_TAG: &str = "<|python_tag|>";

pub(super) const STYLE: Style = Style {
    openers: &[PYTHON_TAG],
    closer: "",
    bare: true,
    list: false,
    named: false,
    separator: ';',
};
