use super::*;
use crate::decoder::Layout;
use terang_model::Config;

fn config() -> Config {
    let json = serde_json::json!({
        "model_type": "llama", "vocab_size": 31, "hidden_size": 24, "intermediate_size": 40,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 32, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    });
    Config::from_hf_json(std::path::Path::new("config.json"), &json.to_string()).unwrap()
}

#[test]
fn muon_makes_a_matrix_nearly_orthogonal() {
    let pool = ThreadPool::new(2);
    let layout = Layout::new(&config()).unwrap();
    let numbers = layout.initial(5);
    for (rows, cols) in [(24, 40), (40, 24), (24, 24)] {
        let x = Muon::orthogonal(Cpu::best(), &pool, &numbers[..rows * cols], rows);
        // All singular values near 1: the squares of the norm add up to the smaller side, roughly.
        let squares: f32 = x.iter().map(|x| x * x).sum();
        let side = rows.min(cols) as f32;
        assert!(
            squares > 0.6 * side && squares < 1.4 * side,
            "{rows} x {cols}: {squares}"
        );
    }
}

#[test]
fn a_step_is_that_of_the_formula_and_the_same_for_any_threads() {
    let layout = Layout::new(&config()).unwrap();
    let before = layout.initial(1);
    let gradient: Vec<f32> = layout.initial(2).iter().map(|x| x * 30.0).collect();
    for rule in [Rule::Adamw, Rule::Muon] {
        let settings = Settings {
            rule,
            ..Settings::default()
        };
        let all: Vec<Vec<u32>> = [1, 3]
            .into_iter()
            .map(|threads| {
                let (pool, mut parameters) = (ThreadPool::new(threads), before.clone());
                let mut optimizer = Optimizer::new(&settings, &layout.table);
                let gradient = Gradient::new(Cpu::best(), &pool, &gradient);
                for _ in 0..3 {
                    optimizer.step(
                        Cpu::best(),
                        &pool,
                        &layout.table,
                        &mut parameters,
                        gradient,
                        0.01,
                    );
                }
                parameters.iter().map(|x| x.to_bits()).collect()
            })
            .collect();
        assert_eq!(all[0], all[1]);
    }
    // The first step of AdamW is the learning rate in the gradient's direction, and the decay.
    let mut parameters = before.clone();
    let settings = Settings {
        clip: 0.0,
        ..Settings::default()
    };
    let mut optimizer = Optimizer::new(&settings, &layout.table);
    optimizer.step(
        Cpu::best(),
        &ThreadPool::new(1),
        &layout.table,
        &mut parameters,
        Gradient::new(Cpu::best(), &ThreadPool::new(1), &gradient),
        0.01,
    );
    for tensor in &layout.table.tensors {
        for i in tensor.range.clone().step_by(7) {
            let decay = if tensor.kind == Kind::Matrix || tensor.kind == Kind::Residual {
                0.001
            } else {
                0.0
            };
            let expected = before[i] * (1.0 - decay) - 0.01 * gradient[i].signum();
            assert!(
                (parameters[i] - expected).abs() < 1e-5,
                "{} {i}",
                tensor.name
            );
        }
    }
}

#[test]
fn the_learning_rate_rises_stays_and_falls() {
    let cosine = Schedule {
        warmup: 10,
        ..Schedule::default()
    };
    assert_eq!(cosine.factor(0, 100), 0.1);
    assert_eq!(cosine.factor(10, 100), 1.0);
    assert!((cosine.factor(55, 100) - 0.55).abs() < 1e-9);
    let wsd = Schedule {
        curve: Curve::Wsd,
        warmup: 5,
        decay: 20,
        last: 0.0,
    };
    assert_eq!(
        (
            wsd.factor(50, 100),
            wsd.factor(80, 100),
            wsd.factor(90, 100)
        ),
        (1.0, 1.0, 0.5)
    );
}
