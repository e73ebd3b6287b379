//! MCP's streamable HTTP, as `rmcp` asks for it: one connection a request, each judged anew by
//! [`Target::connect`], and all that comes back bounded before it is read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::common::http_header::{HEADER_LAST_EVENT_ID, HEADER_SESSION_ID};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use sse_stream::{Sse, SseStream};

use super::net::Target;
use super::{MESSAGE_BYTES_MAX, ToolError};

/// No answer takes longer, whatever is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(15);
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

type HttpError = StreamableHttpError<ToolError>;

/// A server that speaks MCP over HTTP.
#[derive(Clone)]
pub(super) struct HttpServer {
    target: Arc<Target>,
    /// With `Bearer` before it, and marked as secret.
    token: Option<HeaderValue>,
}

impl HttpServer {
    pub(super) fn new(target: Target, token: Option<&str>) -> Result<Self, ToolError> {
        let token = token.map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| ToolError::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            target: Arc::new(target),
            token: token.transpose()?,
        })
    }

    async fn send(
        &self,
        method: Method,
        session: Option<&str>,
        headers: HashMap<HeaderName, HeaderValue>,
        body: Vec<u8>,
    ) -> Result<Response<Incoming>, ToolError> {
        let protocol = |error: String| ToolError::Protocol(super::shorten(&error, 200));
        let mut request = Request::builder()
            .method(method)
            .uri(&self.target.path)
            .header(header::HOST, &self.target.authority)
            .header(header::ACCEPT, format!("{JSON}, {EVENTS}"))
            .header(
                header::USER_AGENT,
                concat!("terang/", env!("CARGO_PKG_VERSION")),
            );
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, JSON);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some(session) = session {
            request = request.header(HEADER_SESSION_ID, session);
        }
        for (name, value) in headers {
            // What this client sets itself is not the library's to set again.
            let own = [header::HOST, header::AUTHORIZATION, header::ACCEPT];
            if !own.contains(&name) && !name.as_str().eq_ignore_ascii_case(HEADER_LAST_EVENT_ID) {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|error| protocol(error.to_string()))?;
        let line = TokioIo::new(self.target.connect().await?);
        let mut builder = hyper::client::conn::http1::Builder::new();
        builder.max_buf_size(64 << 10).max_headers(64);
        let (mut sender, connection) = builder
            .handshake::<_, Full<Bytes>>(line)
            .await
            .map_err(|_| ToolError::Ended)?;
        // Ends when the response's body is dropped.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        let response = tokio::time::timeout(ANSWER_TIMEOUT, sender.send_request(request)).await;
        let response = response.map_err(|_| ToolError::Deadline(ANSWER_TIMEOUT.as_secs()))?;
        response.map_err(|_| ToolError::Ended)
    }
}

/// A body that is read whole, or refused.
async fn whole(body: Incoming) -> Result<Bytes, ToolError> {
    let read = tokio::time::timeout(
        ANSWER_TIMEOUT,
        Limited::new(body, MESSAGE_BYTES_MAX).collect(),
    );
    match read.await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(ToolError::TooLarge(MESSAGE_BYTES_MAX))
        }
        Ok(Err(_)) => Err(ToolError::Ended),
        Err(_) => Err(ToolError::Deadline(ANSWER_TIMEOUT.as_secs())),
    }
}

/// The events of a body; all of them together are bounded.
fn events(body: Incoming) -> BoxStream<'static, Result<Sse, SseError>> {
    let mut left = MESSAGE_BYTES_MAX;
    let bytes = body.into_data_stream().map_err(|_| ToolError::Ended);
    let bytes = bytes.map(move |piece| {
        let piece = piece?;
        left = left
            .checked_sub(piece.len())
            .ok_or(ToolError::TooLarge(MESSAGE_BYTES_MAX))?;
        Ok::<Bytes, ToolError>(piece)
    });
    SseStream::from_bytes_stream(bytes).boxed()
}

impl StreamableHttpClient for HttpServer {
    type Error = ToolError;

    async fn post_message(
        &self,
        _: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let client = StreamableHttpError::Client;
        let body = serde_json::to_vec(&message)?;
        let session = session.as_deref();
        let response = self.send(Method::POST, session, headers, body).await;
        let response = response.map_err(client)?;
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return Err(client(ToolError::Authorization));
        }
        if status.is_redirection() {
            return Err(client(ToolError::Redirect));
        }
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(StreamableHttpError::SessionExpired);
        }
        let header = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let kind = header("content-type").unwrap_or_default();
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let session = header(HEADER_SESSION_ID);
        if kind == JSON {
            let body = whole(response.into_body()).await.map_err(client)?;
            // Nothing that is asked for hangs on the answer to a notification.
            let waits = matches!(message, ClientJsonRpcMessage::Request(_));
            return match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
                Ok(answer)
                    if status.is_success() || matches!(answer, ServerJsonRpcMessage::Error(_)) =>
                {
                    Ok(StreamableHttpPostResponse::Json(answer, session))
                }
                _ if !status.is_success() => Err(client(ToolError::Status(status.as_u16()))),
                _ if !waits => Ok(StreamableHttpPostResponse::Accepted),
                _ => Err(client(ToolError::Protocol(
                    "its answer is no message".to_owned(),
                ))),
            };
        }
        if !status.is_success() {
            return Err(client(ToolError::Status(status.as_u16())));
        }
        if kind == EVENTS {
            return Ok(StreamableHttpPostResponse::Sse(
                events(response.into_body()),
                session,
            ));
        }
        if matches!(message, ClientJsonRpcMessage::Request(_)) {
            let kind = super::shorten(&kind, 60);
            return Err(client(ToolError::Protocol(format!(
                "its answer is of type {kind:?}"
            ))));
        }
        Ok(StreamableHttpPostResponse::Accepted)
    }

    async fn delete_session(
        &self,
        _: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        // A courtesy: a server forgets sessions by itself too.
        let _ = self
            .send(Method::DELETE, Some(&session), headers, Vec::new())
            .await;
        Ok(())
    }

    async fn get_stream(
        &self,
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, HttpError> {
        // What a server tells unasked is of no use here: its tools are listed when they are needed.
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}
