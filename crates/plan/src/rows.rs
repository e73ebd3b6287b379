//! Published measurements, read from CSV: each row becomes a [`Run`] and what was measured of it.
//!
//! What a row leaves open is filled by rules that hold for every row (the usual vocabulary of its
//! time, the software that its date and words imply), never by its name in the file.

use std::collections::BTreeMap;

use crate::fitted::Fitted;
use crate::gpu::{Cluster, Generation, Precision, find_gpu};
use crate::layout::{FUSED, Layout, NEWEST, Recompute, Run, Sharding, Software};
use crate::memory::memory;
use crate::model::{Model, models};

/// A CSV file's rows by the header's names (RFC 4180; lines that are empty are left out).
pub fn parse_csv(text: &str) -> Result<Vec<BTreeMap<String, String>>, String> {
    let mut records = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            (_, '"') => quoted = !quoted,
            (false, ',') => record.push(std::mem::take(&mut field)),
            (false, '\n') => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            (false, '\r') => {}
            (_, c) => field.push(c),
        }
    }
    if quoted {
        return Err("a quoted field has no end".to_owned());
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    let mut records = records
        .into_iter()
        .filter(|r| r.iter().any(|f| !f.trim().is_empty()));
    let header = records.next().ok_or("the file is empty")?;
    Ok(records
        .map(|r| {
            header
                .iter()
                .map(|n| n.trim().to_owned())
                .zip(r.into_iter().map(|f| f.trim().to_owned()))
                .collect()
        })
        .collect())
}

/// What was measured of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measured {
    /// Time of a step, s.
    pub step_s: Option<f64>,
    /// Memory of a GPU, GiB.
    pub memory_gib: Option<f64>,
}

/// A row that can be predicted.
#[derive(Clone, Debug)]
pub struct Case {
    /// The row's id.
    pub id: String,
    /// Where it comes from.
    pub group: String,
    /// GPU kind.
    pub gpu_kind: String,
    /// Whether it counts for fitting.
    pub fit: bool,
    /// The run.
    pub run: Run,
    /// What was measured.
    pub measured: Measured,
}

/// A row that cannot be predicted, and why.
#[derive(Clone, Debug)]
pub struct Skipped {
    /// The row's id.
    pub id: String,
    /// Where it comes from.
    pub group: String,
    /// Whether it counts for fitting.
    pub fit: bool,
    /// Whether it is a mixture of experts, as far as the row says.
    pub moe: bool,
    /// What was measured: step time where known, else tokens a second and GPU.
    pub measured: Option<f64>,
    /// What it lacks.
    pub reason: String,
}

/// A row either way.
pub type Row = Result<Case, Skipped>;

struct Fields<'a>(&'a BTreeMap<String, String>);

impl Fields<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    fn number(&self, name: &str) -> Option<f64> {
        self.text(name)
            .parse()
            .ok()
            .filter(|v: &f64| v.is_finite() && *v > 0.0)
    }

    fn count(&self, name: &str) -> Option<u64> {
        self.number(name).map(|v| v as u64).filter(|v| *v > 0)
    }
}

/// Reads the rows of a file of runs (columns as in `runs.csv`, or those of the single-node A100 file).
pub fn read_rows(text: &str) -> Result<Vec<Row>, String> {
    let records = parse_csv(text)?;
    let single = records
        .first()
        .is_some_and(|r| r.contains_key("iteration time (ms)"));
    if let Some(first) = records.first()
        && !single
        && !first.contains_key("gpu_kind")
    {
        return Err("the header has no column gpu_kind: these are not rows of runs".to_owned());
    }
    Ok(records
        .iter()
        .enumerate()
        .map(|(i, r)| {
            if single {
                single_node(i, &Fields(r))
            } else {
                row(&Fields(r))
            }
        })
        .collect())
}

