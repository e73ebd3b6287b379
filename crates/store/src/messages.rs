//! Messages: the tree of a chat. An answer is there before its first word, grows, and ends once.

use crate::chats::{CHAT, Chat, chat};
use crate::db::{Row, Tx, values};
use crate::error::{Result, StoreError};
use crate::files::{forget_files, named_in};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Messages of one chat.
const MESSAGES_MAX: i64 = 20_000;
/// Rows of one statement of an import: its values stay far below what SQLite takes.
const ROWS_AT_ONCE: usize = 50;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// Instructions.
    System,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "user" => Ok(Self::User),
            "assistant" => Ok(Self::Assistant),
            "system" => Ok(Self::System),
            other => Err(StoreError::Damaged(format!("a message is by {other}"))),
        }
    }
}

/// How it is with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Complete.
    Done,
    /// Grows.
    Streaming,
    /// Its reader ended it, or it reached its longest.
    Stopped,
    /// Something went wrong.
    Failed,
    /// The server died meanwhile; what was saved is there.
    Cut,
}

impl Status {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Streaming => "streaming",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Cut => "cut",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "done" => Ok(Self::Done),
            "streaming" => Ok(Self::Streaming),
            "stopped" => Ok(Self::Stopped),
            "failed" => Ok(Self::Failed),
            "cut" => Ok(Self::Cut),
            other => Err(StoreError::Damaged(format!("a message is {other}"))),
        }
    }
}

/// Tokens that an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_field_names,
    reason = "each says of what, and all count the same"
)]
pub struct TokenCounts {
    /// Of the prompt.
    pub prompt_tokens: i64,
    /// Of the answer.
    pub completion_tokens: i64,
    /// Of the prompt, and in the cache already.
    pub cached_tokens: i64,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its identity within the chat.
    pub id: String,
    /// Its chat.
    pub chat_id: String,
    /// What it answers; `None`: it is a first one.
    pub parent_id: Option<String>,
    /// Who says it.
    pub role: Role,
    /// The text.
    pub content: String,
    /// How it is with it.
    pub status: Status,
    /// What went wrong.
    pub error: Option<String>,
    /// The model that says it.
    pub model: Option<String>,
    /// Identities of attachments, as a JSON list.
    pub attachments: String,
    /// What it took.
    pub usage: Option<TokenCounts>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// What it was made from, as a JSON list.
    pub sources: Option<String>,
}

/// How an answer ends.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The whole text.
    pub content: &'a str,
    /// Not [`Status::Streaming`].
    pub status: Status,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// What it took.
    pub usage: TokenCounts,
}

/// A chat from elsewhere, whose messages stand after their parents.
#[derive(Clone, Debug, Default)]
pub struct ImportedChat {
    /// Its title.
    pub title: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Of the last message.
    pub updated_at: i64,
    /// The last message of the branch that is shown.
    pub leaf_id: Option<String>,
    /// In the archive.
    pub archived: bool,
    /// Before the others.
    pub pinned: bool,
    /// Its messages; chat, status and usage are set here.
    pub messages: Vec<Message>,
}

const MESSAGE: &str = "m.id, m.chat_id, m.parent_id, m.role, m.content, m.status, m.error, m.model, \
                       m.attachments, m.prompt_tokens, m.completion_tokens, m.cached_tokens, \
                       m.created_at, m.sources";

fn message(row: &mut Row) -> Result<Message> {
    Ok(Message {
        id: row.text()?,
        chat_id: row.text()?,
        parent_id: row.text_or_none()?,
        role: Role::of(&row.text()?)?,
        content: row.text()?,
        status: Status::of(&row.text()?)?,
        error: row.text_or_none()?,
        model: row.text_or_none()?,
        attachments: row.text()?,
        usage: match (row.int_or_none()?, row.int_or_none()?, row.int_or_none()?) {
            (Some(prompt_tokens), Some(completion_tokens), Some(cached_tokens)) => {
                Some(TokenCounts {
                    prompt_tokens,
                    completion_tokens,
                    cached_tokens,
                })
            }
            _ => None,
        },
        created_at: row.int()?,
        sources: row.text_or_none()?,
    })
}

