//! Properties over random runs: no number is negative or none at all, faster parts never slow a step
//! down, and memory and time go the way they must.

use proptest::prelude::*;
use terang_plan::cost::stragglers::Stragglers;
use terang_plan::memory::memory;
use terang_plan::plan::plan;
use terang_plan::request::{Pins, Request, parse_bandwidth, parse_count};
use terang_plan::rows::{parse_csv, read_rows};
use terang_plan::{
    Cluster, Fitted, Layout, Model, Precision, Recompute, Run, Sharding, Software, gpus, models,
    step_time,
};

fn model() -> impl Strategy<Value = Model> {
    (0..models().len(), 1_u64..=3).prop_map(|(i, part)| {
        let mut m = models()[i].clone();
        m.num_hidden_layers = (m.num_hidden_layers / part).max(m.first_k_dense + 1);
        m
    })
}

fn run() -> impl Strategy<Value = Run> {
    let layout = (
        0_u32..4,
        1_u64..12,
        1_u64..4,
        0_u32..6,
        0_u32..3,
        0_u32..4,
        0_u32..4,
        0_u32..4,
    );
    let rest = (
        0..gpus().len(),
        7_u32..16,
        1_u64..200,
        0_u32..4,
        any::<[bool; 8]>(),
        1.0_f64..4.0,
    );
    (model(), layout, rest).prop_map(
        |(m, (tp, pp, vpp, dp, cp, ep, mb, r), (g, seq, batches, p, bits, imbalance))| {
            let gpu = &gpus()[g];
            let layout = Layout {
                tp: 1 << tp,
                pp: pp.min(m.num_hidden_layers),
                vpp,
                dp: 1 << dp,
                cp: 1 << cp,
                ep: if m.is_moe() { 1 << ep } else { 1 },
                sharding: [
                    Sharding::None,
                    Sharding::Zero1,
                    Sharding::Zero2,
                    Sharding::Zero3,
                    Sharding::Hsdp,
                ][(mb as usize + r as usize) % 5],
                micro_batch: 1 << mb,
                recompute: [
                    Recompute::None,
                    Recompute::Selective,
                    Recompute::Share(0.5),
                    Recompute::Full,
                ][r as usize],
            };
            let precision = [
                Precision::Bf16,
                Precision::Fp8,
                Precision::Mxfp8,
                Precision::Nvfp4,
            ][p as usize];
            let precision = if gpu.peak(precision).is_some() {
                precision
            } else {
                Precision::Bf16
            };
            let base = if bits[0] {
                Software::MODERN
            } else {
                Software::CLASSIC
            };
            Run {
                cluster: Cluster {
                    pod_gpus: 1 << (seq % 7),
                    oversubscription: 4.0 / imbalance,
                    stragglers: Stragglers {
                        slow_share: if bits[1] { 0.01 } else { 0.0 },
                        ..Stragglers::default()
                    },
                    ..Cluster::of(gpu, layout.gpus())
                },
                seq: 1 << seq,
                global_batch: batches * layout.dp,
                precision,
                software: Software {
                    compiled: bits[1],
                    eager: bits[2],
                    sequence_parallel: bits[3],
                    tp_overlap: bits[4],
                    dp_overlap: bits[5],
                    gathers_each_parameter: bits[6],
                    copies_gradients: bits[7],
                    ..base
                },
                imbalance,
                layout,
                model: m,
            }
        },
    )
}

