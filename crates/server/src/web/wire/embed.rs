//! Embedding applications, and who comes through them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Assistant;

/// Coming in through an application.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedLogin {
    /// The application.
    pub(crate) app: String,
    /// What it has signed: who comes.
    pub(crate) token: String,
}

/// A session of who came through an application.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbedSession {
    /// For `Authorization: Bearer`; shown this once.
    pub(crate) token: String,
    /// Milliseconds since 1970, when a new one is needed.
    pub(crate) expires_at: i64,
    /// The assistants that the application offers.
    pub(crate) assistants: Vec<Assistant>,
}

/// An embedding application.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbedApp {
    /// Its identity, for which its tokens are made (`aud`).
    pub(crate) id: String,
    /// What it is called.
    pub(crate) name: String,
    /// How its tokens are signed: `HS256`, `RS256` or `ES256`.
    pub(crate) algorithm: String,
    /// Whose pages may show it.
    pub(crate) origins: Vec<String>,
    /// Assistants that it offers.
    pub(crate) assistants: Vec<String>,
    /// Nobody comes through it.
    pub(crate) disabled: bool,
    /// How many accounts came through it.
    pub(crate) accounts: i64,
    /// The path of its page.
    pub(crate) url: String,
    /// Milliseconds since 1970.
    pub(crate) created_at: i64,
    /// What its tokens are signed with, once: when it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) secret: Option<String>,
}

/// Embedding applications.
#[derive(Serialize, ToSchema)]
pub(crate) struct EmbedApps {
    /// The oldest first.
    pub(crate) apps: Vec<EmbedApp>,
}

/// An embedding application to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEmbedApp {
    /// What it is called.
    pub(crate) name: String,
    /// Whose pages may show it, such as `https://www.example.org`.
    pub(crate) origins: Vec<String>,
    /// `HS256`, `RS256` or `ES256`.
    pub(crate) algorithm: String,
    /// In PEM form, for `RS256` and `ES256`.
    pub(crate) public_key: Option<String>,
    /// Assistants of one's own that it offers.
    #[serde(default)]
    pub(crate) assistants: Vec<String>,
}

/// What of an embedding application is to be changed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedAppChange {
    /// Another name.
    pub(crate) name: Option<String>,
    /// Other origins, all of them.
    pub(crate) origins: Option<Vec<String>>,
    /// Other assistants, all of them.
    pub(crate) assistants: Option<Vec<String>>,
    /// Nobody comes through it, and who has come is out.
    pub(crate) disabled: Option<bool>,
    /// Another secret or public key; all sessions end.
    #[serde(default)]
    pub(crate) new_key: bool,
    /// With `new_key`: how it signs from now on.
    pub(crate) algorithm: Option<String>,
    /// With `new_key`: the public key.
    pub(crate) public_key: Option<String>,
}
