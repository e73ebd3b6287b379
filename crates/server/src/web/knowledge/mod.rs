//! Collections of documents, and answers from them.
//!
//! - `collections`, `documents`: the routes. `reader`: the task that reads what waits.
//! - `encoding`: what passages and questions mean, by the encoder that is served.
//! - `find`: the passages that fit a question. `quote`: passages on their way into a prompt.
//!
//! Invariants: a search is of one person's passages in given collections, before anything is ranked;
//! what a passage says is quoted, and never an instruction; an answer names the passages that its
//! prompt held, and no others.

pub(crate) mod collections;
pub(crate) mod documents;
mod encoding;
mod find;
pub(super) mod quote;
pub(crate) mod reader;

use terang_store::{StoreError, User};

use super::wire::ChatSettings;
use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// Collections of one chat or assistant.
const CHOSEN_MAX: usize = 16;

/// Refuses settings that name too many collections, or one that is not this person's. One that the
/// settings before, `had`, named already may have been deleted since, and finds nothing then.
pub(super) async fn check(
    app: &App,
    user: &User,
    settings: &ChatSettings,
    had: &str,
) -> ApiResult<()> {
    if settings.collections.len() > CHOSEN_MAX {
        return Err(ApiError::invalid(
            "settings.collections",
            format!("allowed are {CHOSEN_MAX}"),
        ));
    }
    let had: ChatSettings = serde_json::from_str(had).unwrap_or_default();
    let new = |id: &&String| !had.collections.contains(id);
    for id in settings.collections.iter().filter(new) {
        match app.web.store.collection(&user.id, id).await {
            Ok(_) => {}
            Err(StoreError::NotFound) => {
                let message = format!("settings.collections: there is no collection {id}");
                return Err(ApiError::not_found(message));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
