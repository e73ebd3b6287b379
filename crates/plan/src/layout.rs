//! How a run is laid out over GPUs, and everything else about it that its time depends on.

use serde::{Deserialize, Serialize};

use crate::error::PlanError;
use crate::gpu::{Cluster, Precision};
use crate::model::Model;

/// What data-parallel ranks share out among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sharding {
    /// Nothing: every rank holds everything.
    None,
    /// Optimizer states (`ZeRO` 1, Megatron's distributed optimizer).
    Zero1,
    /// And gradients (`ZeRO` 2, FSDP's `SHARD_GRAD_OP`).
    Zero2,
    /// And weights (`ZeRO` 3, FSDP's `FULL_SHARD`).
    Zero3,
    /// As `Zero3` within a node, replicated over nodes (HSDP).
    Hsdp,
}

impl Sharding {
    /// Whether weights are gathered layer by layer.
    pub fn shards_weights(self) -> bool {
        matches!(self, Self::Zero3 | Self::Hsdp)
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zero1 => "zero1",
            Self::Zero2 => "zero2",
            Self::Zero3 => "zero3",
            Self::Hsdp => "hsdp",
        }
    }
}

/// What the backward pass computes again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recompute {
    /// Nothing.
    None,
    /// Attention's inner part (Korthikanti et al. 2022), or what is cheap to compute again.
    Selective,
    /// This share of layers wholly.
    Share(f64),
    /// Every layer.
    Full,
}

impl Recompute {
    /// Share of layers computed again wholly.
    pub fn share(self) -> f64 {
        match self {
            Self::None | Self::Selective => 0.0,
            Self::Share(s) => s.clamp(0.0, 1.0),
            Self::Full => 1.0,
        }
    }

    /// The name in reports.
    pub fn name(self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Selective => "selective".to_owned(),
            Self::Share(s) => format!("{:.0}% of layers", s * 100.0),
            Self::Full => "full".to_owned(),
        }
    }
}

/// What the training software can do. Dates matter: what ran in 2020 is not what runs now.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a feature of its own that software has or lacks"
)]
pub struct Software {
    /// Attention in one kernel that keeps no scores.
    pub flash: bool,
    /// A compiler fuses pointwise operations (`torch.compile`).
    pub compiled: bool,
    /// Each pointwise operation is a kernel of its own.
    pub eager: bool,
    /// The first flash attention kernels, which are all that knew ALiBi for long.
    pub first_attention: bool,
    /// Norms and residuals are split over tensor-parallel ranks.
    pub sequence_parallel: bool,
    /// Tensor-parallel communication runs beside products.
    pub tp_overlap: bool,
    /// Expert-parallel communication runs beside other micro-batches' products.
    pub ep_overlap: bool,
    /// Gradient communication runs beside the backward pass.
    pub dp_overlap: bool,
    /// Dropout is in use (models before 2022).
    pub dropout: bool,
    /// Weights are gathered parameter by parameter without prefetch (`DeepSpeed`'s first `ZeRO` 3).
    pub gathers_each_parameter: bool,
    /// Gradients are copied and checked each micro-batch by 16-bit code of its own (`DeepSpeed`'s
    /// `ZeRO` 1 in a pipeline).
    pub copies_gradients: bool,
    /// Casts with one scale a row, in kernels that nothing fuses yet.
    pub slow_casts: bool,
    /// Attention kernels made for Hopper and later (`FlashAttention` 3, cuDNN 9).
    pub new_attention: bool,
    /// Attention and MLP of a layer run on the same input (`GPT-J`, `MegaScale`).
    pub parallel_block: bool,
    /// Gradients are added in 32 bit.
    pub fp32_gradients: bool,
    /// Experts' casts, permutations and products are fused (mid-2026).
    pub fused_experts: bool,
    /// Experts take a fixed number of tokens and drop the rest, so that the host need not wait.
    pub fixed_shapes: bool,
    /// Year of the release, for mixtures, whose software still gets faster.
    pub year: f64,
}

impl Software {
    /// What Megatron, `DeepSpeed` and their kind did before flash attention.
    pub const CLASSIC: Self = Self {
        flash: false,
        compiled: false,
        eager: false,
        first_attention: false,
        sequence_parallel: false,
        tp_overlap: false,
        ep_overlap: false,
        dp_overlap: false,
        dropout: true,
        gathers_each_parameter: false,
        copies_gradients: false,
        slow_casts: false,
        new_attention: false,
        parallel_block: false,
        fp32_gradients: false,
        fused_experts: false,
        fixed_shapes: false,
        year: 2021.0,
    };

