//! What may reach the terminal, and how it looks. Text from outside (a model's answer, a file's name)
//! must not be able to move the cursor, change the title or write the clipboard: control characters
//! are dropped here, before anything is printed.

use std::io::IsTerminal;

/// Widest lines that are still read with ease.
const WIDTH_MAX: usize = 100;
const WIDTH_DEFAULT: usize = 80;

/// Whether `c` may reach a terminal inside running text.
pub(crate) fn is_safe(c: char) -> bool {
    matches!(c, '\n' | '\t') || !c.is_control()
}

/// `text` without control characters, line ends and tabs excepted.
pub(crate) fn safe(text: &str) -> String {
    text.chars().filter(|c| is_safe(*c)).collect()
}

/// `text` as one line: control characters and those that turn the reading direction are dropped.
pub(crate) fn safe_line(text: &str) -> String {
    text.chars()
        .map(|c| if matches!(c, '\n' | '\t') { ' ' } else { c })
        .filter(|c| is_safe(*c) && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}

/// Whether standard output shows colours.
pub(crate) fn stdout_is_rich() -> bool {
    std::io::stdout().is_terminal() && !plain_asked()
}

/// Whether the environment asks for plain text.
fn plain_asked() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
        || std::env::var_os("TERM").is_some_and(|t| t == "dumb")
}

/// Columns to wrap at.
pub(crate) fn width() -> usize {
    console::Term::stdout()
        .size_checked()
        .map_or(WIDTH_DEFAULT, |(_, columns)| usize::from(columns))
        .clamp(20, WIDTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_pass() {
        let hostile = "a\u{1b}]0;title\u{7}b\u{9b}31mc\r\u{8}\u{7f}\n\td\u{0}";
        assert_eq!(safe(hostile), "a]0;titleb31mc\n\td");
        assert_eq!(safe_line("x\ny\u{202e}z"), "x yz");
        assert_eq!(safe("é漢🙂\u{200d}"), "é漢🙂\u{200d}");
    }
}
