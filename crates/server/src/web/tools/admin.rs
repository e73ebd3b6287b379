//! Setting up servers of tools. A program of this machine, and an address of its network, are the
//! owner's to set up; where people have accounts, programs moreover only if the settings say so, since
//! whoever takes over the owner's account could otherwise run anything.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use terang_store::{StoreError, ToolServer, UserRole};

use super::net::Target;
use super::spec::{Program, Reach, Remote, Secrets, Spec, TIMEOUT_S};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::http::body::Json;
use crate::web::account::record;
use crate::web::state::Mode;
use crate::web::text;
use crate::web::visitor::{Admin, Visitor};
use crate::web::wire::{
    AdminToolServer, AdminToolServers, DONE, Done, ToolServerChange, ToolServerKind, ToolTest,
    WebTool,
};

const NAME_CHARS_MAX: usize = 40;

fn may_run_programs(app: &App, admin: &Admin) -> bool {
    let allowed = app.web.mode == Mode::Single || app.config.tool_commands;
    admin.0.role == UserRole::Owner && allowed
}

/// Whether somebody may have a server reached in this way.
fn check_may(app: &App, admin: &Admin, spec: &Spec) -> ApiResult<()> {
    match &spec.reach {
        Reach::Stdio(_) if !may_run_programs(app, admin) => Err(ApiError::forbidden(
            "owner_only",
            "programs of the server's machine are set up by the owner, and with accounts only where \
             the setting tool_commands is true",
        )),
        Reach::Http(remote) if remote.local && admin.0.role != UserRole::Owner => {
            Err(ApiError::forbidden(
                "owner_only",
                "allow_private: only the owner opens the server's own network to tools",
            ))
        }
        _ => Ok(()),
    }
}

fn shown(app: &App, server: &ToolServer) -> AdminToolServer {
    let heard = app.web.tools.heard(&server.id);
    let mut shown = AdminToolServer {
        id: server.id.clone(),
        name: server.name.clone(),
        enabled: server.enabled,
        given: server.given,
        reached: heard.as_ref().map(Result::is_ok),
        error: heard.and_then(Result::err),
        created_at: server.created_at,
        ..AdminToolServer::default()
    };
    match Spec::of(server) {
        Ok((spec, secrets)) => {
            shown.timeout_s = spec.timeout_s;
            shown.env = secrets.env.into_keys().collect();
            shown.has_token = secrets.token.is_some();
            match spec.reach {
                Reach::Stdio(program) => {
                    shown.kind = Some(ToolServerKind::Stdio);
                    shown.command = Some(program.command);
                    (shown.args, shown.inherit) = (program.args, program.inherit);
                }
                Reach::Http(remote) => {
                    shown.kind = Some(ToolServerKind::Http);
                    shown.allow_private = remote.local;
                    shown.url = Some(remote.url);
                }
            }
        }
        Err(error) => shown.error = Some(error.to_string()),
    }
    shown
}

