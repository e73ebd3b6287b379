//! The one error type of this crate. Anything that comes from outside (files, templates) ends in
//! one of these, never in a panic.

use std::io;
use std::path::PathBuf;

/// What can go wrong with a model's files, tokenizer, template or decoder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something that is not allowed there.
    #[error("{path}: {field}: found {found}, allowed {allowed}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Field, tensor or metadata key.
        field: String,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// A file is sound but asks for something this build does not implement.
    #[error("{path}: {field}: {found} is not supported; supported: {supported}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// Field, tensor or metadata key.
        field: String,
        /// What stands there.
        found: String,
        /// What is supported.
        supported: String,
    },
    /// The chat template failed or went over its limits.
    #[error("chat template: {reason}")]
    Template {
        /// What happened, with the line where known.
        reason: String,
    },
    /// The tokenizer refused the text.
    #[error("tokenizer: {reason}")]
    Tokenizer {
        /// What happened.
        reason: String,
    },
    /// The system has no memory for the key-value cache.
    #[error("key-value cache: {0}")]
    Memory(io::Error),
    /// A call asked for what the decoder's limits do not allow.
    #[error("{what}: {found} is over the limit of {limit}")]
    Limit {
        /// The quantity.
        what: &'static str,
        /// What was asked.
        found: usize,
        /// What is allowed.
        limit: usize,
    },
}

impl Error {
    /// An [`Error::Io`] for `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// An [`Error::Invalid`]; `found` is cut to a printable length, since it comes from a file.
    pub fn invalid(
        path: impl Into<PathBuf>,
        field: impl Into<String>,
        found: impl std::fmt::Display,
        allowed: impl std::fmt::Display,
    ) -> Self {
        Self::Invalid {
            path: path.into(),
            field: printable(&field.into()),
            found: printable(&found.to_string()),
            allowed: allowed.to_string(),
        }
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(
        path: impl Into<PathBuf>,
        field: impl Into<String>,
        found: impl std::fmt::Display,
        supported: impl std::fmt::Display,
    ) -> Self {
        Self::Unsupported {
            path: path.into(),
            field: printable(&field.into()),
            found: printable(&found.to_string()),
            supported: supported.to_string(),
        }
    }
}

/// Escapes control characters and cuts after 120 characters: a hostile file must not be able to
/// flood or steer the terminal through an error message.
fn printable(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut out: String = text
        .chars()
        .take(CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out
}
