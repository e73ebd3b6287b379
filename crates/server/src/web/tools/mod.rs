//! Tools that models may call: a client of the Model Context Protocol, over `rmcp`.
//!
//! - `spec`: how a server is reached, and what may stand there. `net`: the guarded way over the
//!   network. `http`: MCP over it. `process`: servers that are programs of this machine.
//! - `connection`: one server that was reached, and its tools. `result`: what came back of a call.
//! - `offer`: the tools of a chat, by the names that its model is told.
//! - `admin`: setting servers up. `given`: those of the settings' file. `own`: what people see of them, and what they allowed.
//!
//! Invariants: what is started or reached comes from whoever set the server up, never from a request
//! of somebody who chats, nor from a model; what comes back is data, bounded, and calls nothing.

pub(crate) mod admin;
mod connection;
pub(crate) mod given;
mod http;
mod net;
pub(super) mod offer;
pub(crate) mod own;
mod process;
pub(super) mod result;
mod spec;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use terang_store::ToolServer;
use tokio::time::Instant;

use connection::Connection;
pub(super) use connection::Tool;

/// Of one message from a server.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// A server has so long to start and to list its tools.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// One that ends sooner after its start has failed to start.
const SETTLED: Duration = Duration::from_secs(10);
/// After failures one waits: twice as long each time, up to this.
const BACK_OFF_MAX: Duration = Duration::from_mins(2);

/// Why a server of tools or a call is of no use. For whoever is at the app: it names no path and no
/// secret.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ToolError {
    #[error("{0}")]
    Url(&'static str),
    #[error("the token cannot be sent")]
    Token,
    #[error(
        "{0} is an address of this machine or its network, which tools may reach only where the owner \
         allowed it for this server"
    )]
    Private(String),
    #[error("{0} cannot be found")]
    Unknown(String),
    #[error("{0} cannot be reached")]
    Unreachable(String),
    #[error("{0} cannot be reached securely: {1}")]
    Secure(String, String),
    #[error("it leads to another address, which is not followed; name that one")]
    Redirect,
    #[error("it refuses: its token is missing or wrong")]
    Authorization,
    #[error("it answers with the status {0}")]
    Status(u16),
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("no answer within {0} s")]
    Deadline(u64),
    #[error("the connection ended")]
    Ended,
    #[error("the program cannot be started: {0}")]
    Start(String),
    #[error("it does not speak MCP as it should: {0}")]
    Protocol(String),
    #[error("{0}")]
    Refused(String),
    #[error("{0}; tried again in {1} s")]
    Later(String, u64),
    #[error("it is switched off")]
    Disabled,
    #[error("it was removed or set up anew since the model asked for it")]
    Changed,
}

/// Characters that nobody sees, or that turn others around: by them a text reads otherwise to a model
/// than to people.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// The beginning of a text from elsewhere, on one line.
fn shorten(text: &str, chars_max: usize) -> String {
    let seen = text.chars().filter(|&c| !is_hidden(c));
    let line = seen.map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = line.clone().take(chars_max).collect();
    if line.count() > chars_max {
        short.push('…');
    }
    short
}

/// One server's place: at most one connection to it.
#[derive(Default)]
struct Slot {
    /// Held while it is connected to, so that it is started once.
    state: tokio::sync::Mutex<State>,
    /// What was last heard of it, for pages.
    heard: Mutex<Option<Result<(), String>>>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    failures: u32,
    not_before: Option<(Instant, String)>,
}

/// The servers of tools that are connected to.
#[derive(Default)]
pub(crate) struct Tools {
    slots: Mutex<HashMap<String, Arc<Slot>>>,
}

impl Tools {
    fn slot(&self, id: &str) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry(id.to_owned()).or_default())
    }

    /// Ends the connection to a server, and with it the program.
    pub(super) fn forget(&self, id: &str) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.remove(id);
    }

    /// Ends all of them.
    pub(crate) fn close(&self) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.clear();
    }

    /// What was last heard of a server; `None`: it was not asked yet.
    pub(super) fn heard(&self, id: &str) -> Option<Result<(), String>> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots.get(id)?;
        let heard = slot.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.clone()
    }

    /// The connection to a server, made where there is none. One that keeps failing is left alone for
    /// a while.
    async fn connect(&self, server: &ToolServer) -> Result<Arc<Connection>, ToolError> {
        if !server.enabled {
            return Err(ToolError::Disabled);
        }
        let slot = self.slot(&server.id);
        let mut state = slot.state.lock().await;
        if let Some(connection) = &state.connection {
            if connection.version == server.version && connection.is_open() {
                return Ok(Arc::clone(connection));
            }
            if connection.version != server.version {
                (state.failures, state.not_before) = (0, None);
            } else if connection.since.elapsed() < SETTLED {
                fail(&mut state, "the connection ended".to_owned());
            } else {
                state.failures = 0;
            }
            state.connection = None;
        }
        if let Some((at, why)) = &state.not_before {
            let left = at.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                return Err(ToolError::Later(why.clone(), left.as_secs() + 1));
            }
        }
        let made = tokio::time::timeout(CONNECT_TIMEOUT, Connection::open(server)).await;
        let made = made.unwrap_or(Err(ToolError::Deadline(CONNECT_TIMEOUT.as_secs())));
        let heard = made.as_ref().map(|_| ()).map_err(ToString::to_string);
        *slot.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        match made {
            Ok(connection) => {
                state.not_before = None;
                let connection = Arc::new(connection);
                state.connection = Some(Arc::clone(&connection));
                tracing::info!(server = %server.name, "tools: connected");
                Ok(connection)
            }
            Err(error) => {
                tracing::warn!(server = %server.name, %error, "tools: not connected");
                fail(&mut state, error.to_string());
                Err(error)
            }
        }
    }

    /// The tools of a server.
    pub(super) async fn list(&self, server: &ToolServer) -> Result<Vec<Tool>, ToolError> {
        let connection = self.connect(server).await?;
        connection.tools().await
    }

    /// Connects anew, whatever was before, and lists the tools.
    pub(super) async fn test(&self, server: &ToolServer) -> Result<Vec<Tool>, ToolError> {
        self.forget(&server.id);
        self.list(server).await
    }

    /// Calls a tool. Dropped, the call is called off, as far as its server allows.
    pub(super) async fn call(
        &self,
        server: &ToolServer,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<result::Outcome, ToolError> {
        let connection = self.connect(server).await?;
        connection.call(tool, arguments).await
    }
}

fn fail(state: &mut State, why: String) {
    state.failures = (state.failures + 1).min(16);
    let wait = Duration::from_secs(1 << state.failures.min(10)).min(BACK_OFF_MAX);
    state.not_before = Some((Instant::now() + wait, why));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_again_is_left_alone_for_longer_but_not_for_ever() {
        let mut state = State::default();
        let mut last = Duration::ZERO;
        for _ in 0..40 {
            let before = Instant::now();
            fail(&mut state, String::new());
            let (at, _) = state.not_before.clone().unwrap();
            let wait = at - before;
            assert!(
                wait >= last && wait <= BACK_OFF_MAX + Duration::from_secs(1),
                "{wait:?}"
            );
            last = wait.min(BACK_OFF_MAX);
        }
        assert_eq!(last, BACK_OFF_MAX);
    }

    #[test]
    fn texts_from_elsewhere_are_short_and_on_one_line() {
        assert_eq!(shorten("a\nb\u{1b}[31m", 100), "a b [31m");
        assert_eq!(shorten(&"x".repeat(50), 5), "xxxxx…");
        assert_eq!(shorten("a\u{202e}b\u{e0041}\u{200b}c", 100), "abc");
    }
}
