//! Attachments: files whose text is read into the prompt. What has no text is refused by name, since
//! a model here could do nothing with it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use terang_documents::{FILE_BYTES_MAX, Format};
use terang_store::NewAttachment;
use utoipa::IntoParams;

use super::chats::query;
use super::reading::refused;
use super::visitor::Person;
use super::wire::Uploaded;
use super::{text, upload};
use crate::app::App;
use crate::error::{ApiResult, ErrorBody, json_body};

/// The file's name.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Without folders.
    pub(super) name: String,
}

/// Uploads a file: text of any kind (Markdown, code, CSV, JSON), HTML, PDF, or Word (.docx).
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
    let name = bare_name(&query(named)?.name)?;
    let data = upload::in_memory(body, FILE_BYTES_MAX).await?;
    let format = Format::detect(&name, &data).map_err(|error| refused(&name, &error))?;
    let read = app
        .web
        .reading
        .read_now(&name, format, data.clone())
        .await?;
    let new = NewAttachment {
        name: &name,
        mime: mime(&name, format),
        text: Some(&read.text),
        data,
    };
    let made = app.web.store.attach(&user.id, new).await?;
    Ok(json_body(&Uploaded::from(made)))
}

/// The type that a file is kept under.
pub(super) fn mime(name: &str, format: Format) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    if format == Format::Text && end.eq_ignore_ascii_case("json") {
        return "application/json";
    }
    format.mime()
}

/// A file's name without folders.
pub(super) fn bare_name(name: &str) -> ApiResult<String> {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    text::line("name", name, 200)
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
    fn a_name_cannot_end_its_header() {
        assert_eq!(escaped("a\"\r\n;é.md"), "a%22%0D%0A%3B%C3%A9.md");
    }
}
