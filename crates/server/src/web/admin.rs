//! What the owner and admins look after.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::Deserialize;
use terang_store::{self as store, Dialect, now_ms};
use utoipa::IntoParams;

use super::account::record;
use super::chats::query;
use super::visitor::{Admin, Visitor};
use super::wire::{
    AllUsed, Audit, AuditEntry, Invite, Invited, ServerHealth, Used, User, UserChange, UserRole,
    Users,
};
use super::{keys, text, token};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;

const DAY_MS: i64 = 86_400_000;
const INVITATION_MS: i64 = 7 * DAY_MS;

/// Lists all accounts.
#[utoipa::path(get, path = "/api/admin/users", tag = "admin",
    responses((status = 200, description = "the accounts", body = Users),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn users(State(app): State<Arc<App>>, _: Admin) -> ApiResult<Response> {
    let users = app.web.store.users().await?;
    let users = users.into_iter().map(User::from).collect();
    Ok(json_body(&Users { users }))
}

/// The role of somebody who is not the owner.
fn role(wanted: UserRole) -> ApiResult<store::UserRole> {
    match wanted {
        UserRole::Admin => Ok(store::UserRole::Admin),
        UserRole::Member => Ok(store::UserRole::Member),
        UserRole::Owner => Err(ApiError::invalid("role", "allowed are admin and member")),
    }
}

/// Only the owner makes and unmakes admins.
fn may(admin: &Admin, of: store::UserRole) -> ApiResult<()> {
    if admin.0.role == store::UserRole::Owner || of == store::UserRole::Member {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "owner_only",
        "only the owner looks after admins",
    ))
}

/// Changes what somebody may do; their sessions end.
#[utoipa::path(patch, path = "/api/admin/users/{id}", tag = "admin", request_body = UserChange,
    params(("id" = String, Path, description = "the account")),
    responses((status = 200, description = "the account", body = User),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change_user(
    State(app): State<Arc<App>>,
    admin: Admin,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Json(change): Json<UserChange>,
) -> ApiResult<Response> {
    let wanted = change.role.map(role).transpose()?;
    let was = app.web.store.user(&id).await?;
    may(&admin, was.role)?;
    if let Some(wanted) = wanted {
        may(&admin, wanted)?;
    }
    let user = app
        .web
        .store
        .change_user(&id, wanted, change.disabled)
        .await?;
    if user.disabled {
        app.web.answering.stop_all_of(&id);
        keys::revoke_all_of(&app, &id).await?;
    }
    let action = match change.disabled {
        Some(true) => "user_disabled",
        Some(false) => "user_enabled",
        None => "user_changed",
    };
    record(&app, Some(&admin.0.id), action, Some(&id), &visitor).await?;
    Ok(json_body(&User::from(user)))
}

/// Makes an invitation; its token is shown this once and holds for a week.
#[utoipa::path(post, path = "/api/admin/invitations", tag = "admin", request_body = Invite,
    responses((status = 200, description = "the invitation", body = Invited),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn invite(
    State(app): State<Arc<App>>,
    admin: Admin,
    Extension(visitor): Extension<Visitor>,
    Json(invite): Json<Invite>,
) -> ApiResult<Response> {
    let role = role(invite.role)?;
    may(&admin, role)?;
    let email = invite
        .email
        .map(|email| text::email("email", &email))
        .transpose()?;
    let secret = token::new()?;
    let digest = token::digest(&secret);
    let until = now_ms() + INVITATION_MS;
    app.web
        .store
        .create_invitation(&digest, role, email.as_deref(), until)
        .await?;
    record(
        &app,
        Some(&admin.0.id),
        "invited",
        email.as_deref(),
        &visitor,
    )
    .await?;
    Ok(json_body(&Invited {
        url: format!("/invite/{secret}"),
        token: secret,
    }))
}

/// Tells what everybody used of the models in the last thirty days.
#[utoipa::path(get, path = "/api/admin/usage", tag = "admin",
    responses((status = 200, description = "the usage", body = AllUsed),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn usage(State(app): State<Arc<App>>, _: Admin) -> ApiResult<Response> {
    let rows = app.web.store.usage_since(now_ms() / DAY_MS - 30).await?;
    let usage = rows.into_iter().map(|row| Used {
        user_id: row.user_id,
        day: row.day * DAY_MS,
        model: row.model,
        requests: row.requests,
        prompt_tokens: row.prompt_tokens,
        completion_tokens: row.completion_tokens,
    });
    Ok(json_body(&AllUsed {
        usage: usage.collect(),
    }))
}

/// Which part of the record.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Part {
    /// Those before this entry.
    before: Option<i64>,
    /// How many.
    limit: Option<usize>,
}

/// Tells what was done to accounts, keys and invitations.
#[utoipa::path(get, path = "/api/admin/audit", tag = "admin", params(Part),
    responses((status = 200, description = "the record", body = Audit),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn audit(
    State(app): State<Arc<App>>,
    _: Admin,
    part: Result<Query<Part>, axum::extract::rejection::QueryRejection>,
) -> ApiResult<Response> {
    let part = query(part)?;
    let rows = app
        .web
        .store
        .audit(part.before, part.limit.unwrap_or(100))
        .await?;
    let entries = rows.into_iter().map(|(id, entry)| AuditEntry {
        id,
        at: entry.at,
        user_id: entry.user_id,
        action: entry.action,
        target: entry.target,
        address: entry.address,
    });
    Ok(json_body(&Audit {
        entries: entries.collect(),
    }))
}

/// Tells how the server is.
#[utoipa::path(get, path = "/api/admin/health", tag = "admin",
    responses((status = 200, description = "how it is", body = ServerHealth),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn health(State(app): State<Arc<App>>, _: Admin) -> Response {
    let store = &app.web.store;
    json_body(&ServerHealth {
        database: store.check().await.is_ok(),
        database_kind: match store.dialect() {
            Dialect::Sqlite => "sqlite",
            Dialect::Postgres => "postgres",
        },
        model: app.models.is_ready() == Ok(true),
        answers: app.web.answering.count(),
        started_at: app.models.created_s() as i64 * 1000,
        version: env!("CARGO_PKG_VERSION"),
    })
}
