//! In again: ChatGPT's export (`conversations.json` or its archive), Open WebUI's, and our own. A file
//! is read twice, first to know that it can be read to its end and then to keep it; never whole, but
//! chat by chat, so that its size takes no memory.
//!
//! - `read`: from a file to one JSON value a chat, with limits. `tree`: from such a value to a chat.
//! - `keep`: what is read into the store, files before the chats that have them.

mod keep;
mod read;
mod tree;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use tokio::sync::{Semaphore, mpsc};

use self::keep::{Batch, NewFile};
use self::read::Item;
use super::upload;
use super::visitor::Person;
use super::wire::{Imported, Skipped};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};

const BYTES_MAX: usize = 1 << 30;
/// Chats that are kept together, in one transaction: others write in between.
const BATCH_CHATS: usize = 50;
const BATCH_MESSAGES: usize = 2000;
/// What could not be imported is named up to this number.
const SKIPPED_MAX: usize = 200;
/// Files that are read at once, by all people together.
static READING: Semaphore = Semaphore::const_new(2);

/// Imports chats: ChatGPT's `conversations.json` or the archive with it, Open WebUI's JSON, or our own
/// export, whose files come along.
#[utoipa::path(post, path = "/api/import", tag = "export",
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file"),
    responses((status = 200, description = "what was imported", body = Imported),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn import(
    State(app): State<Arc<App>>,
    Person(user): Person,
    body: Body,
) -> ApiResult<Response> {
    let file = upload::in_file(body, BYTES_MAX).await?;
    let _place = READING
        .acquire()
        .await
        .map_err(|_| ApiError::internal("no file can be read now"))?;
    // A file of an export is as large as any; no more of them wait than must.
    let (sender, receiver) = mpsc::channel(1);
    let reader = tokio::task::spawn_blocking(move || scan(&file, &sender));
    let kept = keep::all(&app, &user.id, receiver).await;
    // A reader whose chats nobody takes ends by itself.
    let read = reader
        .await
        .map_err(|_| ApiError::internal("the file could not be read"))?;
    let refused = kept?;
    let mut imported = read?;
    imported.skipped.extend(refused);
    imported.skipped.truncate(SKIPPED_MAX);
    Ok(json_body(&imported))
}

/// Reads the file, first to its end and then batch by batch into `to`.
fn scan(file: &std::fs::File, to: &mpsc::Sender<Batch>) -> ApiResult<Imported> {
    let mut found = 0;
    read::items(file, |item| {
        found += usize::from(matches!(item, Item::Chat(_)));
        Ok(())
    })?;
    if found == 0 {
        return Err(ApiError::bad(
            "body: there are no chats in it; allowed are the exports of ChatGPT (conversations.json \
             or the archive), of Open WebUI, and this app's own",
        ));
    }
    let mut imported = Imported {
        chats: 0,
        messages: 0,
        skipped: Vec::new(),
    };
    let mut batch = Vec::new();
    let mut batched = 0;
    let send = |batch: Batch| {
        to.blocking_send(batch)
            .map_err(|_| ApiError::internal("the chats could not be kept"))
    };
    read::items(file, |item| {
        let read = match item {
            Item::Chat(value) => tree::chat(value),
            Item::File(value) => match NewFile::of(value) {
                Ok(file) => return send(Batch::File(file)),
                Err(refused) => Err(refused),
            },
        };
        match read {
            Ok(chat) => {
                imported.chats += 1;
                imported.messages += chat.messages.len();
                batched += chat.messages.len();
                batch.push(chat);
            }
            Err((title, why)) if imported.skipped.len() < SKIPPED_MAX => {
                imported.skipped.push(Skipped { title, why });
            }
            Err(_) => {}
        }
        if batch.len() >= BATCH_CHATS || batched >= BATCH_MESSAGES {
            batched = 0;
            send(Batch::Chats(std::mem::take(&mut batch)))?;
        }
        Ok(())
    })?;
    if !batch.is_empty() {
        send(Batch::Chats(batch))?;
    }
    Ok(imported)
}
