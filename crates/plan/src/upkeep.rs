//! What failures cost a run in the mean: how often something breaks, how often to save, and which share
//! of the time is left for training. [`crate::failure`] plays the same through, event by event.

use serde::Serialize;

use crate::failure::{CORRUPT_S, Saving, Setting, rates};
use crate::request::Asked;
use crate::search::Candidate;

/// Failures and checkpoints of a run.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Upkeep {
    /// Hours between failures of the whole run.
    pub mtbf_h: f64,
    /// Failures over the whole run.
    pub failures: f64,
    /// Size of a checkpoint, GB.
    pub checkpoint_gb: f64,
    /// Time that a checkpoint stops training, s.
    pub checkpoint_s: f64,
    /// Best time between checkpoints, s (Daly 2006).
    pub interval_s: f64,
    /// Detecting a failure, replacing the node, starting and loading, s.
    pub restart_s: f64,
    /// Share of the time that is training which is kept.
    pub goodput: f64,
}

/// Detection, restart and work spoilt unnoticed, in the mean over the causes of failure, s.
fn restart_s() -> f64 {
    rates()
        .cause
        .iter()
        .map(|c| c.share * (c.detect_s + c.restart_s + if c.silent { CORRUPT_S } else { 0.0 }))
        .sum()
}

/// Time that copying the states to the host's memory stops training; the rest is written beside it. At
/// 25 GB/s a GPU over PCIe, with the barrier.
pub const COPY_GBS: f64 = 25.0;
/// Barrier and bookkeeping of a checkpoint, s.
pub const COPY_S: f64 = 2.0;

/// Daly's best interval between checkpoints of `cost` seconds where failures come every `mtbf` seconds.
pub fn daly_interval(cost: f64, mtbf: f64) -> f64 {
    if cost >= 2.0 * mtbf {
        return mtbf;
    }
    let r = cost / (2.0 * mtbf);
    ((2.0 * cost * mtbf).sqrt() * (1.0 + r.sqrt() / 3.0 + r / 9.0) - cost).max(1.0)
}

/// Failures of a run of `seconds`.
pub fn upkeep(asked: &Asked, best: &Candidate, seconds: f64) -> Upkeep {
    // A node of other than eight GPUs breaks as its GPUs do.
    let eights = asked.cluster.gpus as f64 / 8.0;
    let per_s = asked.failures / 1000.0 * eights / 86_400.0;
    let params = asked.model.params();
    // Weights in 16 bit and Adam's states in 32.
    let checkpoint_gb = params * 14.0 / 1e9;
    let restart = restart_s();
    let per_gpu = checkpoint_gb / best.run.layout.gpus() as f64;
    let cost = COPY_S + per_gpu / COPY_GBS;
    if per_s <= 0.0 {
        return Upkeep {
            mtbf_h: f64::MAX,
            failures: 0.0,
            checkpoint_gb,
            checkpoint_s: cost,
            interval_s: seconds.max(1.0),
            restart_s: restart,
            goodput: 1.0,
        };
    }
    let mtbf = 1.0 / per_s;
    let interval = daly_interval(cost, mtbf);
    // Of each second kept: the checkpoints, and for each failure the restart and half an interval.
    let overhead = cost / interval + (restart + interval / 2.0) / mtbf;
    let goodput = (1.0 / (1.0 + overhead)).clamp(0.01, 1.0);
    Upkeep {
        mtbf_h: mtbf / 3600.0,
        failures: seconds / goodput * per_s,
        checkpoint_gb,
        checkpoint_s: cost,
        interval_s: interval,
        restart_s: restart,
        goodput,
    }
}

/// Storage that a node can write to or read from beside training, GB/s.
const STORAGE_GBS: f64 = 5.0;
/// Starting processes and connecting them, besides loading, s.
const START_S: f64 = 20.0;

/// The run as the simulation plays it, with asynchronous saves.
pub fn setting(asked: &Asked, best: &Candidate, u: &Upkeep, seconds: f64) -> Setting {
    let per_node = u64::from(asked.cluster.gpus_per_node.max(1));
    let nodes = best.run.layout.gpus().div_ceil(per_node);
    let idle = (asked.cluster.gpus - best.run.layout.gpus()) / per_node;
    let transfer = u.checkpoint_gb / (nodes as f64 * STORAGE_GBS);
    Setting {
        nodes,
        spares: asked.spares.unwrap_or(idle),
        gpus_per_node: asked.cluster.gpus_per_node.max(1),
        work_s: seconds,
        per_1000_node_days: asked.failures,
        uncertain_rate: true,
        saving: Saving::Async,
        stop_s: u.checkpoint_s,
        write_s: transfer,
        load_s: transfer + START_S,
        interval_s: None,
        replicas: best.run.layout.dp,
    }
}
