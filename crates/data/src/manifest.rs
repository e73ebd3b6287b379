//! What prepared data are: where they come from, what was dropped by which rule, and the digests of all of it.

use crate::config::Config;
use crate::counts::Counts;
use crate::read::hex;
use crate::{DataError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::Path;

/// What the format is called.
pub const FORMAT: &str = "terang-data-1";
/// Where it stands.
pub const FILE: &str = "manifest.json";
/// The list of files, a JSON object a line.
pub const FILES: &str = "files.jsonl";
/// Most bytes of a manifest.
const BYTES_MAX: u64 = 64 << 20;

/// The description of prepared data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// What the data are called.
    pub name: String,
    /// The program, with its version.
    pub made_by: String,
    /// The configuration.
    pub config: Config,
    /// Each source.
    pub sources: Vec<SourceRecord>,
    /// The SHA-256 of the list of files.
    pub files_sha256: String,
    /// Documents in all.
    pub documents: u64,
    /// Bytes of text in all.
    pub bytes: u64,
    /// Tokens in all.
    pub tokens: u64,
    /// The tokenizer.
    pub tokenizer: Option<TokenizerRecord>,
    /// Each shard.
    pub shards: Vec<ShardRecord>,
    /// The SHA-256 of this manifest as one line of JSON with this field empty: of everything, since it has the
    /// digests of all else.
    pub digest: String,
}

/// A source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Where it is from.
    pub origin: String,
    /// The package that it is from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// How often it is learned from for once of the others.
    pub weight: f64,
    /// Its files.
    pub files: u64,
    /// The SHA-256 of their lines in the list of files.
    pub sha256: String,
    /// What became of it.
    #[serde(flatten)]
    pub counts: Counts,
}

/// The tokenizer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerRecord {
    /// The SHA-256 of `tokenizer.json`.
    pub sha256: String,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Bytes of a token in the shards: 2, or 4 for large vocabularies.
    pub token_bytes: usize,
}

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardRecord {
    /// Documents.
    pub documents: u64,
    /// Bytes of `text-NNNNN.bin`.
    pub bytes: u64,
    /// Its SHA-256.
    pub text_sha256: String,
    /// That of `documents-NNNNN.bin`.
    pub documents_sha256: String,
    /// Tokens.
    pub tokens: u64,
    /// The SHA-256 of `tokens-NNNNN.bin`; empty without a tokenizer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tokens_sha256: String,
    /// That of `offsets-NNNNN.bin`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub offsets_sha256: String,
    /// That of `learned-NNNNN.bin`; empty where all tokens are learned.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub learned_sha256: String,
}

impl Manifest {
    /// The digest that it should have.
    pub fn computed_digest(&self) -> String {
        let empty = Self {
            digest: String::new(),
            ..self.clone()
        };
        let text = serde_json::to_string(&empty).unwrap_or_default();
        hex(&Sha256::digest(text.as_bytes()))
    }

    /// Reads the manifest of a folder, and checks its digest.
    ///
    /// # Errors
    /// [`DataError::NotPrepared`] where there is none, [`DataError::Tampered`] where it was changed.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let not = |reason: String| DataError::NotPrepared {
            path: folder.to_owned(),
            reason,
        };
        let meta = std::fs::metadata(&path).map_err(|_| not(format!("there is no {FILE}")))?;
        if meta.len() > BYTES_MAX {
            return Err(not(format!("{FILE} has more than {BYTES_MAX} bytes")));
        }
        let text = std::fs::read_to_string(&path).map_err(crate::error::at(&path))?;
        let manifest: Self =
            serde_json::from_str(&text).map_err(|error| not(format!("{FILE}: {error}")))?;
        if manifest.format != FORMAT {
            return Err(not(format!(
                "format: found {}, allowed {FORMAT}",
                manifest.format
            )));
        }
        if manifest.computed_digest() != manifest.digest {
            return Err(DataError::Tampered {
                path,
                recorded: manifest.digest,
            });
        }
        Ok(manifest)
    }
}

/// The name of a file of a shard.
pub fn shard_file(part: &str, shard: usize) -> String {
    format!("{part}-{shard:05}.bin")
}
