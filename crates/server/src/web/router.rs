//! The web app's routes. All of them pass `visitor`, which closes what it does not list as open.

use std::sync::Arc;

use axum::routing::{delete, get, patch, post, put};
use axum::{Router, middleware};

use super::knowledge::{collections, documents};
use super::{
    account, admin, chats, embed, export, files, import, keys, library, messages, models, oidc,
    passkeys, search, shares, stream, tools, visitor,
};
use crate::app::App;
use crate::error::ApiError;

/// The patterns of all routes.
pub(crate) const ROUTES: [&str; 71] = [
    "/api/me",
    "/api/setup",
    "/api/login",
    "/api/logout",
    "/api/oidc/start",
    "/api/oidc/callback",
    "/api/identities",
    "/api/identities/{id}",
    "/api/passkeys",
    "/api/passkeys/challenge",
    "/api/passkeys/login",
    "/api/passkeys/{id}",
    "/api/sessions",
    "/api/sessions/{id}",
    "/api/password",
    "/api/settings",
    "/api/invitations/{token}",
    "/api/models",
    "/api/chats",
    "/api/chats/{id}",
    "/api/chats/{id}/messages",
    "/api/chats/{id}/messages/{mid}",
    "/api/chats/{id}/messages/{mid}/answer",
    "/api/chats/{id}/messages/{mid}/continue",
    "/api/chats/{id}/messages/{mid}/stop",
    "/api/chats/{id}/messages/{mid}/stream",
    "/api/chats/{id}/shares",
    "/api/chats/{id}/export",
    "/api/export",
    "/api/import",
    "/api/attachments",
    "/api/attachments/{id}",
    "/api/search",
    "/api/folders",
    "/api/folders/{id}",
    "/api/shares",
    "/api/shares/{id}",
    "/api/shared/{token}",
    "/api/prompts",
    "/api/prompts/{id}",
    "/api/assistants",
    "/api/assistants/{id}",
    "/api/collections",
    "/api/collections/{id}",
    "/api/collections/{id}/documents",
    "/api/collections/{id}/search",
    "/api/documents/{id}",
    "/api/documents/{id}/file",
    "/api/documents/{id}/passages/{number}",
    "/api/documents/{id}/retry",
    "/api/keys",
    "/api/keys/{id}",
    "/api/embed/session",
    "/api/admin/embeds",
    "/api/admin/embeds/{id}",
    "/api/admin/users",
    "/api/admin/users/{id}",
    "/api/admin/invitations",
    "/api/admin/usage",
    "/api/admin/audit",
    "/api/admin/health",
    "/api/admin/models",
    "/api/admin/models/{name}",
    "/api/admin/fetch",
    "/api/admin/tools",
    "/api/admin/tools/{id}",
    "/api/admin/tools/{id}/test",
    "/api/tools",
    "/api/consents",
    "/api/consents/{id}",
    "/api/chats/{id}/messages/{mid}/calls/{cid}",
];

