//! Out again: one chat as Markdown or JSON, or everything of one's own in one stream. Files stand before
//! the chats that have them, so that who reads it from the beginning has each when it is named.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::json;
use terang_store::{Message, Role, StoreError, User};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use utoipa::IntoParams;

use super::chats::{query, whole};
use super::files::saved;
use super::visitor::Person;
use super::wire::{Assistant, Attached, Collection, Document, Folder, SavedPrompt};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody};

/// Parts on their way to the connection.
const PARTS_WAITING: usize = 4;
/// Bytes of a file that are written at once; a multiple of three, which base64 goes by.
const FILE_PIECE: usize = 768 << 10;

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
            let chat = store.chat(&user.id, &id).await?;
            let name = format!("{}.json", file_name(&chat.title));
            let files = store.attachments_of_chat(&user.id, &id).await?;
            let parts = Parts {
                head: "{\"terang_export\":1".to_owned(),
                files: files.into_iter().map(|file| file.id).collect(),
                chats: vec![id],
                documents: None,
            };
            Ok(saved(&name, "application/json", parts.into_body(app, user)))
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
    let parts = Parts {
        head,
        files: store.attachment_ids(&user.id).await?,
        chats: store.chat_ids(&user.id).await?,
        documents: Some(store.document_ids(&user.id).await?),
    };
    let body = parts.into_body(app, user);
    Ok(saved("terang-export.json", "application/json", body))
}

type Part = Result<Bytes, std::io::Error>;

/// Nobody reads any more, or something could not be read: what was written is not everything, and the
/// stream has said so by breaking off.
struct Ended;

/// What is written, by identities; each is read when it is its turn.
struct Parts {
    /// An object without its end.
    head: String,
    files: Vec<String>,
    chats: Vec<String>,
    documents: Option<Vec<String>>,
}

impl Parts {
    fn into_body(self, app: Arc<App>, user: User) -> Body {
        let (sender, receiver) = mpsc::channel(PARTS_WAITING);
        tokio::spawn(async move { self.write(&app, &user.id, &Writer(sender)).await });
        Body::from_stream(ReceiverStream::new(receiver))
    }

    async fn write(self, app: &App, user_id: &str, to: &Writer) -> Result<(), Ended> {
        to.text(self.head).await?;
        to.text(",\"attachments\":[\n").await?;
        let mut first = true;
        for id in self.files {
            let file = app.web.store.attachment(user_id, &id).await;
            let data = app.web.store.attachment_data(user_id, &id).await;
            let read = file.and_then(|file| Ok((file, data?)));
            if let Some((file, data)) = to.read(read).await? {
                to.next(&mut first).await?;
                to.file(file.into(), &data).await?;
            }
        }
        to.text("\n],\"chats\":[\n").await?;
        let mut first = true;
        for id in self.chats {
            let read = whole(app, user_id, &id).await;
            if let Some(whole) = to.read(read).await? {
                to.next(&mut first).await?;
                to.json(&whole).await?;
            }
        }
        if let Some(documents) = self.documents {
            to.text("\n],\"documents\":[\n").await?;
            let mut first = true;
            for id in documents {
                let read = document(app, user_id, &id).await;
                if let Some(document) = to.read(read).await? {
                    to.next(&mut first).await?;
                    to.json(&document).await?;
                }
            }
        }
        to.text("\n]}\n").await
    }
}

struct Writer(mpsc::Sender<Part>);

impl Writer {
    async fn text(&self, text: impl Into<Bytes>) -> Result<(), Ended> {
        self.0.send(Ok(text.into())).await.map_err(|_| Ended)
    }

    async fn json(&self, value: &impl Serialize) -> Result<(), Ended> {
        match serde_json::to_string(value) {
            Ok(text) => self.text(text).await,
            Err(_) => self.break_off().await,
        }
    }

    async fn next(&self, first: &mut bool) -> Result<(), Ended> {
        if std::mem::take(first) {
            return Ok(());
        }
        self.text(",\n").await
    }

    /// A file as one object, whose `data` comes in pieces: it is never in memory twice.
    async fn file(&self, file: Attached, data: &[u8]) -> Result<(), Ended> {
        let Ok(mut head) = serde_json::to_string(&file) else {
            return self.break_off().await;
        };
        head.pop();
        head.push_str(",\"data\":\"");
        self.text(head).await?;
        for piece in data.chunks(FILE_PIECE) {
            self.text(STANDARD.encode(piece)).await?;
        }
        self.text("\"}").await
    }

    /// What was read; `None` where it was deleted since the list was made.
    async fn read<T>(&self, read: Result<T, impl Into<ApiError>>) -> Result<Option<T>, Ended> {
        match read.map_err(Into::into) {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.status == 404 => Ok(None),
            Err(_) => self.break_off().await,
        }
    }

    /// The stream breaks off, so that what came is not taken for everything.
    async fn break_off<T>(&self) -> Result<T, Ended> {
        let error = std::io::Error::other("the export broke off");
        let _ = self.0.send(Err(error)).await;
        Err(Ended)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_becomes_a_file_name() {
        assert_eq!(file_name("../Name: three/fruits?"), "Name-three-fruits");
        assert_eq!(file_name("…"), "chat");
    }
}
