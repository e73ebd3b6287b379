//! `/v1/models`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};

/// The models that are served, each followed by its adapters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<Model>,
}

/// A model, or one with an adapter.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Model {
    /// Its name.
    id: String,
    /// `model`.
    object: &'static str,
    /// Since when it is served, in seconds since 1970.
    created: u64,
    /// `terang`.
    owned_by: &'static str,
    /// Of an adapter, the model that it belongs to; else its own name.
    root: String,
    /// Of an adapter, the model that it belongs to.
    parent: Option<String>,
    /// Whether it is in memory.
    loaded: bool,
    /// Positions of its context, once it is in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_model_len: Option<usize>,
}

fn list_all(app: &App) -> Vec<Model> {
    let models = app.models.list().map(|model| Model {
        id: model.name.to_owned(),
        object: "model",
        created: app.models.created_s(),
        owned_by: "terang",
        root: model.parent.unwrap_or(model.name).to_owned(),
        parent: model.parent.map(str::to_owned),
        loaded: model.loaded,
        max_model_len: model.context_len,
    });
    models.collect()
}

/// Lists the models.
#[utoipa::path(
    get, path = "/v1/models", tag = "models",
    responses((status = 200, description = "the models", body = ModelList))
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    json_body(&ModelList {
        object: "list",
        data: list_all(&app),
    })
}

/// Tells about one model.
#[utoipa::path(
    get, path = "/v1/models/{model}", tag = "models",
    params(("model" = String, Path, description = "the model's name")),
    responses(
        (status = 200, description = "the model", body = Model),
        (status = 404, description = "no such model", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    name: Result<Path<String>, PathRejection>,
) -> ApiResult<Response> {
    let Path(name) =
        name.map_err(|_| ApiError::not_found("model: no model has a name that is no text"))?;
    let name = app.models.resolve(&name)?;
    let model = list_all(&app).into_iter().find(|model| model.id == name);
    Ok(json_body(&model))
}