fn total(run: &Run) -> f64 {
    step_time(run, Fitted::built_in()).total_s
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_number_is_one_and_none_is_negative(run in run()) {
        let s = step_time(&run, Fitted::built_in());
        let m = memory(&run, Fitted::built_in());
        for v in [
            s.products_s, s.attention_s, s.pointwise_s, s.launch_s, s.tensor_s, s.context_s, s.expert_s,
            s.pipeline_send_s, s.bubble_s, s.data_s, s.optimizer_s, s.straggle_s, s.other_s, s.total_s, m.weights_gib,
            m.gradients_gib, m.optimizer_gib, m.activations_gib, m.logits_gib, m.fragments_gib, m.total_gib,
        ] {
            prop_assert!(v.is_finite() && v >= 0.0, "{s:?} {m:?}");
        }
        prop_assert!(s.total_s > 0.0 && m.total_gib > 0.0);
        let parts = s.products_s + s.attention_s + s.pointwise_s + s.launch_s + s.tensor_s + s.context_s
            + s.expert_s + s.pipeline_send_s + s.bubble_s + s.data_s + s.optimizer_s + s.straggle_s + s.other_s;
        prop_assert!((parts / s.total_s - 1.0).abs() < 1e-6, "{parts} {}", s.total_s);
    }

    #[test]
    fn faster_parts_never_slow_a_step_down(run in run(), by in 1.01_f64..3.0) {
        let before = total(&run);
        let faster: [fn(&mut Run, f64); 8] = [
            |r, f| {
                let g = &mut r.cluster.gpu;
                g.bf16_tflops *= f;
                g.fp8_tflops = g.fp8_tflops.map(|t| t * f);
                g.fp4_tflops = g.fp4_tflops.map(|t| t * f);
            },
            |r, f| r.cluster.gpu.memory_gbs *= f,
            |r, f| r.cluster.gpu.nvlink_gbs *= f,
            |r, f| r.cluster.node_gbps *= f,
            |r, f| r.cluster.oversubscription = (r.cluster.oversubscription / f).max(1.0),
            |r, f| r.cluster.pod_gpus = (r.cluster.pod_gpus as f64 * f) as u64,
            |r, _| r.cluster.sharp = true,
            |r, _| r.cluster.stragglers = Stragglers::default(),
        ];
        for (i, change) in faster.iter().enumerate() {
            let mut other = run.clone();
            change(&mut other, by);
            let after = total(&other);
            prop_assert!(after <= before * (1.0 + 1e-9), "part {i}: {before} to {after}");
        }
    }

    #[test]
    fn more_work_takes_longer_and_more_memory(run in run()) {
        let (time, held) = (total(&run), memory(&run, Fitted::built_in()).total_gib);
        let mut longer = run.clone();
        longer.global_batch *= 2;
        prop_assert!(total(&longer) >= time);
        let mut larger = run.clone();
        larger.layout.micro_batch *= 2;
        prop_assert!(memory(&larger, Fitted::built_in()).total_gib >= held * (1.0 - 1e-9) || run.layout.pp > 1);
        let mut vocabulary = run.clone();
        vocabulary.model.vocab_size *= 2;
        prop_assert!(total(&vocabulary) >= time);
        prop_assert!(memory(&vocabulary, Fitted::built_in()).total_gib >= held);
    }

    #[test]
    fn words_from_outside_never_panic(text in ".{0,40}", bytes in proptest::collection::vec(any::<char>(), 0..300)) {
        let many: String = bytes.into_iter().collect();
        let _ = parse_count("n", &text);
        let _ = parse_bandwidth("n", &text);
        let _ = Pins::parse(&text);
        let _ = Request::parse(&many, "x");
        let _ = parse_csv(&many);
        let _ = read_rows(&format!("id,gpu_kind,n_gpus,tp,pp,layers,hidden,notes\n{many}"));
        let _ = terang_plan::config::model_from_config(&many, "x");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_plan_is_finite_or_says_why_not(i in 0..models().len(), g in 0..gpus().len(), gpus_wanted in 1_u64..20_000, tokens in 1e6_f64..1e15) {
        let request = Request {
            gpu: Some(gpus()[g].name.clone()),
            gpus: Some(terang_plan::request::Text::Whole(gpus_wanted)),
            model: Some(models()[i].name.clone()),
            tokens: Some(terang_plan::request::Text::Number(tokens)),
            ..Request::default()
        };
        let asked = request.resolve().unwrap();
        match plan(&asked, Fitted::built_in()) {
            Ok(p) => {
                for v in [p.days, p.cost_usd, p.energy_mwh, p.carbon_t, p.mfu, p.steps, p.days_if_slower, p.upkeep.goodput] {
                    prop_assert!(v.is_finite() && v > 0.0, "{v}");
                }
                prop_assert!(p.mfu < 1.0 && p.found.best.memory.total_gib <= gpus()[g].memory_gib);
                prop_assert!(!terang_plan::text::report(&p).contains("NaN"));
            }
            Err(e) => prop_assert_eq!(e.to_string().lines().count(), 1),
        }
    }
}
