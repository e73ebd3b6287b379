//! Documents of collections: up, how it is with them, down again, and a passage where it stands.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use terang_documents::{DocumentError, FILE_BYTES_MAX, Format};
use terang_store::{NewDocument, StoreError};

use super::encoding;
use crate::app::App;
use crate::error::{ApiResult, ErrorBody, json_body};
use crate::web::chats::query;
use crate::web::files::{Named, bare_name, mime, saved};
use crate::web::reading::refused;
use crate::web::upload;
use crate::web::visitor::Person;
use crate::web::wire::{DONE, Document, Documents, Done, ShownPassage};

/// Bytes of a document's text that are shown before and after a passage.
const AROUND_BYTES: usize = 2000;

/// Lists the documents of a collection, the newest first.
#[utoipa::path(get, path = "/api/collections/{id}/documents", tag = "knowledge",
    params(("id" = String, Path, description = "the collection")),
    responses((status = 200, description = "the documents", body = Documents),
        (status = 404, description = "no such collection", body = ErrorBody)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    store.collection(&user.id, &id).await?;
    let documents = store.documents(&user.id, &id).await?;
    let documents = documents.into_iter().map(Document::from).collect();
    let encoded = match encoding::model(&app) {
        Some(model) => Some(store.vector_count(&user.id, &id, &model).await?),
        None => None,
    };
    Ok(json_body(&Documents { documents, encoded }))
}

/// Uploads a document into a collection: text, Markdown, CSV, HTML, PDF or Word (.docx). It waits to be
/// read when the response comes.
#[utoipa::path(post, path = "/api/collections/{id}/documents", tag = "knowledge",
    params(("id" = String, Path, description = "the collection"), Named),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file"),
    responses((status = 200, description = "the document", body = Document),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    named: Result<Query<Named>, axum::extract::rejection::QueryRejection>,
    body: Body,
) -> ApiResult<Response> {
    let name = bare_name(&query(named)?.name)?;
    let store = &app.web.store;
    // Before the file is taken in.
    store.collection(&user.id, &id).await?;
    let data = upload::in_memory(body, FILE_BYTES_MAX).await?;
    if data.is_empty() {
        return Err(refused(&name, &DocumentError::NoText));
    }
    let format = Format::detect(&name, &data).map_err(|error| refused(&name, &error))?;
    let new = NewDocument {
        name: &name,
        mime: mime(&name, format),
        data,
    };
    let made = store.add_document(&user.id, &id, new).await?;
    app.web.to_read.notify_one();
    Ok(json_body(&Document::from(made)))
}

/// Tells how it is with a document.
#[utoipa::path(get, path = "/api/documents/{id}", tag = "knowledge",
    params(("id" = String, Path, description = "the document")),
    responses((status = 200, description = "the document", body = Document),
        (status = 404, description = "no such document", body = ErrorBody)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let found = app.web.store.document(&user.id, &id).await?;
    Ok(json_body(&Document::from(found)))
}

/// Deletes a document and its passages.
#[utoipa::path(delete, path = "/api/documents/{id}", tag = "knowledge",
    params(("id" = String, Path, description = "the document")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such document", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.delete_document(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Has a document read again that could not be read.
#[utoipa::path(post, path = "/api/documents/{id}/retry", tag = "knowledge",
    params(("id" = String, Path, description = "the document")),
    responses((status = 200, description = "the document", body = Document),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn retry(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let document = app.web.store.retry_document(&user.id, &id).await?;
    app.web.to_read.notify_one();
    Ok(json_body(&Document::from(document)))
}

/// Gives a document's file back, always to be saved and never to be shown: what is in it is not
/// trusted.
#[utoipa::path(get, path = "/api/documents/{id}/file", tag = "knowledge",
    params(("id" = String, Path, description = "the document")),
    responses((status = 200, description = "the file", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "no such document", body = ErrorBody)))]
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let document = store.document(&user.id, &id).await?;
    let data = store.document_data(&user.id, &id).await?;
    let body = Body::from(data);
    Ok(saved(&document.name, "application/octet-stream", body))
}

/// Shows a passage where it stands in its document.
#[utoipa::path(get, path = "/api/documents/{id}/passages/{number}", tag = "knowledge",
    params(("id" = String, Path, description = "the document"),
        ("number" = i64, Path, description = "the passage's place in it, counted from 0")),
    responses((status = 200, description = "the passage", body = ShownPassage),
        (status = 404, description = "no such passage", body = ErrorBody)))]
pub(crate) async fn passage(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path((id, number)): Path<(String, String)>,
) -> ApiResult<Response> {
    let number: i64 = number.parse().map_err(|_| StoreError::NotFound)?;
    let store = &app.web.store;
    let passage = store.passage(&user.id, &id, number).await?;
    let document = store.document(&user.id, &id).await?;
    let whole = store.document_text(&user.id, &id).await?;
    let (before, text, after) = around(&whole, passage.begins, passage.ends);
    Ok(json_body(&ShownPassage {
        number,
        page: passage.page,
        heading: passage.heading,
        before: before.to_owned(),
        text: text.to_owned(),
        after: after.to_owned(),
        previous: (number > 0).then(|| number - 1),
        next: (number + 1 < document.passages).then(|| number + 1),
        document: document.into(),
    }))
}

/// A range of a text, and some of what stands before and after it.
fn around(whole: &str, begins: i64, ends: i64) -> (&str, &str, &str) {
    let place = |at: i64| {
        let at = usize::try_from(at).unwrap_or(0).min(whole.len());
        floor(whole, at)
    };
    let (begins, ends) = (place(begins), place(ends).max(place(begins)));
    let from = floor(whole, begins.saturating_sub(AROUND_BYTES));
    let to = floor(whole, (ends + AROUND_BYTES).min(whole.len()));
    (&whole[from..begins], &whole[begins..ends], &whole[ends..to])
}

/// The beginning of the character that a byte lies in.
fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_stands_between_what_is_around_it() {
        let text = format!("{}middle{}", "é".repeat(3000), "字".repeat(3000));
        let begins = 6000;
        let (before, found, after) = around(&text, begins, begins + 6);
        assert_eq!(found, "middle");
        assert_eq!((before.chars().count(), after.chars().count()), (1000, 666));
        assert_eq!(around("aé", 9, -1), ("aé", "", ""));
        assert_eq!(around("", 0, 5), ("", "", ""));
        assert_eq!(around("aéb", 2, 3), ("a", "é", "b"));
    }
}
