//! API keys: who may ask, how much, and what was used.
//!
//! A key is 256 random bits, shown once; what is kept is its SHA-256, so that the file opens nothing.
//! Limits are counted in memory, and restored from the records of `usage` when the server starts.

mod file;
mod quota;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

pub use file::{KeyError, KeyFile, KeyLimits, KeyRecord};
use quota::Quota;

use crate::error::{ApiError, ApiResult};
use crate::generate::Usage;
use crate::telemetry::Origin;
use crate::usage::{Record, UsageLog, now_s};

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
    log: Arc<UsageLog>,
}

/// Whose request it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caller {
    /// For the engine's fair waiting line.
    pub(crate) client: u64,
    /// For the engine's cache.
    pub(crate) cache_salt: u64,
    /// For telemetry.
    pub(crate) origin: Origin,
    holder: Option<Arc<Holder>>,
}

impl Caller {
    /// Counts what an answer took, and puts it on record.
    pub(crate) fn charge(&self, model: &str, usage: Usage) {
        // A request that was refused or left before its turn has used nothing.
        if usage.prompt_tokens == 0 && usage.completion_tokens == 0 {
            return;
        }
        if let Some(holder) = &self.holder {
            let record = Record {
                time_s: now_s(),
                key: holder.record.id.clone(),
                model: model.to_owned(),
                prompt_tokens: usage.prompt_tokens as u64,
                cached_tokens: usage.cached_tokens as u64,
                completion_tokens: usage.completion_tokens as u64,
                carried_tokens: 0,
            };
            let mut quota = holder.quota.lock().unwrap_or_else(PoisonError::into_inner);
            quota.charge(Instant::now(), record.tokens());
            drop(quota);
            holder.log.write(record);
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
    log: Arc<UsageLog>,
}

impl KeyRing {
    /// Reads the keys, and what they have used by the records at `usage`.
    pub(crate) fn open(path: &Path, usage: &Path, usage_bytes_max: u64) -> Result<Self, KeyError> {
        let log = UsageLog::open(usage, usage_bytes_max);
        let (log, records) = log.map_err(|source| KeyError::Io {
            path: usage.to_owned(),
            source,
        })?;
        let ring = Self {
            path: path.to_owned(),
            holders: RwLock::default(),
            log: Arc::new(log),
        };
        ring.reload()?;
        ring.restore(&records);
        Ok(ring)
    }

    fn restore(&self, records: &[Record]) {
        let holders = self.holders.read().unwrap_or_else(PoisonError::into_inner);
        let by_id: HashMap<&str, &Arc<Holder>> = holders
            .values()
            .map(|holder| (holder.record.id.as_str(), holder))
            .collect();
        let (now, now_s) = (Instant::now(), now_s());
        for record in records {
            let Some(holder) = by_id.get(record.key.as_str()) else {
                continue;
            };
            let age = Duration::from_secs(now_s.saturating_sub(record.time_s));
            let at = now.checked_sub(age).unwrap_or(now);
            let mut quota = holder.quota.lock().unwrap_or_else(PoisonError::into_inner);
            if record.carried_tokens > 0 {
                quota.charge_day(at, record.carried_tokens);
            } else {
                quota.restore(at, record.tokens());
            }
        }
    }

    /// Waits until all use is on record.
    pub(crate) fn close(&self) {
        self.log.close();
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
                    quota.with_limits(record.limits, Instant::now())
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
                    log: Arc::clone(&self.log),
                }),
            );
        }
        let count = next.len();
        *holders = next;
        Ok(count)
    }

    /// The file of the keys.
    pub(crate) fn path(&self) -> &Path {
        &self.path
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
            origin: Origin::default(),
            holder: Some(holder),
        })
    }
}
