//! The time of one training step.
//!
//! Kernels are timed by shape ([`kernel`]), collectives by latency and bandwidth ([`comm`]), a layer is
//! the sum of both ([`layer`]); a step is its micro-batches through the pipeline, then gradients and
//! optimizer.

pub mod comm;
pub mod kernel;
pub mod layer;
pub mod stragglers;

use serde::Serialize;

use self::comm::Group;
use self::layer::{LayerTime, Layers};
use crate::fitted::Fitted;
use crate::layout::{Run, Sharding};

/// What a step's time is made of, s. Communication is what is not hidden.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct StepTime {
    /// Matrix products.
    pub products_s: f64,
    /// Attention's inner part.
    pub attention_s: f64,
    /// Norms, activations, casts, permutations.
    pub pointwise_s: f64,
    /// Waiting for the host's launches.
    pub launch_s: f64,
    /// Tensor-parallel communication.
    pub tensor_s: f64,
    /// Context-parallel communication.
    pub context_s: f64,
    /// Expert-parallel communication.
    pub expert_s: f64,
    /// Sends between pipeline stages.
    pub pipeline_send_s: f64,
    /// Idle in the pipeline: filling, draining, uneven stages.
    pub bubble_s: f64,
    /// Gradients and weights between data-parallel ranks.
    pub data_s: f64,
    /// Optimizer.
    pub optimizer_s: f64,
    /// Waiting for the slowest GPU, in expectation.
    pub straggle_s: f64,
    /// What a step costs besides.
    pub other_s: f64,
    /// The whole step.
    pub total_s: f64,
}

