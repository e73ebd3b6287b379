//! Philox4x32-10, the counter-based random generator of Salmon et al., "Parallel Random Numbers: As
//! Easy as 1, 2, 3" (SC 2011).
//!
//! Counter-based: a draw is a pure function of the key (the seed) and the counter (the token's
//! position), so a replay, another batch or a rejected speculation cannot shift later draws.

const ROUNDS: usize = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Added to the key between rounds: the golden ratio and sqrt(3) - 1.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for `counter` under `key`.
fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut c0, mut c1, mut c2, mut c3] = counter;
    let [mut k0, mut k1] = key;
    for round in 0..ROUNDS {
        if round > 0 {
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        let p0 = u64::from(MULTIPLIERS[0]) * u64::from(c0);
        let p1 = u64::from(MULTIPLIERS[1]) * u64::from(c2);
        (c0, c1, c2, c3) = (
            (p1 >> 32) as u32 ^ c1 ^ k0,
            p1 as u32,
            (p0 >> 32) as u32 ^ c3 ^ k1,
            p0 as u32,
        );
    }
    [c0, c1, c2, c3]
}

/// The draw for one token: uniform in `[0, 1)` with 53 bits, from the seed and the token's position
/// in its sequence.
pub fn uniform(seed: u64, position: u64) -> f64 {
    uniform_of(seed, 0, position)
}

/// As [`uniform`], for one of 2^32 independent streams of a seed.
pub fn uniform_of(seed: u64, stream: u32, position: u64) -> f64 {
    let counter = [position as u32, (position >> 32) as u32, stream, 0];
    let words = philox4x32_10(counter, [seed as u32, (seed >> 32) as u32]);
    let bits = (u64::from(words[1]) << 32 | u64::from(words[0])) >> 11;
    bits as f64 * (1.0 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors for `philox4x32 10` that Random123 publishes with its code.
    #[test]
    fn known_answers() {
        let vectors = [
            (
                [0; 4],
                [0; 2],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, wanted) in vectors {
            assert_eq!(philox4x32_10(counter, key), wanted);
        }
    }

    /// Chi-squared over 64 equal bins, 63 degrees of freedom: 120 is beyond the 99.99% quantile.
    #[test]
    fn uniform_over_positions_and_over_seeds() {
        const DRAWS: u64 = 64_000;
        let by_position: fn(u64) -> f64 = |i| uniform(7, i);
        let by_seed: fn(u64) -> f64 = |i| uniform(i, 7);
        for draw in [by_position, by_seed] {
            let mut bins = [0_f64; 64];
            for i in 0..DRAWS {
                let u = draw(i);
                assert!((0.0..1.0).contains(&u));
                bins[(u * 64.0) as usize] += 1.0;
            }
            let expected = DRAWS as f64 / 64.0;
            let chi_squared: f64 = bins.iter().map(|n| (n - expected).powi(2) / expected).sum();
            assert!(chi_squared < 120.0, "{chi_squared}");
        }
    }
}
