//! What serving a model takes: the tensor-parallel degree, replicas, memory for keys and values, and the
//! cost of a million tokens, within targets of latency.
//!
//! A replica batches continuously. A decode step reads the weights that its batch touches and each
//! sequence's keys and values, and computes; a prompt computes. Rates of kernels are those of training
//! ([`crate::cost::kernel`]).

use serde::Serialize;

use crate::cost::comm::Group;
use crate::cost::kernel::{Kernels, smooth_max};
use crate::error::PlanError;
use crate::fitted::Fitted;
use crate::gpu::{Cluster, Gpu, Precision};
use crate::layout::Software;
use crate::model::Model;

/// What is to be served.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The model.
    pub model: Model,
    /// The GPU kind.
    pub gpu: Gpu,
    /// Format of weights and products.
    pub precision: Precision,
    /// Requests a second at the busiest time.
    pub requests_per_s: f64,
    /// Tokens of a prompt, the conversation before it included.
    pub prompt_tokens: f64,
    /// Tokens of an answer.
    pub answer_tokens: f64,
    /// Time to the first token that is allowed, ms.
    pub ttft_ms: f64,
    /// Time between tokens that is allowed, ms.
    pub tpot_ms: f64,
    /// USD a GPU-hour.
    pub price: f64,
}

/// A way of serving it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Way {
    /// Tensor-parallel GPUs of a replica.
    pub tp: u64,
    /// Sequences that a replica decodes together.
    pub batch: u64,
    /// Replicas.
    pub replicas: u64,
    /// GPUs of all replicas.
    pub gpus: u64,
    /// Weights on a GPU, GiB.
    pub weights_gib: f64,
    /// Keys and values on a GPU, GiB.
    pub cache_gib: f64,
    /// Time of a prompt alone, ms.
    pub prefill_ms: f64,
    /// Time to the first token in the mean, waiting included, ms.
    pub ttft_ms: f64,
    /// Time between tokens in the mean, prompts of others included, ms.
    pub tpot_ms: f64,
    /// Answered tokens a second of one replica at full load.
    pub tokens_per_s: f64,
    /// USD a million answered tokens at the busiest time.
    pub usd_per_million: f64,
    /// USD a day.
    pub usd_per_day: f64,
}

/// Load that a replica is planned for: over it queues grow fast.
const LOAD: f64 = 0.75;
/// Share of memory for weights, keys and values.
const FILL: f64 = 0.90;
/// The host's time of a decode step, s: launched as one graph.
const STEP_S: f64 = 0.002;

/// Bytes of keys and values of one token, all layers.
pub fn cache_bytes(m: &Model) -> f64 {
    let each = if m.kv_lora_rank > 0 {
        (m.kv_lora_rank + m.qk_rope_head_dim) as f64
    } else {
        m.num_key_value_heads as f64 * (m.qk_dim() + m.v_dim()) as f64
    };
    2.0 * each * m.attending_layers() as f64
}

/// The cheapest way that keeps the targets, then others, cheapest first.
pub fn serve(d: &Demand, fitted: &Fitted) -> Result<Vec<Way>, PlanError> {
    let bounds = [
        ("requests_per_s", d.requests_per_s, 1e9),
        ("prompt_tokens", d.prompt_tokens, 1e8),
        ("answer_tokens", d.answer_tokens, 1e8),
        ("ttft_ms", d.ttft_ms, 1e8),
        ("tpot_ms", d.tpot_ms, 1e8),
    ];
    for (field, v, high) in bounds {
        if !(v.is_finite() && v > 0.0 && v <= high) {
            return Err(PlanError::Value {
                field: field.to_owned(),
                value: v.to_string(),
                allowed: format!("must be over 0 and at most {high:.0}"),
            });
        }
    }
    let width = match d.precision {
        Precision::Bf16 => 2.0,
        Precision::Fp8 | Precision::Mxfp8 => 1.0,
        Precision::Nvfp4 => 0.56,
    };
    let mut ways: Vec<Way> = Vec::new();
    let mut nearest: Option<(f64, String)> = None;
    let limit = u64::from(d.gpu.nvlink_domain)
        .min(d.model.num_attention_heads)
        .min(72);
    let (mut least, available) = (f64::INFINITY, d.gpu.memory_gib * FILL);
    for tp in (0..7).map(|i| 1_u64 << i).take_while(|t| *t <= limit) {
        let weights = d.model.params() * width / tp as f64 / GIB;
        least = least.min(weights);
        if weights >= available {
            continue;
        }
        // Where there are fewer heads than GPUs, each has a copy.
        let cache = cache_bytes(&d.model) / (tp.min(d.model.num_key_value_heads.max(1))) as f64;
        let room = (available - weights) * GIB;
        let context = d.prompt_tokens + d.answer_tokens / 2.0;
        let most = (room / (cache * context)) as u64;
        let mut best: Option<Way> = None;
        for batch in batches(most.min(4096)) {
            let way = way(d, fitted, tp, batch, weights, cache * context);
            let over = (way.ttft_ms / d.ttft_ms).max(way.tpot_ms / d.tpot_ms);
            if over > 1.0 {
                if nearest.as_ref().is_none_or(|(o, _)| over < *o) {
                    let words = format!(
                        "tp {tp} with batches of {batch} comes nearest: {:.0} ms to the first token, {:.1} ms between tokens",
                        way.ttft_ms, way.tpot_ms
                    );
                    nearest = Some((over, words));
                }
                continue;
            }
            if best.is_none_or(|b| way.usd_per_million < b.usd_per_million) {
                best = Some(way);
            }
        }
        ways.extend(best);
    }
    if ways.is_empty() {
        return Err(match nearest {
            Some((_, words)) => PlanError::Contradiction {
                reason: format!("no way of serving keeps the targets; {words}"),
            },
            None => PlanError::DoesNotFit {
                model: d.model.name.clone(),
                gpus: limit,
                gpu: d.gpu.name.clone(),
                needed_gib: least,
                available_gib: available,
            },
        });
    }
    ways.sort_by(|a, b| a.usd_per_million.total_cmp(&b.usd_per_million));
    Ok(ways)
}

