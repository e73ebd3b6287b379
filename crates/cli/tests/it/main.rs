//! The binary as a person meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod archive;
#[cfg(unix)]
mod at_home;
mod bench;
#[cfg(unix)]
mod conversation;
mod data;
mod doctor;
#[cfg(unix)]
mod documents;
mod download;
mod hub;
mod models;
mod plan;
mod real;
mod refused;
#[cfg(unix)]
mod serve;
mod support;
#[cfg(unix)]
mod terminal;
mod tokenizers;
mod training;
mod usage;
