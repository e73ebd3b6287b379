//! Requests in, token events out.
//!
//! [`Engine::submit`] takes a [`Request`] and gives a [`Generation`], an iterator of [`Event`]s;
//! that stream is the whole contract with those who use the engine. Inside, text is known to
//! [`text`] and [`stop`] alone: the scheduler sees token ids, and the [`sampler`] sees logits.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod api;
pub mod engine;
pub mod error;
pub mod load;
pub mod perplexity;
mod prefix;
pub mod runner;
pub mod sampler;
mod scheduler;
mod speculate;
pub mod stop;
pub mod text;
mod validate;

pub use api::{Event, FinishReason, Prompt, Request, Sampling, Stats};
pub use engine::{CancelHandle, Engine, Generation, Limits};
pub use error::Error;
pub use load::{EngineOptions, LoadProgress};
pub use speculate::Speculation;
pub use validate::{LOGIT_BIAS_MAX, STOP_BYTES_MAX, STOP_STRINGS_MAX};

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
