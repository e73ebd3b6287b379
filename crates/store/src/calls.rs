//! Calls of tools that belong to answers.
//!
//! Invariant: a call is decided once, by the one whose chat it is in; from then on its state moves
//! forward alone.

use crate::db::{Row, values};
use crate::error::{Result, StoreError};
use crate::id::{new_id, now_ms};
use crate::store::Store;

/// Calls of one answer.
const CALLS_MAX: i64 = 200;

/// How it is with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// The person is asked.
    Waiting,
    /// Allowed, and under way.
    Running,
    /// There is a result.
    Done,
    /// It went wrong; the result says how.
    Failed,
    /// The person did not allow it.
    Denied,
    /// The person ended the answer before.
    Stopped,
    /// The server died meanwhile.
    Cut,
}

impl CallState {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Stopped => "stopped",
            Self::Cut => "cut",
        }
    }

    fn of(name: &str) -> Result<Self> {
        match name {
            "waiting" => Ok(Self::Waiting),
            "running" => Ok(Self::Running),
            "done" => Ok(Self::Done),
            "failed" => Ok(Self::Failed),
            "denied" => Ok(Self::Denied),
            "stopped" => Ok(Self::Stopped),
            "cut" => Ok(Self::Cut),
            other => Err(StoreError::Damaged(format!("a call is {other}"))),
        }
    }
}

/// A call of a tool that belongs to an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolCall {
    /// Its identity within the chat.
    pub id: String,
    /// The answer.
    pub message_id: String,
    /// Which turn of the model within the answer made it.
    pub round: i64,
    /// Bytes of the answer's text before it.
    pub at: i64,
    /// The server; empty: there is no such tool.
    pub server_id: String,
    /// What the server was called.
    pub server: String,
    /// The tool, as its server calls it.
    pub tool: String,
    /// The tool, as the model was told of it.
    pub offered: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
    /// How it is with it.
    pub state: CallState,
    /// A text: what came back, or what went wrong.
    pub result: String,
    /// A JSON object: what came back besides text, by name, and what the result says about itself.
    pub detail: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// When it came to its end.
    pub ended_at: Option<i64>,
}

const CALL: &str = "c.id, c.message_id, c.round, c.at_byte, c.server_id, c.server, c.tool, \
                    c.offered, c.arguments, c.state, c.result, c.detail, c.created_at, c.ended_at";

fn call(row: &mut Row) -> Result<ToolCall> {
    Ok(ToolCall {
        id: row.text()?,
        message_id: row.text()?,
        round: row.int()?,
        at: row.int()?,
        server_id: row.text()?,
        server: row.text()?,
        tool: row.text()?,
        offered: row.text()?,
        arguments: row.text()?,
        state: CallState::of(&row.text()?)?,
        result: row.text()?,
        detail: row.text()?,
        created_at: row.int()?,
        ended_at: row.int_or_none()?,
    })
}

impl Store {
    /// Keeps a call of an answer that grows in one of somebody's chats; its identity and times are
    /// set here.
    pub async fn add_call(&self, user_id: &str, chat_id: &str, new: ToolCall) -> Result<ToolCall> {
        let made = ToolCall {
            id: new_id()?,
            created_at: now_ms(),
            ..new
        };
        let added = self
            .db
            .execute(
                "INSERT INTO tool_calls (chat_id, message_id, id, user_id, round, at_byte, \
                 server_id, server, tool, offered, arguments, state, result, detail, created_at, \
                 ended_at) SELECT m.chat_id, m.id, $3, chats.user_id, $5, $6, $7, $8, $9, $10, $11, \
                 $12, $13, $14, $15, $16 FROM messages m JOIN chats ON chats.id = m.chat_id \
                 WHERE m.chat_id = $1 AND m.id = $2 AND chats.user_id = $4 \
                 AND m.status = 'streaming' AND (SELECT COUNT(*) FROM tool_calls c WHERE \
                 c.chat_id = $1 AND c.message_id = $2) < $17",
                values![
                    chat_id,
                    &made.message_id,
                    &made.id,
                    user_id,
                    made.round,
                    made.at,
                    &made.server_id,
                    &made.server,
                    &made.tool,
                    &made.offered,
                    &made.arguments,
                    made.state.name(),
                    &made.result,
                    &made.detail,
                    made.created_at,
                    made.ended_at,
                    CALLS_MAX
                ],
            )
            .await?;
        if added == 0 {
            return Err(StoreError::NotFound);
        }
        Ok(made)
    }

