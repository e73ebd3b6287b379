//! Time of one layer of one micro-batch on one GPU.
//!
//! Shapes: T tokens of a GPU's micro-batch, h hidden size, a query heads, d head width, f inner width,
//! t tensor-parallel ranks.

use super::comm::Group;
use super::kernel::{Kernels, smooth_max};
use crate::fitted::Fitted;
use crate::gpu::{Generation, Precision};
use crate::layout::{FUSED, Recompute, Run};
use crate::model::{Block, Mlp};

/// Tokens of a chunk of a mixer's scan.
const SCAN_CHUNK: f64 = 128.0;

/// What a layer's time is made of, s. Times of communication are what is not hidden.
#[derive(Clone, Copy, Debug, Default)]
pub struct LayerTime {
    /// Matrix products.
    pub products: f64,
    /// Attention's inner part.
    pub attention: f64,
    /// Norms, activations, residuals, casts, permutations.
    pub pointwise: f64,
    /// Tensor-parallel communication.
    pub tensor: f64,
    /// Context-parallel communication.
    pub context: f64,
    /// Expert-parallel communication.
    pub expert: f64,
    /// What the host's launches add.
    pub launch: f64,
}

impl LayerTime {
    /// All of it, s.
    pub fn total(&self) -> f64 {
        self.products
            + self.attention
            + self.pointwise
            + self.tensor
            + self.context
            + self.expert
            + self.launch
    }

    /// Adds `other`, `times` over.
    pub fn add(&mut self, other: &Self, times: f64) {
        self.products += times * other.products;
        self.attention += times * other.attention;
        self.pointwise += times * other.pointwise;
        self.tensor += times * other.tensor;
        self.context += times * other.context;
        self.expert += times * other.expert;
        self.launch += times * other.launch;
    }
}

/// What all layers of a run share.
pub(super) struct Layers<'a> {
    pub(super) run: &'a Run,
    pub(super) fitted: &'a Fitted,
    pub(super) kernels: Kernels<'a>,
    tensor: Group,
    context: Group,
    expert: Group,
    /// Tokens of a GPU's micro-batch.
    tokens: f64,
    /// Tensor-parallel ranks.
    t: f64,
}

/// Which pass over a layer.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Forward,
    Backward,
}

impl<'a> Layers<'a> {
    pub(super) fn new(run: &'a Run, fitted: &'a Fitted) -> Self {
        let l = &run.layout;
        let group = |ranks, stride| Group::new(&run.cluster, fitted, ranks, stride);
        Self {
            kernels: Kernels::new(&run.cluster.gpu, run.precision, &run.software, fitted),
            tensor: group(l.tp, 1),
            context: group(l.cp, l.tp),
            expert: group(l.ep, 1),
            tokens: (l.micro_batch * run.seq) as f64 / l.cp as f64,
            t: l.tp as f64,
            run,
            fitted,
        }
    }

    /// Forward, backward and what is computed again of one layer.
    pub(super) fn layer(&self, block: Block) -> (LayerTime, LayerTime) {
        let forward = self.pass(block, Pass::Forward);
        let mut backward = self.pass(block, Pass::Backward);
        match self.run.layout.recompute {
            Recompute::None => {}
            Recompute::Selective => {
                let mut again = LayerTime::default();
                if self.run.software.flash {
                    // What is cheap to compute again: norms and activations.
                    again.pointwise = 0.5 * forward.pointwise;
                } else {
                    again.attention = forward.attention;
                }
                backward.add(&again, 1.0);
            }
            Recompute::Share(_) | Recompute::Full => {
                backward.add(&forward, self.run.layout.recompute.share());
            }
        }
        (forward, backward)
    }

    /// Forward and backward of the output embedding and loss.
    pub(super) fn head(&self) -> LayerTime {
        let m = &self.run.model;
        let (h, v) = (m.hidden_size as f64, m.vocab_size as f64 / self.t);
        let n = 1.0 + m.mtp_layers as f64;
        let k = &self.kernels;
        let products = k.product(self.tokens, v, h, 1.0, false, 2.0)
            + k.product(self.tokens, h, v, 1.0, false, 2.0)
            + k.product(h, v, self.tokens, 1.0, false, 2.0);
        // Logits are written, read twice for the loss in 32 bit, and their gradient written and read.
        let bytes = self.tokens * v * 14.0;
        LayerTime {
            products: n * products,
            pointwise: n * k.move_bytes(bytes * self.fitted.pointwise),
            ..LayerTime::default()
        }
    }

