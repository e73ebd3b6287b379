//! Finds the layout of a run: every one that fits is timed, with bounds that leave out what cannot win.

use serde::Serialize;

use crate::cost::{StepTime, step_time};
use crate::error::PlanError;
use crate::fitted::Fitted;
use crate::gpu::Generation;
use crate::layout::{Layout, Recompute, Run, Sharding, Software};
use crate::memory::{Memory, memory};
use crate::request::Asked;

/// Share of a GPU's memory that a plan may fill.
pub const FILL: f64 = 0.95;

/// A layout with what it takes.
#[derive(Clone, Debug, Serialize)]
pub struct Candidate {
    /// The run.
    pub run: Run,
    /// Its step.
    pub step: StepTime,
    /// Its memory.
    pub memory: Memory,
    /// Tokens a second of the whole cluster.
    pub tokens_per_s: f64,
}

/// What a search found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Layouts looked at.
    pub looked_at: usize,
    /// Of them, those that fit into memory.
    pub fitting: usize,
    /// The fastest.
    pub best: Candidate,
    /// The fastest others that differ from the best in how they split, each with what it loses by.
    pub runners_up: Vec<(Candidate, String)>,
    /// Those that none beats in both time and memory left, fastest first.
    pub pareto: Vec<Candidate>,
}

fn pinned(pin: Option<u64>, options: impl IntoIterator<Item = u64>) -> Vec<u64> {
    match pin {
        Some(n) => vec![n],
        None => options.into_iter().collect(),
    }
}

/// Current software, as far as the GPU kind has it: Volta has no flash attention kernels of today.
fn software(asked: &Asked) -> Software {
    let volta = asked.cluster.gpu.generation == Generation::Volta;
    Software {
        flash: !volta,
        tp_overlap: !volta,
        ..Software::MODERN
    }
}

/// The batch of a layout: as asked, or where that is free the nearest that gives every pipeline the same
/// number of micro-batches, and an interleaved one a multiple of its stages.
fn batch_of(asked: &Asked, l: &Layout) -> u64 {
    if !asked.batch_is_free {
        return asked.global_batch;
    }
    let each = l.dp.saturating_mul(l.micro_batch).max(1);
    let unit = if l.vpp > 1 { l.pp } else { 1 };
    let rounds = asked.global_batch as f64 / (each * unit) as f64;
    each * unit * (rounds.round() as u64).max(1)
}

/// Whether a batch is as asked or near it, and its micro-batches suit the pipeline: interleaved schedules
/// go through stages in groups of as many micro-batches (Narayanan et al. 2021).
fn batch_suits(asked: &Asked, run: &Run) -> bool {
    let near = run.global_batch as f64 / asked.global_batch as f64;
    let l = &run.layout;
    (0.75..=1.25).contains(&near) && (l.vpp == 1 || run.micro_batches().is_multiple_of(l.pp))
}

/// A run of `asked` in one layout.
pub fn run_of(asked: &Asked, layout: Layout) -> Run {
    let mut cluster = asked.cluster.clone();
    cluster.gpus = layout.gpus();
    Run {
        model: asked.model.clone(),
        cluster,
        layout,
        seq: asked.seq,
        global_batch: batch_of(asked, &layout),
        precision: asked.precision,
        software: software(asked),
        imbalance: asked.imbalance,
    }
}

/// All layouts worth looking at. Each fills as much of the cluster as it can; GPUs over are spares.
fn layouts(asked: &Asked) -> Vec<Layout> {
    let (m, pins, gpus) = (&asked.model, &asked.pins, asked.cluster.gpus);
    let domain = u64::from(asked.cluster.nvlink_domain);
    let mut out = Vec::new();
    let powers = |high: u64| (0..12).map(|i| 1_u64 << i).take_while(move |n| *n <= high);
    let heads = m.num_attention_heads;
    let tps = pinned(
        pins.tp,
        powers(domain.min(heads).min(64)).filter(|t| heads.is_multiple_of(*t)),
    );
    let cps = pinned(pins.cp, powers((asked.seq / 8192).clamp(1, 16)));
    let layers = m.num_hidden_layers;
    let pps = pinned(
        pins.pp,
        (1..=layers.min(128)).filter(|p| {
            // Stages of equal length, or nearly: the longest at most an eighth over the mean.
            layers.div_ceil(*p) * p * 8 <= layers * 9
        }),
    );
    let recomputes = pins.recompute.map_or(
        vec![Recompute::None, Recompute::Selective, Recompute::Full],
        |r| vec![r],
    );
    for &tp in &tps {
        for &pp in &pps {
            for &cp in &cps {
                let slots = gpus / (tp * pp * cp).max(1);
                if slots == 0 {
                    continue;
                }
                for micro_batch in pinned(pins.micro_batch, [1, 2, 4, 8]) {
                    let sequences = (asked.global_batch / micro_batch).max(1);
                    // As many as there are, and the most that leaves no rank waiting.
                    let most = slots.min(sequences);
                    let even = (1..=most).rev().find(|d| sequences.is_multiple_of(*d));
                    // With a free batch a few ranks fewer may divide experts better.
                    let fewer = (most.saturating_sub(7).max(1)..most).rev();
                    let mut dps = pinned(pins.dp, [most].into_iter().chain(even).chain(fewer));
                    dps.sort_unstable();
                    dps.dedup();
                    for dp in dps {
                        if dp > slots {
                            continue;
                        }
                        let rest = Rest {
                            asked,
                            tp,
                            pp,
                            cp,
                            dp,
                            micro_batch,
                        };
                        rest.add(&recomputes, &mut out);
                    }
                }
            }
        }
    }
    out
}

