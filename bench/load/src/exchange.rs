//! One request from the connection to the answer's end, with the time of each piece.
//!
//! A connection serves one request: none is found closed by the server between two of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Part, Usage};
use crate::body::{Framing, events};
use crate::plan::Request;

const READ_BYTES: usize = 16 << 10;
/// Answers here are far shorter.
const HEAD_BYTES_MAX: usize = 64 << 10;
const BODY_BYTES_MAX: usize = 64 << 20;

/// Why a request failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Not connected, or cut while there was more to come.
    #[error("connection: {0}")]
    Connection(String),
    /// No end within the limit.
    #[error("no end in time")]
    Timeout,
    /// Refused.
    #[error("status {0}")]
    Status(u16),
    /// The stream told an error.
    #[error("error in the stream")]
    InStream,
    /// The stream ended without telling why the answer did.
    #[error("answer not finished")]
    Unfinished,
    /// No HTTP, no events, no JSON.
    #[error("malformed answer")]
    Malformed,
}

/// How a request went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its number.
    pub(crate) index: usize,
    /// When the connection was asked for.
    pub(crate) begun: Instant,
    /// When it was over.
    pub(crate) ended: Instant,
    /// When each piece of text came, if it was streamed.
    pub(crate) pieces: Vec<Instant>,
    /// All text.
    pub(crate) text: String,
    /// The server's count.
    pub(crate) usage: Option<Usage>,
    /// Left as the plan says, before the end.
    pub(crate) left: bool,
    /// What went wrong.
    pub(crate) failure: Option<Failure>,
}

/// Sends a request and reads the answer. `on_first` is called at the first piece of text.
pub(crate) async fn run(
    address: SocketAddr,
    request: &Request,
    index: usize,
    limit: Duration,
    on_first: &(impl Fn() + Sync),
) -> Outcome {
    let begun = Instant::now();
    let mut outcome = Outcome {
        index,
        begun,
        ended: begun,
        pieces: Vec::new(),
        text: String::new(),
        usage: None,
        left: false,
        failure: None,
    };
    let exchange = exchange(address, request, on_first, &mut outcome);
    outcome.failure = match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(())) => None,
        Ok(Err(failure)) => Some(failure),
        Err(_) => Some(Failure::Timeout),
    };
    outcome.ended = Instant::now();
    outcome
}

async fn exchange(
    address: SocketAddr,
    request: &Request,
    on_first: &(impl Fn() + Sync),
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let body = request.body.get();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        request.path,
        body.len(),
    );
    let whole = [head.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&whole).await?;

    let mut bytes = Vec::with_capacity(READ_BYTES);
    let head = read_head(&mut stream, &mut bytes).await?;
    let status = head.get(9..12).and_then(|digits| digits.parse().ok());
    match status.ok_or(Failure::Malformed)? {
        200 => {}
        status => return Err(Failure::Status(status)),
    }
    let streamed = head.to_ascii_lowercase().contains("text/event-stream");
    let mut answer = Answer {
        outcome,
        finished: false,
        leave_after: request.leave_after,
    };
    let mut framing = Framing::of(&head);
    let mut body = Vec::new();
    loop {
        framing.feed(&bytes, &mut body)?;
        bytes.clear();
        if streamed {
            for event in events(&mut body)? {
                answer.event(&event, on_first)?;
                if answer.outcome.left {
                    return Ok(());
                }
            }
        } else if body.len() > BODY_BYTES_MAX {
            return Err(Failure::Malformed);
        }
        if framing.ended() {
            break;
        }
        let count = stream.read_buf(&mut bytes).await?;
        if count == 0 {
            if framing.ends_with_connection() {
                break;
            }
            return Err(Failure::Connection("closed before the end".to_owned()));
        }
    }
    if !streamed {
        return answer.whole(&body);
    }
    if answer.finished {
        Ok(())
    } else {
        Err(Failure::Unfinished)
    }
}

/// Reads to the blank line. What came after it stays in `bytes`.
async fn read_head(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<String, Failure> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            bytes.drain(..end + 4);
            return Ok(head);
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(Failure::Malformed);
        }
        if stream.read_buf(bytes).await? == 0 {
            return Err(Failure::Connection("closed without an answer".to_owned()));
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Connection(error.kind().to_string())
    }
}

/// The answer as far as it has come.
struct Answer<'a> {
    outcome: &'a mut Outcome,
    finished: bool,
    leave_after: Option<usize>,
}

impl Answer<'_> {
    fn event(&mut self, data: &str, on_first: &impl Fn()) -> Result<(), Failure> {
        if data == "[DONE]" {
            return Ok(());
        }
        let part: Part = serde_json::from_str(data).map_err(|_| Failure::Malformed)?;
        if part.error.is_some() {
            return Err(Failure::InStream);
        }
        let before = self.outcome.text.len();
        self.take(&part);
        if self.outcome.text.len() > before {
            self.outcome.pieces.push(Instant::now());
            let count = self.outcome.pieces.len();
            if count == 1 {
                on_first();
            }
            self.outcome.left = self.leave_after.is_some_and(|after| count >= after);
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8]) -> Result<(), Failure> {
        let part: Part = serde_json::from_slice(body).map_err(|_| Failure::Malformed)?;
        self.take(&part);
        Ok(())
    }

    fn take(&mut self, part: &Part) {
        for choice in &part.choices {
            self.outcome.text.push_str(choice.text());
            self.finished |= choice.finish_reason.is_some();
        }
        self.outcome.usage = part.usage.or(self.outcome.usage);
    }
}
