//! From a request to an order: the conversation it goes on with, what is refused by name, and the
//! response as it stands before anything has happened. The rest is as in `/v1/chat/completions`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::item::{self, Item};
use super::object::{ResponseObject, ResponseStatus};
use super::store::Conversation;
use super::wire::{FunctionTool, ResponsesRequest, TextConfig, TextFormat, ToolChoice, ToolMode};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::Order;
use crate::keys::Caller;
use crate::models::Loaded;
use crate::openai::chat;
use crate::openai::chat::wire::ChatRequest;
use crate::openai::settings::{self, new_id, now_s};

/// A request that was found right.
pub(super) struct Plan {
    pub(super) order: Order,
    /// The response as it stands now.
    pub(super) response: ResponseObject,
    /// What the model is given.
    pub(super) conversation: Conversation,
    /// Whether probabilities are told.
    pub(super) logprobs: bool,
}

const METADATA_MAX: usize = 16;
const METADATA_NAME_CHARS_MAX: usize = 64;
const METADATA_CHARS_MAX: usize = 512;
const TOP_LOGPROBS_MAX: u64 = 20;

/// Checks a request and puts its order together.
pub(super) fn plan(
    app: &App,
    model: &Arc<Loaded>,
    request: ResponsesRequest,
    caller: Caller,
) -> ApiResult<Plan> {
    refuse(&request)?;
    let (store, background) = kept(app, &request)?;
    let logprobs = included(&request)?;
    let metadata = metadata(request.metadata)?;
    let max_tokens = request.max_output_tokens;
    if max_tokens == Some(0) {
        return Err(ApiError::invalid(
            "max_output_tokens",
            "found 0, allowed 1 or more",
        ));
    }
    let mut conversation = match &request.previous_response_id {
        Some(id) => previous(app, caller.client, id)?,
        None => Conversation::default(),
    };
    let items = item::items(request.input)?;
    if items.is_empty() {
        return Err(ApiError::invalid("input", "allowed is at least one item"));
    }
    conversation.extend(items);
    let mut messages = item::messages(conversation.items())?;
    if let Some(instructions) = &request.instructions {
        let content = chat::wire::Content(instructions.clone());
        messages.insert(
            0,
            chat::wire::Message::System {
                content,
                name: None,
            },
        );
    }
    let parallel = request.parallel_tool_calls.unwrap_or(true);
    let (format, text) = format(request.text)?;
    let (choice, tool_choice) = choice(request.tool_choice);
    let tools = request.tools.unwrap_or_default();
    let typed = json!({
        "model": request.model, "messages": [], "parallel_tool_calls": parallel,
        "tools": tools.iter().map(to_chat).collect::<Value>(), "tool_choice": choice,
        "response_format": format,
    });
    let typed: ChatRequest =
        serde_json::from_value(typed).map_err(|error| ApiError::bad(error.to_string()))?;
    let chat = ChatRequest {
        messages,
        max_completion_tokens: max_tokens,
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        min_p: request.min_p,
        frequency_penalty: request.frequency_penalty,
        presence_penalty: request.presence_penalty,
        repetition_penalty: request.repetition_penalty,
        seed: request.seed,
        logprobs: logprobs.then_some(true),
        top_logprobs: request.top_logprobs.filter(|_| logprobs),
        user: request.user.clone(),
        safety_identifier: request.safety_identifier.clone(),
        prompt_cache_key: request.prompt_cache_key.clone(),
        ..typed
    };
    let order = chat::order(app, Arc::clone(model), chat, caller).map_err(renamed)?;
    let sampling = &order.request.sampling;
    let response = ResponseObject {
        id: new_id("resp_"),
        object: "response",
        created_at: now_s(),
        completed_at: None,
        status: if background {
            ResponseStatus::Queued
        } else {
            ResponseStatus::InProgress
        },
        background,
        error: None,
        incomplete_details: None,
        instructions: request.instructions,
        max_output_tokens: max_tokens,
        max_tool_calls: None,
        model: model.name.clone(),
        output: Vec::new(),
        parallel_tool_calls: parallel,
        previous_response_id: request.previous_response_id,
        prompt_cache_key: request.prompt_cache_key,
        reasoning: None,
        safety_identifier: request.safety_identifier,
        service_tier: "default",
        store,
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        seed: None,
        text,
        tool_choice,
        tools: tools.iter().map(told).collect(),
        top_logprobs: request.top_logprobs.unwrap_or(0),
        truncation: "disabled",
        usage: None,
        user: request.user,
        metadata,
    };
    Ok(Plan {
        order,
        response,
        conversation,
        logprobs,
    })
}

