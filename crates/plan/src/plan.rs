//! The whole plan: the best layout, and what the run takes in days, energy, money and carbon, how much
//! it computes, and which thresholds of law that crosses.

use serde::Serialize;

use crate::error::PlanError;
use crate::failure::{Outcome, simulate, spares_that_pay};
use crate::fitted::Fitted;
use crate::law::{Threshold, thresholds};
use crate::pipeline::{Passes, Schedule, replay};
use crate::request::Asked;
use crate::search::{Candidate, Found, search};
use crate::upkeep::{Upkeep, setting, upkeep};

/// What a run takes.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// The model's name.
    pub model: String,
    /// All parameters.
    pub params: f64,
    /// Parameters that a token goes through.
    pub active_params: f64,
    /// Training tokens.
    pub tokens: f64,
    /// GPUs of the cluster.
    pub gpus: u64,
    /// GPUs that the layout leaves over.
    pub gpus_idle: u64,
    /// The search and its best layout.
    pub found: Found,
    /// What the step would take with other pipeline schedules, by replay; empty without a pipeline.
    pub schedules: Vec<Scheduled>,
    /// By how much the slowest GPU is behind the mean: expected, and what nine of ten clusters stay under.
    pub slowest: [f64; 2],
    /// Steps.
    pub steps: f64,
    /// Model FLOP/s by peak.
    pub mfu: f64,
    /// Days without a failure.
    pub days_undisturbed: f64,
    /// Days with failures.
    pub days: f64,
    /// Days if the prediction is too fast by what one in ten measured runs showed.
    pub days_if_slower: f64,
    /// Failures and what they cost.
    pub upkeep: Upkeep,
    /// The run played through many times, with failure rates as uncertain as they are between clusters.
    pub simulation: Outcome,
    /// Spare nodes that pay for themselves.
    pub spares_that_pay: u64,
    /// Energy with cooling, MWh.
    pub energy_mwh: f64,
    /// Rent of the whole cluster, USD.
    pub cost_usd: f64,
    /// Carbon, t CO2.
    pub carbon_t: f64,
    /// Training FLOPs: the model's, nothing computed again.
    pub flops: f64,
    /// Thresholds of law.
    pub thresholds: Vec<Threshold>,
    /// Error of the prediction that nine of ten measured runs stay under, percent.
    pub error_p90_pct: f64,
}

/// Error that nine of ten measured runs stay under where their source had no part in the fit, percent:
/// dense models and mixtures, from `docs/plan-validation.md`.
const P90: (f64, f64) = (15.0, 21.0);

/// Share of a node's maximum power that training draws: GPUs near their limit, the rest of the node
/// below it.
const POWER_SHARE: f64 = 0.85;

/// How often a plan plays its run through, and from which seed.
const PLAYED: usize = 200;
const SEED: u64 = 1;

/// Makes the plan.
pub fn plan(asked: &Asked, fitted: &Fitted) -> Result<Plan, PlanError> {
    let found = search(asked, fitted)?;
    let best = &found.best;
    let gpus = asked.cluster.gpus;
    let steps = (asked.tokens / best.run.tokens()).ceil().max(1.0);
    let seconds = steps * best.step.total_s;
    let upkeep = upkeep(asked, best, seconds);
    let setting = setting(asked, best, &upkeep, seconds);
    let simulation = simulate(&setting, PLAYED, SEED);
    let spares_that_pay = spares_that_pay(&setting, SEED);
    let days_undisturbed = seconds / 86_400.0;
    let days = days_undisturbed / upkeep.goodput;
    let flops = asked.model.train_flops_per_token(asked.seq) * asked.tokens;
    let peak = asked.cluster.gpu.bf16_tflops * 1e12 * gpus as f64;
    let error = if asked.model.is_moe() { P90.1 } else { P90.0 };
    let hours = days * 24.0;
    let energy_mwh =
        gpus as f64 * asked.cluster.gpu.node_watts * POWER_SHARE * asked.pue * hours / 1e6;
    Ok(Plan {
        model: asked.model.name.clone(),
        params: asked.model.params(),
        active_params: asked.model.active_params(),
        tokens: asked.tokens,
        gpus,
        schedules: schedules(best),
        gpus_idle: gpus - best.run.layout.gpus(),
        slowest: {
            let (ranks, s) = (best.run.layout.gpus() as f64, asked.cluster.stragglers);
            [
                s.expected(ranks, fitted.straggle),
                s.quantile(ranks, fitted.straggle, 0.9),
            ]
        },
        steps,
        mfu: flops / (peak * seconds),
        days_undisturbed,
        days,
        days_if_slower: days / (1.0 - error / 100.0).max(0.1),
        energy_mwh,
        cost_usd: gpus as f64 * hours * asked.price,
        carbon_t: energy_mwh * asked.carbon / 1000.0,
        flops,
        thresholds: thresholds(flops),
        error_p90_pct: error,
        upkeep,
        simulation,
        spares_that_pay,
        found,
    })
}

