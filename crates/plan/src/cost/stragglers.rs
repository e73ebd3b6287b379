//! How far the slowest of many GPUs holds up all the others.
//!
//! Chips of one kind differ: in leakage, in cooling, in the clock that their power limit leaves. A GPU's
//! time is taken as normal about the mean, with a spread that is fitted or given, and a share of GPUs may
//! be slow by a tenth (the hosts that Jiang et al. 2024, section 6, found and took out). All wait for the
//! slowest in every step, so that what counts is the expected maximum over ranks, which grows with the
//! root of the logarithm of their number; and it is a distribution, of which a plan gives two points.

use serde::{Deserialize, Serialize};

/// How much longer a slow GPU takes (Jiang et al. 2024: about a tenth).
const SLOW_BY: f64 = 0.10;

/// How GPUs of one cluster differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stragglers {
    /// Standard deviation of a GPU's time by its mean; the fitted one where `None`.
    pub spread: Option<f64>,
    /// Share of GPUs that are slow by a tenth and have not been taken out.
    pub slow_share: f64,
}

impl Stragglers {
    /// Expected time of the slowest of `ranks` GPUs over the mean, by the mean. Never falls with any of
    /// its inputs.
    pub fn expected(self, ranks: f64, fitted: f64) -> f64 {
        let spread = self.spread.unwrap_or(fitted);
        let usual = spread * expected_maximum(ranks);
        let slow = ranks * self.slow_share;
        // Whether there is a slow one at all, and then the slowest of those that there are.
        let any = 1.0 - (1.0 - self.slow_share).powf(ranks);
        let among = SLOW_BY + spread * expected_maximum(slow.max(1.0));
        usual + any * (among - usual).max(0.0)
    }

    /// What the slowest of `ranks` GPUs stays under in `share` of clusters.
    pub fn quantile(self, ranks: f64, fitted: f64, share: f64) -> f64 {
        let spread = self.spread.unwrap_or(fitted);
        let of = |n: f64| spread * normal_quantile(share.powf(1.0 / n.max(1.0))).max(0.0);
        let slow = ranks * self.slow_share;
        let any = 1.0 - (1.0 - self.slow_share).powf(ranks);
        if any > 1.0 - share {
            of(ranks).max(SLOW_BY + of(slow))
        } else {
            of(ranks)
        }
    }
}

/// Expected maximum of `n` standard normal numbers, after Blom 1958; 0 for one.
pub fn expected_maximum(n: f64) -> f64 {
    if n <= 1.0 {
        return 0.0;
    }
    // Blom's constant has the two-number case right, whose expectation is one by the root of pi, to 4%.
    normal_quantile((n - 0.375) / (n + 0.25)).max(0.0)
}

/// The standard normal distribution's quantile, by Acklam's rational approximation (relative error under
/// 1.2e-9).
pub fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
        1.0,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    let of = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let p = p.clamp(1e-300, 1.0 - f64::EPSILON);
    if p < TAIL {
        let q = (-2.0 * p.ln()).sqrt();
        of(&C, q) / of(&D, q)
    } else if p > 1.0 - TAIL {
        let q = (-2.0 * (1.0 - p).ln()).sqrt();
        -of(&C, q) / of(&D, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        of(&A, r) * q / of(&B, r)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_expected_maximum_is_the_tables() {
        // Harter 1961: the largest of 10, 100 and 400 normal numbers.
        for (n, wanted) in [
            (2.0, 0.5642),
            (10.0, 1.5388),
            (100.0, 2.5076),
            (400.0, 2.9682),
        ] {
            let got = expected_maximum(n);
            assert!((got - wanted).abs() < 0.03, "{n}: {got} is not {wanted}");
        }
        assert_eq!(expected_maximum(1.0), 0.0);
    }

    #[test]
    fn quantiles_are_the_tables() {
        for (p, wanted) in [(0.5, 0.0), (0.975, 1.959_964), (0.001, -3.090_232)] {
            assert!((normal_quantile(p) - wanted).abs() < 1e-5);
        }
    }

    #[test]
    fn one_slow_gpu_among_thousands_holds_up_all() {
        let none = Stragglers::default();
        let few = Stragglers {
            slow_share: 0.001,
            ..none
        };
        assert!(few.expected(16_384.0, 0.005) > 0.10);
        // Among eight there is hardly ever one.
        assert!(few.expected(8.0, 0.005) < none.expected(8.0, 0.005) + 0.002);
        assert!(few.quantile(8.0, 0.005, 0.9) < 0.05);
        assert!(few.quantile(16_384.0, 0.005, 0.9) > 0.10);
    }
}
