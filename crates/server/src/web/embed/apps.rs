//! Embedding applications, as the administrator looks after them.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use terang_store::{self as store, EmbedChange};

use super::key::{Algorithm, VerifyKey};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::web::account::{accounts_only, record};
use crate::web::visitor::{Admin, Visitor};
use crate::web::wire::{DONE, Done, EmbedApp, EmbedAppChange, EmbedApps, NewEmbedApp};
use crate::web::{text, token};

const NAME_CHARS_MAX: usize = 80;
const ORIGINS_MAX: usize = 20;
const ASSISTANTS_MAX: usize = 20;

/// An origin as browsers write it, and nothing that would mean more in a policy.
pub(super) fn origin(text: &str) -> Result<String, &'static str> {
    const FORM: &str =
        "allowed are origins such as https://www.example.org or http://127.0.0.1:3000";
    let lower = text.trim().to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let authority = ["https://", "http://"]
        .iter()
        .find_map(|scheme| lower.strip_prefix(scheme))
        .ok_or(FORM)?;
    if authority.is_empty() || lower.len() > 300 || !authority.chars().all(fine) {
        return Err(FORM);
    }
    let uri: Uri = lower.parse().map_err(|_| FORM)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(FORM)?;
    if authority.contains("::") != host.starts_with('[') || authority.ends_with(':') {
        return Err(FORM);
    }
    // What stands behind the host is a port, or the parser would drop it.
    let port = authority.strip_prefix(host).ok_or(FORM)?;
    if !port.is_empty() && uri.port_u16().is_none() {
        return Err(FORM);
    }
    // The port that the scheme has anyway is in no browser's origin.
    let default = if lower.starts_with("https") { 443 } else { 80 };
    let scheme = uri.scheme_str().unwrap_or_default();
    Ok(match uri.port_u16().filter(|port| *port != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    })
}

fn origins(given: &[String]) -> ApiResult<String> {
    if given.is_empty() || given.len() > ORIGINS_MAX {
        let wrong = format!("allowed are 1 to {ORIGINS_MAX} origins");
        return Err(ApiError::invalid("origins", wrong));
    }
    let checked: Result<Vec<String>, _> = given.iter().map(|one| origin(one)).collect();
    let checked = checked.map_err(|wrong| ApiError::invalid("origins", wrong))?;
    Ok(serde_json::Value::from(checked).to_string())
}

async fn assistants(app: &App, of: &str, ids: &[String]) -> ApiResult<String> {
    if ids.len() > ASSISTANTS_MAX {
        let wrong = format!("allowed are {ASSISTANTS_MAX}");
        return Err(ApiError::invalid("assistants", wrong));
    }
    for id in ids {
        // One's own alone: what is another's is not found.
        app.web.store.assistant(of, id).await?;
    }
    Ok(serde_json::Value::from(ids.to_vec()).to_string())
}

/// The key to keep, and the secret to show once where it was made here.
fn key(algorithm: &str, public: Option<&str>) -> ApiResult<(Algorithm, String, Option<String>)> {
    let Some(algorithm) = Algorithm::of(algorithm) else {
        let wrong = "allowed are HS256, RS256 and ES256";
        return Err(ApiError::invalid("algorithm", wrong));
    };
    match (algorithm, public) {
        (Algorithm::Hs256, None) => {
            let secret = token::new()?;
            Ok((algorithm, secret.clone(), Some(secret)))
        }
        (Algorithm::Hs256, Some(_)) => Err(ApiError::invalid(
            "public_key",
            "HS256 has a secret of both sides, which is made here",
        )),
        (_, None) => Err(ApiError::invalid(
            "public_key",
            "is missing: RS256 and ES256 need the application's public key",
        )),
        (_, Some(pem)) => {
            VerifyKey::parse(algorithm, pem).map_err(|e| ApiError::invalid("public_key", e))?;
            Ok((algorithm, pem.trim().to_owned(), None))
        }
    }
}

fn shown(embed: store::Embed, accounts: i64, secret: Option<String>) -> EmbedApp {
    EmbedApp {
        url: format!("/embed/{}", embed.id),
        origins: serde_json::from_str(&embed.origins).unwrap_or_default(),
        assistants: serde_json::from_str(&embed.assistants).unwrap_or_default(),
        id: embed.id,
        name: embed.name,
        algorithm: embed.algorithm,
        disabled: embed.disabled,
        created_at: embed.created_at,
        accounts,
        secret,
    }
}

