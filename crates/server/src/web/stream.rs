//! Reading an answer as it grows, from any byte on, any number of times and from any number of tabs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use terang_store::{Message, Status, ToolCall};
use utoipa::IntoParams;

use super::answering::{Live, rest};
use super::chats::query;
use super::visitor::Person;
use super::wire::{MoreText, WebMessage, WebToolCall};
use crate::app::App;
use crate::error::{ApiResult, ErrorBody};
use crate::http::sse::{self, EventWriter, Gone};

/// An answer that another process makes is looked up so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// From where to read.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct From {
    /// Bytes of UTF-8 that are held already.
    from: Option<usize>,
}

/// Follows an answer: events `text` with `at` and `text`, `call` with a call of a tool each time that
/// it is otherwise with it, and at the end `done` with the message. One that has ended gives its rest
/// and `done`.
#[utoipa::path(get, path = "/api/chats/{id}/messages/{mid}/stream", tag = "messages",
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the answer"), From),
    responses((status = 200, description = "events", content_type = "text/event-stream", body = MoreText),
        (status = 404, description = "no such message", body = ErrorBody)))]
pub(crate) async fn follow(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path((chat_id, id)): Path<(String, String)>,
    from: Result<Query<From>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let from = query(from)?.from.unwrap_or(0);
    // Whose it is comes first. What lives is looked up before the message, lest it end in between
    // and be missed in both.
    let live = app.web.answering.get(&chat_id, &id);
    let message = app.web.store.message(&user.id, &chat_id, &id).await?;
    Ok(sse::respond(move |writer| async move {
        let reader = Reader {
            app,
            user_id: user.id,
            writer,
            at: from,
            told: Vec::new(),
        };
        reader.read(live, message).await
    }))
}

struct Reader {
    app: Arc<App>,
    user_id: String,
    writer: EventWriter,
    at: usize,
    /// Calls as they were told last.
    told: Vec<WebToolCall>,
}

impl Reader {
    async fn read(mut self, live: Option<Arc<Live>>, mut message: Message) -> Result<(), Gone> {
        if let Some(live) = live {
            self.follow(&live).await?;
            message = self.look_up(&message).await?;
        }
        while message.status == Status::Streaming {
            // Calls are read before the text: the text that stands before one is then there too.
            let calls = self.look_up_calls(&message).await?;
            message = self.look_up(&message).await?;
            let (at, text) = rest(&message.content, self.at);
            self.text(at, &text).await?;
            self.calls(calls).await?;
            let wait = tokio::time::sleep(LOOK_EVERY);
            self.writer.wait(wait).await?;
            message = self.look_up(&message).await?;
        }
        let (at, text) = rest(&message.content, self.at);
        self.text(at, &text).await?;
        let calls = self.look_up_calls(&message).await?;
        let done = WebMessage::of(message, &[]).with_calls(calls);
        self.writer.named("done", &done).await
    }

    async fn follow(&mut self, live: &Live) -> Result<(), Gone> {
        let mut length = live.watch();
        loop {
            // Marked as seen before the text is read: what comes after is told again.
            length.borrow_and_update();
            let ended = live.has_ended();
            let calls = live.calls();
            let (at, text) = live.text_from(self.at);
            self.text(at, &text).await?;
            self.calls(calls).await?;
            if ended {
                return Ok(());
            }
            let changed = length.changed();
            if self.writer.wait(changed).await?.is_err() {
                return Ok(());
            }
        }
    }

    async fn text(&mut self, at: usize, text: &str) -> Result<(), Gone> {
        if text.is_empty() {
            return Ok(());
        }
        self.writer.named("text", &MoreText { at, text }).await?;
        self.at = at + text.len();
        Ok(())
    }

    async fn calls(&mut self, calls: Vec<ToolCall>) -> Result<(), Gone> {
        for call in calls.into_iter().map(WebToolCall::from) {
            let known = self.told.iter().position(|told| told.id == call.id);
            if known.is_some_and(|index| self.told[index] == call) {
                continue;
            }
            self.writer.named("call", &call).await?;
            match known {
                Some(index) => self.told[index] = call,
                None => self.told.push(call),
            }
        }
        Ok(())
    }

    async fn look_up_calls(&self, message: &Message) -> Result<Vec<ToolCall>, Gone> {
        let store = &self.app.web.store;
        let found = store
            .calls_of_message(&self.user_id, &message.chat_id, &message.id)
            .await;
        found.map_err(|_| Gone)
    }

    async fn look_up(&self, message: &Message) -> Result<Message, Gone> {
        let store = &self.app.web.store;
        let found = store
            .message(&self.user_id, &message.chat_id, &message.id)
            .await;
        // It was deleted meanwhile, or the database is away: the reader asks again, and is told.
        found.map_err(|_| Gone)
    }
}