const GIB: f64 = 1_073_741_824.0;

/// Batch sizes to try, up to `most`.
fn batches(most: u64) -> Vec<u64> {
    let mut sizes: Vec<u64> = (0..13)
        .map(|i| 1_u64 << i)
        .take_while(|b| *b <= most)
        .collect();
    if most > 0 && sizes.last() != Some(&most) {
        sizes.push(most);
    }
    sizes
}

fn way(d: &Demand, fitted: &Fitted, tp: u64, batch: u64, weights: f64, cache: f64) -> Way {
    let m = &d.model;
    let (t, b) = (tp as f64, batch as f64);
    let kernels = Kernels::new(&d.gpu, d.precision, &Software::MODERN, fitted);
    let cluster = Cluster::of(&d.gpu, tp);
    let group = Group::new(&cluster, fitted, tp, 1);
    let layers = m.attending_layers() as f64;
    let sums = |tokens: f64| 2.0 * layers * group.all_reduce(tokens * m.hidden_size as f64 * 2.0);
    // Weights that a batch touches: each token goes to some of the experts.
    let touched = if m.is_moe() {
        let share = m.num_experts_per_tok as f64 / m.num_experts as f64;
        let experts = m.moe_layers() as f64 * m.num_experts as f64 * m.expert_params();
        let rest = m.params() - experts;
        (rest + experts * (1.0 - (1.0 - share).powf(b))) / m.params()
    } else {
        1.0
    };
    let read = kernels.move_bytes(weights * GIB * touched + b * cache);
    let compute = |tokens: f64| {
        // The products of all layers as one of the mean shape.
        let h = m.hidden_size as f64;
        let n = m.active_params() / h / t;
        kernels.product(tokens, n, h, 1.0, d.precision != Precision::Bf16, 0.0)
    };
    let step = smooth_max(read, compute(b)) + sums(b) + STEP_S;
    let heads = m.num_attention_heads as f64 * (m.qk_dim() + m.v_dim()) as f64 / t;
    let inner = 2.0 * d.prompt_tokens * heads * m.mean_keys(d.prompt_tokens) * layers;
    let prefill = compute(d.prompt_tokens)
        + kernels.flash_attention(inner, (m.qk_dim() + m.v_dim()) as f64)
        + sums(d.prompt_tokens)
        + STEP_S;
    // A request takes its prompt's time alone and its share of each step.
    let each = prefill + d.answer_tokens * step / b;
    let per_replica = 1.0 / each;
    let replicas = (d.requests_per_s / (LOAD * per_replica)).ceil().max(1.0);
    let load = (d.requests_per_s / replicas / per_replica).min(LOAD);
    // Prompts of others come between the steps, and before one's own.
    let between = step + d.requests_per_s / replicas * prefill * step;
    let first = prefill * (1.0 + load / (1.0 - load)) + step;
    let gpus = replicas * t;
    let hourly = gpus * d.price;
    let per_s = d.requests_per_s * d.answer_tokens;
    Way {
        tp,
        batch,
        replicas: replicas as u64,
        gpus: gpus as u64,
        weights_gib: weights,
        cache_gib: b * cache / GIB,
        prefill_ms: prefill * 1e3,
        ttft_ms: first * 1e3,
        tpot_ms: between * 1e3,
        tokens_per_s: d.answer_tokens * per_replica,
        usd_per_million: hourly / 3600.0 / per_s * 1e6,
        usd_per_day: hourly * 24.0,
    }
}

/// The ways as text.
pub fn text(d: &Demand, ways: &[Way]) -> String {
    use std::fmt::Write as _;
    let mut o = String::new();
    let _ = writeln!(
        o,
        "{} on {} in {}: {:.1} requests/s of {:.0} tokens, answers of {:.0}",
        d.model.name,
        d.gpu.name,
        d.precision.name(),
        d.requests_per_s,
        d.prompt_tokens,
        d.answer_tokens
    );
    if let Some(w) = ways.first() {
        let _ = writeln!(
            o,
            "\n  {} replicas of {} GPUs, {} in all, {} a day, {:.2} USD a million answered tokens",
            w.replicas,
            w.tp,
            w.gpus,
            crate::text::dollars(w.usd_per_day),
            w.usd_per_million
        );
        let _ = writeln!(
            o,
            "  first token after {:.0} ms, then one every {:.1} ms; {:.0} tokens/s a replica at full load",
            w.ttft_ms, w.tpot_ms, w.tokens_per_s
        );
        let _ = writeln!(
            o,
            "  a GPU holds {:.1} GiB of weights and {:.1} GiB of keys and values of {} sequences, of {:.1} GiB",
            w.weights_gib, w.cache_gib, w.batch, d.gpu.memory_gib
        );
    }
    let _ = writeln!(
        o,
        "\n  {:>4} {:>6} {:>9} {:>7} {:>9} {:>9} {:>12}",
        "tp", "batch", "replicas", "GPUs", "ttft ms", "tpot ms", "USD/million"
    );
    for w in ways {
        let _ = writeln!(
            o,
            "  {:>4} {:>6} {:>9} {:>7} {:>9.0} {:>9.1} {:>12.2}",
            w.tp, w.batch, w.replicas, w.gpus, w.ttft_ms, w.tpot_ms, w.usd_per_million
        );
    }
    o
}