fn row(f: &Fields<'_>) -> Row {
    let measured = f
        .number("step_time_s")
        .or_else(|| f.number("tokens_per_s_per_gpu"));
    case(f).map_err(|reason| Skipped {
        id: f.text("id").to_owned(),
        group: f.text("group").to_owned(),
        fit: f.text("use") == "fit",
        moe: f.number("experts").is_some(),
        measured,
        reason,
    })
}

/// Letters and digits of a name alone, in lower case.
fn plain(name: &str) -> String {
    name.to_lowercase()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect()
}

/// The built-in model that a row's words begin with.
fn known_model(words: &str) -> Option<&'static Model> {
    let words = plain(words);
    models()
        .iter()
        .flat_map(|m| {
            std::iter::once(&m.name)
                .chain(&m.aliases)
                .map(move |n| (plain(n), m))
        })
        .filter(|(n, _)| words.starts_with(n.as_str()))
        .max_by_key(|(n, _)| n.len())
        .map(|(_, m)| m)
}

fn model(f: &Fields<'_>, classic: bool) -> Result<Model, String> {
    let known = known_model(f.text("model"));
    let layers = f.count("layers");
    if let Some(m) = known
        && (m.is_moe() || f.count("hidden").is_none())
    {
        let mut m = m.clone();
        let whole = m.num_hidden_layers;
        if let Some(layers) = layers {
            m.num_hidden_layers = layers;
        }
        if m.num_hidden_layers < whole {
            // Cut for a benchmark: a dense layer, then mixtures, and no extra prediction.
            m.first_k_dense = m.first_k_dense.min(1);
            m.mtp_layers = 0;
        }
        if f.text("model").contains("w/o MTP") {
            m.mtp_layers = 0;
        }
        return Ok(m);
    }
    let need = |name: &str| {
        f.count(name)
            .ok_or(format!("no {name}, and no known model"))
    };
    let (hidden, layers) = (
        need("hidden")?,
        layers.ok_or("no layers, and no known model")?,
    );
    let experts = f.count("experts").unwrap_or(0);
    let ffn = need("ffn").unwrap_or(4 * hidden);
    // Published sweeps that leave the head count open use heads of 128.
    let heads = f.count("heads").unwrap_or((hidden / 128).max(1));
    Ok(Model {
        name: f.text("model").to_owned(),
        aliases: Vec::new(),
        hidden_size: hidden,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        num_key_value_heads: f.count("kv_heads").unwrap_or(heads),
        head_dim: 0,
        intermediate_size: if experts > 1 { 0 } else { ffn },
        vocab_size: f.count("vocab").unwrap_or(51200),
        // GPT-like models have inner widths of four times the hidden size and two matrices.
        gated: ffn != 4 * hidden,
        tied: classic || ffn == 4 * hidden,
        seq_len: f.count("seq").unwrap_or(2048),
        num_experts: experts,
        num_experts_per_tok: f.count("topk").unwrap_or(0),
        moe_intermediate_size: if experts > 1 { ffn } else { 0 },
        shared_intermediate_size: 0,
        first_k_dense: 0,
        q_lora_rank: 0,
        kv_lora_rank: 0,
        qk_nope_head_dim: 0,
        qk_rope_head_dim: 0,
        v_head_dim: 0,
        sliding_window: 0,
        sliding_share: 0.0,
        own_activation: false,
        mtp_layers: 0,
        ..models()[0].clone()
    })
}

fn precision(f: &Fields<'_>, gpu: &crate::gpu::Gpu) -> Precision {
    let wanted = match f.text("precision_kind") {
        "mxfp8" => Precision::Mxfp8,
        "nvfp4" => Precision::Nvfp4,
        // Columns whose heading was ambiguous hold 8-bit runs.
        "fp8" | "ambiguous" => Precision::Fp8,
        _ => Precision::Bf16,
    };
    if gpu.peak(wanted).is_some() {
        wanted
    } else {
        Precision::Bf16
    }
}

