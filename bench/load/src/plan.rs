//! The requests, one JSON object a line: `{"path": ..., "body": {...}, "leave_after": N}`.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::value::RawValue;

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    /// The route.
    pub(crate) path: String,
    /// What is posted to it, byte for byte.
    pub(crate) body: Box<RawValue>,
    /// Go away after so many pieces of the answer.
    pub(crate) leave_after: Option<usize>,
}

/// A file that gives no requests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is no request.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// There is none.
    #[error("{0}: no requests")]
    Empty(PathBuf),
}

/// Reads the file.
pub(crate) fn read(path: &Path) -> Result<Vec<Request>, PlanError> {
    let text = std::fs::read_to_string(path).map_err(|source| PlanError::Io {
        path: path.to_owned(),
        source,
    })?;
    let requests = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| PlanError::Line {
                path: path.to_owned(),
                line: index + 1,
                source,
            })
        })
        .collect::<Result<Vec<Request>, _>>()?;
    if requests.is_empty() {
        return Err(PlanError::Empty(path.to_owned()));
    }
    Ok(requests)
}
