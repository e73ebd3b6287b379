//! A server of tools that was reached: its tools, listed within bounds, and calls with a deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientConfig, Implementation, PaginatedRequestParams,
    ProtocolVersion,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, NotificationContext, RunningService, ServiceError,
    serve_client_with_lifecycle,
};
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Map, Value, json};
use terang_store::ToolServer;
use tokio::time::Instant;

use super::http::HttpServer;
use super::net::Target;
use super::process::{self, Process};
use super::result::{self, Outcome};
use super::spec::{Reach, Spec};
use super::{ToolError, is_hidden, shorten};
use crate::web::token;

/// Tools of one server that are taken, and pages of its list.
const TOOLS_MAX: usize = 128;
const PAGES_MAX: usize = 20;
const NAME_BYTES_MAX: usize = 128;
const DESCRIPTION_CHARS_MAX: usize = 4000;
const SCHEMA_BYTES_MAX: usize = 64 << 10;
const META_BYTES_MAX: usize = 16 << 10;
const LIST_TIMEOUT: Duration = Duration::from_secs(20);

/// A tool as its server describes it.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: String,
    /// JSON Schema of the arguments, an object.
    pub(crate) schema: Value,
    /// What the server claims, which nobody has checked: it asks no less for that.
    pub(crate) read_only: bool,
    /// What it says about itself besides (`_meta`), such as a page that shows its results.
    pub(crate) meta: Option<Value>,
    /// Of all that: who allowed it, allowed it as it was described.
    pub(crate) digest: String,
}

/// What this client is for a server: it answers no question of a server's own.
#[derive(Debug, Default)]
struct Client {
    changed: AtomicBool,
}

impl ClientHandler for Client {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.store(true, Ordering::Relaxed);
    }

    fn get_info(&self) -> ClientConfig {
        let name = Implementation::new("terang", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(rmcp::model::ClientCapabilities::default(), name)
    }
}

/// A connection.
pub(super) struct Connection {
    service: RunningService<RoleClient, Client>,
    listed: tokio::sync::Mutex<Option<Vec<Tool>>>,
    timeout_s: u64,
    /// Of the server's settings.
    pub(super) version: i64,
    pub(super) since: Instant,
    _process: Option<Process>,
}

impl Connection {
    /// Reaches a server, first as all servers are spoken to, then as those that only know the newer way.
    pub(super) async fn open(server: &ToolServer) -> Result<Self, ToolError> {
        let newer = ClientLifecycleMode::Discover {
            preferred_versions: vec![ProtocolVersion::LATEST],
        };
        match Self::reach(server, ClientLifecycleMode::Initialize).await {
            Err(ToolError::Refused(_)) => Self::reach(server, newer).await,
            other => other,
        }
    }