const PARENT: StoreError = StoreError::Conflict("parent_id: there is no such message in this chat");

impl Store {
    /// All messages of one of somebody's chats, in the order in which they were made.
    pub async fn messages(&self, user_id: &str, chat_id: &str) -> Result<Vec<Message>> {
        let sql = format!(
            "SELECT {MESSAGE} FROM messages m JOIN chats ON chats.id = m.chat_id \
             WHERE m.chat_id = $1 AND chats.user_id = $2 ORDER BY m.seq"
        );
        let mut rows = self.db.fetch(&sql, values![chat_id, user_id]).await?;
        rows.iter_mut().map(message).collect()
    }

    /// One message of one of somebody's chats.
    pub async fn message(&self, user_id: &str, chat_id: &str, id: &str) -> Result<Message> {
        let sql = format!(
            "SELECT {MESSAGE} FROM messages m JOIN chats ON chats.id = m.chat_id \
             WHERE m.chat_id = $1 AND chats.user_id = $2 AND m.id = $3"
        );
        let mut row = self.db.one(&sql, values![chat_id, user_id, id]).await?;
        message(&mut row)
    }

    /// The branch that ends with a message, its beginning first.
    pub async fn branch(&self, user_id: &str, chat_id: &str, leaf: &str) -> Result<Vec<Message>> {
        let sql = format!(
            "WITH RECURSIVE branch (id, parent_id, depth) AS (\
             SELECT m.id, m.parent_id, 0 FROM messages m JOIN chats ON chats.id = m.chat_id \
             WHERE m.chat_id = $1 AND chats.user_id = $2 AND m.id = $3 \
             UNION ALL SELECT m.id, m.parent_id, branch.depth + 1 FROM messages m \
             JOIN branch ON m.id = branch.parent_id WHERE m.chat_id = $1) \
             SELECT {MESSAGE} FROM branch JOIN messages m ON m.chat_id = $1 AND m.id = branch.id \
             ORDER BY branch.depth DESC"
        );
        let mut rows = self.db.fetch(&sql, values![chat_id, user_id, leaf]).await?;
        if rows.is_empty() {
            return Err(StoreError::NotFound);
        }
        rows.iter_mut().map(message).collect()
    }

    /// Keeps a question and the place of its answer by `model`. Sent again, with the same identity
    /// and text, it gives what is there; the last value says whether it was new.
    pub async fn send(
        &self,
        user_id: &str,
        chat_id: &str,
        question: &Message,
        model: &str,
    ) -> Result<(Message, Message, bool)> {
        let mut tx = self.db.begin().await?;
        let chat = locked_chat(self, &mut tx, user_id, chat_id).await?;
        if let Some(was) = find(&mut tx, chat_id, &question.id).await? {
            if was.role != question.role
                || was.content != question.content
                || was.parent_id != question.parent_id
            {
                return Err(StoreError::Conflict("id: another message has it already"));
            }
            let sql = format!(
                "SELECT {MESSAGE} FROM messages m WHERE m.chat_id = $1 AND m.parent_id = $2 \
                 AND m.role = 'assistant' ORDER BY m.seq"
            );
            let mut row = tx.one(&sql, values![chat_id, &was.id]).await?;
            return Ok((was, message(&mut row)?, false));
        }
        if let Some(parent) = &question.parent_id {
            let parent = find(&mut tx, chat_id, parent).await?.ok_or(PARENT)?;
            if parent.status == Status::Streaming {
                return Err(StoreError::Conflict(
                    "parent_id: that message is not complete yet",
                ));
            }
        }
        let now = now_ms();
        insert(
            &mut tx,
            user_id,
            &[Message {
                created_at: now,
                ..question.clone()
            }],
        )
        .await?;
        let answer = open_answer(&mut tx, user_id, chat_id, &question.id, model).await?;
        tx.execute(
            "UPDATE chats SET title = $1 WHERE id = $2 AND title = ''",
            values![title_of(&question.content), &chat.id],
        )
        .await?;
        let question = find(&mut tx, chat_id, &question.id).await?;
        let question = question.ok_or(StoreError::NotFound)?;
        tx.commit().await?;
        Ok((question, answer, true))
    }

