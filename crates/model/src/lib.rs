//! Model files, tokenizer, chat template, the decoder and the encoder. Token ids in, logits out, or
//! vectors; text only in [`tokenizer`] and [`template`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a failed test may panic"))]

pub mod adapter;
pub mod bundle;
pub mod checkpoint;
pub mod config;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod gguf;
pub mod mapped;
pub mod safetensors;
pub mod template;
mod tensors;
pub mod tokenizer;

pub use adapter::Adapter;
pub use checkpoint::{TensorSource, TensorView};
pub use config::Config;
pub use error::Error;

/// Result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;
