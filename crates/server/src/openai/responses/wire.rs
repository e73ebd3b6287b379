//! Wire types of what is asked of `/v1/responses`.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::item::{InputItem, TextOr};

/// What to answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResponsesRequest {
    /// The model's name.
    pub(crate) model: String,
    /// What is said to the model: a text, or items.
    pub(crate) input: TextOr<InputItem>,
    /// Goes before the conversation; that of an earlier response is not taken over.
    pub(crate) instructions: Option<String>,
    /// The conversation that this goes on with.
    pub(crate) previous_response_id: Option<String>,
    /// Keep the response, so that it can be read and gone on with; true where nothing is said.
    pub(crate) store: Option<bool>,
    /// Answer at once, and go on without a connection; the response is asked for until it is done.
    pub(crate) background: Option<bool>,
    /// Send the answer as it is written.
    pub(crate) stream: Option<bool>,
    /// How a stream is sent.
    pub(crate) stream_options: Option<EventOptions>,
    /// Most tokens of the answer.
    pub(crate) max_output_tokens: Option<u64>,
    /// 0 takes the most likely token.
    pub(crate) temperature: Option<f32>,
    /// Keep the smallest set of this probability.
    pub(crate) top_p: Option<f32>,
    /// Keep the k most likely; 0 or -1 keeps all.
    pub(crate) top_k: Option<i64>,
    /// Keep tokens at least this likely relative to the best.
    pub(crate) min_p: Option<f32>,
    /// Taken from tokens that stand in the answer, times their count.
    pub(crate) frequency_penalty: Option<f32>,
    /// Taken from tokens that stand in the answer.
    pub(crate) presence_penalty: Option<f32>,
    /// Above 1 makes tokens that were seen less likely.
    pub(crate) repetition_penalty: Option<f32>,
    /// The same seed gives the same answer.
    pub(crate) seed: Option<i64>,
    /// Tools that may be called.
    pub(crate) tools: Option<Vec<FunctionTool>>,
    /// Whether they are.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Whether several may be called at once.
    pub(crate) parallel_tool_calls: Option<bool>,
    /// What the answer must look like.
    pub(crate) text: Option<TextConfig>,
    /// Up to 16 texts of the client's own, that come back with the response.
    pub(crate) metadata: Option<Map<String, Value>>,
    /// What else to tell: `message.output_text.logprobs`.
    pub(crate) include: Option<Vec<String>>,
    /// Tell so many of the likeliest tokens in each one's place.
    pub(crate) top_logprobs: Option<u64>,
    /// Who of a key's users asks; they wait in line separately.
    pub(crate) user: Option<String>,
    /// The newer name of the same.
    pub(crate) safety_identifier: Option<String>,
    /// Beginnings are shared in the cache only where this is the same.
    pub(crate) prompt_cache_key: Option<String>,

    // Not supported; accepted where they ask for what happens anyway.
    /// Not supported.
    pub(crate) context_management: Option<Value>,
    /// Not supported.
    pub(crate) conversation: Option<Value>,
    /// Not supported.
    pub(crate) max_tool_calls: Option<Value>,
    /// Not supported.
    pub(crate) moderation: Option<Value>,
    /// Not supported.
    pub(crate) prompt: Option<Value>,
    /// Not supported.
    pub(crate) prompt_cache_options: Option<Value>,
    /// Not supported.
    pub(crate) prompt_cache_retention: Option<Value>,
    /// Not supported.
    pub(crate) reasoning: Option<Value>,
    /// Not supported but for the default.
    pub(crate) service_tier: Option<Value>,
    /// Not supported but for `disabled`: nothing is cut silently.
    pub(crate) truncation: Option<Value>,
}

/// How a stream is sent.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventOptions {
    /// Accepted; nothing is padded.
    #[allow(dead_code, reason = "nothing is padded either way")]
    pub(crate) include_obfuscation: Option<bool>,
}

/// A function that may be called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionTool {
    /// Always `function`: tools of the server's own there are none.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "there is one kind; reading it checks it")]
    pub(crate) kind: ToolKind,
    /// Letters, digits, `_` and `-`, at most 64.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// JSON Schema of its arguments.
    pub(crate) parameters: Option<Value>,
    /// Arguments are held to the schema; false where nothing is said.
    pub(crate) strict: Option<bool>,
}

/// Always `function`.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ResponsesToolKind)]
pub(crate) enum ToolKind {
    /// A function.
    Function,
}

/// Whether tools are called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "allowed are \"none\", \"auto\", \"required\" and {\"type\": \"function\", \"name\": …}"
)]
#[schema(as = ResponsesToolChoice)]
pub(crate) enum ToolChoice {
    /// In general.
    Mode(ToolMode),
    /// This one.
    Named(NamedTool),
}

/// Whether tools are called.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ResponsesToolMode)]
pub(crate) enum ToolMode {
    /// Never.
    None,
    /// As the model likes.
    Auto,
    /// At least one.
    Required,
}

/// A tool that is to be called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ResponsesNamedTool)]
pub(crate) struct NamedTool {
    /// Always `function`.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "there is one kind; reading it checks it")]
    pub(crate) kind: ToolKind,
    /// Which.
    pub(crate) name: String,
}

/// What the answer must look like.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextConfig {
    /// Its form.
    pub(crate) format: Option<TextFormat>,
    /// Not supported but for the default.
    pub(crate) verbosity: Option<Value>,
}

/// The form of an answer.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TextFormat {
    /// Anything.
    Text {},
    /// A JSON object.
    JsonObject {},
    /// JSON as a schema says.
    JsonSchema {
        /// What it is called.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// The answer is held to the schema either way.
        strict: Option<bool>,
    },
}