/// Year of a container release named like 25.09 anywhere in `text`.
fn release_year(text: &str) -> Option<f64> {
    let bytes = text.as_bytes();
    bytes.windows(5).enumerate().find_map(|(i, w)| {
        let digit = |j: usize| w[j].is_ascii_digit().then(|| f64::from(w[j] - b'0'));
        if w[2] != b'.' || i > 0 && bytes[i - 1].is_ascii_digit() {
            return None;
        }
        let (year, month) = (digit(0)? * 10.0 + digit(1)?, digit(3)? * 10.0 + digit(4)?);
        ((22.0..40.0).contains(&year) && (1.0..=12.0).contains(&month))
            .then_some(2000.0 + year + month / 12.0)
    })
}

fn software(f: &Fields<'_>, gpu: &crate::gpu::Gpu, sharding: &str) -> Software {
    let words = f.text("notes").to_lowercase();
    let source = f.text("source").to_lowercase();
    // Its layers are written by hand in CUDA, each a fused kernel.
    let by_hand = source.contains("llm.c");
    let fp16 = f.text("precision").contains("fp16");
    let fully_sharded = ["FSDP", "HSDP", "SHARD"]
        .iter()
        .any(|s| sharding.contains(s));
    let before_flash = matches!(gpu.generation, Generation::Volta | Generation::Ampere)
        && !fully_sharded
        && (fp16 || sharding == "ZeRO-1" && f.count("pp").unwrap_or(1) > 1);
    if before_flash {
        return Software {
            sequence_parallel: f.text("recompute").starts_with("selective"),
            gathers_each_parameter: sharding == "ZeRO-3",
            copies_gradients: sharding == "ZeRO-1",
            ..Software::CLASSIC
        };
    }
    let release = release_year(f.text("id")).or_else(|| release_year(&source));
    let tensor_overlap =
        words.contains("asynctp") || release.is_some() && !words.contains("vanillatp");
    Software {
        compiled: words.contains("compile") || by_hand,
        dp_overlap: gpu.generation != Generation::Ampere
            || fully_sharded
            || words.contains("parallel block"),
        eager: fully_sharded && release.is_none() && !by_hand && !words.contains("compile"),
        first_attention: f.text("model").starts_with("MPT"),
        slow_casts: f.text("precision").contains("rowwise"),
        sequence_parallel: true,
        tp_overlap: tensor_overlap || words.contains("parallel block"),
        ep_overlap: release.is_some(),
        parallel_block: words.contains("parallel block"),
        fp32_gradients: !(words.contains("mode pure") || by_hand),
        new_attention: release.is_some() || gpu.generation == Generation::Blackwell,
        fused_experts: release.is_some_and(|y| y > FUSED),
        fixed_shapes: f.text("model").contains("tokendrop"),
        year: release.unwrap_or(NEWEST - 1.0),
        ..Software::MODERN
    }
}

fn sharding(words: &str, modern: bool) -> Sharding {
    match words {
        w if w.contains("HSDP") => Sharding::Hsdp,
        w if w.contains("SHARD_GRAD_OP") => Sharding::Zero2,
        w if w.contains("FSDP") || w.contains("FULL_SHARD") || w.contains("ZeRO-3") => {
            Sharding::Zero3
        }
        w if w.contains("ZeRO-2") || w.contains("ZeRO-1") || w.contains("distributed") => {
            Sharding::Zero1
        }
        // What Megatron does unless told otherwise, for some years now.
        "" if modern => Sharding::Zero1,
        _ => Sharding::None,
    }
}

fn recompute(f: &Fields<'_>) -> Recompute {
    match f.text("recompute") {
        "full" => Recompute::Full,
        w if w.starts_with("selective") => {
            // Where both shares of peak are published, their ratio says how much of the forward pass
            // (a third of the model's FLOPs) was computed again.
            match (f.number("mfu_pct"), f.number("hfu_pct")) {
                (Some(m), Some(h)) if h > m * 1.06 => {
                    Recompute::Share((3.0 * (h / m - 1.0)).min(1.0))
                }
                _ => Recompute::Selective,
            }
        }
        _ => Recompute::None,
    }
}

