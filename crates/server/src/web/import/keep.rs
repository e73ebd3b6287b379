//! What an import has read into the store. A file gets a new identity, and messages name it by that
//! one; what was no file of the same import is nobody's, so an import reaches nothing that was there.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use terang_store::ImportedChat;
use tokio::sync::mpsc;

use super::tree::Refused;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::web::files;
use crate::web::wire::Skipped;

/// Files of one import.
const FILES_MAX: usize = 20_000;
/// How often a file waits for a place where documents are read, a second each time.
const WAITS_MAX: usize = 120;

/// What is kept at once.
pub(super) enum Batch {
    Chats(Vec<ImportedChat>),
    File(NewFile),
}

/// A file as our own export has it.
pub(super) struct NewFile {
    id: String,
    name: String,
    data: Vec<u8>,
}

impl NewFile {
    pub(super) fn of(value: Value) -> Result<Self, Refused> {
        #[derive(Deserialize)]
        struct Written {
            id: String,
            name: String,
            data: String,
        }
        let named = value.get("name").and_then(Value::as_str);
        let named = named.map(|name| name.chars().filter(|c| !c.is_control()).take(200));
        let named: String = named.map(Iterator::collect).unwrap_or_default();
        let refused = |why: &str| (named.clone(), why.to_owned());
        let written: Written = serde_json::from_value(value)
            .map_err(|_| refused("its fields are not those of a file"))?;
        let data = STANDARD.decode(written.data);
        Ok(Self {
            id: written.id,
            data: data.map_err(|_| refused("what it holds is not base64"))?,
            name: written.name,
        })
    }
}

/// Keeps all that comes; gives the files that could not be.
pub(super) async fn all(
    app: &App,
    user_id: &str,
    mut batches: mpsc::Receiver<Batch>,
) -> ApiResult<Vec<Skipped>> {
    let mut files: HashMap<String, String> = HashMap::new();
    let mut skipped = Vec::new();
    let mut broken = None;
    while let Some(batch) = batches.recv().await {
        match batch {
            Batch::File(file) if files.len() < FILES_MAX => {
                let name = file.name.clone();
                match keep(app, user_id, &file.name, file.data).await {
                    Ok(id) => drop(files.insert(file.id, id)),
                    Err(error) => skipped.push(Skipped {
                        title: name,
                        why: error.message,
                    }),
                }
            }
            Batch::File(file) => skipped.push(Skipped {
                title: file.name,
                why: format!("allowed are {FILES_MAX} files"),
            }),
            Batch::Chats(mut chats) => {
                rename(&mut chats, &files);
                if let Err(error) = app.web.store.import(user_id, &chats).await {
                    broken = Some(error);
                    break;
                }
            }
        }
    }
    // Those of chats that could not be read.
    let ids: Vec<String> = files.into_values().collect();
    app.web.store.forget_unused(user_id, &ids).await?;
    match broken {
        Some(error) => Err(error.into()),
        None => Ok(skipped),
    }
}

/// Keeps a file as if it were uploaded: it is as little to be trusted.
async fn keep(app: &App, user_id: &str, name: &str, data: Vec<u8>) -> ApiResult<String> {
    if data.len() > terang_documents::FILE_BYTES_MAX {
        return Err(ApiError::too_large(terang_documents::FILE_BYTES_MAX));
    }
    let name = files::bare_name(name)?;
    for _ in 0..WAITS_MAX {
        match files::keep(app, user_id, &name, data.clone()).await {
            // Many people's documents are being read.
            Err(error) if error.status == 429 => {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
            kept => return kept.map(|file| file.id),
        }
    }
    Err(ApiError::unavailable(
        "too_many_documents",
        "many documents are being read",
    ))
}

/// Has messages name the files as they are called now.
fn rename(chats: &mut [ImportedChat], files: &HashMap<String, String>) {
    for message in chats.iter_mut().flat_map(|chat| &mut chat.messages) {
        let named: Vec<String> = serde_json::from_str(&message.attachments).unwrap_or_default();
        let now: Vec<&String> = named.iter().filter_map(|id| files.get(id)).collect();
        message.attachments = serde_json::to_string(&now).unwrap_or_else(|_| "[]".to_owned());
    }
}