fn refuse(request: &ResponsesRequest) -> ApiResult<()> {
    let verbosity = request.text.as_ref();
    let verbosity = verbosity.and_then(|text| text.verbosity.as_ref());
    let default_tier = [json!("auto"), json!("default")];
    settings::refuse(&[
        (
            "context_management",
            request.context_management.as_ref(),
            &[],
        ),
        ("conversation", request.conversation.as_ref(), &[]),
        ("max_tool_calls", request.max_tool_calls.as_ref(), &[]),
        ("moderation", request.moderation.as_ref(), &[]),
        ("prompt", request.prompt.as_ref(), &[]),
        (
            "prompt_cache_options",
            request.prompt_cache_options.as_ref(),
            &[],
        ),
        (
            "prompt_cache_retention",
            request.prompt_cache_retention.as_ref(),
            &[],
        ),
        ("reasoning", request.reasoning.as_ref(), &[]),
        ("service_tier", request.service_tier.as_ref(), &default_tier),
        (
            "truncation",
            request.truncation.as_ref(),
            &[json!("disabled")],
        ),
        ("text.verbosity", verbosity, &[json!("medium")]),
    ])?;
    let streams = request.stream == Some(true);
    if request.stream_options.is_some() && !streams {
        return Err(ApiError::invalid(
            "stream_options",
            "allowed only together with stream",
        ));
    }
    if streams && request.background == Some(true) {
        return Err(ApiError::unsupported(
            "background",
            "not supported together with stream",
        ));
    }
    Ok(())
}

/// Whether the response is kept, and whether it is made in the background.
fn kept(app: &App, request: &ResponsesRequest) -> ApiResult<(bool, bool)> {
    let keeps = app.responses.keeps();
    let store = request.store.unwrap_or(keeps);
    if store && !keeps {
        return Err(ApiError::unsupported(
            "store",
            "this server keeps no responses; see its setting stored_responses",
        ));
    }
    let background = request.background == Some(true);
    if background && !store {
        return Err(ApiError::invalid(
            "background",
            "allowed only where the response is stored",
        ));
    }
    Ok((store, background))
}

/// Whether probabilities are to be told.
fn included(request: &ResponsesRequest) -> ApiResult<bool> {
    let mut logprobs = false;
    for (index, name) in request.include.iter().flatten().enumerate() {
        match name.as_str() {
            "message.output_text.logprobs" => logprobs = true,
            // There is no reasoning, encrypted or not.
            "reasoning.encrypted_content" => {}
            _ => {
                return Err(ApiError::unsupported(
                    &format!("include[{index}]"),
                    "supported is message.output_text.logprobs",
                ));
            }
        }
    }
    match request.top_logprobs {
        None | Some(0) => Ok(logprobs),
        Some(top) if top > TOP_LOGPROBS_MAX => Err(ApiError::invalid(
            "top_logprobs",
            format!("found {top}, allowed at most {TOP_LOGPROBS_MAX}"),
        )),
        Some(_) if !logprobs => Err(ApiError::invalid(
            "top_logprobs",
            "allowed only where include has message.output_text.logprobs",
        )),
        Some(_) => Ok(true),
    }
}

fn metadata(metadata: Option<Map<String, Value>>) -> ApiResult<Map<String, Value>> {
    let metadata = metadata.unwrap_or_default();
    let fits = metadata.iter().all(|(name, value)| {
        let value = value.as_str().map(|value| value.chars().count());
        name.chars().count() <= METADATA_NAME_CHARS_MAX
            && value.is_some_and(|chars| chars <= METADATA_CHARS_MAX)
    });
    if metadata.len() > METADATA_MAX || !fits {
        return Err(ApiError::invalid(
            "metadata",
            format!(
                "allowed are {METADATA_MAX} texts of {METADATA_CHARS_MAX} characters with names of \
                 {METADATA_NAME_CHARS_MAX}"
            ),
        ));
    }
    Ok(metadata)
}

