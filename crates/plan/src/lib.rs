//! What a training run takes, before it is paid for: the layout over GPUs, memory, time, energy, money
//! and failures. Pure functions over tables: no files, no clock, no threads.
//!
//! [`cost`] predicts the time of one step of a [`Run`], [`memory`] what each GPU must hold. Both have a
//! handful of parameters ([`fitted`]) that were fitted to published measurements ([`fit`]) and are
//! checked by leaving out one source of measurements at a time ([`validate`]).

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod config;
pub mod cost;
pub mod emit;
pub mod error;
pub mod failure;
pub mod fit;
pub mod fitted;
pub mod gpu;
pub mod html;
pub mod law;
pub mod layout;
pub mod memory;
pub mod model;
pub mod pipeline;
pub mod plan;
pub mod request;
pub mod rows;
pub mod search;
pub mod serving;
pub mod text;
pub mod upkeep;
pub mod validate;

pub use cost::{StepTime, step_time};
pub use error::PlanError;
pub use fitted::Fitted;
pub use gpu::{Cluster, Gpu, Precision, find_gpu, gpus};
pub use layout::{Layout, Recompute, Run, Sharding, Software};
pub use model::{Model, find_model, models};
