//! `/v1/chat/completions`.

mod prompt;
mod respond;
pub(crate) mod wire;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde_json::json;
use terang_engine::{Constraint, Request};

use self::wire::{ChatRequest, ResponseFormat, ToolChoice, ToolMode};
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::{self, Order};
use crate::http::body::Json;
use crate::keys::Caller;
use crate::models::Loaded;
use crate::openai::settings::{self, Wanted};
use crate::toolcall::{self, Tool};

/// Answers a conversation.
#[utoipa::path(
    post, path = "/v1/chat/completions", tag = "chat", request_body = ChatRequest,
    responses(
        (status = 200, description = "the answer, or its events with `stream`", body = wire::ChatResponse),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
        (status = "5XX", description = "not now", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ChatRequest>,
) -> ApiResult<Response> {
    let model = app.models.get(&request.model).await?;
    let style = respond::Style {
        model: Arc::clone(&model),
        logprobs: request.logprobs == Some(true),
        include_usage: request
            .stream_options
            .is_some_and(|options| options.include_usage == Some(true)),
    };
    let stream = request.stream == Some(true);
    if !stream && request.stream_options.is_some() {
        return Err(ApiError::invalid(
            "stream_options",
            "allowed only together with stream",
        ));
    }
    let order = order(&app, model, request, caller)?;
    let n = order.n;
    let answers = generate::start(&app, order).await?;
    if stream {
        Ok(respond::stream(answers, style, n))
    } else {
        respond::whole(answers, &style, n).await
    }
}

/// The order for a conversation.
pub(crate) fn order(
    app: &App,
    model: Arc<Loaded>,
    request: ChatRequest,
    caller: Caller,
) -> ApiResult<Order> {
    refuse(&request)?;
    if request.messages.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            "allowed is at least one message",
        ));
    }
    let n = settings::count(app, request.n)?;
    let (field, wanted) = match (request.max_completion_tokens, request.max_tokens) {
        (None, tokens) => ("max_tokens", tokens),
        (tokens, None) => ("max_completion_tokens", tokens),
        (Some(_), Some(_)) => {
            return Err(ApiError::invalid(
                "max_tokens",
                "allowed is one of max_tokens and max_completion_tokens",
            ));
        }
    };
    let max_tokens = settings::max_tokens(field, wanted, &model)?;
    let sampling = Wanted {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        min_p: request.min_p,
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        repetition_penalty: request.repetition_penalty,
        logit_bias: request.logit_bias.as_ref(),
        seed: request.seed,
    }
    .sampling(&model)?;
    let tools = prompt::tools(&request)?;
    let choice = choice(&request, &tools)?;
    let constraint = constraint(&request, &model, &tools, &choice)?;
    let offered: &[Tool] = if choice == toolcall::Choice::None {
        &[]
    } else {
        &tools
    };
    let prompt = prompt::prompt(&request, &model, !offered.is_empty())?;
    let caller = settings::caller(
        caller,
        request
            .safety_identifier
            .as_deref()
            .or(request.user.as_deref()),
        request.prompt_cache_key.as_deref(),
    );
    let engine_request = Request {
        sampling,
        max_tokens,
        stop: request.stop.map(|stop| stop.0).unwrap_or_default(),
        stop_tokens: request.stop_token_ids.unwrap_or_default(),
        ignore_eos: request.ignore_eos == Some(true),
        min_tokens: request.min_tokens.unwrap_or(0).min(u64::from(u32::MAX)) as usize,
        logprobs: (request.logprobs == Some(true))
            .then(|| request.top_logprobs.unwrap_or(0).min(1 << 20) as usize),
        constraint,
        priority: request.priority.unwrap_or(0),
        ..Request::new(prompt)
    };
    let names = offered.iter().map(|tool| tool.name.clone()).collect();
    Ok(settings::order(model, engine_request, n, names, caller))
}

fn refuse(request: &ChatRequest) -> ApiResult<()> {
    let default_tier = [json!("auto"), json!("default")];
    settings::refuse(&[
        ("audio", request.audio.as_ref(), &[]),
        ("function_call", request.function_call.as_ref(), &[]),
        ("functions", request.functions.as_ref(), &[]),
        ("metadata", request.metadata.as_ref(), &[]),
        (
            "modalities",
            request.modalities.as_ref(),
            &[json!(["text"])],
        ),
        ("prediction", request.prediction.as_ref(), &[]),
        ("moderation", request.moderation.as_ref(), &[]),
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
        ("reasoning_effort", request.reasoning_effort.as_ref(), &[]),
        ("service_tier", request.service_tier.as_ref(), &default_tier),
        ("store", request.store.as_ref(), &[json!(false)]),
        ("verbosity", request.verbosity.as_ref(), &[json!("medium")]),
        (
            "web_search_options",
            request.web_search_options.as_ref(),
            &[],
        ),
    ])?;
    if request.top_logprobs.is_some() && request.logprobs != Some(true) {
        return Err(ApiError::invalid(
            "top_logprobs",
            "allowed only where logprobs is true",
        ));
    }
    Ok(())
}

