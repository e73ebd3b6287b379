//! Time of collectives between GPUs: rings and trees inside NVLink's domain and over the network, by
//! latency and bandwidth.
//!
//! The network has two tiers: within a pod every GPU has its whole share of its node's bandwidth, above
//! it an oversubscribed tier divides that. A ring whose ranks lie in order leaves a pod once, so that it
//! only feels the upper tier where so many rings leave together that they fill it.

use super::kernel::smooth_max;
use crate::fitted::Fitted;
use crate::gpu::Cluster;

/// Share of the bandwidth that a tree reaches by a ring's: its two halves share links (Sanders et al.
/// 2009, as NCCL runs them).
const TREE: f64 = 0.9;

/// A group of ranks that communicate: how many, and how they lie on nodes.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Ranks.
    pub ranks: f64,
    /// Of them in one NVLink domain.
    pub near: f64,
    /// Bytes/s between ranks of one domain, one direction.
    nvlink: f64,
    /// Bytes/s of network that the ranks of one domain have together.
    network: f64,
    /// Share of that which is left where ranks lie in more than one pod: of rings and sends.
    upper: f64,
    /// The same of an all-to-all, in which most bytes leave a pod.
    upper_all: f64,
    /// Whether switches add up.
    sharp: bool,
    /// Latency of a step inside a domain, s.
    near_latency: f64,
    /// Latency of a step over the network, s.
    far_latency: f64,
}

impl Group {
    /// `ranks` ranks that lie `stride` GPUs apart.
    pub fn new(cluster: &Cluster, fitted: &Fitted, ranks: u64, stride: u64) -> Self {
        let domain = u64::from(cluster.nvlink_domain.max(1));
        let near = (domain / stride.max(1)).clamp(1, ranks.max(1));
        let (pod, over) = (
            cluster.pod_gpus.max(1) as f64,
            cluster.oversubscription.max(1.0),
        );
        let span = ranks as f64 * stride as f64;
        let (upper, upper_all) = if span > pod {
            (
                // As many rings leave a pod as groups lie in it, one for each GPU of a stride.
                (pod / (stride as f64 * over)).clamp(1.0 / over, 1.0),
                (1.0 / (over * (1.0 - pod / span))).min(1.0),
            )
        } else {
            (1.0, 1.0)
        };
        Self {
            upper,
            upper_all,
            sharp: cluster.sharp,
            ranks: ranks as f64,
            near: near as f64,
            nvlink: cluster.gpu.nvlink_gbs * 1e9 * fitted.nvlink,
            network: cluster.network_per_gpu() * near as f64 * fitted.network,
            near_latency: fitted.nvlink_latency_us * 1e-6,
            far_latency: fitted.network_latency_us * 1e-6,
        }
    }

    /// Whether the group leaves its NVLink domain.
    pub fn is_far(&self) -> bool {
        self.near < self.ranks
    }

    /// Seconds of gathering (or of reducing and scattering) `bytes`, counted whole: a ring, whose
    /// slowest link is NVLink or what the domain's ranks have of the network.
    pub fn gather(&self, bytes: f64) -> f64 {
        if self.ranks <= 1.0 {
            return 0.0;
        }
        let moved = bytes * (self.ranks - 1.0) / self.ranks;
        if self.is_far() {
            let domains = self.domains();
            moved / self.nvlink.min(self.network * self.upper)
                + self.far_latency * domains
                + self.near_latency * self.near
        } else {
            moved / self.nvlink + self.near_latency
        }
    }

    /// Seconds of adding up `bytes` over all ranks: a ring, which is scattering and gathering; over the
    /// network a tree where its fewer steps gain more than its bandwidth loses; or switches that add up.
    pub fn all_reduce(&self, bytes: f64) -> f64 {
        let ring = 2.0 * self.gather(bytes);
        if !self.is_far() {
            return ring;
        }
        let steps = self.domains().log2().ceil().max(1.0) * self.far_latency
            + self.near_latency * self.near;
        let slowest = self.nvlink.min(self.network * self.upper);
        let tree = 2.0 * (bytes / (TREE * slowest) + steps);
        if !self.sharp {
            return ring.min(tree);
        }
        // Each domain sends its sum up once while the whole one comes down; inside a domain it is
        // scattered and gathered as before.
        let inside = 2.0 * bytes * (self.near - 1.0) / self.near / self.nvlink;
        let switches = smooth_max(bytes / (self.network * self.upper), inside) + 2.0 * steps;
        ring.min(tree).min(switches)
    }

    /// NVLink domains that the group lies in.
    fn domains(&self) -> f64 {
        (self.ranks / self.near).ceil()
    }

    /// Seconds of an all-to-all in which each rank sends `bytes`, of which each of the other domains
    /// gets its share once (`copies` is how many of a token's copies must cross, by the domains).
    pub fn all_to_all(&self, bytes: f64, copies_per_token: f64) -> f64 {
        if self.ranks <= 1.0 {
            return 0.0;
        }
        let near = bytes * (self.ranks - 1.0) / self.ranks / self.nvlink + self.near_latency * 2.0;
        if !self.is_far() {
            return near;
        }
        let domains = self.domains();
        // A token that several experts of one domain want crosses the network once.
        let reached = domains * (1.0 - (1.0 - 1.0 / domains).powf(copies_per_token));
        let far = bytes * reached / copies_per_token * (domains - 1.0) / domains;
        far / (self.network * self.upper_all / self.near) + self.far_latency * domains + near * 0.5
    }

    /// Seconds of sending `bytes` to the next rank.
    pub fn send(&self, bytes: f64) -> f64 {
        if self.ranks <= 1.0 {
            0.0
        } else if self.is_far() {
            bytes / self.nvlink.min(self.network * self.upper / self.near) + self.far_latency
        } else {
            bytes / self.nvlink + self.near_latency
        }
    }
}
