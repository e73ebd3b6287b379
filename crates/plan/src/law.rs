//! Laws that ask something of whoever trains with much compute: from how many FLOPs, what, and where it is
//! written. A summary to find the text by, not advice; an order that was revoked (United States, Executive
//! Order 14110) is left out.

use serde::Serialize;

/// A threshold in a law, and whether a run crosses it.
#[derive(Clone, Debug, Serialize)]
pub struct Threshold {
    /// The law and what it asks.
    pub law: &'static str,
    /// Training FLOPs over which it asks that.
    pub flops: f64,
    /// Where it is written.
    pub source: &'static str,
    /// Whether the run is over it.
    pub crossed: bool,
}

/// Law, FLOPs, source; the lowest first.
const LAWS: [(&str, f64, &str); 5] = [
    (
        "EU AI Act: indicative threshold of a general-purpose model; documentation for the AI Office and for \
         who builds on it, a summary of the training data, a copyright policy",
        1e23,
        "Commission guidelines C(2025) 5045 of 18 July 2025, paragraph 17; Regulation (EU) 2024/1689, Article 53",
    ),
    (
        "EU AI Act: presumed systemic risk; notify the Commission within two weeks of knowing that it will be \
         reached, evaluate, report serious incidents",
        1e25,
        "Regulation (EU) 2024/1689, Articles 51(2), 52(1) and 55",
    ),
    (
        "California SB 53: frontier model; a transparency report before it is deployed, critical safety \
         incidents within 15 days; a published framework where yearly revenue is over 500 million USD",
        1e26,
        "California Business and Professions Code 22757.11 to 22757.13, in force since 1 January 2026",
    ),
    (
        "New York RAISE Act: frontier model; incidents within 72 hours, and a published framework where yearly \
         revenue is over 500 million USD",
        1e26,
        "New York General Business Law, article 44-B (S6953B of 2025 as amended by S8828 of 2026), in force from \
         1 January 2027",
    ),
    (
        "South Korea AI Basic Act: high-performance AI, where the ministry's other criteria are met too; risk \
         management over its life cycle, reported to the ministry",
        1e26,
        "AI Basic Act (Act 20676), Article 32, and its Enforcement Decree, in force since 22 January 2026",
    ),
];

/// All thresholds, and which ones `flops` of training cross.
pub fn thresholds(flops: f64) -> Vec<Threshold> {
    LAWS.iter()
        .map(|&(law, at, source)| Threshold {
            law,
            flops: at,
            source,
            crossed: flops > at,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_rise_and_are_crossed_from_below() {
        assert!(LAWS.windows(2).all(|w| w[0].1 <= w[1].1));
        let crossed = |flops| thresholds(flops).iter().filter(|t| t.crossed).count();
        assert_eq!(
            (crossed(1e22), crossed(2e23), crossed(3.8e25), crossed(1e27)),
            (0, 1, 2, 5)
        );
    }
}
