//! What software reaches of the data sheets' numbers: the few parameters of the cost model, each with
//! its prior, and the values fitted to published measurements (`tables/fitted.toml`).
//!
//! All are positive and fitted in logarithms. A prior is what the literature or the makers' own
//! benchmarks say before any of the rows is seen; where rows say nothing, it stands.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::gpu::{Gpu, gpus};

/// One parameter: what it is called, its prior and how sure that is.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Name in the table.
    pub name: &'static str,
    /// Prior value.
    pub prior: f64,
    /// Standard deviation of its logarithm.
    pub sigma: f64,
}

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident = $prior:expr, $sigma:expr;)*) => {
        /// The parameters of the cost model.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Fitted {
            $($(#[$doc])* pub $name: f64,)*
            /// For each GPU kind, in the table's order: how far its products are from the common
            /// share of peak (`gemm`), as a factor.
            pub kind: Vec<f64>,
        }

        /// Every parameter but the kinds' with its prior.
        pub const PARAMETERS: &[Parameter] = &[
            $(Parameter { name: stringify!($name), prior: $prior, sigma: $sigma },)*
        ];

        impl Fitted {
            /// The priors.
            pub fn prior() -> Self {
                Self { $($name: $prior,)* kind: vec![1.0; gpus().len()] }
            }

            /// Parameter number `i`: the common ones first, then one for each GPU kind.
            pub fn get(&self, i: usize) -> f64 {
                let common = [$(self.$name,)*];
                common.get(i).copied().unwrap_or_else(|| self.kind[i - common.len()])
            }

            /// Sets parameter number `i`.
            pub fn set(&mut self, i: usize, value: f64) {
                let common = [$(&mut self.$name,)*];
                let n = common.len();
                if i < n { *common[i] = value } else { self.kind[i - n] = value }
            }
        }
    };
}

/// Standard deviation of the logarithm of a GPU kind's own factor.
pub const KIND_SIGMA: f64 = 0.06;

parameters! {
    /// Share of the 16-bit peak that a large product reaches under the power limit.
    gemm = 0.72, 0.10;
    /// The same on Volta, in the software of its time.
    gemm_volta = 0.70, 0.15;
    /// The same on Hopper by the common one: its clock falls further under load.
    gemm_hopper = 0.92, 0.08;
    /// The same on Blackwell by the common one.
    gemm_blackwell = 0.60, 0.10;
    /// How a chip's rate goes with its power limit: the exponent.
    power = 0.50, 0.20;
    /// The same in software before flash attention by what later software reaches.
    gemm_classic = 0.92, 0.08;
    /// An 8-bit product's share of its peak, by the 16-bit one's.
    fp8 = 0.88, 0.12;
    /// The same on Blackwell, where power holds 16-bit products back more.
    fp8_blackwell = 1.25, 0.15;
    /// A 4-bit product's share of its peak, by the 16-bit one's.
    fp4 = 0.90, 0.20;
    /// Waves of tiles at which a product reaches half of its rate.
    wave_half = 0.25, 0.5;
    /// Inner length at which a product reaches half of its rate.
    k_half = 150.0, 0.5;
    /// Share of the memory bandwidth that pointwise kernels reach.
    memory = 0.75, 0.15;
    /// Traffic of pointwise kernels by the count of their inputs and outputs.
    pointwise = 1.0, 0.3;
    /// The same where a compiler fuses them.
    fused = 0.6, 0.3;
    /// The same where each operation is a kernel of its own.
    eager = 1.4, 0.3;
    /// Traffic of casts to 8 and 4 bit by their count.
    cast = 1.4, 0.3;
    /// The same where scales belong to blocks.
    cast_block = 0.9, 0.3;
    /// Traffic of casts whose kernels nothing fuses, by that of others.
    cast_slow = 4.0, 0.4;
    /// Traffic of whole attention scores by its count.
    scores = 1.0, 0.3;
    /// Share of the 16-bit peak of unfused attention's products.
    attention_unfused = 0.35, 0.3;
    /// Share of the 16-bit peak of the first flash attention kernels (Triton's), on Ampere.
    attention_first = 0.36, 0.15;
    /// Share of the 16-bit peak of `FlashAttention` 2 on Ampere.
    attention_ampere = 0.50, 0.15;
    /// The same on Hopper by kernels made for Ampere.
    attention_hopper_old = 0.22, 0.2;
    /// The same on Hopper.
    attention_hopper = 0.50, 0.2;
    /// The same on Blackwell.
    attention_blackwell = 0.40, 0.3;
    /// Share of NVLink's bandwidth that collectives reach.
    nvlink = 0.75, 0.15;
    /// Share of the network's bandwidth that collectives reach.
    network = 0.85, 0.15;
    /// Share of that where weights are gathered parameter by parameter.
    network_pieces = 0.12, 0.4;
    /// Memory traffic for each parameter and micro-batch where gradients are copied, bytes.
    copies = 40.0, 0.5;
    /// Latency of a collective inside NVLink, µs a step.
    nvlink_latency_us = 9.0, 0.4;
    /// Latency of a collective over the network, µs a hop of the ring.
    network_latency_us = 5.0, 0.5;
    /// Share of tensor-parallel communication that is not hidden, where software overlaps it.
    tp_exposed = 0.5, 0.4;
    /// Share of sends between pipeline stages that is not hidden, where software overlaps them.
    send_exposed = 0.3, 0.5;
    /// Share of gradient communication that is not hidden behind the last backward pass.
    dp_exposed = 0.3, 0.5;
    /// Share of expert-parallel communication that is not hidden, where software overlaps it.
    ep_exposed = 0.4, 0.4;
    /// Slow-down of products by communication beside them, as a share of the hidden time.
    contention = 0.2, 0.5;
    /// The host's time to launch one dense layer's forward pass, µs.
    host_us = 1000.0, 0.15;
    /// The same for a mixture layer.
    host_moe_us = 4500.0, 0.2;
    /// Share of the rate of a dense product that grouped products of experts reach.
    grouped = 0.78, 0.15;
    /// Traffic of permuting tokens to experts by its count.
    permute = 1.0, 0.3;
    /// Traffic of a Mamba mixer's convolution, scan and gate by its count: its kernels are far from the
    /// memory's bandwidth.
    scan = 4.0, 0.3;
    /// Rate that the clock gains where a GPU idles in the pipeline, a unit of idle share.
    boost = 0.25, 0.5;
    /// Time of a step that nothing else explains: optimizer launches, norms, data, s.
    step_s = 0.01, 0.4;
    /// Spread of GPUs' speeds: the standard deviation of their time by its mean.
    straggle = 0.008, 0.5;
    /// Traffic of an expert activation that is not fused, by that of one that is.
    unfused_activation = 9.0, 0.3;
    /// Casts and permutations of mixtures on Blackwell where their kernels are not fused.
    moe_before = 1.3, 0.2;
    /// The same on every chip, growth a year before the newest software.
    moe_age = 0.80, 0.3;
    /// Activations by their count.
    held_activations = 1.0, 0.12;
    /// Logits and what the loss keeps of them, by their count.
    held_logits = 1.0, 0.25;
    /// Share of activations that selective recomputation keeps where scores are not kept anyway.
    held_selective = 0.40, 0.3;
    /// Memory of the driver and of communication libraries, GiB.
    held_driver_gib = 5.0, 0.3;
    /// Share that the allocator loses to fragments.
    fragments = 0.03, 0.5;
    /// The same before it could grow segments.
    fragments_classic = 0.15, 0.3;
}