fn choice(request: &ChatRequest, tools: &[Tool]) -> ApiResult<toolcall::Choice> {
    const FIELD: &str = "tool_choice";
    let choice = match &request.tool_choice {
        Some(ToolChoice::Mode(ToolMode::None)) => toolcall::Choice::None,
        None | Some(ToolChoice::Mode(ToolMode::Auto)) => toolcall::Choice::Auto,
        Some(ToolChoice::Mode(ToolMode::Required)) => toolcall::Choice::Required,
        Some(ToolChoice::Named(named)) => {
            let name = &named.function.name;
            if !tools.iter().any(|tool| tool.name == *name) {
                return Err(ApiError::invalid(
                    FIELD,
                    "names a function that is not in tools",
                ));
            }
            toolcall::Choice::Named(name.clone())
        }
    };
    if request.tool_choice.is_some()
        && tools.is_empty()
        && !matches!(choice, toolcall::Choice::None | toolcall::Choice::Auto)
    {
        return Err(ApiError::invalid(FIELD, "allowed only together with tools"));
    }
    Ok(choice)
}

fn constraint(
    request: &ChatRequest,
    model: &Loaded,
    tools: &[Tool],
    choice: &toolcall::Choice,
) -> ApiResult<Option<Constraint>> {
    let structured = settings::structured(request.structured_outputs.as_ref())?;
    let shape = match &request.response_format {
        None | Some(ResponseFormat::Text {}) => structured,
        Some(_) if structured.is_some() => {
            return Err(ApiError::invalid(
                "structured_outputs",
                "allowed is one of response_format and structured_outputs",
            ));
        }
        Some(ResponseFormat::JsonObject {}) => Some(Constraint::JsonObject),
        Some(ResponseFormat::JsonSchema { json_schema }) => {
            Some(Constraint::JsonSchema(match &json_schema.schema {
                Some(schema) if schema.is_object() => schema.clone(),
                Some(_) => {
                    return Err(ApiError::invalid(
                        "response_format.json_schema.schema",
                        "allowed is an object",
                    ));
                }
                None => json!({ "type": "object" }),
            }))
        }
    };
    let tokenizer = model.engine.text().tokenizer();
    let control = |text: &str| tokenizer.id_of(text).filter(|&id| tokenizer.is_special(id));
    let parallel = request.parallel_tool_calls != Some(false);
    let format = model.tool_format;
    let grammar = match choice {
        _ if tools.is_empty() => None,
        toolcall::Choice::None => None,
        toolcall::Choice::Required => Some(toolcall::calls(format, tools, parallel, &control)),
        toolcall::Choice::Named(name) => {
            let named: Vec<Tool> = tools.iter().filter(|t| t.name == *name).cloned().collect();
            Some(toolcall::calls(format, &named, false, &control))
        }
        toolcall::Choice::Auto => match &shape {
            None if tools.iter().any(|tool| tool.strict) => Some(
                toolcall::text_or_calls(format, tools, &control).ok_or_else(|| {
                    ApiError::unsupported(
                        "tools",
                        "strict functions need tool_choice required or a name with this model",
                    )
                })?,
            ),
            None => None,
            Some(Constraint::JsonSchema(schema)) => Some(toolcall::calls_or_json(
                format, tools, parallel, &control, schema,
            )),
            Some(Constraint::JsonObject) => Some(toolcall::calls_or_json(
                format,
                tools,
                parallel,
                &control,
                &json!({ "type": "object" }),
            )),
            Some(_) => {
                return Err(ApiError::invalid(
                    "structured_outputs",
                    "regex, grammar and choice are not supported together with tools",
                ));
            }
        },
    };
    match grammar {
        Some(grammar) => Ok(Some(Constraint::Lark(grammar))),
        None => Ok(shape),
    }
}

/// The finish reason's name on the wire.
fn reason(finish: generate::Finish) -> &'static str {
    match finish {
        generate::Finish::Stop | generate::Finish::StopString(_) => "stop",
        generate::Finish::Length => "length",
        generate::Finish::ToolCalls => "tool_calls",
    }
}
