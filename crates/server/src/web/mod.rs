//! The web app's API under `/api/`, and the app itself.
//!
//! - `state`: what its handlers share. `visitor`: who asks; the one layer over all of its routes.
//! - `account`, `password`, `attempts`, `admin`: setting up, logging in, accounts. `oidc`,
//!   `passkeys`: other ways to log in. `models`: this machine's.
//! - `chats`, `messages`, `library`, `files`, `shares`, `search`: what people keep.
//! - `answering`: answers that are made whether or not anybody reads them. `stream`: reading them.
//! - `knowledge`: collections of documents, and answers from them.
//! - `reading`: text out of files, in processes of their own.
//! - `tools`: tools that models may call, through the Model Context Protocol.
//! - `prompt`: from a branch of messages to the engine's prompt.
//! - `embed`: the chat inside of other applications.
//! - `export`, `import`: out and in again. `assets`: the built front end.
//!
//! Invariants: a route is closed unless `visitor` lists it as open; a handler takes whose it is from
//! the session alone and hands it to the store with every identity, so that another's is not found;
//! a request that changes something carries a header that no page of another origin can send.

pub(crate) mod account;
pub(crate) mod admin;
mod answering;
pub(crate) mod assets;
mod attempts;
pub(crate) mod chats;
pub(crate) mod embed;
pub(crate) mod export;
pub(crate) mod files;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod knowledge;
pub(crate) mod library;
pub(crate) mod messages;
pub(crate) mod models;
pub(crate) mod oidc;
pub(crate) mod passkeys;
mod password;
mod prompt;
mod reading;
pub(crate) mod router;
pub(crate) mod search;
pub(crate) mod shares;
mod state;
pub(crate) mod stream;
mod text;
mod token;
pub(crate) mod tools;
mod upload;
mod visitor;
pub(crate) mod wire;

pub(crate) use state::Web;
pub(crate) use visitor::Peer;

use terang_store::StoreError;

use crate::error::ApiError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        use axum::http::StatusCode;
        match error {
            StoreError::NotFound => Self::not_found("there is nothing of yours by this identity"),
            StoreError::Conflict(what) => Self::new(
                StatusCode::CONFLICT,
                "invalid_request_error",
                Some("conflict"),
                what,
            ),
            StoreError::Full(what) => Self::new(
                StatusCode::CONFLICT,
                "invalid_request_error",
                Some("limit_reached"),
                what,
            ),
            // The cause names hosts, paths and perhaps texts: it is for the log alone, and there
            // without values, which the drivers leave out of their messages.
            other => {
                tracing::error!(error = %other, "the database refuses");
                Self::unavailable(
                    "database_unavailable",
                    "the database cannot be used now, and nothing was changed; try again",
                )
            }
        }
    }
}
