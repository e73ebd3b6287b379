//! Training data: from files as they are found to clean documents, token shards, and an index of every phrase.
//!
//! - [`config`]: what to prepare. `read`, `package`, `generate`: where documents come from.
//! - `clean`: what becomes of one document: `normalize`, `language`, [`quality`], `decontaminate`, `personal`.
//! - [`prepare`]: all of it in four passes: `gather`, `duplicates` (by `minhash`), [`shards`], [`tokens`].
//! - [`manifest`], [`prepared`]: what comes out, and reading it.
//! - [`index`], [`trace`]: where a phrase stands, and what of an answer does.
//!
//! Invariants: the result depends on configuration and files alone, not on threads or on where a run was killed.
//! Memory does not grow with what is read, but for two bits a document. What is read is hostile: it ends in a count
//! or in a [`DataError`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod clean;
pub mod config;
pub mod counts;
mod decontaminate;
pub mod document;
mod duplicates;
mod error;
mod gather;
mod generate;
pub mod index;
mod language;
pub mod manifest;
mod minhash;
mod normalize;
mod package;
mod parallel;
mod personal;
pub mod prepare;
pub mod prepared;
pub mod quality;
mod read;
pub mod shards;
mod spool;
#[doc(hidden)]
pub mod steps;
pub mod tokens;
pub mod trace;
mod words;

pub use error::{DataError, Result};
pub use package::fetch as fetch_package;
#[doc(hidden)]
pub use read::read_bytes;

/// Whether a path fits a pattern: `*` stands for any part of a name, `**` for any folders.
pub fn fits(pattern: &str, path: &str) -> bool {
    read::fits(pattern, path)
}
