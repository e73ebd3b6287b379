//! Wire types of Anthropic's `/v1/messages`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// A conversation to go on with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessagesRequest {
    /// The model's name.
    pub(crate) model: String,
    /// The conversation.
    pub(crate) messages: Vec<Turn>,
    /// Most tokens of the answer.
    pub(crate) max_tokens: u64,
    /// Instructions.
    pub(crate) system: Option<Text>,
    /// Send the answer as it is written.
    pub(crate) stream: Option<bool>,
    /// The answer ends before the first of these.
    pub(crate) stop_sequences: Option<Vec<String>>,
    /// 0 takes the most likely token.
    pub(crate) temperature: Option<f32>,
    /// Keep the smallest set of this probability.
    pub(crate) top_p: Option<f32>,
    /// Keep the k most likely.
    pub(crate) top_k: Option<i64>,
    /// Tools that may be called.
    pub(crate) tools: Option<Vec<ToolDefinition>>,
    /// Whether they are.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Who asks.
    pub(crate) metadata: Option<Metadata>,
    /// What the answer must look like.
    pub(crate) output_config: Option<OutputConfig>,
    /// Accepted: beginnings are kept in the cache anyway.
    #[allow(dead_code, reason = "of no effect here")]
    pub(crate) cache_control: Option<Value>,
    /// Not supported but for disabled.
    pub(crate) thinking: Option<Value>,
    /// Not supported but for the default.
    pub(crate) service_tier: Option<Value>,
}

/// A conversation whose tokens are to be counted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountRequest {
    /// The model's name.
    pub(crate) model: String,
    /// The conversation.
    pub(crate) messages: Vec<Turn>,
    /// Instructions.
    pub(crate) system: Option<Text>,
    /// Tools that may be called.
    pub(crate) tools: Option<Vec<ToolDefinition>>,
    /// Whether they are.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Not supported but for disabled.
    pub(crate) thinking: Option<Value>,
}

/// What the answer must look like.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OutputConfig {
    /// Its form.
    pub(crate) format: Option<OutputFormat>,
    /// Not supported.
    pub(crate) effort: Option<Value>,
}

/// The form of an answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum OutputFormat {
    /// JSON as a schema says.
    JsonSchema {
        /// The schema.
        schema: Value,
    },
}

/// How many tokens a conversation has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Count {
    /// So many.
    pub(crate) input_tokens: usize,
}

/// Who asks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Metadata {
    /// One of a key's users; they wait in line separately.
    pub(crate) user_id: Option<String>,
}

/// A turn of the conversation.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Turn {
    /// Whose it is.
    pub(crate) role: Role,
    /// What it holds.
    pub(crate) content: Content,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// A person's.
    User,
    /// The model's.
    Assistant,
}

/// A text, or blocks.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "allowed are a string and a list of text, tool_use and tool_result blocks"
)]
pub(crate) enum Content {
    /// A text.
    Text(String),
    /// Blocks.
    Blocks(Vec<Block>),
}

/// A block of a turn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Block {
    /// Text.
    Text {
        /// It.
        text: String,
        /// Accepted: beginnings are kept in the cache anyway.
        #[allow(dead_code, reason = "of no effect here")]
        cache_control: Option<Value>,
        /// Accepted where empty.
        citations: Option<Value>,
    },
    /// A call of a tool.
    ToolUse {
        /// By which its result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
        /// Accepted: beginnings are kept in the cache anyway.
        #[allow(dead_code, reason = "of no effect here")]
        cache_control: Option<Value>,
    },
    /// What a tool gave.
    ToolResult {
        /// Of which call it is the result.
        tool_use_id: String,
        /// It.
        content: Option<Text>,
        /// Whether the call failed.
        is_error: Option<bool>,
        /// Accepted: beginnings are kept in the cache anyway.
        #[allow(dead_code, reason = "of no effect here")]
        cache_control: Option<Value>,
    },
}

/// A text, or its parts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "allowed are a string and a list of text blocks")]
pub(crate) enum Text {
    /// A text.
    Whole(String),
    /// Its parts.
    Parts(Vec<TextBlock>),
}

impl Text {
    pub(crate) fn into_string(self) -> String {
        match self {
            Self::Whole(text) => text,
            Self::Parts(parts) => {
                let texts: Vec<String> = parts.into_iter().map(|part| part.text).collect();
                texts.join("\n")
            }
        }
    }
}

/// A part of a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextBlock {
    /// Always `text`.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "there is one kind; reading it checks it")]
    pub(crate) kind: TextKind,
    /// It.
    pub(crate) text: String,
    /// Accepted: beginnings are kept in the cache anyway.
    #[allow(dead_code, reason = "of no effect here")]
    pub(crate) cache_control: Option<Value>,
}

/// Always `text`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TextKind {
    /// Text.
    Text,
}

/// A tool that may be called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolDefinition {
    /// `custom`, or absent: tools of the server's own there are none.
    #[serde(rename = "type", default)]
    #[allow(dead_code, reason = "there is one kind; reading it checks it")]
    pub(crate) kind: ToolKind,
    /// Letters, digits, `_` and `-`, at most 64.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// JSON Schema of its arguments.
    pub(crate) input_schema: Value,
    /// Arguments are held to the schema.
    pub(crate) strict: Option<bool>,
    /// Accepted: beginnings are kept in the cache anyway.
    #[allow(dead_code, reason = "of no effect here")]
    pub(crate) cache_control: Option<Value>,
}

/// Always `custom`.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ToolKind {
    /// The client's own.
    #[default]
    Custom,
}

/// Whether tools are called.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum ToolChoice {
    /// As the model likes.
    Auto {
        /// One call at most.
        disable_parallel_tool_use: Option<bool>,
    },
    /// At least one.
    Any {
        /// One call at most.
        disable_parallel_tool_use: Option<bool>,
    },
    /// This one.
    Tool {
        /// Which.
        name: String,
        /// Of no effect: it is called once.
        #[allow(dead_code, reason = "a tool that is named is called once")]
        disable_parallel_tool_use: Option<bool>,
    },
    /// Never.
    None {},
}

/// The answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageResponse {
    /// By which the answer is known.
    pub(crate) id: String,
    /// `message`.
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    /// `assistant`.
    pub(crate) role: &'static str,
    /// The model's name.
    pub(crate) model: String,
    /// Text and calls, in their order.
    pub(crate) content: Vec<AnswerBlock>,
    /// `end_turn`, `max_tokens`, `stop_sequence` or `tool_use`, once it has ended.
    pub(crate) stop_reason: Option<&'static str>,
    /// The one that ended it.
    pub(crate) stop_sequence: Option<String>,
    /// Tokens used.
    pub(crate) usage: UsageWire,
}

/// A block of the answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum AnswerBlock {
    /// Text.
    Text {
        /// It.
        text: String,
    },
    /// A call of a tool.
    ToolUse {
        /// By which its result refers to it.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the API's own names")]
pub(crate) struct UsageWire {
    /// Of the prompt, without those that were in the cache.
    pub(crate) input_tokens: usize,
    /// Of the answer.
    pub(crate) output_tokens: usize,
    /// Of the prompt: those that were in the cache.
    pub(crate) cache_read_input_tokens: usize,
    /// Always 0: keeping costs nothing.
    pub(crate) cache_creation_input_tokens: usize,
}

impl From<crate::generate::Usage> for UsageWire {
    fn from(usage: crate::generate::Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens - usage.cached_tokens.min(usage.prompt_tokens),
            output_tokens: usage.completion_tokens,
            cache_read_input_tokens: usage.cached_tokens,
            cache_creation_input_tokens: 0,
        }
    }
}
