//! Sending, answering again, going on, stopping, deleting.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use terang_store::{Message, Role, Status, User};

use super::answering::Begin;
use super::visitor::Person;
use super::wire::{Answer, DONE, Done, Send, Sent, WebMessage};
use super::{answering, chats, text};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

const CONTENT_BYTES_MAX: usize = 4 << 20;
const ATTACHMENTS_MAX: usize = 20;

/// The model that answers in a chat.
async fn model_of(app: &App, user: &User, chat_id: &str) -> ApiResult<String> {
    let chat = app.web.store.chat(&user.id, chat_id).await?;
    // A chat may name a model that is served no more: then the default answers.
    let model = chat
        .model
        .as_deref()
        .and_then(|name| app.models.resolve_answering(name).ok());
    Ok(model.unwrap_or_else(|| app.models.first()).to_owned())
}

/// Sends a question. It is kept, and its answer has its place, when the response comes; the answer is
/// made whether or not anybody follows its stream.
#[utoipa::path(post, path = "/api/chats/{id}/messages", tag = "messages", request_body = Send,
    params(("id" = String, Path, description = "the chat")),
    responses((status = 200, description = "the question, and the place of its answer", body = Sent),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn send(
    State(app): State<Arc<App>>,
    person: Person,
    Path(chat_id): Path<String>,
    Json(send): Json<Send>,
) -> ApiResult<Response> {
    let user = &person.0;
    text::id("id", &send.id)?;
    let content = text::lines("content", &send.content, CONTENT_BYTES_MAX)?;
    if content.trim().is_empty() && send.attachments.is_empty() {
        return Err(ApiError::invalid(
            "content",
            "allowed is a text that is not empty",
        ));
    }
    if send.attachments.len() > ATTACHMENTS_MAX {
        return Err(ApiError::invalid(
            "attachments",
            format!("allowed are {ATTACHMENTS_MAX} files"),
        ));
    }
    let model = model_of(&app, user, &chat_id).await?;
    for id in &send.attachments {
        app.web.store.attachment(&user.id, id).await?;
    }
    app.web.answering.check_room(&user.id)?;
    let question = Message {
        id: send.id,
        chat_id: chat_id.clone(),
        parent_id: send.parent_id,
        role: Role::User,
        content,
        status: Status::Done,
        error: None,
        model: None,
        attachments: serde_json::to_string(&send.attachments)
            .map_err(|e| ApiError::internal(e.to_string()))?,
        usage: None,
        sources: None,
        created_at: 0,
    };
    let store = &app.web.store;
    let (question, answer, new) = store.send(&user.id, &chat_id, &question, &model).await?;
    let files = chats::files_of(&app, &user.id, &chat_id, std::slice::from_ref(&question)).await?;
    if new {
        let begin = Begin {
            use_tool: send.use_tool,
            ..Begin::default()
        };
        answering::begin(&app, person, &answer, begin);
    }
    Ok(json_body(&Sent {
        message: WebMessage::of(question, &files),
        answer: WebMessage::of(answer, &[]),
    }))
}

/// Answers a question again: another branch.
#[utoipa::path(post, path = "/api/chats/{id}/messages/{mid}/answer", tag = "messages",
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the question")),
    responses((status = 200, description = "the place of the answer", body = Answer),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn again(
    State(app): State<Arc<App>>,
    person: Person,
    Path((chat_id, id)): Path<(String, String)>,
) -> ApiResult<Response> {
    let model = model_of(&app, &person.0, &chat_id).await?;
    app.web.answering.check_room(&person.0.id)?;
    let store = &app.web.store;
    let answer = store
        .answer_again(&person.0.id, &chat_id, &id, &model)
        .await?;
    answering::begin(&app, person, &answer, Begin::default());
    Ok(json_body(&Answer {
        answer: WebMessage::of(answer, &[]),
    }))
}

/// Goes on with an answer that was stopped or cut.
#[utoipa::path(post, path = "/api/chats/{id}/messages/{mid}/continue", tag = "messages",
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the answer")),
    responses((status = 200, description = "the answer", body = Answer),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn go_on(
    State(app): State<Arc<App>>,
    person: Person,
    Path((chat_id, id)): Path<(String, String)>,
) -> ApiResult<Response> {
    app.web.answering.check_room(&person.0.id)?;
    let store = &app.web.store;
    let answer = store.reopen(&person.0.id, &chat_id, &id).await?;
    let calls = store.calls_of_message(&person.0.id, &chat_id, &id).await?;
    let begin = Begin {
        continued: true,
        ..Begin::default()
    };
    answering::begin(&app, person, &answer, begin);
    Ok(json_body(&Answer {
        answer: WebMessage::of(answer, &[]).with_calls(calls),
    }))
}

/// Stops an answer; what there is of it stays.
#[utoipa::path(post, path = "/api/chats/{id}/messages/{mid}/stop", tag = "messages",
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the answer")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such answer", body = ErrorBody)))]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path((chat_id, id)): Path<(String, String)>,
) -> ApiResult<Response> {
    app.web.store.message(&user.id, &chat_id, &id).await?;
    if let Some(live) = app.web.answering.get(&chat_id, &id) {
        live.stop();
    }
    Ok(json_body(&DONE))
}

/// Deletes a message and all that follows it.
#[utoipa::path(delete, path = "/api/chats/{id}/messages/{mid}", tag = "messages",
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the message")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such message", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path((chat_id, id)): Path<(String, String)>,
) -> ApiResult<Response> {
    let gone = app
        .web
        .store
        .delete_message(&user.id, &chat_id, &id)
        .await?;
    for id in gone {
        if let Some(live) = app.web.answering.get(&chat_id, &id) {
            live.stop();
        }
    }
    Ok(json_body(&DONE))
}
