//! Wire types of what `/v1/responses` tells: a response, and the events of its making.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::item::{Item, Part};
use crate::openai::logprobs::TokenWire;

/// A response.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ResponseObject {
    /// By which the response is known.
    pub(crate) id: String,
    /// `response`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created_at: u64,
    /// When it was complete.
    pub(crate) completed_at: Option<u64>,
    /// How far it is.
    pub(crate) status: ResponseStatus,
    /// Whether it is made without a connection.
    pub(crate) background: bool,
    /// Why it failed.
    pub(crate) error: Option<Failure>,
    /// Why it broke off.
    pub(crate) incomplete_details: Option<IncompleteDetails>,
    /// What went before the conversation.
    pub(crate) instructions: Option<String>,
    /// Most tokens of the answer.
    pub(crate) max_output_tokens: Option<u64>,
    /// Never any.
    pub(crate) max_tool_calls: Option<u64>,
    /// The model's name.
    pub(crate) model: String,
    /// What the model says, and the functions that it calls.
    pub(crate) output: Vec<Item>,
    /// Whether several functions might be called at once.
    pub(crate) parallel_tool_calls: bool,
    /// What this goes on with.
    pub(crate) previous_response_id: Option<String>,
    /// Whose beginnings are shared in the cache.
    pub(crate) prompt_cache_key: Option<String>,
    /// Never any.
    pub(crate) reasoning: Option<Value>,
    /// Who of a key's users asked.
    pub(crate) safety_identifier: Option<String>,
    /// `default`.
    pub(crate) service_tier: &'static str,
    /// Whether it is kept.
    pub(crate) store: bool,
    /// What was sampled with.
    pub(crate) temperature: f32,
    /// What was sampled with.
    pub(crate) top_p: f32,
    /// What was sampled with.
    pub(crate) presence_penalty: f32,
    /// What was sampled with.
    pub(crate) frequency_penalty: f32,
    /// With this seed the same answer comes again; told once the answer has begun.
    pub(crate) seed: Option<u64>,
    /// What the answer must look like.
    pub(crate) text: Value,
    /// Whether tools were to be called.
    pub(crate) tool_choice: Value,
    /// Those that might be.
    pub(crate) tools: Vec<Value>,
    /// So many likely tokens are told in each one's place.
    pub(crate) top_logprobs: u64,
    /// `disabled`.
    pub(crate) truncation: &'static str,
    /// Tokens used, once it has ended.
    pub(crate) usage: Option<ResponseUsage>,
    /// Who of a key's users asked.
    pub(crate) user: Option<String>,
    /// The client's own texts.
    pub(crate) metadata: Map<String, Value>,
}

/// How far a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResponseStatus {
    /// It waits for its place.
    Queued,
    /// It is being written.
    InProgress,
    /// It is whole.
    Completed,
    /// It ended before the model did.
    Incomplete,
    /// It could not be made.
    Failed,
    /// Its client did not want it any more.
    Cancelled,
}

impl ResponseStatus {
    /// Whether nothing more happens.
    pub(super) fn is_end(self) -> bool {
        !matches!(self, Self::Queued | Self::InProgress)
    }
}

/// Why a response failed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// A word for programs.
    pub(crate) code: &'static str,
    /// For the person who asked.
    pub(crate) message: String,
}

/// Why a response broke off.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct IncompleteDetails {
    /// `max_output_tokens`, which the end of the context is too.
    pub(crate) reason: &'static str,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the API's own names")]
pub(crate) struct ResponseUsage {
    /// Of the prompt.
    pub(crate) input_tokens: usize,
    /// More about the prompt's.
    pub(crate) input_tokens_details: InputTokensDetails,
    /// Of the answer.
    pub(crate) output_tokens: usize,
    /// More about the answer's.
    pub(crate) output_tokens_details: OutputTokensDetails,
    /// Of both.
    pub(crate) total_tokens: usize,
}

/// More about the prompt's tokens.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct InputTokensDetails {
    /// Those that need not be read again.
    pub(crate) cached_tokens: usize,
}

