//! What people see of tools, what they allowed of them, and what they decide on a call.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::future::join_all;
use serde::Deserialize;
use terang_store::Allowed;
use utoipa::IntoParams;

use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::web::chats::query;
use crate::web::visitor::{Person, Visitor};
use crate::web::wire::{
    Consent, Consents, DONE, Decide, Decision, Done, WebTool, WebToolServer, WebToolServers,
};

/// What to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    /// False: servers alone, none of which is connected to for it.
    connect: Option<bool>,
}

/// Lists the servers of tools that may be used, with their tools.
#[utoipa::path(get, path = "/api/tools", tag = "tools", params(Listed),
    responses((status = 200, description = "the servers", body = WebToolServers)))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    _: Person,
    listed: Result<Query<Listed>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let connect = query(listed)?.connect != Some(false);
    let servers = app.web.store.tool_servers().await?;
    let servers = servers.into_iter().filter(|server| server.enabled);
    let app = &app;
    let listed = servers.map(|server| async move {
        let (tools, error) = if connect {
            let tools = app.web.tools.list(&server).await;
            let error = tools.as_ref().err().map(ToString::to_string);
            (tools.unwrap_or_default(), error)
        } else {
            let heard = app.web.tools.heard(&server.id);
            (Vec::new(), heard.and_then(Result::err))
        };
        WebToolServer {
            tools: tools.into_iter().map(WebTool::from).collect(),
            id: server.id,
            name: server.name,
            error,
        }
    });
    Ok(json_body(&WebToolServers {
        servers: join_all(listed).await,
    }))
}

/// Lists what one allowed for good.
#[utoipa::path(get, path = "/api/consents", tag = "tools",
    responses((status = 200, description = "what is allowed", body = Consents)))]
pub(crate) async fn consents(
    State(app): State<Arc<App>>,
    Person(user): Person,
) -> ApiResult<Response> {
    let consents = app.web.store.tool_consents(&user.id).await?;
    let consents = consents.into_iter().map(Consent::from).collect();
    Ok(json_body(&Consents { consents }))
}

/// Takes back what one allowed.
#[utoipa::path(delete, path = "/api/consents/{id}", tag = "tools",
    params(("id" = String, Path, description = "what was allowed")),
    responses((status = 200, description = "done", body = Done),
        (status = 404, description = "no such thing", body = ErrorBody)))]
pub(crate) async fn take_back(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    app.web.store.disallow_tool(&user.id, &id).await?;
    Ok(json_body(&DONE))
}

/// Decides on a call that waits.
#[utoipa::path(post, path = "/api/chats/{id}/messages/{mid}/calls/{cid}", tag = "tools",
    request_body = Decide,
    params(("id" = String, Path, description = "the chat"),
        ("mid" = String, Path, description = "the answer"),
        ("cid" = String, Path, description = "the call")),
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn decide(
    State(app): State<Arc<App>>,
    Person(user): Person,
    Extension(visitor): Extension<Visitor>,
    Path((chat_id, id, call_id)): Path<(String, String, String)>,
    Json(decide): Json<Decide>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let call = store.call(&user.id, &chat_id, &call_id).await?;
    if call.message_id != id {
        return Err(terang_store::StoreError::NotFound.into());
    }
    if visitor.embed.is_some() && decide.decision == Decision::Always {
        // There it could not be taken back.
        return Err(ApiError::invalid(
            "decision",
            "allowed inside of another application are once, chat and deny",
        ));
    }
    let allow = decide.decision != Decision::Deny;
    let scope = match decide.decision {
        Decision::Once | Decision::Deny => None,
        Decision::Chat => Some(Some(chat_id.as_str())),
        Decision::Always => Some(None),
    };
    if let Some(scope) = scope {
        // As it was described when the call was made, which is what the person was asked about.
        let detail: serde_json::Value = serde_json::from_str(&call.detail).unwrap_or_default();
        let digest = detail["tool"].as_str().unwrap_or_default();
        let tool = Allowed {
            server_id: &call.server_id,
            tool: &call.tool,
            digest,
        };
        store.allow_tool(&user.id, scope, tool).await?;
    }
    if !store
        .decide_call(&user.id, &chat_id, &call_id, allow)
        .await?
    {
        return Err(ApiError::from(terang_store::StoreError::Conflict(
            "it was decided on already, or the answer has ended",
        )));
    }
    if let Some(live) = app.web.answering.get(&chat_id, &id) {
        live.decided();
    }
    Ok(json_body(&DONE))
}
