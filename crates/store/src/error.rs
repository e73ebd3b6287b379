//! What can go wrong with what is kept.

/// Result of everything here.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why something could not be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there, or it is somebody else's: the two are not told apart.
    #[error("not found")]
    NotFound,
    /// It collides with what is there.
    #[error("{0}")]
    Conflict(&'static str),
    /// A limit on what one person keeps is reached.
    #[error("{0}")]
    Full(&'static str),
    /// The database refuses, or is gone.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A later version of this program wrote it.
    #[error("the database is of schema {found}, and this program knows {known}; use a newer one")]
    Newer {
        /// The schema that was found.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// The name of a database that is none.
    #[error("database: found {0}, allowed postgres://USER:PASSWORD@HOST/NAME or sqlite:FILE")]
    Url(String),
    /// What is kept is not what was written.
    #[error("database: {0}")]
    Damaged(String),
    /// The file of the database cannot be made.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Only the other kind of database can do it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The system has no random bits.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
}

impl StoreError {
    /// Whether a value that must be unique is there already.
    pub(crate) fn is_collision(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.is_unique_violation())
    }

    /// Whether it names something that is not there.
    pub(crate) fn is_dangling(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error))
            if error.is_foreign_key_violation())
    }
}
