//! Folders, prompts, assistants, files, shares, search, import.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use terang_store as store;
use utoipa::ToSchema;

use super::{ChatSettings, given};

/// A folder of chats.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Folder {
    /// Its identity.
    id: String,
    /// Its name.
    name: String,
    /// What the model is told in each of its chats.
    instructions: Option<String>,
}

impl From<store::Folder> for Folder {
    fn from(folder: store::Folder) -> Self {
        Self {
            id: folder.id,
            name: folder.name,
            instructions: folder.instructions.filter(|text| !text.is_empty()),
        }
    }
}

/// Folders.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Folders {
    /// By name.
    pub(crate) folders: Vec<Folder>,
}

/// A folder to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewFolder {
    /// Its name.
    pub(crate) name: String,
    /// What the model is told in each of its chats.
    pub(crate) instructions: Option<String>,
}

/// What of a folder is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderChange {
    /// Another name.
    pub(crate) name: Option<String>,
    /// Other instructions; null: none.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option, reason = "absent, null, or a text")]
    pub(crate) instructions: Option<Option<String>>,
}

/// A text to begin with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedPrompt {
    /// Its identity.
    id: String,
    /// What it is called by.
    name: String,
    /// The text.
    text: String,
}

impl From<store::Prompt> for SavedPrompt {
    fn from(prompt: store::Prompt) -> Self {
        Self {
            id: prompt.id,
            name: prompt.name,
            text: prompt.text,
        }
    }
}

/// Prompts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SavedPrompts {
    /// By name.
    pub(crate) prompts: Vec<SavedPrompt>,
}

/// A prompt to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPrompt {
    /// What it is called by.
    pub(crate) name: String,
    /// The text.
    pub(crate) text: String,
}

/// A model with instructions and a name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Assistant {
    /// Its identity.
    id: String,
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// What the model is told.
    instructions: String,
    /// The model; null: the default.
    model: Option<String>,
    /// How it answers.
    #[schema(value_type = ChatSettings)]
    pub(crate) settings: Map<String, Value>,
}

impl From<store::Assistant> for Assistant {
    fn from(assistant: store::Assistant) -> Self {
        Self {
            id: assistant.id,
            name: assistant.name,
            description: assistant.description,
            instructions: assistant.instructions,
            model: assistant.model,
            settings: serde_json::from_str(&assistant.settings).unwrap_or_default(),
        }
    }
}

/// Assistants.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Assistants {
    /// By name.
    pub(crate) assistants: Vec<Assistant>,
}

/// An assistant to be made, or what of one is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssistantChange {
    /// Its name.
    pub(crate) name: Option<String>,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// What the model is told.
    pub(crate) instructions: Option<String>,
    /// The model; null: the default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option, reason = "absent, null, or a text")]
    pub(crate) model: Option<Option<String>>,
    /// How it answers.
    pub(crate) settings: Option<ChatSettings>,
}

/// A file that was uploaded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Uploaded {
    /// Its identity.
    id: String,
    /// Its name.
    name: String,
    /// Its type.
    mime: String,
    /// Its size.
    bytes: i64,
    /// Characters of its text, which is read into the prompt.
    text_chars: i64,
    /// Pixels of a line; null: it is no picture.
    width: Option<i64>,
    /// Lines; null: it is no picture.
    height: Option<i64>,
}

impl From<store::Attachment> for Uploaded {
    fn from(file: store::Attachment) -> Self {
        Self {
            id: file.id,
            name: file.name,
            mime: file.mime,
            bytes: file.bytes,
            text_chars: file.text_chars,
            width: file.pixels.map(|(width, _)| width),
            height: file.pixels.map(|(_, height)| height),
        }
    }
}

/// A chat that whoever has its link can read, as it was when it was shared.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Share {
    /// By which it is revoked.
    id: String,
    /// What the link holds.
    token: String,
    /// The path of the page that shows it.
    url: String,
    /// The chat.
    chat_id: String,
    /// Its title.
    title: String,
    /// Milliseconds since 1970.
    created_at: i64,
}

impl From<store::Share> for Share {
    fn from(share: store::Share) -> Self {
        Self {
            url: format!("/share/{}", share.token),
            id: share.id,
            token: share.token,
            chat_id: share.chat_id,
            title: share.title,
            created_at: share.created_at,
        }
    }
}

/// Shares.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Shares {
    /// The newest first.
    pub(crate) shares: Vec<Share>,
}

/// A message of a shared chat.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub(crate) struct SharedMessage {
    /// `user` or `assistant`.
    pub(crate) role: String,
    /// The text.
    pub(crate) content: String,
    /// The model that says it.
    pub(crate) model: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// A shared chat.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedChat {
    /// Its title.
    pub(crate) title: String,
    /// The branch that was shown when it was shared.
    pub(crate) messages: Vec<SharedMessage>,
}

/// Something found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hit {
    /// The chat.
    chat_id: String,
    /// Its title.
    title: String,
    /// The message; null: the title has the words.
    message_id: Option<String>,
    /// Some of the text, with U+0001 before and U+0002 behind each word that was found.
    snippet: String,
    /// Of the chat.
    updated_at: i64,
}

impl From<store::Hit> for Hit {
    fn from(hit: store::Hit) -> Self {
        Self {
            chat_id: hit.chat_id,
            title: hit.title,
            message_id: hit.message_id,
            snippet: hit.snippet,
            updated_at: hit.updated_at,
        }
    }
}

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hits {
    /// Titles first, then messages, those of the newest chats first.
    pub(crate) hits: Vec<Hit>,
}

/// A chat that could not be imported.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Skipped {
    /// Its title.
    pub(crate) title: String,
    /// Why.
    pub(crate) why: String,
}

/// What was imported.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Imported {
    /// How many chats.
    pub(crate) chats: usize,
    /// How many messages.
    pub(crate) messages: usize,
    /// What was not.
    pub(crate) skipped: Vec<Skipped>,
}