/// Predicts one step. The run should have passed [`Run::check`].
pub fn step_time(run: &Run, fitted: &Fitted) -> StepTime {
    let layers = Layers::new(run, fitted);
    let l = &run.layout;
    let m = run.micro_batches() as f64;
    let (pp, vpp) = (l.pp as f64, l.vpp.max(1) as f64);

    // All layers of one micro-batch, forward and backward.
    let mut all = LayerTime::default();
    let mut forward = 0.0;
    for (block, count) in run.model.blocks() {
        let (f, b) = layers.layer(block);
        all.add(&f, count as f64);
        all.add(&b, count as f64);
        forward += f.total() * count as f64;
    }
    let head = layers.head();
    let per_layer = all.total() / run.model.num_hidden_layers as f64;
    let sum = all.total() + head.total();

    // The busiest stage: with a whole number of layers in each the last one has the head besides,
    // else stages are cut so that the head counts as layers.
    let chunks = l.pp * l.vpp.max(1);
    let stage = if run.model.num_hidden_layers.is_multiple_of(chunks) {
        all.total() / pp + head.total()
    } else {
        (sum / pp).max(per_layer * (run.model.num_hidden_layers as f64 / pp).ceil())
    };
    let fill = ((sum - stage) / vpp).max(0.0);

    // Where weights are gathered layer by layer, each layer waits for the longer of both.
    let (data, data_exposed) = data_time(run, fitted, stage, forward / sum * stage, m);

    let boundary = Group::new(&run.cluster, fitted, l.pp, l.tp * l.cp * l.dp);
    let tokens = (l.micro_batch * run.seq) as f64 / l.cp as f64;
    let bytes = tokens * run.model.hidden_size as f64 * 2.0 / l.tp as f64;
    let shown = if run.software.dp_overlap {
        fitted.send_exposed
    } else {
        1.0
    };
    let sends = if l.pp > 1 {
        2.0 * vpp * boundary.send(bytes) * shown
    } else {
        0.0
    };

    let busy = m * sum / pp;
    let pipeline = m * (stage + sends) + fill;
    let idle = (1.0 - busy / pipeline.max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    // A GPU that idles cools, and clocks higher when it works.
    let boost = 1.0 + fitted.boost * idle * idle;

    let optimizer = optimizer_time(run, fitted, &layers);
    let work = (m * all.total() / pp + m * head.total() / pp) / boost;
    let bubble = (m * (stage - sum / pp) + fill) / boost;
    let scale = m / pp / boost;
    let running = work + bubble + m * sends + data_exposed;
    let ranks = run.cluster.gpus as f64;
    let straggle = running * run.cluster.stragglers.expected(ranks, fitted.straggle);
    debug_assert!(data >= 0.0, "{data}");
    StepTime {
        products_s: scale * (all.products + head.products),
        attention_s: scale * all.attention,
        pointwise_s: scale * (all.pointwise + head.pointwise),
        launch_s: scale * all.launch,
        tensor_s: scale * all.tensor,
        context_s: scale * all.context,
        expert_s: scale * all.expert,
        pipeline_send_s: m * sends,
        bubble_s: bubble,
        data_s: data_exposed,
        optimizer_s: optimizer,
        straggle_s: straggle,
        other_s: fitted.step_s,
        total_s: running + optimizer + straggle + fitted.step_s,
    }
}

/// Parameters that one GPU of the busiest stage works on, dense and expert ones.
pub fn stage_params(run: &Run) -> (f64, f64) {
    let m = &run.model;
    let l = &run.layout;
    let (t, p) = (l.tp as f64, l.pp as f64);
    let dense = m.layer_params();
    let experts = m.moe_layers() as f64 * m.num_experts as f64 * m.expert_params();
    let embeddings = m.embedding_params() * if l.pp == 1 && !m.tied { 2.0 } else { 1.0 };
    (dense / t / p + embeddings / t, experts / l.ep as f64 / p)
}

/// Gradients' and weights' communication between data-parallel ranks: all of it, and what is not
/// hidden, in one step.
fn data_time(run: &Run, fitted: &Fitted, micro: f64, forward: f64, m: f64) -> (f64, f64) {
    let l = &run.layout;
    let s = &run.software;
    let (dense, experts) = stage_params(run);
    let group = |ranks, stride| Group::new(&run.cluster, fitted, ranks, stride);
    let dp = group(l.dp * l.cp, l.tp);
    let expert_ranks = (l.dp * l.cp * l.tp / l.ep.max(1)).max(1);
    let edp = group(expert_ranks, l.ep);
    let grad = if s.fp32_gradients { 4.0 } else { 2.0 };
    if l.sharding.shards_weights() || l.sharding == Sharding::Zero2 && l.pp == 1 {
        let near = if l.sharding == Sharding::Hsdp {
            group(
                (l.dp * l.cp)
                    .min(u64::from(run.cluster.gpus_per_node) / l.tp.max(1))
                    .max(1),
                l.tp,
            )
        } else {
            dp
        };
        // Layer by layer: gathered forward and again backward, gradients scattered.
        let layers = run.model.num_hidden_layers as f64 / l.pp as f64;
        let part = dense / layers;
        // In a pipeline weights stay whole, and gradients are scattered after the last micro-batch.
        let gathers = if l.sharding == Sharding::Zero2 || l.pp > 1 {
            1.0 / m
        } else {
            2.0
        };
        let scatters = if l.pp > 1 { 1.0 / m } else { 1.0 };
        let gather = near.gather(2.0 * part) * layers;
        let scatter = near.gather(grad * part) * layers * scatters;
        let experts = if experts > 0.0 {
            edp.gather(experts * (4.0 + grad))
        } else {
            0.0
        };
        let each = gathers * gather + scatter + experts;
        let hidden = each.min(micro);
        let each = if s.gathers_each_parameter {
            each / fitted.network_pieces
        } else {
            each
        };
        let exposed = if s.gathers_each_parameter {
            // Without prefetch only part of it runs beside the products.
            each.hypot(micro) - micro
        } else {
            super::cost::kernel::smooth_max(each, micro) - micro
                + fitted.contention * hidden
                + fitted.dp_exposed * each / layers
        };
        let mut total = m * each;
        let mut shown = m * exposed;
        if l.sharding == Sharding::Hsdp {
            // Then gradients are added up over nodes, once a step.
            let far = group(
                (l.dp * l.cp * l.tp / u64::from(run.cluster.gpus_per_node)).max(1),
                u64::from(run.cluster.gpus_per_node),
            );
            let sum = far.all_reduce(grad * dense / near.ranks);
            total += sum;
            shown += fitted.dp_exposed * sum;
        }
        return (total, shown);
    }
    let between = |group: Group, params: f64| match l.sharding {
        Sharding::None => group.all_reduce(grad * params),
        _ => group.gather((grad + 2.0) * params),
    };
    let total = between(dp, dense) + between(edp, experts);
    let total = total
        + if s.copies_gradients {
            m * (dense + experts) * fitted.copies / (run.cluster.gpu.memory_gbs * 1e9)
        } else {
            0.0
        };
    let exposed = if s.dp_overlap {
        // Behind the last micro-batch's backward pass and the next one's forward.
        let room = micro - forward * 0.5;
        fitted.dp_exposed * total + (1.0 - fitted.dp_exposed) * (total - room.max(0.0)).max(0.0)
    } else {
        total
    };
    (total, exposed)
}

/// The optimizer's step, which moves each parameter's states once: gradient, master weight and two
/// moments read, three of them written, and the 16-bit weight.
fn optimizer_time(run: &Run, _fitted: &Fitted, layers: &Layers<'_>) -> f64 {
    let l = &run.layout;
    let (dense, experts) = stage_params(run);
    let (d, e) = match l.sharding {
        Sharding::None => (1.0, 1.0),
        _ => (
            (l.dp * l.cp) as f64,
            (l.dp * l.cp * l.tp / l.ep.max(1)).max(1) as f64,
        ),
    };
    layers.kernels.move_bytes(30.0 * (dense / d + experts / e))
}
