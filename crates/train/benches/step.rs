//! Training steps (forward, backward and AdamW) of the shapes that peers are measured with, beside the
//! machine's own f32 limit: `cargo bench -p terang-train`. Prints tokens a second and the share of the limit;
//! `-- SHAPE --bf16 --json` gives one shape as a line of JSON, in bf16, with the process's peak memory.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use terang_kernels::gemm::Precision;
use terang_kernels::{Cpu, ThreadPool, limits};
use terang_model::Config;
use terang_train::decoder::{Decoder, MicroBatch};
use terang_train::optimizer::{Gradient, Optimizer, Settings};

/// Name; hidden size, layers, feed-forward width, vocabulary, sequence length, sequences a micro-batch,
/// micro-batches a step.
const SHAPES: [(&str, [usize; 7]); 2] = [
    ("6.45M", [256, 6, 688, 8192, 256, 8, 1]),
    ("31.6M", [512, 8, 1376, 16384, 512, 4, 2]),
];
const STEPS: usize = 7;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let is_bf16 = arguments.iter().any(|argument| argument == "--bf16");
    let (precision, precision_name) = if is_bf16 {
        (Precision::Bf16, "bf16")
    } else {
        (Precision::F32, "f32")
    };
    let wanted = |name: &str| {
        let named = SHAPES
            .iter()
            .any(|shape| arguments.iter().any(|a| a == shape.0));
        !named || arguments.iter().any(|argument| argument == name)
    };
    let (cpu, threads) = (Cpu::from_env().unwrap(), ThreadPool::default_threads());
    let pool = Arc::new(ThreadPool::new(threads));
    for (name, [hidden, layers, ffn, vocab, sequence, sequences, parts]) in SHAPES {
        if !wanted(name) {
            continue;
        }
        let config = serde_json::json!({
            "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": ffn,
            "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 4,
            "max_position_embeddings": sequence, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let config = Config::from_hf_json(Path::new("config.json"), &config.to_string()).unwrap();
        let mut decoder = Decoder::new(&config, cpu, Arc::clone(&pool), false)
            .unwrap()
            .with_precision(precision);
        let table = decoder.layout().table.clone();
        let mut parameters = decoder.layout().initial(1);
        let mut optimizer = Optimizer::new(&Settings::default(), &table);
        let tokens = sequence * sequences;
        let batch = MicroBatch {
            tokens: (0..tokens).map(|i| (i * 7919 % vocab) as u32).collect(),
            targets: (0..tokens).map(|i| (i * 7907 % vocab) as u32).collect(),
            weights: vec![1.0 / (tokens * parts) as f32; tokens],
            documents: (0..sequences)
                .map(|i| i * sequence..(i + 1) * sequence)
                .collect(),
        };
        let (mut gradient, mut sum) = (vec![0.0; parameters.len()], vec![0.0; parameters.len()]);
        let mut seconds: Vec<f64> = (0..=STEPS)
            .map(|_| {
                let start = Instant::now();
                decoder.hold_weights();
                for part in 0..parts {
                    let own = if part == 0 { &mut sum } else { &mut gradient };
                    decoder.loss_and_gradient(&parameters, &batch, own);
                    if part > 0 {
                        terang_kernels::rows::for_rows(&pool, sum.len(), &mut sum, |range, sum| {
                            terang_kernels::rows::add(cpu, sum, &gradient[range]);
                        });
                    }
                }
                decoder.release_weights();
                let found = Gradient::new(cpu, &pool, &sum);
                optimizer.step(cpu, &pool, &table, &mut parameters, found, 1e-4);
                start.elapsed().as_secs_f64()
            })
            .skip(1)
            .collect();
        seconds.sort_by(f64::total_cmp);
        let (median, best) = (seconds[STEPS / 2], seconds[0]);
        // Twice each weight forward, twice that backward; attention's products over half of the keys.
        let attention = layers * hidden * sequence * 6;
        let tokens = (tokens * parts) as f64;
        let flops = (6 * parameters.len() + attention) as f64 * tokens;
        let peak = limits::f32_flops_per_s(cpu, &pool);
        let share = flops / median / peak;
        if json {
            let line = serde_json::json!({
                "shape": name, "parameters": parameters.len(), "cpu": cpu.name(), "threads": threads,
                "precision": precision_name,
                "tokens_per_s": tokens / median, "best_tokens_per_s": tokens / best,
                "share_of_f32_limit": share, "f32_limit_flops": peak, "peak_rss_bytes": peak_rss(),
            });
            println!("{line}");
            continue;
        }
        println!(
            "{name} {precision_name} ({} parameters, {}, {threads} threads): {:.0} tokens/s (best {:.0}), {:.1} of {:.1} GFLOP/s, {:.0}% (best {:.0}%)",
            parameters.len(),
            cpu.name(),
            tokens / median,
            tokens / best,
            flops / median / 1e9,
            peak / 1e9,
            share * 100.0,
            flops / best / peak * 100.0,
        );
    }
}

/// The most memory that this process has had; 0 where the system does not say.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib * 1024)
}
