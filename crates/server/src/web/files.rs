//! Attachments: files whose text is read into the prompt. What has no text is refused by name, since
//! a model here could do nothing with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use terang_store::NewAttachment;
use utoipa::IntoParams;

use super::chats::query;
use super::visitor::Person;
use super::wire::Uploaded;
use super::{text, upload};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};

const BYTES_MAX: usize = 20 << 20;
/// Longer than any context; what is longer is refused rather than cut.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The file's name.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Without folders.
    name: String,
}

/// Uploads a file: text of any kind (Markdown, code, CSV, JSON).
#[utoipa::path(post, path = "/api/attachments", tag = "attachments", params(Named),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "the file"),
    responses((status = 200, description = "the file", body = Uploaded),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Person(user): Person,
    named: Result<Query<Named>, axum::extract::rejection::QueryRejection>,
    body: Body,
) -> ApiResult<Response> {
    let name = query(named)?.name;
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = text::line("name", name, 200)?;
    let data = upload::in_memory(body, BYTES_MAX).await?;
    let read = read(&name, &data)?;
    let new = NewAttachment {
        name: &name,
        mime: mime(&name),
        text: Some(&read),
        data,
    };
    let made = app.web.store.attach(&user.id, new).await?;
    Ok(json_body(&Uploaded::from(made)))
}

/// The text of a file.
fn read(name: &str, data: &[u8]) -> ApiResult<String> {
    let refused = |what: &str| {
        Err(ApiError::unsupported(
            "name",
            format!("{name}: {what}; allowed are files of text"),
        ))
    };
    let begins = |magic: &[u8]| data.starts_with(magic);
    if begins(b"%PDF-") {
        return refused("PDF cannot be read here yet");
    }
    if begins(b"PK\x03\x04") {
        return refused("this is an archive or an office document");
    }
    if begins(b"\x89PNG") || begins(b"\xff\xd8\xff") || begins(b"GIF8") || begins(b"RIFF") {
        return refused("no model here can see images");
    }
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return refused("this is no text in UTF-8");
    };
    if text.contains('\0') {
        return refused("this is no text");
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(ApiError::too_large(TEXT_BYTES_MAX));
    }
    Ok(text.to_owned())
}

fn mime(name: &str) -> &'static str {
    let end = name
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    match end.as_str() {
        "md" | "markdown" => "text/markdown",
        "csv" => "text/csv",
        "json" => "application/json",
        _ => "text/plain",
    }
}

/// Gives a file back, always to be saved and never to be shown: what is in it is not trusted.
#[utoipa::path(get, path = "/api/attachments/{id}", tag = "attachments",
    params(("id" = String, Path, description = "the file")),
    responses((status = 200, description = "the file", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 404, description = "no such file", body = ErrorBody)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let file = store.attachment(&user.id, &id).await?;
    let data = store.attachment_data(&user.id, &id).await?;
    Ok(saved(
        &file.name,
        "application/octet-stream",
        Body::from(data),
    ))
}

/// A response that a browser saves under a name.
pub(super) fn saved(name: &str, mime: &'static str, body: Body) -> Response {
    let fixed = [
        (header::CONTENT_TYPE, mime),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
    ];
    let fixed: [(HeaderName, HeaderValue); 3] =
        fixed.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let mut response = (fixed, body).into_response();
    let disposition = format!("attachment; filename*=UTF-8''{}", escaped(name));
    if let Ok(value) = HeaderValue::from_str(&disposition) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// A name as RFC 8187 writes it.
fn escaped(name: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_') {
            text.push(byte as char);
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        assert_eq!(read("a.md", "\u{feff}né".as_bytes()).unwrap(), "né");
        for data in [
            &b"%PDF-1.7"[..],
            b"PK\x03\x04",
            b"\x89PNG",
            b"\xff\xfe",
            b"a\0b",
        ] {
            let error = read("file.bin", data).unwrap_err();
            assert!(error.message.contains("file.bin"), "{}", error.message);
        }
        assert_eq!(
            read("a", &vec![b'a'; TEXT_BYTES_MAX + 1])
                .unwrap_err()
                .status,
            413
        );
    }

    #[test]
    fn a_name_cannot_end_its_header() {
        assert_eq!(escaped("a\"\r\n;é.md"), "a%22%0D%0A%3B%C3%A9.md");
    }
}
