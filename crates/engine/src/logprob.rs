//! How likely tokens were: the logarithm of the softmax of a row of logits as it comes from the
//! model. Sums run over the vocabulary by blocks, in f64, so that a row has one result.

use terang_kernels::Cpu;
use terang_kernels::weights::{BLOCK, weigh};

use crate::sampler::{id_of, key_of, largest};
use crate::{Result, TokenLogprob};

/// `ln Σ e^logit`.
pub(crate) fn log_sum_exp(logits: &[f32]) -> Result<f64> {
    let largest = largest(logits)?;
    let cpu = Cpu::best();
    let (mut total, mut weights, mut sum) = (0.0, [0.0; BLOCK], [0.0]);
    for logits in logits.chunks(BLOCK) {
        let weights = &mut weights[..logits.len()];
        weigh(cpu, logits, largest, 1.0, 0.0, weights, &mut sum);
        total += sum[0];
    }
    Ok(libm::log(total) + f64::from(largest))
}

/// The log-probability of token `id`, and those of the `count` likeliest tokens.
pub(crate) fn token_logprob(logits: &[f32], id: u32, count: usize) -> Result<TokenLogprob> {
    let total = log_sum_exp(logits)?;
    let logprob = |id: u32| (f64::from(logits[id as usize]) - total) as f32;
    Ok(TokenLogprob {
        id,
        logprob: logprob(id),
        top: likeliest(logits, count)
            .into_iter()
            .map(|id| (id, logprob(id)))
            .collect(),
    })
}

/// The ids of the `count` largest logits, largest first, among equals the lowest id first.
fn likeliest(logits: &[f32], count: usize) -> Vec<u32> {
    let mut keys: Vec<u64> = Vec::with_capacity(count + 1);
    // Most logits fail this comparison alone.
    let mut least = f32::NEG_INFINITY;
    for (id, &logit) in (0..).zip(logits) {
        if keys.len() == count && logit <= least || count == 0 {
            continue;
        }
        let key = key_of(id, logit);
        let place = keys.partition_point(|&other| other < key);
        keys.insert(place, key);
        keys.truncate(count);
        if let (true, Some(&last)) = (keys.len() == count, keys.last()) {
            least = logits[id_of(last) as usize];
        }
    }
    keys.into_iter().map(id_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn probabilities_add_up_to_one() {
        let logits: Vec<f32> = (0..1000).map(|i| ((i * 37) % 101) as f32 / 7.0).collect();
        let sum: f64 = (0..1000)
            .map(|id| libm::exp(f64::from(token_logprob(&logits, id, 0).unwrap().logprob)))
            .sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }

    #[test]
    fn a_certain_token_has_the_logarithm_zero() {
        let found = token_logprob(&[-200.0, 50.0, -200.0], 1, 2).unwrap();
        assert_eq!(found.logprob, 0.0);
        assert_eq!(found.top, [(1, 0.0), (0, -250.0)]);
    }

    #[test]
    fn unsound_logits_are_refused() {
        assert!(token_logprob(&[0.0, f32::NAN], 0, 1).is_err());
    }

    proptest! {
        #[test]
        fn the_likeliest_are_those_that_sorting_puts_first(
            logits in prop::collection::vec((-3_i8..3).prop_map(f32::from), 1..40),
            count in 0_usize..24,
        ) {
            let mut ids: Vec<u32> = (0..logits.len() as u32).collect();
            ids.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
            ids.truncate(count);
            prop_assert_eq!(likeliest(&logits, count), ids);
        }
    }
}
