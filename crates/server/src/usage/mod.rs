//! What each key has used: one line of JSON per answer, appended to a file in the data folder that
//! only its owner reads. No line holds a prompt or an answer. The file is set aside when it has its
//! size, and the oldest of those set aside goes. From the file the limits of keys are known again
//! after a restart.
//!
//! - `log`: the writer, on a thread of its own, since a disk may be slow.
//! - `read`: the records as they were written, and what they come to.
//!
//! Invariant: the current file alone is enough to restore limits; when one is begun, it is begun with
//! what the day under way has cost each key so far.

mod log;
mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub(crate) use log::UsageLog;
pub(crate) use read::records;
pub use read::{KeyTotal, UsageTotals, totals};

/// Length of the day that `tokens_per_day` speaks of; it begins with the first use after the last.
pub(crate) const DAY_S: u64 = 24 * 60 * 60;
/// Files set aside that are kept besides the current one.
const SET_ASIDE_MAX: u32 = 8;

/// One answer, or what came before the file was begun.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// Seconds since 1970.
    pub(crate) time_s: u64,
    /// The key's identity.
    pub(crate) key: String,
    /// The model's name; none where `carried_tokens` stands.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) model: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) prompt_tokens: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) cached_tokens: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) completion_tokens: u64,
    /// Tokens of the day that began at `time_s`, used before the file was begun.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) carried_tokens: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Record {
    /// Tokens that count against the key's limits.
    pub(crate) fn tokens(&self) -> u64 {
        self.prompt_tokens
            .saturating_add(self.completion_tokens)
            .saturating_add(self.carried_tokens)
    }
}

/// Now, in seconds since 1970.
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The file that was set aside as the `number`th last.
fn set_aside(path: &Path, number: u32) -> PathBuf {
    path.with_extension(format!("{number}.jsonl"))
}

/// What the day under way has cost each key.
#[derive(Debug, Default)]
struct Days {
    /// When the key's day began, and its tokens.
    by_key: HashMap<String, (u64, u64)>,
}

impl Days {
    fn count(&mut self, record: &Record) {
        let day = self.by_key.entry(record.key.clone()).or_default();
        if record.time_s.saturating_sub(day.0) >= DAY_S {
            *day = (record.time_s, 0);
        }
        day.1 = day.1.saturating_add(record.tokens());
    }

    /// The first lines of a file that is begun at `now_s`.
    fn carried(&self, now_s: u64) -> impl Iterator<Item = Record> {
        let under_way = move |begun_s: u64| now_s.saturating_sub(begun_s) < DAY_S;
        self.by_key
            .iter()
            .filter(move |(_, (begun_s, _))| under_way(*begun_s))
            .map(|(key, &(begun_s, tokens))| Record {
                time_s: begun_s,
                key: key.clone(),
                model: String::new(),
                prompt_tokens: 0,
                cached_tokens: 0,
                completion_tokens: 0,
                carried_tokens: tokens,
            })
    }
}
