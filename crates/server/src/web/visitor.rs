//! Who asks, by the cookie of the session: one layer over all routes of the web app. What is open to
//! people who have not logged in stands here by name; everything else is closed.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use terang_store::{User, UserRole, now_ms};

use super::embed;
use super::state::{Mode, SESSION_MS, SESSION_UNUSED_MS};
use super::token;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::keys::Caller;

pub(super) const COOKIE: &str = "terang_session";
/// The mark of a browser that has logged in before; see `attempts`.
pub(super) const DEVICE_COOKIE: &str = "terang_device";
/// How often the time at which a session was last seen is written.
const SEEN_EVERY_MS: i64 = 60_000;

/// Routes for people who have not logged in.
const OPEN: [&str; 11] = [
    "/api/me",
    "/api/embed/session",
    "/api/setup",
    "/api/login",
    "/api/logout",
    "/api/oidc/start",
    "/api/oidc/callback",
    "/api/passkeys/challenge",
    "/api/passkeys/login",
    "/api/invitations/{token}",
    "/api/shared/{token}",
];

/// What who comes through an embedding application may do: chat, and nothing that would outlast
/// the application or reach beyond it (keys, links, invitations, another's or one's own account).
const EMBEDDED: [(&str, &[Method]); 15] = [
    ("/api/me", &[Method::GET]),
    ("/api/models", &[Method::GET]),
    ("/api/chats", &[Method::GET, Method::POST]),
    (
        "/api/chats/{id}",
        &[Method::GET, Method::PATCH, Method::DELETE],
    ),
    ("/api/chats/{id}/messages", &[Method::POST]),
    ("/api/chats/{id}/messages/{mid}", &[Method::DELETE]),
    ("/api/chats/{id}/messages/{mid}/answer", &[Method::POST]),
    ("/api/chats/{id}/messages/{mid}/continue", &[Method::POST]),
    ("/api/chats/{id}/messages/{mid}/stop", &[Method::POST]),
    ("/api/chats/{id}/messages/{mid}/stream", &[Method::GET]),
    (
        "/api/chats/{id}/messages/{mid}/calls/{cid}",
        &[Method::POST],
    ),
    ("/api/attachments", &[Method::POST]),
    ("/api/attachments/{id}", &[Method::GET]),
    ("/api/search", &[Method::GET]),
    ("/api/embed/session", &[Method::POST, Method::DELETE]),
];

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// `None`: has not logged in.
    pub(super) user: Option<User>,
    /// Digest of the session's token; empty where nobody logs in.
    pub(super) session: String,
    /// The network address, of IPv6 the part that one household has.
    pub(super) address: String,
    /// The embedding application through which they came.
    pub(super) embed: Option<String>,
}

/// Somebody who has logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person(pub(crate) User);

impl Person {
    /// As the engine's waiting line and cache know them: nobody shares either.
    pub(super) fn caller(&self) -> Caller {
        let digest = token::digest(&self.0.id);
        let number = u64::from_str_radix(&digest[..16], 16)
            .unwrap_or_default()
            .max(1);
        let mut caller = Caller::default();
        caller.client = number;
        caller.cache_salt = number;
        caller
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> ApiResult<Self> {
        let visitor = parts.extensions.get::<Visitor>();
        let user = visitor.and_then(|visitor| visitor.user.clone());
        user.map(Self).ok_or_else(nobody)
    }
}

/// Somebody who looks after accounts.
#[derive(Clone, Debug)]
pub(crate) struct Admin(pub(crate) User);

impl<S: Send + Sync> FromRequestParts<S> for Admin {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Person(user) = Person::from_request_parts(parts, state).await?;
        if user.role == UserRole::Member {
            return Err(ApiError::forbidden(
                "admins_only",
                "only the owner and admins may do this",
            ));
        }
        Ok(Self(user))
    }
}

pub(super) fn nobody() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "authentication_error",
        Some("login_needed"),
        "log in first",
    )
}

