//! `/v1/embeddings`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use terang_engine::{CancelHandle, EmbedOptions, Prompt};
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};
use crate::generate::Usage;
use crate::http::body::Json;
use crate::keys::Caller;
use crate::models::Embedder;
use crate::openai::settings;
use crate::openai::wire::{Inputs, InputsSchema};
use crate::telemetry::{Asked, Generation};

const INPUTS_MAX: usize = 256;

/// Texts to place in the model's space of meanings.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbeddingRequest {
    /// The model's name.
    model: String,
    /// One text, several, or token ids.
    #[schema(value_type = InputsSchema)]
    input: Inputs,
    /// `float` or `base64`.
    encoding_format: Option<EncodingFormat>,
    /// Not supported: the model has one number of dimensions.
    dimensions: Option<Value>,
    /// Who of a key's users asks; they wait in line separately.
    user: Option<String>,
}

/// How the numbers are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EncodingFormat {
    /// As numbers.
    #[default]
    Float,
    /// As the bytes of 32-bit floats, lowest first, in base64.
    Base64,
}

/// The places.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingResponse {
    /// `list`.
    object: &'static str,
    /// One for each input.
    data: Vec<Embedding>,
    /// The model's name.
    model: String,
    /// Tokens used.
    usage: EmbeddingUsage,
}

/// A place.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the API's own name")]
pub(crate) struct Embedding {
    /// `embedding`.
    object: &'static str,
    /// The input's number.
    index: usize,
    /// The vector, of length 1.
    embedding: Vector,
}

/// A vector.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Vector {
    /// As numbers.
    Float(Vec<f32>),
    /// In base64.
    Base64(String),
}

/// Tokens used.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EmbeddingUsage {
    /// Of all inputs.
    prompt_tokens: usize,
    /// The same.
    total_tokens: usize,
}

/// Takes the call back when the client has left.
struct GiveUp(CancelHandle);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Places texts in the model's space of meanings.
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "embeddings", request_body = EmbeddingRequest,
    responses(
        (status = 200, description = "the places", body = EmbeddingResponse),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<EmbeddingRequest>,
) -> ApiResult<Response> {
    let embedder = app.models.embedder(&request.model).await?;
    settings::refuse(&[("dimensions", request.dimensions.as_ref(), &[])])?;
    let prompts: Vec<Prompt> = match request.input {
        Inputs::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
        Inputs::Tokens(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
    };
    if prompts.is_empty() || prompts.len() > INPUTS_MAX {
        return Err(ApiError::invalid(
            "input",
            format!("found {} inputs, allowed 1 to {INPUTS_MAX}", prompts.len()),
        ));
    }
    let begun = Instant::now();
    let caller = settings::caller(caller, request.user.as_deref(), None);
    let timeout = Duration::from_secs(app.config.request_timeout_s);
    let options = EmbedOptions {
        adapter: match &embedder {
            Embedder::Decoder(model) => model.adapter.clone(),
            Embedder::Encoder(..) => None,
        },
        client: caller.client,
        deadline: Some(Instant::now() + timeout),
        ..EmbedOptions::default()
    };
    let _given_up = GiveUp(options.cancel.clone());
    let _place = app.embedding.acquire().await;
    let name = embedder.name().to_owned();
    // Waits for the engine's thread, or computes.
    let (prompt_tokens, vectors) =
        tokio::task::spawn_blocking(move || embed(&embedder, prompts, &options))
            .await
            .map_err(|_| ApiError::internal("the embeddings could not be computed"))??;
    let usage = Usage {
        prompt_tokens,
        ..Usage::default()
    };
    caller.charge(&name, usage);
    if let Some(telemetry) = &app.telemetry {
        telemetry.ended(Generation {
            origin: caller.origin,
            model: name.clone(),
            duration: begun.elapsed(),
            ttft: None,
            usage,
            finish_reasons: Vec::new(),
            error: None,
            asked: Asked::default(),
        });
    }
    let format = request.encoding_format.unwrap_or_default();
    let data = vectors
        .into_iter()
        .enumerate()
        .map(|(index, vector)| Embedding {
            object: "embedding",
            index,
            embedding: match format {
                EncodingFormat::Float => Vector::Float(vector),
                EncodingFormat::Base64 => {
                    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
                    Vector::Base64(STANDARD.encode(bytes))
                }
            },
        });
    Ok(json_body(&EmbeddingResponse {
        object: "list",
        data: data.collect(),
        model: name,
        usage: EmbeddingUsage {
            prompt_tokens,
            total_tokens: prompt_tokens,
        },
    }))
}

impl Embedder {
    fn name(&self) -> &str {
        match self {
            Self::Decoder(model) => &model.name,
            Self::Encoder(name, _) => name,
        }
    }
}

/// The tokens that were read, and the vectors.
fn embed(
    embedder: &Embedder,
    prompts: Vec<Prompt>,
    options: &EmbedOptions,
) -> ApiResult<(usize, Vec<Vec<f32>>)> {
    let mut lists = Vec::with_capacity(prompts.len());
    match embedder {
        Embedder::Decoder(model) => {
            for prompt in &prompts {
                lists.push(model.engine.encode(prompt)?);
            }
            let count = lists.iter().map(Vec::len).sum();
            Ok((count, model.engine.embed_with(lists, options)?))
        }
        Embedder::Encoder(_, encoder) => {
            for prompt in prompts {
                lists.push(match prompt {
                    Prompt::Tokens(tokens) => tokens,
                    Prompt::Text(text) => encoder.tokens(&text)?,
                    Prompt::Chat(_) => return Err(ApiError::bad("input: no conversation")),
                });
            }
            let embedded = encoder.embed_tokens(&lists, options)?;
            let count = embedded.iter().map(|it| it.tokens).sum();
            Ok((count, embedded.into_iter().map(|it| it.vector).collect()))
        }
    }
}
