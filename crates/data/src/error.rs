//! Why data could not be prepared or searched. Each names its file, and what would have been allowed.

use std::io;
use std::path::{Path, PathBuf};

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in a configuration is wrong.
    #[error("{path}: {reason}")]
    Config {
        /// The configuration.
        path: PathBuf,
        /// What is wrong, with what is allowed.
        reason: String,
    },
    /// No file fits what a source names.
    #[error("source {source_name}: no file fits {pattern}")]
    NoFiles {
        /// The source.
        source_name: String,
        /// What it names.
        pattern: String,
    },
    /// A file is not what its name says, or ends in the middle.
    #[error("{path}: {reason}")]
    Damaged {
        /// The file, with the member of an archive where it is one.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file unpacks to more than is believed.
    #[error("{path}: it unpacks to more than {allowed} bytes, {ratio} times what it has itself")]
    Bomb {
        /// The file, with the member of an archive where it is one.
        path: String,
        /// Bytes that were allowed.
        allowed: u64,
        /// The limit that this is.
        ratio: u64,
    },
    /// A package cannot be fetched or opened.
    #[error("package {package}: {reason}")]
    Package {
        /// The package, as the configuration names it.
        package: String,
        /// Why not.
        reason: String,
    },
    /// What was fetched is not what the configuration asks for.
    #[error("package {package}: its SHA-256 is {found}, the configuration has {wanted}")]
    Digest {
        /// The package.
        package: String,
        /// Of what was fetched.
        found: String,
        /// Of the configuration.
        wanted: String,
    },
    /// Evaluation sets are too large to be held.
    #[error("decontaminate: more than {allowed} different n-grams in the evaluation sets")]
    TooManyGrams {
        /// The most that are held.
        allowed: usize,
    },
    /// Nothing is left to learn from.
    #[error("no document is left: of {found} none was kept ({dropped})")]
    NothingLeft {
        /// Documents that were read.
        found: u64,
        /// What they were dropped by, with counts.
        dropped: String,
    },
    /// A folder holds no prepared data.
    #[error("{path}: no prepared data here ({reason}); make it with terang data prepare")]
    NotPrepared {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A folder's data cannot be searched yet.
    #[error("{path}: not indexed; do it with terang data index {path}")]
    NotIndexed {
        /// The folder.
        path: PathBuf,
    },
    /// A file is not the one that the manifest has.
    #[error(
        "{path}: its SHA-256 is not {recorded}, which the manifest has: it was changed or damaged"
    )]
    Tampered {
        /// The file.
        path: PathBuf,
        /// What the manifest has.
        recorded: String,
    },
    /// Text cannot become tokens.
    #[error("tokenizer: {reason}")]
    Tokens {
        /// Why not.
        reason: String,
    },
    /// Somebody else prepares into the same folder.
    #[error("{path}: another run is writing here")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// What is asked for cannot be.
    #[error("{name}: found {found}, allowed {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it was.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// Somebody asked for it to end.
    #[error("stopped")]
    Stopped,
}

/// Result of everything here.
pub type Result<T> = std::result::Result<T, DataError>;

/// For `map_err` of what is done with the file at `path`.
pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> DataError + '_ {
    move |source| DataError::File {
        path: path.to_owned(),
        source,
    }
}
