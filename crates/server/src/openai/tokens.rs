//! `/tokenize` and `/detokenize`, in vLLM's form.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use terang_engine::Prompt;
use utoipa::ToSchema;

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
