//! What every request passes before its handler: drain, the Host header, the Origin, the API key.
//! One layer over all routes, so that a new route is behind it without anybody's doing; only health
//! is exempt, by name. The web app's API asks for a session where others ask for a key, in a layer of
//! its own (`web::visitor`); the app's files are for everybody.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::anthropic;
use crate::app::App;
use crate::config::CacheSharing;
use crate::error::{ApiError, ApiResult};
use crate::telemetry::Origin;
use crate::web;

const HEALTH: [&str; 2] = ["/health/live", "/health/ready"];

/// The layer.
pub(crate) async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = route_name(&request);
    let is_api = is_web(request.uri().path());
    let method = request.method().clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    // Where a body in chunks ends is known to the parser alone, so that heads after it cannot be
    // looked at before they are parsed (`heads`): nothing that follows is taken for a request.
    let in_chunks = request.headers().contains_key(header::TRANSFER_ENCODING);
    let (mut response, key) = match check(&app, &request) {
        Ok(Passed::Preflight) => (preflight(&request), None),
        Ok(Passed::Through(caller)) => {
            let key = caller.id().map(str::to_owned);
            let mut request = request;
            request.extensions_mut().insert(caller);
            (next.run(request).await, key)
        }
        Err(error) => {
            // Each API has errors of its own shape.
            let response = if request.uri().path().starts_with("/v1/messages") {
                anthropic::fail(&error)
            } else {
                error.into_response()
            };
            (response, None)
        }
    };
    if in_chunks || app.is_draining() {
        let closing = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, closing);
    }
    let origin = origin.filter(|origin| !is_api && allowed_origin(&app, origin));
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let status = response.status().as_u16();
    app.metrics.responded(route, status);
    tracing::debug!(
        %method,
        route,
        status,
        key = key.as_deref().unwrap_or("-"),
        head_ms = begun.elapsed().as_millis() as u64,
        "request"
    );
    response
}

enum Passed {
    /// A browser asks what another origin may do.
    Preflight,
    Through(crate::keys::Caller),
}

fn check(app: &App, request: &Request) -> ApiResult<Passed> {
    let headers = request.headers();
    check_host(app, request)?;
    let path = request.uri().path();
    let is_health = HEALTH.contains(&path);
    if app.is_draining() && !is_health {
        return Err(ApiError::unavailable(
            "draining",
            "the server is shutting down and takes no new work",
        ));
    }
    let is_web = is_web(path);
    // A sandboxed frame says that its origin is null, also where it only loads its script.
    let for_others = web::assets::is_for_others(request.method(), path);
    if let Some(origin) = headers.get(header::ORIGIN).filter(|_| !for_others) {
        // What a session or the one person of this machine may do, no other origin's page may.
        if is_web && !same_origin(origin, headers) {
            return Err(ApiError::forbidden(
                "origin_not_allowed",
                "origin: only the server's own pages may use this",
            ));
        }
        if !allowed_origin(app, origin) && !same_origin(origin, headers) {
            return Err(ApiError::forbidden(
                "origin_not_allowed",
                "origin: web pages of this origin may not use this server; see cors_origins",
            ));
        }
        let asks = headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() == Method::OPTIONS && asks {
            return Ok(Passed::Preflight);
        }
    }
    let is_page = web::assets::is_app(request.method(), path);
    if is_health || is_web || is_page {
        return Ok(Passed::Through(crate::keys::Caller::default()));
    }
    let key = presented_key(headers);
    let salted = app.config.cache_sharing == CacheSharing::Key;
    let mut caller = app.keys.admit(key, app.keys_required(), salted)?;
    let parent = headers.get("traceparent").and_then(|h| h.to_str().ok());
    caller.origin = Origin::new(route_name(request), parent);
    Ok(Passed::Through(caller))
}

/// Whether a path is of the web app's API, exactly as the router has it.
fn is_web(path: &str) -> bool {
    path.starts_with("/api/")
}

/// The key that came with a request, in OpenAI's header or in Anthropic's.
fn presented_key(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then_some(key.trim());
    }
    headers.get("x-api-key")?.to_str().ok()
}

/// On loopback a web page can reach this server under a name of its own that it lets point here;
/// the Host header tells.
fn check_host(app: &App, request: &Request) -> ApiResult<()> {
    let misdirected = || {
        ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "invalid_request_error",
            Some("host_not_allowed"),
            "host: this server is not reached by that name; see allowed_hosts",
        )
    };
    let hosts = request.headers().get_all(header::HOST);
    let mut hosts = hosts.iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(ApiError::bad("host: exactly one such header is allowed"));
    };
    let host = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok());
    let host = host.ok_or_else(|| ApiError::bad("host: not a name and port"))?;
    let name = host.host().to_ascii_lowercase();
    if app
        .config
        .allowed_hosts
        .iter()
        .any(|allowed| allowed.eq_ignore_ascii_case(&name))
    {
        return Ok(());
    }
    let is_loopback = matches!(name.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    let anything_goes = !app.loopback && app.config.allowed_hosts.is_empty();
    if is_loopback || anything_goes {
        Ok(())
    } else {
        Err(misdirected())
    }
}

fn allowed_origin(app: &App, origin: &HeaderValue) -> bool {
    let allowed = &app.config.cors_origins;
    allowed
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes())
}

fn same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let (Ok(origin), Some(host)) = (origin.to_str(), headers.get(header::HOST)) else {
        return false;
    };
    let Some((_, authority)) = origin.split_once("://") else {
        return false;
    };
    authority.as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

fn preflight(request: &Request) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    if let Some(asked) = asked {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, DELETE"),
    );
    headers.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    response
}

/// The route's pattern, one of a fixed set.
fn route_name(request: &Request) -> &'static str {
    let matched = request.extensions().get::<MatchedPath>();
    let matched = matched.map_or("", MatchedPath::as_str);
    let mut all = super::router::ROUTES.iter().chain(&web::router::ROUTES);
    let known = all.find(|route| **route == matched);
    known.copied().unwrap_or("other")
}