    fn pass(&self, block: Block, pass: Pass) -> LayerTime {
        let m = &self.run.model;
        let f = self.fitted;
        let mut time = LayerTime {
            pointwise: self.pointwise(block, pass),
            tensor: self.tensor_time(block),
            ..LayerTime::default()
        };
        // The host's time: half of a dense layer's for each part of it.
        let part = 0.5 * f.host_us;
        let mut host = 0.0;
        if block.attention {
            time.products += self.attention_products(pass);
            time.attention = self.attention_inner(pass);
            time.context = self.context_time(pass, time.attention);
            host += part;
        }
        if block.mamba {
            self.mixer(&mut time, pass);
            host += part;
        }
        match block.mlp {
            Mlp::None => {}
            Mlp::Dense => {
                let inner = m.intermediate_size as f64 / self.t;
                time.products += self.mlp(self.tokens, m.hidden_size as f64, inner, 1.0, pass);
                host += part;
            }
            Mlp::Experts => {
                self.experts(&mut time, pass);
                host += if self.run.software.fixed_shapes {
                    3.0 * part
                } else {
                    (f.host_moe_us - part).max(part)
                };
            }
        }
        if !self.graphs() {
            let device = time.total();
            time.launch = smooth_max(device, host * 1e-6) - device;
        }
        time
    }

    /// Whether the mixture's kernels are the fused ones, which there are for gated experts in
    /// Blackwell's block formats.
    fn fused(&self) -> bool {
        self.run.software.fused_experts
            && self.run.model.gated
            && self.run.cluster.gpu.generation == Generation::Blackwell
            && matches!(self.run.precision, Precision::Mxfp8 | Precision::Nvfp4)
    }

    /// Whether the whole step is launched as one graph, for which shapes must be known before: with the
    /// fused kernels they are.
    fn graphs(&self) -> bool {
        self.run.model.is_moe() && self.fused()
    }

    /// A Mamba-2 mixer (Dao and Gu 2024): two products, and a short convolution and a scan between them,
    /// which are bound by what they move.
    fn mixer(&self, time: &mut LayerTime, pass: Pass) {
        let m = &self.run.model;
        let h = m.hidden_size as f64;
        let (width, inner) = (m.mamba_width() / self.t, m.mamba_inner() / self.t);
        time.products += self.weight(self.tokens, width, h, 1.0, pass)
            + self.weight(self.tokens, h, inner, 1.0, pass);
        // The convolution reads and writes; the scan reads that, and for each chunk of 128 tokens writes
        // and reads a state in 32 bit twice; gate and norm read two and write one.
        let states = inner * m.ssm_state_size as f64 * 4.0 * 4.0 / SCAN_CHUNK;
        let bytes = 2.0 * (3.0 * width + 4.0 * inner) + states;
        let passes = if pass == Pass::Forward { 1.0 } else { 2.5 };
        let moved = passes * bytes * self.tokens * self.fitted.scan;
        time.pointwise += self.kernels.move_bytes(moved);
    }

    /// A weight's product in one pass: forward, or both gradients.
    fn weight(&self, m: f64, n: f64, k: f64, groups: f64, pass: Pass) -> f64 {
        let low = self.run.precision != Precision::Bf16;
        match pass {
            Pass::Forward => self.kernels.product(m, n, k, groups, low, 2.0),
            Pass::Backward => {
                // A weight's gradient is added to what earlier micro-batches left: read and written.
                let sum = if self.run.software.fp32_gradients {
                    8.0
                } else {
                    4.0
                };
                self.kernels.product(m, k, n, groups, low, 2.0)
                    + self.kernels.product(k, n, m, groups, low, sum)
            }
        }
    }

