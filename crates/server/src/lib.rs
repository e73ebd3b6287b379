//! The HTTP server: OpenAI's API over the engine and the web app, for many people and programs at
//! once.
//!
//! - [`config`]: settings from a file, the environment and flags.
//! - `http`: connections and their limits, the gate that every request passes, bodies, events.
//! - `openai`: the API's parts, each a mapping of its wire types to `generate`.
//! - `anthropic`: Anthropic's API, another such mapping.
//! - `web`: the web app, and its API over what people keep.
//! - [`backup`]: a copy of what people keep, and back.
//! - `generate`: an order in, a stream of outputs out; the only place that talks to the engine.
//! - [`depot`]: models that an administrator fetches and removes.
//! - `toolcall`: how families of models write calls of tools; pure functions of text.
//! - [`tls`]: the certificate that connections are offered. `notify`: what a service manager is told.
//! - [`usage`]: what each key has used, on disk.
//! - `telemetry`: traces and metrics for a collector. `outgoing`: how others are asked.
//! - [`keys`], `models`, `metrics`, `reference`: who may ask, what is served, figures, the API's own
//!   description.
//!
//! Invariants: the server sees no tensor and names no model family; what a client can make grow has
//! a limit; nothing that is logged holds a prompt, an answer or a key.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod anthropic;
mod app;
pub mod backup;
pub mod config;
pub mod depot;
mod error;
mod generate;
mod http;
pub mod keys;
pub mod log;
mod metrics;
mod models;
mod notify;
mod openai;
mod outgoing;
mod reference;
mod server;
mod telemetry;
pub mod tls;
mod toolcall;
pub mod usage;
mod web;

pub use config::{Config, ConfigError};
pub use depot::{Depot, DepotError, FetchWatch, Stocked};
pub use models::{AdapterSource, ModelSource, Task};
pub use reference::openapi;
pub use server::{Options, ServeError, run};
pub use telemetry::{TelemetryError, TelemetrySettings};
