//! Requests in, token events out.
//!
//! [`Engine::submit`] takes a [`Request`] and gives a [`Generation`], an iterator of [`Event`]s
//! ([`Engine::submit_with`] gives them to a callback instead); that stream is the whole contract with
//! those who use the engine. ([`Encoder`] is apart: texts in, vectors out.) Inside, text is known to [`text`], [`stop`] and `constraint` alone: the
//! scheduler sees token ids, and the [`sampler`] sees logits.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod api;
mod constraint;
pub mod encoder;
pub mod engine;
pub mod error;
pub mod likelihood;
pub mod load;
mod logprob;
pub mod metrics;
pub mod perplexity;
mod prefix;
pub mod runner;
pub mod sampler;
mod scheduler;
mod speculate;
pub mod stop;
pub mod suite;
pub mod text;
mod validate;

pub use api::{Constraint, Event, FinishReason, Prompt, Request, Sampling, Stats, TokenLogprob};
pub use constraint::{GRAMMAR_BYTES_MAX, REGEX_BYTES_MAX};
pub use encoder::{Embedded, Encoder, is_encoder};
pub use engine::{CancelHandle, EmbedOptions, Engine, Generation, Limits};
pub use error::Error;
pub use load::{EngineOptions, LoadProgress};
pub use metrics::EngineLoad;
pub use speculate::Speculation;
pub use validate::{
    LOGIT_BIAS_MAX, LOGPROBS_MAX, STOP_BYTES_MAX, STOP_STRINGS_MAX, STOP_TOKENS_MAX,
};

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