    /// The place of another answer to a message.
    pub async fn answer_again(
        &self,
        user_id: &str,
        chat_id: &str,
        question: &str,
        model: &str,
    ) -> Result<Message> {
        let mut tx = self.db.begin().await?;
        locked_chat(self, &mut tx, user_id, chat_id).await?;
        let found = find(&mut tx, chat_id, question).await?;
        if found.ok_or(StoreError::NotFound)?.role != Role::User {
            return Err(StoreError::Conflict("this is no message that is answered"));
        }
        let answer = open_answer(&mut tx, user_id, chat_id, question, model).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Keeps what an answer that grows is made from, as a JSON list.
    pub async fn set_sources(
        &self,
        user_id: &str,
        chat_id: &str,
        id: &str,
        sources: &str,
    ) -> Result<()> {
        let sql = "UPDATE messages SET sources = $4 WHERE chat_id = $1 AND id = $2 AND chat_id IN \
                   (SELECT id FROM chats WHERE user_id = $3)";
        let values = values![chat_id, id, user_id, sources];
        if self.db.execute(sql, values).await? == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(())
    }

    /// Opens an answer again, so that it can grow further.
    pub async fn reopen(&self, user_id: &str, chat_id: &str, id: &str) -> Result<Message> {
        let mut tx = self.db.begin().await?;
        locked_chat(self, &mut tx, user_id, chat_id).await?;
        let was = find(&mut tx, chat_id, id)
            .await?
            .ok_or(StoreError::NotFound)?;
        if was.role != Role::Assistant {
            return Err(StoreError::Conflict("only an answer can be continued"));
        }
        if was.status == Status::Streaming {
            return Err(StoreError::Conflict("the answer is not complete yet"));
        }
        let now = now_ms();
        tx.execute(
            "UPDATE messages SET status = 'streaming', error = NULL, grown_at = $3 \
             WHERE chat_id = $1 AND id = $2",
            values![chat_id, id, now],
        )
        .await?;
        tx.execute(
            "UPDATE chats SET leaf_id = $1, updated_at = $2 WHERE id = $3",
            values![id, now, chat_id],
        )
        .await?;
        let answer = find(&mut tx, chat_id, id).await?;
        tx.commit().await?;
        answer.ok_or(StoreError::NotFound)
    }

    /// Saves what an answer has grown to. False: it was deleted or ended meanwhile.
    pub async fn grow(&self, chat_id: &str, id: &str, content: &str) -> Result<bool> {
        let sql = "UPDATE messages SET content = $3, grown_at = $4 WHERE chat_id = $1 AND id = $2 \
                   AND status = 'streaming'";
        let values = values![chat_id, id, content, now_ms()];
        Ok(self.db.execute(sql, values).await? > 0)
    }

    /// Ends an answer, and counts what it took. `None`: it was deleted or ended meanwhile.
    pub async fn end_answer(
        &self,
        user_id: &str,
        chat_id: &str,
        id: &str,
        ending: Ending<'_>,
    ) -> Result<Option<Message>> {
        let now = now_ms();
        let usage = ending.usage;
        let mut tx = self.db.begin().await?;
        let changed = tx
            .execute(
                "UPDATE messages SET content = $3, status = $4, error = $5, prompt_tokens = $6, \
                 completion_tokens = $7, cached_tokens = $8, grown_at = $9 \
                 WHERE chat_id = $1 AND id = $2 AND status = 'streaming'",
                values![
                    chat_id,
                    id,
                    ending.content,
                    ending.status.name(),
                    ending.error,
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                    now
                ],
            )
            .await?;
        let message = find(&mut tx, chat_id, id).await?;
        tx.execute(
            "UPDATE chats SET updated_at = $1 WHERE id = $2",
            values![now, chat_id],
        )
        .await?;
        let model = message.as_ref().and_then(|message| message.model.clone());
        // An account may have been deleted while it was answered: then nothing is counted.
        tx.execute(
            "INSERT INTO usage_days (user_id, day, model, requests, prompt_tokens, \
             completion_tokens) SELECT id, $2, $3, 1, $4, $5 FROM users WHERE id = $1 \
             ON CONFLICT (user_id, day, model) DO UPDATE SET \
             requests = usage_days.requests + 1, \
             prompt_tokens = usage_days.prompt_tokens + excluded.prompt_tokens, \
             completion_tokens = usage_days.completion_tokens + excluded.completion_tokens",
            values![
                user_id,
                now / 86_400_000,
                model.unwrap_or_default(),
                usage.prompt_tokens,
                usage.completion_tokens
            ],
        )
        .await?;
        tx.commit().await?;
        Ok(message.filter(|_| changed > 0))
    }

    /// Marks answers as cut that have not grown since `before`: who made them has died.
    pub async fn cut_answers(&self, before: i64) -> Result<u64> {
        let sql = "UPDATE messages SET status = 'cut' WHERE status = 'streaming' AND grown_at < $1";
        let cut = self.db.execute(sql, values![before]).await?;
        self.cut_calls().await?;
        Ok(cut)
    }

    /// Deletes a message and all that follows it, with files that no other has; gives the identities
    /// of what is gone.
    pub async fn delete_message(
        &self,
        user_id: &str,
        chat_id: &str,
        id: &str,
    ) -> Result<Vec<String>> {
        let mut tx = self.db.begin().await?;
        let chat = locked_chat(self, &mut tx, user_id, chat_id).await?;
        let root = find(&mut tx, chat_id, id)
            .await?
            .ok_or(StoreError::NotFound)?;
        let sql = "WITH RECURSIVE below (id) AS (SELECT m.id FROM messages m WHERE \
                   m.chat_id = $1 AND m.id = $2 UNION ALL SELECT m.id FROM messages m \
                   JOIN below ON m.parent_id = below.id WHERE m.chat_id = $1) \
                   DELETE FROM messages WHERE chat_id = $1 AND id IN (SELECT id FROM below) \
                   RETURNING id, attachments";
        let rows = tx.fetch(sql, values![chat_id, id]).await?;
        let (mut gone, mut files) = (Vec::new(), Vec::new());
        for mut row in rows {
            gone.push(row.text()?);
            files.push(row.text()?);
        }
        forget_files(self.db.dialect(), &mut tx, user_id, named_in(files)).await?;
        if chat.leaf_id.is_some_and(|leaf| gone.contains(&leaf)) {
            tx.execute(
                "UPDATE chats SET leaf_id = $1 WHERE id = $2",
                values![root.parent_id, chat_id],
            )
            .await?;
        }
        tx.commit().await?;
        Ok(gone)
    }

    /// Keeps chats from elsewhere, all or none of them.
    pub async fn import(&self, user_id: &str, chats: &[ImportedChat]) -> Result<()> {
        let mut tx = self.db.begin().await?;
        for imported in chats {
            let chat_id = new_id()?;
            tx.execute(
                "INSERT INTO chats (id, user_id, title, pinned, archived, leaf_id, created_at, \
                 updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                values![
                    &chat_id,
                    user_id,
                    &imported.title,
                    imported.pinned,
                    imported.archived,
                    &imported.leaf_id,
                    imported.created_at,
                    imported.updated_at
                ],
            )
            .await?;
            for part in imported.messages.chunks(ROWS_AT_ONCE) {
                let rows: Vec<Message> = part
                    .iter()
                    .map(|message| Message {
                        chat_id: chat_id.clone(),
                        status: Status::Done,
                        ..message.clone()
                    })
                    .collect();
                insert(&mut tx, user_id, &rows).await?;
            }
        }
        tx.commit().await
    }
}

