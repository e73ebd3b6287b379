//! Items: what a conversation consists of in this API, as they are read, kept and told again, and
//! their way into the messages that a chat template knows.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiResult};
use crate::openai::chat::wire::{Content, FunctionCall, FunctionKind, Message, ToolCall};
use crate::openai::logprobs::TokenWire;
use crate::openai::settings::{self, new_id};

/// A text, or a list.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub(crate) enum TextOr<T> {
    /// A text.
    Text(String),
    /// A list.
    List(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    // By hand, since an untagged enum would not say which element is wrong, and why.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = TextOr<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(element) = seq.next_element()? {
                    list.push(element);
                }
                Ok(TextOr::List(list))
            }
        }
        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// An item as a client sends it.
#[derive(Debug, ToSchema)]
pub(crate) struct InputItem(ItemParam);

impl<'de> Deserialize<'de> for InputItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        // A message needs not say that it is one.
        if let Some(object) = value.as_object_mut()
            && !object.contains_key("type")
        {
            object.insert("type".to_owned(), "message".into());
        }
        serde_json::from_value(value)
            .map(Self)
            .map_err(de::Error::custom)
    }
}

/// The kinds of items.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
enum ItemParam {
    /// What somebody says.
    Message {
        /// By which it is known.
        id: Option<String>,
        /// Who says it.
        role: Role,
        /// What.
        content: TextOr<PartParam>,
        /// Of no effect.
        #[allow(dead_code, reason = "what is sent is complete")]
        status: Option<Status>,
    },
    /// A call of a function.
    FunctionCall {
        /// By which the item is known.
        id: Option<String>,
        /// By which its result refers to it.
        call_id: String,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
        /// Of no effect.
        #[allow(dead_code, reason = "what is sent is complete")]
        status: Option<Status>,
        /// What OpenAI's own client notes beside the text that it has parsed; of no effect.
        #[allow(dead_code, reason = "a copy of what the text says")]
        parsed_arguments: Option<Value>,
    },
    /// What a function gave.
    FunctionCallOutput {
        /// By which the item is known.
        id: Option<String>,
        /// Of which call it is the result.
        call_id: String,
        /// It.
        output: TextOr<PartParam>,
        /// Of no effect.
        #[allow(dead_code, reason = "what is sent is complete")]
        status: Option<Status>,
    },
}

/// A part of a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[allow(
    clippy::large_enum_variant,
    reason = "parts are read one by one and few"
)]
enum PartParam {
    /// Text for the model.
    InputText {
        /// It.
        text: String,
    },
    /// Text of the model.
    OutputText {
        /// It.
        text: String,
        /// Not supported but for an empty list.
        annotations: Option<Value>,
        /// As they came with the answer; of no effect.
        #[allow(dead_code, reason = "said of tokens that were chosen already")]
        logprobs: Option<Value>,
        /// What OpenAI's own client notes beside the text that it has parsed; of no effect.
        #[allow(dead_code, reason = "a copy of what the text says")]
        parsed: Option<Value>,
    },
    /// What the model refused to say.
    Refusal {
        /// It.
        refusal: String,
    },
}

/// Who says something.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ItemRole)]
pub(crate) enum Role {
    /// A person.
    User,
    /// The model.
    Assistant,
    /// Who gives instructions.
    System,
    /// The newer name of the same.
    Developer,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ItemStatus)]
pub(crate) enum Status {
    /// More comes.
    InProgress,
    /// It is whole.
    Completed,
    /// It broke off.
    Incomplete,
}

/// An item of a conversation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Item {
    /// What somebody says.
    Message {
        /// By which it is known.
        id: String,
        /// How far it is.
        status: Status,
        /// Who says it.
        role: Role,
        /// What.
        content: Vec<Part>,
    },
    /// A call of a function.
    FunctionCall {
        /// By which the item is known.
        id: String,
        /// How far it is.
        status: Status,
        /// By which its result refers to it.
        call_id: String,
        /// The function.
        name: String,
        /// JSON text.
        arguments: String,
    },
    /// What a function gave.
    FunctionCallOutput {
        /// By which the item is known.
        id: String,
        /// How far it is.
        status: Status,
        /// Of which call it is the result.
        call_id: String,
        /// It.
        output: String,
    },
}

/// A part of a message.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
#[schema(as = ItemPart)]
pub(crate) enum Part {
    /// Text for the model.
    InputText {
        /// It.
        text: String,
    },
    /// Text of the model.
    OutputText {
        /// It.
        text: String,
        /// Never any.
        annotations: Vec<Value>,
        /// Probabilities, where asked for.
        logprobs: Vec<TokenWire>,
    },
    /// What the model refused to say.
    Refusal {
        /// It.
        refusal: String,
    },
}

impl Part {
    /// An answer's text, as far as it has come.
    pub(super) fn output(text: String, logprobs: Vec<TokenWire>) -> Self {
        Self::OutputText {
            text,
            annotations: Vec::new(),
            logprobs,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::InputText { text } | Self::OutputText { text, .. } => text,
            Self::Refusal { refusal } => refusal,
        }
    }
}

