//! What a vocabulary's tokens weigh in a draw, in f64: additions and multiplications in a fixed order,
//! so that every platform and every level gives the same bits.

use crate::cpu::{Cpu, multiversion};

/// Tokens whose weights are added before the sums are: in 16 lanes, a token's being its place modulo 16,
/// the lanes then in order.
pub const BLOCK: usize = 1024;
/// See [`BLOCK`].
const LANES: usize = 16;

/// Arguments below this give 0.
const LEAST: f64 = -700.0;
/// 1.5 * 2^52: adding it rounds to an integer, which then stands in the lowest bits.
const ROUND_TO_INTEGER: f64 = 6_755_399_441_055_744.0;
/// ln 2 in two parts; the upper one has trailing zeros, so that its product with a small integer is
/// exact.
const LN2_HIGH: f64 = f64::from_bits(0x3FE6_2E42_FEE0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3DEA_39EF_3579_3C76);
/// 1/n! for n = 13 down to 0; on |r| <= ln(2)/2 the first omitted term is below 2^-56.
const TAYLOR: [f64; 14] = [
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
    1.0,
    1.0,
];

/// `e^x` for `x <= 0`; free of branches, so that loops over it become vectors.
#[inline(always)]
pub fn exp(x: f64) -> f64 {
    let bounded = if x > LEAST { x } else { LEAST };
    let shifted = bounded * std::f64::consts::LOG2_E + ROUND_TO_INTEGER;
    let k = shifted - ROUND_TO_INTEGER;
    let r = (bounded - k * LN2_HIGH) - k * LN2_LOW;
    // Even and odd powers apart: two chains of operations, each half as long.
    let square = r * r;
    let (mut odd, mut even) = (TAYLOR[0], TAYLOR[1]);
    for coefficients in TAYLOR[2..].as_chunks::<2>().0 {
        odd = odd * square + coefficients[0];
        even = even * square + coefficients[1];
    }
    let power = odd * r + even;
    // k + 1023 as the exponent of a double is 2^k; k is in -1010..=0 here.
    let two_to_k = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < LEAST { 0.0 } else { power * two_to_k }
}

/// `weights[i] = e^((logits[i] - largest) * scale)`, or 0 where that is below `least`; no logit is above
/// `largest`. `sums` becomes the sum of each [`BLOCK`].
///
/// Panics if the lengths do not fit.
pub fn weigh(
    cpu: Cpu,
    logits: &[f32],
    largest: f32,
    scale: f64,
    least: f64,
    weights: &mut [f64],
    sums: &mut [f64],
) {
    assert_eq!(logits.len(), weights.len(), "a weight for each logit");
    assert_eq!(
        sums.len(),
        logits.len().div_ceil(BLOCK),
        "a sum for each block"
    );
    multiversion!(cpu, weigh_plain, (
        logits: &[f32], largest: f32, scale: f64, least: f64, weights: &mut [f64], sums: &mut [f64],
    ));
}

#[inline(always)]
fn weigh_plain(
    logits: &[f32],
    largest: f32,
    scale: f64,
    least: f64,
    weights: &mut [f64],
    sums: &mut [f64],
) {
    let largest = f64::from(largest);
    let blocks = logits.chunks(BLOCK).zip(weights.chunks_mut(BLOCK));
    for ((logits, weights), sum) in blocks.zip(sums) {
        let (logits, last_logits) = logits.as_chunks();
        let (weights, last_weights) = weights.as_chunks_mut();
        let mut lanes = [0.0; LANES];
        for (weights, logits) in weights.iter_mut().zip(logits) {
            *weights = weigh_lanes(logits, largest, scale, least);
            for i in 0..LANES {
                lanes[i] += weights[i];
            }
        }
        if !last_logits.is_empty() {
            let mut padded = [f32::NEG_INFINITY; LANES];
            padded[..last_logits.len()].copy_from_slice(last_logits);
            let found = weigh_lanes(&padded, largest, scale, least);
            last_weights.copy_from_slice(&found[..last_weights.len()]);
            for (lane, weight) in lanes.iter_mut().zip(last_weights) {
                *lane += *weight;
            }
        }
        *sum = lanes.iter().sum();
    }
}

#[inline(always)]
fn weigh_lanes(logits: &[f32; LANES], largest: f64, scale: f64, least: f64) -> [f64; LANES] {
    let mut weights = [0.0; LANES];
    for i in 0..LANES {
        let weight = exp((f64::from(logits[i]) - largest) * scale);
        weights[i] = if weight < least { 0.0 } else { weight };
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_two_units_in_the_last_place() {
        let mut x = -699.9;
        while x <= 0.0 {
            let (found, wanted) = (exp(x), libm::exp(x));
            let ulps = found.to_bits().abs_diff(wanted.to_bits());
            assert!(ulps <= 2, "exp({x}) = {found}, libm {wanted}");
            x += 0.000_917;
        }
    }

    #[test]
    fn ends() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-701.0), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
    }

    #[test]
    fn every_level_weighs_alike() {
        let logits: Vec<f32> = (0..2500)
            .map(|i| match i % 97 {
                0 => f32::NEG_INFINITY,
                _ => (i * 7919 % 1000) as f32 / -31.0,
            })
            .collect();
        let found = |cpu, least| {
            let (mut weights, mut sums) = (vec![0.0; logits.len()], [0.0; 3]);
            weigh(cpu, &logits, 0.0, 0.7, least, &mut weights, &mut sums);
            let bits = |x: &[f64]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            (bits(&weights), bits(&sums))
        };
        for least in [f64::MIN_POSITIVE, 0.01] {
            let scalar = found(Cpu::SCALAR, least);
            assert_eq!(scalar.1.len(), 3);
            for cpu in Cpu::available() {
                assert_eq!(found(cpu, least), scalar, "{cpu:?}");
            }
        }
        let (mut weights, mut sums) = (vec![0.0; logits.len()], [0.0; 3]);
        weigh(
            Cpu::best(),
            &logits,
            0.0,
            0.7,
            0.01,
            &mut weights,
            &mut sums,
        );
        for ((&logit, &weight), id) in logits.iter().zip(&weights).zip(0..) {
            let wanted = libm::exp(f64::from(logit) * 0.7);
            let wanted = if wanted < 0.01 { 0.0 } else { wanted };
            assert!((weight - wanted).abs() < 1e-15, "{id}: {weight}, {wanted}");
        }
        let (total, wanted): (f64, f64) = (sums.iter().sum(), weights.iter().sum());
        assert!((total - wanted).abs() < 1e-9 * wanted);
    }
}
