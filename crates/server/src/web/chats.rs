//! Chats: the list and what stands in it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use terang_store as store;
use utoipa::IntoParams;

use super::visitor::{Person, Visitor};
use super::wire::{
    Attached, ChatChange, ChatList, ChatSettings, DONE, Done, NewChat, WebChat, WebMessage,
    WebModel, WebModels, WholeChat,
};
use super::{embed, knowledge, text};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::models::Task;

const TITLE_CHARS_MAX: usize = 200;
const SYSTEM_BYTES_MAX: usize = 64 << 10;
const LIMIT: usize = 50;
const TOOL_SERVERS_MAX: usize = 32;

/// Which chats to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// 1: those in the archive.
    archived: Option<u8>,
    /// Those in this folder alone.
    folder: Option<String>,
    /// Where the list goes on: `next` of the part before.
    before: Option<String>,
    /// How many.
    limit: Option<usize>,
}

/// What cannot be understood of an address.
pub(super) fn query<T>(
    query: Result<Query<T>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<T> {
    query
        .map(|Query(query)| query)
        .map_err(|_| ApiError::bad("query: a parameter is unknown or of the wrong kind"))
}

/// Lists the models that can answer.
#[utoipa::path(get, path = "/api/models", tag = "chats",
    responses((status = 200, description = "the models", body = WebModels)))]
pub(crate) async fn models(State(app): State<Arc<App>>, _: Person) -> Response {
    let models = app
        .models
        .list()
        .filter(|model| model.task == Task::Generate)
        .enumerate()
        .map(|(index, model)| WebModel {
            id: model.name.to_owned(),
            name: model.name.to_owned(),
            loaded: model.loaded,
            context: model.context_len,
            default: index == 0,
        });
    json_body(&WebModels {
        models: models.collect(),
    })
}

/// Lists one's chats.
#[utoipa::path(get, path = "/api/chats", tag = "chats", params(Listed),
    responses((status = 200, description = "a part of the list", body = ChatList)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Person(user): Person,
    listed: Result<Query<Listed>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let listed = query(listed)?;
    let filter = store::ChatFilter {
        archived: listed.archived == Some(1),
        folder_id: listed.folder.as_deref(),
        before: listed.before.as_deref(),
        limit: listed.limit.unwrap_or(LIMIT).clamp(1, 200),
    };
    let page = app.web.store.chats(&user.id, filter).await?;
    Ok(json_body(&ChatList {
        chats: page.chats.into_iter().map(WebChat::from).collect(),
        next: page.next,
    }))
}

/// Settings that can be used, as they are kept.
pub(super) fn settings(settings: &ChatSettings) -> ApiResult<String> {
    let wrong = |name: &str, allowed: &str| {
        Err(ApiError::invalid(
            &format!("settings.{name}"),
            format!("allowed is {allowed}"),
        ))
    };
    if settings
        .temperature
        .is_some_and(|t| !(0.0..=100.0).contains(&t))
    {
        return wrong("temperature", "0 to 100");
    }
    if settings.top_p.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        return wrong("top_p", "0 to 1");
    }
    if settings.max_tokens == Some(0) {
        return wrong("max_tokens", "1 or more");
    }
    if let Some(system) = &settings.system {
        text::lines("settings.system", system, SYSTEM_BYTES_MAX)?;
    }
    if settings.tools.len() > TOOL_SERVERS_MAX {
        return wrong("tools", &format!("{TOOL_SERVERS_MAX} servers at most"));
    }
    for id in &settings.tools {
        text::id("settings.tools", id)?;
    }
    serde_json::to_string(settings).map_err(|e| ApiError::internal(e.to_string()))
}

/// Settings that somebody may use, as they are kept.
async fn own_settings(app: &App, visitor: &Visitor, given: &ChatSettings) -> ApiResult<String> {
    if let Some(embed) = &visitor.embed {
        embed::check_tools(app, embed, &given.tools).await?;
    }
    settings(given)
}

