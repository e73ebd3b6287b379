//! Folders, prompts, assistants.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use terang_store as store;

use super::visitor::Person;
use super::wire::{
    Assistant, AssistantChange, Assistants, DONE, Done, Folder, FolderChange, Folders, NewFolder,
    NewPrompt, SavedPrompt, SavedPrompts,
};
use super::{chats, knowledge, text};
use crate::app::App;
use crate::error::{ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

const NAME_CHARS_MAX: usize = 100;
const TEXT_BYTES_MAX: usize = 64 << 10;

/// Lists one's folders.
#[utoipa::path(get, path = "/api/folders", tag = "library",
    responses((status = 200, description = "one's folders", body = Folders)))]
pub(crate) async fn folders(
    State(app): State<Arc<App>>,
    Person(user): Person,
) -> ApiResult<Response> {
    let folders = app.web.store.folders(&user.id).await?;
    let folders = folders.into_iter().map(Folder::from).collect();
    Ok(json_body(&Folders { folders }))
}

/// Makes a folder.
#[utoipa::path(post, path = "/api/folders", tag = "library", request_body = NewFolder,
    responses((status = 200, description = "the folder", body = Folder),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create_folder(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Json(new): Json<NewFolder>,
) -> ApiResult<Response> {
    let name = text::line("name", &new.name, NAME_CHARS_MAX)?;
    let told = new.instructions.unwrap_or_default();
    let told = text::lines("instructions", &told, TEXT_BYTES_MAX)?;
    let folder = app
        .web
        .store
        .create_folder(&user.id, &name, Some(&told))
        .await?;
    Ok(json_body(&Folder::from(folder)))
}

/// Changes a folder.
#[utoipa::path(patch, path = "/api/folders/{id}", tag = "library", request_body = FolderChange,
    params(("id" = String, Path, description = "the folder")),
    responses((status = 200, description = "the folder", body = Folder),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change_folder(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    Json(change): Json<FolderChange>,
) -> ApiResult<Response> {
    let name = change
        .name
        .map(|name| text::line("name", &name, NAME_CHARS_MAX));
    let name = name.transpose()?;
    // None is kept as an empty text.
    let told = change.instructions.map(Option::unwrap_or_default);
    let told = told.map(|told| text::lines("instructions", &told, TEXT_BYTES_MAX));
    let told = told.transpose()?;
    let store = &app.web.store;
    let folder = store.change_folder(&user.id, &id, name.as_deref(), told.as_deref());
    Ok(json_body(&Folder::from(folder.await?)))
}

/// Deletes a folder; its chats stay.
#[utoipa::path(delete, path = "/api/folders/{id}", tag = "library",
    params(("id" = String, Path, description = "the folder")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such folder", body = ErrorBody)))]
pub(crate) async fn delete_folder(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_folder(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Lists one's prompts.
#[utoipa::path(get, path = "/api/prompts", tag = "library",
    responses((status = 200, description = "one's prompts", body = SavedPrompts)))]
pub(crate) async fn prompts(
    State(app): State<Arc<App>>,
    Person(user): Person,
) -> ApiResult<Response> {
    let prompts = app.web.store.prompts(&user.id).await?;
    let prompts = prompts.into_iter().map(SavedPrompt::from).collect();
    Ok(json_body(&SavedPrompts { prompts }))
}

/// Makes a prompt.
#[utoipa::path(post, path = "/api/prompts", tag = "library", request_body = NewPrompt,
    responses((status = 200, description = "the prompt", body = SavedPrompt),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create_prompt(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Json(new): Json<NewPrompt>,
) -> ApiResult<Response> {
    let name = text::line("name", &new.name, NAME_CHARS_MAX)?;
    let text = text::lines("text", &new.text, TEXT_BYTES_MAX)?;
    let prompt = app.web.store.create_prompt(&user.id, &name, &text).await?;
    Ok(json_body(&SavedPrompt::from(prompt)))
}

/// Deletes a prompt.
#[utoipa::path(delete, path = "/api/prompts/{id}", tag = "library",
    params(("id" = String, Path, description = "the prompt")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such prompt", body = ErrorBody)))]
pub(crate) async fn delete_prompt(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_prompt(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Lists one's assistants.
#[utoipa::path(get, path = "/api/assistants", tag = "library",
    responses((status = 200, description = "one's assistants", body = Assistants)))]
pub(crate) async fn assistants(
    State(app): State<Arc<App>>,
    Person(user): Person,
) -> ApiResult<Response> {
    let assistants = app.web.store.assistants(&user.id).await?;
    let assistants = assistants.into_iter().map(Assistant::from).collect();
    Ok(json_body(&Assistants { assistants }))
}

/// An assistant with what is to be changed of it.
fn changed(
    app: &App,
    was: store::Assistant,
    change: AssistantChange,
) -> ApiResult<store::Assistant> {
    let AssistantChange {
        name,
        description,
        instructions,
        model,
        settings,
    } = change;
    let name = name.unwrap_or(was.name);
    let model = match model {
        None => was.model,
        Some(None) => None,
        Some(Some(name)) => Some(app.models.resolve_answering(&name)?.to_owned()),
    };
    let settings = match settings {
        None => was.settings,
        Some(settings) => chats::settings(&settings)?,
    };
    let description = description.unwrap_or(was.description);
    let instructions = instructions.unwrap_or(was.instructions);
    Ok(store::Assistant {
        id: was.id,
        name: text::line("name", &name, NAME_CHARS_MAX)?,
        description: text::lines("description", &description, TEXT_BYTES_MAX)?,
        instructions: text::lines("instructions", &instructions, TEXT_BYTES_MAX)?,
        model,
        settings,
    })
}

/// Makes an assistant.
#[utoipa::path(post, path = "/api/assistants", tag = "library", request_body = AssistantChange,
    responses((status = 200, description = "the assistant", body = Assistant),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create_assistant(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Json(change): Json<AssistantChange>,
) -> ApiResult<Response> {
    if let Some(settings) = &change.settings {
        knowledge::check(&app, &user, settings, "").await?;
    }
    let nothing = store::Assistant {
        settings: "{}".to_owned(),
        ..store::Assistant::default()
    };
    let new = changed(&app, nothing, change)?;
    let made = app.web.store.create_assistant(&user.id, new).await?;
    Ok(json_body(&Assistant::from(made)))
}

/// Changes an assistant.
#[utoipa::path(patch, path = "/api/assistants/{id}", tag = "library",
    request_body = AssistantChange,
    params(("id" = String, Path, description = "the assistant")),
    responses((status = 200, description = "the assistant", body = Assistant),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change_assistant(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    Json(change): Json<AssistantChange>,
) -> ApiResult<Response> {
    let was = app.web.store.assistant(&user.id, &id).await?;
    if let Some(settings) = &change.settings {
        knowledge::check(&app, &user, settings, &was.settings).await?;
    }
    let new = changed(&app, was, change)?;
    app.web.store.replace_assistant(&user.id, &new).await?;
    Ok(json_body(&Assistant::from(new)))
}

/// Deletes an assistant.
#[utoipa::path(delete, path = "/api/assistants/{id}", tag = "library",
    params(("id" = String, Path, description = "the assistant")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such assistant", body = ErrorBody)))]
pub(crate) async fn delete_assistant(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_assistant(&user.id, &id).await?;
    Ok(json_body(&DONE))
}