/// A step with one pipeline schedule.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Scheduled {
    /// The schedule.
    pub schedule: Schedule,
    /// Time of a step, s.
    pub step_s: f64,
    /// Idle share of the pipeline.
    pub idle: f64,
}

/// The layout's step with each schedule that its numbers allow. Uneven stages are left out of account,
/// and so is that zero-bubble schedules hold more activations.
fn schedules(c: &Candidate) -> Vec<Scheduled> {
    let (l, s) = (&c.run.layout, &c.step);
    if l.pp < 2 {
        return Vec::new();
    }
    let m = c.run.micro_batches() as f64;
    let compute = s.products_s + s.attention_s + s.pointwise_s + s.launch_s;
    let stage = (compute + s.tensor_s + s.context_s + s.expert_s) / m;
    // What is computed again is part of the backward pass by inputs.
    let again = c.run.layout.recompute.share() / 3.0;
    let part = stage / 3.0 / (1.0 + again);
    let times = Passes {
        forward_s: part,
        backward_s: stage - 2.0 * part,
        weight_s: part,
        send_s: s.pipeline_send_s / m / 2.0 / l.vpp as f64,
    };
    let even = s.total_s - s.bubble_s - s.pipeline_send_s;
    [
        Schedule::OneForwardOneBackward,
        Schedule::Interleaved(l.vpp.max(2)),
        Schedule::ZeroBubble,
        Schedule::DualPipe,
    ]
    .into_iter()
    .filter_map(|schedule| {
        let replay = replay(schedule, l.pp, c.run.micro_batches(), &times)?;
        Some(Scheduled {
            schedule,
            step_s: even + (replay.total_s - m * stage).max(0.0),
            idle: replay.idle,
        })
    })
    .collect()
}

/// One size of cluster in a comparison of sizes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// GPUs.
    pub gpus: u64,
    /// Days with failures.
    pub days: f64,
    /// Rent, USD.
    pub cost_usd: f64,
}

/// The same run on smaller and larger clusters; sizes on which it does not fit are left out.
pub fn sizes(asked: &Asked, fitted: &Fitted) -> Vec<Size> {
    [0.125, 0.25, 0.5, 1.0, 2.0]
        .iter()
        .filter_map(|share| {
            let mut other = asked.clone();
            other.cluster.gpus = ((asked.cluster.gpus as f64 * share) as u64).max(1);
            let p = plan(&other, fitted).ok()?;
            Some(Size {
                gpus: p.gpus,
                days: p.days,
                cost_usd: p.cost_usd,
            })
        })
        .collect()
}

/// The candidate's layout in words.
pub fn layout_words(c: &Candidate) -> String {
    let l = &c.run.layout;
    let mut words = vec![format!("tp {} × pp {} × dp {}", l.tp, l.pp, l.dp)];
    if l.cp > 1 {
        words[0] = format!("{} × cp {}", words[0], l.cp);
    }
    if l.vpp > 1 {
        words.push(format!("{} chunks a stage", l.vpp));
    }
    if c.run.model.is_moe() {
        words.push(format!("ep {}", l.ep));
    }
    words.push(format!("micro-batch {}", l.micro_batch));
    words.push(l.sharding.name().to_owned());
    words.push(format!("recompute {}", l.recompute.name()));
    words.join(", ")
}
