//! What a person asks for: a request in words and numbers with units, read into checked values.

mod words;

use serde::Deserialize;

use crate::cost::stragglers::Stragglers;
use crate::error::PlanError;
use crate::failure::Saving;
use crate::gpu::{Cluster, Precision, find_gpu};
use crate::layout::{Recompute, Sharding};
use crate::model::{Model, find_model};
use crate::upkeep::Care;

pub use words::{parse_bandwidth, parse_count};
use words::{value, within};

/// A plan's input as a file or flags give it; everything has a default but the model and the tokens.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// GPU kind.
    pub gpu: Option<String>,
    /// How many.
    pub gpus: Option<Text>,
    /// Name of a built-in model.
    pub model: Option<String>,
    /// An architecture of one's own, by Hugging Face's names.
    pub architecture: Option<Model>,
    /// Parameters of a Llama-like family, where nothing else is known: `70B`.
    pub params: Option<Text>,
    /// Training tokens: `10T`; `optimal` for 20 a parameter.
    pub tokens: Option<Text>,
    /// Tokens of a sequence.
    pub seq: Option<u64>,
    /// Sequences of a step.
    pub global_batch: Option<u64>,
    /// Format of the products.
    pub precision: Option<Precision>,
    /// Pins: `tp=8,pp=16`.
    pub fix: Option<String>,
    /// GPUs of a node.
    pub gpus_per_node: Option<u32>,
    /// GPUs of an NVLink domain.
    pub nvlink_domain: Option<u32>,
    /// Network bandwidth of a node, with its unit: `400Gb` or `50GB` a second.
    pub network: Option<String>,
    /// Bandwidth of a pod's nodes by that of its links to the tier above.
    pub oversubscription: Option<f64>,
    /// Rent of a GPU, USD an hour.
    pub price: Option<f64>,
    /// Power usage effectiveness of the building.
    pub pue: Option<f64>,
    /// Carbon of the electricity, g CO2 a kWh.
    pub carbon: Option<f64>,
    /// Load of the busiest expert's rank by the mean.
    pub imbalance: Option<f64>,
    /// Failures, by 1,000 node-days.
    pub failures: Option<f64>,
    /// Nodes kept ready to replace failed ones.
    pub spares: Option<u64>,
    /// How states are saved: `sync`, `async` or `peer`.
    pub checkpoint: Option<String>,
    /// Seconds between saves; the best where not given.
    pub checkpoint_every: Option<f64>,
    /// Storage bandwidth of a node, with its unit.
    pub storage: Option<String>,
    /// Whether training goes on with fewer replicas where no spare is left.
    pub elastic: Option<bool>,
    /// Share of failures that corrupt silently.
    pub silent_share: Option<f64>,
    /// Hours until silent corruption shows, in the mean.
    pub silent_hours: Option<f64>,
    /// GPUs under the network's lower tiers.
    pub pod_gpus: Option<u64>,
    /// Whether switches add up what passes.
    pub sharp: Option<bool>,
    /// Standard deviation of a GPU's time by its mean.
    pub straggler_spread: Option<f64>,
    /// Share of GPUs that are slow by a tenth.
    pub slow_share: Option<f64>,
}

/// A number, or text such as `10T`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Text {
    /// A whole number.
    Whole(u64),
    /// Any number.
    Number(f64),
    /// Text with a suffix.
    Words(String),
}

impl From<&str> for Text {
    fn from(words: &str) -> Self {
        Self::Words(words.to_owned())
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(n) => n.fmt(f),
            Self::Number(n) => n.fmt(f),
            Self::Words(w) => w.fmt(f),
        }
    }
}

/// What a request comes to.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The model.
    pub model: Model,
    /// The GPUs.
    pub cluster: Cluster,
    /// Training tokens.
    pub tokens: f64,
    /// Tokens of a sequence.
    pub seq: u64,
    /// Sequences of a step.
    pub global_batch: u64,
    /// Whether a layout may change that by up to a quarter so that it comes out even.
    pub batch_is_free: bool,
    /// Format of the products.
    pub precision: Precision,
    /// Pins.
    pub pins: Pins,
    /// USD a GPU-hour.
    pub price: f64,
    /// Power usage effectiveness.
    pub pue: f64,
    /// g CO2 a kWh.
    pub carbon: f64,
    /// Load of the busiest expert's rank by the mean.
    pub imbalance: f64,
    /// Failures by 1,000 node-days.
    pub failures: f64,
    /// Spare nodes; by the plan where `None`.
    pub spares: Option<u64>,
    /// Checkpoints and failures.
    pub upkeep: Care,
}

