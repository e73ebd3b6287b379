//! The file of keys in the data folder: read whole, written beside and renamed, readable by its owner
//! alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{KEY_PREFIX, KeyDigest, digest};

const FILE_BYTES_MAX: u64 = 64 << 20;
const NAME_CHARS_MAX: usize = 64;

/// What a key may use; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens of prompts and answers in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Tokens of prompts and answers in a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

/// A key as it is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// By which it is listed and revoked.
    pub id: String,
    /// What it is for, in its owner's words.
    pub name: String,
    /// SHA-256 of the key in hexadecimal.
    pub sha256: String,
    /// When it was made, in seconds since 1970.
    pub created_s: u64,
    /// What it may use.
    #[serde(default)]
    pub limits: KeyLimits,
    /// The account whose it is; none: made with `terang key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

impl KeyRecord {
    pub(super) fn digest(&self) -> Option<KeyDigest> {
        let mut digest = [0; 32];
        if self.sha256.len() != 64 || !self.sha256.is_ascii() {
            return None;
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&self.sha256[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(digest)
    }
}

#[derive(Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    keys: Vec<KeyRecord>,
}

/// What can go wrong with keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path}: not a list of keys: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The system has no random bits.
    #[error("no random numbers: {0}")]
    Random(getrandom::Error),
    /// A name that is none.
    #[error("name: allowed are 1 to {NAME_CHARS_MAX} characters without line breaks")]
    Name,
    /// No key is called so.
    #[error("no key has the name or identity {0}; see terang key list")]
    Unknown(String),
    /// More than one key is called so.
    #[error("several keys are called {0}; give the identity that terang key list shows")]
    Ambiguous(String),
}

/// The file of keys.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, which need not be there.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    fn io(&self, source: io::Error) -> KeyError {
        KeyError::Io {
            path: self.path.clone(),
            source,
        }
    }

    /// All keys.
    pub fn list(&self) -> Result<Vec<KeyRecord>, KeyError> {
        let meta = match fs::metadata(&self.path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(error)),
        };
        let damaged = |reason: String| KeyError::Damaged {
            path: self.path.clone(),
            reason,
        };
        if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
            return Err(damaged(format!(
                "allowed is a file of {FILE_BYTES_MAX} bytes"
            )));
        }
        let bytes = fs::read(&self.path).map_err(|e| self.io(e))?;
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if stored.version != 1 {
            return Err(damaged(format!("version {}, allowed 1", stored.version)));
        }
        if let Some(record) = stored.keys.iter().find(|record| record.digest().is_none()) {
            return Err(damaged(format!("key {}: sha256 is no SHA-256", record.id)));
        }
        Ok(stored.keys)
    }

    /// Makes a key. The first of the two is the key itself, which is kept nowhere.
    pub fn create(&self, name: &str, limits: KeyLimits) -> Result<(String, KeyRecord), KeyError> {
        self.create_for(name, limits, None)
    }

    /// Makes a key of an account's.
    pub fn create_for(
        &self,
        name: &str,
        limits: KeyLimits,
        owner: Option<String>,
    ) -> Result<(String, KeyRecord), KeyError> {
        if name.trim().is_empty()
            || name.chars().count() > NAME_CHARS_MAX
            || name.chars().any(char::is_control)
        {
            return Err(KeyError::Name);
        }
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(KeyError::Random)?;
        let key = format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(secret));
        let sha256 = hex(&digest(&key));
        let record = KeyRecord {
            id: format!("key_{}", &sha256[..12]),
            name: name.to_owned(),
            sha256,
            created_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
            limits,
            owner,
        };
        let kept = record.clone();
        self.change(|keys| {
            keys.push(kept);
            Ok(())
        })?;
        Ok((key, record))
    }

    /// Takes a key away, by its identity or a name that only it has.
    pub fn revoke(&self, called: &str) -> Result<KeyRecord, KeyError> {
        let mut revoked = None;
        self.change(|keys| {
            let by_id = keys.iter().position(|key| key.id == called);
            let mut by_name = (0..keys.len()).filter(|&index| keys[index].name == called);
            let index = match (by_id, by_name.next(), by_name.next()) {
                (Some(index), ..) | (None, Some(index), None) => index,
                (None, Some(_), Some(_)) => return Err(KeyError::Ambiguous(called.to_owned())),
                (None, None, _) => return Err(KeyError::Unknown(called.to_owned())),
            };
            revoked = Some(keys.remove(index));
            Ok(())
        })?;
        revoked.ok_or_else(|| KeyError::Unknown(called.to_owned()))
    }

    /// Changes the file under a lock, so that two who change it lose nothing.
    fn change(
        &self,
        change: impl FnOnce(&mut Vec<KeyRecord>) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).map_err(|e| self.io(e))?;
        }
        let lock = File::create(self.path.with_extension("lock")).map_err(|e| self.io(e))?;
        lock.lock().map_err(|e| self.io(e))?;
        let mut keys = self.list()?;
        change(&mut keys)?;
        let bytes = serde_json::to_vec_pretty(&Stored { version: 1, keys })
            .map_err(|e| self.io(e.into()))?;
        self.write(&bytes).map_err(|e| self.io(e))
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        #[cfg(unix)]
        if let Some(folder) = self.path.parent().filter(|p| !p.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_as_its_digest_and_goes_when_revoked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/keys.json");
        let file = KeyFile::new(&path);
        assert_eq!(file.list().unwrap(), []);
        let (key, record) = file.create("phone", KeyLimits::default()).unwrap();
        let (other, _) = file.create("laptop", KeyLimits::default()).unwrap();
        assert!(key.starts_with(KEY_PREFIX) && key != other);
        assert_eq!(record.digest().unwrap(), digest(&key));
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&key) && !text.contains(&key[KEY_PREFIX.len()..]));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(
                fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(file.revoke("phone").unwrap(), record);
        assert!(matches!(file.revoke("phone"), Err(KeyError::Unknown(_))));
        assert_eq!(file.list().unwrap().len(), 1);
    }

    #[test]
    fn names_that_several_have_revoke_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::new(&folder.path().join("keys.json"));
        let (_, first) = file.create("a", KeyLimits::default()).unwrap();
        file.create("a", KeyLimits::default()).unwrap();
        assert!(matches!(file.revoke("a"), Err(KeyError::Ambiguous(_))));
        assert_eq!(file.revoke(&first.id).unwrap(), first);
        assert!(matches!(
            file.create("a\nb", KeyLimits::default()),
            Err(KeyError::Name)
        ));
    }

    #[test]
    fn a_damaged_file_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        for text in ["", "{}", "[]", r#"{"version": 2, "keys": []}"#] {
            fs::write(&path, text).unwrap();
            let file = KeyFile::new(&path);
            assert!(
                matches!(file.list(), Err(KeyError::Damaged { .. })),
                "{text}"
            );
            assert!(file.create("a", KeyLimits::default()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
