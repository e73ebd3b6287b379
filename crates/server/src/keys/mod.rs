//! API keys: who may ask, how much, and what was used.
//!
//! A key is 256 random bits, shown once; what is kept is its SHA-256, so that the file opens nothing.
//! Limits are counted in memory and begin anew with the process.

mod file;
mod quota;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use sha2::{Digest, Sha256};

pub use file::{KeyError, KeyFile, KeyLimits, KeyRecord};
use quota::Quota;

use crate::error::{ApiError, ApiResult};
use crate::generate::Usage;

/// Beginning of every key, by which programs that look for leaked secrets know it.
pub const KEY_PREFIX: &str = "sk-terang-";

type KeyDigest = [u8; 32];

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// Somebody who has a key.
#[derive(Debug)]
pub(crate) struct Holder {
    record: KeyRecord,
    client: u64,
    quota: Mutex<Quota>,
}

/// Whose request it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// For the engine's fair waiting line.
    pub(crate) client: u64,
    /// For the engine's cache.
    pub(crate) cache_salt: u64,
    holder: Option<Arc<Holder>>,
}

impl Caller {
    /// Counts what an answer took.
    pub(crate) fn charge(&self, usage: Usage) {
        if let Some(holder) = &self.holder {
            let tokens = (usage.prompt_tokens + usage.completion_tokens) as u64;
            let mut quota = holder.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.charge(Instant::now(), tokens);
        }
    }

    /// The key's identity, for the log.
    pub(crate) fn id(&self) -> Option<&str> {
        self.holder
            .as_deref()
            .map(|holder| holder.record.id.as_str())
    }
}

/// The keys that are valid now.
#[derive(Debug)]
pub(crate) struct KeyRing {
    path: PathBuf,
    holders: RwLock<HashMap<KeyDigest, Arc<Holder>>>,
}

impl KeyRing {
    pub(crate) fn open(path: &Path) -> Result<Self, KeyError> {
        let ring = Self {
            path: path.to_owned(),
            holders: RwLock::default(),
        };
        ring.reload()?;
        Ok(ring)
    }

    /// Reads the file again. Keys that stay keep what they have used.
    pub(crate) fn reload(&self) -> Result<usize, KeyError> {
        let records = KeyFile::new(&self.path).list()?;
        let mut holders = self.holders.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = HashMap::new();
        for record in records {
            let Some(digest) = record.digest() else {
                continue;
            };
            let quota = holders.get(&digest).map_or_else(
                || Quota::new(record.limits, Instant::now()),
                |holder| {
                    let quota = holder.quota.lock().unwrap_or_else(PoisonError::into_inner);
                    quota.with_limits(record.limits)
                },
            );
            let mut client = [0; 8];
            client.copy_from_slice(&digest[..8]);
            next.insert(
                digest,
                Arc::new(Holder {
                    record,
                    // 0 is everybody without a key.
                    client: u64::from_le_bytes(client).max(1),
                    quota: Mutex::new(quota),
                }),
            );
        }
        let count = next.len();
        *holders = next;
        Ok(count)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.holders
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// The holder of `key`. The map is asked for a digest of a secret that nobody can choose, so the
    /// time that this takes tells nothing.
    fn holder(&self, key: &str) -> Option<Arc<Holder>> {
        let holders = self.holders.read().unwrap_or_else(PoisonError::into_inner);
        holders.get(&digest(key)).cloned()
    }

    /// Says whose request this is, and counts it against the key's limits.
    pub(crate) fn admit(
        &self,
        key: Option<&str>,
        required: bool,
        salted: bool,
    ) -> ApiResult<Caller> {
        let holder = key.and_then(|key| self.holder(key));
        let Some(holder) = holder else {
            return match key {
                _ if !required => Ok(Caller::default()),
                Some(_) => Err(ApiError::unauthorized("this API key is not valid")),
                None => Err(ApiError::unauthorized(
                    "an API key is needed: send it as Authorization: Bearer KEY",
                )),
            };
        };
        let mut quota = holder.quota.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = quota.admit(Instant::now());
        drop(quota);
        admitted.map_err(|refused| {
            ApiError::too_many("rate_limit_exceeded", refused.retry_after_s, refused.reason)
        })?;
        Ok(Caller {
            client: holder.client,
            cache_salt: if salted { holder.client } else { 0 },
            holder: Some(holder),
        })
    }
}
