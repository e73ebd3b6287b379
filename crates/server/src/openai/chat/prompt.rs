//! A conversation on its way into the model's chat template.

use serde_json::{Map, Value, json};
use terang_engine::Prompt;
use terang_model::template::ChatInput;

use super::wire::{ChatRequest, Message, ToolCall};
use crate::error::{ApiError, ApiResult};
use crate::models::Loaded;
use crate::openai::settings;
use crate::toolcall::{self, Format, Tool};

const TOOLS_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 64;
/// Variables of a template that are not a client's to set.
const OWN_VARIABLES: [&str; 8] = [
    "messages",
    "tools",
    "add_generation_prompt",
    "documents",
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
];

/// The tools that are offered.
pub(super) fn tools(request: &ChatRequest) -> ApiResult<Vec<Tool>> {
    let definitions = request.tools.as_deref().unwrap_or_default();
    if definitions.len() > TOOLS_MAX {
        return Err(ApiError::invalid(
            "tools",
            format!("found {}, allowed at most {TOOLS_MAX}", definitions.len()),
        ));
    }
    let mut tools: Vec<Tool> = Vec::with_capacity(definitions.len());
    for (index, definition) in definitions.iter().enumerate() {
        let function = &definition.function;
        let field = format!("tools[{index}].function");
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let name = &function.name;
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(is_name) {
            return Err(ApiError::invalid(
                &format!("{field}.name"),
                format!("allowed are 1 to {NAME_CHARS_MAX} letters, digits, _ and -"),
            ));
        }
        if tools.iter().any(|tool| tool.name == *name) {
            return Err(ApiError::invalid(
                &format!("{field}.name"),
                "stands there twice",
            ));
        }
        let parameters = function.parameters.clone().filter(|p| !p.is_null());
        if parameters.as_ref().is_some_and(|p| !p.is_object()) {
            return Err(ApiError::invalid(
                &format!("{field}.parameters"),
                "allowed is an object",
            ));
        }
        tools.push(Tool {
            name: name.clone(),
            parameters,
            strict: function.strict == Some(true),
        });
    }
    Ok(tools)
}

/// The conversation as the template gets it. Tools are told only where they are offered.
pub(super) fn prompt(
    request: &ChatRequest,
    model: &Loaded,
    offer_tools: bool,
) -> ApiResult<Prompt> {
    let mut messages = Vec::with_capacity(request.messages.len());
    for (index, message) in request.messages.iter().enumerate() {
        messages.push(to_template(message, index)?);
    }
    let mut tools = Vec::new();
    for definition in request.tools.iter().flatten().filter(|_| offer_tools) {
        tools
            .push(serde_json::to_value(definition).map_err(|e| ApiError::internal(e.to_string()))?);
    }
    if model.tool_format == Format::Generic {
        messages = toolcall::fold_into_messages(messages, &tools);
        tools.clear();
    }
    let extra = request.chat_template_kwargs.clone().unwrap_or_default();
    if let Some(name) = extra
        .keys()
        .find(|name| OWN_VARIABLES.contains(&name.as_str()))
    {
        return Err(ApiError::invalid(
            "chat_template_kwargs",
            format!("{name} is set by the server"),
        ));
    }
    Ok(Prompt::Chat(ChatInput {
        messages,
        tools,
        add_generation_prompt: true,
        extra,
    }))
}

fn to_template(message: &Message, index: usize) -> ApiResult<Value> {
    let with_name = |role: &str, content: &str, name: &Option<String>| {
        let mut object = Map::new();
        object.insert("role".to_owned(), role.into());
        object.insert("content".to_owned(), content.into());
        if let Some(name) = name {
            object.insert("name".to_owned(), name.as_str().into());
        }
        Value::Object(object)
    };
    Ok(match message {
        // No open model knows the newer name.
        Message::System { content, name } | Message::Developer { content, name } => {
            with_name("system", &content.0, name)
        }
        Message::User { content, name } => with_name("user", &content.0, name),
        Message::Tool {
            content,
            tool_call_id,
            name,
        } => {
            let mut message = with_name("tool", &content.0, name);
            message["tool_call_id"] = tool_call_id.as_str().into();
            message
        }
        Message::Assistant {
            content,
            name,
            refusal,
            reasoning_content,
            tool_calls,
            parsed: _,
            annotations,
            audio,
            function_call,
        } => {
            settings::refuse(&[
                ("messages.annotations", annotations.as_ref(), &[]),
                ("messages.audio", audio.as_ref(), &[]),
                ("messages.function_call", function_call.as_ref(), &[]),
            ])?;
            let calls = tool_calls.as_deref().unwrap_or_default();
            let text = content.as_ref().map(|content| content.0.as_str());
            let text = text.or(refusal.as_deref());
            if text.is_none() && calls.is_empty() {
                return Err(ApiError::invalid(
                    &format!("messages[{index}].content"),
                    "allowed is a text, unless there are tool_calls",
                ));
            }
            let mut message = with_name("assistant", text.unwrap_or_default(), name);
            if let Some(reasoning) = reasoning_content {
                message["reasoning_content"] = reasoning.as_str().into();
            }
            if !calls.is_empty() {
                message["tool_calls"] = calls.iter().map(call_to_template).collect();
            }
            message
        }
    })
}

/// Templates write arguments as JSON themselves, so they get the object and not its text.
fn call_to_template(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": {
            "name": call.function.name,
            "arguments": toolcall::arguments_value(&call.function.arguments),
        },
    })
}