impl Item {
    /// By which the item is known.
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Message { id, .. }
            | Self::FunctionCall { id, .. }
            | Self::FunctionCallOutput { id, .. } => id,
        }
    }

    pub(super) fn set_status(&mut self, to: Status) {
        match self {
            Self::Message { status, .. }
            | Self::FunctionCall { status, .. }
            | Self::FunctionCallOutput { status, .. } => *status = to,
        }
    }

    /// About so many bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        const PART: usize = size_of::<Part>();
        let own: usize = match self {
            Self::Message { content, .. } => content.iter().map(|p| PART + p.text().len()).sum(),
            Self::FunctionCall {
                call_id,
                name,
                arguments,
                ..
            } => call_id.len() + name.len() + arguments.len(),
            Self::FunctionCallOutput {
                call_id, output, ..
            } => call_id.len() + output.len(),
        };
        size_of::<Self>() + self.id().len() + own
    }
}

/// The items of a request's input, each with an identity.
pub(super) fn items(input: TextOr<InputItem>) -> ApiResult<Vec<Item>> {
    match input {
        TextOr::Text(text) => Ok(vec![Item::Message {
            id: new_id("msg_"),
            status: Status::Completed,
            role: Role::User,
            content: vec![Part::InputText { text }],
        }]),
        TextOr::List(list) => {
            let items = list.into_iter().enumerate();
            items.map(|(index, item)| item.0.into_item(index)).collect()
        }
    }
}

impl ItemParam {
    fn into_item(self, index: usize) -> ApiResult<Item> {
        let status = Status::Completed;
        Ok(match self {
            Self::Message {
                id, role, content, ..
            } => Item::Message {
                id: id.unwrap_or_else(|| new_id("msg_")),
                status,
                role,
                content: parts(content, role, &format!("input[{index}].content"))?,
            },
            Self::FunctionCall {
                id,
                call_id,
                name,
                arguments,
                ..
            } => Item::FunctionCall {
                id: id.unwrap_or_else(|| new_id("fc_")),
                status,
                call_id,
                name,
                arguments,
            },
            Self::FunctionCallOutput {
                id,
                call_id,
                output,
                ..
            } => {
                let field = format!("input[{index}].output");
                Item::FunctionCallOutput {
                    id: id.unwrap_or_else(|| new_id("fco_")),
                    status,
                    call_id,
                    output: joined(&parts(output, Role::User, &field)?),
                }
            }
        })
    }
}

fn parts(content: TextOr<PartParam>, role: Role, field: &str) -> ApiResult<Vec<Part>> {
    let list = match content {
        TextOr::Text(text) if role == Role::Assistant => {
            return Ok(vec![Part::output(text, Vec::new())]);
        }
        TextOr::Text(text) => return Ok(vec![Part::InputText { text }]),
        TextOr::List(list) => list,
    };
    let parts = list.into_iter().map(|part| {
        Ok(match part {
            PartParam::InputText { text } => Part::InputText { text },
            PartParam::OutputText {
                text, annotations, ..
            } => {
                let field = format!("{field}.annotations");
                settings::refuse(&[(field.as_str(), annotations.as_ref(), &[])])?;
                Part::output(text, Vec::new())
            }
            PartParam::Refusal { refusal } => Part::Refusal { refusal },
        })
    });
    parts.collect()
}

fn joined(parts: &[Part]) -> String {
    parts.iter().map(Part::text).collect()
}

/// The conversation as messages. Calls, and the text before them, are one message of the model.
pub(super) fn messages<'a>(items: impl Iterator<Item = &'a Item>) -> ApiResult<Vec<Message>> {
    let mut messages: Vec<Message> = Vec::new();
    let mut called = HashSet::new();
    for item in items {
        match item {
            Item::Message { role, content, .. } => messages.push(message(*role, joined(content))),
            Item::FunctionCall {
                call_id,
                name,
                arguments,
                ..
            } => {
                called.insert(call_id);
                let call = ToolCall {
                    id: call_id.clone(),
                    kind: FunctionKind::Function,
                    function: FunctionCall {
                        name: name.clone(),
                        arguments: arguments.clone(),
                        parsed_arguments: None,
                    },
                    index: None,
                };
                if let Some(Message::Assistant { tool_calls, .. }) = messages.last_mut() {
                    tool_calls.get_or_insert_default().push(call);
                } else {
                    messages.push(assistant(None, Some(vec![call])));
                }
            }
            Item::FunctionCallOutput {
                call_id, output, ..
            } => {
                if !called.contains(call_id) {
                    return Err(ApiError::invalid(
                        "input",
                        "a function_call_output has the call_id of no call that stands before it",
                    ));
                }
                messages.push(Message::Tool {
                    content: Content(output.clone()),
                    tool_call_id: call_id.clone(),
                    name: None,
                });
            }
        }
    }
    Ok(messages)
}

fn message(role: Role, text: String) -> Message {
    let content = Content(text);
    let name = None;
    match role {
        Role::User => Message::User { content, name },
        Role::System | Role::Developer => Message::System { content, name },
        Role::Assistant => assistant(Some(content), None),
    }
}

fn assistant(content: Option<Content>, tool_calls: Option<Vec<ToolCall>>) -> Message {
    Message::Assistant {
        content,
        name: None,
        refusal: None,
        reasoning_content: None,
        tool_calls,
        parsed: None,
        annotations: None,
        audio: None,
        function_call: None,
    }
}
