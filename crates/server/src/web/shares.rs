//! Showing a chat to whoever has its link, as it was when it was shared.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use terang_store::Status;

use super::token;
use super::visitor::Person;
use super::wire::{DONE, Done, Share, SharedChat, SharedMessage, Shares};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};

/// Shares the branch of a chat that is shown.
#[utoipa::path(post, path = "/api/chats/{id}/shares", tag = "shares",
    params(("id" = String, Path, description = "the chat")),
    responses((status = 200, description = "the share", body = Share),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(chat_id): Path<String>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let chat = store.chat(&user.id, &chat_id).await?;
    let Some(leaf) = &chat.leaf_id else {
        return Err(ApiError::bad("a chat without messages cannot be shared"));
    };
    let branch = store.branch(&user.id, &chat_id, leaf).await?;
    if branch
        .iter()
        .any(|message| message.status == Status::Streaming)
    {
        return Err(ApiError::bad(
            "an answer is still being made; share the chat when it is there",
        ));
    }
    let messages: Vec<SharedMessage> = branch
        .into_iter()
        .map(|message| SharedMessage {
            role: message.role.name().to_owned(),
            content: message.content,
            model: message.model,
            created_at: message.created_at,
        })
        .collect();
    let content =
        serde_json::to_string(&messages).map_err(|e| ApiError::internal(e.to_string()))?;
    let secret = token::new()?;
    let share = store
        .share(&user.id, &chat_id, &secret, &chat.title, &content)
        .await?;
    Ok(json_body(&Share::from(share)))
}

/// Lists what one shares.
#[utoipa::path(get, path = "/api/shares", tag = "shares",
    responses((status = 200, description = "one's shares", body = Shares)))]
pub(crate) async fn list(State(app): State<Arc<App>>, Person(user): Person) -> ApiResult<Response> {
    let shares = app.web.store.shares(&user.id).await?;
    let shares = shares.into_iter().map(Share::from).collect();
    Ok(json_body(&Shares { shares }))
}

/// Ends a share: its link leads nowhere.
#[utoipa::path(delete, path = "/api/shares/{id}", tag = "shares",
    params(("id" = String, Path, description = "the share")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such share", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.unshare(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Gives what a link shows; nobody need log in for it.
#[utoipa::path(get, path = "/api/shared/{token}", tag = "shares",
    params(("token" = String, Path, description = "from the link")),
    responses((status = 200, description = "the chat as it was shared", body = SharedChat),
        (status = 404, description = "revoked, or never there", body = ErrorBody)))]
pub(crate) async fn shared(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
) -> ApiResult<Response> {
    let shared = app.web.store.shared(&secret).await?;
    let messages = serde_json::from_str(&shared.content)
        .map_err(|_| ApiError::internal("the share cannot be read"))?;
    Ok(json_body(&SharedChat {
        title: shared.title,
        messages,
    }))
}
