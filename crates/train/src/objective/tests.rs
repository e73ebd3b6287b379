use super::*;
use crate::decoder::tests::config;
use crate::examples::{Check, Pair, Task};
use std::sync::Arc;
use terang_kernels::{Cpu, ThreadPool};

fn decoder(threads: usize, cpu: Cpu) -> Decoder {
    Decoder::new(
        &config(true),
        cpu,
        Arc::new(ThreadPool::new(threads)),
        false,
    )
    .unwrap()
}

fn document(tokens: &[u32], prompt: usize) -> Document {
    Document {
        tokens: tokens.to_vec(),
        learned: (0..tokens.len()).map(|i| i >= prompt).collect(),
    }
}

fn pairs() -> Vec<Pair> {
    (0..6u32)
        .map(|i| Pair {
            chosen: document(&[i, 3 + i, 20, 7, 9 + i], 2),
            rejected: document(&[i, 3 + i, 40 + i, 8], 2),
        })
        .collect()
}

fn preference(reference: Vec<f32>) -> Preference {
    let mut pairs = pairs();
    let mut long = pairs[0].clone();
    long.chosen = document(&[1; 20], 2);
    pairs.insert(2, long);
    Preference::new(
        pairs.clone(),
        pairs,
        Arc::new(reference),
        0.7,
        (4, 2, 16),
        3,
    )
}

/// A gradient that moves parameters lowers the loss as much as it says.
#[test]
fn the_gradient_of_preference_is_that_of_differences() {
    let mut decoder = decoder(2, Cpu::best());
    let reference = decoder.layout().initial(3);
    let mut parameters = decoder.layout().initial(4);
    for x in &mut parameters {
        *x *= 4.0;
    }
    let mut objective = preference(reference.clone());
    assert_eq!(objective.len(), 6, "what does not fit is left out");
    let mut gradient = vec![0.0; parameters.len()];
    let mut loss = |parameters: &[f32], sum: &mut [f32]| {
        let mut score = Score::default();
        let mut part = vec![0.0; parameters.len()];
        sum.fill(0.0);
        for index in 0..objective.begin(5) {
            score.add(objective.gradient(&mut decoder, parameters, index, &mut part));
            sum.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
        }
        assert_eq!(score.losses, 4.0);
        score.mean_loss()
    };
    let at = loss(&parameters, &mut gradient);
    let square: f64 = gradient.iter().map(|x| f64::from(*x).powi(2)).sum();
    let h = 1e-3 / square.sqrt();
    let moved = |sign: f64| -> Vec<f32> {
        let pairs = parameters.iter().zip(&gradient);
        pairs
            .map(|(p, g)| (f64::from(*p) + sign * h * f64::from(*g)) as f32)
            .collect()
    };
    let (up, down) = (moved(1.0), moved(-1.0));
    let mut scratch = vec![0.0; parameters.len()];
    let difference = (loss(&up, &mut scratch) - loss(&down, &mut scratch)) / (2.0 * h);
    assert!(
        (difference / square - 1.0).abs() < 0.01,
        "{difference} {square}"
    );
    assert!(at > 0.0);
    // A model that is what it was before prefers nothing yet.
    let score = preference(reference.clone()).validate(&mut decoder, &reference);
    assert!((score.mean_loss() - std::f64::consts::LN_2).abs() < 1e-9);
    assert_eq!(score.mean_reward(), Some(0.0));
}

fn reward(check: &Check) -> Reward {
    let tokenizer = tokenizer();
    let stop = tokenizer.id_of("<|im_end|>").unwrap();
    let tasks: Vec<Task> = (0..5u32)
        .map(|i| Task {
            prompt: vec![1 + i, 2, 3],
            check: check.clone(),
        })
        .collect();
    let reading = Reading {
        tokenizer: Arc::new(tokenizer),
        stops: vec![stop],
    };
    let drawing = Drawing {
        group: 4,
        most: 8,
        temperature: 1.0,
    };
    Reward::new(tasks.clone(), tasks, reading, drawing, (16, 8, 16), 9)
}

/// The first tokens are bytes, `<|im_end|>` is one of the special ones.
fn tokenizer() -> terang_model::tokenizer::Tokenizer {
    let vocab: serde_json::Map<String, serde_json::Value> = (0..60u32)
        .map(|i| (char::from(b'0' + i as u8).to_string(), i.into()))
        .collect();
    let json = serde_json::json!({
        "version": "1.0",
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
        "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false },
        "decoder": { "type": "ByteLevel" },
        "added_tokens": [{ "id": 60, "content": "<|im_end|>", "special": true }],
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json.to_string()).unwrap();
    terang_model::tokenizer::Tokenizer::from_file(file.path()).unwrap()
}

/// Answers are the same for any threads and instruction set, whoever draws them; what is rewarded gets
/// likelier.
#[test]
fn what_is_rewarded_gets_likelier() {
    // Any answer that comes to its end: one in a few does by chance.
    let check = Check::Contains(String::new());
    let mut found = Vec::new();
    for (threads, cpu) in [(1, Cpu::SCALAR), (2, Cpu::best())] {
        let mut decoder = decoder(threads, cpu);
        let mut parameters = decoder.layout().initial(3);
        let mut objective = reward(&check);
        let (mut rewards, mut part) = (Vec::new(), vec![0.0; parameters.len()]);
        for step in 0..20 {
            let mut sum = vec![0.0f32; parameters.len()];
            let mut score = Score::default();
            for index in 0..objective.begin(step) {
                score.add(objective.gradient(&mut decoder, &parameters, index, &mut part));
                sum.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
            }
            assert_eq!(score.rewards, 16.0);
            rewards.push(score.reward);
            parameters
                .iter_mut()
                .zip(&sum)
                .for_each(|(p, g)| *p -= 4.0 * g);
        }
        // Of three steps' 48 answers.
        let (first, last): (f64, f64) = (rewards[..3].iter().sum(), rewards[17..].iter().sum());
        assert!(first < 16.0 && last > 40.0, "{rewards:?}");
        assert!(rewards.iter().all(|reward| *reward <= 16.0));
        found.push(rewards);
    }
    assert_eq!(found[0], found[1]);
}

/// Where all answers of a group are as good as each other there is nothing to learn.
#[test]
fn a_group_without_differences_moves_nothing() {
    let mut decoder = decoder(1, Cpu::best());
    let parameters = decoder.layout().initial(3);
    let mut objective = reward(&Check::Exact("never".to_owned()));
    assert_eq!(objective.begin(0), 2);
    let mut gradient = vec![1.0; parameters.len()];
    let score = objective.gradient(&mut decoder, &parameters, 0, &mut gradient);
    assert_eq!(score.mean_reward(), Some(0.0));
    assert!(score.mean_loss() > 0.0);
    assert!(gradient.iter().all(|x| *x == 0.0));
}
