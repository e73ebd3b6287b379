//! Integration tests of the model crate.

#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod text_attacks;
mod text_chat;
mod text_data;
mod text_parity;
mod text_templates;
