//! The engine from outside, on a small runner and tokenizer of the tests' own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapters;
mod constraints;
mod decoder;
mod draft;
mod encoder;
mod engine;
mod likelihood;
mod real_model;
mod requests;
mod schedule;
mod schema_sample;
mod scores;
mod support;
mod tidy;