    /// Current software.
    pub const MODERN: Self = Self {
        flash: true,
        compiled: false,
        eager: false,
        first_attention: false,
        sequence_parallel: true,
        tp_overlap: true,
        ep_overlap: true,
        dp_overlap: true,
        dropout: false,
        gathers_each_parameter: false,
        copies_gradients: false,
        slow_casts: false,
        new_attention: true,
        parallel_block: false,
        fp32_gradients: true,
        fused_experts: true,
        fixed_shapes: false,
        year: NEWEST,
    };
}

/// Year of the newest software that measurements are from.
pub const NEWEST: f64 = 2026.7;

/// Year from which mixtures' kernels were fused.
pub const FUSED: f64 = 2026.42;

/// How work is split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Tensor-parallel ranks.
    pub tp: u64,
    /// Pipeline stages.
    pub pp: u64,
    /// Chunks of layers a stage holds (interleaving); 1 is plain 1F1B.
    pub vpp: u64,
    /// Data-parallel ranks.
    pub dp: u64,
    /// Context-parallel ranks.
    pub cp: u64,
    /// Expert-parallel ranks, taken from the tensor, context and data ones.
    pub ep: u64,
    /// What data-parallel ranks share.
    pub sharding: Sharding,
    /// Sequences of a micro-batch.
    pub micro_batch: u64,
    /// What is computed again.
    pub recompute: Recompute,
}

impl Layout {
    /// GPUs that it takes.
    pub fn gpus(&self) -> u64 {
        self.tp * self.pp * self.dp * self.cp
    }
}

/// One training step to be predicted.
#[derive(Clone, Debug, Serialize)]
pub struct Run {
    /// The model.
    pub model: Model,
    /// The GPUs.
    pub cluster: Cluster,
    /// The split.
    pub layout: Layout,
    /// Tokens of a sequence.
    pub seq: u64,
    /// Sequences of a step.
    pub global_batch: u64,
    /// Format of the products.
    pub precision: Precision,
    /// What the software can do.
    pub software: Software,
    /// Load of the busiest expert's rank by the mean, 1 where balance is forced.
    pub imbalance: f64,
}

impl Run {
    /// Micro-batches that one pipeline works through in a step.
    pub fn micro_batches(&self) -> u64 {
        self.global_batch
            .div_ceil((self.layout.dp * self.layout.micro_batch).max(1))
            .max(1)
    }

    /// Tokens of a step.
    pub fn tokens(&self) -> f64 {
        self.global_batch as f64 * self.seq as f64
    }

    /// Checks the layout against the model and the cluster.
    pub fn check(&self) -> Result<(), PlanError> {
        self.model.check()?;
        let l = &self.layout;
        let all = [
            ("tp", l.tp),
            ("pp", l.pp),
            ("vpp", l.vpp),
            ("dp", l.dp),
            ("cp", l.cp),
            ("ep", l.ep),
            ("micro_batch", l.micro_batch),
            ("seq", self.seq),
            ("global_batch", self.global_batch),
        ];
        for (field, value) in all {
            if value == 0 || value > 1 << 32 {
                return Err(PlanError::Value {
                    field: field.to_owned(),
                    value: value.to_string(),
                    allowed: "must be 1 or more".to_owned(),
                });
            }
        }
        let wrong = |reason: String| Err(PlanError::Contradiction { reason });
        if l.gpus() != self.cluster.gpus {
            return wrong(format!(
                "tp {} × pp {} × dp {} × cp {} is {} GPUs, but there are {}",
                l.tp,
                l.pp,
                l.dp,
                l.cp,
                l.gpus(),
                self.cluster.gpus
            ));
        }
        if l.pp > self.model.num_hidden_layers {
            return wrong(format!(
                "pp {} is over the model's {} layers",
                l.pp, self.model.num_hidden_layers
            ));
        }
        if l.tp > self.model.num_attention_heads {
            return wrong(format!(
                "tp {} is over the model's {} attention heads",
                l.tp, self.model.num_attention_heads
            ));
        }
        if self.cluster.gpu.peak(self.precision).is_none() {
            return wrong(format!(
                "{} has no {} products",
                self.cluster.gpu.name,
                self.precision.name()
            ));
        }
        Ok(())
    }
}
