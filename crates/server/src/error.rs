//! What goes wrong with a request, in the API's own shape and with the right status. Messages are
//! for the person who asked: they name the field, what was found and what is allowed, and never a
//! path or an address of this machine.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use terang_engine::Error as EngineError;
use utoipa::ToSchema;

/// Result of a handler.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// An error as OpenAI's API writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    pub(crate) kind: &'static str,
    pub(crate) code: Option<&'static str>,
    pub(crate) param: Option<String>,
    pub(crate) message: String,
    pub(crate) retry_after_s: Option<u64>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// What happened.
    error: ErrorDetail,
}

/// What happened.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For the person who asked.
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field that is wrong, if one is.
    param: Option<String>,
    /// A word for programs.
    code: Option<&'static str>,
}

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        code: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            code,
            param: None,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// A request that is wrong.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            None,
            message,
        )
    }

    /// A field that holds what it may not.
    pub(crate) fn invalid(param: &str, message: impl std::fmt::Display) -> Self {
        let mut error = Self::bad(format!("{param}: {message}"));
        error.param = Some(param.to_owned());
        error.code = Some("invalid_value");
        error
    }

    /// A field that this server does not support.
    pub(crate) fn unsupported(param: &str, message: impl std::fmt::Display) -> Self {
        let mut error = Self::invalid(param, message);
        error.code = Some("unsupported_parameter");
        error
    }

    pub(crate) fn model_not_found(name: &str, known: &[&str]) -> Self {
        // A name of any length comes back cut: an error is no echo.
        let name: String = name.chars().take(80).collect();
        let mut error = Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            Some("model_not_found"),
            format!(
                "model: {name:?} is not served here; served are {}",
                known.join(", ")
            ),
        );
        error.param = Some("model".to_owned());
        error
    }

    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "invalid_request_error",
            Some("not_found"),
            what,
        )
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            Some("invalid_api_key"),
            message,
        )
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "permission_error",
            Some(code),
            message,
        )
    }

    /// Something else has to be done first.
    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        let kind = "invalid_request_error";
        Self::new(StatusCode::CONFLICT, kind, Some(code), message)
    }

    /// Too much is asked at this moment.
    pub(crate) fn too_many(
        code: &'static str,
        retry_after_s: u64,
        message: impl Into<String>,
    ) -> Self {
        let mut error = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            Some(code),
            message,
        );
        error.retry_after_s = Some(retry_after_s.max(1));
        error
    }

    /// Not now: loading, draining.
    pub(crate) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        let mut error = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            Some(code),
            message,
        );
        error.retry_after_s = Some(5);
        error
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            Some("body_too_large"),
            format!("body: allowed are {limit} bytes"),
        )
    }

    pub(crate) fn deadline(seconds: u64) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "server_error",
            Some("deadline_exceeded"),
            format!(
                "the answer was not complete after {seconds} s, the longest that this server allows"
            ),
        )
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            Some("internal_error"),
            message,
        )
    }

    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                message: self.message.clone(),
                kind: self.kind,
                param: self.param.clone(),
                code: self.code,
            },
        }
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::Invalid { field, .. } => {
                let mut api = Self::bad(error.to_string());
                api.param = Some((*field).to_owned());
                api.code = Some("invalid_value");
                api
            }
            EngineError::PromptTooLong {
                prompt_tokens,
                context_len,
            } => {
                let mut api = Self::bad(format!(
                    "this model's context holds {context_len} tokens, the prompt has \
                     {prompt_tokens} and the answer needs at least one; shorten the prompt"
                ));
                api.code = Some("context_length_exceeded");
                api.param = Some("messages".to_owned());
                api
            }
            EngineError::InputTooLong { .. } => {
                let mut api = Self::bad(error.to_string());
                api.code = Some("context_length_exceeded");
                api.param = Some("input".to_owned());
                api
            }
            EngineError::QueueFull { limit } => Self::too_many(
                "queue_full",
                2,
                format!("{limit} requests wait already; try again later"),
            ),
            EngineError::Stopped => {
                Self::unavailable("engine_stopped", "the model is being unloaded; try again")
            }
            EngineError::Constraint { .. } => {
                let mut api = Self::bad(error.to_string());
                api.code = Some("invalid_constraint");
                api
            }
            EngineError::Unavailable { what } => {
                Self::unsupported(what, "not available with this model")
            }
            EngineError::Deadline => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "server_error",
                Some("deadline_exceeded"),
                error.to_string(),
            ),
            EngineError::Cancelled => Self::unavailable(
                "cancelled",
                "the server ended the request before it was complete; try again",
            ),
            // The template refused the conversation (order of roles and the like), or the text is
            // longer than any context.
            EngineError::Model(
                terang_model::Error::Template { .. } | terang_model::Error::Limit { .. },
            ) => Self::bad(error.to_string()),
            _ => Self::internal(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, json_body(&self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// A JSON response.
pub(crate) fn json_body<T: Serialize>(value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => (
            [(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            )],
            bytes,
        )
            .into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
