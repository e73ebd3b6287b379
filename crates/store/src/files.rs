//! Attachments, and chats that are shown to others.

use std::collections::BTreeSet;

use crate::db::{Row, Tx, values};
use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Bytes of all attachments of one account.
const ATTACHED_BYTES_MAX: i64 = 2 << 30;
const SHARES_MAX: i64 = 1000;

/// A file that somebody attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Its identity.
    pub id: String,
    /// Its name, as it was given.
    pub name: String,
    /// Its type.
    pub mime: String,
    /// Its size.
    pub bytes: i64,
    /// Characters of its text.
    pub text_chars: i64,
    /// Of a picture, its width and its height.
    pub pixels: Option<(i64, i64)>,
}

/// A file to be kept.
#[derive(Clone, Debug)]
pub struct NewAttachment<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type.
    pub mime: &'a str,
    /// What it holds.
    pub data: Vec<u8>,
    /// What of it is read into a prompt.
    pub text: Option<&'a str>,
    /// Of a picture, its width and its height.
    pub pixels: Option<(u32, u32)>,
}

/// A chat that is shown to whoever has its link, as it was when it was shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Its identity.
    pub id: String,
    /// What the link holds.
    pub token: String,
    /// The chat.
    pub chat_id: String,
    /// Its title.
    pub title: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

/// What whoever has the link sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedChat {
    /// The title.
    pub title: String,
    /// The messages, as they were given to [`Store::share`].
    pub content: String,
}

const ATTACHMENT: &str = "id, name, mime, bytes, COALESCE(LENGTH(text), 0), width, height";

fn attachment(row: &mut Row) -> Result<Attachment> {
    Ok(Attachment {
        id: row.text()?,
        name: row.text()?,
        mime: row.text()?,
        bytes: row.int()?,
        text_chars: row.int()?,
        pixels: row.int_or_none()?.zip(row.int_or_none()?),
    })
}

fn share(row: &mut Row) -> Result<Share> {
    Ok(Share {
        id: row.text()?,
        token: row.text()?,
        chat_id: row.text()?,
        title: row.text()?,
        created_at: row.int()?,
    })
}

/// The files that messages name, each once; `lists` are as they are kept.
pub(crate) fn named_in(lists: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let lists = lists.into_iter();
    let ids = lists.map(|list| serde_json::from_str::<Vec<String>>(&list).unwrap_or_default());
    ids.flatten().collect()
}

