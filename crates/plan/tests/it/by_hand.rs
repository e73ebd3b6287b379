//! Against numbers that papers print or that one can work out on paper.

use terang_plan::cost::comm::Group;
use terang_plan::memory::{kept, memory};
use terang_plan::model::Block;
use terang_plan::request::{Asked, Request};
use terang_plan::search::run_of;
use terang_plan::upkeep::daly_interval;
use terang_plan::{Cluster, Fitted, Layout, Recompute, Sharding, Software, find_gpu, find_model};

fn near(a: f64, b: f64, share: f64) {
    assert!((a / b - 1.0).abs() < share, "{a} is not {b}");
}

#[test]
fn parameter_counts_are_the_published_ones() {
    for (name, billions) in [
        ("gpt3-175b", 175.0),
        ("bloom-176b", 176.2),
        ("llama2-7b", 6.74),
        ("llama2-13b", 13.02),
        ("llama2-70b", 68.98),
        ("llama3-8b", 8.03),
        ("llama3-70b", 70.6),
        ("llama3-405b", 405.9),
        ("mixtral-8x7b", 46.7),
        ("mixtral-8x22b", 140.6),
        ("grok-1", 314.0),
        ("nemotron-3-nano", 31.6),
        ("llama3.2-1b", 1.236),
        ("llama3.2-3b", 3.21),
        ("mistral-7b", 7.24),
        ("mistral-large-2", 122.6),
        ("qwen2.5-7b", 7.62),
        ("qwen2.5-14b", 14.77),
        ("qwen2.5-32b", 32.76),
        ("qwen2.5-72b", 72.7),
        ("qwen3-4b", 4.02),
        ("qwen3-14b", 14.77),
        ("nemotron-4-15b", 15.6),
        ("nemotron-4-340b", 341.0),
        ("opt-175b", 175.0),
        ("falcon-180b", 179.5),
        ("nemotron-h-8b", 8.1),
        ("nemotron-h-47b", 47.0),
        ("nemotron-h-56b", 56.0),
        ("gpt-oss-20b", 20.9),
        ("gpt-oss-120b", 116.8),
        ("dbrx", 131.6),
        ("phi-3.5-moe", 41.9),
        ("qwen2-57b-a14b", 57.4),
        ("deepseek-v2-lite", 15.7),
        ("glm-4.5", 358.0),
        ("glm-4.5-air", 110.0),
        ("llama4-scout", 107.8),
        ("nemotron-3-super", 123.6),
        ("qwen3-8b", 8.19),
        ("qwen3-32b", 32.8),
        ("qwen3-30b-a3b", 30.5),
        ("qwen3-235b-a22b", 235.0),
        ("deepseek-v2", 236.0),
        ("kimi-k2", 1026.0),
        ("nanochat-560m", 0.56),
    ] {
        near(find_model(name).unwrap().params() / 1e9, billions, 0.02);
    }
    // DeepSeek-V3 is 671 billion without its extra layer of 14 billion or so.
    let mut v3 = find_model("deepseek-v3").unwrap().clone();
    v3.mtp_layers = 0;
    near(v3.params() / 1e9, 671.0, 0.01);
    near(v3.active_params() / 1e9, 37.0, 0.03);
    near(
        find_model("qwen3-30b-a3b").unwrap().active_params() / 1e9,
        3.3,
        0.1,
    );
}

#[test]
fn training_flops_are_the_published_ones() {
    // GPT-3's table D.1: 3.14e23 for 300 billion tokens. Llama 3: 3.8e25 for 15.6 trillion.
    near(
        find_model("gpt3-175b").unwrap().train_flops_per_token(2048) * 300e9,
        3.14e23,
        0.04,
    );
    near(
        find_model("llama3-405b")
            .unwrap()
            .train_flops_per_token(8192)
            * 15.6e12,
        3.8e25,
        0.05,
    );
}

fn asked(text: &str) -> Asked {
    Request::parse(text, "test").unwrap().resolve().unwrap()
}

fn gpt3_run(sequence_parallel: bool, recompute: Recompute) -> terang_plan::Run {
    let a =
        asked("gpu = 'a100'\ngpus = 64\nmodel = 'gpt3-175b'\ntokens = '300B'\nglobal_batch = 64");
    let layout = Layout {
        tp: 8,
        pp: 8,
        vpp: 1,
        dp: 1,
        cp: 1,
        ep: 1,
        sharding: Sharding::None,
        micro_batch: 1,
        recompute,
    };
    let mut run = run_of(&a, layout);
    run.software = Software {
        sequence_parallel,
        ..Software::CLASSIC
    };
    run
}

#[test]
fn activations_are_korthikantis() {
    // Korthikanti et al. 2022, equations 2 to 4: a layer keeps sbh(10 + 24/t + 5as/(ht)), with sequence
    // parallelism sbh(34 + 5as/h)/t, with selective recomputation 34 sbh/t.
    let (h, a, s, t) = (12288.0, 96.0, 2048.0, 8.0);
    let plain = kept(&gpt3_run(false, Recompute::None), Block::DENSE);
    near(plain, h * (10.0 + 24.0 / t + 5.0 * a * s / (h * t)), 1e-9);
    let parallel = kept(&gpt3_run(true, Recompute::None), Block::DENSE);
    near(parallel, h * (34.0 + 5.0 * a * s / h) / t, 1e-9);
    let selective = kept(&gpt3_run(true, Recompute::Selective), Block::DENSE);
    near(selective, 34.0 * h / t, 1e-9);
}

#[test]
fn states_are_zeros() {
    // 16 bytes a parameter with 16-bit gradients: 2 of weights, 2 of gradients, 12 of Adam.
    let m = memory(&gpt3_run(false, Recompute::Full), Fitted::built_in());
    near(m.optimizer_gib, 6.0 * m.weights_gib, 1e-9);
    near(m.gradients_gib, m.weights_gib, 1e-9);
    // A 64th of the layers' parameters and an eighth of the embedding.
    near(
        m.weights_gib,
        2.0 * (174e9 / 64.0 + 0.63e9 / 8.0) / 1.0737e9,
        0.01,
    );
}

#[test]
fn a_ring_moves_what_a_ring_moves() {
    let cluster = Cluster::of(find_gpu("a100").unwrap(), 8);
    let fitted = Fitted {
        nvlink: 1.0,
        nvlink_latency_us: 1e-9,
        ..Fitted::built_in().clone()
    };
    // 8 GB over 8 ranks at 300 GB/s: 2 · 7/8 · 8/300 s.
    near(
        Group::new(&cluster, &fitted, 8, 1).all_reduce(8e9),
        2.0 * 7.0 / 8.0 * 8.0 / 300.0,
        1e-6,
    );
}

#[test]
fn dalys_interval_is_youngs_where_saving_is_cheap() {
    near(daly_interval(1.0, 1e6), (2.0 * 1e6_f64).sqrt(), 0.01);
    near(daly_interval(100.0, 10.0), 10.0, 1e-9);
}