/// More about the answer's tokens.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct OutputTokensDetails {
    /// Always 0.
    pub(crate) reasoning_tokens: usize,
}

impl From<crate::generate::Usage> for ResponseUsage {
    fn from(usage: crate::generate::Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens,
            input_tokens_details: InputTokensDetails {
                cached_tokens: usage.cached_tokens,
            },
            output_tokens: usage.completion_tokens,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: 0,
            },
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
        }
    }
}

/// A response that was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the API's own name")]
pub(crate) struct Deleted {
    /// By which it was known.
    pub(crate) id: String,
    /// `response`.
    pub(crate) object: &'static str,
    /// True.
    pub(crate) deleted: bool,
}

/// Items that the model was given.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ItemList {
    /// `list`.
    pub(crate) object: &'static str,
    /// The items.
    pub(crate) data: Vec<Item>,
    /// The first of them.
    pub(crate) first_id: Option<String>,
    /// The last of them.
    pub(crate) last_id: Option<String>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// An event of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResponseEvent {
    /// Counted from 0.
    pub(crate) sequence_number: u64,
    /// What happens.
    #[serde(flatten)]
    pub(crate) kind: EventKind,
}

macro_rules! events {
    ($($(#[doc = $doc:literal])+ $name:ident = $wire:literal { $($(#[doc = $field_doc:literal])+ $field:ident: $type:ty,)* })*) => {
        /// What happens to a response.
        #[derive(Debug, Serialize, ToSchema)]
        #[serde(tag = "type")]
        pub(crate) enum EventKind {
            $($(#[doc = $doc])+ #[serde(rename = $wire)] $name { $($(#[doc = $field_doc])+ $field: $type,)* },)*
        }

        impl EventKind {
            /// The name that the event has on the wire, beside its data.
            pub(super) fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $wire,)*
                }
            }
        }
    };
}

events! {
    /// It is accepted.
    Created = "response.created" {
        /// As it is now.
        response: Box<ResponseObject>,
    }
    /// It is being written.
    InProgress = "response.in_progress" {
        /// As it is now.
        response: Box<ResponseObject>,
    }
    /// An item begins.
    ItemAdded = "response.output_item.added" {
        /// Its number.
        output_index: usize,
        /// As it is now.
        item: Item,
    }
    /// A part of a message begins.
    PartAdded = "response.content_part.added" {
        /// The message.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// The part's number.
        content_index: usize,
        /// As it is now.
        part: Part,
    }
    /// More of a text.
    TextDelta = "response.output_text.delta" {
        /// The message.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// The part's number.
        content_index: usize,
        /// What has come.
        delta: String,
        /// Probabilities, where asked for.
        logprobs: Vec<TokenWire>,
    }
    /// A text is complete.
    TextDone = "response.output_text.done" {
        /// The message.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// The part's number.
        content_index: usize,
        /// The whole text.
        text: String,
        /// Probabilities, where asked for.
        logprobs: Vec<TokenWire>,
    }
    /// A part of a message is complete.
    PartDone = "response.content_part.done" {
        /// The message.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// The part's number.
        content_index: usize,
        /// The whole part.
        part: Part,
    }
    /// More of a call's arguments.
    ArgumentsDelta = "response.function_call_arguments.delta" {
        /// The call's item.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// What has come.
        delta: String,
    }
    /// A call's arguments are complete.
    ArgumentsDone = "response.function_call_arguments.done" {
        /// The call's item.
        item_id: String,
        /// Its number.
        output_index: usize,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
    }
    /// An item is complete.
    ItemDone = "response.output_item.done" {
        /// Its number.
        output_index: usize,
        /// The whole item.
        item: Item,
    }
    /// The response is whole.
    Completed = "response.completed" {
        /// It.
        response: Box<ResponseObject>,
    }
    /// The response ended before the model did.
    Incomplete = "response.incomplete" {
        /// It.
        response: Box<ResponseObject>,
    }
    /// The response could not be made.
    Failed = "response.failed" {
        /// It.
        response: Box<ResponseObject>,
    }
}
