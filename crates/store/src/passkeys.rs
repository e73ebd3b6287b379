//! Passkeys: public keys of people's authenticators, by which they log in.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;
use crate::users::{USER, User, ways_in};

/// Passkeys of one account.
const PASSKEYS_MAX: i64 = 20;

/// A passkey as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// By which it is listed and taken off.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// When it was last used.
    pub used_at: Option<i64>,
}

/// What an authenticator has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its own name for itself, as base64url.
    pub credential: String,
    /// How it signs, by COSE's numbers.
    pub algorithm: i64,
    /// Its public key, as base64url.
    pub public_key: String,
    /// How often it has signed, where it counts.
    pub counter: i64,
}

fn passkey(row: &mut Row) -> Result<Passkey> {
    Ok(Passkey {
        id: row.text()?,
        name: row.text()?,
        created_at: row.int()?,
        used_at: row.int_or_none()?,
    })
}

impl Store {
    /// Adds a passkey to an account.
    pub async fn add_passkey(&self, user_id: &str, name: &str, of: &Credential) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let count = "SELECT COUNT(*) FROM passkeys WHERE user_id = $1";
        if tx.one(count, values![user_id]).await?.int()? >= PASSKEYS_MAX {
            return Err(StoreError::Full("an account has 20 passkeys at most"));
        }
        let sql = "INSERT INTO passkeys (id, user_id, credential, algorithm, public_key, counter, \
                   name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let row = values![
            &new_id()?,
            user_id,
            &of.credential,
            of.algorithm,
            &of.public_key,
            of.counter,
            name,
            now_ms()
        ];
        let added = tx.execute(sql, row).await;
        if added.as_ref().is_err_and(StoreError::is_collision) {
            return Err(StoreError::Conflict("this passkey is there already"));
        }
        added?;
        tx.commit().await
    }

    /// Somebody's passkeys, the oldest first.
    pub async fn passkeys(&self, user_id: &str) -> Result<Vec<Passkey>> {
        let sql = "SELECT id, name, created_at, used_at FROM passkeys WHERE user_id = $1 \
                   ORDER BY created_at, id";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(passkey).collect()
    }

    /// Whose passkey an authenticator's is, and what is known of it.
    pub async fn user_by_passkey(&self, credential: &str) -> Result<Option<(User, Credential)>> {
        let sql = format!(
            "SELECT {USER}, passkeys.algorithm, passkeys.public_key, passkeys.counter FROM users \
             JOIN passkeys ON passkeys.user_id = users.id WHERE passkeys.credential = $1"
        );
        let Some(mut row) = self.db.maybe(&sql, values![credential]).await? else {
            return Ok(None);
        };
        let user = crate::users::user(&mut row)?;
        let known = Credential {
            credential: credential.to_owned(),
            algorithm: row.int()?,
            public_key: row.text()?,
            counter: row.int()?,
        };
        Ok(Some((user, known)))
    }

    /// Notes that a passkey was used. False: it has counted less than before, so there are two of it.
    pub async fn use_passkey(&self, credential: &str, counter: i64) -> Result<bool> {
        let sql = "UPDATE passkeys SET counter = $1, used_at = $2 WHERE credential = $3 \
                   AND (counter < $1 OR (counter = 0 AND $1 = 0))";
        let row = values![counter, now_ms(), credential];
        Ok(self.db.execute(sql, row).await? > 0)
    }

    /// Takes a passkey off an account, unless it is the only way in.
    pub async fn remove_passkey(&self, user_id: &str, id: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let sql = "DELETE FROM passkeys WHERE user_id = $1 AND id = $2";
        if tx.execute(sql, values![user_id, id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        // What is not committed is undone.
        ways_in(&mut tx, user_id).await?;
        tx.commit().await
    }
}
