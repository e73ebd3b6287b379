//! Servers of tools, tools, what is allowed of them, and calls.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terang_store as store;
use utoipa::ToSchema;

use super::given;

/// How a server of tools is reached.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolServerKind {
    /// It is a program of the server's machine.
    Stdio,
    /// Over the network.
    Http,
}

/// A server of tools to be set up, or what of one is to be changed.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolServerChange {
    /// What it is called; no two are called the same.
    pub(crate) name: Option<String>,
    /// How it is reached; cannot be changed.
    pub(crate) kind: Option<ToolServerKind>,
    /// The program: a path, or a name that is looked for in PATH. No shell reads it.
    pub(crate) command: Option<String>,
    /// The program's arguments.
    pub(crate) args: Option<Vec<String>>,
    /// Variables that the program gets, all of them. They are not shown again.
    pub(crate) env: Option<BTreeMap<String, String>>,
    /// Variables of the server's own environment that the program gets.
    pub(crate) inherit: Option<Vec<String>>,
    /// Its address.
    pub(crate) url: Option<String>,
    /// Sent as a bearer token; null: none. It is not shown again.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option, reason = "absent, null, or a text")]
    pub(crate) token: Option<Option<String>>,
    /// It may be of the server's machine or its network.
    pub(crate) allow_private: Option<bool>,
    /// Longest time of a call, in seconds.
    pub(crate) timeout_s: Option<u64>,
    /// Whether its tools are offered.
    pub(crate) enabled: Option<bool>,
}

/// A server of tools, as those see it who look after it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a thing of its own that is or is not so"
)]
pub(crate) struct AdminToolServer {
    /// Its identity.
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// How it is reached; null: its settings cannot be read.
    pub(crate) kind: Option<ToolServerKind>,
    /// The program.
    pub(crate) command: Option<String>,
    /// The program's arguments.
    pub(crate) args: Vec<String>,
    /// Names of variables that the program gets.
    pub(crate) env: Vec<String>,
    /// Variables of the server's own environment that the program gets.
    pub(crate) inherit: Vec<String>,
    /// Its address.
    pub(crate) url: Option<String>,
    /// A token is sent.
    pub(crate) has_token: bool,
    /// It may be of the server's machine or its network.
    pub(crate) allow_private: bool,
    /// Longest time of a call, in seconds.
    pub(crate) timeout_s: u64,
    /// Whether its tools are offered.
    pub(crate) enabled: bool,
    /// It stands in the settings' file: here it can be switched off and on, and nothing else.
    pub(crate) given: bool,
    /// Whether it could be reached when it was last tried; null: it was not tried yet.
    pub(crate) reached: Option<bool>,
    /// Why not.
    pub(crate) error: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// Servers of tools.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdminToolServers {
    /// By name.
    pub(crate) servers: Vec<AdminToolServer>,
    /// Whether who asks may set up programs and servers of the server's own network.
    pub(crate) may_run_programs: bool,
}

/// A tool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebTool {
    /// By which its server knows it.
    pub(crate) name: String,
    /// What it is called.
    pub(crate) title: Option<String>,
    /// What it does, in its server's words.
    pub(crate) description: String,
    /// Its server says that it changes nothing.
    pub(crate) read_only: bool,
}

/// The tools of a server that was tried.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolTest {
    /// Its tools.
    pub(crate) tools: Vec<WebTool>,
    /// Why there are none.
    pub(crate) error: Option<String>,
}

/// A server of tools, as everybody sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebToolServer {
    /// Its identity.
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// Its tools.
    pub(crate) tools: Vec<WebTool>,
    /// Why it cannot be used now.
    pub(crate) error: Option<String>,
}

/// Servers of tools that may be used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebToolServers {
    /// By name.
    pub(crate) servers: Vec<WebToolServer>,
}

/// Something that is allowed for good.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Consent {
    /// By which it is taken back.
    id: String,
    /// In this chat alone; null: in all.
    chat_id: Option<String>,
    /// The server's name.
    server: String,
    /// The tool.
    tool: String,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl From<store::ToolConsent> for Consent {
    fn from(consent: store::ToolConsent) -> Self {
        Self {
            id: consent.id,
            chat_id: consent.chat_id,
            server: consent.server,
            tool: consent.tool,
            created_at: consent.created_at,
        }
    }
}

/// What is allowed for good.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Consents {
    /// The newest first.
    pub(crate) consents: Vec<Consent>,
}

/// How it is with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebCallState {
    /// For whose chat it is to allow it.
    Waiting,
    /// Allowed, and under way.
    Running,
    /// There is a result.
    Done,
    /// It went wrong; the result says how.
    Failed,
    /// It was not allowed.
    Denied,
    /// The answer was ended before.
    Stopped,
    /// The server died meanwhile.
    Cut,
}

impl From<store::CallState> for WebCallState {
    fn from(state: store::CallState) -> Self {
        match state {
            store::CallState::Waiting => Self::Waiting,
            store::CallState::Running => Self::Running,
            store::CallState::Done => Self::Done,
            store::CallState::Failed => Self::Failed,
            store::CallState::Denied => Self::Denied,
            store::CallState::Stopped => Self::Stopped,
            store::CallState::Cut => Self::Cut,
        }
    }
}

/// A call of a tool that belongs to an answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct WebToolCall {
    /// Its identity within the chat.
    pub(crate) id: String,
    /// Bytes of the answer's text before it.
    pub(crate) at: i64,
    /// The server's name; empty: there is no such tool.
    pub(crate) server: String,
    /// The tool.
    pub(crate) tool: String,
    /// JSON, as the model wrote it.
    pub(crate) arguments: String,
    /// How it is with it.
    pub(crate) state: WebCallState,
    /// What came back, or what went wrong.
    pub(crate) result: String,
    /// What came back besides text, by name, and what the result says about itself.
    #[schema(value_type = Object)]
    pub(crate) detail: Map<String, Value>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// When it ended.
    pub(crate) ended_at: Option<i64>,
}

impl From<store::ToolCall> for WebToolCall {
    fn from(call: store::ToolCall) -> Self {
        Self {
            id: call.id,
            at: call.at,
            server: call.server,
            tool: call.tool,
            arguments: call.arguments,
            state: call.state.into(),
            result: call.result,
            detail: serde_json::from_str(&call.detail).unwrap_or_default(),
            created_at: call.created_at,
            ended_at: call.ended_at,
        }
    }
}

/// Which tool the next answer must call.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChosenTool {
    /// The server; absent with `tool`: any tool of the chat.
    pub(crate) server_id: Option<String>,
    /// The tool.
    pub(crate) tool: Option<String>,
}

/// What is decided on a call.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    /// This once.
    Once,
    /// This tool in this chat, from now on.
    Chat,
    /// This tool, always.
    Always,
    /// Not.
    Deny,
}

/// A decision on a call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decide {
    /// What.
    pub(crate) decision: Decision,
}
