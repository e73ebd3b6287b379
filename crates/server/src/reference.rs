//! The API's own description: an OpenAPI document generated from the wire types, and a page that
//! shows it, without anything from another host.

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use crate::anthropic;
use crate::error::{ErrorBody, json_body};
use crate::openai::{chat, completions, embeddings, health, models, responses, tokens};
use crate::web::knowledge::{collections, documents};
use crate::web::{
    self, account, admin, chats, embed, export, files, import, keys, library, messages, oidc,
    passkeys, search, shares, stream, tools,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Terang",
        description = "OpenAI's API over models that run on this machine. A field that is not listed \
                       is refused by its name."
    ),
    paths(
        chat::create,
        completions::create,
        embeddings::create,
        responses::create,
        responses::get,
        responses::delete,
        responses::cancel,
        responses::input_items,
        anthropic::create,
        anthropic::count,
        models::list,
        models::get,
        tokens::tokenize,
        tokens::detokenize,
        tokens::info,
        health::live,
        health::ready,
        health::figures,
        account::me,
        account::leave,
        account::setup,
        account::login,
        account::logout,
        oidc::start,
        oidc::callback,
        oidc::list,
        oidc::unlink,
        passkeys::challenge,
        passkeys::list,
        passkeys::add,
        passkeys::remove,
        passkeys::login,
        account::sessions,
        account::end_session,
        account::change_password,
        account::put_settings,
        account::invitation,
        account::accept,
        chats::models,
        chats::list,
        chats::create,
        chats::get,
        chats::change,
        chats::delete,
        messages::send,
        messages::again,
        messages::go_on,
        messages::stop,
        messages::delete,
        stream::follow,
        search::search,
        library::folders,
        library::create_folder,
        library::change_folder,
        library::delete_folder,
        library::prompts,
        library::create_prompt,
        library::delete_prompt,
        library::assistants,
        library::create_assistant,
        library::change_assistant,
        library::delete_assistant,
        collections::list,
        collections::create,
        collections::get,
        collections::change,
        collections::delete,
        collections::search,
        documents::list,
        documents::create,
        documents::get,
        documents::delete,
        documents::retry,
        documents::file,
        documents::passage,
        shares::create,
        shares::list,
        shares::delete,
        shares::shared,
        export::chat,
        export::everything,
        import::import,
        files::create,
        files::get,
        keys::list,
        keys::create,
        keys::revoke,
        embed::begin,
        embed::end,
        embed::apps::list,
        embed::apps::create,
        embed::apps::change,
        embed::apps::delete,
        admin::users,
        admin::change_user,
        admin::invite,
        admin::usage,
        admin::audit,
        admin::health,
        web::models::list,
        web::models::fetch,
        web::models::stop,
        web::models::remove,
        tools::admin::list,
        tools::admin::create,
        tools::admin::change,
        tools::admin::delete,
        tools::admin::test,
        tools::own::list,
        tools::own::consents,
        tools::own::take_back,
        tools::own::decide,
    ),
    components(schemas(ErrorBody, chat::wire::ChatChunk, responses::ResponseEvent))
)]
struct Api;

/// The API's description, as `/openapi.json` gives it.
#[must_use]
pub fn openapi() -> impl serde::Serialize {
    Api::openapi()
}

/// The document.
pub(crate) async fn document() -> Response {
    json_body(&Api::openapi())
}

const PAGE: &str = include_str!("reference/page.html");
const SCRIPT: &str = include_str!("reference/page.js");

/// The page that shows it.
pub(crate) async fn page() -> Response {
    text("text/html; charset=utf-8", PAGE)
}

/// The page's script.
pub(crate) async fn script() -> Response {
    text("text/javascript; charset=utf-8", SCRIPT)
}

fn text(content_type: &'static str, text: &'static str) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; \
                          frame-ancestors 'none'";
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
    ];
    (headers, text).into_response()
}
