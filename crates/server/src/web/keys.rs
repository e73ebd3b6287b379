//! API keys of one's own, in the same file as those of `terang key`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::account::record;
use super::text;
use super::visitor::{Person, Visitor};
use super::wire::{DONE, Done, Key, Keys, NewKey};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::keys::{KeyError, KeyFile, KeyLimits, KeyRecord};
use crate::usage::{KeyTotal, totals};

const KEYS_MAX: usize = 50;

/// What goes wrong with the file is for the log.
fn below(error: &KeyError) -> ApiError {
    tracing::error!(%error, "the file of keys cannot be used");
    ApiError::unavailable(
        "keys_unavailable",
        "the keys cannot be read or changed now; try again",
    )
}

/// Runs what reads and writes files on a thread that may block.
async fn with_file<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&KeyFile) -> Result<T, KeyError> + Send + 'static,
) -> ApiResult<T> {
    let path = app.keys.path().to_owned();
    let done = tokio::task::spawn_blocking(move || work(&KeyFile::new(&path))).await;
    let done = done.map_err(|_| ApiError::internal("the keys could not be read"))?;
    done.map_err(|error| below(&error))
}

fn wire(record: &KeyRecord, total: &KeyTotal, secret: Option<String>) -> Key {
    Key {
        id: record.id.clone(),
        name: record.name.clone(),
        created_at: record.created_s as i64 * 1000,
        secret,
        requests: total.requests,
        prompt_tokens: total.prompt_tokens,
        completion_tokens: total.completion_tokens,
    }
}

/// Lists one's API keys with what they have used.
#[utoipa::path(get, path = "/api/keys", tag = "keys",
    responses((status = 200, description = "one's keys", body = Keys)))]
pub(crate) async fn list(State(app): State<Arc<App>>, Person(user): Person) -> ApiResult<Response> {
    let usage = app.usage_path.clone();
    let (records, totals) = with_file(&app, move |file| {
        // Without records nothing is known to be used.
        Ok((file.list()?, totals(&usage).unwrap_or_default()))
    })
    .await?;
    let own = records
        .iter()
        .filter(|key| key.owner.as_deref() == Some(&user.id));
    let keys = own.map(|key| {
        let used = totals.by_key.get(&key.id).cloned().unwrap_or_default();
        wire(key, &used, None)
    });
    Ok(json_body(&Keys {
        keys: keys.collect(),
    }))
}

/// Makes an API key; `secret` is shown this once.
#[utoipa::path(post, path = "/api/keys", tag = "keys", request_body = NewKey,
    responses((status = 200, description = "the key", body = Key),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Json(new): Json<NewKey>,
) -> ApiResult<Response> {
    let name = text::line("name", &new.name, 64)?;
    let owner = user.id.clone();
    let made = with_file(&app, move |file| {
        let held = file.list()?;
        let own = held
            .iter()
            .filter(|key| key.owner.as_deref() == Some(&owner));
        if own.count() >= KEYS_MAX {
            return Ok(None);
        }
        file.create_for(&name, KeyLimits::default(), Some(owner))
            .map(Some)
    })
    .await?;
    let (secret, made) = made.ok_or_else(|| {
        ApiError::invalid(
            "name",
            format!("there are {KEYS_MAX} keys; revoke one first"),
        )
    })?;
    app.keys.reload().map_err(|error| below(&error))?;
    record(
        &app,
        Some(&user.id),
        "key_created",
        Some(&made.id),
        &visitor,
    )
    .await?;
    Ok(json_body(&wire(&made, &KeyTotal::default(), Some(secret))))
}

/// Revokes one of one's API keys.
#[utoipa::path(delete, path = "/api/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "the key")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such key", body = ErrorBody)))]
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let (owner, wanted) = (user.id.clone(), id.clone());
    let found = with_file(&app, move |file| {
        let held = file.list()?;
        let own = held
            .iter()
            .any(|key| key.id == wanted && key.owner.as_deref() == Some(&owner));
        if own {
            file.revoke(&wanted)?;
        }
        Ok(own)
    })
    .await?;
    if !found {
        return Err(terang_store::StoreError::NotFound.into());
    }
    app.keys.reload().map_err(|error| below(&error))?;
    record(&app, Some(&user.id), "key_revoked", Some(&id), &visitor).await?;
    Ok(json_body(&DONE))
}

/// Revokes all API keys of somebody.
pub(super) async fn revoke_all_of(app: &App, user_id: &str) -> ApiResult<()> {
    let owner = user_id.to_owned();
    with_file(app, move |file| {
        for key in file
            .list()?
            .iter()
            .filter(|key| key.owner.as_deref() == Some(&owner))
        {
            file.revoke(&key.id)?;
        }
        Ok(())
    })
    .await?;
    app.keys.reload().map_err(|error| below(&error))?;
    Ok(())
}
