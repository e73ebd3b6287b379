//! Anthropic's `/v1/messages`: a conversation in another shape, on the same way into the engine.

mod respond;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use self::wire::{
    Block, Content, Count, CountRequest, MessagesRequest, OutputFormat, Role, Text, ToolChoice,
};
use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};
use crate::generate;
use crate::http::body::Json;
use crate::keys::Caller;
use crate::openai::chat;
use crate::openai::chat::wire::ChatRequest;
use crate::openai::settings;

/// Answers a conversation.
#[utoipa::path(
    post, path = "/v1/messages", tag = "messages", request_body = MessagesRequest,
    responses(
        (status = 200, description = "the answer, or its events with `stream`", body = wire::MessageResponse),
        (status = "4XX", description = "what is wrong with the request"),
        (status = "5XX", description = "not now"),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Result<Json<MessagesRequest>, ApiError>,
) -> Response {
    answer(app, caller, request)
        .await
        .unwrap_or_else(|error| fail(&error))
}

async fn answer(
    app: Arc<App>,
    caller: Caller,
    request: Result<Json<MessagesRequest>, ApiError>,
) -> ApiResult<Response> {
    let Json(request) = request?;
    let model = app.models.get(&request.model).await?;
    settings::refuse(&[
        (
            "thinking",
            request.thinking.as_ref(),
            &[json!({ "type": "disabled" })],
        ),
        (
            "service_tier",
            request.service_tier.as_ref(),
            &["auto".into(), "standard_only".into()],
        ),
    ])?;
    let stream = request.stream == Some(true);
    let stops = request.stop_sequences.clone().unwrap_or_default();
    let order = chat::order(&app, Arc::clone(&model), to_chat(request)?, caller)?;
    let answers = generate::start(&app, order).await?;
    let style = respond::Style { model, stops };
    if stream {
        Ok(respond::stream(answers, style))
    } else {
        respond::whole(answers, &style).await
    }
}

/// Counts a conversation's tokens.
#[utoipa::path(
    post, path = "/v1/messages/count_tokens", tag = "messages", request_body = CountRequest,
    responses(
        (status = 200, description = "the count", body = Count),
        (status = "4XX", description = "what is wrong with the request"),
    )
)]
pub(crate) async fn count(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Result<Json<CountRequest>, ApiError>,
) -> Response {
    let counted = async {
        let Json(request) = request?;
        let model = app.models.get(&request.model).await?;
        let whole = MessagesRequest {
            model: request.model,
            messages: request.messages,
            max_tokens: 1,
            system: request.system,
            stream: None,
            stop_sequences: None,
            temperature: None,
            top_p: None,
            top_k: None,
            tools: request.tools,
            tool_choice: request.tool_choice,
            metadata: None,
            output_config: None,
            cache_control: None,
            thinking: request.thinking,
            service_tier: None,
        };
        settings::refuse(&[(
            "thinking",
            whole.thinking.as_ref(),
            &[json!({ "type": "disabled" })],
        )])?;
        let order = chat::order(&app, Arc::clone(&model), to_chat(whole)?, caller)?;
        let tokens =
            tokio::task::spawn_blocking(move || model.engine.encode(&order.request.prompt))
                .await
                .map_err(|_| ApiError::internal("the tokens could not be counted"))??;
        Ok(json_body(&Count {
            input_tokens: tokens.len(),
        }))
    };
    counted.await.unwrap_or_else(|error: ApiError| fail(&error))
}

