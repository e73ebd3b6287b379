//! Time of collectives between GPUs: rings inside NVLink's domain and over the network, by latency and
//! bandwidth.

use crate::fitted::Fitted;
use crate::gpu::Cluster;

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
        Self {
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
            let domains = (self.ranks / self.near).ceil();
            moved / self.nvlink.min(self.network)
                + self.far_latency * domains
                + self.near_latency * self.near
        } else {
            moved / self.nvlink + self.near_latency
        }
    }

    /// Seconds of adding up `bytes` over all ranks.
    pub fn all_reduce(&self, bytes: f64) -> f64 {
        2.0 * self.gather(bytes)
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
        let domains = (self.ranks / self.near).ceil();
        // A token that several experts of one domain want crosses the network once.
        let reached = domains * (1.0 - (1.0 - 1.0 / domains).powf(copies_per_token));
        let far = bytes * reached / copies_per_token * (domains - 1.0) / domains;
        far / (self.network / self.near) + self.far_latency * domains + near * 0.5
    }

    /// Seconds of sending `bytes` to the next rank.
    pub fn send(&self, bytes: f64) -> f64 {
        if self.ranks <= 1.0 {
            0.0
        } else if self.is_far() {
            bytes / self.nvlink.min(self.network / self.near) + self.far_latency
        } else {
            bytes / self.nvlink + self.near_latency
        }
    }
}