/// Parts of a layout that are given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pins {
    /// Tensor-parallel ranks.
    pub tp: Option<u64>,
    /// Pipeline stages.
    pub pp: Option<u64>,
    /// Chunks of a stage.
    pub vpp: Option<u64>,
    /// Data-parallel ranks.
    pub dp: Option<u64>,
    /// Context-parallel ranks.
    pub cp: Option<u64>,
    /// Expert-parallel ranks.
    pub ep: Option<u64>,
    /// Sequences of a micro-batch.
    pub micro_batch: Option<u64>,
    /// What data-parallel ranks share.
    pub sharding: Option<Sharding>,
    /// What is computed again.
    pub recompute: Option<Recompute>,
}

/// Carbon of the world's electricity, g CO2 a kWh (Ember's review of 2024).
const WORLD_CARBON: f64 = 473.0;

impl Pins {
    /// Reads `tp=8,pp=16,recompute=full`.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        const KEYS: [&str; 9] = [
            "tp",
            "pp",
            "vpp",
            "dp",
            "cp",
            "ep",
            "micro_batch",
            "sharding",
            "recompute",
        ];
        let mut pins = Self::default();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, word) = part
                .split_once('=')
                .ok_or_else(|| value("fix", &part, "must be NAME=VALUE, such as tp=8"))?;
            let (key, word) = (key.trim(), word.trim());
            if !KEYS.contains(&key) {
                return Err(PlanError::Unknown {
                    what: "part of a layout",
                    name: key.to_owned(),
                    nearest: crate::error::nearest(key, KEYS.into_iter()),
                });
            }
            let count = || match word.parse::<u64>() {
                Ok(n) if (1..=1 << 20).contains(&n) => Ok(Some(n)),
                _ => Err(value(key, &word, "must be a whole number from 1")),
            };
            match key {
                "tp" => pins.tp = count()?,
                "pp" => pins.pp = count()?,
                "vpp" => pins.vpp = count()?,
                "dp" => pins.dp = count()?,
                "cp" => pins.cp = count()?,
                "ep" => pins.ep = count()?,
                "micro_batch" => pins.micro_batch = count()?,
                "sharding" => {
                    pins.sharding = Some(match word {
                        "none" => Sharding::None,
                        "zero1" => Sharding::Zero1,
                        "zero2" => Sharding::Zero2,
                        "zero3" | "fsdp" => Sharding::Zero3,
                        "hsdp" => Sharding::Hsdp,
                        _ => {
                            return Err(value(
                                key,
                                &word,
                                "one of none, zero1, zero2, zero3, hsdp",
                            ));
                        }
                    });
                }
                _ => {
                    pins.recompute = Some(match word {
                        "none" => Recompute::None,
                        "selective" => Recompute::Selective,
                        "full" => Recompute::Full,
                        _ => return Err(value(key, &word, "one of none, selective, full")),
                    });
                }
            }
        }
        Ok(pins)
    }
}

impl Request {
    /// Reads a TOML file's text; `path` is for the error.
    pub fn parse(text: &str, path: &str) -> Result<Self, PlanError> {
        toml::from_str(text).map_err(|e| PlanError::Form {
            path: path.to_owned(),
            reason: e
                .to_string()
                .lines()
                .last()
                .unwrap_or("not TOML")
                .trim()
                .to_owned(),
        })
    }

