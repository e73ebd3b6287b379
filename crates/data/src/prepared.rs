//! Prepared data, to be read: by training, and by who looks for a phrase.

use crate::document::Kind;
use crate::gather::FileLine;
use crate::manifest::{FILES, Manifest, ShardRecord, shard_file};
use crate::read::hex;
use crate::shards::Record;
use crate::spool::{u32_at, u64_at};
use crate::tokens::Encoded;
use crate::{DataError, Result, error::at};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// A folder of prepared data.
#[derive(Debug)]
pub struct Prepared {
    folder: PathBuf,
    manifest: Manifest,
    files: Vec<FileLine>,
}

/// Where a document is from, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reference {
    /// Its source.
    pub source: String,
    /// Its file.
    pub file: String,
    /// Which of the file's it is, from 1.
    pub item: u64,
    /// Its shard, from 0.
    pub shard: usize,
    /// Which of the shard's it is, from 0.
    pub document: usize,
    /// Its language.
    pub language: &'static str,
    /// The source's licence.
    pub licence: String,
}

impl Prepared {
    /// Opens a folder.
    ///
    /// # Errors
    /// [`DataError::NotPrepared`] where there is no manifest; [`DataError::Tampered`] where something is another
    /// than it says.
    pub fn open(folder: &Path) -> Result<Self> {
        let manifest = Manifest::read(folder)?;
        let path = folder.join(FILES);
        let bytes = checked(&path, &manifest.files_sha256)?;
        let lines = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let files = lines
            .map(serde_json::from_slice)
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|error| DataError::NotPrepared {
                path: folder.to_owned(),
                reason: format!("{FILES}: {error}"),
            })?;
        Ok(Self {
            folder: folder.to_owned(),
            manifest,
            files,
        })
    }

    /// What is known of it.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A shard's documents.
    ///
    /// # Errors
    /// [`DataError::Tampered`] where a file is not the one that was written.
    pub fn shard(&self, number: usize) -> Result<ShardText> {
        read_shard(&self.folder, number, &self.manifest.shards[number])
    }

    /// A shard's records alone.
    ///
    /// # Errors
    /// As [`Self::shard`].
    pub fn records(&self, number: usize) -> Result<Vec<Record>> {
        read_records(&self.folder, number, &self.manifest.shards[number])
    }

    /// A shard's tokens; none without a tokenizer.
    ///
    /// # Errors
    /// As [`Self::shard`].
    pub fn tokens(&self, number: usize) -> Result<Option<ShardTokens>> {
        let record = &self.manifest.shards[number];
        let Some(tokenizer) = &self.manifest.tokenizer else {
            return Ok(None);
        };
        let read =
            |part, sha256: &str| checked(&self.folder.join(shard_file(part, number)), sha256);
        let offsets = read("offsets", &record.offsets_sha256)?;
        let tokens = ShardTokens {
            tokens: read("tokens", &record.tokens_sha256)?,
            token_bytes: tokenizer.token_bytes,
            offsets: offsets
                .chunks_exact(8)
                .map(|bytes| u64_at(bytes, 0))
                .collect(),
            learned: if record.learned_sha256.is_empty() {
                Vec::new()
            } else {
                read("learned", &record.learned_sha256)?
            },
        };
        let is_whole = matches!(tokens.token_bytes, 2 | 4)
            && tokens.offsets.len() as u64 == record.documents + 1
            && tokens.offsets.is_sorted()
            && tokens.offsets.last().copied() == Some(record.tokens)
            && tokens.tokens.len() as u64 == record.tokens * tokens.token_bytes as u64
            && (tokens.learned.is_empty() || tokens.learned.len() as u64 * 8 >= record.tokens);
        if is_whole {
            Ok(Some(tokens))
        } else {
            Err(self.wrong(format!(
                "the tokens of shard {number} do not fit its manifest"
            )))
        }
    }

    fn wrong(&self, reason: String) -> DataError {
        DataError::NotPrepared {
            path: self.folder.clone(),
            reason,
        }
    }

    /// Where a document is from.
    pub fn reference(&self, shard: usize, document: usize, record: &Record) -> Reference {
        let source = self.manifest.sources.get(usize::from(record.source));
        let file = self.files.get(record.file as usize);
        Reference {
            source: source.map_or_else(String::new, |source| source.name.clone()),
            file: file.map_or_else(String::new, |file| file.name.clone()),
            item: record.item + 1,
            shard,
            document,
            language: record.language(),
            licence: source.map_or_else(String::new, |source| source.licence.clone()),
        }
    }
}

/// Documents of a shard.
#[derive(Debug)]
pub struct ShardText {
    text: String,
    /// Where each stands, and where it is from.
    pub records: Vec<Record>,
}

impl ShardText {
    /// The text of a document.
    pub fn text(&self, index: usize) -> &str {
        let record = &self.records[index];
        let start = record.start as usize;
        &self.text[start..start + record.len as usize]
    }

    /// All of it, a zero byte behind each document.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Tokens of a shard.
#[derive(Debug)]
pub struct ShardTokens {
    tokens: Vec<u8>,
    token_bytes: usize,
    offsets: Vec<u64>,
    learned: Vec<u8>,
}

impl ShardTokens {
    /// The tokens of a document.
    pub fn document(&self, index: usize, kind: Kind) -> Encoded {
        let (start, end) = (
            self.offsets[index] as usize,
            self.offsets[index + 1] as usize,
        );
        let n = self.token_bytes;
        let token = |bytes: &[u8]| bytes.iter().rev().fold(0, |t, b| t << 8 | u32::from(*b));
        Encoded {
            tokens: self.tokens[start * n..end * n]
                .chunks_exact(n)
                .map(token)
                .collect(),
            learned: if kind == Kind::Chat && !self.learned.is_empty() {
                let bit = |at: usize| self.learned[at / 8] >> (at % 8) & 1 == 1;
                (start..end).map(bit).collect()
            } else {
                Vec::new()
            },
        }
    }
}

pub(crate) fn read_shard(out: &Path, number: usize, record: &ShardRecord) -> Result<ShardText> {
    let path = out.join(shard_file("text", number));
    let bytes = checked(&path, &record.text_sha256)?;
    let text =
        String::from_utf8(bytes).map_err(|_| at(&path)(std::io::Error::other("it is no text")))?;
    let records = read_records(out, number, record)?;
    let fits = |record: &Record| {
        let start = usize::try_from(record.start).ok();
        start.is_some_and(|start| text.get(start..start + record.len as usize).is_some())
    };
    if records.iter().all(fits) {
        Ok(ShardText { text, records })
    } else {
        Err(at(&path)(std::io::Error::other(
            "its documents do not lie in it",
        )))
    }
}

fn read_records(out: &Path, number: usize, record: &ShardRecord) -> Result<Vec<Record>> {
    let path = out.join(shard_file("documents", number));
    let bytes = checked(&path, &record.documents_sha256)?;
    Ok(bytes
        .chunks_exact(Record::BYTES)
        .map(Record::of_bytes)
        .collect())
}

/// A file whose digest is the one that is known of it.
fn checked(path: &Path, sha256: &str) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(at(path))?;
    if hex(&Sha256::digest(&bytes)) != sha256 {
        return Err(DataError::Tampered {
            path: path.to_owned(),
            recorded: sha256.to_owned(),
        });
    }
    Ok(bytes)
}

/// A number of 4 bytes in a file's bytes.
pub(crate) fn number_at(bytes: &[u8]) -> u32 {
    u32_at(bytes, 0)
}
