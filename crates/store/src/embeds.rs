//! Applications of others that show the chat in their own pages, the accounts of who comes through
//! them, and their sessions. An account that was made so belongs to one application and one subject
//! there: it is never an account that somebody logs in to, whatever they are called.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;
use crate::users::{self, User, UserRole};

/// Applications of one server.
const EMBEDS_MAX: i64 = 100;
/// Accounts that come through one application.
const SUBJECTS_MAX: i64 = 100_000;
/// Sessions of one account; the oldest goes.
const SESSIONS_MAX: i64 = 20;

/// An application of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embed {
    /// Its identity, for which its tokens are made.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// How its tokens are signed: `HS256`, `RS256` or `ES256`.
    pub algorithm: String,
    /// The secret or the public key that a signature is checked with.
    pub verify_key: String,
    /// A JSON list of the origins whose pages may show it.
    pub origins: String,
    /// A JSON list of assistants of `made_by` that it offers.
    pub assistants: String,
    /// Nobody comes through it.
    pub disabled: bool,
    /// Who made it.
    pub made_by: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// What of an application is to be changed; what is `None` stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbedChange<'a> {
    /// Another name.
    pub name: Option<&'a str>,
    /// Another secret or public key, with how it signs. All sessions end.
    pub verify_key: Option<(&'a str, &'a str)>,
    /// Other origins.
    pub origins: Option<&'a str>,
    /// Other assistants.
    pub assistants: Option<&'a str>,
    /// Nobody comes through it, and who has come is out.
    pub disabled: Option<bool>,
}

const EMBED: &str = "embeds.id, embeds.name, embeds.algorithm, embeds.verify_key, embeds.origins, \
                     embeds.assistants, embeds.disabled, embeds.made_by, embeds.created_at";

fn embed(row: &mut Row) -> Result<Embed> {
    Ok(Embed {
        id: row.text()?,
        name: row.text()?,
        algorithm: row.text()?,
        verify_key: row.text()?,
        origins: row.text()?,
        assistants: row.text()?,
        disabled: row.flag()?,
        made_by: row.text()?,
        created_at: row.int()?,
    })
}

