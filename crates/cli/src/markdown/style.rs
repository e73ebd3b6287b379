//! Attributes of text as a terminal knows them (SGR, ECMA-48).

/// Ends all attributes.
pub(super) const RESET: &str = "\x1b[0m";
/// Faint text.
pub(super) const DIM: &str = "\x1b[2m";

/// What is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "attributes of text are independent of each other"
)]
pub(super) struct Style {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) strike: bool,
    pub(super) underline: bool,
    pub(super) dim: bool,
    pub(super) cyan: bool,
    pub(super) yellow: bool,
}

impl Style {
    /// Headings of level 1 and 2 stand out more than the rest.
    pub(super) fn heading(level: usize) -> Self {
        Self {
            bold: true,
            cyan: level <= 2,
            underline: level == 1,
            ..Self::default()
        }
    }

    /// Both together.
    pub(super) fn with(self, other: Self) -> Self {
        Self {
            bold: self.bold || other.bold,
            italic: self.italic || other.italic,
            strike: self.strike || other.strike,
            underline: self.underline || other.underline,
            dim: self.dim || other.dim,
            cyan: self.cyan || other.cyan,
            yellow: self.yellow || other.yellow,
        }
    }

    /// The sequence that sets exactly this.
    pub(super) fn sequence(self) -> String {
        let mut text = String::from("\x1b[0");
        for (on, code) in [
            (self.bold, ";1"),
            (self.dim, ";2"),
            (self.italic, ";3"),
            (self.underline, ";4"),
            (self.strike, ";9"),
            (self.yellow, ";33"),
            (self.cyan, ";36"),
        ] {
            if on {
                text.push_str(code);
            }
        }
        text.push('m');
        text
    }
}