    async fn reach(server: &ToolServer, mode: ClientLifecycleMode) -> Result<Self, ToolError> {
        let (spec, secrets) = Spec::of(server)?;
        let (service, process) = match &spec.reach {
            Reach::Stdio(program) => {
                let (process, pipes) = process::start(&server.name, program, &secrets)?;
                let service = serve_client_with_lifecycle(Client::default(), pipes, mode).await;
                (service, Some(process))
            }
            Reach::Http(remote) => {
                let target = Target::parse(&remote.url, remote.local)?;
                let client = HttpServer::new(target, secrets.token.as_deref())?;
                let config = StreamableHttpClientTransportConfig::with_uri(remote.url.as_str());
                let transport = StreamableHttpClientTransport::with_client(client, config);
                let service = serve_client_with_lifecycle(Client::default(), transport, mode).await;
                (service, None)
            }
        };
        Ok(Self {
            service: service.map_err(|error| of_start(&error))?,
            listed: tokio::sync::Mutex::default(),
            timeout_s: spec.timeout_s,
            version: server.version,
            since: Instant::now(),
            _process: process,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        !self.service.is_closed() && !self.service.is_transport_closed()
    }

    /// The tools, as they were listed last.
    pub(super) async fn tools(&self) -> Result<Vec<Tool>, ToolError> {
        let mut listed = self.listed.lock().await;
        let changed = self
            .service
            .service()
            .changed
            .swap(false, Ordering::Relaxed);
        if let Some(tools) = listed.as_ref().filter(|_| !changed) {
            return Ok(tools.clone());
        }
        let work = tokio::time::timeout(LIST_TIMEOUT, self.list()).await;
        let tools = work.unwrap_or(Err(ToolError::Deadline(LIST_TIMEOUT.as_secs())))?;
        *listed = Some(tools.clone());
        Ok(tools)
    }

    async fn list(&self) -> Result<Vec<Tool>, ToolError> {
        let mut tools: Vec<Tool> = Vec::new();
        let mut cursor = None;
        for _ in 0..PAGES_MAX {
            let mut params = PaginatedRequestParams::default();
            params.cursor = cursor.take();
            let page = self.service.list_tools(Some(params)).await;
            let page = page.map_err(|error| of_service(&error))?;
            for tool in page.tools {
                if tools.len() == TOOLS_MAX {
                    return Ok(tools);
                }
                // One that is too large to be told, or there twice, is left out.
                tools.extend(taken(&tool).filter(|new| tools.iter().all(|it| it.name != new.name)));
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Outcome, ToolError> {
        let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        let work = self.service.call_tool_once(params);
        let limit = Duration::from_secs(self.timeout_s);
        let done = tokio::time::timeout(limit, work).await;
        let done = done.map_err(|_| ToolError::Deadline(self.timeout_s))?;
        match done.map_err(|error| of_service(&error))? {
            CallToolResponse::Complete(result) => Ok(result::of(result)),
            _ => Err(ToolError::Refused(
                "it asks for more than the arguments, which is not supported".to_owned(),
            )),
        }
    }
}

fn taken(tool: &rmcp::model::Tool) -> Option<Tool> {
    let name = tool.name.as_ref();
    let schema = Value::Object(tool.input_schema.as_ref().clone());
    if name.is_empty()
        || name.len() > NAME_BYTES_MAX
        || name.chars().any(|c| c.is_control() || is_hidden(c))
        || schema.to_string().len() > SCHEMA_BYTES_MAX
    {
        return None;
    }
    let notes = tool.annotations.as_ref();
    let title = tool.title.as_deref().or_else(|| notes?.title.as_deref());
    let description = tool.description.as_deref().unwrap_or_default();
    let description = description.chars().filter(|&c| !is_hidden(c));
    let description: String = description.take(DESCRIPTION_CHARS_MAX).collect();
    let read_only = notes.and_then(|notes| notes.read_only_hint) == Some(true);
    let meta = tool
        .meta
        .as_ref()
        .and_then(|meta| serde_json::to_value(meta).ok());
    let whole = json!([name, description, schema, read_only]);
    Some(Tool {
        name: name.to_owned(),
        title: title.map(|title| shorten(title, 100)),
        description,
        read_only,
        meta: meta.filter(|meta| meta.to_string().len() <= META_BYTES_MAX),
        digest: token::digest(&whole.to_string()),
        schema,
    })
}

fn of_start(error: &ClientInitializeError) -> ToolError {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            ToolError::Refused(shorten(&error.message, 300))
        }
        ClientInitializeError::TransportError { error, .. } => of_chain(error.error.as_ref()),
        ClientInitializeError::ConnectionClosed(_) => ToolError::Ended,
        other => ToolError::Protocol(shorten(&other.to_string(), 200)),
    }
}

fn of_service(error: &ServiceError) -> ToolError {
    match error {
        ServiceError::McpError(error) => ToolError::Refused(shorten(&error.message, 300)),
        ServiceError::TransportSend(error) => of_chain(error.error.as_ref()),
        ServiceError::TransportClosed => ToolError::Ended,
        other => ToolError::Protocol(shorten(&other.to_string(), 200)),
    }
}

/// Our own error within the library's.
fn of_chain(error: &(dyn std::error::Error + 'static)) -> ToolError {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(StreamableHttpError::Client(own)) =
            error.downcast_ref::<StreamableHttpError<ToolError>>()
        {
            return own.clone();
        }
        if let Some(own) = error.downcast_ref::<ToolError>() {
            return own.clone();
        }
        next = error.source();
    }
    ToolError::Ended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(value: Value) -> Option<Tool> {
        taken(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn what_a_tool_says_of_itself_is_bounded_and_hides_nothing() {
        let schema = json!({ "type": "object" });
        let fine = tool(json!({ "name": "add", "inputSchema": schema })).unwrap();
        assert_eq!((fine.name.as_str(), fine.read_only), ("add", false));
        for name in ["", "a\nb", "a\u{202e}dda", "add\u{200b}", &"x".repeat(200)] {
            assert!(tool(json!({ "name": name, "inputSchema": schema })).is_none());
        }
        let long = json!({ "type": "object", "title": "x".repeat(SCHEMA_BYTES_MAX) });
        assert!(tool(json!({ "name": "a", "inputSchema": long })).is_none());
        let said = format!("a\u{e0041}{}", "b".repeat(DESCRIPTION_CHARS_MAX * 2));
        let cut = tool(json!({ "name": "a", "description": said, "inputSchema": schema })).unwrap();
        assert!(cut.description.starts_with("ab"));
        assert_eq!(cut.description.len(), DESCRIPTION_CHARS_MAX);
    }

    /// Consent is for a tool as it described itself.
    #[test]
    fn a_tool_that_describes_itself_otherwise_is_another() {
        let of = |description: &str, schema: Value, hint: bool| {
            let told = json!({ "name": "a", "description": description, "inputSchema": schema,
                "annotations": { "readOnlyHint": hint } });
            tool(told).unwrap().digest
        };
        let plain = || json!({ "type": "object" });
        let first = of("x", plain(), true);
        assert_eq!(first, of("x", plain(), true));
        assert_ne!(first, of("y", plain(), true));
        assert_ne!(
            first,
            of("x", json!({ "type": "object", "required": ["b"] }), true)
        );
        assert_ne!(first, of("x", plain(), false));
    }
}
