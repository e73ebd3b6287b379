//! The chat inside of other applications: who may come, and from which pages.
//!
//! - `token`, `key`: the tokens that an application signs, and what they are checked with.
//! - `apps`: what the administrator looks after. Here: coming in, going out, and the page.
//!
//! Invariants: who comes through an application is an account of that application alone, a member,
//! and reaches only the routes that `visitor` lists for it; the page is framed by the application's
//! own origins and by nobody else; the session is a secret in the page's memory and no cookie.

pub(crate) mod apps;
mod key;
mod token;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use terang_store::{Embed, StoreError, now_ms};

use self::key::{Algorithm, VerifyKey};
use super::account::record;
use super::visitor::Visitor;
use super::wire::{Assistant, DONE, Done, EmbedLogin, EmbedSession};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

/// What the secrets of these sessions begin with.
pub(super) const PREFIX: &str = "te-";
/// After which the application is asked for a new token.
const SESSION_MS: i64 = 3_600_000;
/// Of the application's identity, in a path.
const ID_CHARS: usize = 36;

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "authentication_error",
        Some("token_refused"),
        message,
    )
}

/// Comes in with a token that the application has signed.
#[utoipa::path(post, path = "/api/embed/session", tag = "embed", request_body = EmbedLogin,
    responses((status = 200, description = "the session", body = EmbedSession),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    Json(login): Json<EmbedLogin>,
) -> ApiResult<Response> {
    super::account::accounts_only(&app)?;
    let store = &app.web.store;
    let embed = match store.embed(&login.app).await {
        Ok(embed) if !embed.disabled => embed,
        Ok(_) | Err(StoreError::NotFound) => {
            return Err(refused("app: there is no such application"));
        }
        Err(error) => return Err(error.into()),
    };
    let key = Algorithm::of(&embed.algorithm)
        .and_then(|algorithm| VerifyKey::parse(algorithm, &embed.verify_key).ok())
        .ok_or_else(|| ApiError::internal("the application's key cannot be used"))?;
    let claims = token::read(&login.token, &key, &embed.id, now_ms() / 1000)
        .map_err(|error| refused(error.to_string()))?;
    let name = claims.name.as_deref().unwrap_or(&claims.subject);
    let name: String = name.chars().take(80).collect();
    let (user, made) = store.embed_user(&embed.id, &claims.subject, &name).await?;
    if user.disabled {
        return Err(refused("sub: this account is disabled"));
    }
    let secret = format!("{PREFIX}{}", super::token::new()?);
    let expires_at = now_ms() + SESSION_MS;
    let digest = super::token::digest(&secret);
    store
        .create_embed_session(&embed.id, &user.id, &digest, expires_at)
        .await?;
    let action = if made {
        "embed_account_made"
    } else {
        "embed_login"
    };
    record(&app, Some(&user.id), action, Some(&embed.id), &visitor).await?;
    Ok(json_body(&EmbedSession {
        token: secret,
        expires_at,
        assistants: offered(&app, &embed).await?,
    }))
}

/// The assistants that an application offers, those of them that are still there.
async fn offered(app: &App, embed: &Embed) -> ApiResult<Vec<Assistant>> {
    let wanted: Vec<String> = serde_json::from_str(&embed.assistants).unwrap_or_default();
    let mut found = Vec::new();
    for id in wanted {
        match app.web.store.assistant(&embed.made_by, &id).await {
            Ok(assistant) => {
                let mut assistant = Assistant::from(assistant);
                // The documents are whose the assistant is, and nobody else's.
                assistant.settings.remove("collections");
                found.push(assistant);
            }
            Err(StoreError::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

/// Refuses tools that none of the application's assistants brings along: whoever comes through it has
/// what it offers.
pub(super) async fn check_tools(app: &App, embed_id: &str, tools: &[String]) -> ApiResult<()> {
    if tools.is_empty() {
        return Ok(());
    }
    let embed = app.web.store.embed(embed_id).await?;
    let offered = offered(app, &embed).await?;
    let brought = |id: &String| {
        let mut lists = offered
            .iter()
            .filter_map(|one| one.settings.get("tools")?.as_array());
        lists.any(|list| list.iter().any(|one| one.as_str() == Some(id)))
    };
    if tools.iter().all(brought) {
        return Ok(());
    }
    Err(ApiError::invalid(
        "settings.tools",
        "allowed are servers of the application's assistants",
    ))
}

/// Goes out: the session is over.
#[utoipa::path(delete, path = "/api/embed/session", tag = "embed",
    responses((status = 200, description = "done", body = Done)))]
pub(crate) async fn end(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
) -> ApiResult<Response> {
    if visitor.embed.is_some() {
        app.web.store.end_embed_session(&visitor.session).await?;
    }
    Ok(json_body(&DONE))
}

/// The identity in the path of a page that is shown inside of an application.
pub(super) fn app_of(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/embed/")?;
    let is_id = id.len() == ID_CHARS && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    is_id.then_some(id)
}

/// Who may put that page into a page of theirs, for its policy; nobody where there is no such
/// application or the database does not say.
pub(super) async fn ancestors(app: &App, id: &str) -> String {
    let embed = match app.web.store.embed(id).await {
        Ok(embed) if !embed.disabled => embed,
        _ => return "'none'".to_owned(),
    };
    let origins: Vec<String> = serde_json::from_str(&embed.origins).unwrap_or_default();
    let origins: Vec<String> = origins
        .iter()
        .filter_map(|origin| apps::origin(origin).ok())
        .collect();
    if origins.is_empty() {
        "'none'".to_owned()
    } else {
        origins.join(" ")
    }
}
