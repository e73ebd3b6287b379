//! Chats: what stands in the list, apart from their messages.

use std::collections::BTreeMap;

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::files::{forget_files, named_in};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Chats that one person may have.
const CHATS_MAX: i64 = 100_000;

/// A chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Its identity.
    pub id: String,
    /// Empty until there is a first message.
    pub title: String,
    /// The folder it lies in.
    pub folder_id: Option<String>,
    /// Stands before the others.
    pub pinned: bool,
    /// Stands in the archive.
    pub archived: bool,
    /// Is on no list, and is forgotten after a while.
    pub temporary: bool,
    /// The model that answers; `None`: the default.
    pub model: Option<String>,
    /// A JSON object.
    pub settings: String,
    /// The last message of the branch that is shown.
    pub leaf_id: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Of the last message.
    pub updated_at: i64,
}

/// A chat to be made.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewChat<'a> {
    /// Empty: made from the first message.
    pub title: &'a str,
    /// The model that answers.
    pub model: Option<&'a str>,
    /// A JSON object; empty: none.
    pub settings: &'a str,
    /// The folder it lies in.
    pub folder_id: Option<&'a str>,
    /// Is on no list.
    pub temporary: bool,
}

/// What of a chat is to be changed; `None` leaves as it is.
#[derive(Clone, Debug, Default)]
pub struct ChatChange {
    /// Another title.
    pub title: Option<String>,
    /// Another folder, or none.
    #[allow(clippy::option_option, reason = "left as it is, none, or another")]
    pub folder_id: Option<Option<String>>,
    /// Whether it is pinned.
    pub pinned: Option<bool>,
    /// Whether it is archived.
    pub archived: Option<bool>,
    /// Another model, or the default.
    #[allow(
        clippy::option_option,
        reason = "left as it is, the default, or another"
    )]
    pub model: Option<Option<String>>,
    /// Other settings, a JSON object.
    pub settings: Option<String>,
    /// Another branch.
    pub leaf_id: Option<String>,
}

/// Which chats to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChatFilter<'a> {
    /// Those in the archive, or those that are not.
    pub archived: bool,
    /// Those in this folder alone.
    pub folder_id: Option<&'a str>,
    /// Those after this place of the list.
    pub before: Option<&'a str>,
    /// How many.
    pub limit: usize,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The chats.
    pub chats: Vec<Chat>,
    /// Where the list goes on.
    pub next: Option<String>,
}

pub(crate) const CHAT: &str = "id, title, folder_id, pinned, archived, temporary, model, settings, \
                               leaf_id, created_at, updated_at";

pub(crate) fn chat(row: &mut Row) -> Result<Chat> {
    Ok(Chat {
        id: row.text()?,
        title: row.text()?,
        folder_id: row.text_or_none()?,
        pinned: row.flag()?,
        archived: row.flag()?,
        temporary: row.flag()?,
        model: row.text_or_none()?,
        settings: row.text()?,
        leaf_id: row.text_or_none()?,
        created_at: row.int()?,
        updated_at: row.int()?,
    })
}

impl Store {
    /// Makes a chat.
    pub async fn create_chat(&self, user_id: &str, new: NewChat<'_>) -> Result<Chat> {
        let (id, now) = (new_id()?, now_ms());
        let settings = if new.settings.is_empty() {
            "{}"
        } else {
            new.settings
        };
        // The folder must be one's own, which the same statement sees to.
        let made = self
            .db
            .execute(
                "INSERT INTO chats (id, user_id, title, folder_id, temporary, model, settings, \
                 created_at, updated_at) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $8 WHERE \
                 ($4 IS NULL OR EXISTS (SELECT 1 FROM folders WHERE id = $4 AND user_id = $2)) \
                 AND (SELECT COUNT(*) FROM chats WHERE user_id = $2) < $9",
                values![
                    &id,
                    user_id,
                    new.title,
                    new.folder_id,
                    new.temporary,
                    new.model,
                    settings,
                    now,
                    CHATS_MAX
                ],
            )
            .await?;
        if made == 0 {
            let sql = "SELECT COUNT(*) FROM chats WHERE user_id = $1";
            let count = self.db.one(sql, values![user_id]).await?.int()?;
            return Err(if count >= CHATS_MAX {
                StoreError::Full("there are as many chats as one account may have")
            } else {
                StoreError::NotFound
            });
        }
        self.chat(user_id, &id).await
    }

    /// One of somebody's chats.
    pub async fn chat(&self, user_id: &str, id: &str) -> Result<Chat> {
        let sql = format!("SELECT {CHAT} FROM chats WHERE id = $1 AND user_id = $2");
        chat(&mut self.db.one(&sql, values![id, user_id]).await?)
    }