    /// This request with what `over` gives in its place.
    #[must_use]
    pub fn with(self, over: Self) -> Self {
        Self {
            gpu: over.gpu.or(self.gpu),
            gpus: over.gpus.or(self.gpus),
            model: over.model.or(self.model),
            architecture: over.architecture.or(self.architecture),
            params: over.params.or(self.params),
            tokens: over.tokens.or(self.tokens),
            seq: over.seq.or(self.seq),
            global_batch: over.global_batch.or(self.global_batch),
            precision: over.precision.or(self.precision),
            fix: over.fix.or(self.fix),
            gpus_per_node: over.gpus_per_node.or(self.gpus_per_node),
            nvlink_domain: over.nvlink_domain.or(self.nvlink_domain),
            network: over.network.or(self.network),
            oversubscription: over.oversubscription.or(self.oversubscription),
            price: over.price.or(self.price),
            pue: over.pue.or(self.pue),
            carbon: over.carbon.or(self.carbon),
            imbalance: over.imbalance.or(self.imbalance),
            failures: over.failures.or(self.failures),
            spares: over.spares.or(self.spares),
            checkpoint: over.checkpoint.or(self.checkpoint),
            checkpoint_every: over.checkpoint_every.or(self.checkpoint_every),
            storage: over.storage.or(self.storage),
            elastic: over.elastic.or(self.elastic),
            silent_share: over.silent_share.or(self.silent_share),
            silent_hours: over.silent_hours.or(self.silent_hours),
            pod_gpus: over.pod_gpus.or(self.pod_gpus),
            sharp: over.sharp.or(self.sharp),
            straggler_spread: over.straggler_spread.or(self.straggler_spread),
            slow_share: over.slow_share.or(self.slow_share),
        }
    }

    fn model(&self) -> Result<Model, PlanError> {
        let model = if let Some(m) = &self.architecture {
            m.clone()
        } else if let Some(name) = &self.model {
            find_model(name)?.clone()
        } else if let Some(params) = &self.params {
            family(parse_count("params", &params.to_string())?)?
        } else {
            return Err(value(
                "model",
                &"not given",
                "name one, such as --model llama3-70b",
            ));
        };
        model.check()?;
        Ok(model)
    }

    /// Checkpoints and failures.
    fn care(&self) -> Result<Care, PlanError> {
        let usual = Care::default();
        let every = self
            .checkpoint_every
            .map(|s| within("checkpoint_every", Some(s), s, 1.0, 1e7))
            .transpose()?;
        let share = self
            .silent_share
            .map(|s| within("silent_share", Some(s), s, 0.0, 1.0))
            .transpose()?;
        let storage = match &self.storage {
            Some(words) => parse_bandwidth("storage", words)? / 8.0,
            None => usual.storage_gbs,
        };
        Ok(Care {
            saving: match &self.checkpoint {
                Some(name) => Saving::parse(name)?,
                None => usual.saving,
            },
            interval_s: every,
            elastic: self.elastic.unwrap_or(usual.elastic),
            silent_share: share,
            silent_s: 3600.0
                * within(
                    "silent_hours",
                    self.silent_hours,
                    usual.silent_s / 3600.0,
                    0.0,
                    1e4,
                )?,
            storage_gbs: storage,
        })
    }

