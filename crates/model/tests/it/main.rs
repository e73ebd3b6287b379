//! Tests of the public interface of `terang-model`, in one binary.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod adapters;
mod adapters_hostile;
mod bounds;
mod broken_weights;
mod config_gguf;
mod config_hostile;
mod config_hostile_parts;
mod config_models;
mod config_models_gemma_grok;
mod config_random;
mod encoder;
mod files_checkpoint;
mod files_fuzzed;
mod files_gguf;
mod files_mapped;
mod files_safetensors;
mod gguf_writer;
mod odd_shapes;
mod packed_cache;
mod parity;
mod text_attacks;
mod text_chat;
mod text_data;
mod text_parity;
mod text_templates;