/// A layout of which the last parts are open.
struct Rest<'a> {
    asked: &'a Asked,
    tp: u64,
    pp: u64,
    cp: u64,
    dp: u64,
    micro_batch: u64,
}

impl Rest<'_> {
    fn add(&self, recomputes: &[Recompute], out: &mut Vec<Layout>) {
        let (m, pins) = (&self.asked.model, &self.asked.pins);
        let ranks = self.tp * self.cp * self.dp;
        let eps = if m.is_moe() {
            pinned(
                pins.ep,
                (1..=m.num_experts)
                    .filter(|e| m.num_experts.is_multiple_of(*e) && ranks.is_multiple_of(*e)),
            )
        } else {
            pinned(pins.ep, [1])
        };
        let per_stage = m.num_hidden_layers / self.pp;
        let vpps = if self.pp == 1 {
            pinned(pins.vpp, [1])
        } else {
            // Chunks of equal length, or of equal length with both embeddings counted as layers
            // (Llama 3's 126 layers in 128 chunks).
            let divides = |v: &u64| {
                let layers = m.num_hidden_layers;
                layers.is_multiple_of(self.pp * v) || (layers + 2).is_multiple_of(self.pp * v)
            };
            pinned(
                pins.vpp,
                (1..=(per_stage + 1).min(16)).filter(|v| *v == 1 || divides(v)),
            )
        };
        let shardings = match pins.sharding {
            Some(s) => vec![s],
            None if self.pp == 1 => vec![Sharding::Zero1, Sharding::Zero3],
            None => vec![Sharding::Zero1],
        };
        for &ep in &eps {
            if !ranks.is_multiple_of(ep) {
                continue;
            }
            for &vpp in &vpps {
                if self.pp * vpp > m.num_hidden_layers + 2 {
                    continue;
                }
                for &sharding in &shardings {
                    for &recompute in recomputes {
                        out.push(Layout {
                            tp: self.tp,
                            pp: self.pp,
                            vpp,
                            dp: self.dp,
                            cp: self.cp,
                            ep,
                            sharding,
                            micro_batch: self.micro_batch,
                            recompute,
                        });
                    }
                }
            }
        }
    }
}

/// Searches all layouts.
pub fn search(asked: &Asked, fitted: &Fitted) -> Result<Found, PlanError> {
    check_pins(asked)?;
    let layouts = layouts(asked);
    let looked_at = layouts.len();
    let available = asked.cluster.gpu.memory_gib * FILL;
    let mut smallest = f64::INFINITY;
    let mut fitting = 0;
    let mut best_time = f64::INFINITY;
    let mut timed: Vec<(Layout, f64, f64)> = Vec::new();
    let mut template: Option<Run> = None;
    for layout in layouts {
        let run = match &mut template {
            Some(run) => {
                run.layout = layout;
                run.cluster.gpus = layout.gpus();
                run.global_batch = batch_of(asked, &layout);
                run
            }
            None => template.insert(run_of(asked, layout)),
        };
        if !batch_suits(asked, run) {
            continue;
        }
        let held = memory(run, fitted).total_gib;
        smallest = smallest.min(held);
        if held > available {
            continue;
        }
        fitting += 1;
        // Batches differ a little: what counts is the time of a token.
        let time = step_time(run, fitted).total_s / run.tokens();
        best_time = best_time.min(time);
        timed.push((layout, time, held));
    }
    if timed.is_empty() {
        return Err(if smallest.is_infinite() {
            PlanError::Contradiction {
                reason: format!(
                    "no layout of {} GPUs agrees with the pins",
                    asked.cluster.gpus
                ),
            }
        } else {
            PlanError::DoesNotFit {
                model: asked.model.name.clone(),
                gpus: asked.cluster.gpus,
                gpu: asked.cluster.gpu.name.clone(),
                needed_gib: smallest,
                available_gib: available,
            }
        });
    }
    timed.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
    let full = |layout: &Layout| {
        let run = run_of(asked, *layout);
        let step = step_time(&run, fitted);
        Candidate {
            memory: memory(&run, fitted),
            tokens_per_s: run.tokens() / step.total_s,
            step,
            run,
        }
    };
    let best = full(&timed[0].0);
    let mut pareto = Vec::new();
    let mut least = f64::INFINITY;
    for (layout, time, held) in &timed {
        if *held < least * 0.97 && *time < best_time * 3.0 {
            least = *held;
            pareto.push(full(layout));
            if pareto.len() == 8 {
                break;
            }
        }
    }
    let mut seen = vec![key(&best.run.layout)];
    let mut runners_up = Vec::new();
    for (layout, ..) in &timed {
        let k = key(layout);
        if !seen.contains(&k) {
            seen.push(k);
            let candidate = full(layout);
            let why = loses_by(&best, &candidate);
            runners_up.push((candidate, why));
            if runners_up.len() == 5 {
                break;
            }
        }
    }
    Ok(Found {
        looked_at,
        fitting,
        best,
        runners_up,
        pareto,
    })
}

