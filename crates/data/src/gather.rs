//! The first pass: every file is read, every document cleaned, and what is kept is spooled with the keys by which
//! it is compared. One thread reads, all clean, one writes in the order of the files.

use crate::clean::{Cleaner, Kept};
use crate::config::Config;
use crate::counts::Counts;
use crate::minhash::Keys;
use crate::parallel::ordered;
use crate::prepare::{Progress, Work};
use crate::read::{self, Input, Item, Seen};
use crate::spool::{self, Appender};
use crate::{DataError, Result};
use serde::{Deserialize, Serialize};

/// Bytes of a batch: enough that handing it over costs nothing, few enough that many may be under way.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_ITEMS: usize = 4096;
/// Bytes of documents after which it is noted how far the pass is.
const NOTE_BYTES: u64 = 64 << 20;
const NOTE_FILES: u64 = 2000;

/// How far the pass is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gathered {
    /// Inputs that are done.
    pub(crate) inputs: u64,
    /// Batches of the one after them that are done.
    batches: u64,
    /// Lengths of the files of this pass.
    pub(crate) clean_bytes: u64,
    pub(crate) keys_bytes: u64,
    pub(crate) files_bytes: u64,
    /// Documents in them.
    pub(crate) documents: u64,
    /// Counts of each source.
    pub(crate) counts: Vec<Counts>,
    /// Nothing is left to read.
    pub(crate) is_done: bool,
}

/// A part of an input, or the end of it.
enum Part {
    Items {
        input: usize,
        first: u64,
        items: Vec<Item>,
    },
    End {
        input: usize,
        seen: Seen,
    },
}

enum Done {
    Items {
        input: usize,
        bytes: u64,
        kept: Vec<Kept>,
        counts: Counts,
    },
    End {
        input: usize,
        seen: Seen,
    },
}

/// A file of the list of files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileLine {
    pub(crate) source: String,
    pub(crate) name: String,
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
}

/// Goes on with the pass until it is done.
pub(crate) fn gather(
    config: &Config,
    inputs: &[Input],
    cleaner: &Cleaner<'_>,
    work: &mut Work,
    threads: usize,
    progress: &Progress<'_>,
) -> Result<()> {
    let from = work.state.gathered.clone();
    let mut writer = Writer::open(config, inputs, work)?;
    let (skip_inputs, skip_batches) = (from.inputs as usize, from.batches);
    let stopped = || progress.is_stopped();
    let produce = |give: &mut dyn FnMut(Part) -> Result<()>| {
        for (index, input) in inputs.iter().enumerate().skip(skip_inputs) {
            let skip = if index == skip_inputs {
                skip_batches
            } else {
                0
            };
            batches(index, input, config, skip, &stopped, give)?;
        }
        Ok(())
    };
    let clean = |part| {
        Ok(match part {
            Part::End { input, seen } => Done::End { input, seen },
            Part::Items {
                input,
                first,
                items,
            } => {
                let bytes = items.iter().map(|item| item.bytes() as u64).sum();
                let (kept, counts) = cleaner.batch(inputs[input].source, first, items);
                Done::Items {
                    input,
                    bytes,
                    kept,
                    counts,
                }
            }
        })
    };
    let ended = ordered(threads, produce, clean, |done| {
        writer.take(done)?;
        let source = &config.source[inputs[writer.input.min(inputs.len() - 1)].source];
        progress.reach(&source.name, writer.bytes)
    });
    if let Err(error) = ended {
        // What is done need not be done again.
        writer.note()?;
        return Err(error);
    }
    writer.work.state.gathered.is_done = true;
    writer.note()
}

/// Gives the batches of an input behind the first `skip`, and its end.
fn batches(
    index: usize,
    input: &Input,
    config: &Config,
    skip: u64,
    stopped: &dyn Fn() -> bool,
    give: &mut dyn FnMut(Part) -> Result<()>,
) -> Result<()> {
    let (mut items, mut bytes) = (Vec::new(), 0);
    let (mut first, mut batch) = (0, 0);
    let mut flush = |items: &mut Vec<Item>| {
        if items.is_empty() {
            return Ok(());
        }
        let count = items.len() as u64;
        let items = std::mem::take(items);
        if batch >= skip {
            give(Part::Items {
                input: index,
                first,
                items,
            })?;
        }
        batch += 1;
        first += count;
        Ok(())
    };
    let seen = read::read(input, &config.source[input.source], &mut |item| {
        bytes += item.bytes();
        items.push(item);
        if bytes >= BATCH_BYTES || items.len() >= BATCH_ITEMS {
            bytes = 0;
            flush(&mut items)?;
            if stopped() {
                return Err(DataError::Stopped);
            }
        }
        Ok(())
    })?;
    flush(&mut items)?;
    give(Part::End { input: index, seen })
}

