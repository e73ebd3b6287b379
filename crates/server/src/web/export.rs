//! Out again: one chat as Markdown or JSON, or everything of one's own in one stream.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terang_store::{Message, Role, StoreError, User};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::chats::{query, whole};
use super::files::saved;
use super::visitor::Person;
use super::wire::{Assistant, Collection, Document, Folder, SavedPrompt};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody};

/// Parts on their way to the connection.
const PARTS_WAITING: usize = 4;

/// In which form.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Form {
    #[default]
    Markdown,
    Json,
}

/// In which form.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// `markdown` or `json`.
    #[param(value_type = Option<String>)]
    format: Option<Form>,
}

/// Gives a chat: the branch that is shown as Markdown, or all of it as JSON.
#[utoipa::path(get, path = "/api/chats/{id}/export", tag = "export",
    params(("id" = String, Path, description = "the chat"), Wanted),
    responses((status = 200, description = "the chat", content_type = "text/markdown", body = String),
        (status = 404, description = "no such chat", body = ErrorBody)))]
pub(crate) async fn chat(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    match query(wanted)?.format.unwrap_or_default() {
        Form::Json => {
            let whole = whole(&app, &user.id, &id).await?;
            let name = format!("{}.json", file_name(&whole.chat.title));
            let text = json!({ "terang_export": 1, "chats": [whole] }).to_string();
            Ok(saved(&name, "application/json", text.into()))
        }
        Form::Markdown => {
            let chat = store.chat(&user.id, &id).await?;
            let branch = match &chat.leaf_id {
                Some(leaf) => store.branch(&user.id, &id, leaf).await?,
                None => Vec::new(),
            };
            let name = format!("{}.md", file_name(&chat.title));
            let text = markdown(&chat.title, &branch);
            Ok(saved(&name, "text/markdown; charset=utf-8", text.into()))
        }
    }
}

fn file_name(title: &str) -> String {
    let fine = |c: char| {
        if c.is_alphanumeric() || c == '-' {
            c
        } else {
            ' '
        }
    };
    let words: String = title.chars().map(fine).take(60).collect();
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.is_empty() {
        "chat".to_owned()
    } else {
        words.join("-")
    }
}

fn markdown(title: &str, branch: &[Message]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("# {title}\n");
    for message in branch {
        let who = match message.role {
            Role::User => "You",
            Role::Assistant => message.model.as_deref().unwrap_or("Assistant"),
            Role::System => "System",
        };
        let _ = write!(text, "\n## {who}\n\n{}\n", message.content.trim_end());
    }
    text
}

/// What stands before the chats.
#[derive(Serialize)]
struct Head {
    terang_export: u32,
    user: serde_json::Value,
    settings: serde_json::Value,
    folders: Vec<Folder>,
    prompts: Vec<SavedPrompt>,
    assistants: Vec<Assistant>,
    collections: Vec<Collection>,
}

/// Gives everything of one's own as one JSON object, chat by chat as it is read.
#[utoipa::path(get, path = "/api/export", tag = "export",
    responses((status = 200, description = "everything", content_type = "application/json", body = Object)))]
pub(crate) async fn everything(
    State(app): State<Arc<App>>,
    Person(user): Person,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let user = store.user(&user.id).await?;
    let head = Head {
        terang_export: 1,
        user: json!({ "name": user.name, "email": user.email }),
        settings: serde_json::from_str(&user.settings).unwrap_or_default(),
        folders: store
            .folders(&user.id)
            .await?
            .into_iter()
            .map(Folder::from)
            .collect(),
        prompts: store
            .prompts(&user.id)
            .await?
            .into_iter()
            .map(SavedPrompt::from)
            .collect(),
        assistants: store
            .assistants(&user.id)
            .await?
            .into_iter()
            .map(Assistant::from)
            .collect(),
        collections: store
            .collections(&user.id)
            .await?
            .into_iter()
            .map(Collection::from)
            .collect(),
    };
    let mut head = serde_json::to_string(&head).map_err(|e| ApiError::internal(e.to_string()))?;
    // The object goes on.
    head.pop();
    head.push_str(",\"chats\":[\n");
    let ids = store.chat_ids(&user.id).await?;
    let documents = store.document_ids(&user.id).await?;
    let (sender, receiver) = mpsc::channel(PARTS_WAITING);
    tokio::spawn(async move { write(&app, &user, head, ids, documents, sender).await });
    let body = Body::from_stream(ReceiverStream::new(receiver));
    Ok(saved("terang-export.json", "application/json", body))
}

type Part = Result<Bytes, std::io::Error>;

async fn write(
    app: &App,
    user: &User,
    head: String,
    ids: Vec<String>,
    documents: Vec<String>,
    to: mpsc::Sender<Part>,
) {
    if to.send(Ok(head.into())).await.is_err() {
        return;
    }
    let mut first = true;
    for id in ids {
        let part = match whole(app, &user.id, &id).await {
            Ok(whole) => part(&whole, first),
            // Deleted since the list was made.
            Err(error) if error.status == 404 => continue,
            // The stream breaks off, so that what came is not taken for everything.
            Err(_) => Err(std::io::Error::other("the export broke off")),
        };
        let broken = part.is_err();
        if to.send(part).await.is_err() || broken {
            return;
        }
        first = false;
    }
    if to.send(Ok("\n],\"documents\":[\n".into())).await.is_err() {
        return;
    }
    let mut first = true;
    for id in documents {
        let part = match document(app, &user.id, &id).await {
            Ok(document) => part(&document, first),
            Err(StoreError::NotFound) => continue,
            Err(_) => Err(std::io::Error::other("the export broke off")),
        };
        let broken = part.is_err();
        if to.send(part).await.is_err() || broken {
            return;
        }
        first = false;
    }
    let _ = to.send(Ok("\n]}\n".into())).await;
}

/// A document with what was read of it; the files themselves are each downloaded where they are shown.
#[derive(Serialize)]
struct ExportedDocument {
    #[serde(flatten)]
    document: Document,
    text: String,
}

async fn document(app: &App, user_id: &str, id: &str) -> Result<ExportedDocument, StoreError> {
    let store = &app.web.store;
    Ok(ExportedDocument {
        document: store.document(user_id, id).await?.into(),
        text: store.document_text(user_id, id).await?,
    })
}

fn part(whole: &impl Serialize, first: bool) -> Part {
    let text = serde_json::to_string(whole).map_err(std::io::Error::other)?;
    Ok(if first {
        text.into()
    } else {
        format!(",\n{text}").into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_becomes_a_file_name() {
        assert_eq!(file_name("../Name: three/fruits?"), "Name-three-fruits");
        assert_eq!(file_name("…"), "chat");
    }
}
