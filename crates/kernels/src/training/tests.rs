use super::*;
use crate::{Cpu, ThreadPool};
use std::ops::Range;

fn numbers(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32) - 0.5
        })
        .collect()
}

/// Compares a gradient with central differences of `f` in f64-like care: steps large enough for f32.
fn check(name: &str, x: &[f32], gradient: &[f32], f: impl Fn(&[f32]) -> f64) {
    let h = 1e-2f32;
    let largest = gradient.iter().fold(0.0f32, |max, g| max.max(g.abs()));
    for i in (0..x.len()).step_by(1 + x.len() / 40) {
        let mut moved = x.to_vec();
        moved[i] = x[i] + h;
        let up = f(&moved);
        moved[i] = x[i] - h;
        let difference = (up - f(&moved)) / f64::from(2.0 * h);
        let found = f64::from(gradient[i]);
        assert!(
            (difference - found).abs() < 2e-3 * f64::from(largest) + 1e-4,
            "{name}[{i}]: {found}, by differences {difference}"
        );
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

fn shape() -> Shape {
    Shape {
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 8,
        scale: 0.7,
        interleaved: false,
    }
}

fn tables(tokens: usize) -> (Vec<f32>, Vec<f32>) {
    let angles = numbers(tokens * 4, 9);
    (
        angles.iter().map(|a| a.cos()).collect(),
        angles.iter().map(|a| a.sin()).collect(),
    )
}

fn attend(
    shape: Shape,
    qkv: &[f32],
    documents: &[Range<usize>],
    cpu: Cpu,
    threads: usize,
) -> (Vec<f32>, Vec<f32>) {
    let tokens = qkv.len() / shape.qkv_width();
    let (cos, sin) = tables(tokens);
    let input = Attention {
        shape,
        qkv,
        documents,
        cos: &cos,
        sin: &sin,
    };
    let mut out = vec![0.0; tokens * shape.out_width()];
    let mut stats = vec![0.0; tokens * 2 * shape.n_heads];
    forward(cpu, &ThreadPool::new(threads), &input, &mut out, &mut stats);
    (out, stats)
}

#[test]
fn the_gradient_of_attention_is_that_of_differences() {
    for interleaved in [false, true] {
        let shape = Shape {
            interleaved,
            ..shape()
        };
        let (tokens, documents) = (13, [0..5, 5..6, 6..13]);
        let qkv: Vec<f32> = numbers(tokens * shape.qkv_width(), 1)
            .iter()
            .map(|x| 3.0 * x)
            .collect();
        let d_out = numbers(tokens * shape.out_width(), 2);
        let (_, stats) = attend(shape, &qkv, &documents, Cpu::best(), 1);
        let (cos, sin) = tables(tokens);
        let input = Attention {
            shape,
            qkv: &qkv,
            documents: &documents,
            cos: &cos,
            sin: &sin,
        };
        let mut d_qkv = vec![0.0; qkv.len()];
        backward(
            Cpu::best(),
            &ThreadPool::new(2),
            &input,
            &stats,
            &d_out,
            &mut d_qkv,
        );
        check("d_qkv", &qkv, &d_qkv, |qkv| {
            dot(&attend(shape, qkv, &documents, Cpu::best(), 1).0, &d_out)
        });
    }
}

#[test]
fn attention_has_the_same_bits_at_every_level_and_for_any_threads() {
    let shape = shape();
    let (tokens, documents) = (300, [0..170, 170..300]);
    let qkv = numbers(tokens * shape.qkv_width(), 3);
    let d_out = numbers(tokens * shape.out_width(), 4);
    let (cos, sin) = tables(tokens);
    let all: Vec<_> = Cpu::available()
        .into_iter()
        .flat_map(|cpu| [(cpu, 1), (cpu, 3)])
        .map(|(cpu, threads)| {
            let (out, stats) = attend(shape, &qkv, &documents, cpu, threads);
            let input = Attention {
                shape,
                qkv: &qkv,
                documents: &documents,
                cos: &cos,
                sin: &sin,
            };
            let mut d_qkv = vec![0.0; qkv.len()];
            backward(
                cpu,
                &ThreadPool::new(threads),
                &input,
                &stats,
                &d_out,
                &mut d_qkv,
            );
            let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            (bits(&out), bits(&stats), bits(&d_qkv))
        })
        .collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    // A document's output does not depend on its neighbours.
    let alone = attend(
        shape,
        &qkv[..170 * shape.qkv_width()],
        &documents[..1],
        Cpu::best(),
        1,
    )
    .0;
    let bits: Vec<u32> = alone.iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, all[0].0[..bits.len()]);
}

#[test]
fn the_gradients_of_norm_and_gate_are_those_of_differences() {
    let (width, rows) = (37, 5);
    let (x, w, dy) = (
        numbers(width * rows, 1),
        numbers(width, 2),
        numbers(width * rows, 3),
    );
    let norm = |x: &[f32], w: &[f32]| {
        let mut out = vec![0.0; x.len()];
        crate::rows::rms_norm(Cpu::best(), x, w, 1e-5, &mut out);
        dot(&out, &dy)
    };
    let (mut dx, mut inverse, mut dw) = (vec![0.0; x.len()], vec![0.0; rows], vec![0.0; width]);
    rms_norm_backward(Cpu::best(), &x, &w, 1e-5, &dy, &mut dx, &mut inverse);
    for columns in [0..20, 20..width] {
        let dw = &mut dw[columns.clone()];
        rms_norm_weight_gradient(Cpu::best(), &x, &dy, &inverse, width, columns, dw);
    }
    check("dx", &x, &dx, |x| norm(x, &w));
    check("dw", &w, &dw, |w| norm(&x, w));

    let (gate_up, d) = (numbers(rows * 2 * width, 4), numbers(rows * width, 5));
    let gate_up: Vec<f32> = gate_up.iter().map(|x| 6.0 * x).collect();
    let mut d_gate_up = vec![0.0; gate_up.len()];
    gated_silu_backward(Cpu::best(), &gate_up, &d, width, &mut d_gate_up);
    check("gate", &gate_up, &d_gate_up, |gate_up| {
        let mut out = vec![0.0; d.len()];
        crate::rows::gated(
            Cpu::best(),
            crate::rows::Gate::Silu,
            gate_up,
            width,
            &mut out,
        );
        dot(&out, &d)
    });
}

#[test]
fn the_gradient_of_the_loss_is_that_of_differences_and_masked_rows_have_none() {
    let (vocab, targets, weights) = (53, [7, 0, 52], [0.5, 0.0, 2.0]);
    let logits: Vec<f32> = numbers(3 * vocab, 6).iter().map(|x| 8.0 * x).collect();
    let z = 0.01;
    let mut gradient = logits.clone();
    let mut losses = [0.0; 3];
    cross_entropy(
        Cpu::best(),
        &mut gradient,
        vocab,
        &targets,
        &weights,
        z,
        &mut losses,
    );
    assert!(losses[1] == 0.0 && gradient[vocab..2 * vocab].iter().all(|&g| g == 0.0));
    check("logits", &logits, &gradient, |logits| {
        (0..3)
            .map(|row| {
                let x = &logits[row * vocab..][..vocab];
                let log_sum = x.iter().map(|x| f64::from(*x).exp()).sum::<f64>().ln();
                let loss = log_sum - f64::from(x[targets[row] as usize]);
                f64::from(weights[row]) * (loss + f64::from(z) * log_sum * log_sum)
            })
            .sum()
    });
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = logits.clone();
        logits[3] = broken;
        cross_entropy(
            Cpu::best(),
            &mut logits,
            vocab,
            &targets,
            &weights,
            z,
            &mut losses,
        );
        assert!(losses[0].is_nan(), "{broken} is not seen");
    }
}

