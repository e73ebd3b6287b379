//! Memory of the fullest GPU, by category.
//!
//! Activations are counted as Korthikanti et al. 2022 do (section 4), by what each operation keeps for
//! its backward pass; states as in `ZeRO` (Rajbhandari et al. 2020): 16-bit weights, gradients, and 12
//! bytes a parameter for Adam in 32 bit.

use serde::Serialize;

use crate::cost::stage_params;
use crate::fitted::Fitted;
use crate::gpu::Precision;
use crate::layout::{Recompute, Run, Sharding};
use crate::model::{Block, Mlp};

/// Bytes of a GiB.
const GIB: f64 = 1_073_741_824.0;
/// Adam's bytes a parameter: master weight and two moments in 32 bit.
const ADAM: f64 = 12.0;

/// What a GPU holds, GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Weights.
    pub weights_gib: f64,
    /// Gradients.
    pub gradients_gib: f64,
    /// Master weights and moments.
    pub optimizer_gib: f64,
    /// Activations at the peak.
    pub activations_gib: f64,
    /// Logits and loss.
    pub logits_gib: f64,
    /// What the allocator cannot use.
    pub fragments_gib: f64,
    /// What driver and communication libraries keep; outside of what frameworks report.
    pub driver_gib: f64,
    /// All but the driver's part: what frameworks report as the peak.
    pub allocated_gib: f64,
    /// All of it.
    pub total_gib: f64,
}

/// Bytes that one layer keeps of one token on one GPU for its backward pass, nothing computed again.
pub fn kept(run: &Run, block: Block) -> f64 {
    let m = &run.model;
    let s = &run.software;
    let t = run.layout.tp as f64;
    let spread = if s.sequence_parallel { t } else { 1.0 };
    let h = m.hidden_size as f64;
    let (a, kv) = (m.num_attention_heads as f64, m.num_key_value_heads as f64);
    // What feeds a product is kept in the product's format.
    let fed = if run.precision == Precision::Bf16 {
        2.0
    } else {
        1.0
    };
    let mask = if s.dropout { 1.0 } else { 0.0 };
    // Each part's norm's input and output, and its dropout mask.
    let mut wide = block.parts() * h * (2.0 + fed + mask);
    let mut narrow = 0.0;
    if block.attention {
        let heads = a * m.qk_dim() as f64 + kv * (m.qk_dim() + m.v_dim()) as f64;
        narrow += 2.0 * heads + 2.0 * a * m.v_dim() as f64;
        if m.kv_lora_rank > 0 {
            // The compressed queries, keys and values, which are normed as well.
            wide += (m.q_lora_rank + m.kv_lora_rank) as f64 * (2.0 + fed);
        }
        if !s.flash && run.layout.recompute == Recompute::None {
            narrow += 5.0 * a * run.seq as f64;
        }
    }
    if block.mamba {
        // What the first product made and the scan's result; the rest is computed again by the kernel.
        narrow += 2.0 * m.mamba_width() + (2.0 + fed) * m.mamba_inner();
    }
    let up = (m.mlp_matrices() - 1) as f64;
    let inner = |f: f64| f * (2.0 * up + fed);
    match block.mlp {
        Mlp::None => {}
        Mlp::Dense => narrow += inner(m.intermediate_size as f64),
        Mlp::Experts => {
            let (k, w) = (m.num_experts_per_tok as f64, m.expert_width() as f64);
            // Each copy of a token that goes to an expert, as it arrives and as it returns.
            narrow += k * (inner(m.moe_intermediate_size as f64) + w * (fed + 2.0)) * run.imbalance;
            narrow += inner(m.shared_intermediate_size as f64);
        }
    }
    wide / spread + narrow / t
}

