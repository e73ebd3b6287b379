//! Why a document cannot be read, for the person whose it is.

use serde::{Deserialize, Serialize};

/// Result of reading.
pub type Result<T> = std::result::Result<T, DocumentError>;

/// Why a document cannot be read.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum DocumentError {
    /// Of no kind that can be read.
    #[error(
        "this kind of file cannot be read; allowed are text, Markdown, CSV, HTML, PDF and Word (.docx)"
    )]
    UnknownFormat,
    /// A picture.
    #[error("this is a picture, and no model here can see pictures")]
    Picture,
    /// Not the text that its name says.
    #[error("this is no text in UTF-8")]
    NotText,
    /// More bytes than are read.
    #[error("the file is too large; allowed are {limit} bytes")]
    FileTooLarge {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// More text than is kept.
    #[error("there is too much text in it; allowed are {limit} bytes")]
    TooMuchText {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// More pages than are read.
    #[error("it has {found} pages; allowed are {limit}")]
    TooManyPages {
        /// How many it has.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// What it unpacks to is more than is read.
    #[error("it unpacks to too much; allowed are {limit} bytes")]
    UnpacksToTooMuch {
        /// Bytes that are allowed.
        limit: usize,
    },
    /// It needs a password.
    #[error("it is locked with a password; save it without one")]
    Locked,
    /// It breaks the rules of its format.
    #[error("it is damaged, or no file of this kind")]
    Damaged,
    /// Nothing but pictures, or nothing at all.
    #[error("there is no text in it; pages that are pictures cannot be read")]
    NoText,
    /// Reading took too long.
    #[error("reading it took longer than {seconds} s, the most that is allowed")]
    TooSlow {
        /// Seconds that are allowed.
        seconds: u64,
    },
    /// Reading ended without a result: it needed too much memory, or the parser has a fault.
    #[error(
        "reading it broke off: it needs more memory or time than is allowed, or is made to break readers"
    )]
    BrokeOff,
    /// The process that reads could not be started or confined.
    #[error("the server cannot read documents now; its log says why")]
    Unavailable {
        /// For the log.
        why: String,
    },
}

impl DocumentError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownFormat => "unknown_format",
            Self::Picture => "picture",
            Self::NotText => "not_text",
            Self::FileTooLarge { .. } => "file_too_large",
            Self::TooMuchText { .. } => "too_much_text",
            Self::TooManyPages { .. } => "too_many_pages",
            Self::UnpacksToTooMuch { .. } => "unpacks_to_too_much",
            Self::Locked => "locked",
            Self::Damaged => "damaged",
            Self::NoText => "no_text",
            Self::TooSlow { .. } => "too_slow",
            Self::BrokeOff => "broke_off",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}
