//! OpenAI's API, mapped to [`crate::generate`]. Each part has its wire types in a file of their own;
//! a field that is not known is refused by its name.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod health;
mod logprobs;
pub(crate) mod models;
pub(crate) mod responses;
pub(crate) mod settings;
pub(crate) mod tokens;
pub(crate) mod wire;
