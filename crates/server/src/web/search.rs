//! Finding one's own chats and messages.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use super::chats::query;
use super::visitor::Person;
use super::wire::{Hit, Hits};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};

const QUERY_BYTES_MAX: usize = 1000;

/// What to look for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    /// Words, all of which must occur; the last may be a beginning.
    q: String,
    /// How many hits.
    limit: Option<usize>,
}

/// Finds chats and messages.
#[utoipa::path(get, path = "/api/search", tag = "chats", params(Wanted),
    responses((status = 200, description = "what was found", body = Hits),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    Person(user): Person,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let wanted = query(wanted)?;
    if wanted.q.len() > QUERY_BYTES_MAX {
        return Err(ApiError::invalid(
            "q",
            format!("allowed are {QUERY_BYTES_MAX} bytes"),
        ));
    }
    let limit = wanted.limit.unwrap_or(50).clamp(1, 200);
    let hits = app.web.store.search(&user.id, &wanted.q, limit).await?;
    let hits = hits.into_iter().map(Hit::from).collect();
    Ok(json_body(&Hits { hits }))
}