/// Makes a chat.
#[utoipa::path(post, path = "/api/chats", tag = "chats", request_body = NewChat,
    responses((status = 200, description = "the chat", body = WebChat),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Json(new): Json<NewChat>,
) -> ApiResult<Response> {
    let chosen = new.settings.unwrap_or_default();
    knowledge::check(&app, &user, &chosen, "").await?;
    let title = match new.title.as_deref().map(str::trim) {
        None | Some("") => String::new(),
        Some(title) => text::line("title", title, TITLE_CHARS_MAX)?,
    };
    let model = new
        .model
        .as_deref()
        .map(|name| app.models.resolve_answering(name));
    let made = store::NewChat {
        title: &title,
        model: model.transpose()?,
        settings: &own_settings(&app, &visitor, &chosen).await?,
        folder_id: new.folder_id.as_deref(),
        temporary: new.temporary,
    };
    let chat = app.web.store.create_chat(&user.id, made).await?;
    Ok(json_body(&WebChat::from(chat)))
}

/// The files that belong to a chat's messages.
pub(super) async fn files_of(
    app: &App,
    user_id: &str,
    chat_id: &str,
    messages: &[store::Message],
) -> ApiResult<Vec<Attached>> {
    if messages.iter().all(|message| message.attachments == "[]") {
        return Ok(Vec::new());
    }
    let files = app.web.store.attachments_of_chat(user_id, chat_id).await?;
    Ok(files.into_iter().map(Attached::from).collect())
}

/// A chat with all of its messages.
pub(super) async fn whole(app: &App, user_id: &str, id: &str) -> ApiResult<WholeChat> {
    let store = &app.web.store;
    let chat = store.chat(user_id, id).await?;
    let messages = store.messages(user_id, id).await?;
    let files = files_of(app, user_id, id, &messages).await?;
    let mut calls: HashMap<String, Vec<store::ToolCall>> = HashMap::new();
    for call in store.calls_of_chat(user_id, id).await? {
        calls.entry(call.message_id.clone()).or_default().push(call);
    }
    let messages = messages.into_iter().map(|message| {
        let calls = calls.remove(&message.id).unwrap_or_default();
        WebMessage::of(message, &files).with_calls(calls)
    });
    Ok(WholeChat {
        chat: chat.into(),
        messages: messages.collect(),
    })
}

/// Gives a chat with all of its messages.
#[utoipa::path(get, path = "/api/chats/{id}", tag = "chats",
    params(("id" = String, Path, description = "the chat")),
    responses((status = 200, description = "the chat", body = WholeChat),
        (status = 404, description = "no such chat", body = ErrorBody)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    Ok(json_body(&whole(&app, &user.id, &id).await?))
}

/// Changes a chat.
#[utoipa::path(patch, path = "/api/chats/{id}", tag = "chats", request_body = ChatChange,
    params(("id" = String, Path, description = "the chat")),
    responses((status = 200, description = "the chat", body = WebChat),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Json(change): Json<ChatChange>,
) -> ApiResult<Response> {
    let title = change
        .title
        .map(|title| text::line("title", &title, TITLE_CHARS_MAX));
    let model = match change.model {
        Some(Some(name)) => Some(Some(app.models.resolve_answering(&name)?.to_owned())),
        other => other,
    };
    let settings = match &change.settings {
        Some(settings) => {
            let was = app.web.store.chat(&user.id, &id).await?;
            knowledge::check(&app, &user, settings, &was.settings).await?;
            Some(own_settings(&app, &visitor, settings).await?)
        }
        None => None,
    };
    let change = store::ChatChange {
        title: title.transpose()?,
        folder_id: change.folder_id,
        pinned: change.pinned,
        archived: change.archived,
        model,
        settings,
        leaf_id: change.leaf_id,
    };
    let chat = app.web.store.change_chat(&user.id, &id, change).await?;
    Ok(json_body(&WebChat::from(chat)))
}

/// Deletes a chat.
#[utoipa::path(delete, path = "/api/chats/{id}", tag = "chats",
    params(("id" = String, Path, description = "the chat")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such chat", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_chat(&user.id, &id).await?;
    app.web.answering.stop_all_in(&id);
    Ok(json_body(&DONE))
}
