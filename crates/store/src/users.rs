//! Accounts, their sessions, and invitations. Secrets come here as digests alone.

use crate::db::{Row, Tx, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Sessions of one account; the one not seen for longest goes.
const SESSIONS_MAX: i64 = 100;

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserRole {
    /// Everything; there is always one.
    Owner,
    /// Looks after accounts.
    Admin,
    /// Uses it.
    Member,
}

impl UserRole {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "owner" => Ok(Self::Owner),
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            other => Err(StoreError::Damaged(format!("a role is called {other}"))),
        }
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its identity.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// In small letters; `None` for the one person of a machine without accounts.
    pub email: Option<String>,
    /// Digest of the password in the PHC form.
    pub password: Option<String>,
    /// What they may do.
    pub role: UserRole,
    /// May not log in.
    pub disabled: bool,
    /// A JSON object of theirs.
    pub settings: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// An account to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// What they are called.
    pub name: &'a str,
    /// In small letters.
    pub email: Option<&'a str>,
    /// Digest of the password in the PHC form.
    pub password: Option<&'a str>,
    /// What they may do.
    pub role: UserRole,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// By which it is listed and revoked; not its token.
    pub id: String,
    /// SHA-256 of its token.
    pub digest: String,
    /// The browser, as it calls itself.
    pub agent: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// When it was last used, to the minute.
    pub seen_at: i64,
}

/// An invitation that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// What who comes may do.
    pub role: UserRole,
    /// For whom alone it is.
    pub email: Option<String>,
}

pub(crate) const USER: &str = "users.id, users.name, users.email, users.password, users.role, users.disabled, \
                    users.settings, users.created_at";

pub(crate) fn user(row: &mut Row) -> Result<User> {
    Ok(User {
        id: row.text()?,
        name: row.text()?,
        email: row.text_or_none()?,
        password: row.text_or_none()?,
        role: UserRole::of(&row.text()?)?,
        disabled: row.flag()?,
        settings: row.text()?,
        created_at: row.int()?,
    })
}

pub(crate) const INSERT: &str = "INSERT INTO users (id, name, email, password, role, created_at) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
const EMAIL_TAKEN: &str = "email: somebody has this address already";

impl Store {
    /// Makes an account.
    pub async fn create_user(&self, new: NewUser<'_>) -> Result<User> {
        let id = new_id()?;
        let row = values![
            &id,
            new.name,
            new.email,
            new.password,
            new.role.name(),
            now_ms()
        ];
        self.db.execute(INSERT, row).await.map_err(taken)?;
        self.user(&id).await
    }

    /// The one person of a machine without accounts, made at the first call.
    pub async fn sole_owner(&self, name: &str) -> Result<User> {
        let found =
            format!("SELECT {USER} FROM users WHERE role = 'owner' ORDER BY created_at, id");
        let mut tx = self.db.begin().await?;
        if let Some(mut row) = tx.maybe(&found, vec![]).await? {
            return user(&mut row);
        }
        let row = values![
            &new_id()?,
            name,
            None::<&str>,
            None::<&str>,
            "owner",
            now_ms()
        ];
        tx.execute(INSERT, row).await?;
        let made = user(&mut tx.one(&found, vec![]).await?)?;
        tx.commit().await?;
        Ok(made)
    }

    /// Whether anybody can log in.
    pub async fn has_accounts(&self) -> Result<bool> {
        let sql = "SELECT COUNT(*) FROM users WHERE password IS NOT NULL";
        Ok(self.db.one(sql, vec![]).await?.int()? > 0)
    }

    /// Makes the first account that can log in, out of the one person that may be there already, so
    /// that their chats stay theirs. Fails where there is such an account.
    pub async fn set_up(&self, name: &str, email: &str, password: &str) -> Result<User> {
        let mut tx = self.db.begin().await?;
        if self.db.dialect() == crate::Dialect::Postgres {
            // Two who set up at once: the second waits, and then finds the first.
            tx.script("LOCK TABLE users IN EXCLUSIVE MODE").await?;
        }
        let count = "SELECT COUNT(*) FROM users WHERE password IS NOT NULL";
        if tx.one(count, vec![]).await?.int()? > 0 {
            return Err(StoreError::Conflict("there is an owner already"));
        }
        let found = "SELECT id FROM users WHERE role = 'owner' ORDER BY created_at, id";
        let id = if let Some(mut row) = tx.maybe(found, vec![]).await? {
            row.text()?
        } else {
            let id = new_id()?;
            let row = values![&id, name, None::<&str>, None::<&str>, "owner", now_ms()];
            tx.execute(INSERT, row).await?;
            id
        };
        tx.execute(
            "UPDATE users SET name = $1, email = $2, password = $3 WHERE id = $4",
            values![name, email, password, &id],
        )
        .await
        .map_err(taken)?;
        tx.commit().await?;
        self.user(&id).await
    }