/// How a server is reached, with what is to be changed of it.
fn changed(was: Option<(Spec, Secrets)>, change: ToolServerChange) -> ApiResult<(Spec, Secrets)> {
    let (was, mut secrets) = was.unzip();
    let secrets = secrets.get_or_insert_default();
    let timeout_s = was.as_ref().map_or(TIMEOUT_S, |was| was.timeout_s);
    let kind = match (&was, change.kind) {
        (None, None) => return Err(ApiError::invalid("kind", "allowed are stdio and http")),
        (None, Some(kind)) => kind,
        (Some(was), wanted) => {
            let kind = match was.reach {
                Reach::Stdio(_) => ToolServerKind::Stdio,
                Reach::Http(_) => ToolServerKind::Http,
            };
            if wanted.is_some_and(|wanted| wanted != kind) {
                return Err(ApiError::invalid(
                    "kind",
                    "cannot be changed; set up another server",
                ));
            }
            kind
        }
    };
    let other = |field: &str| ApiError::invalid(field, "is of the other kind of server");
    let reach = match kind {
        ToolServerKind::Stdio => {
            if change.url.is_some() || change.allow_private == Some(true) {
                return Err(other("url"));
            }
            if change.token.flatten().is_some() {
                return Err(other("token"));
            }
            let was = match was.map(|was| was.reach) {
                Some(Reach::Stdio(program)) => program,
                _ => Program::default(),
            };
            secrets.env = change.env.unwrap_or(std::mem::take(&mut secrets.env));
            Reach::Stdio(Program {
                command: change.command.unwrap_or(was.command),
                args: change.args.unwrap_or(was.args),
                inherit: change.inherit.unwrap_or(was.inherit),
            })
        }
        ToolServerKind::Http => {
            let program = [
                ("command", change.command.is_some()),
                ("args", change.args.is_some_and(|args| !args.is_empty())),
                ("env", change.env.is_some_and(|env| !env.is_empty())),
                (
                    "inherit",
                    change.inherit.is_some_and(|names| !names.is_empty()),
                ),
            ];
            if let Some((field, _)) = program.iter().find(|(_, given)| *given) {
                return Err(other(field));
            }
            let was = match was.map(|was| was.reach) {
                Some(Reach::Http(remote)) => Some(remote),
                _ => None,
            };
            let before = was.clone().unwrap_or_default();
            let new = Remote {
                url: change.url.unwrap_or(before.url).trim().to_owned(),
                local: change.allow_private.unwrap_or(before.local),
            };
            // A token is for the server that it was given for.
            let same = was.is_none_or(|was| {
                let was = Target::parse(&was.url, true);
                let new = Target::parse(&new.url, true);
                matches!((was, new), (Ok(was), Ok(new)) if was.same_server(&new))
            });
            if !same {
                secrets.token = None;
            }
            if let Some(token) = change.token {
                secrets.token = token.filter(|token| !token.is_empty());
            }
            Reach::Http(new)
        }
    };
    let spec = Spec {
        reach,
        timeout_s: change.timeout_s.unwrap_or(timeout_s),
    };
    spec.check(secrets)?;
    Ok((spec, std::mem::take(secrets)))
}

fn is_given() -> ApiError {
    ApiError::from(StoreError::Conflict(
        "it stands in the settings' file, tool_servers; change it there and start the server anew",
    ))
}

fn kept(value: &impl serde::Serialize) -> ApiResult<String> {
    serde_json::to_string(value).map_err(|error| ApiError::internal(error.to_string()))
}

/// Lists the servers of tools.
#[utoipa::path(get, path = "/api/admin/tools", tag = "admin",
    responses((status = 200, description = "the servers", body = AdminToolServers),
        (status = 403, description = "not an admin", body = ErrorBody)))]
pub(crate) async fn list(State(app): State<Arc<App>>, admin: Admin) -> ApiResult<Response> {
    let servers = app.web.store.tool_servers().await?;
    Ok(json_body(&AdminToolServers {
        servers: servers.iter().map(|server| shown(&app, server)).collect(),
        may_run_programs: may_run_programs(&app, &admin),
    }))
}

/// Sets up a server of tools. Nothing is started or reached before it is tried or used.
#[utoipa::path(post, path = "/api/admin/tools", tag = "admin", request_body = ToolServerChange,
    responses((status = 200, description = "the server", body = AdminToolServer),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    admin: Admin,
    Extension(visitor): Extension<Visitor>,
    Json(mut new): Json<ToolServerChange>,
) -> ApiResult<Response> {
    let name = text::line("name", &new.name.take().unwrap_or_default(), NAME_CHARS_MAX)?;
    let enabled = new.enabled.unwrap_or(true);
    let (spec, secrets) = changed(None, new)?;
    check_may(&app, &admin, &spec)?;
    let store = &app.web.store;
    let mut made = store
        .create_tool_server(&name, &kept(&spec)?, &kept(&secrets)?)
        .await?;
    if !enabled {
        made.enabled = false;
        made = store.replace_tool_server(&made).await?;
    }
    let by = Some(admin.0.id.as_str());
    record(&app, by, "tool_server_added", Some(&name), &visitor).await?;
    Ok(json_body(&shown(&app, &made)))
}