/// The same conversation as OpenAI's API has it.
fn to_chat(request: MessagesRequest) -> ApiResult<ChatRequest> {
    let mut messages = Vec::new();
    if let Some(system) = request.system {
        messages.push(json!({ "role": "system", "content": system.into_string() }));
    }
    for turn in request.messages {
        match turn.role {
            Role::User => user(turn.content, &mut messages)?,
            Role::Assistant => messages.push(assistant(turn.content)?),
        }
    }
    let (tool_choice, parallel) = match request.tool_choice {
        None => (Value::Null, None),
        Some(ToolChoice::Auto {
            disable_parallel_tool_use,
        }) => ("auto".into(), disable_parallel_tool_use),
        Some(ToolChoice::Any {
            disable_parallel_tool_use,
        }) => ("required".into(), disable_parallel_tool_use),
        Some(ToolChoice::Tool { name, .. }) => (
            json!({ "type": "function", "function": { "name": name } }),
            None,
        ),
        Some(ToolChoice::None {}) => ("none".into(), None),
    };
    let tools = request.tools.map(|tools| {
        let tools = tools.into_iter().map(|tool| {
            json!({ "type": "function", "function": {
                "name": tool.name, "description": tool.description,
                "parameters": tool.input_schema, "strict": tool.strict,
            } })
        });
        Value::Array(tools.collect())
    });
    let mut format = Value::Null;
    if let Some(config) = request.output_config {
        settings::refuse(&[("output_config.effort", config.effort.as_ref(), &[])])?;
        if let Some(OutputFormat::JsonSchema { schema }) = config.format {
            format = json!({
                "type": "json_schema", "json_schema": { "name": "output", "schema": schema },
            });
        }
    }
    let typed = json!({
        "model": request.model, "response_format": format, "messages": messages, "tools": tools, "tool_choice": tool_choice,
        "parallel_tool_calls": parallel.map(|disabled| !disabled),
    });
    let typed: ChatRequest =
        serde_json::from_value(typed).map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(ChatRequest {
        max_tokens: Some(request.max_tokens),
        stop: request.stop_sequences.map(crate::openai::wire::OneOrMany),
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        user: request.metadata.and_then(|metadata| metadata.user_id),
        ..typed
    })
}

fn check_citations(citations: Option<&Value>) -> ApiResult<()> {
    settings::refuse(&[("messages.content.citations", citations, &[])])
}

/// A person's turn; results of tools in it are messages of their own, and come first.
fn user(content: Content, messages: &mut Vec<Value>) -> ApiResult<()> {
    let blocks = match content {
        Content::Text(text) => {
            messages.push(json!({ "role": "user", "content": text }));
            return Ok(());
        }
        Content::Blocks(blocks) => blocks,
    };
    let mut texts = Vec::new();
    for block in blocks {
        match block {
            Block::Text {
                text, citations, ..
            } => {
                check_citations(citations.as_ref())?;
                texts.push(text);
            }
            Block::ToolResult {
                tool_use_id,
                content,
                is_error,
                ..
            } => {
                let mut text = content.map(Text::into_string).unwrap_or_default();
                if is_error == Some(true) {
                    text = format!("error: {text}");
                }
                messages.push(json!({
                    "role": "tool", "tool_call_id": tool_use_id, "content": text
                }));
            }
            Block::ToolUse { .. } => {
                return Err(ApiError::invalid(
                    "messages",
                    "tool_use stands in a turn of the assistant only",
                ));
            }
        }
    }
    if !texts.is_empty() {
        messages.push(json!({ "role": "user", "content": texts.join("\n") }));
    }
    Ok(())
}

fn assistant(content: Content) -> ApiResult<Value> {
    let blocks = match content {
        Content::Text(text) => return Ok(json!({ "role": "assistant", "content": text })),
        Content::Blocks(blocks) => blocks,
    };
    let (mut texts, mut calls) = (Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Text {
                text, citations, ..
            } => {
                check_citations(citations.as_ref())?;
                texts.push(text);
            }
            Block::ToolUse {
                id, name, input, ..
            } => calls.push(json!({
                "id": id, "type": "function",
                "function": { "name": name, "arguments": input.to_string() },
            })),
            Block::ToolResult { .. } => {
                return Err(ApiError::invalid(
                    "messages",
                    "tool_result stands in a turn of the user only",
                ));
            }
        }
    }
    let content = if texts.is_empty() && !calls.is_empty() {
        Value::Null
    } else {
        texts.join("\n").into()
    };
    let calls = if calls.is_empty() {
        Value::Null
    } else {
        calls.into()
    };
    Ok(json!({ "role": "assistant", "content": content, "tool_calls": calls }))
}

/// An error in Anthropic's shape.
fn error_body(error: &ApiError) -> Value {
    let kind = match error.status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": error.message } })
}

/// An error's response in Anthropic's shape.
pub(crate) fn fail(error: &ApiError) -> Response {
    let mut response = error.clone().into_response();
    let mut shaped = json_body(&error_body(error));
    *shaped.status_mut() = response.status();
    response
        .headers_mut()
        .remove(axum::http::header::CONTENT_LENGTH);
    for (name, value) in response.headers() {
        shaped.headers_mut().insert(name, value.clone());
    }
    shaped
}