    fn attention_products(&self, pass: Pass) -> f64 {
        let m = &self.run.model;
        let (h, a) = (m.hidden_size as f64, m.num_attention_heads as f64 / self.t);
        let (qk, v) = (m.qk_dim() as f64, m.v_dim() as f64);
        let out = self.weight(self.tokens, h, a * v, 1.0, pass);
        if m.kv_lora_rank > 0 {
            let (q, kv) = (m.q_lora_rank as f64, m.kv_lora_rank as f64);
            let query = if q > 0.0 {
                self.weight(self.tokens, q, h, 1.0, pass)
                    + self.weight(self.tokens, a * qk, q, 1.0, pass)
            } else {
                self.weight(self.tokens, a * qk, h, 1.0, pass)
            };
            let nope = m.qk_nope_head_dim as f64;
            return out
                + query
                + self.weight(self.tokens, kv + m.qk_rope_head_dim as f64, h, 1.0, pass)
                + self.weight(self.tokens, a * (nope + v), kv, 1.0, pass);
        }
        let kv = (m.num_key_value_heads as f64 / self.t).max(1.0);
        out + self.weight(self.tokens, a * qk + kv * (qk + v), h, 1.0, pass)
    }

    /// An MLP's products between widths `h` and `f`.
    fn mlp(&self, tokens: f64, h: f64, f: f64, groups: f64, pass: Pass) -> f64 {
        let up = (self.run.model.mlp_matrices() - 1) as f64;
        self.weight(tokens, up * f, h, groups, pass) + self.weight(tokens, h, f, groups, pass)
    }

    /// Scores, softmax and values.
    fn attention_inner(&self, pass: Pass) -> f64 {
        let m = &self.run.model;
        let seq = self.run.seq as f64;
        let a = m.num_attention_heads as f64 / self.t;
        let flops = 2.0 * self.tokens * a * (m.qk_dim() + m.v_dim()) as f64;
        let s = &self.run.software;
        if s.flash {
            // Flash attention skips what causality masks; its backward computes scores again.
            let work = match pass {
                Pass::Forward => 1.0,
                Pass::Backward => 2.5,
            };
            let head = (m.qk_dim() + m.v_dim()) as f64;
            return self
                .kernels
                .flash_attention(work * flops * m.mean_keys(seq), head);
        }
        // Unfused: whole scores, which the products, the masked softmax and the dropout write and
        // read: 8 bytes a score forward and 12 backward, 5 more each with dropout and its mask.
        let mask = if s.dropout { 5.0 } else { 0.0 };
        let (work, bytes) = match pass {
            Pass::Forward => (1.0, 8.0 + mask),
            Pass::Backward => (2.0, 12.0 + mask),
        };
        self.kernels.unfused_attention(work * flops * seq)
            + self
                .kernels
                .move_bytes(bytes * self.tokens * a * seq * self.fitted.scores)
    }

    /// Bytes that norms, residuals and activations move.
    fn pointwise(&self, block: Block, pass: Pass) -> f64 {
        let m = &self.run.model;
        let s = &self.run.software;
        let f = self.fitted;
        let h = m.hidden_size as f64;
        let moe = block.mlp == Mlp::Experts;
        let heads = if block.attention {
            (m.num_attention_heads + 2 * m.num_key_value_heads) as f64 * m.qk_dim() as f64
        } else {
            0.0
        };
        let spread = if s.sequence_parallel { self.t } else { 1.0 };
        // For each part a norm (read, write) and a residual sum (two reads, a write), 2 bytes each;
        // dropout reads and writes once more and keeps a mask.
        let wide = block.parts() * h * (10.0 + if s.dropout { 2.0 } else { 0.0 }) / spread;
        let inner = match block.mlp {
            Mlp::None => 0.0,
            Mlp::Dense => m.intermediate_size as f64,
            Mlp::Experts => {
                (m.num_experts_per_tok * m.moe_intermediate_size + m.shared_intermediate_size)
                    as f64
            }
        };
        let unfused = moe && m.own_activation;
        let gate = 2.0 * m.mlp_matrices() as f64 * if unfused { f.unfused_activation } else { 1.0 };
        let narrow = (4.0 * heads + gate * inner) / self.t;
        let passes = if pass == Pass::Forward { 1.0 } else { 2.0 };
        let fuse = match (s.compiled, s.eager) {
            (true, _) => f.fused,
            (false, true) => f.eager,
            (false, false) => 1.0,
        };
        let mut bytes = passes * (wide + narrow) * f.pointwise * fuse;
        if self.run.precision != Precision::Bf16 {
            // Each product's input is read in 16 bit and written in 8, once as it is and once
            // transposed for the weight's gradient.
            let copies = if moe {
                m.num_experts_per_tok as f64
            } else {
                1.0
            };
            let width = if moe { m.expert_width() as f64 } else { h };
            let mixed = if block.mamba {
                h + m.mamba_inner() / self.t
            } else {
                0.0
            };
            let first = if block.attention { h } else { 0.0 };
            let second = if block.mlp == Mlp::None {
                0.0
            } else {
                width * copies
            };
            let inputs = first + second + mixed + (heads + inner) / self.t;
            let slow = if s.slow_casts { f.cast_slow } else { 1.0 };
            let cast = match self.run.precision {
                Precision::Bf16 | Precision::Fp8 => f.cast,
                Precision::Mxfp8 | Precision::Nvfp4 => f.cast_block,
            };
            let age = if moe { self.age() } else { 1.0 };
            bytes += passes * 4.0 * inputs * cast * fuse * slow * age;
        }
        self.kernels.move_bytes(bytes * self.tokens)
    }

