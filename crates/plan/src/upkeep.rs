//! What failures cost a run in the mean: how often something breaks, how often to save, and which share
//! of the time is left for training. [`crate::failure`] plays the same through, event by event.

use serde::Serialize;

use crate::failure::{CORRUPT_S, Saving, Setting, rates, shares};
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
fn restart_s(asked: &Asked) -> f64 {
    let shares = shares(asked.upkeep.silent_share);
    rates()
        .cause
        .iter()
        .zip(shares)
        .map(|(c, share)| {
            share * (c.detect_s + c.restart_s + if c.silent { asked.upkeep.silent_s } else { 0.0 })
        })
        .sum()
}

/// How a run is kept going, as a request has it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Care {
    /// How states are saved.
    pub saving: Saving,
    /// Time between saves, s; the best where `None`.
    pub interval_s: Option<f64>,
    /// Whether training goes on with fewer replicas where no spare is left.
    pub elastic: bool,
    /// Share of failures that corrupt silently; the table's where `None`.
    pub silent_share: Option<f64>,
    /// Mean time until silent corruption shows, s.
    pub silent_s: f64,
    /// Storage that a node can write to or read from, GB/s.
    pub storage_gbs: f64,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            saving: Saving::Async,
            interval_s: None,
            elastic: true,
            silent_share: None,
            silent_s: CORRUPT_S,
            storage_gbs: STORAGE_GBS,
        }
    }
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
    let restart = restart_s(asked);
    let per_gpu = checkpoint_gb / best.run.layout.gpus() as f64;
    // What stops training: the copy to the host, or all of the writing.
    let cost = COPY_S
        + match asked.upkeep.saving {
            Saving::Async | Saving::Peer => per_gpu / COPY_GBS,
            Saving::Sync => transfer_s(asked, best, checkpoint_gb),
        };
    if per_s <= 0.0 {
        return Upkeep {
            mtbf_h: f64::MAX,
            failures: 0.0,
            checkpoint_gb,
            checkpoint_s: cost,
            interval_s: asked.upkeep.interval_s.unwrap_or(seconds.max(1.0)),
            restart_s: restart,
            goodput: asked.upkeep.interval_s.map_or(1.0, |i| i / (i + cost)),
        };
    }
    let mtbf = 1.0 / per_s;
    let interval = asked
        .upkeep
        .interval_s
        .unwrap_or_else(|| daly_interval(cost, mtbf));
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

/// Time to write all states to storage or read them from it, s.
fn transfer_s(asked: &Asked, best: &Candidate, checkpoint_gb: f64) -> f64 {
    let per_node = u64::from(asked.cluster.gpus_per_node.max(1));
    let nodes = best.run.layout.gpus().div_ceil(per_node);
    checkpoint_gb / (nodes as f64 * asked.upkeep.storage_gbs)
}

/// Storage that a node can write to or read from beside training where nothing else is said, GB/s.
const STORAGE_GBS: f64 = 5.0;
/// Starting processes and connecting them, besides loading, s.
const START_S: f64 = 20.0;

/// The run as the simulation plays it.
pub fn setting(asked: &Asked, best: &Candidate, u: &Upkeep, seconds: f64) -> Setting {
    let per_node = u64::from(asked.cluster.gpus_per_node.max(1));
    let nodes = best.run.layout.gpus().div_ceil(per_node);
    let idle = (asked.cluster.gpus - best.run.layout.gpus()) / per_node;
    let care = &asked.upkeep;
    let transfer = transfer_s(asked, best, u.checkpoint_gb);
    Setting {
        nodes,
        spares: asked.spares.unwrap_or(idle),
        gpus_per_node: asked.cluster.gpus_per_node.max(1),
        work_s: seconds,
        per_1000_node_days: asked.failures,
        uncertain_rate: true,
        saving: care.saving,
        stop_s: u.checkpoint_s,
        // What stopped training until all was written is safe at once.
        write_s: if care.saving == Saving::Sync {
            0.0
        } else {
            transfer
        },
        load_s: transfer + START_S,
        interval_s: care.interval_s,
        replicas: if care.elastic { best.run.layout.dp } else { 1 },
        silent_share: care.silent_share,
        silent_s: care.silent_s,
    }
}
