//! This project's own elementary functions: the same bits on every machine, since each is a fixed
//! sequence of additions, multiplications and fused multiply-adds.
//!
//! They are branch-free on purpose, so that the compiler vectorises loops over them.

/// Adding and subtracting 1.5 * 2^23 rounds a small float to an integer, ties to even; the integer
/// can be read off the sum's bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// ln(2) in two parts, for the reduction of the argument.
const LN2_HIGH: f32 = 0.693_145_75;
const LN2_LOW: f32 = 1.428_606_8e-6;
/// Below, [`exp`] is 0.
const UNDERFLOW: f32 = -87.336_54;

/// e^x, within 1.2 units in the last place for results that are normal numbers; 0 below -87.3 (where
/// the result would be subnormal), infinity above 88.7, NaN for NaN.
///
/// Cody-Waite reduction to |r| <= ln(2)/2, then the degree-7 polynomial of Cephes' `expf`.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const OVERFLOW: f32 = 88.722_83;
    // Selects, not `clamp`, which treats NaN in its own way.
    let c = if x > OVERFLOW { OVERFLOW } else { x };
    let c = if c > UNDERFLOW { c } else { UNDERFLOW };
    let shifted = c.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, c);
    let r = n.mul_add(-LN2_LOW, r);
    let p = exp_polynomial(r);
    // 2^n in two factors: n reaches 128, which one exponent field cannot hold.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let first = f32::from_bits(((half + 127) as u32) << 23);
    let second = f32::from_bits(((n - half + 127) as u32) << 23);
    let y = p * first * second;
    let y = if x > OVERFLOW { f32::INFINITY } else { y };
    let y = if x < UNDERFLOW { 0.0 } else { y };
    if x.is_nan() { x } else { y }
}

/// [`exp`] for x <= 0 (or NaN), in fewer operations and with the same bits: nothing overflows, and one
/// factor 2^n is enough, since n is at least -126.
#[inline(always)]
pub(crate) fn exp_nonpositive(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // In this order a NaN stays what it is.
    let c = if UNDERFLOW > x { UNDERFLOW } else { x };
    let shifted = c.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_HIGH, c);
    let r = n.mul_add(-LN2_LOW, r);
    let p = exp_polynomial(r);
    let factor = two_to(shifted);
    if x < UNDERFLOW { 0.0 } else { p * factor }
}

/// 2^x for x <= 0 (or NaN), within 6e-7 relative; exactly 1 at 0, and 0 below -126, where results would be
/// subnormal. Softmax's own: to base 2 the argument's reduction is exact and costs two additions.
///
/// The polynomial is the minimax of its degree with a constant term of 1, found by Remez' exchange.
#[inline(always)]
pub(crate) fn exp2_nonpositive(x: f32) -> f32 {
    const UNDERFLOW: f32 = -126.0;
    // In this order a NaN stays what it is.
    let c = if UNDERFLOW > x { UNDERFLOW } else { x };
    let shifted = c + ROUND;
    let r = c - (shifted - ROUND);
    let p = 1.112_549_4e-3_f32;
    let p = p.mul_add(r, 9.666_283e-3);
    let p = p.mul_add(r, 5.557_400_4e-2);
    let p = p.mul_add(r, 2.402_235_1e-1);
    let p = p.mul_add(r, 6.931_428_3e-1);
    let p = p.mul_add(r, 1.0);
    let factor = two_to(shifted);
    if x < UNDERFLOW { 0.0 } else { p * factor }
}

/// 2^n of `shifted`, which is [`ROUND`] + n, for -126 <= n <= 0: ROUND's bits leave by the shift, those of
/// n come to stand in the exponent.
#[inline(always)]
fn two_to(shifted: f32) -> f32 {
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// e^r for |r| <= ln(2)/2.
#[inline(always)]
fn exp_polynomial(r: f32) -> f32 {
    let p = 1.987_569_1e-4_f32;
    let p = p.mul_add(r, 1.398_199_9e-3);
    let p = p.mul_add(r, 8.333_452e-3);
    let p = p.mul_add(r, 4.166_579_6e-2);
    let p = p.mul_add(r, 1.666_666_5e-1);
    let p = p.mul_add(r, 0.5);
    p.mul_add(r * r, r) + 1.0
}

/// Hyperbolic tangent, within 2e-7 relative.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let magnitude = x.abs();
    // Near zero 1 - 2/(e^2x + 1) cancels; the odd polynomial (Cephes, tanhf) does not.
    let z = x * x;
    let p = -5.704_988_7e-3_f32;
    let p = p.mul_add(z, 2.063_908_9e-2);
    let p = p.mul_add(z, -5.373_971_5e-2);
    let p = p.mul_add(z, 1.333_144_2e-1);
    let p = p.mul_add(z, -3.333_328_2e-1);
    let small = (p * z).mul_add(x, x);
    let large = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
    let large = if x < 0.0 { -large } else { large };
    if magnitude < 0.625 { small } else { large }
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU in its tanh approximation (arXiv:1606.08415).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    let inner = SQRT_2_OVER_PI * (0.044_715 * x * x).mul_add(x, x);
    0.5 * x * (1.0 + tanh(inner))
}

