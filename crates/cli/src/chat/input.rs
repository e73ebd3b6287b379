//! The prompt's line editor: history, completion, and input of several lines. A line goes on after a
//! backslash at its end, and between `"""` and `"""`.

use std::borrow::Cow;
use std::path::Path;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};

use super::commands::NAMES;
use super::settings::KEYS;

const HISTORY_LEN_MAX: usize = 1000;
const FENCE: &str = "\"\"\"";

/// What came from the prompt.
#[derive(Debug)]
pub(super) enum Input {
    /// Text to act on.
    Text(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the input has ended.
    End,
}

/// The line editor.
pub(super) struct Prompt {
    editor: Editor<Assistant, FileHistory>,
}

impl Prompt {
    /// An editor that completes `models` and keeps its history in the file `history`.
    pub(super) fn new(
        models: Vec<String>,
        history: &Path,
        colour: bool,
    ) -> rustyline::Result<Self> {
        let config = Config::builder()
            .max_history_size(HISTORY_LEN_MAX)?
            .history_ignore_dups(true)?
            .history_ignore_space(true)
            .bracketed_paste(true)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_helper(Some(Assistant { models, colour }));
        // No history yet, or one that cannot be read, is no reason not to talk.
        let _ = editor.load_history(history);
        Ok(Self { editor })
    }

    /// Waits for the next input.
    pub(super) fn read(&mut self) -> rustyline::Result<Input> {
        match self.editor.readline("» ") {
            Ok(text) => {
                let _ = self.editor.add_history_entry(text.as_str());
                Ok(Input::Text(joined(&text)))
            }
            Err(ReadlineError::Interrupted) => Ok(Input::Interrupt),
            Err(ReadlineError::Eof) => Ok(Input::End),
            Err(e) => Err(e),
        }
    }

    /// Keeps the history for the next time.
    pub(super) fn save(&mut self, history: &Path) {
        if let Some(folder) = history.parent() {
            let _ = std::fs::create_dir_all(folder);
        }
        let _ = self.editor.save_history(history);
    }
}

/// Whether the input goes on in the next line.
fn goes_on(text: &str) -> bool {
    if text.matches(FENCE).count() % 2 == 1 {
        return true;
    }
    let slashes = text.len() - text.trim_end_matches('\\').len();
    slashes % 2 == 1
}

/// The text without the marks that made it go on.
fn joined(text: &str) -> String {
    let trimmed = text.trim();
    if let Some(inner) = trimmed
        .strip_prefix(FENCE)
        .and_then(|t| t.strip_suffix(FENCE))
    {
        return inner.trim_matches('\n').to_owned();
    }
    text.replace("\\\n", "\n")
}

/// Completion and validation.
struct Assistant {
    models: Vec<String>,
    colour: bool,
}

impl Helper for Assistant {}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(
        &'s self,
        prompt: &'p str,
        _default: bool,
    ) -> Cow<'b, str> {
        if self.colour {
            Cow::Owned(format!("\x1b[1;36m{prompt}\x1b[0m"))
        } else {
            Cow::Borrowed(prompt)
        }
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if goes_on(context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(complete(&self.models, &line[..position]))
    }
}

fn complete(models: &[String], line: &str) -> (usize, Vec<String>) {
    let matching = |words: &mut dyn Iterator<Item = &str>, start: &str| -> Vec<String> {
        words
            .filter(|w| w.starts_with(start))
            .map(|w| format!("{w} "))
            .collect()
    };
    match line.split_once(' ') {
        None if line.starts_with('/') => (0, matching(&mut NAMES.iter().copied(), line)),
        Some(("/set", key)) => (5, matching(&mut KEYS.iter().copied(), key)),
        Some(("/model", name)) => (7, matching(&mut models.iter().map(String::as_str), name)),
        _ => (line.len(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_where_they_should() {
        assert!(goes_on("a\\") && goes_on("\"\"\"a\nb") && goes_on("a\nb\\"));
        assert!(!goes_on("a") && !goes_on("a\\\\") && !goes_on("\"\"\"a\n\"\"\"") && !goes_on(""));
        assert_eq!(joined("a\\\nb"), "a\nb");
        assert_eq!(joined("\"\"\"\na\n b\n\"\"\""), "a\n b");
        assert_eq!(joined("say \"\"\""), "say \"\"\"");
    }

    #[test]
    fn commands_keys_and_models_complete() {
        let models = vec!["smollm2:135m".to_owned()];
        assert_eq!(complete(&models, "/he"), (0, vec!["/help ".to_owned()]));
        assert_eq!(
            complete(&models, "/set temp"),
            (5, vec!["temperature ".to_owned()])
        );
        assert_eq!(
            complete(&models, "/model s"),
            (7, vec!["smollm2:135m ".to_owned()])
        );
        assert!(complete(&models, "hello").1.is_empty());
    }
}
