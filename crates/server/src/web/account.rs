//! Setting up, logging in and out, sessions, invitations, one's own account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use terang_store::User;

use super::attempts::Place;
use super::state::{Mode, SESSION_MS};
use super::visitor::{COOKIE, DEVICE_COOKIE, Person, Visitor, cookie};
use super::wire::{
    Accept, DONE, Done, Invitation, Leave, Login, Me, NewPassword, Session, Sessions, Setup,
    WebMode,
};
use super::{password, text, token};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

const NAME_CHARS_MAX: usize = 80;
const AGENT_CHARS_MAX: usize = 200;
const SETTINGS_BYTES_MAX: usize = 16 << 10;

/// Tells who asks.
#[utoipa::path(get, path = "/api/me", tag = "account",
    responses((status = 200, description = "who asks, or nobody", body = Me)))]
pub(crate) async fn me(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
) -> ApiResult<Response> {
    told(&app, visitor.user).await
}

async fn told(app: &App, user: Option<User>) -> ApiResult<Response> {
    let web = &app.web;
    // The sole owner is held since the start; their settings may be newer.
    let user = match user {
        Some(user) if web.mode == Mode::Single => Some(web.store.user(&user.id).await?),
        other => other,
    };
    let setup_needed = web.setup_needed().await?;
    Ok(json_body(&Me {
        mode: match web.mode {
            Mode::Single => WebMode::Single,
            Mode::Accounts => WebMode::Accounts,
        },
        setup_needed,
        setup_token_needed: setup_needed && web.setup_token.is_some(),
        settings: user.as_ref().map_or_else(Map::new, |user| {
            serde_json::from_str(&user.settings).unwrap_or_default()
        }),
        user: user.map(Into::into),
        oidc: super::oidc::name(app),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

pub(super) fn accounts_only(app: &App) -> ApiResult<()> {
    if app.web.mode == Mode::Single {
        return Err(ApiError::forbidden(
            "single_mode",
            "this server is for one person and has no accounts; start it with --accounts",
        ));
    }
    Ok(())
}

fn agent(headers: &HeaderMap) -> String {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let agent = agent
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control());
    agent.take(AGENT_CHARS_MAX).collect()
}

/// Begins a session with a new token, whatever token the browser came with: one that somebody else
/// put there opens nothing.
pub(super) async fn begin_session(
    app: &App,
    headers: &HeaderMap,
    user: User,
) -> ApiResult<Response> {
    let mut response = told(app, Some(user.clone())).await?;
    begin(app, headers, &user, &mut response).await?;
    Ok(response)
}

/// As above, for a response that says something else.
pub(super) async fn begin(
    app: &App,
    headers: &HeaderMap,
    user: &User,
    response: &mut Response,
) -> ApiResult<()> {
    let web = &app.web;
    if let Some(old) = cookie(headers, COOKIE) {
        web.store.end_session_of(&token::digest(old)).await?;
    }
    let secret = token::new()?;
    let digest = token::digest(&secret);
    web.store
        .create_session(&user.id, &digest, &agent(headers))
        .await?;
    set_cookie(app, response, COOKIE, &secret, SESSION_MS / 1000);
    let email = user.email.as_deref().unwrap_or_default();
    let device = device_mark(web, email)?;
    set_cookie(app, response, DEVICE_COOKIE, &device, 2 * SESSION_MS / 1000);
    Ok(())
}

fn set_cookie(app: &App, response: &mut Response, name: &str, value: &str, age_s: i64) {
    let text = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_s}");
    add_cookie(app, response, &text);
}

/// Only letters, digits, - . and _ stand in the values.
pub(super) fn add_cookie(app: &App, response: &mut Response, text: &str) {
    // With TLS here or at a proxy in front, no browser sends them without.
    let is_secure = app.tls.is_some() || app.config.public_url.starts_with("https://");
    let secure = if is_secure { "; Secure" } else { "" };
    if let Ok(value) = HeaderValue::from_str(&format!("{text}{secure}")) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A mark that only a browser that has logged in to the account can have.
fn device_mark(web: &super::Web, email: &str) -> ApiResult<String> {
    let nonce = token::new()?;
    let signed = token::sign(&web.secret, &format!("device {nonce} {email}"));
    Ok(format!("{nonce}.{signed}"))
}

fn known_device<'a>(web: &super::Web, headers: &'a HeaderMap, email: &str) -> Option<&'a str> {
    let mark = cookie(headers, DEVICE_COOKIE)?;
    let (nonce, signed) = mark.split_once('.')?;
    let right = token::sign(&web.secret, &format!("device {nonce} {email}"));
    token::equal(signed, &right).then_some(nonce)
}

/// Makes the first account.
#[utoipa::path(post, path = "/api/setup", tag = "account", request_body = Setup,
    responses((status = 200, description = "who has logged in", body = Me),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn setup(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Json(setup): Json<Setup>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let web = &app.web;
    if !web.setup_needed().await? {
        return Err(ApiError::forbidden(
            "set_up",
            "the first account is there already",
        ));
    }
    if let Some(wanted) = &web.setup_token {
        let given = setup.token.as_deref().unwrap_or_default();
        let place = Place {
            address: &visitor.address,
            device: None,
            email: "setup",
        };
        hold_up(web.attempts.begin(place))?;
        if !token::equal(&token::digest(given), &token::digest(wanted)) {
            return Err(ApiError::forbidden(
                "setup_token",
                "token: it stands in the server's log, behind /setup?token=",
            ));
        }
        web.attempts.succeeded(place);
    }
    let name = text::line("name", &setup.name, NAME_CHARS_MAX)?;
    let email = text::email("email", &setup.email)?;
    password::check(&setup.password, "password", &name, &email)?;
    let digest = password::hash(web, setup.password).await?;
    let user = web.store.set_up(&name, &email, &digest).await?;
    record(&app, Some(&user.id), "setup", None, &visitor).await?;
    begin_session(&app, &headers, user).await
}

pub(super) fn hold_up(allowed: Result<(), std::time::Duration>) -> ApiResult<()> {
    allowed.map_err(|wait| {
        ApiError::too_many(
            "too_many_attempts",
            wait.as_secs() + 1,
            "too many attempts that were wrong; wait before the next",
        )
    })
}

/// Logs in.
#[utoipa::path(post, path = "/api/login", tag = "account", request_body = Login,
    responses((status = 200, description = "who has logged in", body = Me),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn login(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    headers: HeaderMap,
    Json(login): Json<Login>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let web = &app.web;
    let email: String = login
        .email
        .trim()
        .to_lowercase()
        .chars()
        .take(254)
        .collect();
    let device = known_device(web, &headers, &email);
    let place = Place {
        address: &visitor.address,
        device,
        email: &email,
    };
    hold_up(web.attempts.begin(place))?;
    if login.password.len() > 4096 {
        return Err(wrong_login());
    }
    let user = web.store.user_by_email(&email).await?;
    let digest = user.as_ref().and_then(|user| user.password.clone());
    let right = password::verify(web, login.password, digest).await?;
    let Some(user) = user.filter(|user| right && !user.disabled) else {
        record(&app, None, "login_failed", Some(&email), &visitor).await?;
        return Err(wrong_login());
    };
    web.attempts.succeeded(place);
    record(&app, Some(&user.id), "login", None, &visitor).await?;
    begin_session(&app, &headers, user).await
}

/// One answer for all of it: it does not tell which accounts there are.
fn wrong_login() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "authentication_error",
        Some("wrong_login"),
        "address or password is wrong",
    )
}

/// Logs out: the session is over, also for whoever has a copy of its cookie.
#[utoipa::path(post, path = "/api/logout", tag = "account",
    responses((status = 200, description = "done", body = Done)))]
