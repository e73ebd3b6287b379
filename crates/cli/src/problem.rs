//! How the program fails: one line for the person, and the exit code that says whose fault it is.

use std::fmt;
use std::io;

use crate::messages::Msg;

/// Exit code for a failure.
pub(crate) const EXIT_FAILED: u8 = 1;
/// Exit code for wrong usage.
pub(crate) const EXIT_USAGE: u8 = 2;
/// Exit code after Ctrl-C, as shells count it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Result of anything that a verb does.
pub(crate) type Outcome<T> = Result<T, Problem>;

/// Why a verb ended without doing its work.
#[derive(Debug)]
pub(crate) enum Problem {
    /// It could not be done.
    Failed(Box<Msg>),
    /// It was asked in a wrong way.
    Usage(Box<Msg>),
    /// A lower layer's error, already one line.
    Below(String),
    /// What a lower layer says about wrong input, already one line.
    Misused(String),
    /// Nobody reads standard output any more.
    OutputClosed,
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-C, and what to do to go on.
    Stopped(Box<Msg>),
}

/// A failure with this message.
pub(crate) fn fail(message: Msg) -> Problem {
    Problem::Failed(Box::new(message))
}

/// Wrong usage with this message.
pub(crate) fn misuse(message: Msg) -> Problem {
    Problem::Usage(Box::new(message))
}

impl Problem {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) | Self::Below(_) => EXIT_FAILED,
            Self::Usage(_) | Self::Misused(_) => EXIT_USAGE,
            Self::OutputClosed => 0,
            Self::Interrupted | Self::Stopped(_) => EXIT_INTERRUPTED,
        }
    }

    /// For a write to standard output that failed.
    pub(crate) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::OutputClosed
        } else {
            fail(Msg::OutputFailed {
                reason: error.to_string(),
            })
        }
    }

    /// For a file operation that failed.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        let path = path.display().to_string();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                fail(Msg::DiskFull { path })
            }
            io::ErrorKind::Interrupted if crate::interrupt::requested() => Self::Interrupted,
            _ => fail(Msg::FileFailed {
                path,
                reason: error.to_string(),
            }),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(m) | Self::Usage(m) | Self::Stopped(m) => write!(f, "{m}"),
            Self::Below(line) | Self::Misused(line) => f.write_str(line),
            Self::OutputClosed => Ok(()),
            Self::Interrupted => write!(f, "{}", Msg::Interrupted {}),
        }
    }
}

impl std::error::Error for Problem {}
