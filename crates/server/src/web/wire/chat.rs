//! Chats and messages.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terang_store as store;
use utoipa::ToSchema;

use super::{ChosenTool, Source, WebToolCall, given};

/// A chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebChat {
    /// Its identity.
    pub(crate) id: String,
    /// Empty until there is a first message.
    pub(crate) title: String,
    /// The folder it lies in.
    pub(crate) folder_id: Option<String>,
    /// Stands before the others.
    pub(crate) pinned: bool,
    /// Stands in the archive.
    pub(crate) archived: bool,
    /// Is on no list, and is forgotten after a day.
    pub(crate) temporary: bool,
    /// The model that answers; null: the default.
    pub(crate) model: Option<String>,
    /// How it answers.
    #[schema(value_type = ChatSettings)]
    pub(crate) settings: Map<String, Value>,
    /// The last message of the branch that is shown.
    pub(crate) leaf_id: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// Of the last message.
    pub(crate) updated_at: i64,
}

impl From<store::Chat> for WebChat {
    fn from(chat: store::Chat) -> Self {
        Self {
            id: chat.id,
            title: chat.title,
            folder_id: chat.folder_id,
            pinned: chat.pinned,
            archived: chat.archived,
            temporary: chat.temporary,
            model: chat.model,
            settings: serde_json::from_str(&chat.settings).unwrap_or_default(),
            leaf_id: chat.leaf_id,
            created_at: chat.created_at,
            updated_at: chat.updated_at,
        }
    }
}

/// How a chat answers; what is left open is as the model's publisher says.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatSettings {
    /// What the model is told first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) system: Option<String>,
    /// 0 takes the most likely token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f32>,
    /// Keeps the smallest set whose probability reaches this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f32>,
    /// Keeps the k most likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top_k: Option<u32>,
    /// Most tokens of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<u32>,
    /// The same seed gives the same answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<i64>,
    /// Collections that it answers from, by identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) collections: Vec<String>,
    /// Servers whose tools may be called, by identity.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tools: Vec<String>,
}

/// A chat to be made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewChat {
    /// Absent: made from the first message.
    pub(crate) title: Option<String>,
    /// The model that answers.
    pub(crate) model: Option<String>,
    /// How it answers.
    pub(crate) settings: Option<ChatSettings>,
    /// The folder it lies in.
    pub(crate) folder_id: Option<String>,
    /// Is on no list.
    #[serde(default)]
    pub(crate) temporary: bool,
}

/// What of a chat is to be changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatChange {
    /// Another title.
    pub(crate) title: Option<String>,
    /// Another folder; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option, reason = "absent, null, or a text")]
    pub(crate) folder_id: Option<Option<String>>,
    /// Before the others.
    pub(crate) pinned: Option<bool>,
    /// In the archive.
    pub(crate) archived: Option<bool>,
    /// Another model; null: the default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option, reason = "absent, null, or a text")]
    pub(crate) model: Option<Option<String>>,
    /// Other settings, all of them.
    pub(crate) settings: Option<ChatSettings>,
    /// The branch that is shown, by its last message.
    pub(crate) leaf_id: Option<String>,
}

/// A part of the list of chats.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatList {
    /// Pinned ones first, then the one with the newest message.
    pub(crate) chats: Vec<WebChat>,
    /// Where the list goes on, for `before`.
    pub(crate) next: Option<String>,
}

/// A chat with all of its messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WholeChat {
    /// The chat.
    pub(crate) chat: WebChat,
    /// All branches, in the order in which they were made.
    pub(crate) messages: Vec<WebMessage>,
}

/// A file that belongs to a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Attached {
    /// Its identity.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) mime: String,
    /// Its size.
    pub(crate) bytes: i64,
    /// Pixels of a line; null: it is no picture.
    pub(crate) width: Option<i64>,
    /// Lines; null: it is no picture.
    pub(crate) height: Option<i64>,
}

impl From<store::Attachment> for Attached {
    fn from(file: store::Attachment) -> Self {
        Self {
            id: file.id,
            name: file.name,
            mime: file.mime,
            bytes: file.bytes,
            width: file.pixels.map(|(width, _)| width),
            height: file.pixels.map(|(_, height)| height),
        }
    }
}

/// Tokens that an answer took.
#[derive(Debug, Serialize, ToSchema)]
#[allow(
    clippy::struct_field_names,
    reason = "each says of what, and all count the same"
)]
pub(crate) struct WebUsage {
    /// Of the prompt.
    prompt_tokens: i64,
    /// Of the answer.
    completion_tokens: i64,
    /// Of the prompt, and in the cache already.
    cached_tokens: i64,
}