/// A chat that nobody else changes until the transaction ends.
async fn locked_chat(store: &Store, tx: &mut Tx, user_id: &str, chat_id: &str) -> Result<Chat> {
    let sql = format!(
        "SELECT {CHAT} FROM chats WHERE id = $1 AND user_id = $2{}",
        store.db.dialect().for_update()
    );
    chat(&mut tx.one(&sql, values![chat_id, user_id]).await?)
}

async fn find(tx: &mut Tx, chat_id: &str, id: &str) -> Result<Option<Message>> {
    let sql = format!("SELECT {MESSAGE} FROM messages m WHERE m.chat_id = $1 AND m.id = $2");
    let found = tx.maybe(&sql, values![chat_id, id]).await?;
    found.map(|mut row| message(&mut row)).transpose()
}

/// Makes the place of an answer and shows its branch.
async fn open_answer(
    tx: &mut Tx,
    user_id: &str,
    chat_id: &str,
    question: &str,
    model: &str,
) -> Result<Message> {
    let count = "SELECT COUNT(*) FROM messages WHERE chat_id = $1";
    if tx.one(count, values![chat_id]).await?.int()? >= MESSAGES_MAX {
        return Err(StoreError::Full(
            "this chat has as many messages as one may have",
        ));
    }
    let (id, now) = (new_id()?, now_ms());
    let answer = Message {
        id: id.clone(),
        chat_id: chat_id.to_owned(),
        parent_id: Some(question.to_owned()),
        role: Role::Assistant,
        content: String::new(),
        status: Status::Streaming,
        error: None,
        model: Some(model.to_owned()),
        attachments: "[]".to_owned(),
        usage: None,
        sources: None,
        created_at: now,
    };
    insert(tx, user_id, std::slice::from_ref(&answer)).await?;
    tx.execute(
        "UPDATE chats SET leaf_id = $1, updated_at = $2 WHERE id = $3",
        values![&id, now, chat_id],
    )
    .await?;
    Ok(answer)
}