/// What must be computed again for a run to fit, where nobody says what was: nothing, what is cheap, or
/// as small a share of layers as will do, in eighths.
fn needed_recompute(run: &Run) -> Recompute {
    let prior = Fitted::prior();
    let mut run = run.clone();
    let shares = (1..8).map(|n| Recompute::Share(f64::from(n) / 8.0));
    for recompute in [Recompute::None, Recompute::Selective]
        .into_iter()
        .chain(shares)
    {
        run.layout.recompute = recompute;
        if memory(&run, &prior).total_gib <= run.cluster.gpu.memory_gib {
            return run.layout.recompute;
        }
    }
    Recompute::Full
}

fn case(f: &Fields<'_>) -> Result<Case, String> {
    let gpu = find_gpu(f.text("gpu_kind")).map_err(|e| e.to_string())?;
    let need = |name: &str| f.count(name).ok_or(format!("no {name}"));
    let sharded = f.text("sharding");
    let software = software(f, gpu, sharded);
    let model = model(f, !software.flash)?;
    model.check().map_err(|e| e.to_string())?;
    let gpus = need("n_gpus")?;
    let (tp, pp) = (need("tp")?, need("pp")?);
    let cp = f.count("cp").unwrap_or(1);
    let dp = f.count("dp").unwrap_or(gpus / (tp * pp * cp).max(1)).max(1);
    // Micro-batches a step, where a row says so instead of the batch.
    let words = f.text("notes");
    let count = words.split("(micro-batch count) = ").nth(1).and_then(|w| {
        w.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
            .parse::<u64>()
            .ok()
    });
    let mut micro_batch = match (f.count("micro_batch"), count) {
        (Some(n), _) => n,
        (None, Some(_)) => 1,
        // A table that leaves it open: one sequence where there is a pipeline, else all at once up
        // to what early Megatron ran, eight.
        (None, None) if pp > 1 => 1,
        (None, None) => (f.count("global_batch").unwrap_or(dp) / dp).clamp(1, 8),
    };
    let global_batch = f
        .count("global_batch")
        .or(count.map(|c| c * micro_batch * dp))
        .ok_or("no global_batch")?;
    let fully = sharding(sharded, true).shards_weights();
    if pp > 1 && fully && micro_batch >= pp && micro_batch * dp == global_batch {
        // torchtitan's local batch, which its schedule splits into one micro-batch a stage.
        micro_batch /= pp;
    }
    let seq = f
        .count("seq")
        .unwrap_or(if software.flash { 4096 } else { 1024 });
    let mut cluster = Cluster::of(gpu, gpus);
    if let Some(n) = f.count("gpus_per_node") {
        cluster.gpus_per_node = n.min(1024) as u32;
    }
    if let Some(n) = f.number("node_gbps") {
        cluster.node_gbps = n;
    }
    let mut run = Run {
        layout: Layout {
            tp,
            pp,
            vpp: f.count("vpp").unwrap_or_else(|| {
                if words.contains("interleaved schedule") && pp > 1 {
                    interleaving(&model, pp)
                } else if words.contains("Interleaved") {
                    2
                } else {
                    1
                }
            }),
            dp,
            cp,
            ep: f.count("ep").unwrap_or(1),
            sharding: sharding(
                sharded,
                gpu.generation != Generation::Ampere && software.flash,
            ),
            micro_batch,
            recompute: recompute(f),
        },
        precision: precision(f, gpu),
        model,
        cluster,
        seq,
        global_batch,
        software,
        imbalance: 1.0,
    };
    run.check().map_err(|e| e.to_string())?;
    if f.text("recompute").starts_with("unpublished") {
        run.layout.recompute = needed_recompute(&run);
    }
    let tokens = run.tokens();
    let mut measured = Measured {
        step_s: f.number("step_time_s").or_else(|| {
            f.number("tokens_per_s_per_gpu")
                .map(|t| tokens / t / gpus as f64)
        }),
        memory_gib: f.number("mem_GiB"),
    };
    if measured.step_s.is_none() {
        measured.step_s = f
            .number("tflops_per_gpu")
            .map(|t| counted_flops(&run) / (t * 1e12 * gpus as f64))
            .or_else(|| {
                f.number("mfu_pct").map(|p| {
                    let peak = gpu.bf16_tflops * 1e12 * gpus as f64;
                    megatron_flops(&run, 3.0) / (p / 100.0 * peak)
                })
            });
    }
    Ok(Case {
        id: f.text("id").to_owned(),
        group: f.text("group").to_owned(),
        gpu_kind: gpu.name.clone(),
        fit: f.text("use") == "fit",
        run,
        measured,
    })
}

