//! Wire types of `/v1/chat/completions`.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::openai::logprobs::ChatLogprobs;
use crate::openai::wire::{OneOrMany, OneOrManySchema, StreamOptions, UsageSoFar, UsageWire};

/// A conversation to go on with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChatRequest {
    /// The model's name.
    pub(crate) model: String,
    /// The conversation.
    pub(crate) messages: Vec<Message>,
    /// Send the answer as it is written.
    pub(crate) stream: Option<bool>,
    /// What a stream holds besides.
    pub(crate) stream_options: Option<StreamOptions>,
    /// Most tokens of the answer.
    pub(crate) max_completion_tokens: Option<u64>,
    /// The older name of the same.
    pub(crate) max_tokens: Option<u64>,
    /// Fewest tokens of the answer.
    pub(crate) min_tokens: Option<u64>,
    /// Answers to the one conversation; their seeds are the seed and those after it.
    pub(crate) n: Option<u64>,
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
    /// Added to the logits of single tokens, by id.
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
    /// The same seed gives the same answer.
    pub(crate) seed: Option<i64>,
    /// The answer ends before the first of these.
    #[schema(value_type = Option<OneOrManySchema>)]
    pub(crate) stop: Option<OneOrMany>,
    /// Tokens that end the answer.
    pub(crate) stop_token_ids: Option<Vec<u32>>,
    /// Go on after the model's own end.
    pub(crate) ignore_eos: Option<bool>,
    /// Tell the probability of each token.
    pub(crate) logprobs: Option<bool>,
    /// And of so many of the likeliest in its place.
    pub(crate) top_logprobs: Option<u64>,
    /// Tools that may be called.
    pub(crate) tools: Option<Vec<ToolDefinition>>,
    /// Whether they are.
    pub(crate) tool_choice: Option<ToolChoice>,
    /// Whether several may be called at once.
    pub(crate) parallel_tool_calls: Option<bool>,
    /// What the answer must look like.
    pub(crate) response_format: Option<ResponseFormat>,
    /// The same, with regular expressions and grammars.
    pub(crate) structured_outputs: Option<Value>,
    /// Further variables of the model's chat template.
    pub(crate) chat_template_kwargs: Option<Map<String, Value>>,
    /// Who of a key's users asks; they wait in line separately.
    pub(crate) user: Option<String>,
    /// The newer name of the same.
    pub(crate) safety_identifier: Option<String>,
    /// Beginnings are shared in the cache only where this is the same.
    pub(crate) prompt_cache_key: Option<String>,
    /// Higher goes first.
    pub(crate) priority: Option<i32>,

    // Not supported; accepted where they ask for what happens anyway.
    /// Not supported.
    pub(crate) audio: Option<Value>,
    /// Not supported.
    pub(crate) function_call: Option<Value>,
    /// Not supported.
    pub(crate) functions: Option<Value>,
    /// Not supported.
    pub(crate) metadata: Option<Value>,
    /// Not supported but for text.
    pub(crate) modalities: Option<Value>,
    /// Not supported.
    pub(crate) prediction: Option<Value>,
    /// Not supported.
    pub(crate) moderation: Option<Value>,
    /// Not supported.
    pub(crate) prompt_cache_options: Option<Value>,
    /// Not supported.
    pub(crate) prompt_cache_retention: Option<Value>,
    /// Not supported.
    pub(crate) reasoning_effort: Option<Value>,
    /// Not supported but for the default.
    pub(crate) service_tier: Option<Value>,
    /// Not supported but for false.
    pub(crate) store: Option<Value>,
    /// Not supported but for the default.
    pub(crate) verbosity: Option<Value>,
    /// Not supported.
    pub(crate) web_search_options: Option<Value>,
}

/// A message of the conversation.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "role", rename_all = "lowercase", deny_unknown_fields)]
#[allow(
    clippy::large_enum_variant,
    reason = "messages are few beside their texts"
)]
pub(crate) enum Message {
    /// Instructions.
    System {
        /// Their text.
        #[schema(value_type = ContentSchema)]
        content: Content,
        /// Who gives them.
        name: Option<String>,
    },
    /// The newer name of the same.
    Developer {
        /// Their text.
        #[schema(value_type = ContentSchema)]
        content: Content,
        /// Who gives them.
        name: Option<String>,
    },
    /// What a person says.
    User {
        /// Its text.
        #[schema(value_type = ContentSchema)]
        content: Content,
        /// Who says it.
        name: Option<String>,
    },
    /// What the model said.
    Assistant {
        /// Its text.
        #[schema(value_type = Option<ContentSchema>)]
        content: Option<Content>,
        /// Who said it.
        name: Option<String>,
        /// What it refused to say, which is text too.
        refusal: Option<String>,
        /// What it thought.
        reasoning_content: Option<String>,
        /// The tools it called.
        tool_calls: Option<Vec<ToolCall>>,
        /// What OpenAI's own client notes beside the text that it has parsed; of no effect.
        #[allow(dead_code, reason = "a copy of what the text says")]
        parsed: Option<Value>,
        /// Not supported but for an empty list.
        annotations: Option<Value>,
        /// Not supported.
        audio: Option<Value>,
        /// Not supported.
        function_call: Option<Value>,
    },
    /// What a tool gave.
    Tool {
        /// Its text.
        #[schema(value_type = ContentSchema)]
        content: Content,
        /// Of which call it is the result.
        tool_call_id: String,
        /// The tool's name.
        name: Option<String>,
    },
}

/// A text, or a list of its parts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Content(pub(crate) String);

/// [`Content`] as the API's document describes it.
#[derive(ToSchema)]
#[schema(as = Content)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) enum ContentSchema {
    /// A text.
    Text(String),
    /// Its parts.
    Parts(Vec<ContentPart>),
}

