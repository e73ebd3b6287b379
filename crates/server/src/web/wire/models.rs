//! Models, as administrators see them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model that is here or could be.
#[derive(Debug, Serialize, ToSchema)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts about a model"
)]
pub(crate) struct AdminModel {
    /// Its name.
    pub(crate) id: String,
    /// Its name as its publisher writes it.
    pub(crate) title: String,
    /// `generate` or `embed`.
    pub(crate) task: &'static str,
    /// Its licence, where it is known.
    pub(crate) licence: Option<String>,
    /// Codes of its languages.
    pub(crate) languages: Vec<String>,
    /// Count of its parameters, where it is known.
    pub(crate) parameters: Option<String>,
    /// Bytes to fetch.
    pub(crate) bytes: u64,
    /// Bytes on the disk.
    pub(crate) bytes_here: u64,
    /// `installed`, `partial` or `available`.
    pub(crate) state: &'static str,
    /// The server has it on offer.
    pub(crate) served: bool,
    /// It is in memory.
    pub(crate) loaded: bool,
    /// It, or what has arrived of it, can be removed.
    pub(crate) removable: bool,
    /// It can be fetched.
    pub(crate) fetchable: bool,
}

/// The models, and what goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdminModels {
    /// The models.
    pub(crate) models: Vec<AdminModel>,
    /// What is being fetched.
    pub(crate) fetching: Option<FetchRunning>,
    /// The fetch that ended last, since the server started.
    pub(crate) last: Option<FetchEnded>,
}

/// A fetch that goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FetchRunning {
    /// The model.
    pub(crate) model: String,
    /// Bytes that have arrived.
    pub(crate) bytes_done: u64,
    /// Of so many.
    pub(crate) bytes: u64,
}

/// A fetch that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FetchEnded {
    /// The model.
    pub(crate) model: String,
    /// `done`, `stopped`, `no_space`, `no_source` or `failed`.
    pub(crate) outcome: &'static str,
    /// When.
    pub(crate) at: i64,
}

/// Which model to fetch.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fetch {
    /// Its name.
    pub(crate) model: String,
}