/// Who says a message.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebRole {
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What the model is told first.
    System,
}

impl From<store::Role> for WebRole {
    fn from(role: store::Role) -> Self {
        match role {
            store::Role::User => Self::User,
            store::Role::Assistant => Self::Assistant,
            store::Role::System => Self::System,
        }
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WebStatus {
    /// Complete.
    Done,
    /// It grows.
    Streaming,
    /// Ended by its reader, or at its longest.
    Stopped,
    /// Something went wrong.
    Failed,
    /// The server died meanwhile.
    Cut,
}

impl From<store::Status> for WebStatus {
    fn from(status: store::Status) -> Self {
        match status {
            store::Status::Done => Self::Done,
            store::Status::Streaming => Self::Streaming,
            store::Status::Stopped => Self::Stopped,
            store::Status::Failed => Self::Failed,
            store::Status::Cut => Self::Cut,
        }
    }
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebMessage {
    /// Its identity within the chat.
    pub(crate) id: String,
    /// The chat.
    pub(crate) chat_id: String,
    /// What it answers or follows.
    pub(crate) parent_id: Option<String>,
    /// Who says it.
    pub(crate) role: WebRole,
    /// The text.
    pub(crate) content: String,
    /// How far it is.
    pub(crate) status: WebStatus,
    /// What went wrong.
    pub(crate) error: Option<String>,
    /// The model that says it.
    pub(crate) model: Option<String>,
    /// Files that belong to it.
    pub(crate) attachments: Vec<Attached>,
    /// Passages of documents that its prompt held.
    pub(crate) sources: Vec<Source>,
    /// Calls of tools that it made, in their order.
    pub(crate) tool_calls: Vec<WebToolCall>,
    /// What it took.
    pub(crate) usage: Option<WebUsage>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

impl WebMessage {
    /// A message with those of the chat's `files` that belong to it.
    pub(crate) fn of(message: store::Message, files: &[Attached]) -> Self {
        let ids: Vec<String> = serde_json::from_str(&message.attachments).unwrap_or_default();
        let attachments = ids
            .iter()
            .filter_map(|id| files.iter().find(|file| file.id == *id).cloned());
        Self {
            attachments: attachments.collect(),
            sources: message
                .sources
                .and_then(|sources| serde_json::from_str(&sources).ok())
                .unwrap_or_default(),
            id: message.id,
            chat_id: message.chat_id,
            parent_id: message.parent_id,
            role: message.role.into(),
            content: message.content,
            status: message.status.into(),
            error: message.error,
            model: message.model,
            usage: message.usage.map(|usage| WebUsage {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
                cached_tokens: usage.cached_tokens,
            }),
            tool_calls: Vec::new(),
            created_at: message.created_at,
        }
    }

    /// With the calls that it made.
    pub(crate) fn with_calls(mut self, calls: Vec<store::ToolCall>) -> Self {
        self.tool_calls = calls.into_iter().map(WebToolCall::from).collect();
        self
    }
}

/// A question to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Send {
    /// An identity of the client's own: sent again, it is the same message.
    pub(crate) id: String,
    /// What it follows; null: it is a first one.
    pub(crate) parent_id: Option<String>,
    /// The text.
    pub(crate) content: String,
    /// Identities of files that belong to it.
    #[serde(default)]
    pub(crate) attachments: Vec<String>,
    /// The tool that must be called before it is answered; absent: as the model likes.
    pub(crate) use_tool: Option<ChosenTool>,
}

/// A question that is kept, and the place of its answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sent {
    /// The question.
    pub(crate) message: WebMessage,
    /// Its answer, which grows.
    pub(crate) answer: WebMessage,
}

/// An answer that grows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// The answer.
    pub(crate) answer: WebMessage,
}

/// More of an answer's text, in the stream's event `text`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MoreText<'a> {
    /// Bytes of UTF-8 before it.
    pub(crate) at: usize,
    /// The text.
    pub(crate) text: &'a str,
}

/// A model that can answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebModel {
    /// By which it is asked for.
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// It is in memory.
    pub(crate) loaded: bool,
    /// Tokens of its context, once it is in memory.
    pub(crate) context: Option<usize>,
    /// It answers where a chat names no model.
    pub(crate) default: bool,
}

/// The models that can answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebModels {
    /// The default first.
    pub(crate) models: Vec<WebModel>,
}
