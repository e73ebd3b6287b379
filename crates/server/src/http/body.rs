//! Bodies of requests: JSON, bounded in size and in time, with errors that name the field.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

/// A body that was read as JSON.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        check_headers(&request)?;
        let limit = app.config.max_body_bytes;
        let timeout = Duration::from_secs(app.config.body_timeout_s);
        let body = Limited::new(request.into_body(), limit).collect();
        let bytes = match tokio::time::timeout(timeout, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => {
                return Err(ApiError::too_large(limit));
            }
            Ok(Err(_)) => return Err(ApiError::bad("body: it broke off")),
            Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "invalid_request_error",
                    Some("body_timeout"),
                    format!("body: it was not complete after {} s", timeout.as_secs()),
                ));
            }
        };
        parse(&bytes).map(Json)
    }
}

fn check_headers(request: &Request) -> ApiResult<()> {
    let unsupported = |message: &str| {
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request_error",
            Some("unsupported_media_type"),
            message,
        )
    };
    let value = |name| {
        let value = request.headers().get(name);
        value.map(|value| value.to_str().unwrap_or_default())
    };
    // A page of another origin can send plain text without asking; JSON it cannot.
    let content_type = value(header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(unsupported("content-type: allowed is application/json"));
    }
    // What is small when packed may be large when unpacked.
    match value(header::CONTENT_ENCODING) {
        None | Some("identity") => Ok(()),
        Some(_) => Err(unsupported(
            "content-encoding: compressed bodies are not accepted",
        )),
    }
}

/// Reads JSON; an error names the field.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> ApiResult<T> {
    // A list would be taken for the fields in their order, which nobody means.
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err(ApiError::bad("body: allowed is a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let mut api = ApiError::bad(String::new());
        let reason = bounded(&error.into_inner().to_string());
        if path == "." {
            api.message = format!("body: {reason}");
        } else {
            api.message = format!("{path}: {reason}");
            api.param = Some(bounded(&path));
        }
        if reason.starts_with("unknown field") {
            api.code = Some("unknown_parameter");
            api.param = reason.split('`').nth(1).map(str::to_owned);
        }
        api
    })?;
    json.end()
        .map_err(|error| ApiError::bad(format!("body: {error}")))?;
    Ok(value)
}

/// What the client sent may be long; an error is no echo.
fn bounded(text: &str) -> String {
    const CHARS_MAX: usize = 2000;
    if text.chars().count() <= CHARS_MAX {
        text.to_owned()
    } else {
        text.chars().take(CHARS_MAX).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[allow(dead_code, reason = "only its type is looked at")]
        list: Vec<u8>,
    }

    #[test]
    fn errors_name_the_field() {
        let error = parse::<Sample>(br#"{"list": [1, 2, "x"]}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("list[2]"));
        let error = parse::<Sample>(br#"{"list": [], "more": 1}"#).unwrap_err();
        assert_eq!(error.param.as_deref(), Some("more"));
        assert_eq!(error.code, Some("unknown_parameter"));
        let error = parse::<Sample>(br#"{"list": []} x"#).unwrap_err();
        assert!(error.message.starts_with("body: "), "{}", error.message);
        for list in [&b"[[1]]"[..], b"", b" 7", b"null"] {
            assert!(parse::<Sample>(list).is_err());
        }
        let deep = [br#"{"a":"#.to_vec(), vec![b'['; 1 << 20]].concat();
        let error = parse::<serde_json::Value>(&deep).unwrap_err();
        assert!(
            error.message.contains("recursion limit"),
            "{}",
            error.message
        );
    }
}
