//! Tests of the public interface of `terang-model`, in one binary.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod bounds;
mod files_checkpoint;
mod files_fuzzed;
mod files_gguf;
mod files_mapped;
mod files_safetensors;
mod gguf_writer;
mod parity;
mod text_attacks;
mod text_chat;
mod text_data;
mod text_parity;
mod text_templates;
