//! Text that comes with a question: files and what a pipe brings. Bounded, and text only.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::messages::{Msg, human_bytes};
use crate::problem::{Outcome, Problem, fail};

/// More text than this fits no context; refusing it early saves the memory.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// A file's text under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    name: String,
    text: String,
}

/// Reads the files of `--file`.
pub(super) fn read_files(paths: &[PathBuf]) -> Outcome<Vec<Attachment>> {
    paths.iter().map(|path| read_file(path)).collect()
}

fn read_file(path: &Path) -> Outcome<Attachment> {
    let meta = std::fs::metadata(path).map_err(|e| Problem::file(path, &e))?;
    let name = path.display().to_string();
    // Opening a pipe would wait for its writer, reading a device would not end.
    if !meta.is_file() {
        return Err(fail(Msg::FileUnreadable {
            path: name,
            reason: Msg::NotAFile {}.to_string(),
        }));
    }
    let file = File::open(path).map_err(|e| Problem::file(path, &e))?;
    let text = read_text(file, &name)?;
    let name = path
        .file_name()
        .map_or(name, |n| n.to_string_lossy().into_owned());
    Ok(Attachment {
        name: crate::terminal::safe_line(&name),
        text,
    })
}

/// Reads standard input; `None` when it brings nothing.
pub(super) fn read_stdin() -> Outcome<Option<String>> {
    debug_assert!(!std::io::stdin().is_terminal(), "the caller has looked");
    let text = read_text(std::io::stdin().lock(), "stdin")?;
    Ok(Some(text).filter(|t| !t.trim().is_empty()))
}

fn read_text(reader: impl Read, name: &str) -> Outcome<String> {
    let mut bytes = Vec::new();
    reader
        .take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| Problem::file(Path::new(name), &e))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(fail(Msg::TextTooLong {
            path: name.to_owned(),
            allowed: human_bytes(TEXT_BYTES_MAX),
        }));
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| {
            fail(Msg::NotText {
                path: name.to_owned(),
            })
        })
}

/// The question with everything that comes with it; `None` when nothing was asked. Files alone ask
/// nothing, they wait for the first question.
pub(super) fn question(asked: &str, piped: Option<&str>, files: &[Attachment]) -> Option<String> {
    let parts: Vec<&str> = [Some(asked), piped]
        .into_iter()
        .flatten()
        .map(|part| part.trim_end_matches(['\n', '\r']))
        .filter(|part| !part.trim().is_empty())
        .collect();
    (!parts.is_empty()).then(|| with_files(&parts.join("\n\n"), files))
}

/// `text` followed by the files, each in a fenced block under its name.
pub(super) fn with_files(text: &str, files: &[Attachment]) -> String {
    let mut all = text.to_owned();
    for file in files {
        let fence = "`".repeat(longest_run(&file.text).max(2) + 1);
        let end = if file.text.ends_with('\n') { "" } else { "\n" };
        let block = format!("\n\n{}:\n{fence}\n{}{end}{fence}", file.name, file.text);
        all += &block;
    }
    all
}

/// Length of the longest run of backticks, which a fence must exceed.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_pipe_and_files_join_in_this_order() {
        let file = Attachment {
            name: "a.md".into(),
            text: "```\nx\n```".into(),
        };
        assert_eq!(
            question("Sum up", Some("piped\n"), &[file]).unwrap(),
            "Sum up\n\npiped\n\na.md:\n````\n```\nx\n```\n````"
        );
        assert_eq!(question("", Some("piped\n"), &[]).unwrap(), "piped");
        assert_eq!(question(" ", None, &[]), None);
    }

    #[test]
    fn binary_and_endless_input_is_refused() {
        assert!(read_text(&b"a\0b"[..], "x").is_err());
        assert!(read_text(&b"\xff\xfe"[..], "x").is_err());
        assert!(read_text(std::io::repeat(b'a'), "x").is_err());
        assert!(read_file(Path::new("/dev/null")).is_err());
        assert_eq!(read_text("é".as_bytes(), "x").unwrap(), "é");
    }
}
