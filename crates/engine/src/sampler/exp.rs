//! The exponential function of the sampler: additions and multiplications in a fixed order, so every
//! platform gives the same bits, and free of branches, so the compiler can vectorise a loop over a
//! whole vocabulary.

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

/// `e^x` for `x <= 0`.
#[inline]
pub(crate) fn exp(x: f64) -> f64 {
    debug_assert!(x <= 0.0);
    let bounded = x.max(LEAST);
    let shifted = bounded * std::f64::consts::LOG2_E + ROUND_TO_INTEGER;
    let k = shifted - ROUND_TO_INTEGER;
    let r = (bounded - k * LN2_HIGH) - k * LN2_LOW;
    let mut power = TAYLOR[0];
    for coefficient in &TAYLOR[1..] {
        power = power * r + coefficient;
    }
    // k + 1023 as the exponent of a double is 2^k; k is in -1010..=0 here.
    let two_to_k = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if x < LEAST { 0.0 } else { power * two_to_k }
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
}