/// Changes a server of tools. What is secret stays as it was unless it is given anew; a token does
/// not follow to another host.
#[utoipa::path(patch, path = "/api/admin/tools/{id}", tag = "admin",
    request_body = ToolServerChange, params(("id" = String, Path, description = "the server")),
    responses((status = 200, description = "the server", body = AdminToolServer),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    admin: Admin,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    Json(mut change): Json<ToolServerChange>,
) -> ApiResult<Response> {
    let store = &app.web.store;
    let was = store.tool_server(&id).await?;
    let name = match change.name.take() {
        Some(name) => text::line("name", &name, NAME_CHARS_MAX)?,
        None => was.name.clone(),
    };
    let enabled = change.enabled.unwrap_or(was.enabled);
    let before = Spec::of(&was).map_err(|error| ApiError::internal(error.to_string()))?;
    let (spec, secrets) = changed(Some(before.clone()), change)?;
    if was.given && ((spec.clone(), secrets.clone()) != before || name != was.name) {
        return Err(is_given());
    }
    // Whoever may not set it up may switch it off, and nothing else. Whoever runs the machine allowed
    // what stands in its settings' file.
    if !was.given && ((spec.clone(), secrets.clone()) != before || (enabled && !was.enabled)) {
        check_may(&app, &admin, &before.0)?;
        check_may(&app, &admin, &spec)?;
    }
    let new = ToolServer {
        name,
        enabled,
        spec: kept(&spec)?,
        secrets: kept(&secrets)?,
        ..was
    };
    let new = store.replace_tool_server(&new).await?;
    app.web.tools.forget(&id);
    let by = Some(admin.0.id.as_str());
    record(&app, by, "tool_server_changed", Some(&new.name), &visitor).await?;
    Ok(json_body(&shown(&app, &new)))
}

/// Takes a server of tools away, with what people allowed of its tools.
#[utoipa::path(delete, path = "/api/admin/tools/{id}", tag = "admin",
    params(("id" = String, Path, description = "the server")),
    responses((status = 200, description = "done", body = Done),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    admin: Admin,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let was = app.web.store.tool_server(&id).await?;
    if was.given {
        return Err(is_given());
    }
    app.web.store.delete_tool_server(&id).await?;
    app.web.tools.forget(&id);
    let by = Some(admin.0.id.as_str());
    record(&app, by, "tool_server_removed", Some(&was.name), &visitor).await?;
    Ok(json_body(&DONE))
}

/// Connects to a server of tools anew and lists what it has.
#[utoipa::path(post, path = "/api/admin/tools/{id}/test", tag = "admin",
    params(("id" = String, Path, description = "the server")),
    responses((status = 200, description = "what was found", body = ToolTest),
        (status = "4XX", description = "why not", body = ErrorBody)))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    _: Admin,
    Path(id): Path<String>,
) -> ApiResult<Response> {
    let server = app.web.store.tool_server(&id).await?;
    let found = app.web.tools.test(&server).await;
    Ok(json_body(&match found {
        Ok(tools) => ToolTest {
            tools: tools.into_iter().map(WebTool::from).collect(),
            error: None,
        },
        Err(error) => ToolTest {
            tools: Vec::new(),
            error: Some(error.to_string()),
        },
    }))
}

impl From<super::Tool> for WebTool {
    fn from(tool: super::Tool) -> Self {
        Self {
            name: tool.name,
            title: tool.title,
            description: tool.description,
            read_only: tool.read_only,
        }
    }
}