pub(crate) async fn logout(State(app): State<Arc<App>>, headers: HeaderMap) -> ApiResult<Response> {
    if let Some(secret) = cookie(&headers, COOKIE) {
        app.web.store.end_session_of(&token::digest(secret)).await?;
    }
    let mut response = json_body(&DONE);
    set_cookie(&app, &mut response, COOKIE, "", 0);
    Ok(response)
}

/// Lists one's sessions.
#[utoipa::path(get, path = "/api/sessions", tag = "account",
    responses((status = 200, description = "one's sessions", body = Sessions)))]
pub(crate) async fn sessions(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
) -> ApiResult<Response> {
    let sessions = app.web.store.sessions(&user.id).await?.into_iter();
    let sessions = sessions.map(|session| Session {
        id: session.id,
        created_at: session.created_at,
        seen_at: session.seen_at,
        agent: session.agent,
        current: session.digest == visitor.session,
    });
    Ok(json_body(&Sessions {
        sessions: sessions.collect(),
    }))
}

/// Ends one of one's sessions.
#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "account",
    params(("id" = String, Path, description = "the session")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such session", body = ErrorBody)))]
pub(crate) async fn end_session(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.end_session(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Sets another password; all other sessions end.
#[utoipa::path(post, path = "/api/password", tag = "account", request_body = NewPassword,
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change_password(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Json(change): Json<NewPassword>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    confirm(&app, &visitor, &user, change.old, "old").await?;
    let email = user.email.as_deref().unwrap_or_default();
    password::check(&change.new, "new", &user.name, email)?;
    let digest = password::hash(&app.web, change.new).await?;
    let store = &app.web.store;
    store
        .change_password(&user.id, &digest, &visitor.session)
        .await?;
    record(&app, Some(&user.id), "password_changed", None, &visitor).await?;
    Ok(json_body(&DONE))
}

/// Asks for the password again, with the limits of logging in.
async fn confirm(
    app: &App,
    visitor: &Visitor,
    user: &User,
    given: String,
    field: &str,
) -> ApiResult<()> {
    let place = Place {
        address: &visitor.address,
        device: Some(&visitor.session),
        email: &user.id,
    };
    hold_up(app.web.attempts.begin(place))?;
    if given.len() > 4096 || !password::verify(&app.web, given, user.password.clone()).await? {
        return Err(ApiError::invalid(field, "this is not your password"));
    }
    app.web.attempts.succeeded(place);
    Ok(())
}

/// Keeps one's settings, any JSON object of at most 16 KiB.
#[utoipa::path(put, path = "/api/settings", tag = "account",
    request_body(content = Object, description = "the settings"),
    responses((status = 200, description = "the settings", body = Object),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn put_settings(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Json(settings): Json<Map<String, Value>>,
) -> ApiResult<Response> {
    let text = Value::Object(settings.clone()).to_string();
    if text.len() > SETTINGS_BYTES_MAX {
        return Err(ApiError::invalid(
            "settings",
            format!("allowed are {SETTINGS_BYTES_MAX} bytes"),
        ));
    }
    app.web.store.set_settings(&user.id, &text).await?;
    Ok(json_body(&settings))
}

/// Tells what an invitation is for.
#[utoipa::path(get, path = "/api/invitations/{token}", tag = "account",
    params(("token" = String, Path, description = "from the link")),
    responses((status = 200, description = "what it is for", body = Invitation),
        (status = 404, description = "used, over, or never made", body = ErrorBody)))]
pub(crate) async fn invitation(
    State(app): State<Arc<App>>,
    Path(secret): Path<String>,
) -> ApiResult<Response> {
    let found = app.web.store.invitation(&token::digest(&secret)).await?;
    Ok(json_body(&Invitation {
        role: found.role.into(),
        email: found.email,
    }))
}

/// Comes by an invitation.
#[utoipa::path(post, path = "/api/invitations/{token}", tag = "account", request_body = Accept,
    params(("token" = String, Path, description = "from the link")),
    responses((status = 200, description = "who has logged in", body = Me),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn accept(
    State(app): State<Arc<App>>,
    Extension(visitor): Extension<Visitor>,
    Path(secret): Path<String>,
    headers: HeaderMap,
    Json(accept): Json<Accept>,
) -> ApiResult<Response> {
    accounts_only(&app)?;
    let digest = token::digest(&secret);
    let store = &app.web.store;
    // Nothing is hashed for who has no invitation.
    store.invitation(&digest).await?;
    let name = text::line("name", &accept.name, NAME_CHARS_MAX)?;
    let email = text::email("email", &accept.email)?;
    password::check(&accept.password, "password", &name, &email)?;
    let hashed = password::hash(&app.web, accept.password).await?;
    let user = store
        .accept_invitation(&digest, &name, &email, &hashed)
        .await?;
    record(&app, Some(&user.id), "invitation_accepted", None, &visitor).await?;
    begin_session(&app, &headers, user).await
}

/// Deletes one's account with all that is its own.
#[utoipa::path(delete, path = "/api/me", tag = "account", request_body = Leave,
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn leave(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Json(leave): Json<Leave>,
) -> ApiResult<Response> {
    if user.password.is_some() {
        let given = leave.password.unwrap_or_default();
        confirm(&app, &visitor, &user, given, "password").await?;
    }
    if user.role == terang_store::UserRole::Owner {
        let others = app.web.store.users().await?.len() > 1;
        if others || app.web.mode == Mode::Single {
            return Err(ApiError::forbidden(
                "owner",
                "the owner's account goes last, and a server for one person keeps it; delete chats instead",
            ));
        }
    }
    app.web.answering.stop_all_of(&user.id);
    super::keys::revoke_all_of(&app, &user.id).await?;
    app.web.store.delete_user(&user.id).await?;
    record(&app, None, "account_deleted", Some(&user.id), &visitor).await?;
    let mut response = json_body(&DONE).into_response();
    set_cookie(&app, &mut response, COOKIE, "", 0);
    Ok(response)
}

/// Puts something on record.
pub(super) async fn record(
    app: &App,
    user_id: Option<&str>,
    action: &str,
    target: Option<&str>,
    visitor: &Visitor,
) -> ApiResult<()> {
    let address = (!visitor.address.is_empty()).then_some(visitor.address.as_str());
    app.web
        .store
        .record(user_id, action, target, address)
        .await?;
    Ok(())
}
