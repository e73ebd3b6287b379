//! Training steps (forward and backward) of the shapes that peers are measured with, beside the machine's
//! own f32 limit: `cargo bench -p terang-train`. Prints tokens a second and the share of the limit.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use terang_kernels::{Cpu, ThreadPool, limits};
use terang_model::Config;
use terang_train::decoder::{Decoder, MicroBatch};

/// Name, hidden size, layers, feed-forward width, vocabulary, sequence length, sequences a micro-batch.
const SHAPES: [(&str, usize, usize, usize, usize, usize, usize); 2] = [
    ("6.45M", 256, 6, 688, 8192, 256, 8),
    ("31.6M", 512, 8, 1376, 16384, 512, 4),
];

fn main() {
    let (cpu, threads) = (Cpu::from_env().unwrap(), ThreadPool::default_threads());
    let pool = Arc::new(ThreadPool::new(threads));
    for (name, hidden, layers, ffn, vocab, sequence, sequences) in SHAPES {
        let json = serde_json::json!({
            "model_type": "llama", "vocab_size": vocab, "hidden_size": hidden, "intermediate_size": ffn,
            "num_hidden_layers": layers, "num_attention_heads": 8, "num_key_value_heads": 4,
            "max_position_embeddings": sequence, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
        });
        let config = Config::from_hf_json(Path::new("config.json"), &json.to_string()).unwrap();
        let mut decoder = Decoder::new(&config, cpu, Arc::clone(&pool), false).unwrap();
        let parameters = decoder.layout().initial(1);
        let tokens = sequence * sequences;
        let batch = MicroBatch {
            tokens: (0..tokens).map(|i| (i * 7919 % vocab) as u32).collect(),
            targets: (0..tokens).map(|i| (i * 7907 % vocab) as u32).collect(),
            weights: vec![1.0 / tokens as f32; tokens],
            documents: (0..sequences)
                .map(|i| i * sequence..(i + 1) * sequence)
                .collect(),
        };
        let mut gradient = vec![0.0; parameters.len()];
        decoder.loss_and_gradient(&parameters, &batch, &mut gradient);
        let mut seconds: Vec<f64> = (0..7)
            .map(|_| {
                let start = Instant::now();
                decoder.loss_and_gradient(&parameters, &batch, &mut gradient);
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let (median, best) = (seconds[3], seconds[0]);
        // Twice each weight forward, twice that backward; attention's products over half of the keys.
        let attention = layers * hidden * sequence * 6;
        let flops = (6 * parameters.len() + attention) as f64 * tokens as f64;
        let peak = limits::f32_flops_per_s(cpu, &pool);
        println!(
            "{name} ({} parameters, {}, {threads} threads): {:.0} tokens/s (best {:.0}), {:.1} of {:.1} GFLOP/s, {:.0}% (best {:.0}%)",
            parameters.len(),
            cpu.name(),
            tokens as f64 / median,
            tokens as f64 / best,
            flops / median / 1e9,
            peak / 1e9,
            flops / median / peak * 100.0,
            flops / best / peak * 100.0,
        );
    }
}
