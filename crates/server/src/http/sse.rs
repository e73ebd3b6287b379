//! Server-sent events: what writes them runs inside the response's body, through a short channel, so
//! that a slow reader holds up the writer, a reader who leaves ends it, and an event wakes one task only.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// Events on their way to the connection, besides what the kernel holds.
const CHANNEL_EVENTS: usize = 16;
/// So often something is sent, lest a proxy take the connection for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The writer's end of a stream of events.
#[derive(Debug)]
pub(crate) struct EventWriter {
    sender: mpsc::Sender<Event>,
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

type Event = Result<Bytes, Infallible>;
type Writing = Pin<Box<dyn Future<Output = Result<(), Gone>> + Send>>;

/// The events of one response.
struct Events {
    /// Until it is done.
    writer: Option<Writing>,
    receiver: mpsc::Receiver<Event>,
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let events = self.get_mut();
        if let Some(writer) = &mut events.writer
            && writer.as_mut().poll(context).is_ready()
        {
            events.writer = None;
        }
        events.receiver.poll_recv(context)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.receiver.close();
        // The writer learns that its reader has gone, and does what it does then.
        if let (Some(writer), Ok(runtime)) = (self.writer.take(), Handle::try_current()) {
            runtime.spawn(writer);
        }
    }
}

/// A response whose events `write` sends. An event that ends the stream is `write`'s affair.
pub(crate) fn respond<F>(write: impl FnOnce(EventWriter) -> F) -> Response
where
    F: Future<Output = Result<(), Gone>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(CHANNEL_EVENTS);
    let events = Events {
        writer: Some(Box::pin(write(EventWriter { sender }))),
        receiver,
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)));
    (headers, Body::from_stream(events)).into_response()
}