/// What makes layouts different at first sight.
fn key(l: &Layout) -> (u64, u64, u64, u64, bool) {
    (l.tp, l.pp, l.cp, l.ep, l.sharding.shards_weights())
}

/// In what the second step takes longer than the first.
fn loses_by(best: &Candidate, other: &Candidate) -> String {
    // Of as many tokens.
    let scale = best.run.tokens() / other.run.tokens();
    let (best, other) = (&best.step, &other.step);
    let parts = |s: &StepTime| {
        [
            ("matrix products", s.products_s),
            ("attention", s.attention_s),
            ("pointwise kernels", s.pointwise_s),
            ("launches", s.launch_s),
            ("tensor-parallel communication", s.tensor_s),
            ("context-parallel communication", s.context_s),
            ("expert-parallel communication", s.expert_s),
            ("pipeline sends", s.pipeline_send_s),
            ("pipeline bubble", s.bubble_s),
            ("gradient and weight communication", s.data_s),
            ("optimizer", s.optimizer_s),
            ("waiting for the slowest GPU", s.straggle_s),
            ("the rest", s.other_s),
        ]
    };
    let (a, b) = (parts(best), parts(other));
    let mut more: Vec<(&str, f64)> = a
        .iter()
        .zip(&b)
        .map(|((name, x), (_, y))| (*name, y * scale - x))
        .collect();
    more.sort_by(|x, y| y.1.total_cmp(&x.1));
    let slower = (other.total_s * scale / best.total_s - 1.0) * 100.0;
    let of: Vec<String> = more
        .iter()
        .take(2)
        .filter(|(_, s)| *s > 0.002 * best.total_s)
        .map(|(name, s)| format!("{name} {:+.1}%", s / best.total_s * 100.0))
        .collect();
    if of.is_empty() {
        format!("{slower:+.1}%, a tie")
    } else {
        format!("{slower:+.1}%: {}", of.join(", "))
    }
}

/// Pins against each other, the model and the cluster.
fn check_pins(asked: &Asked) -> Result<(), PlanError> {
    let p = &asked.pins;
    let m = &asked.model;
    let wrong = |reason: String| Err(PlanError::Contradiction { reason });
    // In 128 bits: each pin may be a million.
    let product = [p.tp, p.pp, p.cp, p.dp]
        .iter()
        .flatten()
        .map(|n| u128::from(*n))
        .product::<u128>();
    if product > u128::from(asked.cluster.gpus) {
        return wrong(format!(
            "the pins take {product} GPUs, but there are {}",
            asked.cluster.gpus
        ));
    }
    if let Some(tp) = p.tp
        && (tp > m.num_attention_heads || !m.num_attention_heads.is_multiple_of(tp))
    {
        return wrong(format!(
            "tp={tp} does not divide the model's {} attention heads",
            m.num_attention_heads
        ));
    }
    if let Some(pp) = p.pp
        && (pp > m.num_hidden_layers || pp * p.vpp.unwrap_or(1) > m.num_hidden_layers + 2)
    {
        return wrong(format!(
            "pp={pp} times vpp={} is over the model's {} layers",
            p.vpp.unwrap_or(1),
            m.num_hidden_layers
        ));
    }
    if let (Some(v), Some(1)) = (p.vpp, p.pp)
        && v > 1
    {
        return wrong(format!(
            "vpp={v} needs a pipeline: pp=1 has nothing to interleave"
        ));
    }
    if let Some(ep) = p.ep {
        if ep > 1 && !m.is_moe() {
            return wrong(format!("ep={ep}, but {} has no experts", m.name));
        }
        if m.is_moe() && !m.num_experts.is_multiple_of(ep) {
            return wrong(format!(
                "ep={ep} does not divide the model's {} experts",
                m.num_experts
            ));
        }
    }
    if let (Some(dp), Some(b)) = (p.dp, p.micro_batch)
        && dp * b > asked.global_batch
    {
        return wrong(format!(
            "dp={dp} times micro_batch={b} is over the global batch of {}",
            asked.global_batch
        ));
    }
    Ok(())
}
