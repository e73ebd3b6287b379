//! GPU kinds and clusters of them. Numbers are data sheets' (`tables/gpus.toml`); what software
//! reaches of them is in [`crate::fitted`].

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::cost::stragglers::Stragglers;
use crate::error::{PlanError, nearest};

/// Number format of the matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 16-bit products (bf16, or fp16 before it).
    Bf16,
    /// 8-bit products with one scale a tensor or row.
    Fp8,
    /// 8-bit products with block scales (also DeepSeek's blockwise form).
    Mxfp8,
    /// 4-bit products with block scales.
    Nvfp4,
}

impl Precision {
    /// The format of this name.
    pub fn parse(name: &str) -> Result<Self, PlanError> {
        let all = [Self::Bf16, Self::Fp8, Self::Mxfp8, Self::Nvfp4];
        let wanted = name.to_lowercase();
        all.into_iter()
            .find(|p| p.name() == wanted || wanted == "fp16" && *p == Self::Bf16)
            .ok_or_else(|| PlanError::Unknown {
                what: "precision",
                name: name.to_owned(),
                nearest: nearest(name, all.into_iter().map(Self::name)),
            })
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bf16 => "bf16",
            Self::Fp8 => "fp8",
            Self::Mxfp8 => "mxfp8",
            Self::Nvfp4 => "nvfp4",
        }
    }
}

/// The chip's family, which decides what attention kernels and data types there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// V100.
    Volta,
    /// A100.
    Ampere,
    /// H100, H200, H800.
    Hopper,
    /// B200, B300, GB200, GB300.
    Blackwell,
    /// MI300X.
    Cdna3,
}

fn one() -> f64 {
    1.0
}

/// One GPU kind, as its data sheet has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpu {
    /// Name in the tables.
    pub name: String,
    /// Other names for it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The chip's family.
    pub generation: Generation,
    /// Dense 16-bit peak, TFLOP/s.
    pub bf16_tflops: f64,
    /// Dense 8-bit peak, TFLOP/s.
    #[serde(default)]
    pub fp8_tflops: Option<f64>,
    /// Dense 4-bit peak, TFLOP/s.
    #[serde(default)]
    pub fp4_tflops: Option<f64>,
    /// Memory that a program can have, GiB.
    pub memory_gib: f64,
    /// Memory bandwidth, GB/s.
    pub memory_gbs: f64,
    /// Streaming multiprocessors (compute units).
    pub sms: u32,
    /// NVLink (Infinity Fabric) bandwidth of one GPU in one direction, GB/s.
    pub nvlink_gbs: f64,
    /// GPUs that reach each other by NVLink.
    pub nvlink_domain: u32,
    /// GPUs of a node.
    pub gpus_per_node: u32,
    /// Default network bandwidth of a node, Gb/s.
    pub node_gbps: f64,
    /// Power limit, W.
    pub watts: f64,
    /// A whole node's maximum power by its GPUs, W.
    pub node_watts: f64,
    /// Rent, USD an hour.
    pub usd_per_hour: f64,
    /// How much faster attention is than on others of the generation.
    #[serde(default = "one")]
    pub attention_factor: f64,
}

impl Gpu {
    /// Dense peak of products in `precision`, FLOP/s; `None` where the chip lacks the format.
    pub fn peak(&self, precision: Precision) -> Option<f64> {
        match precision {
            Precision::Bf16 => Some(self.bf16_tflops),
            Precision::Fp8 => self.fp8_tflops,
            Precision::Mxfp8 if self.generation == Generation::Blackwell => self.fp8_tflops,
            Precision::Mxfp8 => None,
            Precision::Nvfp4 => self.fp4_tflops,
        }
        .map(|t| t * 1e12)
    }
}

#[derive(Deserialize)]
struct Table {
    gpu: Vec<Gpu>,
}

/// All built-in GPU kinds.
pub fn gpus() -> &'static [Gpu] {
    static TABLE: OnceLock<Vec<Gpu>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let table: Table = toml::from_str(include_str!("../tables/gpus.toml"))
            .expect("the built-in table is sound");
        table.gpu
    })
}

/// The kind named `name`, whatever its case.
pub fn find_gpu(name: &str) -> Result<&'static Gpu, PlanError> {
    let wanted = name.trim().to_lowercase();
    gpus()
        .iter()
        .find(|g| g.name.to_lowercase() == wanted || g.aliases.contains(&wanted))
        .ok_or_else(|| PlanError::Unknown {
            what: "GPU kind",
            name: name.to_owned(),
            nearest: nearest(
                name,
                gpus()
                    .iter()
                    .map(|g| g.aliases.first().unwrap_or(&g.name).as_str()),
            ),
        })
}

/// A cluster of one GPU kind.
#[derive(Clone, Debug, Serialize)]
pub struct Cluster {
    /// The kind.
    pub gpu: Gpu,
    /// How many.
    pub gpus: u64,
    /// GPUs of a node.
    pub gpus_per_node: u32,
    /// GPUs that reach each other by NVLink.
    pub nvlink_domain: u32,
    /// Network bandwidth of a node, Gb/s.
    pub node_gbps: f64,
    /// GPUs under the network's lower tiers, among which it has the nodes' full bandwidth.
    pub pod_gpus: u64,
    /// Bandwidth of a pod's nodes by that of its links to the tier above: 1 without oversubscription.
    pub oversubscription: f64,
    /// Whether switches add up what passes (SHARP), so that sums cross the network once.
    pub sharp: bool,
    /// How its GPUs differ.
    pub stragglers: Stragglers,
}

/// GPUs under one leaf of a usual network of 8-GPU nodes: a `SuperPOD`'s scalable unit of 32 nodes.
pub const POD_GPUS: u64 = 256;

impl Cluster {
    /// `gpus` GPUs of a kind, with its usual node and network.
    pub fn of(gpu: &Gpu, gpus: u64) -> Self {
        Self {
            gpus,
            gpus_per_node: gpu.gpus_per_node,
            nvlink_domain: gpu.nvlink_domain,
            node_gbps: gpu.node_gbps,
            pod_gpus: POD_GPUS,
            oversubscription: 1.0,
            sharp: false,
            stragglers: Stragglers::default(),
            gpu: gpu.clone(),
        }
    }

    /// Network bandwidth of one GPU's share, bytes/s, one direction.
    pub fn network_per_gpu(&self) -> f64 {
        self.node_gbps * 1e9 / 8.0 / f64::from(self.gpus_per_node)
    }

    /// Nodes, rounded up.
    pub fn nodes(&self) -> u64 {
        self.gpus.div_ceil(u64::from(self.gpus_per_node.max(1)))
    }
}