    /// An account.
    pub async fn user(&self, id: &str) -> Result<User> {
        let sql = format!("SELECT {USER} FROM users WHERE id = $1");
        user(&mut self.db.one(&sql, values![id]).await?)
    }

    /// The account with an address.
    pub async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let sql = format!("SELECT {USER} FROM users WHERE email = $1");
        let found = self.db.maybe(&sql, values![email]).await?;
        found.map(|mut row| user(&mut row)).transpose()
    }

    /// All accounts, the oldest first.
    pub async fn users(&self) -> Result<Vec<User>> {
        let sql = format!("SELECT {USER} FROM users ORDER BY created_at, id");
        let mut rows = self.db.fetch(&sql, vec![]).await?;
        rows.iter_mut().map(user).collect()
    }

    /// Changes what somebody may do. An owner stays.
    pub async fn change_user(
        &self,
        id: &str,
        role: Option<UserRole>,
        disabled: Option<bool>,
    ) -> Result<User> {
        let mut tx = self.db.begin().await?;
        let sql = format!(
            "SELECT role FROM users WHERE id = $1{}",
            self.db.dialect().for_update()
        );
        let was = UserRole::of(&tx.one(&sql, values![id]).await?.text()?)?;
        if was == UserRole::Owner {
            return Err(StoreError::Conflict("the owner stays the owner"));
        }
        let bound = "SELECT COUNT(*) FROM embed_users WHERE user_id = $1";
        if role.is_some_and(|role| role != UserRole::Member)
            && tx.one(bound, values![id]).await?.int()? > 0
        {
            return Err(StoreError::Conflict(
                "role: who comes through an embedding application stays a member",
            ));
        }
        tx.execute(
            "UPDATE users SET role = COALESCE($1, role), disabled = COALESCE($2, disabled) \
             WHERE id = $3",
            values![role.map(UserRole::name), disabled, id],
        )
        .await?;
        // Who may do less, or nothing, does so at once and in every window.
        if disabled == Some(true) || role.is_some_and(|role| role != was) {
            tx.execute("DELETE FROM sessions WHERE user_id = $1", values![id])
                .await?;
        }
        tx.commit().await?;
        self.user(id).await
    }

    /// Sets another password and ends all sessions but the one with the digest `keep`.
    pub async fn change_password(&self, id: &str, password: &str, keep: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        tx.execute(
            "UPDATE users SET password = $1 WHERE id = $2",
            values![password, id],
        )
        .await?;
        tx.execute(
            "DELETE FROM sessions WHERE user_id = $1 AND digest <> $2",
            values![id, keep],
        )
        .await?;
        tx.commit().await
    }

    /// Keeps somebody's settings, a JSON object.
    pub async fn set_settings(&self, id: &str, settings: &str) -> Result<()> {
        let changed = self
            .db
            .execute(
                "UPDATE users SET settings = $1 WHERE id = $2",
                values![settings, id],
            )
            .await?;
        if changed == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Deletes an account with all that is its own.
    pub async fn delete_user(&self, id: &str) -> Result<()> {
        let changed = self
            .db
            .execute("DELETE FROM users WHERE id = $1", values![id])
            .await?;
        if changed == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Begins a session whose token has this digest.
    pub async fn create_session(&self, user_id: &str, digest: &str, agent: &str) -> Result<String> {
        let (id, now) = (new_id()?, now_ms());
        let mut tx = self.db.begin().await?;
        tx.execute(
            "INSERT INTO sessions (digest, id, user_id, agent, created_at, seen_at) \
             VALUES ($1, $2, $3, $4, $5, $5)",
            values![digest, &id, user_id, agent, now],
        )
        .await?;
        tx.execute(
            "DELETE FROM sessions WHERE user_id = $1 AND digest NOT IN (SELECT digest FROM \
             sessions WHERE user_id = $1 ORDER BY seen_at DESC, created_at DESC LIMIT $2)",
            values![user_id, SESSIONS_MAX],
        )
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Whose session it is, and since when: created and last seen. Those not seen since `unseen` or
    /// made before `made` are over.
    pub async fn session(
        &self,
        digest: &str,
        unseen: i64,
        made: i64,
    ) -> Result<Option<(User, Session)>> {
        let sql = format!(
            "SELECT {USER}, sessions.id, sessions.digest, sessions.agent, sessions.created_at, \
             sessions.seen_at FROM sessions JOIN users ON users.id = sessions.user_id \
             WHERE sessions.digest = $1 AND sessions.seen_at >= $2 AND sessions.created_at >= $3 \
             AND users.disabled = 0"
        );
        let found = self.db.maybe(&sql, values![digest, unseen, made]).await?;
        let Some(mut row) = found else {
            return Ok(None);
        };
        Ok(Some((user(&mut row)?, session(&mut row)?)))
    }

    /// Says that a session is in use.
    pub async fn touch_session(&self, digest: &str) -> Result<()> {
        let sql = "UPDATE sessions SET seen_at = $1 WHERE digest = $2";
        self.db
            .execute(sql, values![now_ms(), digest])
            .await
            .map(drop)
    }

    /// Somebody's sessions, the one last seen first.
    pub async fn sessions(&self, user_id: &str) -> Result<Vec<Session>> {
        let sql = "SELECT id, digest, agent, created_at, seen_at FROM sessions WHERE user_id = $1 \
                   ORDER BY seen_at DESC, created_at DESC";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(session).collect()
    }

    /// Ends one of somebody's sessions.
    pub async fn end_session(&self, user_id: &str, id: &str) -> Result<()> {
        let sql = "DELETE FROM sessions WHERE user_id = $1 AND id = $2";
        if self.db.execute(sql, values![user_id, id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Ends the session with this digest, if there is one.
    pub async fn end_session_of(&self, digest: &str) -> Result<()> {
        let sql = "DELETE FROM sessions WHERE digest = $1";
        self.db.execute(sql, values![digest]).await.map(drop)
    }

    /// Takes away sessions and invitations that are over.
    pub async fn forget_expired(&self, unseen: i64) -> Result<()> {
        self.db
            .execute("DELETE FROM sessions WHERE seen_at < $1", values![unseen])
            .await?;
        self.db
            .execute(
                "DELETE FROM invitations WHERE expires_at < $1",
                values![now_ms()],
            )
            .await?;
        Ok(())
    }

    /// Makes an invitation whose token has this digest.
    pub async fn create_invitation(
        &self,
        digest: &str,
        role: UserRole,
        email: Option<&str>,
        expires_at: i64,
    ) -> Result<()> {
        self.db
            .execute(
                "INSERT INTO invitations (digest, role, email, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5)",
                values![digest, role.name(), email, now_ms(), expires_at],
            )
            .await
            .map(drop)
    }

    /// An invitation that is open.
    pub async fn invitation(&self, digest: &str) -> Result<Invitation> {
        let sql = "SELECT role, email FROM invitations WHERE digest = $1 AND expires_at >= $2";
        let mut row = self.db.one(sql, values![digest, now_ms()]).await?;
        Ok(Invitation {
            role: UserRole::of(&row.text()?)?,
            email: row.text_or_none()?,
        })
    }

    /// Makes an account by an invitation, which is then used up.
    pub async fn accept_invitation(
        &self,
        digest: &str,
        name: &str,
        email: &str,
        password: &str,
    ) -> Result<User> {
        let mut tx = self.db.begin().await?;
        let sql = "DELETE FROM invitations WHERE digest = $1 AND expires_at >= $2 \
                   AND (email IS NULL OR email = $3) RETURNING role";
        let mut row = tx.one(sql, values![digest, now_ms(), email]).await?;
        let role = UserRole::of(&row.text()?)?;
        let id = new_id()?;
        let row = values![&id, name, email, password, role.name(), now_ms()];
        tx.execute(INSERT, row).await.map_err(taken)?;
        tx.commit().await?;
        self.user(&id).await
    }
}

/// Refuses to leave an account that nobody can log in to.
pub(crate) async fn ways_in(tx: &mut Tx, user_id: &str) -> Result<()> {
    let sql = "SELECT (SELECT COUNT(*) FROM users WHERE id = $1 AND password IS NOT NULL) \
               + (SELECT COUNT(*) FROM identities WHERE user_id = $1) \
               + (SELECT COUNT(*) FROM passkeys WHERE user_id = $1)";
    if tx.one(sql, values![user_id]).await?.int()? == 0 {
        return Err(StoreError::Conflict(
            "this is the only way to log in to the account",
        ));
    }
    Ok(())
}

fn session(row: &mut Row) -> Result<Session> {
    Ok(Session {
        id: row.text()?,
        digest: row.text()?,
        agent: row.text()?,
        created_at: row.int()?,
        seen_at: row.int()?,
    })
}

pub(crate) fn taken(error: StoreError) -> StoreError {
    if error.is_collision() {
        StoreError::Conflict(EMAIL_TAKEN)
    } else {
        error
    }
}