/// GELU by the error function, through the pure-Rust `libm` in double precision.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let x = f64::from(x);
    (0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))) as f32
}

/// The error function in single precision, within 1.2e-7: a polynomial where |x| < 0.928, else
/// `1 - e^p(|x|)` with the sign of x.
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let z = x * x;
    let p = (-1.728_534_7e-5_f32).mul_add(magnitude, 3.831_972e-4);
    let q = (-3.883_964_4e-3_f32).mul_add(magnitude, 2.425_462_2e-2);
    let p = p.mul_add(z, q);
    let p = p.mul_add(magnitude, -1.067_778e-1);
    let p = p.mul_add(magnitude, -6.348_467e-1);
    let p = p.mul_add(magnitude, -1.287_175e-1);
    let large = 1.0 - exp(p.mul_add(magnitude, -magnitude));
    let large = if x < 0.0 { -large } else { large };
    let p = -5.967_617e-4_f32;
    let p = p.mul_add(z, 4.991_194e-3);
    let p = p.mul_add(z, -2.676_813_5e-2);
    let p = p.mul_add(z, 1.128_199_2e-1);
    let p = p.mul_add(z, -3.761_253_4e-1);
    let p = p.mul_add(z, 1.283_791_7e-1);
    let small = p.mul_add(x, x);
    if magnitude > 0.927_734_4 {
        large
    } else {
        small
    }
}

/// GELU by the error function, all of it in single precision: within 4e-7 of [`gelu`] near zero, and
/// many times as fast, since loops over it are vectorised.
#[inline(always)]
pub fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_is_accurate() {
        let far = |f: fn(f32) -> f32, exact: fn(f64) -> f64| {
            (-200_000..=200_000)
                .map(|i| i as f32 / 200_000.0 * 9.0)
                .map(|x| (f64::from(f(x)) - exact(f64::from(x))).abs())
                .fold(0.0, f64::max)
        };
        assert!(far(erf, libm::erf) < 1.2e-7, "{}", far(erf, libm::erf));
        let gelu = |x: f64| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt()));
        assert!(far(gelu_erf, gelu) < 6e-7, "{}", far(gelu_erf, gelu));
        assert!(erf(f32::NAN).is_nan());
        assert_eq!((erf(20.0), erf(-20.0), erf(0.0)), (1.0, -1.0, 0.0));
        assert_eq!((gelu_erf(-50.0), gelu_erf(50.0)), (0.0, 50.0));
    }

    fn worst(f: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        (0..=200_000)
            .map(|i| {
                let x = from + (to - from) * (i as f32 / 200_000.0);
                let expected = exact(f64::from(x));
                (f64::from(f(x)) - expected).abs() / expected.abs().max(1e-30)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_accurate_and_exact_where_softmax_needs_it() {
        assert!(worst(exp, libm::exp, -87.0, 88.0) < 1.5e-7);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
        assert!(exp(88.7).is_finite());
    }

    #[test]
    fn the_shorter_exp_has_the_same_bits() {
        let steps = (0..=2_000_000).map(|i| -90.0 * (i as f32 / 2_000_000.0));
        for x in steps.chain([
            -0.0,
            -1e-30,
            -87.336_54,
            -87.336_55,
            -1e9,
            f32::NEG_INFINITY,
        ]) {
            assert_eq!(exp_nonpositive(x).to_bits(), exp(x).to_bits(), "{x}");
        }
        assert!(exp_nonpositive(f32::NAN).is_nan());
    }

    #[test]
    fn powers_of_two_are_accurate_and_exact_where_softmax_needs_it() {
        let far = worst(exp2_nonpositive, libm::exp2, -99.0, 0.0);
        assert!(far < 6e-7, "{far}");
        for n in 0..=126 {
            assert_eq!(exp2_nonpositive(-n as f32), 2f32.powi(-n));
        }
        assert_eq!(exp2_nonpositive(-0.0), 1.0);
        assert_eq!(exp2_nonpositive(-126.000_01), 0.0);
        assert_eq!(exp2_nonpositive(f32::NEG_INFINITY), 0.0);
        assert!(exp2_nonpositive(f32::NAN).is_nan());
        assert!(exp2_nonpositive(f32::from_bits(0x7fc0_0001)).is_nan());
    }

    #[test]
    fn activations_are_accurate() {
        assert!(worst(tanh, libm::tanh, -9.0, 9.0) < 3e-7);
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!((tanh(100.0), tanh(-100.0)), (1.0, -1.0));
        assert!(worst(silu, |x| x / (1.0 + libm::exp(-x)), 0.001, 80.0) < 3e-7);
        assert!(
            worst(
                gelu,
                |x| 0.5 * x * (1.0 + libm::erf(x / 2f64.sqrt())),
                0.001,
                9.0
            ) < 1e-7
        );
        assert_eq!((silu(-200.0), gelu_tanh(-50.0)), (0.0, 0.0));
    }
}