/// Writes what was cleaned, and notes how far it is.
struct Writer<'a> {
    config: &'a Config,
    inputs: &'a [Input],
    work: &'a mut Work,
    clean: Appender,
    keys: Appender,
    files: Appender,
    bands: usize,
    /// The input that is being written.
    input: usize,
    /// Bytes that were seen in this run, and when it was noted last.
    bytes: u64,
    noted: (u64, u64),
}

impl<'a> Writer<'a> {
    fn open(config: &'a Config, inputs: &'a [Input], work: &'a mut Work) -> Result<Self> {
        work.state
            .gathered
            .counts
            .resize(config.source.len(), Counts::default());
        let at = &work.state.gathered;
        Ok(Self {
            clean: Appender::open(&work.path("clean"), at.clean_bytes)?,
            keys: Appender::open(&work.path("keys"), at.keys_bytes)?,
            files: Appender::open(&work.path("files"), at.files_bytes)?,
            bands: bands(config),
            input: at.inputs as usize,
            bytes: at.counts.iter().map(|counts| counts.bytes_in).sum(),
            noted: (0, at.inputs),
            config,
            inputs,
            work,
        })
    }

    fn take(&mut self, done: Done) -> Result<()> {
        let at = &mut self.work.state.gathered;
        match done {
            Done::Items {
                input,
                bytes,
                kept,
                counts,
            } => {
                let source = self.inputs[input].source;
                self.input = input;
                self.bytes += bytes;
                for document in &kept {
                    spool::put(&mut self.clean, source as u16, input as u32, document)?;
                    self.keys.write(&key_record(&document.keys, self.bands))?;
                }
                at.documents += kept.len() as u64;
                at.counts[source].add(&counts);
                at.batches += 1;
            }
            Done::End { input, seen } => {
                let source = self.inputs[input].source;
                at.counts[source].bytes_in += seen.bytes;
                let line = FileLine {
                    source: self.config.source[source].name.clone(),
                    name: self.inputs[input].name.clone(),
                    sha256: seen.sha256,
                    bytes: seen.bytes,
                };
                let line = serde_json::to_string(&line).unwrap_or_default() + "\n";
                self.files.write(line.as_bytes())?;
                at.inputs += 1;
                at.batches = 0;
            }
        }
        let at = &self.work.state.gathered;
        if self.bytes - self.noted.0 >= NOTE_BYTES || at.inputs - self.noted.1 >= NOTE_FILES {
            self.note()?;
        }
        Ok(())
    }

    fn note(&mut self) -> Result<()> {
        let at = &mut self.work.state.gathered;
        at.clean_bytes = self.clean.flush()?;
        at.keys_bytes = self.keys.flush()?;
        at.files_bytes = self.files.flush()?;
        self.noted = (self.bytes, at.inputs);
        self.work.save()
    }
}

/// Bands of a key record.
pub(crate) fn bands(config: &Config) -> usize {
    if config.deduplicate.near {
        config.deduplicate.bands
    } else {
        0
    }
}

/// Bytes of a key record: which keys there are, the exact one, and the bands.
pub(crate) fn key_bytes(bands: usize) -> usize {
    1 + 8 + 8 * bands
}

fn key_record(keys: &Keys, bands: usize) -> Vec<u8> {
    let mut record = vec![0; key_bytes(bands)];
    if let Some(exact) = keys.exact {
        record[0] |= 1;
        record[1..9].copy_from_slice(&exact.to_le_bytes());
    }
    if !keys.bands.is_empty() {
        record[0] |= 2;
        for (place, key) in record[9..].chunks_exact_mut(8).zip(&keys.bands) {
            place.copy_from_slice(&key.to_le_bytes());
        }
    }
    record
}