    /// Checks everything.
    pub fn resolve(&self) -> Result<Asked, PlanError> {
        let model = self.model()?;
        let gpu = find_gpu(self.gpu.as_deref().unwrap_or("h100"))?;
        let gpus = match &self.gpus {
            Some(t) => parse_count("gpus", &t.to_string())?,
            None => 8.0,
        };
        if gpus.fract() != 0.0 || !(1.0..=2e6).contains(&gpus) {
            return Err(value(
                "gpus",
                &gpus,
                "must be a whole number from 1 to 2000000",
            ));
        }
        let mut cluster = Cluster::of(gpu, gpus as u64);
        if let Some(n) = self.gpus_per_node {
            if !(1..=1024).contains(&n) {
                return Err(value("gpus_per_node", &n, "must be 1 to 1024"));
            }
            cluster.gpus_per_node = n;
            cluster.nvlink_domain = cluster.nvlink_domain.min(n).max(1);
        }
        if let Some(n) = self.nvlink_domain {
            if !(1..=1024).contains(&n) {
                return Err(value("nvlink_domain", &n, "must be 1 to 1024"));
            }
            cluster.nvlink_domain = n;
        }
        if let Some(words) = &self.network {
            cluster.node_gbps = parse_bandwidth("network", words)?;
        }
        cluster.oversubscription =
            within("oversubscription", self.oversubscription, 1.0, 1.0, 1000.0)?;
        cluster.pod_gpus = self.pod_gpus.unwrap_or(cluster.pod_gpus);
        if !(1..=2_000_000).contains(&cluster.pod_gpus) {
            return Err(value("pod_gpus", &cluster.pod_gpus, "must be 1 to 2000000"));
        }
        cluster.sharp = self.sharp.unwrap_or(false);
        cluster.stragglers = Stragglers {
            spread: self
                .straggler_spread
                .map(|s| within("straggler_spread", Some(s), s, 0.0, 0.5))
                .transpose()?,
            slow_share: within("slow_share", self.slow_share, 0.0, 0.0, 1.0)?,
        };
        let seq = self.seq.unwrap_or(model.seq_len);
        if !(1..=1 << 24).contains(&seq) {
            return Err(value("seq", &seq, "must be 1 to 16777216"));
        }
        let tokens = match self.tokens.as_ref().map(ToString::to_string) {
            None => {
                return Err(value(
                    "tokens",
                    &"not given",
                    "say how many, such as --tokens 10T, or optimal",
                ));
            }
            // Hoffmann et al. 2022: about 20 tokens for each parameter that works.
            Some(w) if w == "optimal" => 20.0 * model.active_params(),
            Some(w) => parse_count("tokens", &w)?,
        };
        let global_batch = self
            .global_batch
            .unwrap_or_else(|| usual_batch(tokens, seq));
        if !(1..=1 << 24).contains(&global_batch) {
            return Err(value(
                "global_batch",
                &global_batch,
                "must be 1 to 16777216",
            ));
        }
        let precision = self.precision.unwrap_or(Precision::Bf16);
        if gpu.peak(precision).is_none() {
            return Err(PlanError::Contradiction {
                reason: format!(
                    "{} has no {} products: choose another precision or GPU",
                    gpu.name,
                    precision.name()
                ),
            });
        }
        Ok(Asked {
            pins: Pins::parse(self.fix.as_deref().unwrap_or(""))?,
            price: within("price", self.price, gpu.usd_per_hour, 0.0, 10_000.0)?,
            pue: within("pue", self.pue, 1.1, 1.0, 5.0)?,
            carbon: within("carbon", self.carbon, WORLD_CARBON, 0.0, 5000.0)?,
            imbalance: within("imbalance", self.imbalance, 1.05, 1.0, 100.0)?,
            failures: within(
                "failures",
                self.failures,
                crate::failure::rates().per_1000_node_days,
                0.0,
                1e5,
            )?,
            spares: self.spares,
            upkeep: self.care()?,
            model,
            cluster,
            tokens,
            seq,
            batch_is_free: self.global_batch.is_none(),
            global_batch,
            precision,
        })
    }
}

/// Sequences of a step that runs of this length have used: 16 million tokens at 15 trillion (Llama 3),
/// and with the square root of the training tokens, as the critical batch grows (Zhang et al. 2024).
pub fn usual_batch(tokens: f64, seq: u64) -> u64 {
    let batch = 1.68e7 * (tokens / 1.5e13).sqrt();
    let sequences = (batch.clamp(2.5e5, 6.4e7) / seq as f64).max(1.0);
    1 << (sequences.log2().round() as u32).min(24)
}

/// A Llama-like model of about `params` parameters: 128-wide heads, 8 key-value heads, and depth by
/// width as Llama 3's sizes have it.
fn family(params: f64) -> Result<Model, PlanError> {
    if !(1e7..=1e14).contains(&params) {
        return Err(value("params", &params, "must be 10M to 100T"));
    }
    let with = |hidden: u64| Model {
        name: format!("llama-like {:.3}B", params / 1e9),
        hidden_size: hidden,
        num_hidden_layers: (hidden as f64 / 110.0).clamp(4.0, 256.0).round() as u64,
        num_attention_heads: (hidden / 128).max(1),
        num_key_value_heads: (hidden / 128).clamp(1, 8),
        head_dim: 128,
        intermediate_size: (hidden as f64 * 3.5 / 256.0).round() as u64 * 256,
        ..crate::model::models()[0].clone()
    };
    let with = |hidden: u64| Model {
        gated: true,
        tied: false,
        vocab_size: 128_256,
        seq_len: 8192,
        ..with(hidden)
    };
    (1..=1024)
        .map(|i| with(i * 128))
        .min_by(|a, b| {
            (a.params() - params)
                .abs()
                .total_cmp(&(b.params() - params).abs())
        })
        .ok_or_else(|| value("params", &params, "no model of that size"))
}
