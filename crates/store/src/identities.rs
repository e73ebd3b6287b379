//! Identities at other providers, by which people log in to their accounts here.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;
use crate::users::{INSERT, NewUser, USER, User, taken, user, ways_in};

/// Identities of one account.
const IDENTITIES_MAX: i64 = 10;

/// Somebody's identity at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// By which it is listed and taken off.
    pub id: String,
    /// The provider.
    pub issuer: String,
    /// What the person knows it by: an address or a name.
    pub label: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// What a provider says of who comes.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The provider.
    pub issuer: &'a str,
    /// Its own name for the person, which never changes.
    pub subject: &'a str,
    /// What the person knows it by.
    pub label: &'a str,
}

fn identity(row: &mut Row) -> Result<Identity> {
    Ok(Identity {
        id: row.text()?,
        issuer: row.text()?,
        label: row.text()?,
        created_at: row.int()?,
    })
}

const LINK: &str = "INSERT INTO identities (id, user_id, issuer, subject, label, created_at) \
                    VALUES ($1, $2, $3, $4, $5, $6)";

impl Store {
    /// Whose identity it is.
    pub async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>> {
        let sql = format!(
            "SELECT {USER} FROM users JOIN identities ON identities.user_id = users.id \
             WHERE identities.issuer = $1 AND identities.subject = $2"
        );
        let row = self.db.maybe(&sql, values![issuer, subject]).await?;
        row.map(|mut row| user(&mut row)).transpose()
    }

    /// Makes an account for who has an identity.
    pub async fn create_user_by_identity(&self, new: NewUser<'_>, of: Subject<'_>) -> Result<User> {
        let id = new_id()?;
        let mut tx = self.db.begin().await?;
        let role = new.role.name();
        let row = values![&id, new.name, new.email, new.password, role, now_ms()];
        tx.execute(INSERT, row).await.map_err(taken)?;
        let row = values![&new_id()?, &id, of.issuer, of.subject, of.label, now_ms()];
        tx.execute(LINK, row).await.map_err(linked)?;
        tx.commit().await?;
        self.user(&id).await
    }

    /// Adds an identity to an account.
    pub async fn link_identity(&self, user_id: &str, of: Subject<'_>) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let count = "SELECT COUNT(*) FROM identities WHERE user_id = $1";
        if tx.one(count, values![user_id]).await?.int()? >= IDENTITIES_MAX {
            return Err(StoreError::Full("an account has 10 identities at most"));
        }
        let row = values![
            &new_id()?,
            user_id,
            of.issuer,
            of.subject,
            of.label,
            now_ms()
        ];
        tx.execute(LINK, row).await.map_err(linked)?;
        tx.commit().await
    }

    /// Somebody's identities, the oldest first.
    pub async fn identities(&self, user_id: &str) -> Result<Vec<Identity>> {
        let sql = "SELECT id, issuer, label, created_at FROM identities WHERE user_id = $1 \
                   ORDER BY created_at, id";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(identity).collect()
    }

    /// Takes an identity off an account, unless it is the only way in.
    pub async fn unlink_identity(&self, user_id: &str, id: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let sql = "DELETE FROM identities WHERE user_id = $1 AND id = $2";
        if tx.execute(sql, values![user_id, id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        // What is not committed is undone.
        ways_in(&mut tx, user_id).await?;
        tx.commit().await
    }
}

fn linked(error: StoreError) -> StoreError {
    if error.is_collision() {
        StoreError::Conflict("this identity belongs to an account already")
    } else {
        error
    }
}
