//! Cross-entropy, and its gradient in the logits' place.

use crate::cpu::{Cpu, multiversion};
use crate::math;
use crate::rows::tree_sum;

/// For each row of `vocab` logits: the loss of its target, `ln(sum(exp)) - logit`, and in place of the
/// logits the gradient of `weight * (loss + z * ln(sum(exp))^2)`. A weight of 0 masks a row: its gradient
/// and its loss are 0. The z-loss is that of PaLM (arXiv:2204.02311).
///
/// # Panics
/// If a target is not below `vocab`, or the slices do not hold the same rows.
pub fn cross_entropy(
    cpu: Cpu,
    logits: &mut [f32],
    vocab: usize,
    targets: &[u32],
    weights: &[f32],
    z: f32,
    losses: &mut [f32],
) {
    let n = targets.len();
    assert!(
        logits.len() == n * vocab && weights.len() == n && losses.len() == n,
        "loss: lengths differ"
    );
    assert!(
        targets.iter().all(|&target| (target as usize) < vocab),
        "loss: a target is outside the vocabulary"
    );
    let rows = targets.iter().zip(weights).zip(losses);
    for (logits, ((target, weight), loss)) in logits.chunks_exact_mut(vocab).zip(rows) {
        if *weight == 0.0 {
            logits.fill(0.0);
            *loss = 0.0;
            continue;
        }
        let at = logits[*target as usize];
        let mut sums = Sums::default();
        exponentials(cpu, logits, &mut sums);
        let log_sum = (f64::from(sums.max) + libm::log(f64::from(sums.sum))) as f32;
        *loss = log_sum - at;
        let factor = weight * (2.0 * z).mul_add(log_sum, 1.0) / sums.sum;
        crate::rows::scale(cpu, logits, factor);
        logits[*target as usize] -= weight;
    }
}

#[derive(Default)]
struct Sums {
    max: f32,
    sum: f32,
}

/// Replaces each logit by `exp(logit - max)`.
fn exponentials(cpu: Cpu, logits: &mut [f32], sums: &mut Sums) {
    multiversion!(cpu, exponentials_plain, (logits: &mut [f32], sums: &mut Sums));
}

#[inline(always)]
fn exponentials_plain(logits: &mut [f32], sums: &mut Sums) {
    sums.max = largest(logits);
    let mut lanes = [0.0f32; 16];
    let (sixteens, rest) = logits.as_chunks_mut::<16>();
    for x in sixteens {
        for i in 0..16 {
            x[i] = math::exp_nonpositive(x[i] - sums.max);
            lanes[i] += x[i];
        }
    }
    for (x, lane) in rest.iter_mut().zip(&mut lanes) {
        *x = math::exp_nonpositive(*x - sums.max);
        *lane += *x;
    }
    sums.sum = tree_sum(lanes);
}

/// The largest element, or NaN where there is one (so that a broken model is seen in its loss).
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut broken = [0.0f32; 16];
    let (sixteens, rest) = x.as_chunks::<16>();
    for x in sixteens {
        for i in 0..16 {
            lanes[i] = if x[i] > lanes[i] { x[i] } else { lanes[i] };
            // Infinities and NaN leave a NaN here.
            broken[i] += x[i] * 0.0;
        }
    }
    for (x, lane) in rest.iter().zip(&mut lanes) {
        *lane = if *x > *lane { *x } else { *lane };
        broken[0] += x * 0.0;
    }
    let max = lanes
        .iter()
        .fold(f32::NEG_INFINITY, |max, &x| if x > max { x } else { max });
    let broken = broken.iter().sum::<f32>();
    if broken.is_nan() { broken } else { max }
}
