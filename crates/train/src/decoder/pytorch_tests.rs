//! The gradient beside PyTorch's, of Hugging Face's own Llama in double precision, but for its norms, which that
//! library always takes in single precision.

use super::tests::{batch, config};
use super::*;

#[derive(serde::Deserialize)]
struct Fixture {
    models: Vec<Model>,
}

#[derive(serde::Deserialize)]
struct Model {
    tied: bool,
    loss: f64,
    tensors: std::collections::BTreeMap<String, Gradient>,
}

#[derive(serde::Deserialize)]
struct Gradient {
    norm: f64,
    /// Of which elements some are given.
    step: usize,
    elements: Vec<f64>,
}

/// The formula of the script that wrote the fixture.
fn weight(name: &str, i: usize) -> f32 {
    let seed: i64 = name.bytes().map(i64::from).sum();
    let unit = ((7919 * i as i64 + 104_729 * seed) % 2001 - 1000) as f64 / 1000.0;
    let unit = unit as f32;
    if name.contains("norm") {
        1.0 + unit / 8.0
    } else {
        unit / 4.0
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let text = include_str!("../../../../tests/reference/train_gradients.json");
    let fixture: Fixture = serde_json::from_str(text).unwrap();
    for model in fixture.models {
        let decoder = Decoder::new(
            &config(model.tied),
            Cpu::best(),
            Arc::new(ThreadPool::new(2)),
            false,
        );
        let mut decoder = decoder.unwrap().with_z_loss(1e-2);
        let mut parameters = vec![0.0; decoder.layout().table.len];
        for tensor in &decoder.layout().table.tensors {
            for (i, x) in parameters[tensor.range.clone()].iter_mut().enumerate() {
                *x = weight(&tensor.name, i);
            }
        }
        let mut gradient = vec![f32::NAN; parameters.len()];
        let loss = decoder.loss_and_gradient(&parameters, &batch(), &mut gradient);
        assert!(
            (loss.weighted - model.loss).abs() < 1e-5 * model.loss,
            "{} is not {}",
            loss.weighted,
            model.loss
        );
        let table = &decoder.layout().table;
        assert_eq!(table.tensors.len(), model.tensors.len());
        for tensor in &table.tensors {
            let expected = &model.tensors[&tensor.name];
            let found = &gradient[tensor.range.clone()];
            let norm = found.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
            let norm = norm.sqrt();
            assert!(
                (norm - expected.norm).abs() < 1e-4 * expected.norm,
                "{}: norm {norm}, by PyTorch {}",
                tensor.name,
                expected.norm
            );
            let some = found.iter().step_by(expected.step);
            assert_eq!(some.len(), expected.elements.len(), "{}", tensor.name);
            for (i, (found, wanted)) in some.zip(&expected.elements).enumerate() {
                assert!(
                    (f64::from(*found) - wanted).abs() < 1e-4 * expected.norm,
                    "{} [{}]: {found}, by PyTorch {wanted}",
                    tensor.name,
                    i * expected.step
                );
            }
        }
    }
}