    /// Somebody's chats: pinned ones first, then the one with the newest message.
    pub async fn chats(&self, user_id: &str, filter: ChatFilter<'_>) -> Result<Page> {
        let before = filter.before.map(place).transpose()?;
        let (pinned, updated_at, seq) = before.unwrap_or((i64::MAX, i64::MAX, i64::MAX));
        let sql = format!(
            "SELECT {CHAT}, seq FROM chats WHERE user_id = $1 AND archived = $2 \
             AND temporary = 0 AND ($3 IS NULL OR folder_id = $3) \
             AND (pinned, updated_at, seq) < ($4, $5, $6) \
             ORDER BY pinned DESC, updated_at DESC, seq DESC LIMIT $7"
        );
        let limit = filter.limit.clamp(1, 1000);
        let values = values![
            user_id,
            filter.archived,
            filter.folder_id,
            pinned,
            updated_at,
            seq,
            limit + 1
        ];
        let rows = self.db.fetch(&sql, values).await?;
        let more = rows.len() > limit;
        let (mut chats, mut next) = (Vec::with_capacity(limit), None);
        for mut row in rows.into_iter().take(limit) {
            let chat = chat(&mut row)?;
            let seq = row.int()?;
            next = Some(format!(
                "{}.{}.{seq}",
                u8::from(chat.pinned),
                chat.updated_at
            ));
            chats.push(chat);
        }
        let next = next.filter(|_| more);
        Ok(Page { chats, next })
    }

    /// Changes a chat. A folder or message that is not there, or not this person's, is not found.
    pub async fn change_chat(&self, user_id: &str, id: &str, change: ChatChange) -> Result<Chat> {
        let changed = self
            .db
            .execute(
                "UPDATE chats SET title = COALESCE($3, title), pinned = COALESCE($4, pinned), \
                 archived = COALESCE($5, archived), settings = COALESCE($6, settings), \
                 leaf_id = COALESCE($7, leaf_id), \
                 folder_id = CASE WHEN $8 = 1 THEN $9 ELSE folder_id END, \
                 model = CASE WHEN $10 = 1 THEN $11 ELSE model END \
                 WHERE id = $1 AND user_id = $2 \
                 AND ($7 IS NULL OR EXISTS (SELECT 1 FROM messages WHERE chat_id = $1 AND \
                 messages.id = $7)) \
                 AND ($9 IS NULL OR EXISTS (SELECT 1 FROM folders WHERE folders.id = $9 AND \
                 folders.user_id = $2))",
                values![
                    id,
                    user_id,
                    change.title,
                    change.pinned,
                    change.archived,
                    change.settings,
                    change.leaf_id,
                    change.folder_id.is_some(),
                    change.folder_id.flatten(),
                    change.model.is_some(),
                    change.model.flatten()
                ],
            )
            .await?;
        if changed == 0 {
            return Err(StoreError::NotFound);
        }
        self.chat(user_id, id).await
    }

    /// Deletes a chat with its messages, its shares, and files that no other chat has.
    pub async fn delete_chat(&self, user_id: &str, id: &str) -> Result<()> {
        let mut tx = self.db.begin().await?;
        let lists = "SELECT attachments FROM messages WHERE chat_id = $1 AND user_id = $2 \
                     AND attachments <> '[]'";
        let mut rows = tx.fetch(lists, values![id, user_id]).await?;
        let lists: Vec<String> = rows.iter_mut().map(Row::text).collect::<Result<_>>()?;
        let sql = "DELETE FROM chats WHERE id = $1 AND user_id = $2";
        if tx.execute(sql, values![id, user_id]).await? == 0 {
            return Err(StoreError::NotFound);
        }
        forget_files(self.db.dialect(), &mut tx, user_id, named_in(lists)).await?;
        tx.commit().await
    }

    /// Forgets temporary chats without a message since `before`, and their files.
    pub async fn forget_temporary(&self, before: i64) -> Result<u64> {
        let mut tx = self.db.begin().await?;
        let lists = "SELECT m.user_id, m.attachments FROM messages m JOIN chats ON chats.id = m.chat_id \
                     WHERE chats.temporary = 1 AND chats.updated_at < $1 AND m.attachments <> '[]'";
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for mut row in tx.fetch(lists, values![before]).await? {
            files.entry(row.text()?).or_default().push(row.text()?);
        }
        let sql = "DELETE FROM chats WHERE temporary = 1 AND updated_at < $1";
        let gone = tx.execute(sql, values![before]).await?;
        for (user_id, lists) in files {
            forget_files(self.db.dialect(), &mut tx, &user_id, named_in(lists)).await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Identities of all chats of somebody, the oldest first.
    pub async fn chat_ids(&self, user_id: &str) -> Result<Vec<String>> {
        let sql = "SELECT id FROM chats WHERE user_id = $1 AND temporary = 0 ORDER BY seq";
        let mut rows = self.db.fetch(sql, values![user_id]).await?;
        rows.iter_mut().map(Row::text).collect()
    }
}

/// A place in the list, as [`Page::next`] names it.
fn place(text: &str) -> Result<(i64, i64, i64)> {
    let mut parts = text.splitn(3, '.').map(str::parse);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Ok(pinned)), Some(Ok(updated_at)), Some(Ok(seq))) => Ok((pinned, updated_at, seq)),
        _ => Err(StoreError::NotFound),
    }
}
