//! Records as they were written, and what they come to.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde::Serialize;

use super::{Days, Record, SET_ASIDE_MAX, now_s, set_aside};

/// A line of ours is shorter; a longer one is none.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// What a key has used, as far as records are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyTotal {
    /// Answers.
    pub requests: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Those of them that were in the cache.
    pub cached_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// Tokens of the day under way, which begins with the first use after the last day ended.
    pub today_tokens: u64,
    /// When it was last used, in seconds since 1970.
    pub last_s: u64,
}

/// What all keys have used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageTotals {
    /// By the key's identity.
    pub by_key: BTreeMap<String, KeyTotal>,
    /// When the first record was written, in seconds since 1970.
    pub since_s: Option<u64>,
}

/// Sums up the records of the file at `path` and of those set aside.
pub fn totals(path: &Path) -> io::Result<UsageTotals> {
    let mut totals = UsageTotals::default();
    for number in (1..=SET_ASIDE_MAX).rev() {
        each(&set_aside(path, number), |record| totals.add(&record))?;
    }
    let mut days = Days::default();
    each(path, |record| {
        totals.add(&record);
        days.count(&record);
    })?;
    for today in days.carried(now_s()) {
        totals.by_key.entry(today.key).or_default().today_tokens = today.carried_tokens;
    }
    Ok(totals)
}

impl UsageTotals {
    fn add(&mut self, record: &Record) {
        if record.carried_tokens > 0 {
            return;
        }
        self.since_s = Some(self.since_s.map_or(record.time_s, |s| s.min(record.time_s)));
        let total = self.by_key.entry(record.key.clone()).or_default();
        total.requests += 1;
        for (sum, count) in [
            (&mut total.prompt_tokens, record.prompt_tokens),
            (&mut total.cached_tokens, record.cached_tokens),
            (&mut total.completion_tokens, record.completion_tokens),
        ] {
            *sum = sum.saturating_add(count);
        }
        total.last_s = total.last_s.max(record.time_s);
    }
}

/// The records of one file, in their order; none where the file is not there.
pub(crate) fn records(path: &Path) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    each(path, |record| records.push(record))?;
    Ok(records)
}

/// Lines that are no records, such as one that a crash cut, are passed over.
fn each(path: &Path, mut take: impl FnMut(Record)) -> io::Result<()> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not an ordinary file"));
    }
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader
            .by_ref()
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(());
        }
        if let Ok(record) = serde_json::from_slice(&line) {
            take(record);
        }
    }
}