    /// All calls in one of somebody's chats, in the order in which they were made.
    pub async fn calls_of_chat(&self, user_id: &str, chat_id: &str) -> Result<Vec<ToolCall>> {
        let sql = format!(
            "SELECT {CALL} FROM tool_calls c JOIN chats ON chats.id = c.chat_id \
             WHERE c.chat_id = $1 AND chats.user_id = $2 ORDER BY c.seq"
        );
        let mut rows = self.db.fetch(&sql, values![chat_id, user_id]).await?;
        rows.iter_mut().map(call).collect()
    }

    /// The calls of one answer in one of somebody's chats, in their order.
    pub async fn calls_of_message(
        &self,
        user_id: &str,
        chat_id: &str,
        message_id: &str,
    ) -> Result<Vec<ToolCall>> {
        let sql = format!(
            "SELECT {CALL} FROM tool_calls c JOIN chats ON chats.id = c.chat_id \
             WHERE c.chat_id = $1 AND chats.user_id = $2 AND c.message_id = $3 ORDER BY c.seq"
        );
        let values = values![chat_id, user_id, message_id];
        let mut rows = self.db.fetch(&sql, values).await?;
        rows.iter_mut().map(call).collect()
    }

    /// One call in one of somebody's chats.
    pub async fn call(&self, user_id: &str, chat_id: &str, id: &str) -> Result<ToolCall> {
        let sql = format!(
            "SELECT {CALL} FROM tool_calls c JOIN chats ON chats.id = c.chat_id \
             WHERE c.chat_id = $1 AND chats.user_id = $2 AND c.id = $3"
        );
        call(&mut self.db.one(&sql, values![chat_id, user_id, id]).await?)
    }

    /// Decides on a call that waits, in one of somebody's chats. False: it waits no more.
    pub async fn decide_call(
        &self,
        user_id: &str,
        chat_id: &str,
        id: &str,
        allow: bool,
    ) -> Result<bool> {
        let (state, ended) = if allow {
            (CallState::Running, None)
        } else {
            (CallState::Denied, Some(now_ms()))
        };
        let sql = "UPDATE tool_calls SET state = $4, ended_at = $5 WHERE chat_id = $1 AND id = $3 \
                   AND state = 'waiting' AND EXISTS (SELECT 1 FROM chats WHERE chats.id = $1 \
                   AND chats.user_id = $2)";
        let values = values![chat_id, user_id, id, state.name(), ended];
        if self.db.execute(sql, values).await? > 0 {
            return Ok(true);
        }
        self.call(user_id, chat_id, id).await?;
        Ok(false)
    }

    /// Ends a call that is open. False: it has ended.
    pub async fn end_call(
        &self,
        chat_id: &str,
        id: &str,
        state: CallState,
        result: &str,
        detail: &str,
    ) -> Result<bool> {
        let sql = "UPDATE tool_calls SET state = $3, result = $4, detail = $5, ended_at = $6 \
                   WHERE chat_id = $1 AND id = $2 AND state IN ('waiting', 'running')";
        let values = values![chat_id, id, state.name(), result, detail, now_ms()];
        Ok(self.db.execute(sql, values).await? > 0)
    }

    /// Marks calls as cut that are open while their answer grows no more: who made them has died.
    pub(crate) async fn cut_calls(&self) -> Result<u64> {
        let sql = "UPDATE tool_calls SET state = 'cut', ended_at = $1 \
                   WHERE state IN ('waiting', 'running') AND EXISTS (SELECT 1 FROM messages m \
                   WHERE m.chat_id = tool_calls.chat_id AND m.id = tool_calls.message_id \
                   AND m.status <> 'streaming')";
        self.db.execute(sql, values![now_ms()]).await
    }
}
