//! The web app's wire types, as `/openapi.json` describes them.

mod account;
mod chat;
mod embed;
mod kept;
mod knowledge;
mod models;
mod tools;

pub(crate) use account::*;
pub(crate) use chat::*;
pub(crate) use embed::*;
pub(crate) use kept::*;
pub(crate) use knowledge::*;
pub(crate) use models::*;
pub(crate) use tools::*;

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Nothing to tell but that it is done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Done {
    /// Always true.
    pub(crate) ok: bool,
}

/// Done.
pub(crate) const DONE: Done = Done { ok: true };

/// Tells a field that is null from one that is not there.
#[allow(clippy::option_option, reason = "absent, null, or a value")]
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::<T>::deserialize(deserializer).map(Some)
}