/// Files go with the last message that has them, which may be of another branch or another chat.
pub(crate) async fn forget_files(
    dialect: Dialect,
    tx: &mut Tx,
    user_id: &str,
    ids: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<()> {
    let contains = dialect.contains("m.attachments", "$1");
    let sql = format!(
        "DELETE FROM attachments WHERE id = $1 AND user_id = $2 AND NOT EXISTS (SELECT 1 FROM \
         messages m WHERE m.user_id = $2 AND m.attachments <> '[]' AND {contains})"
    );
    for id in ids {
        tx.execute(&sql, values![id.as_ref(), user_id]).await?;
    }
    Ok(())
}

impl Store {
    /// Keeps a file.
    pub async fn attach(&self, user_id: &str, new: NewAttachment<'_>) -> Result<Attachment> {
        let sql = "SELECT CAST(COALESCE(SUM(bytes), 0) AS BIGINT) FROM attachments \
                   WHERE user_id = $1";
        let held = self.db.one(sql, values![user_id]).await?.int()?;
        let bytes = new.data.len();
        if held + bytes as i64 > ATTACHED_BYTES_MAX {
            return Err(StoreError::Full(
                "there are as many attachments as one account may have",
            ));
        }
        let id = new_id()?;
        self.db
            .execute(
                "INSERT INTO attachments (id, user_id, name, mime, bytes, data, text, width, \
                 height, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                values![
                    &id,
                    user_id,
                    new.name,
                    new.mime,
                    bytes,
                    new.data,
                    new.text,
                    new.pixels.map(|(width, _)| i64::from(width)),
                    new.pixels.map(|(_, height)| i64::from(height)),
                    now_ms()
                ],
            )
            .await?;
        self.attachment(user_id, &id).await
    }

    /// One of somebody's files, without what it holds.
    pub async fn attachment(&self, user_id: &str, id: &str) -> Result<Attachment> {
        let sql = format!("SELECT {ATTACHMENT} FROM attachments WHERE id = $1 AND user_id = $2");
        attachment(&mut self.db.one(&sql, values![id, user_id]).await?)
    }

    /// All of somebody's files that belong to messages of a chat.
    pub async fn attachments_of_chat(
        &self,
        user_id: &str,
        chat_id: &str,
    ) -> Result<Vec<Attachment>> {
        let contains = self
            .db
            .dialect()
            .contains("m.attachments", "attachments.id");
        let sql = format!(
            "SELECT {ATTACHMENT} FROM attachments WHERE user_id = $1 AND EXISTS (SELECT 1 FROM \
             messages m WHERE m.chat_id = $2 AND m.attachments <> '[]' AND {contains})"
        );
        let mut rows = self.db.fetch(&sql, values![user_id, chat_id]).await?;
        rows.iter_mut().map(attachment).collect()
    }

    /// Identities of all files of somebody that belong to messages of chats that stay, the oldest first.
    pub async fn attachment_ids(&self, user_id: &str) -> Result<Vec<String>> {
        let contains = self
            .db
            .dialect()
            .contains("m.attachments", "attachments.id");
        let sql = format!(
            "SELECT id FROM attachments WHERE user_id = $1 AND EXISTS (SELECT 1 FROM messages m \
             JOIN chats ON chats.id = m.chat_id WHERE m.user_id = $1 AND chats.temporary = 0 \
             AND m.attachments <> '[]' AND {contains}) ORDER BY created_at, id"
        );
        let mut rows = self.db.fetch(&sql, values![user_id]).await?;
        rows.iter_mut().map(Row::text).collect()
    }

    /// Forgets files that came in this time and were never sent with a message.
    pub async fn forget_unsent(&self, since: i64, before: i64) -> Result<u64> {
        let contains = self
            .db
            .dialect()
            .contains("m.attachments", "attachments.id");
        let sql = format!(
            "DELETE FROM attachments WHERE created_at >= $1 AND created_at < $2 AND NOT EXISTS \
             (SELECT 1 FROM messages m WHERE m.user_id = attachments.user_id \
             AND m.attachments <> '[]' AND {contains})"
        );
        self.db.execute(&sql, values![since, before]).await
    }

    /// Forgets those of somebody's files that belong to no message.
    pub async fn forget_unused(&self, user_id: &str, ids: &[String]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        forget_files(self.db.dialect(), &mut tx, user_id, ids).await?;
        tx.commit().await
    }

    /// What one of somebody's files holds.
    pub async fn attachment_data(&self, user_id: &str, id: &str) -> Result<Vec<u8>> {
        let sql = "SELECT data FROM attachments WHERE id = $1 AND user_id = $2";
        self.db.one(sql, values![id, user_id]).await?.bytes()
    }

    /// The name and the text of one of somebody's files.
    pub async fn attachment_text(&self, user_id: &str, id: &str) -> Result<(String, String)> {
        let sql = "SELECT name, COALESCE(text, '') FROM attachments WHERE id = $1 AND user_id = $2";
        let mut row = self.db.one(sql, values![id, user_id]).await?;
        Ok((row.text()?, row.text()?))
    }

    /// Shows a chat, as `content` has it, to whoever has the token.
    pub async fn share(
        &self,
        user_id: &str,
        chat_id: &str,
        token: &str,
        title: &str,
        content: &str,
    ) -> Result<Share> {
        let id = new_id()?;
        let made = self
            .db
            .execute(
                "INSERT INTO shares (id, token, user_id, chat_id, title, content, created_at) \
                 SELECT $1, $2, user_id, id, $4, $5, $6 FROM chats WHERE id = $3 AND user_id = $7 \
                 AND (SELECT COUNT(*) FROM shares WHERE user_id = $7) < $8",
                values![
                    &id,
                    token,
                    chat_id,
                    title,
                    content,
                    now_ms(),
                    user_id,
                    SHARES_MAX
                ],
            )
            .await?;
        if made == 0 {
            // Either it is not there, which this says, or there are too many.
            self.chat(user_id, chat_id).await?;
            return Err(StoreError::Full(
                "there are as many shares as one account may have",
            ));
        }
        let sql = "SELECT id, token, chat_id, title, created_at FROM shares WHERE id = $1";
        share(&mut self.db.one(sql, values![&id]).await?)
    }

    /// What somebody shares, the newest first.
    pub async fn shares(&self, user_id: &str) -> Result<Vec<Share>> {
        let sql = "SELECT id, token, chat_id, title, created_at FROM shares WHERE user_id = $1 \
                   ORDER BY created_at DESC, id DESC";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(share).collect()
    }

    /// Ends a share: its link leads nowhere.
    pub async fn unshare(&self, user_id: &str, id: &str) -> Result<()> {
        let sql = "DELETE FROM shares WHERE id = $1 AND user_id = $2";
        if self.db.execute(sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// What a link shows.
    pub async fn shared(&self, token: &str) -> Result<SharedChat> {
        let sql = "SELECT shares.title, shares.content FROM shares JOIN users \
                   ON users.id = shares.user_id WHERE token = $1 AND users.disabled = 0";
        let mut row = self.db.one(sql, values![token]).await?;
        Ok(SharedChat {
            title: row.text()?,
            content: row.text()?,
        })
    }
}