async fn insert(tx: &mut Tx, user_id: &str, rows: &[Message]) -> Result<()> {
    const COLUMNS: usize = 11;
    let mut sql = "INSERT INTO messages (chat_id, id, user_id, parent_id, role, content, status, \
                   model, attachments, created_at, grown_at) VALUES "
        .to_owned();
    let mut all = Vec::with_capacity(rows.len() * COLUMNS);
    for (index, row) in rows.iter().enumerate() {
        let places: Vec<String> = (1..=COLUMNS)
            .map(|column| format!("${}", index * COLUMNS + column))
            .collect();
        sql.push_str(if index > 0 { ", (" } else { "(" });
        sql.push_str(&places.join(", "));
        sql.push(')');
        all.extend(values![
            &row.chat_id,
            &row.id,
            user_id,
            &row.parent_id,
            row.role.name(),
            &row.content,
            row.status.name(),
            &row.model,
            &row.attachments,
            row.created_at,
            now_ms()
        ]);
    }
    let done = tx.execute(&sql, all).await;
    done.map(drop).map_err(|error| {
        if error.is_collision() {
            StoreError::Conflict("id: another message has it already")
        } else if error.is_dangling() {
            PARENT
        } else {
            error
        }
    })
}

/// The first words of a question, as a title until there is a better one.
fn title_of(content: &str) -> String {
    const CHARS_MAX: usize = 60;
    let first = content.lines().map(str::trim).find(|line| !line.is_empty());
    let first = first
        .unwrap_or_default()
        .trim_start_matches(['#', '>', '*', ' ']);
    if first.chars().count() <= CHARS_MAX {
        return first.to_owned();
    }
    let cut: String = first.chars().take(CHARS_MAX).collect();
    // Whole words, where there are any.
    let whole = cut.rsplit_once(char::is_whitespace);
    let whole = whole.map_or(cut.as_str(), |(words, _)| words);
    format!("{}…", whole.trim_end())
}

#[cfg(test)]
mod tests {
    use super::title_of;

    #[test]
    fn a_title_is_the_first_words() {
        assert_eq!(
            title_of("\n\n ## Name three fruits.\nMore"),
            "Name three fruits."
        );
        assert_eq!(title_of("   "), "");
        let long = title_of(&"word ".repeat(40));
        assert!(
            long.ends_with("word…") && long.chars().count() <= 61,
            "{long}"
        );
        assert_eq!(title_of(&"字".repeat(100)), format!("{}…", "字".repeat(60)));
    }
}
