//! The third pass: documents that are kept go into shards, in the order in which they were found.
//!
//! A shard is `text-NNNNN.bin`, the texts one after the other with a zero byte behind each, and
//! `documents-NNNNN.bin`, a [`Record`] of 32 bytes for each of them.

use crate::clean::language_of;
use crate::config::Config;
use crate::counts::Counts;
use crate::document::{END, Kind};
use crate::duplicates::{Duplicate, Duplicates};
use crate::error::at;
use crate::manifest::{ShardRecord, shard_file};
use crate::prepare::{Progress, Work};
use crate::read::hex;
use crate::spool::{self, u32_at, u64_at};
use crate::{DataError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Bytes of text after which a shard ends. Its suffix array has four times as many, and making it needs both in
/// memory.
pub(crate) const SHARD_BYTES: u64 = 64 << 20;

/// Where a document stands, and where it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where its text begins in the shard.
    pub start: u64,
    /// Bytes of its text.
    pub len: u32,
    /// Its source, by its place in the manifest.
    pub source: u16,
    /// Its file, by its place in the list of files.
    pub file: u32,
    /// Which of the file's it is, from 0.
    pub item: u64,
    /// What kind it is.
    pub kind: Kind,
    /// Its language, as a number.
    language: u8,
}

impl Record {
    /// Bytes of a record.
    pub const BYTES: usize = 32;

    /// Its language: `en`, or `und` where it is not certain.
    pub fn language(&self) -> &'static str {
        language_of(self.language)
    }

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.start.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.item.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.len.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.file.to_le_bytes());
        bytes[24..26].copy_from_slice(&self.source.to_le_bytes());
        bytes[26] = self.kind.number();
        bytes[27] = self.language;
        bytes
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self {
            start: u64_at(bytes, 0),
            item: u64_at(bytes, 8),
            len: u32_at(bytes, 16),
            file: u32_at(bytes, 20),
            source: u32_at(bytes, 24) as u16,
            kind: Kind::of_number(bytes[26]),
            language: bytes[27],
        }
    }
}

/// How far the pass is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Shards that are whole.
    pub(crate) shards: Vec<ShardRecord>,
    /// Documents of the spool that are done, and where the next begins.
    documents: u64,
    place: u64,
    /// Counts of each source, without what was dropped as there already.
    pub(crate) counts: Vec<Counts>,
    /// Nothing is left to write.
    pub(crate) is_done: bool,
}

/// A file that is written beside its place, with its digest.
pub(crate) struct Output {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    pub(crate) len: u64,
}

impl Output {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let mut part = path.clone().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = File::create(&part).map_err(at(&part))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
            path,
            part,
            digest: Sha256::new(),
            len: 0,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.digest.update(bytes);
        self.len += bytes.len() as u64;
        self.file.write_all(bytes).map_err(at(&self.part))
    }

    /// Puts it into its place, and gives its digest.
    pub(crate) fn finish(mut self) -> Result<String> {
        self.file.flush().map_err(at(&self.part))?;
        self.file.get_ref().sync_all().map_err(at(&self.part))?;
        std::fs::rename(&self.part, &self.path).map_err(at(&self.path))?;
        Ok(hex(&self.digest.finalize()))
    }
}

/// A shard that is open.
struct Open {
    text: Output,
    records: Output,
    documents: u64,
}

impl Open {
    fn create(out: &Path, number: usize) -> Result<Self> {
        Ok(Self {
            text: Output::create(out.join(shard_file("text", number)))?,
            records: Output::create(out.join(shard_file("documents", number)))?,
            documents: 0,
        })
    }

    fn finish(self) -> Result<ShardRecord> {
        Ok(ShardRecord {
            documents: self.documents,
            bytes: self.text.len,
            text_sha256: self.text.finish()?,
            documents_sha256: self.records.finish()?,
            ..ShardRecord::default()
        })
    }
}

/// Goes on with the pass until it is done.
pub(crate) fn write(
    config: &Config,
    out: &Path,
    work: &mut Work,
    duplicates: &Duplicates,
    progress: &Progress<'_>,
) -> Result<()> {
    if work.state.written.counts.is_empty() {
        work.state.written.counts = work.state.gathered.counts.clone();
        work.state
            .written
            .counts
            .resize(config.source.len(), Counts::default());
    }
    let path = work.path("clean");
    let (mut document, mut place) = (work.state.written.documents, work.state.written.place);
    let mut counts = work.state.written.counts.clone();
    let mut reader = spool::reader(&path, place, work.state.gathered.clean_bytes)?;
    let mut open: Option<Open> = None;
    let close = |shard: Open, work: &mut Work, documents, place, counts: &Vec<Counts>| {
        let shard = shard.finish()?;
        let written = &mut work.state.written;
        written.shards.push(shard);
        (written.documents, written.place) = (documents, place);
        written.counts.clone_from(counts);
        work.save()
    };
    while let Some(spooled) = spool::get(&mut reader, &path)? {
        let number = document;
        document += 1;
        place += spooled.len();
        if number.is_multiple_of(1024) {
            progress.reach("", number)?;
        }
        let rule = match duplicates.of(number) {
            Duplicate::No => None,
            Duplicate::Exact => Some("duplicate"),
            Duplicate::Near => Some("near_duplicate"),
        };
        if let Some(rule) = rule {
            let counts = &mut counts[usize::from(spooled.source)];
            counts.take_back(rule, language_of(spooled.language), spooled.text.len());
            continue;
        }
        let shard = match &mut open {
            Some(shard) => shard,
            None => open.insert(Open::create(out, work.state.written.shards.len())?),
        };
        let record = Record {
            start: shard.text.len,
            len: spooled.text.len() as u32,
            source: spooled.source,
            file: spooled.file,
            item: spooled.item,
            kind: spooled.kind,
            language: spooled.language,
        };
        shard.text.write(spooled.text.as_bytes())?;
        shard.text.write(&[END])?;
        shard.records.write(&record.to_bytes())?;
        shard.documents += 1;
        if shard.text.len >= SHARD_BYTES
            && let Some(shard) = open.take()
        {
            close(shard, work, document, place, &counts)?;
        }
    }
    if let Some(shard) = open {
        close(shard, work, document, place, &counts)?;
    }
    work.state.written.counts = counts;
    if work.state.written.shards.is_empty() {
        return Err(nothing_left(&work.state.written.counts));
    }
    work.state.written.is_done = true;
    work.save()
}

fn nothing_left(counts: &[Counts]) -> DataError {
    let mut all = Counts::default();
    for counts in counts {
        all.add(counts);
    }
    let dropped: Vec<String> = all
        .dropped
        .iter()
        .map(|(rule, count)| format!("{rule} {count}"))
        .collect();
    DataError::NothingLeft {
        found: all.documents_in,
        dropped: dropped.join(", "),
    }
}
