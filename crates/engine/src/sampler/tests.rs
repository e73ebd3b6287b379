//! The sampler against its definition, written the slow way, and against probability theory.

use super::*;
use proptest::prelude::*;

fn sampling(change: impl FnOnce(&mut Sampling)) -> Sampling {
    let mut sampling = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        ..Sampling::default()
    };
    change(&mut sampling);
    sampling
}

fn sample(sampling: Sampling, prompt: &[u32], logits: &[f32], position: usize) -> u32 {
    let mut sampler = Sampler::new(sampling, 42, logits.len(), prompt).unwrap();
    sampler.sample(&mut logits.to_vec(), position).unwrap()
}

/// Tokens that the filters keep, with weights, by full sorts.
fn kept_by_definition(sampling: &Sampling, logits: &[f32]) -> Vec<(u32, f64)> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let scale = 1.0 / f64::from(sampling.temperature);
    let mut all: Vec<(u32, f64)> = (0_u32..)
        .zip(logits)
        .map(|(id, &logit)| (id, weights::exp((f64::from(logit) - largest) * scale)))
        .collect();
    let mut by_block = vec![0.0; logits.len().div_ceil(weights::BLOCK)];
    let (cpu, mut unused) = (Cpu::SCALAR, vec![0.0; logits.len()]);
    weights::weigh(
        cpu,
        logits,
        largest as f32,
        scale,
        0.0,
        &mut unused,
        &mut by_block,
    );
    let everything: f64 = by_block.iter().sum();
    all.sort_by(|a, b| {
        let by_logit = logits[b.0 as usize].partial_cmp(&logits[a.0 as usize]);
        by_logit.unwrap().then(a.0.cmp(&b.0))
    });
    let mut mass = everything;
    if sampling.top_k > 0 && sampling.top_k < all.len() {
        all.truncate(sampling.top_k);
        mass = all.iter().map(|&(_, w)| w).sum();
    }
    if sampling.top_p < 1.0 {
        let mut reached = 0.0;
        let mut count = 0;
        while count < all.len() && (count == 0 || reached < mass * f64::from(sampling.top_p)) {
            reached += all[count].1;
            count += 1;
        }
        all.truncate(count);
    }
    all.retain(|&(_, w)| w > 0.0 && w >= f64::from(sampling.min_p));
    all.sort_by_key(|&(id, _)| id);
    all
}

proptest! {
    #[test]
    fn the_fast_path_keeps_what_the_definition_keeps(
        logits in prop::collection::vec((-40_i32..40).prop_map(|n| n as f32 / 4.0), 1..300),
        temperature in prop::sample::select(vec![0.01_f32, 0.3, 0.7, 1.0, 2.0, 100.0]),
        top_k in prop::sample::select(vec![0_usize, 1, 2, 40, 250, 1000]),
        top_p in prop::sample::select(vec![0.0_f32, 0.1, 0.5, 0.95, 0.999_999, 1.0]),
        min_p in prop::sample::select(vec![0.0_f32, 0.05, 0.5, 1.0]),
    ) {
        let sampling = sampling(|s| {
            (s.temperature, s.top_k, s.top_p, s.min_p) = (temperature, top_k, top_p, min_p);
        });
        let mut sampler = Sampler::new(sampling.clone(), 1, logits.len(), &[]).unwrap();
        let id = sampler.sample(&mut logits.clone(), 5).unwrap();
        let by_definition = kept_by_definition(&sampling, &logits);
        if sampler.kept.is_empty() {
            // Nothing but min-p was to be looked at.
            let all = (0..).zip(sampler.weights.iter().copied());
            sampler.kept = all.filter(|&(_, weight)| weight > 0.0).collect();
        }
        prop_assert_eq!(&sampler.kept, &by_definition);
        prop_assert!(sampler.kept.iter().any(|&(kept, _)| kept == id));
    }

    #[test]
    fn a_draw_depends_on_seed_and_position_alone(
        logits in prop::collection::vec(-5_f32..5.0, 2..50),
        positions in prop::collection::vec(0_usize..1_000_000, 1..20),
        seed: u64,
    ) {
        let fresh = |position| {
            let mut sampler = Sampler::new(sampling(|_| ()), seed, logits.len(), &[]).unwrap();
            sampler.sample(&mut logits.clone(), position).unwrap()
        };
        let mut one = Sampler::new(sampling(|_| ()), seed, logits.len(), &[]).unwrap();
        for position in positions {
            prop_assert_eq!(one.sample(&mut logits.clone(), position).unwrap(), fresh(position));
        }
    }

    #[test]
    fn any_logits_give_a_token_or_an_error(
        bits in prop::collection::vec(any::<u32>(), 1..40),
        temperature in prop::sample::select(vec![0.0_f32, f32::MIN_POSITIVE, 1.0, 100.0]),
        top_p in 0_f32..=1.0,
    ) {
        let mut logits: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let sampling = sampling(|s| {
            (s.temperature, s.top_p, s.repetition_penalty) = (temperature, top_p, 100.0);
        });
        let mut sampler = Sampler::new(sampling, 1, logits.len(), &[0, 1, 99]).unwrap();
        match sampler.sample(&mut logits, 0) {
            Ok(id) => prop_assert!((id as usize) < logits.len()),
            Err(error) => {
                let expected = matches!(error, Error::Logits { .. });
                prop_assert!(expected, "{}", error);
            }
        }
    }
}

