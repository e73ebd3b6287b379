//! The verbs that look after models.

pub(crate) mod list;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod show;
