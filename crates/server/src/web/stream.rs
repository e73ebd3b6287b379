//! Reading an answer as it grows, from any byte on, any number of times and from any number of tabs.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use terang_store::{Message, Status};
use utoipa::IntoParams;

use super::answering::{Live, rest};
use super::chats::query;
use super::visitor::Person;
use super::wire::{MoreText, WebMessage};
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

/// Follows an answer: events `text` with `at` and `text`, and at its end `done` with the message. One
/// that has ended gives its rest and `done`.
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
        };
        reader.read(live, message).await
    }))
}

struct Reader {
    app: Arc<App>,
    user_id: String,
    writer: EventWriter,
    at: usize,
}

impl Reader {
    async fn read(mut self, live: Option<Arc<Live>>, mut message: Message) -> Result<(), Gone> {
        if let Some(live) = live {
            self.follow(&live).await?;
            message = self.look_up(&message).await?;
        }
        while message.status == Status::Streaming {
            let (at, text) = rest(&message.content, self.at);
            self.text(at, &text).await?;
            let wait = tokio::time::sleep(LOOK_EVERY);
            self.writer.wait(wait).await?;
            message = self.look_up(&message).await?;
        }
        let (at, text) = rest(&message.content, self.at);
        self.text(at, &text).await?;
        let done = WebMessage::of(message, &[]);
        self.writer.named("done", &done).await
    }

    async fn follow(&mut self, live: &Live) -> Result<(), Gone> {
        let mut length = live.watch();
        loop {
            // Marked as seen before the text is read: what comes after is told again.
            length.borrow_and_update();
            let ended = live.has_ended();
            let (at, text) = live.text_from(self.at);
            self.text(at, &text).await?;
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

    async fn look_up(&self, message: &Message) -> Result<Message, Gone> {
        let store = &self.app.web.store;
        let found = store
            .message(&self.user_id, &message.chat_id, &message.id)
            .await;
        // It was deleted meanwhile, or the database is away: the reader asks again, and is told.
        found.map_err(|_| Gone)
    }
}