/// Predicts the memory of the fullest GPU.
pub fn memory(run: &Run, fitted: &Fitted) -> Memory {
    let l = &run.layout;
    let s = &run.software;
    let m = &run.model;
    let (dense, experts) = stage_params(run);
    // Leading dense layers lie in the first stage; the others are mixtures throughout.
    let crowded = if experts > 0.0 {
        // Where layers alternate, no stage has more than its share of them.
        let most = if m.mamba_layers > 0 {
            m.moe_layers().div_ceil(l.pp) as f64
        } else {
            m.num_hidden_layers.div_ceil(l.pp).min(m.moe_layers()) as f64
        };
        (most * l.pp as f64 / m.moe_layers() as f64).max(1.0)
    } else {
        1.0
    };
    let experts = experts * crowded;
    let data = (l.dp * l.cp) as f64;
    let expert_data = (l.dp * l.cp * l.tp / l.ep.max(1)).max(1) as f64;
    let layers = m.num_hidden_layers as f64 / l.pp as f64;
    let grad = if s.fp32_gradients { 4.0 } else { 2.0 };

    // States. `shard` is by how many ranks a part is divided.
    let states = |bytes: f64, shared: bool| {
        let (d, e) = if shared {
            (data, expert_data)
        } else {
            (1.0, 1.0)
        };
        bytes * (dense / d + experts / e)
    };
    let sharded = l.sharding.shards_weights();
    let largest_layer = (dense / layers.max(1.0)).max(m.embedding_params() / l.tp as f64);
    let (weights, gradients) = if sharded && l.pp > 1 {
        // In a pipeline weights stay whole from the first micro-batch to the last, and so do gradients.
        (states(2.0, false), states(grad, false))
    } else if sharded {
        // Two layers are whole at a time, the one at work and the next; the gradients of one.
        (
            2.0 * 2.0 * largest_layer,
            states(grad, true) + grad * largest_layer,
        )
    } else {
        (
            states(2.0, false),
            states(grad, l.sharding == Sharding::Zero2),
        )
    };
    let optimizer = states(ADAM, l.sharding != Sharding::None);

    // Activations of the first stage, which has most micro-batches under way.
    let tokens = (l.micro_batch * run.seq) as f64 / l.cp as f64;
    let (mut sum, mut count) = (0.0, 0.0);
    for (block, n) in m.blocks() {
        sum += kept(run, block) * n as f64;
        count += n as f64;
    }
    let whole = tokens * sum / f64::max(count, 1.0);
    let spread = if s.sequence_parallel {
        l.tp as f64
    } else {
        1.0
    };
    let input = tokens * 2.0 * m.hidden_size as f64 / spread;
    let share = l.recompute.share();
    let each = match l.recompute {
        // Where scores are not kept anyway, norms and activations are what is cheap to compute again.
        Recompute::Selective if s.flash => fitted.held_selective * whole,
        Recompute::None | Recompute::Selective => whole,
        Recompute::Share(_) | Recompute::Full => share * input + (1.0 - share) * whole,
    };
    let (p, v) = (l.pp as f64, l.vpp.max(1) as f64);
    let under_way = if l.pp == 1 {
        1.0
    } else if l.vpp > 1 {
        (p + (p - 1.0) / v).min(run.micro_batches() as f64)
    } else {
        p.min(run.micro_batches() as f64)
    };
    // While a layer is computed again it is whole for that time.
    let scores = if s.flash {
        0.0
    } else {
        5.0 * tokens * run.seq as f64 * m.num_attention_heads as f64 / l.tp as f64
    };
    // With sequence parallelism a layer at work gathers its products' inputs and, before scattering
    // them, holds their whole sums.
    let gathered = if spread > 1.0 {
        8.0 * tokens * m.hidden_size as f64
    } else {
        0.0
    };
    let at_work = share * (whole + scores) + gathered;
    let first = under_way * layers * each + at_work;
    // The last stage has the logits instead: 16-bit logits and their gradient in place where the loss
    // is fused, else also 32-bit ones and theirs.
    let vocabulary = m.vocab_size as f64 / l.tp as f64;
    let bytes = if s.flash && !s.eager && !sharded {
        6.0
    } else {
        12.0
    };
    let logits = tokens * vocabulary * bytes * fitted.held_logits;
    let last = layers * each * (2.0_f64).min(under_way) / 2.0_f64.min(p) + at_work;
    let (first, last) = (
        first * fitted.held_activations,
        last * fitted.held_activations,
    );
    let (activations, logits) = if l.pp > 1 && first >= last + logits {
        (first, 0.0)
    } else {
        (last, logits)
    };

    let used = weights + gradients + optimizer + activations + logits;
    let share = if s.flash {
        fitted.fragments
    } else {
        fitted.fragments_classic
    };
    let fragments = share * used;
    let driver = fitted.held_driver_gib;
    let allocated = (used + fragments) / GIB;
    Memory {
        weights_gib: weights / GIB,
        gradients_gib: gradients / GIB,
        optimizer_gib: optimizer / GIB,
        activations_gib: activations / GIB,
        logits_gib: logits / GIB,
        fragments_gib: fragments / GIB,
        driver_gib: driver,
        allocated_gib: allocated,
        total_gib: allocated + driver,
    }
}

/// What the software of a run would report as its memory: before allocators reported their peaks, the
/// whole GPU's.
pub fn reported_gib(run: &Run, fitted: &Fitted) -> f64 {
    let m = memory(run, fitted);
    if run.software.flash {
        m.allocated_gib
    } else {
        m.total_gib
    }
}