#[test]
fn row_wise_work_has_the_same_bits_at_every_level() {
    let (vocab, n) = (131, 7);
    let all: Vec<Vec<u32>> = Cpu::available()
        .into_iter()
        .map(|cpu| {
            let (x, w, dy) = (
                numbers(vocab * n, 1),
                numbers(vocab, 2),
                numbers(vocab * n, 3),
            );
            let (mut dx, mut inverse, mut dw) =
                (numbers(vocab * n, 4), vec![0.0; n], numbers(vocab, 5));
            rms_norm_backward(cpu, &x, &w, 1e-5, &dy, &mut dx, &mut inverse);
            rms_norm_weight_gradient(cpu, &x, &dy, &inverse, vocab, 0..vocab, &mut dw);
            let mut d_gate = vec![0.0; vocab * n * 2];
            gated_silu_backward(cpu, &numbers(vocab * n * 2, 6), &dy, vocab, &mut d_gate);
            let (mut logits, mut losses) = (x.clone(), vec![0.0; n]);
            cross_entropy(
                cpu,
                &mut logits,
                vocab,
                &[3; 7],
                &[0.3; 7],
                1e-4,
                &mut losses,
            );
            let (mut weights, mut m, mut v) =
                (x.clone(), numbers(vocab * n, 7), vec![0.1; vocab * n]);
            let adamw = AdamW {
                beta1: 0.9,
                beta2: 0.95,
                step_size: 0.01,
                second_correction: 1.5,
                eps: 1e-8,
                decay: 0.001,
                gradient_scale: 0.5,
            };
            adamw.step(cpu, &mut weights, &dy, &mut m, &mut v);
            let squares = [sum_of_squares(cpu, &x) as f32];
            [
                &dx,
                &inverse,
                &dw,
                &d_gate,
                &logits,
                &losses,
                &weights,
                &m,
                &v,
                &squares[..],
            ]
            .into_iter()
            .flat_map(|x| x.iter().map(|x| x.to_bits()))
            .collect()
        })
        .collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
}
