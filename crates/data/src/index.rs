//! Where a phrase stands: a suffix array over the text of each shard, on disk. A search reads the few places of it
//! that it needs, so that it takes milliseconds and no memory.
//!
//! Documents end in a zero byte, which no phrase has, so no phrase is found across two of them.

use crate::error::at;
use crate::manifest::shard_file;
use crate::prepare::{OnEvent, Progress, Stage};
use crate::prepared::{Prepared, Reference, number_at};
use crate::shards::{Output, Record};
use crate::{DataError, Result};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Notes of which data there is an index.
const NOTE: &str = "index.digest";
/// Bytes of a place in a shard.
const ENTRY: u64 = 4;
/// Most bytes of a phrase, and of what a span of an answer may be.
pub const PHRASE_MAX: usize = 64 << 10;
/// Bytes of text that are compared at once.
const BLOCK: usize = 64;

/// Makes the index of a folder. `on_event` says whether to go on. Gives the places that are in it.
///
/// # Errors
/// Those of reading and writing.
pub fn build(folder: &Path, on_event: OnEvent<'_>) -> Result<u64> {
    let prepared = Prepared::open(folder)?;
    let shards = prepared.manifest().shards.len();
    let progress = Progress::new(on_event, Stage::Indexing, shards as u64);
    let note = folder.join(NOTE);
    if note.exists() {
        std::fs::remove_file(&note).map_err(at(&note))?;
    }
    let mut places = 0;
    for number in 0..shards {
        progress.reach("", number as u64)?;
        let shard = prepared.shard(number)?;
        let bytes = shard.bytes();
        if i32::try_from(bytes.len()).is_err() {
            return Err(DataError::Setting {
                name: "shard",
                found: format!("{} bytes", bytes.len()),
                allowed: format!("at most {}", i32::MAX),
            });
        }
        let (_, suffixes) = divsufsort::sort(bytes).into_parts();
        let mut out = Output::create(folder.join(shard_file("suffixes", number)))?;
        for suffix in &suffixes {
            out.write(&suffix.to_le_bytes())?;
        }
        out.finish()?;
        places += suffixes.len() as u64;
    }
    let mut out = Output::create(note)?;
    out.write(prepared.manifest().digest.as_bytes())?;
    out.finish()?;
    progress.reach("", shards as u64)?;
    Ok(places)
}

/// Prepared data that can be searched.
#[derive(Debug)]
pub struct Index {
    pub(crate) prepared: Prepared,
    pub(crate) shards: Vec<Shard>,
}

/// Where a phrase stands.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// How often it stands there in all.
    pub occurrences: u64,
    /// In how many documents.
    pub documents: u64,
    /// The first of these.
    pub first: Vec<Place>,
}

/// A document that holds a phrase.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Place {
    /// Where it is from.
    #[serde(flatten)]
    pub reference: Reference,
    /// How often it holds the phrase.
    pub occurrences: u64,
    /// What stands around it the first time.
    pub around: String,
}

impl Index {
    /// Opens a folder that was indexed.
    ///
    /// # Errors
    /// [`DataError::NotIndexed`] where it was not, or the data are others now.
    pub fn open(folder: &Path) -> Result<Self> {
        let prepared = Prepared::open(folder)?;
        let noted = std::fs::read_to_string(folder.join(NOTE)).unwrap_or_default();
        let not = || DataError::NotIndexed {
            path: folder.to_owned(),
        };
        if noted != prepared.manifest().digest {
            return Err(not());
        }
        let shards = (0..prepared.manifest().shards.len())
            .map(|number| {
                let shard = Shard::open(&prepared, number)?;
                let fits = shard.len == prepared.manifest().shards[number].bytes;
                fits.then_some(shard).ok_or_else(not)
            })
            .collect::<Result<_>>()?;
        Ok(Self { prepared, shards })
    }

    /// The data.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Every document that holds a phrase, `limit` of them by name. Letters count as they are written.
    ///
    /// # Errors
    /// [`DataError::Setting`] where the phrase is empty or too long; those of reading.
    pub fn find(&self, phrase: &str, limit: usize) -> Result<Found> {
        let phrase = crate::normalize::normalize(phrase);
        if phrase.is_empty() || phrase.len() > PHRASE_MAX {
            return Err(DataError::Setting {
                name: "phrase",
                found: format!("{} bytes", phrase.len()),
                allowed: format!("1 to {PHRASE_MAX} bytes"),
            });
        }
        self.find_bytes(phrase.as_bytes(), limit)
    }

    pub(crate) fn find_bytes(&self, phrase: &[u8], limit: usize) -> Result<Found> {
        let mut found = Found {
            occurrences: 0,
            documents: 0,
            first: Vec::new(),
        };
        for (number, shard) in self.shards.iter().enumerate() {
            for (document, (count, place)) in shard.find(phrase)? {
                found.occurrences += count;
                found.documents += 1;
                if found.first.len() < limit {
                    let record = &shard.records[document];
                    found.first.push(Place {
                        reference: self.prepared.reference(number, document, record),
                        occurrences: count,
                        around: shard.around(record, place, phrase.len())?,
                    });
                }
            }
        }
        Ok(found)
    }
}

