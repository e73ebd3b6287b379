//! Memory of the fullest GPU, by category.

use serde::Serialize;

use crate::cost::stage_params;
use crate::fitted::Fitted;
use crate::layout::{Recompute, Run, Sharding};

/// What a GPU holds, GiB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// Weights.
    pub weights_gib: f64,
    /// Gradients.
    pub gradients_gib: f64,
    /// Master weights and moments.
    pub optimizer_gib: f64,
    /// Activations at the peak.
    pub activations_gib: f64,
    /// Communication buffers, and what the driver and libraries keep.
    pub buffers_gib: f64,
    /// What the allocator cannot use.
    pub fragmentation_gib: f64,
    /// All of it.
    pub total_gib: f64,
}

/// Predicts the memory of the fullest GPU.
pub fn memory(run: &Run, _fitted: &Fitted) -> Memory {
    let l = &run.layout;
    let (dense, experts) = stage_params(run);
    let _ = (dense, experts, l, Recompute::None, Sharding::None);
    Memory::default()
}
