//! The models of this machine, for who administers it: what is here, what could be, and getting and
//! removing it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;

use super::account::record;
use super::visitor::{Admin, Visitor};
use super::wire::{AdminModel, AdminModels, DONE, Done, Fetch, FetchEnded, FetchRunning};
use crate::app::App;
use crate::depot::{Outcome, Stocked};
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::models::{Served, Task};

/// Lists the models that are here and those that could be, and tells what is being fetched.
#[utoipa::path(get, path = "/api/admin/models", tag = "admin",
    responses((status = 200, description = "the models", body = AdminModels),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn list(State(app): State<Arc<App>>, _: Admin) -> ApiResult<Response> {
    let stock = app.stock.list().await?;
    let served: Vec<Served> = app.models.served();
    let (fetching, last) = app.stock.now();
    let mut models: Vec<AdminModel> = Vec::new();
    // What the server was started with and no catalogue knows.
    for one in &served {
        if !stock
            .iter()
            .any(|model| one.path.starts_with(&model.folder))
        {
            models.push(AdminModel {
                id: one.name.clone(),
                title: one.name.clone(),
                task: word(one.task),
                licence: None,
                languages: Vec::new(),
                parameters: None,
                bytes: one.bytes,
                bytes_here: one.bytes,
                state: "installed",
                served: true,
                loaded: one.loaded,
                removable: false,
                fetchable: false,
            });
        }
    }
    for model in stock {
        let mut ours = served
            .iter()
            .filter(|one| one.path.starts_with(&model.folder));
        let one = ours.next();
        let fixed = one.is_some_and(|one| one.fixed) || ours.any(|one| one.fixed);
        let here = model.installed;
        models.push(AdminModel {
            state: match (here, model.bytes_here) {
                (true, _) => "installed",
                (false, 0) => "available",
                (false, _) => "partial",
            },
            served: here && one.is_some(),
            loaded: one.is_some_and(|one| one.loaded),
            removable: model.bytes_here > 0 && !fixed,
            fetchable: !here,
            task: word(model.task),
            id: model.name,
            title: model.title,
            licence: Some(model.licence),
            languages: model.languages,
            parameters: Some(model.parameters),
            bytes: model.bytes,
            bytes_here: model.bytes_here,
        });
    }
    Ok(json_body(&AdminModels {
        models,
        fetching: fetching.map(|it| FetchRunning {
            model: it.name,
            bytes_done: it.done,
            bytes: it.total,
        }),
        last: last.map(|it| FetchEnded {
            model: it.name,
            outcome: match it.outcome {
                Outcome::Done => "done",
                Outcome::Stopped => "stopped",
                Outcome::NoSpace => "no_space",
                Outcome::NoSource => "no_source",
                Outcome::Failed => "failed",
            },
            at: it.at,
        }),
    }))
}

fn word(task: Task) -> &'static str {
    match task {
        Task::Generate => "generate",
        Task::Embed => "embed",
    }
}

/// Begins to fetch a model; one at a time. What had arrived of it before is gone on with.
#[utoipa::path(post, path = "/api/admin/fetch", tag = "admin", request_body = Fetch,
    responses((status = 200, description = "it has begun", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn fetch(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
    Json(fetch): Json<Fetch>,
) -> ApiResult<Response> {
    let model = app.stock.find(&fetch.model).await?;
    if model.installed {
        return Err(ApiError::conflict(
            "installed",
            "this model is here already",
        ));
    }
    app.stock.begin(&model)?;
    note(&app, &admin.id, "model_fetched", &model.name, &visitor).await?;
    Ok(json_body(&DONE))
}

/// Stops the fetch that goes on; what has arrived is kept.
#[utoipa::path(delete, path = "/api/admin/fetch", tag = "admin",
    responses((status = 200, description = "it ends", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn stop(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
) -> ApiResult<Response> {
    let Some(name) = app.stock.stop() else {
        return Err(ApiError::not_found("no model is being fetched"));
    };
    note(&app, &admin.id, "model_fetch_stopped", &name, &visitor).await?;
    Ok(json_body(&DONE))
}

/// Removes a model that nobody uses, or what has arrived of it.
#[utoipa::path(delete, path = "/api/admin/models/{name}", tag = "admin",
    params(("name" = String, Path, description = "the model")),
    responses((status = 200, description = "it is gone", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Admin(admin): Admin,
    Extension(visitor): Extension<Visitor>,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    let model: Stocked = app.stock.find(&name).await?;
    if model.bytes_here == 0 {
        return Err(ApiError::not_found("this model is not here"));
    }
    app.models.let_go(&model.folder).await?;
    app.stock.remove(&model.name).await?;
    note(&app, &admin.id, "model_removed", &model.name, &visitor).await?;
    Ok(json_body(&DONE))
}

async fn note(
    app: &App,
    admin: &str,
    action: &str,
    model: &str,
    visitor: &Visitor,
) -> ApiResult<()> {
    record(app, Some(admin), action, Some(model), visitor).await
}
