//! Server-sent events: a task writes into a short channel whose other end is the response's body, so
//! that a slow reader holds up the writer and a reader who leaves ends it.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Events on their way to the connection, besides what the kernel holds.
const CHANNEL_EVENTS: usize = 16;
/// So often something is sent, lest a proxy take the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The writer's end of a stream of events.
#[derive(Debug)]
pub(crate) struct EventWriter {
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
}

/// The reader has gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl EventWriter {
    /// Sends an event.
    pub(crate) async fn data<T: Serialize>(&self, value: &T) -> Result<(), Gone> {
        self.text(&serde_json::to_string(value).map_err(|_| Gone)?)
            .await
    }

    /// Sends an event with a name.
    pub(crate) async fn named<T: Serialize>(&self, name: &str, value: &T) -> Result<(), Gone> {
        let text = serde_json::to_string(value).map_err(|_| Gone)?;
        self.raw(format!("event: {name}\ndata: {text}\n\n")).await
    }

    /// Sends a text as it is: one line.
    pub(crate) async fn text(&self, text: &str) -> Result<(), Gone> {
        self.raw(format!("data: {text}\n\n")).await
    }

    async fn raw(&self, text: String) -> Result<(), Gone> {
        let sent = self.sender.send(Ok(text.into())).await;
        sent.map_err(|_| Gone)
    }

    /// Waits for `work`, keeping the connection alive meanwhile. Ends early when the reader leaves.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>) -> Result<T, Gone> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.sender.closed() => return Err(Gone),
                () = tokio::time::sleep(KEEP_ALIVE) => self.raw(": keep-alive\n\n".to_owned()).await?,
            }
        }
    }
}

/// A response whose events `write` sends. An event that ends the stream is `write`'s affair.
pub(crate) fn respond<F>(write: impl FnOnce(EventWriter) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(CHANNEL_EVENTS);
    tokio::spawn(write(EventWriter { sender }));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, Body::from_stream(ReceiverStream::new(receiver))).into_response()
}