    /// Communication between tensor-parallel ranks in one pass: twice a sum over ranks of the
    /// activations, or as many bytes as gather and scatter.
    fn tensor_time(&self, block: Block) -> f64 {
        if self.t <= 1.0 {
            return 0.0;
        }
        let s = &self.run.software;
        let bytes = self.tokens * self.run.model.hidden_size as f64 * 2.0;
        let sums = if s.parallel_block { 1.0 } else { block.parts() };
        let exposed = if s.tp_overlap {
            self.fitted.tp_exposed
        } else {
            1.0
        };
        sums * self.tensor.all_reduce(bytes) * exposed
    }

    /// Keys and values that go round the context-parallel ranks, beside attention.
    fn context_time(&self, pass: Pass, attention: f64) -> f64 {
        let l = &self.run.layout;
        if l.cp <= 1 {
            return 0.0;
        }
        let m = &self.run.model;
        let kv = (m.num_key_value_heads as f64 / self.t).max(1.0) * (m.qk_dim() + m.v_dim()) as f64;
        let bytes = self.tokens * kv * 2.0 * if pass == Pass::Forward { 1.0 } else { 2.0 };
        let time = self.context.send(bytes) * (l.cp as f64 - 1.0);
        smooth_max(attention, time) - attention
    }

    /// How much more casting, permuting and waiting mixtures did before their kernels were fused for
    /// Blackwell.
    fn age(&self) -> f64 {
        if self.fused() {
            return 1.0;
        }
        let f = self.fitted;
        let before = if self.run.cluster.gpu.generation == Generation::Blackwell {
            f.moe_before
        } else {
            1.0
        };
        before * (f.moe_age * (FUSED - self.run.software.year).clamp(0.0, 3.0)).exp()
    }

    /// Routed and shared experts, and how tokens come to them.
    fn experts(&self, time: &mut LayerTime, pass: Pass) {
        let m = &self.run.model;
        let f = self.fitted;
        let l = &self.run.layout;
        let (h, k) = (m.expert_width() as f64, m.num_experts_per_tok as f64);
        // With sequence parallelism a tensor-parallel rank routes its own part of the tokens.
        let tokens = self.tokens / self.t;
        let local = (m.num_experts as f64 / l.ep as f64).max(1.0);
        let per_expert = tokens * k * self.run.imbalance / local;
        let age = self.age();
        time.products +=
            self.mlp(per_expert, h, m.moe_intermediate_size as f64, local, pass) / f.grouped;
        let hidden = m.hidden_size as f64;
        if m.moe_latent_size > 0 {
            time.products += self.weight(tokens, h, hidden, 1.0, pass)
                + self.weight(tokens, hidden, h, 1.0, pass);
        }
        if m.shared_intermediate_size > 0 {
            time.products += self.mlp(
                self.tokens,
                hidden,
                m.shared_intermediate_size as f64 / self.t,
                1.0,
                pass,
            );
        }
        // Tokens are sorted to experts and back: read and written twice.
        let routed = tokens * k * h * self.run.imbalance;
        let passes = if pass == Pass::Forward { 1.0 } else { 1.5 };
        time.pointwise += passes * self.kernels.move_bytes(routed * 8.0 * f.permute) * age;
        let bytes = routed * 2.0;
        // Beside other micro-batches' products, where a pipeline has some at hand or all is one graph.
        let beside = l.pp > 1 && self.expert.is_far() || self.fused();
        let exposed = if self.run.software.ep_overlap && beside {
            f.ep_exposed
        } else {
            1.0
        };
        time.expert += 2.0 * self.expert.all_to_all(bytes, k) * exposed;
    }
}
