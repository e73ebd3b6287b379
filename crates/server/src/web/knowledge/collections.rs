//! Collections.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::find;
use crate::app::App;
use crate::error::{ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::web::chats::query;
use crate::web::text;
use crate::web::visitor::Person;
use crate::web::wire::{
    Collection, CollectionChange, Collections, DONE, Done, FoundPassage, FoundPassages,
    NewCollection,
};

const NAME_CHARS_MAX: usize = 100;
const DESCRIPTION_BYTES_MAX: usize = 4 << 10;
const QUESTION_BYTES_MAX: usize = 4 << 10;
/// Passages that a search gives.
const FOUND_MAX: usize = 20;

/// Lists one's collections.
#[utoipa::path(get, path = "/api/collections", tag = "knowledge",
    responses((status = 200, description = "one's collections", body = Collections)))]
pub(crate) async fn list(State(app): State<Arc<App>>, Person(user): Person) -> ApiResult<Response> {
    let collections = app.web.store.collections(&user.id).await?;
    let collections = collections.into_iter().map(Collection::from).collect();
    Ok(json_body(&Collections { collections }))
}

/// Makes a collection.
#[utoipa::path(post, path = "/api/collections", tag = "knowledge", request_body = NewCollection,
    responses((status = 200, description = "the collection", body = Collection),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Json(new): Json<NewCollection>,
) -> ApiResult<Response> {
    let name = text::line("name", &new.name, NAME_CHARS_MAX)?;
    let description = new.description.unwrap_or_default();
    let description = text::lines("description", &description, DESCRIPTION_BYTES_MAX)?;
    let store = &app.web.store;
    let made = store.create_collection(&user.id, &name, &description);
    Ok(json_body(&Collection::from(made.await?)))
}

/// Gives a collection.
#[utoipa::path(get, path = "/api/collections/{id}", tag = "knowledge",
    params(("id" = String, Path, description = "the collection")),
    responses((status = 200, description = "the collection", body = Collection),
        (status = 404, description = "no such collection", body = ErrorBody)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let found = app.web.store.collection(&user.id, &id).await?;
    Ok(json_body(&Collection::from(found)))
}

/// Changes a collection.
#[utoipa::path(patch, path = "/api/collections/{id}", tag = "knowledge",
    request_body = CollectionChange,
    params(("id" = String, Path, description = "the collection")),
    responses((status = 200, description = "the collection", body = Collection),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    Json(change): Json<CollectionChange>,
) -> ApiResult<Response> {
    let name = change
        .name
        .map(|name| text::line("name", &name, NAME_CHARS_MAX));
    let name = name.transpose()?;
    let description = change
        .description
        .map(|text| text::lines("description", &text, DESCRIPTION_BYTES_MAX));
    let description = description.transpose()?;
    let store = &app.web.store;
    let changed = store.change_collection(&user.id, &id, name.as_deref(), description.as_deref());
    Ok(json_body(&Collection::from(changed.await?)))
}

/// Deletes a collection with all of its documents.
#[utoipa::path(delete, path = "/api/collections/{id}", tag = "knowledge",
    params(("id" = String, Path, description = "the collection")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such collection", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_collection(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// What to look for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// A question, or words.
    q: String,
}

/// Finds the passages of a collection that fit a question, the best first.
#[utoipa::path(get, path = "/api/collections/{id}/search", tag = "knowledge",
    params(("id" = String, Path, description = "the collection"), Asked),
    responses((status = 200, description = "the passages", body = FoundPassages),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    asked: Result<Query<Asked>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let asked = query(asked)?;
    let question = text::lines("q", &asked.q, QUESTION_BYTES_MAX)?;
    app.web.store.collection(&user.id, &id).await?;
    let found = find::passages(&app, &user.id, &[id], &question, FOUND_MAX).await?;
    Ok(json_body(&FoundPassages {
        passages: found.into_iter().map(FoundPassage::from).collect(),
    }))
}