/// The conversation up to the end of an earlier response.
fn previous(app: &App, owner: u64, id: &str) -> ApiResult<Conversation> {
    const FIELD: &str = "previous_response_id";
    let found = app.responses.get(owner, id);
    let found = found.and_then(|response| Some((response, app.responses.input(owner, id)?)));
    let Some((response, mut conversation)) = found else {
        let mut error = ApiError::not_found(format!("{FIELD}: {}", super::NOT_KEPT));
        error.param = Some(FIELD.to_owned());
        error.code = Some("previous_response_not_found");
        return Err(error);
    };
    let reason = match response.status {
        ResponseStatus::Completed | ResponseStatus::Incomplete => {
            conversation.extend(response.output.clone());
            return Ok(conversation);
        }
        ResponseStatus::Queued | ResponseStatus::InProgress => "is not complete yet",
        ResponseStatus::Failed => "failed",
        ResponseStatus::Cancelled => "was cancelled",
    };
    Err(ApiError::invalid(FIELD, format!("that response {reason}")))
}

/// The form of the answer for chat, and as the response tells it.
fn format(text: Option<TextConfig>) -> ApiResult<(Value, Value)> {
    let format = text.and_then(|text| text.format);
    let (chat, told) = match format.unwrap_or(TextFormat::Text {}) {
        TextFormat::Text {} => (json!({ "type": "text" }), json!({ "type": "text" })),
        TextFormat::JsonObject {} => (
            json!({ "type": "json_object" }),
            json!({ "type": "json_object" }),
        ),
        TextFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
        } => {
            if !schema.is_object() {
                return Err(ApiError::invalid(
                    "text.format.schema",
                    "allowed is an object",
                ));
            }
            let told = json!({
                "type": "json_schema", "name": name, "description": description,
                "schema": schema, "strict": strict.unwrap_or(true),
            });
            let chat = json!({
                "type": "json_schema", "json_schema": { "name": name, "schema": schema },
            });
            (chat, told)
        }
    };
    Ok((chat, json!({ "format": told, "verbosity": "medium" })))
}

/// The choice of tools for chat, and as the response tells it.
fn choice(choice: Option<ToolChoice>) -> (Value, Value) {
    let mode = match choice {
        Some(ToolChoice::Named(named)) => {
            let name = named.name;
            return (
                json!({ "type": "function", "function": { "name": name } }),
                json!({ "type": "function", "name": name }),
            );
        }
        Some(ToolChoice::Mode(ToolMode::None)) => "none",
        None | Some(ToolChoice::Mode(ToolMode::Auto)) => "auto",
        Some(ToolChoice::Mode(ToolMode::Required)) => "required",
    };
    (mode.into(), mode.into())
}

fn to_chat(tool: &FunctionTool) -> Value {
    json!({ "type": "function", "function": {
        "name": tool.name, "description": tool.description, "parameters": tool.parameters,
        "strict": tool.strict,
    } })
}

fn told(tool: &FunctionTool) -> Value {
    json!({
        "type": "function", "name": tool.name, "description": tool.description,
        "parameters": tool.parameters, "strict": tool.strict == Some(true),
    })
}

/// An error of the other API with the names that the fields have in this one.
pub(super) fn renamed(mut error: ApiError) -> ApiError {
    let Some(param) = &error.param else {
        return error;
    };
    let name = if param.starts_with("messages") {
        "input".to_owned()
    } else if let Some(rest) = param.strip_prefix("response_format.json_schema") {
        format!("text.format{rest}")
    } else if param.starts_with("max_") {
        "max_output_tokens".to_owned()
    } else if param.starts_with("tools[") {
        param.replace("].function", "]")
    } else {
        return error;
    };
    if let Some(rest) = error.message.strip_prefix(param.as_str()) {
        error.message = format!("{name}{rest}");
    }
    error.param = Some(name);
    error
}

/// The items of a page, newest or oldest first, that come after the one named.
pub(super) fn page(items: Vec<Item>, after: Option<&str>, limit: usize) -> (Vec<Item>, bool) {
    let begin = after.map_or(0, |after| {
        let found = items.iter().position(|item| item.id() == after);
        found.map_or(items.len(), |found| found + 1)
    });
    let more = items.len() - begin > limit;
    (items.into_iter().skip(begin).take(limit).collect(), more)
}
