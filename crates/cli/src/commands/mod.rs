//! The verbs that look after models and measure them.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod plan;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod serve;
pub(crate) mod show;
pub(crate) mod suite;
pub(crate) mod tokenizer;
pub(crate) mod train;
pub(crate) mod verify;