/// Lists the embedding applications.
#[utoipa::path(get, path = "/api/admin/embeds", tag = "admin",
    responses((status = 200, description = "the applications", body = EmbedApps),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn list(State(app): State<Arc<App>>, _: Admin) -> ApiResult<Response> {
    let all = app.web.store.embeds().await?.into_iter();
    let apps = all.map(|(embed, accounts)| shown(embed, accounts, None));
    Ok(json_body(&EmbedApps {
        apps: apps.collect(),
    }))
}

/// Makes an embedding application; a secret that is made for it is shown this once.
#[utoipa::path(post, path = "/api/admin/embeds", tag = "admin", request_body = NewEmbedApp,
    responses((status = 200, description = "the application", body = EmbedApp),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
    Json(new): Json<NewEmbedApp>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let (algorithm, verify_key, secret) = key(&new.algorithm, new.public_key.as_deref())?;
    let embed = store::Embed {
        id: String::new(),
        name: text::line("name", &new.name, NAME_CHARS_MAX)?,
        algorithm: algorithm.name().to_owned(),
        verify_key,
        origins: origins(&new.origins)?,
        assistants: assistants(&app, &admin.id, &new.assistants).await?,
        disabled: false,
        made_by: admin.id.clone(),
        created_at: 0,
    };
    let made = app.web.store.create_embed(&embed).await?;
    let (by, what) = (Some(admin.id.as_str()), Some(made.id.as_str()));
    record(&app, by, "embed_created", what, &visitor).await?;
    Ok(json_body(&shown(made, 0, secret)))
}

/// Changes an embedding application. Another key or `disabled` ends all of its sessions.
#[utoipa::path(patch, path = "/api/admin/embeds/{id}", tag = "admin",
    request_body = EmbedAppChange,
    params(("id" = String, Path, description = "the application")),
    responses((status = 200, description = "the application", body = EmbedApp),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Json(change): Json<EmbedAppChange>,
) -> ApiResult<Response> {
    let was = app.web.store.embed(&id).await?;
    let name = change
        .name
        .map(|name| text::line("name", &name, NAME_CHARS_MAX))
        .transpose()?;
    let origins = change.origins.map(|all| origins(&all)).transpose()?;
    let assistants = match change.assistants {
        Some(ids) => Some(assistants(&app, &was.made_by, &ids).await?),
        None => None,
    };
    let renewed = match (change.new_key, change.public_key.as_deref()) {
        (true, public) => {
            let algorithm = change.algorithm.as_deref().unwrap_or(&was.algorithm);
            Some(key(algorithm, public)?)
        }
        (false, None) if change.algorithm.is_none() => None,
        (false, _) => {
            let wrong = "a key is changed with new_key alone: all sessions end with it";
            return Err(ApiError::invalid("new_key", wrong));
        }
    };
    let parts = renewed
        .as_ref()
        .map(|(algorithm, key, _)| (algorithm.name(), key.as_str()));
    let changed = EmbedChange {
        name: name.as_deref(),
        verify_key: parts,
        origins: origins.as_deref(),
        assistants: assistants.as_deref(),
        disabled: change.disabled,
    };
    let embed = app.web.store.change_embed(&id, changed).await?;
    if parts.is_some() || embed.disabled {
        for user in app.web.store.embed_user_ids(&id).await? {
            app.web.answering.stop_all_of(&user);
        }
    }
    let action = match (parts, change.disabled) {
        (Some(_), _) => "embed_key_changed",
        (None, Some(true)) => "embed_disabled",
        (None, Some(false)) => "embed_enabled",
        (None, None) => "embed_changed",
    };
    record(&app, Some(&admin.id), action, Some(&id), &visitor).await?;
    let accounts = app.web.store.embed_user_ids(&id).await?.len() as i64;
    Ok(json_body(&shown(
        embed,
        accounts,
        renewed.and_then(|(_, _, secret)| secret),
    )))
}

/// Deletes an embedding application with the accounts that came through it and their chats.
#[utoipa::path(delete, path = "/api/admin/embeds/{id}", tag = "admin",
    params(("id" = String, Path, description = "the application")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such application", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    for user in app.web.store.embed_user_ids(&id).await? {
        app.web.answering.stop_all_of(&user);
    }
    app.web.store.delete_embed(&id).await?;
    record(&app, Some(&admin.id), "embed_deleted", Some(&id), &visitor).await?;
    Ok(json_body(&DONE))
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn origins_are_exact() {
        for (given, kept) in [
            ("https://Shop.Example", "https://shop.example"),
            ("https://shop.example:443", "https://shop.example"),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
        ] {
            assert_eq!(origin(given).as_deref(), Ok(kept));
        }
        for wrong in [
            "",
            "*",
            "https://*",
            "https://*.example",
            "https:",
            "https://",
            "shop.example",
            "https://shop.example/",
            "https://shop.example/x",
            "https://a b",
            "https://a;script-src",
            "https://a,b",
            "https://u@a",
            "https://a:b",
            "https://a:",
            "https://a:99999",
            "ftp://a",
            "javascript://a",
            "data:x",
            "null",
            "'self'",
            "https://a'",
            "https://a\n",
        ] {
            // A line end at the end is no part of it.
            assert_eq!(origin(wrong).is_err(), wrong != "https://a\n", "{wrong:?}");
        }
    }
}