/// A part of a message's text.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ContentPart {
    /// Text.
    Text {
        /// It.
        text: String,
    },
    /// What the model refused to say.
    Refusal {
        /// It.
        refusal: String,
    },
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts;
        impl<'de> Visitor<'de> for Parts {
            type Value = String;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of text parts")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
                Ok(text.to_owned())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<String, A::Error> {
                let mut text = String::new();
                while let Some(part) = seq.next_element()? {
                    match part {
                        ContentPart::Text { text: part }
                        | ContentPart::Refusal { refusal: part } => text.push_str(&part),
                    }
                }
                Ok(text)
            }
        }
        deserializer.deserialize_any(Parts).map(Self)
    }
}

/// A call of a tool.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolCall {
    /// By which its result refers to it.
    pub(crate) id: String,
    /// Always `function`.
    #[serde(rename = "type", default)]
    pub(crate) kind: FunctionKind,
    /// The function and its arguments.
    pub(crate) function: FunctionCall,
    /// The call's number, as clients keep it from a stream; of no effect.
    #[serde(default, skip_serializing)]
    pub(crate) index: Option<u64>,
}

/// Always `function`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FunctionKind {
    /// A function.
    #[default]
    Function,
}

/// A function and its arguments.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionCall {
    /// The function.
    pub(crate) name: String,
    /// JSON text.
    pub(crate) arguments: String,
    /// What OpenAI's own client notes beside the text that it has parsed; of no effect.
    #[serde(default, skip_serializing)]
    pub(crate) parsed_arguments: Option<Value>,
}

/// A tool that may be called.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolDefinition {
    /// Always `function`.
    #[serde(rename = "type")]
    pub(crate) kind: FunctionKind,
    /// The function.
    pub(crate) function: FunctionDefinition,
}

/// A function that may be called.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FunctionDefinition {
    /// Letters, digits, `_` and `-`, at most 64.
    pub(crate) name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    /// JSON Schema of its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Value>,
    /// Arguments are held to the schema.
    #[serde(skip_serializing)]
    pub(crate) strict: Option<bool>,
}

/// Whether tools are called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(
    untagged,
    expecting = "allowed are \"none\", \"auto\", \"required\" and {\"type\": \"function\", \"function\": {\"name\": …}}"
)]
pub(crate) enum ToolChoice {
    /// In general.
    Mode(ToolMode),
    /// This one.
    Named(NamedTool),
}

/// Whether tools are called.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
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
pub(crate) struct NamedTool {
    /// Always `function`.
    #[serde(rename = "type")]
    #[allow(dead_code, reason = "there is one kind; reading it checks it")]
    pub(crate) kind: FunctionKind,
    /// Which.
    pub(crate) function: ToolName,
}

/// A tool's name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolName {
    /// It.
    pub(crate) name: String,
}

/// What the answer must look like.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ResponseFormat {
    /// Anything.
    Text {},
    /// A JSON object.
    JsonObject {},
    /// JSON as a schema says.
    JsonSchema {
        /// The schema.
        json_schema: JsonSchemaFormat,
    },
}

/// A schema and what it is called.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JsonSchemaFormat {
    /// What it is called.
    #[allow(dead_code, reason = "required by the API, of no use to us")]
    pub(crate) name: String,
    /// What it is for.
    #[allow(dead_code, reason = "part of the API, of no use to us")]
    pub(crate) description: Option<String>,
    /// The schema.
    pub(crate) schema: Option<Value>,
    /// The answer is held to the schema either way.
    #[allow(dead_code, reason = "every schema is kept strictly here")]
    pub(crate) strict: Option<bool>,
}

/// The answer, or a piece of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatResponse {
    /// By which the answer is known.
    pub(crate) id: String,
    /// `chat.completion`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// The answers.
    pub(crate) choices: Vec<Choice>,
    /// Tokens used.
    pub(crate) usage: UsageWire,
}

/// One answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Choice {
    /// Its number.
    pub(crate) index: usize,
    /// What the model says.
    pub(crate) message: AnswerMessage,
    /// Probabilities, where asked for.
    pub(crate) logprobs: Option<ChatLogprobs>,
    /// `stop`, `length` or `tool_calls`.
    pub(crate) finish_reason: &'static str,
    /// With this seed the same answer comes again.
    pub(crate) seed: u64,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnswerMessage {
    /// `assistant`.
    pub(crate) role: &'static str,
    /// Its text.
    pub(crate) content: Option<String>,
    /// Never any.
    pub(crate) refusal: Option<String>,
    /// The tools it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ToolCall>,
}

/// An event of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChatChunk {
    /// By which the answer is known.
    pub(crate) id: String,
    /// `chat.completion.chunk`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// What has come.
    pub(crate) choices: Vec<ChunkChoice>,
    /// Tokens used: in the last event, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageSoFar>,
}

/// A piece of one answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChunkChoice {
    /// Its number.
    pub(crate) index: usize,
    /// What has come.
    pub(crate) delta: Delta,
    /// Probabilities, where asked for.
    pub(crate) logprobs: Option<ChatLogprobs>,
    /// Why the answer ended, once it has.
    pub(crate) finish_reason: Option<&'static str>,
}

/// What has come.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Delta {
    /// `assistant`, in the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
    /// More text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content: Option<String>,
    /// More of the calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_calls: Option<Vec<ToolCallDelta>>,
}

/// More of a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ToolCallDelta {
    /// The call's number.
    pub(crate) index: usize,
    /// Its identity, in its first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// `function`, in its first event.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) kind: Option<FunctionKind>,
    /// The function and its arguments.
    pub(crate) function: FunctionDelta,
}

/// More of a function's call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FunctionDelta {
    /// The function, in the first event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// More of the arguments' text.
    pub(crate) arguments: String,
}