/// Chunks a stage that Megatron's interleaved schedule was run with where nothing is said: two layers
/// a chunk where that divides, else one.
fn interleaving(model: &Model, pp: u64) -> u64 {
    let layers = model.num_hidden_layers / pp.max(1);
    if layers.is_multiple_of(2) {
        (layers / 2).max(1)
    } else {
        layers.max(1)
    }
}

/// FLOPs of a step by Megatron's formula (Narayanan et al. 2021, equation 3), in which `passes` is 3,
/// or 4 with recomputation, and attention is counted without the causal half.
fn megatron_flops(run: &Run, passes: f64) -> f64 {
    let m = &run.model;
    let (l, h, s) = (
        m.num_hidden_layers as f64,
        m.hidden_size as f64,
        run.seq as f64,
    );
    let (b, v) = (run.global_batch as f64, m.vocab_size as f64);
    24.0 * passes * b * s * l * h * h * (1.0 + s / (6.0 * h)) + 6.0 * b * s * h * v
}

/// What a published TFLOP/s counts: with full recomputation of that time, the fourth pass too.
fn counted_flops(run: &Run) -> f64 {
    let passes = if run.layout.recompute == Recompute::Full {
        4.0
    } else {
        3.0
    };
    megatron_flops(run, passes)
}

fn single_node(i: usize, f: &Fields<'_>) -> Row {
    let id = format!("single-{}", i + 1);
    let skipped = |reason: String| Skipped {
        id: id.clone(),
        group: "vtrain-single".to_owned(),
        fit: true,
        moe: false,
        measured: f.number("iteration time (ms)").map(|t| t / 1e3),
        reason,
    };
    let get = |name: &str| f.count(name).ok_or_else(|| skipped(format!("no {name}")));
    let hidden = get("hidden size")?;
    let heads = get("attention heads")?;
    let gpu = find_gpu("A100-80GB").map_err(|e| skipped(e.to_string()))?;
    let gpus = get("# GPUs")?;
    let run = Run {
        model: Model {
            name: format!("GPT {hidden}"),
            hidden_size: hidden,
            num_hidden_layers: get("# layers")?,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            intermediate_size: 4 * hidden,
            vocab_size: 51200,
            seq_len: get("sequence length")?,
            gated: false,
            tied: true,
            ..models()[0].clone()
        },
        cluster: Cluster::of(gpu, gpus),
        layout: Layout {
            tp: get("tensor parallelism")?,
            pp: get("pipeline parallelism")?,
            vpp: 1,
            dp: get("data parallelism")?,
            cp: 1,
            ep: 1,
            sharding: Sharding::None,
            micro_batch: get("micro batch")?,
            recompute: Recompute::Full,
        },
        seq: get("sequence length")?,
        global_batch: get("global batch")?,
        precision: Precision::Bf16,
        software: Software::CLASSIC,
        imbalance: 1.0,
    };
    run.check().map_err(|e| skipped(e.to_string()))?;
    let step = f.number("iteration time (ms)").map(|t| t / 1e3);
    Ok(Case {
        id: id.clone(),
        group: "vtrain-single".to_owned(),
        gpu_kind: gpu.name.clone(),
        fit: true,
        run,
        measured: Measured {
            step_s: step,
            memory_gib: None,
        },
    })
}