/// Chi-squared over the four tokens, 3 degrees of freedom: 21 is beyond the 99.98% quantile.
#[test]
fn draws_follow_the_probabilities() {
    const DRAWS: usize = 40_000;
    let logits = [0.0_f32, 1.0, -1.0, 0.5];
    let total: f64 = logits.iter().map(|&l| libm::exp(f64::from(l))).sum();
    let mut sampler = Sampler::new(sampling(|_| ()), 3, 4, &[]).unwrap();
    let mut counts = [0_f64; 4];
    for position in 0..DRAWS {
        counts[sampler.sample(&mut logits.clone(), position).unwrap() as usize] += 1.0;
    }
    let chi_squared: f64 = counts
        .iter()
        .zip(logits)
        .map(|(n, logit)| {
            let expected = DRAWS as f64 * libm::exp(f64::from(logit)) / total;
            (n - expected).powi(2) / expected
        })
        .sum();
    assert!(chi_squared < 21.0, "{chi_squared} from {counts:?}");
}

#[test]
fn greedy_takes_the_lowest_id_among_equals() {
    let greedy = sampling(|s| s.temperature = 0.0);
    assert_eq!(sample(greedy.clone(), &[], &[1.0, 3.0, 2.0, 3.0], 0), 1);
    assert_eq!(sample(greedy, &[], &[-0.0, 0.0], 0), 0);
}

#[test]
fn bias_forces_and_bans_whatever_the_penalties_say() {
    let greedy = sampling(|s| {
        s.temperature = 0.0;
        s.repetition_penalty = 2.0;
        s.logit_bias = vec![(0, 100.0)];
    });
    assert_eq!(sample(greedy, &[0, 0], &[0.5, 9.0, 8.0], 2), 0);
    let banned = sampling(|s| s.logit_bias = vec![(1, -100.0)]);
    for position in 0..1000 {
        assert_ne!(sample(banned.clone(), &[], &[0.0, 4.0, 0.0], position), 1);
    }
}

#[test]
fn repetition_counts_prompt_and_answer_and_both_signs() {
    let penalised = sampling(|s| {
        s.temperature = 0.0;
        s.repetition_penalty = 2.0;
    });
    // 6 / 2 < 4, and -1 * 2 < -1.5.
    assert_eq!(sample(penalised.clone(), &[0], &[6.0, 4.0], 1), 1);
    assert_eq!(sample(penalised.clone(), &[0], &[-1.0, -1.5], 1), 1);
    let mut sampler = Sampler::new(penalised, 0, 2, &[]).unwrap();
    assert_eq!(sampler.sample(&mut [6.0, 4.0], 0).unwrap(), 0);
    assert_eq!(sampler.sample(&mut [6.0, 4.0], 1).unwrap(), 1);
}