/// A shard with its suffix array, as files.
#[derive(Debug)]
pub(crate) struct Shard {
    text: File,
    suffixes: File,
    path: PathBuf,
    len: u64,
    records: Vec<Record>,
}

/// How a suffix compares with a text, and how many bytes they share.
type Compared = (Ordering, usize);

impl Shard {
    fn open(prepared: &Prepared, number: usize) -> Result<Self> {
        let open = |part| {
            let path = prepared.folder().join(shard_file(part, number));
            let file = File::open(&path).map_err(at(&path))?;
            let len = file.metadata().map_err(at(&path))?.len();
            Ok((file, len, path))
        };
        let (text, text_len, _) = open("text")?;
        let (suffixes, suffixes_len, path) = open("suffixes")?;
        if suffixes_len != text_len * ENTRY {
            return Err(DataError::NotIndexed {
                path: prepared.folder().to_owned(),
            });
        }
        Ok(Self {
            text,
            suffixes,
            path,
            len: text_len,
            records: prepared.records(number)?,
        })
    }

    /// Reads what is there of `buffer.len()` bytes.
    fn read(&self, mut file: &File, start: u64, buffer: &mut [u8]) -> Result<usize> {
        let wrong = at(&self.path);
        file.seek(SeekFrom::Start(start)).map_err(&wrong)?;
        let mut n = 0;
        while n < buffer.len() {
            match file.read(&mut buffer[n..]).map_err(&wrong)? {
                0 => break,
                more => n += more,
            }
        }
        Ok(n)
    }

    fn suffix(&self, rank: u64) -> Result<u64> {
        let mut entry = [0; ENTRY as usize];
        self.read(&self.suffixes, rank * ENTRY, &mut entry)?;
        Ok(u64::from(number_at(&entry)))
    }

    /// Compares the suffix of a rank with `text`. One that begins with all of it is equal.
    fn compare(&self, rank: u64, text: &[u8]) -> Result<Compared> {
        let start = self.suffix(rank)?;
        let mut block = [0; BLOCK];
        let mut shared = 0;
        while shared < text.len() {
            let wanted = (text.len() - shared).min(BLOCK);
            let n = self.read(&self.text, start + shared as u64, &mut block[..wanted])?;
            let rest = &text[shared..shared + wanted];
            let same = block[..n]
                .iter()
                .zip(rest)
                .take_while(|(a, b)| a == b)
                .count();
            shared += same;
            if same < n {
                return Ok((block[same].cmp(&rest[same]), shared));
            }
            if n < wanted {
                // The text ends here: what ends comes before what goes on.
                return Ok((Ordering::Less, shared));
            }
        }
        Ok((Ordering::Equal, shared))
    }

    /// The first rank whose suffix is not before `text`, or behind it where `behind`.
    fn bound(&self, text: &[u8], behind: bool) -> Result<u64> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let (order, _) = self.compare(middle, text)?;
            if order == Ordering::Less || (behind && order == Ordering::Equal) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// How often each document holds a phrase, and where it does so first.
    fn find(&self, phrase: &[u8]) -> Result<BTreeMap<usize, (u64, u64)>> {
        let mut found = BTreeMap::new();
        let (low, high) = (self.bound(phrase, false)?, self.bound(phrase, true)?);
        let mut ranks = vec![0; 64 << 10];
        let mut at = low * ENTRY;
        while at < high * ENTRY {
            let wanted = (high * ENTRY - at).min(ranks.len() as u64) as usize;
            let n = self.read(&self.suffixes, at, &mut ranks[..wanted])?;
            if n < wanted {
                break;
            }
            for entry in ranks[..n].chunks_exact(ENTRY as usize) {
                let place = u64::from(number_at(entry));
                let behind = self.records.partition_point(|record| record.start <= place);
                let Some(document) = behind.checked_sub(1) else {
                    continue;
                };
                let (count, first) = found.entry(document).or_insert((0, place));
                *count += 1;
                *first = place.min(*first);
            }
            at += n as u64;
        }
        Ok(found)
    }

    /// How many bytes of the beginning of `text` stand somewhere in the shard.
    pub(crate) fn longest(&self, text: &[u8]) -> Result<usize> {
        let rank = self.bound(text, false)?;
        let mut longest = 0;
        // What shares most with a text stands beside the place where it would be.
        let beside = [
            rank.checked_sub(1),
            Some(rank).filter(|rank| *rank < self.len),
        ];
        for rank in beside.into_iter().flatten() {
            longest = longest.max(self.compare(rank, text)?.1);
        }
        Ok(longest)
    }

    /// What stands around a place of a document, for people.
    fn around(&self, record: &Record, place: u64, len: usize) -> Result<String> {
        const CONTEXT: u64 = 60;
        const PHRASE: u64 = 400;
        let end = record.start + u64::from(record.len);
        let from = place.saturating_sub(CONTEXT).max(record.start);
        let to = (place + (len as u64).min(PHRASE) + CONTEXT).min(end);
        let mut bytes = vec![0; (to.saturating_sub(from)) as usize];
        let n = self.read(&self.text, from, &mut bytes)?;
        let text = String::from_utf8_lossy(&bytes[..n]);
        let text = crate::document::readable(text.trim_matches('\u{fffd}'));
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}