#[derive(Deserialize)]
struct Table {
    common: std::collections::BTreeMap<String, f64>,
    kind: std::collections::BTreeMap<String, f64>,
}

impl Fitted {
    /// How many parameters there are.
    pub fn len() -> usize {
        PARAMETERS.len() + gpus().len()
    }

    /// The name, prior and deviation of parameter `i`.
    pub fn describe(i: usize) -> (String, f64, f64) {
        PARAMETERS.get(i).map_or_else(
            || (gpus()[i - PARAMETERS.len()].name.clone(), 1.0, KIND_SIGMA),
            |p| (p.name.to_owned(), p.prior, p.sigma),
        )
    }

    /// The values fitted to all rows.
    pub fn built_in() -> &'static Self {
        static FITTED: OnceLock<Fitted> = OnceLock::new();
        FITTED.get_or_init(|| {
            Self::parse(include_str!("../tables/fitted.toml")).expect("the built-in table is sound")
        })
    }

    /// Reads a table as [`Fitted::to_toml`] writes it; what it does not hold keeps its prior.
    pub fn parse(text: &str) -> Result<Self, String> {
        let table: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut fitted = Self::prior();
        for i in 0..Self::len() {
            let (name, ..) = Self::describe(i);
            let side = if i < PARAMETERS.len() {
                &table.common
            } else {
                &table.kind
            };
            if let Some(value) = side.get(&name) {
                if !(value.is_finite() && *value > 0.0) {
                    return Err(format!("{name} is {value}: must be over 0"));
                }
                fitted.set(i, *value);
            }
        }
        Ok(fitted)
    }

    /// The table as TOML.
    pub fn to_toml(&self) -> String {
        let mut out = String::from(
            "# The cost model's parameters, fitted to published measurements by\n\
             # `cargo run --release -p terang-plan --example fit -- FOLDER`. What each means and its\n\
             # unit is in src/fitted.rs; behind each value stands its prior.\n\n[common]\n",
        );
        for i in 0..Self::len() {
            if i == PARAMETERS.len() {
                out.push_str(
                    "\n# A GPU kind's own factor on its generation's share of peak.\n[kind]\n",
                );
            }
            let (name, prior, _) = Self::describe(i);
            let name = if i < PARAMETERS.len() {
                name
            } else {
                format!("\"{name}\"")
            };
            let line = format!("{name} = {:.4}  # prior {prior}\n", self.get(i));
            out.push_str(&line);
        }
        out
    }

    /// A kind's own factor.
    pub fn kind_factor(&self, gpu: &Gpu) -> f64 {
        gpus()
            .iter()
            .position(|g| g.name == gpu.name)
            .map_or(1.0, |i| self.kind[i])
    }
}
