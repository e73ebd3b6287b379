//! The binary as a person meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod download;
mod hub;
mod models;
mod support;
mod usage;