impl Store {
    /// Makes an application; its identity and time are given here.
    pub async fn create_embed(&self, new: &Embed) -> Result<Embed> {
        let id = new_id()?;
        let mut tx = self.db.begin().await?;
        let count = "SELECT COUNT(*) FROM embeds";
        if tx.one(count, vec![]).await?.int()? >= EMBEDS_MAX {
            return Err(StoreError::Full(
                "there are as many embedding applications as one server may have",
            ));
        }
        tx.execute(
            "INSERT INTO embeds (id, name, algorithm, verify_key, origins, assistants, made_by, \
             created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            values![
                &id,
                &new.name,
                &new.algorithm,
                &new.verify_key,
                &new.origins,
                &new.assistants,
                &new.made_by,
                now_ms()
            ],
        )
        .await?;
        tx.commit().await?;
        self.embed(&id).await
    }

    /// An application.
    pub async fn embed(&self, id: &str) -> Result<Embed> {
        let sql = format!("SELECT {EMBED} FROM embeds WHERE id = $1");
        embed(&mut self.db.one(&sql, values![id]).await?)
    }

    /// All applications, the oldest first, each with how many accounts came through it.
    pub async fn embeds(&self) -> Result<Vec<(Embed, i64)>> {
        let sql = format!(
            "SELECT {EMBED}, (SELECT COUNT(*) FROM embed_users WHERE embed_id = embeds.id) \
             FROM embeds ORDER BY embeds.created_at, embeds.id"
        );
        let mut rows = self.db.fetch(&sql, vec![]).await?;
        let both = |row: &mut Row| Ok((embed(row)?, row.int()?));
        rows.iter_mut().map(both).collect()
    }

    /// Changes an application. Where its key changes or it is disabled, all of its sessions end.
    pub async fn change_embed(&self, id: &str, change: EmbedChange<'_>) -> Result<Embed> {
        let (algorithm, key) = change.verify_key.unzip();
        let mut tx = self.db.begin().await?;
        let changed = tx
            .execute(
                "UPDATE embeds SET name = COALESCE($1, name), algorithm = COALESCE($2, algorithm), \
                 verify_key = COALESCE($3, verify_key), origins = COALESCE($4, origins), \
                 assistants = COALESCE($5, assistants), disabled = COALESCE($6, disabled) \
                 WHERE id = $7",
                values![
                    change.name,
                    algorithm,
                    key,
                    change.origins,
                    change.assistants,
                    change.disabled,
                    id
                ],
            )
            .await?;
        if changed == 0 {
            return Err(StoreError::NotFound);
        }
        if key.is_some() || change.disabled == Some(true) {
            let sql = "DELETE FROM embed_sessions WHERE embed_id = $1";
            tx.execute(sql, values![id]).await?;
        }
        tx.commit().await?;
        self.embed(id).await
    }

    /// The accounts that came through an application.
    pub async fn embed_user_ids(&self, id: &str) -> Result<Vec<String>> {
        let sql = "SELECT user_id FROM embed_users WHERE embed_id = $1";
        let mut rows = self.db.fetch(sql, values![id]).await?;
        rows.iter_mut().map(Row::text).collect()
    }

    /// Deletes an application with the accounts that came through it and all that is theirs.
    pub async fn delete_embed(&self, id: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(
            "DELETE FROM users WHERE id IN (SELECT user_id FROM embed_users WHERE embed_id = $1)",
            values![id],
        )
        .await?;
        let sql = "DELETE FROM embeds WHERE id = $1";
        if tx.execute(sql, values![id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        tx.commit().await
    }

    /// The account of a subject of an application, made at the first call. `true`: it was made now.
    pub async fn embed_user(&self, id: &str, subject: &str, name: &str) -> Result<(User, bool)> {
        if let Some(user) = self.known_subject(id, subject).await? {
            return Ok((user, false));
        }
        let user_id = new_id()?;
        let mut tx = self.db.begin().await?;
        let count = "SELECT COUNT(*) FROM embed_users WHERE embed_id = $1";
        if tx.one(count, values![id]).await?.int()? >= SUBJECTS_MAX {
            return Err(StoreError::Full(
                "as many accounts came through this application as may",
            ));
        }
        let row = values![
            &user_id,
            name,
            None::<&str>,
            None::<&str>,
            UserRole::Member.name(),
            now_ms()
        ];
        tx.execute(users::INSERT, row).await?;
        let bound = tx
            .execute(
                "INSERT INTO embed_users (embed_id, subject, user_id, created_at) \
                 VALUES ($1, $2, $3, $4) ON CONFLICT (embed_id, subject) DO NOTHING",
                values![id, subject, &user_id, now_ms()],
            )
            .await
            .map_err(|error| {
                if error.is_dangling() {
                    StoreError::NotFound
                } else {
                    error
                }
            })?;
        if bound == 1 {
            tx.commit().await?;
            return Ok((self.user(&user_id).await?, true));
        }
        // Two pages came at once, and the other was first: its account is the one.
        drop(tx);
        let user = self.known_subject(id, subject).await?;
        user.map(|user| (user, false)).ok_or(StoreError::NotFound)
    }

    async fn known_subject(&self, id: &str, subject: &str) -> Result<Option<User>> {
        let sql = format!(
            "SELECT {} FROM embed_users JOIN users ON users.id = embed_users.user_id \
             WHERE embed_users.embed_id = $1 AND embed_users.subject = $2",
            users::USER
        );
        let found = self.db.maybe(&sql, values![id, subject]).await?;
        found.map(|mut row| users::user(&mut row)).transpose()
    }

    /// Begins a session of an application's account, whose token has this digest.
    pub async fn create_embed_session(
        &self,
        id: &str,
        user_id: &str,
        digest: &str,
        expires_at: i64,
    ) -> Result<()> {
        let mut tx = self.db.begin().await?;
        // Only of an account that came through this application.
        let made = tx
            .execute(
                "INSERT INTO embed_sessions (digest, embed_id, user_id, created_at, expires_at) \
                 SELECT $1, embed_id, user_id, $2, $3 FROM embed_users \
                 WHERE embed_id = $4 AND user_id = $5",
                values![digest, now_ms(), expires_at, id, user_id],
            )
            .await?;
        if made == 0 {
            return Err(StoreError::NotFound);
        }
        tx.execute(
            "DELETE FROM embed_sessions WHERE user_id = $1 AND digest NOT IN (SELECT digest FROM \
             embed_sessions WHERE user_id = $1 ORDER BY created_at DESC, digest LIMIT $2)",
            values![user_id, SESSIONS_MAX],
        )
        .await?;
        tx.commit().await
    }

    /// Whose session it is, if it is not over, its account and its application not disabled.
    pub async fn embed_session(&self, digest: &str) -> Result<Option<(User, Embed)>> {
        let sql = format!(
            "SELECT {}, {EMBED} FROM embed_sessions \
             JOIN users ON users.id = embed_sessions.user_id \
             JOIN embeds ON embeds.id = embed_sessions.embed_id \
             WHERE embed_sessions.digest = $1 AND embed_sessions.expires_at > $2 \
             AND users.disabled = 0 AND embeds.disabled = 0",
            users::USER
        );
        let found = self.db.maybe(&sql, values![digest, now_ms()]).await?;
        let Some(mut row) = found else {
            return Ok(None);
        };
        Ok(Some((users::user(&mut row)?, embed(&mut row)?)))
    }

    /// Ends the session with this digest, if there is one.
    pub async fn end_embed_session(&self, digest: &str) -> Result<()> {
        let sql = "DELETE FROM embed_sessions WHERE digest = $1";
        self.db.execute(sql, values![digest]).await.map(drop)
    }

    /// Takes away sessions of applications that are over.
    pub async fn forget_embed_sessions(&self) -> Result<()> {
        let sql = "DELETE FROM embed_sessions WHERE expires_at <= $1";
        self.db.execute(sql, values![now_ms()]).await.map(drop)
    }
}
