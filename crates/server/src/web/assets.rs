//! The built front end, which is part of the program. A path that is no file of it and none of the
//! server's is a page of the app, which the app itself finds.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::embed;
use crate::app::App;
use crate::error::ApiError;

struct File {
    path: &'static str,
    bytes: &'static [u8],
    gzip: Option<&'static [u8]>,
    digest: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What the app may load: its own files and nothing of anybody else's, and no script within a page.
macro_rules! policy {
    ($ancestors:literal) => {
        concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; ",
            "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; ",
            "manifest-src 'self'; worker-src 'self'; frame-src 'self' blob:; base-uri 'none'; ",
            "form-action 'self'; frame-ancestors ",
            $ancestors
        )
    };
}
const POLICY: &str = policy!("'none'");
/// The same for the page inside of an application, but for who may frame it, which comes behind it.
const EMBED_POLICY: &str = policy!("");

/// What the frame that draws diagrams may do, in which what strangers wrote becomes a drawing: run
/// its own script, style the drawing, and nothing else. It has no origin, reaches no network, opens
/// and sends nothing. Whoever puts it into a page gets a drawing board that knows nobody.
const DIAGRAM_POLICY: &str = "sandbox allow-scripts; default-src 'none'; script-src 'self'; \
    style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// First parts of paths that are the server's own.
const RESERVED: [&str; 9] = [
    "api",
    "v1",
    "docs",
    "health",
    "metrics",
    "openapi.json",
    "tokenize",
    "detokenize",
    "tokenizer_info",
];

/// Whether a request is for the app: for one of its files or pages.
pub(crate) fn is_app(method: &Method, path: &str) -> bool {
    // However it is written: nothing of the server's own is reached by another spelling.
    let first = path.trim_start_matches('/').split('/').next();
    let first = first.unwrap_or_default().to_ascii_lowercase();
    matches!(*method, Method::GET | Method::HEAD)
        && !RESERVED.contains(&first.as_str())
        && !path.contains(['%', '\\'])
        && !path.contains("..")
}

/// Whether a request is for a file that pages without an origin or of others load: the frame that
/// draws diagrams, and the element of embedding applications. They are the same for everybody.
pub(crate) fn is_for_others(method: &Method, path: &str) -> bool {
    is_app(method, path) && (path.starts_with("/diagram/") || path == "/embed/terang-chat.js")
}

/// Gives a file of the app, or its page.
pub(crate) async fn serve(State(app): State<Arc<App>>, request: Request) -> Response {
    // Without the body, which may not be waited with.
    let (asked, _) = request.into_parts();
    let path = asked.uri.path();
    if !is_app(&asked.method, path) {
        return ApiError::not_found("there is nothing at this path; see /docs").into_response();
    }
    let found = FILES.iter().find(|file| file.path == path);
    // A missing script is missing: the page in its place would only confuse a browser.
    let is_file = path
        .rsplit('/')
        .next()
        .is_some_and(|name| name.contains('.'));
    let file = match found {
        Some(file) => Some(file),
        None if is_file => None,
        None => FILES.iter().find(|file| file.path == "/index.html"),
    };
    if let (Some(id), None) = (embed::app_of(path), found) {
        return match file {
            Some(page) => embedded(page, &embed::ancestors(&app, id).await),
            None => ApiError::not_found("there is no such file").into_response(),
        };
    }
    match file {
        Some(file) => respond(file, &asked.headers),
        None => ApiError::not_found("there is no such file").into_response(),
    }
}

/// The page inside of an application. It is asked for each time, since who may frame it may change.
fn embedded(page: &'static File, ancestors: &str) -> Response {
    let mut response = respond(page, &HeaderMap::new());
    let headers = response.headers_mut();
    headers.remove(header::ETAG);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let policy = format!("{EMBED_POLICY}{ancestors}");
    // Origins are of letters, digits and a few signs; were they not, nobody frames it.
    let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static(POLICY));
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

fn respond(file: &'static File, asked: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", file.digest);
    // Names with a digest never mean anything else; everything else is asked for again.
    let is_fixed = file.path.contains("/immutable/");
    let mut headers = HeaderMap::new();
    let caching = if is_fixed {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(mime(file.path)),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(policy(file.path)),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        "cross-origin-opener-policy",
        HeaderValue::from_static("same-origin"),
    );
    if file.path == "/embed/terang-chat.js" {
        // Pages of others load it.
        headers.insert(
            "cross-origin-resource-policy",
            HeaderValue::from_static("cross-origin"),
        );
    }
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=()"),
    );
    let same = asked
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if same.is_some_and(|tags| {
        tags.split(',')
            .any(|tag| tag.trim().trim_start_matches("W/") == etag)
    }) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let accepts = asked
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    let accepts = accepts.is_some_and(|all| {
        all.split(',').any(|one| {
            let mut parts = one.split(';').map(str::trim);
            parts.next() == Some("gzip") && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0"))
        })
    });
    match file.gzip.filter(|_| accepts) {
        Some(packed) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            (headers, packed).into_response()
        }
        None => (headers, file.bytes).into_response(),
    }
}

fn policy(path: &str) -> &'static str {
    if path.starts_with("/diagram/") {
        DIAGRAM_POLICY
    } else {
        POLICY
    }
}

fn mime(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "txt" | "md" => "text/plain; charset=utf-8",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_paths_are_no_pages_however_they_are_spelt() {
        for own in [
            "/api/me",
            "/v1/models",
            "//v1/models",
            "/V1/models",
            "/API",
            "/v1/../v1/models",
            "/x/../v1/models",
            "/%76%31/models",
            "/health/live",
            "/docs",
            "/metrics",
        ] {
            assert!(!is_app(&Method::GET, own), "{own}");
        }
        for page in ["/", "/c/0198", "/settings", "/_app/immutable/x.js", "/v1x"] {
            assert!(is_app(&Method::GET, page), "{page}");
            assert!(!is_app(&Method::POST, page), "{page}");
            assert!(!is_for_others(&Method::GET, page), "{page}");
        }
    }

    #[test]
    fn the_app_is_in_the_program() {
        let index = FILES.iter().find(|file| file.path == "/index.html");
        assert!(index.is_some_and(|file| !file.bytes.is_empty()));
        assert!(FILES.iter().all(|file| file.digest.len() == 24));
    }
}
