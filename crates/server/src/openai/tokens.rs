//! `/tokenize`, `/detokenize` and `/tokenizer_info`, in vLLM's form.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use terang_engine::Prompt;
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};
use crate::http::body::Json;
use crate::openai::logprobs::text_of;

/// Text to cut into tokens.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenizeRequest {
    /// The model's name; the first one's when absent.
    model: Option<String>,
    /// The text.
    prompt: String,
    /// Begin as the model wants every text to begin; true when absent.
    add_special_tokens: Option<bool>,
    /// Give each token's text too.
    return_token_strs: Option<bool>,
}

/// Tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenizeResponse {
    /// How many.
    count: usize,
    /// Positions of the model's context.
    max_model_len: usize,
    /// Their ids.
    tokens: Vec<u32>,
    /// Their texts, where asked for.
    token_strs: Option<Vec<String>>,
}

/// Tokens to join to a text.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DetokenizeRequest {
    /// The model's name; the first one's when absent.
    model: Option<String>,
    /// Their ids.
    tokens: Vec<u32>,
}

/// A text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DetokenizeResponse {
    /// It.
    prompt: String,
}

/// Whose tokenizer.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct InfoQuery {
    /// The model's name; the first one's when absent.
    model: Option<String>,
}

/// What evaluations that send token ids must know about a tokenizer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenizerInfo {
    /// What stands before every text, in templates at least.
    bos_token: Option<String>,
    /// Its id.
    bos_token_id: Option<u32>,
    /// What ends a text.
    eos_token: Option<String>,
    /// Its id.
    eos_token_id: Option<u32>,
    /// What fills a batch up.
    pad_token: Option<String>,
    /// Positions of the model's context.
    model_max_length: usize,
    /// How a conversation becomes a text, in Jinja.
    chat_template: Option<String>,
}

/// Cuts a text into tokens.
#[utoipa::path(
    post, path = "/tokenize", tag = "tokens", request_body = TokenizeRequest,
    responses(
        (status = 200, description = "the tokens", body = TokenizeResponse),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn tokenize(
    State(app): State<Arc<App>>,
    Json(request): Json<TokenizeRequest>,
) -> ApiResult<Response> {
    let name = request.model.as_deref().unwrap_or(app.models.first());
    let model = app.models.get(name).await?;
    let loaded = Arc::clone(&model);
    let (prompt, special) = (request.prompt, request.add_special_tokens != Some(false));
    let tokens = tokio::task::spawn_blocking(move || {
        let tokenizer = loaded.engine.text().tokenizer();
        if prompt.is_empty() {
            return Ok(tokenizer
                .add_bos()
                .filter(|_| special)
                .into_iter()
                .collect());
        }
        let mut tokens = loaded.engine.encode(&Prompt::Text(prompt))?;
        if !special && tokenizer.add_bos().is_some() {
            tokens.remove(0);
        }
        Ok::<Vec<u32>, ApiError>(tokens)
    })
    .await
    .map_err(|_| ApiError::internal("the text could not be cut into tokens"))??;
    let token_strs = (request.return_token_strs == Some(true))
        .then(|| tokens.iter().map(|&id| text_of(&model, id).0).collect());
    Ok(json_body(&TokenizeResponse {
        count: tokens.len(),
        max_model_len: model.engine.context_len(),
        tokens,
        token_strs,
    }))
}

/// Joins tokens to a text.
#[utoipa::path(
    post, path = "/detokenize", tag = "tokens", request_body = DetokenizeRequest,
    responses(
        (status = 200, description = "the text", body = DetokenizeResponse),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn detokenize(
    State(app): State<Arc<App>>,
    Json(request): Json<DetokenizeRequest>,
) -> ApiResult<Response> {
    let name = request.model.as_deref().unwrap_or(app.models.first());
    let model = app.models.get(name).await?;
    let vocab_size = model.engine.vocab_size();
    if let Some(id) = request.tokens.iter().find(|&&id| id as usize >= vocab_size) {
        return Err(ApiError::invalid(
            "tokens",
            format!("found token id {id}, allowed are ids below {vocab_size}"),
        ));
    }
    Ok(json_body(&DetokenizeResponse {
        prompt: model
            .engine
            .text()
            .tokenizer()
            .decode(&request.tokens, false),
    }))
}

/// Tells about a tokenizer.
#[utoipa::path(
    get, path = "/tokenizer_info", tag = "tokens", params(InfoQuery),
    responses(
        (status = 200, description = "about the tokenizer", body = TokenizerInfo),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn info(
    State(app): State<Arc<App>>,
    query: Result<Query<InfoQuery>, QueryRejection>,
) -> ApiResult<Response> {
    let Query(query) = query.map_err(|error| ApiError::bad(format!("query: {error}")))?;
    let name = query.model.as_deref().unwrap_or(app.models.first());
    let model = app.models.get(name).await?;
    let text = model.engine.text();
    let tokenizer = text.tokenizer();
    let text_of = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id));
    Ok(json_body(&TokenizerInfo {
        bos_token: text_of(tokenizer.bos()),
        bos_token_id: tokenizer.bos(),
        eos_token: text_of(tokenizer.eos()),
        eos_token_id: tokenizer.eos(),
        pad_token: text_of(tokenizer.padding()),
        model_max_length: model.engine.context_len(),
        chat_template: text.template().map(|template| template.source().to_owned()),
    }))
}
