//! Health and figures.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};
use crate::metrics;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`.
    status: &'static str,
}

/// The process lives.
#[utoipa::path(
    get, path = "/health/live", tag = "operation",
    responses((status = 200, description = "it lives", body = Health))
)]
pub(crate) async fn live() -> Response {
    json_body(&Health { status: "ok" })
}

/// The first model can answer.
#[utoipa::path(
    get, path = "/health/ready", tag = "operation",
    responses(
        (status = 200, description = "ready", body = Health),
        (status = 503, description = "loading or shutting down", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> ApiResult<Response> {
    if app.is_draining() {
        return Err(ApiError::unavailable(
            "draining",
            "the server is shutting down",
        ));
    }
    match app.models.is_ready() {
        Ok(true) => Ok(json_body(&Health { status: "ok" })),
        Ok(false) => Err(ApiError::unavailable(
            "loading",
            "the model is being loaded",
        )),
        Err(()) => Err(ApiError::unavailable(
            "model_not_loaded",
            "the model cannot be loaded; the server's log says why",
        )),
    }
}

/// Figures in OpenMetrics' text form.
#[utoipa::path(
    get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "the figures", body = String,
        content_type = "application/openmetrics-text"))
)]
pub(crate) async fn figures(State(app): State<Arc<App>>) -> Response {
    let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
    let text = app.metrics.render(&app.models);
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}
