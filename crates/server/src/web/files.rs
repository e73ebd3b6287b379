//! Attachments: files whose text is read into the prompt, and pictures, which people see and of which
//! the model is told that they are there. Anything else is refused by name.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use terang_documents::{
    DocumentError, FILE_BYTES_MAX, Format, Picture, PictureError, PictureKind, is_called_a_picture,
};
use terang_store::{Attachment, NewAttachment};
use utoipa::IntoParams;

use super::chats::query;
use super::reading::{refused, refused_picture};
use super::visitor::Person;
use super::wire::Uploaded;
use super::{text, upload};
use crate::app::App;
use crate::error::{ApiResult, ErrorBody, json_body};

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-resource-policy");

/// The file's name.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Named {
    /// Without folders.
    pub(super) name: String,
}

/// Uploads a file: text of any kind (Markdown, code, CSV, JSON), HTML, PDF, Word (.docx), or a picture
/// (PNG, JPEG, GIF, WebP), which is kept without what a camera wrote beside it.
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
    let made = keep(&app, &user.id, &name, data).await?;
    Ok(json_body(&Uploaded::from(made)))
}

/// Keeps a file, with what it is for a model and for people.
pub(super) async fn keep(
    app: &App,
    user_id: &str,
    name: &str,
    data: Vec<u8>,
) -> ApiResult<Attachment> {
    let store = &app.web.store;
    if PictureKind::of(&data).is_some() || is_called_a_picture(name) {
        let picture = Picture::read(&data).map_err(|error| refused_picture(name, error))?;
        let new = NewAttachment {
            name,
            mime: picture.kind.mime(),
            data: picture.data,
            text: None,
            pixels: Some((picture.width, picture.height)),
        };
        return Ok(store.attach(user_id, new).await?);
    }
    let picture = |error| match error {
        // One of a kind that is not shown, whatever it is called.
        DocumentError::Picture => refused_picture(name, PictureError::Unsupported),
        error => refused(name, &error),
    };
    let format = Format::detect(name, &data).map_err(picture)?;
    let read = app.web.reading.read_now(name, format, data.clone()).await?;
    let new = NewAttachment {
        name,
        mime: mime(name, format),
        text: Some(&read.text),
        data,
        pixels: None,
    };
    Ok(store.attach(user_id, new).await?)
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

/// Gives a file back: a picture to be shown, anything else to be saved and never to be shown, since
/// what is in it is not trusted.
#[utoipa::path(get, path = "/api/attachments/{id}", tag = "attachments",
    params(("id" = String, Path, description = "the file")),
    responses((status = 200, description = "the file; a picture under its own type", content_type = "application/octet-stream", body = Vec<u8>),
        (status = 304, description = "a picture that the client has"),
        (status = 404, description = "no such file", body = ErrorBody)))]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
    asked: HeaderMap,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let file = store.attachment(&user.id, &id).await?;
    // The type is what its bytes said when it was kept; nothing of the client's gets here.
    let kind = file.pixels.and_then(|_| PictureKind::of_mime(&file.mime));
    let Some(kind) = kind else {
        let data = store.attachment_data(&user.id, &id).await?;
        return Ok(saved(
            &file.name,
            "application/octet-stream",
            Body::from(data),
        ));
    };
    // What a file holds never changes. A browser asks each time all the same, so that who has logged
    // in after its owner at the same machine is not shown what is not theirs.
    let tag = format!("\"{}\"", file.id);
    let known = asked.get(header::IF_NONE_MATCH);
    let known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let data = store.attachment_data(&user.id, &id).await?;
        given("inline", &file.name, kind.mime(), Body::from(data))
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, no-cache"),
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A response that a browser saves under a name.
pub(super) fn saved(name: &str, mime: &'static str, body: Body) -> Response {
    given("attachment", name, mime, body)
}

/// A file under its name. Opened by itself, whatever it holds may do nothing.
fn given(how: &str, name: &str, mime: &'static str, body: Body) -> Response {
    let fixed = [
        (header::CONTENT_TYPE, mime),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox",
        ),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    ];
    let fixed: [(HeaderName, HeaderValue); 4] =
        fixed.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let mut response = (fixed, body).into_response();
    let disposition = format!("{how}; filename*=UTF-8''{}", escaped(name));
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