#[test]
fn presence_and_frequency_count_the_answer_only() {
    let presence = sampling(|s| {
        s.temperature = 0.0;
        s.presence_penalty = 1.5;
    });
    assert_eq!(sample(presence.clone(), &[0, 0], &[5.0, 4.0], 2), 0);
    let answers = |sampling| {
        let mut sampler = Sampler::new(sampling, 0, 2, &[]).unwrap();
        (0..4)
            .map(|position| sampler.sample(&mut [5.0, 3.0], position).unwrap())
            .collect::<Vec<_>>()
    };
    // Once is as often as always: 5 - 1.5 stays above 3.
    assert_eq!(answers(presence), [0, 0, 0, 0]);
    // 5, 4, 3 (a tie, so the lower id), then 2 against 3.
    let frequency = sampling(|s| {
        s.temperature = 0.0;
        s.frequency_penalty = 1.0;
    });
    assert_eq!(answers(frequency), [0, 0, 0, 1]);
}

#[test]
fn unsound_logits_are_an_error() {
    for (logits, reason) in [
        (vec![0.0, f32::NAN], "that of token 1 is NaN"),
        (vec![f32::INFINITY, 0.0], "that of token 0 is inf"),
        (vec![f32::NEG_INFINITY; 3], "all of them are -inf"),
    ] {
        let mut sampler = Sampler::new(sampling(|_| ()), 0, logits.len(), &[]).unwrap();
        let error = sampler.sample(&mut logits.clone(), 0).unwrap_err();
        assert!(
            matches!(&error, Error::Logits { reason: found } if found == reason),
            "{error}"
        );
    }
    let mut sampler = Sampler::new(sampling(|_| ()), 0, 5, &[]).unwrap();
    assert!(sampler.sample(&mut [0.0; 4], 0).is_err());
}

#[test]
fn a_ruled_out_token_is_never_drawn() {
    let logits = [f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY];
    for position in 0..100 {
        assert_eq!(sample(sampling(|_| ()), &[], &logits, position), 1);
    }
}

/// By blocks or one by one: the same token unless the point falls where the sums' last bits decide.
#[test]
fn a_draw_from_all_falls_where_a_walk_over_all_falls() {
    let logits: Vec<f32> = (0_u32..5000)
        .map(|id| ((id * 7919) % 5000) as f32 / -150.0)
        .collect();
    let mut sampler = Sampler::new(sampling(|_| ()), 9, logits.len(), &[]).unwrap();
    for position in 0..2000 {
        let id = sampler.sample(&mut logits.clone(), position).unwrap();
        let all: Vec<_> = (0..).zip(sampler.weights.iter().copied()).collect();
        assert_eq!(id, draw(&all, philox::uniform(9, position as u64)));
    }
    // Whole blocks that are ruled out, and the ends.
    let mut logits = vec![f32::NEG_INFINITY; 3 * weights::BLOCK + 5];
    for id in [0, 2 * weights::BLOCK, 3 * weights::BLOCK + 4] {
        logits[id] = 0.0;
    }
    let (mut weights, mut sums) = (vec![0.0; logits.len()], vec![0.0; 4]);
    weights::weigh(Cpu::best(), &logits, 0.0, 1.0, 0.0, &mut weights, &mut sums);
    let drawn = [0.0, 0.3, 0.34, 0.66, 0.67, 1.0 - f64::EPSILON / 2.0]
        .map(|u| draw_from_all(&weights, &sums, u) as usize);
    let [first, second, third] = [0, 2 * weights::BLOCK, 3 * weights::BLOCK + 4];
    assert_eq!(drawn, [first, first, second, second, third, third]);
}

/// These ids are part of the numerics contract: a change here breaks every recorded answer.
#[test]
fn known_draws() {
    let logits: Vec<f32> = (0_u32..1000)
        .map(|id| ((id * 7919) % 1000) as f32 / 100.0)
        .collect();
    let ids: Vec<u32> = (0..6)
        .map(|p| sample(Sampling::default(), &[], &logits, p))
        .collect();
    assert_eq!(ids, [482, 321, 644, 667, 852, 297]);
}