/// All routes behind the layer.
pub(crate) fn build(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/api/me", get(account::me).delete(account::leave))
        .route("/api/setup", post(account::setup))
        .route("/api/login", post(account::login))
        .route("/api/logout", post(account::logout))
        .route("/api/oidc/start", get(oidc::start))
        .route("/api/oidc/callback", get(oidc::callback))
        .route("/api/identities", get(oidc::list))
        .route("/api/identities/{id}", delete(oidc::unlink))
        .route("/api/passkeys", get(passkeys::list).post(passkeys::add))
        .route("/api/passkeys/challenge", post(passkeys::challenge))
        .route("/api/passkeys/login", post(passkeys::login))
        .route("/api/passkeys/{id}", delete(passkeys::remove))
        .route("/api/sessions", get(account::sessions))
        .route("/api/sessions/{id}", delete(account::end_session))
        .route("/api/password", post(account::change_password))
        .route("/api/settings", put(account::put_settings))
        .route(
            "/api/invitations/{token}",
            get(account::invitation).post(account::accept),
        )
        .route("/api/models", get(chats::models))
        .route("/api/chats", get(chats::list).post(chats::create))
        .route(
            "/api/chats/{id}",
            get(chats::get).patch(chats::change).delete(chats::delete),
        )
        .route("/api/chats/{id}/messages", post(messages::send))
        .route("/api/chats/{id}/messages/{mid}", delete(messages::delete))
        .route(
            "/api/chats/{id}/messages/{mid}/answer",
            post(messages::again),
        )
        .route(
            "/api/chats/{id}/messages/{mid}/continue",
            post(messages::go_on),
        )
        .route("/api/chats/{id}/messages/{mid}/stop", post(messages::stop))
        .route("/api/chats/{id}/messages/{mid}/stream", get(stream::follow))
        .route("/api/chats/{id}/shares", post(shares::create))
        .route("/api/chats/{id}/export", get(export::chat))
        .route("/api/export", get(export::everything))
        .route("/api/import", post(import::import))
        .route("/api/attachments", post(files::create))
        .route("/api/attachments/{id}", get(files::get))
        .route("/api/search", get(search::search))
        .route(
            "/api/folders",
            get(library::folders).post(library::create_folder),
        )
        .route(
            "/api/folders/{id}",
            patch(library::change_folder).delete(library::delete_folder),
        )
        .route("/api/shares", get(shares::list))
        .route("/api/shares/{id}", delete(shares::delete))
        .route("/api/shared/{token}", get(shares::shared))
        .route(
            "/api/prompts",
            get(library::prompts).post(library::create_prompt),
        )
        .route("/api/prompts/{id}", delete(library::delete_prompt))
        .route(
            "/api/assistants",
            get(library::assistants).post(library::create_assistant),
        )
        .route(
            "/api/assistants/{id}",
            patch(library::change_assistant).delete(library::delete_assistant),
        )
        .route(
            "/api/collections",
            get(collections::list).post(collections::create),
        )
        .route(
            "/api/collections/{id}",
            get(collections::get)
                .patch(collections::change)
                .delete(collections::delete),
        )
        .route(
            "/api/collections/{id}/documents",
            get(documents::list).post(documents::create),
        )
        .route("/api/collections/{id}/search", get(collections::search))
        .route(
            "/api/documents/{id}",
            get(documents::get).delete(documents::delete),
        )
        .route("/api/documents/{id}/file", get(documents::file))
        .route(
            "/api/documents/{id}/passages/{number}",
            get(documents::passage),
        )
        .route("/api/documents/{id}/retry", post(documents::retry))
        .route("/api/keys", get(keys::list).post(keys::create))
        .route("/api/keys/{id}", delete(keys::revoke))
        .route("/api/embed/session", post(embed::begin).delete(embed::end))
        .route(
            "/api/admin/embeds",
            get(embed::apps::list).post(embed::apps::create),
        )
        .route(
            "/api/admin/embeds/{id}",
            patch(embed::apps::change).delete(embed::apps::delete),
        )
        .route("/api/admin/users", get(admin::users))
        .route("/api/admin/users/{id}", patch(admin::change_user))
        .route("/api/admin/invitations", post(admin::invite))
        .route("/api/admin/usage", get(admin::usage))
        .route("/api/admin/audit", get(admin::audit))
        .route("/api/admin/health", get(admin::health))
        .route("/api/admin/models", get(models::list))
        .route("/api/admin/models/{name}", delete(models::remove))
        .route("/api/admin/fetch", post(models::fetch).delete(models::stop))
        .route(
            "/api/admin/tools",
            get(tools::admin::list).post(tools::admin::create),
        )
        .route(
            "/api/admin/tools/{id}",
            patch(tools::admin::change).delete(tools::admin::delete),
        )
        .route("/api/admin/tools/{id}/test", post(tools::admin::test))
        .route("/api/tools", get(tools::own::list))
        .route("/api/consents", get(tools::own::consents))
        .route("/api/consents/{id}", delete(tools::own::take_back))
        .route(
            "/api/chats/{id}/messages/{mid}/calls/{cid}",
            post(tools::own::decide),
        )
        .route(
            "/api/{*other}",
            axum::routing::any(async || {
                ApiError::not_found("there is nothing at this path; see /docs")
            }),
        )
        .layer(middleware::from_fn_with_state(
            Arc::clone(app),
            visitor::pass,
        ))
}
