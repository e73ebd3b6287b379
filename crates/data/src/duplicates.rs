//! The second pass: which documents are there already. One that shares a key with a document before it is dropped.
//!
//! Invariant: memory is bounded by the number of documents alone, at two bits each. Keys are parted by their value
//! into files of which each is sorted in memory, one after the other.

use crate::Result;
use crate::config::Config;
use crate::gather::{bands, key_bytes};
use crate::prepare::{Progress, Work};
use crate::spool::{self, Appender, u64_at};
use crate::{DataError, error::at};
use std::io::Read as _;

/// Bytes of keys that are sorted at once.
const PART_BYTES: u64 = 64 << 20;
/// Most files that keys are parted into, which are open together.
const PARTS_MAX: u64 = 512;
/// A key and the number of its document.
const ENTRY: usize = 16;

/// What a document is dropped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duplicate {
    No,
    Exact,
    Near,
}

/// Which documents are dropped.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    exact: Bits,
    near: Bits,
}

impl Duplicates {
    pub(crate) fn of(&self, document: u64) -> Duplicate {
        if self.exact.get(document) {
            Duplicate::Exact
        } else if self.near.get(document) {
            Duplicate::Near
        } else {
            Duplicate::No
        }
    }
}

/// A bit for each document.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self(vec![0; count.div_ceil(64) as usize])
    }

    fn set(&mut self, at: u64) {
        self.0[(at / 64) as usize] |= 1 << (at % 64);
    }

    fn get(&self, at: u64) -> bool {
        self.0[(at / 64) as usize] >> (at % 64) & 1 == 1
    }
}

/// Finds the documents that are there already.
pub(crate) fn find(config: &Config, work: &Work, progress: &Progress<'_>) -> Result<Duplicates> {
    find_with(config, work, progress, PART_BYTES)
}

fn find_with(
    config: &Config,
    work: &Work,
    progress: &Progress<'_>,
    part_bytes: u64,
) -> Result<Duplicates> {
    let bands = bands(config);
    let documents = work.state.gathered.documents;
    let mut found = Duplicates {
        exact: Bits::new(documents),
        near: Bits::new(documents),
    };
    let entries = documents * (bands as u64 + 1);
    let parts = (entries * ENTRY as u64)
        .div_ceil(part_bytes)
        .clamp(1, PARTS_MAX);
    let part_path = |part: u64| work.path(&format!("part-{part:03}"));
    let mut out = (0..parts)
        .map(|part| Appender::open(&part_path(part), 0))
        .collect::<Result<Vec<_>>>()?;
    let path = work.path("keys");
    let mut reader = spool::reader(&path, 0, work.state.gathered.keys_bytes)?;
    let mut record = vec![0; key_bytes(bands)];
    for document in 0..documents {
        reader.read_exact(&mut record).map_err(at(&path))?;
        let mut put = |key: u64, is_near: bool| {
            // The lowest bit of the number says which kind of key it is.
            let number = document << 1 | u64::from(is_near);
            let mut entry = [0; ENTRY];
            entry[..8].copy_from_slice(&key.to_le_bytes());
            entry[8..].copy_from_slice(&number.to_le_bytes());
            out[(key % parts) as usize].write(&entry)
        };
        if record[0] & 1 != 0 {
            put(u64_at(&record, 1), false)?;
        }
        if record[0] & 2 != 0 {
            for band in 0..bands {
                put(u64_at(&record, 9 + 8 * band), true)?;
            }
        }
        if document % 65536 == 0 {
            progress.reach("", document)?;
        }
    }
    let lengths = out
        .iter_mut()
        .map(Appender::flush)
        .collect::<Result<Vec<_>>>()?;
    drop(out);
    for (part, len) in lengths.into_iter().enumerate() {
        let path = part_path(part as u64);
        mark(&path, len, &mut found)?;
        std::fs::remove_file(&path).map_err(at(&path))?;
        if progress.is_stopped() {
            return Err(DataError::Stopped);
        }
    }
    Ok(found)
}

/// Marks the documents of a part that have a key of a document before them.
fn mark(path: &std::path::Path, len: u64, found: &mut Duplicates) -> Result<()> {
    let mut bytes = Vec::new();
    let mut reader = spool::reader(path, 0, len)?;
    reader.read_to_end(&mut bytes).map_err(at(path))?;
    let mut entries: Vec<(u64, bool, u64)> = bytes
        .chunks_exact(ENTRY)
        .map(|entry| {
            let number = u64_at(entry, 8);
            (u64_at(entry, 0), number & 1 == 1, number >> 1)
        })
        .collect();
    drop(bytes);
    entries.sort_unstable();
    for pair in entries.windows(2) {
        let (key, is_near, before) = pair[0];
        let (other_key, other_near, document) = pair[1];
        if key == other_key && is_near == other_near && before != document {
            if is_near {
                found.near.set(document);
            } else {
                found.exact.set(document);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// However many parts the keys are in, the same documents are dropped: those that a plain comparison finds.
    #[test]
    fn parts_do_not_matter() {
        let text =
            "name = \"x\"\n[deduplicate]\nbands = 3\n[[source]]\nname = \"a\"\nfiles = [\"a\"]\n";
        let config = Config::parse(Path::new("c.toml"), text).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut work = Work::open(folder.path(), "x").unwrap();
        let documents = 700u64;
        let key = |document: u64, band: u64| crate::words::mix(document * 31 + band * 7) % 2000;
        let mut keys = Appender::open(&work.path("keys"), 0).unwrap();
        for document in 0..documents {
            let mut record = vec![3];
            (0..4).for_each(|band| record.extend(key(document, band).to_le_bytes()));
            keys.write(&record).unwrap();
        }
        work.state.gathered.keys_bytes = keys.flush().unwrap();
        work.state.gathered.documents = documents;
        let progress = Progress::silent();
        let expected: Vec<Duplicate> = (0..documents)
            .map(|document| {
                let before = 0..document;
                let is_exact = before
                    .clone()
                    .any(|other| key(other, 0) == key(document, 0));
                let near =
                    |other: u64| (1..4).any(|a| (1..4).any(|b| key(other, a) == key(document, b)));
                if is_exact {
                    Duplicate::Exact
                } else if before.clone().any(near) {
                    Duplicate::Near
                } else {
                    Duplicate::No
                }
            })
            .collect();
        assert!(expected.contains(&Duplicate::Exact) && expected.contains(&Duplicate::Near));
        for part_bytes in [1 << 30, 1 << 12, 1 << 8] {
            let found = find_with(&config, &work, &progress, part_bytes).unwrap();
            let found: Vec<Duplicate> = (0..documents).map(|d| found.of(d)).collect();
            assert_eq!(found, expected, "{part_bytes}");
        }
    }
}