/// The layer.
pub(super) async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    // Without the body, which may not be waited with.
    let (mut parts, body) = request.into_parts();
    match visit(&app, &parts).await {
        Ok(visitor) => {
            parts.extensions.insert(visitor);
            let request = Request::from_parts(parts, body);
            let mut response = next.run(request).await;
            // What is somebody's own is kept by no cache on the way.
            let headers = response.headers_mut();
            headers
                .entry(header::CACHE_CONTROL)
                .or_insert(header::HeaderValue::from_static("no-store"));
            response
        }
        Err(error) => {
            let mut response = error.into_response();
            // A browser would ask for a key of its own accord.
            response.headers_mut().remove(header::WWW_AUTHENTICATE);
            response
        }
    }
}

async fn visit(app: &App, request: &Parts) -> ApiResult<Visitor> {
    let headers = &request.headers;
    let changes = !matches!(request.method, Method::GET | Method::HEAD);
    if changes && headers.get("x-terang").is_none_or(|value| value != "1") {
        return Err(ApiError::forbidden(
            "header_missing",
            "x-terang: a request that changes something carries this header with the value 1",
        ));
    }
    let peer = request.extensions.get::<Peer>();
    let address = peer.map_or_else(String::new, |peer| network(peer.0));
    let path = request.extensions.get::<MatchedPath>();
    let path = path.map_or("", MatchedPath::as_str);
    if let Some(secret) = embed_secret(headers) {
        return embedded(app, secret, address, path, &request.method).await;
    }
    let (user, session) = match app.web.mode {
        Mode::Single => (app.web.sole.clone(), String::new()),
        Mode::Accounts => match cookie(headers, COOKIE) {
            Some(secret) => {
                let digest = token::digest(secret);
                (of_session(app, &digest).await?, digest)
            }
            None => (None, String::new()),
        },
    };
    let is_open = OPEN.contains(&path);
    let Some(user) = user else {
        if is_open {
            return Ok(Visitor {
                user: None,
                session: String::new(),
                address,
                embed: None,
            });
        }
        return Err(nobody());
    };
    Ok(Visitor {
        user: Some(user),
        session,
        address,
        embed: None,
    })
}

/// The secret of a session of an embedding application. Where one is sent it alone counts: a cookie
/// that came along is of whoever else uses the browser.
fn embed_secret(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    let is_ours = scheme.eq_ignore_ascii_case("bearer") && secret.starts_with(embed::PREFIX);
    is_ours.then_some(secret)
}

async fn embedded(
    app: &App,
    secret: &str,
    address: String,
    path: &str,
    method: &Method,
) -> ApiResult<Visitor> {
    let digest = token::digest(secret);
    let found = app.web.store.embed_session(&digest).await?;
    // Nobody may still ask to come in again.
    let comes_in = path == "/api/embed/session" && method == Method::POST;
    let Some((user, embed)) = found else {
        if comes_in {
            return Ok(Visitor {
                user: None,
                session: String::new(),
                address,
                embed: None,
            });
        }
        return Err(nobody());
    };
    let mut listed = EMBEDDED.iter();
    if !listed.any(|(route, methods)| *route == path && methods.contains(method)) {
        return Err(ApiError::forbidden(
            "not_embedded",
            "this is not offered inside of another application",
        ));
    }
    Ok(Visitor {
        user: Some(user),
        session: digest,
        address,
        embed: Some(embed.id),
    })
}

async fn of_session(app: &App, digest: &str) -> ApiResult<Option<User>> {
    let now = now_ms();
    let store = &app.web.store;
    let found = store
        .session(digest, now - SESSION_UNUSED_MS, now - SESSION_MS)
        .await?;
    let Some((user, session)) = found else {
        return Ok(None);
    };
    if now - session.seen_at > SEEN_EVERY_MS {
        store.touch_session(digest).await?;
    }
    Ok(Some(user))
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let all = all.filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Addresses that one household or machine has are one.
fn network(peer: SocketAddr) -> String {
    match peer.ip().to_canonical() {
        std::net::IpAddr::V4(address) => address.to_string(),
        std::net::IpAddr::V6(address) => {
            let s = address.segments();
            format!("{:x}:{:x}:{:x}:{:x}::/64", s[0], s[1], s[2], s[3])
        }
    }
}
