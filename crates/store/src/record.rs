//! What was done, and what was used.

use crate::db::{Row, values};
use crate::error::Result;
use crate::id::now_ms;
use crate::store::Store;

/// Entries that are kept.
const AUDIT_MAX: i64 = 100_000;

/// Something that was done to accounts, keys or settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Who did it; `None`: nobody who had logged in.
    pub user_id: Option<String>,
    /// What was done.
    pub action: String,
    /// To whom or what.
    pub target: Option<String>,
    /// From where.
    pub address: Option<String>,
}

/// What somebody has used of a model on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Who.
    pub user_id: String,
    /// Days since 1970.
    pub day: i64,
    /// The model.
    pub model: String,
    /// Answers.
    pub requests: i64,
    /// Tokens of prompts.
    pub prompt_tokens: i64,
    /// Tokens of answers.
    pub completion_tokens: i64,
}

impl Store {
    /// Puts something on record.
    pub async fn record(
        &self,
        user_id: Option<&str>,
        action: &str,
        target: Option<&str>,
        address: Option<&str>,
    ) -> Result<()> {
        self.db
            .execute(
                "INSERT INTO audit (at, user_id, action, target, address) \
                 VALUES ($1, $2, $3, $4, $5)",
                values![now_ms(), user_id, action, target, address],
            )
            .await
            .map(drop)
    }

    /// The newest entries, before the place `before` if one is given; each with its place.
    pub async fn audit(&self, before: Option<i64>, limit: usize) -> Result<Vec<(i64, AuditEntry)>> {
        let sql = "SELECT seq, at, user_id, action, target, address FROM audit WHERE seq < $1 \
                   ORDER BY seq DESC LIMIT $2";
        let values = values![before.unwrap_or(i64::MAX), limit.clamp(1, 1000)];
        let mut rows = self.db.fetch(sql, values).await?;
        let entry = |row: &mut Row| {
            Ok((
                row.int()?,
                AuditEntry {
                    at: row.int()?,
                    user_id: row.text_or_none()?,
                    action: row.text()?,
                    target: row.text_or_none()?,
                    address: row.text_or_none()?,
                },
            ))
        };
        rows.iter_mut().map(entry).collect()
    }

    /// Lets go of the oldest entries beyond what is kept.
    pub async fn trim_audit(&self) -> Result<()> {
        let sql = "DELETE FROM audit WHERE seq <= (SELECT COALESCE(MAX(seq), 0) FROM audit) - $1";
        self.db.execute(sql, values![AUDIT_MAX]).await.map(drop)
    }

    /// What everybody has used since a day, the newest first.
    pub async fn usage_since(&self, day: i64) -> Result<Vec<UsageRow>> {
        let sql = "SELECT user_id, day, model, requests, prompt_tokens, completion_tokens \
                   FROM usage_days WHERE day >= $1 ORDER BY day DESC, user_id, model LIMIT 10000";
        let mut rows = self.db.fetch(sql, values![day]).await?;
        let usage = |row: &mut Row| {
            Ok(UsageRow {
                user_id: row.text()?,
                day: row.int()?,
                model: row.text()?,
                requests: row.int()?,
                prompt_tokens: row.int()?,
                completion_tokens: row.int()?,
            })
        };
        rows.iter_mut().map(usage).collect()
    }
}
