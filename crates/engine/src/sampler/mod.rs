//! From logits to a token id, the same on every machine, thread count and batch.
//!
//! The order of steps is fixed:
//!
//! 1. repetition penalty (over prompt and answer), then frequency and presence penalties (over the
//!    answer);
//! 2. logit bias, after the penalties so that a bias of ±100 forces or bans a token whatever stands
//!    before;
//! 3. temperature; 0 takes the largest logit here, the lowest id among equals, and ends;
//! 4. top-k, then top-p over what top-k left, then min-p relative to the most likely token;
//! 5. the draw: what is left lies on the unit interval *in order of id*, each token as wide as its
//!    probability, and Philox ([`philox`]) keyed by seed and position picks the point.
//!
//! Weights are computed and added in f64 ([`weights`]): those of the whole vocabulary by blocks, those
//! that a filter kept one by one. Nothing is sorted but the few candidates that the filters can keep, and
//! how many of those are looked at never shows in the result: ties are ordered by id.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use terang_kernels::{Cpu, philox, weights};

use crate::{Error, Result, Sampling};

/// How far below the largest logit (in units of the temperature) candidates are looked for, in
/// turn, before the whole vocabulary is taken.
const DEPTHS: [f64; 5] = [4.0, 8.0, 16.0, 32.0, f64::INFINITY];

/// Bins by which top-p looks for the logits that it needs to sort.
const BINS: usize = 256;

/// Chooses the tokens of one answer.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    seed: u64,
    vocab_size: usize,
    cpu: Cpu,
    /// Times that a token stands in the answer; 0 for those that stand in the prompt only. Filled
    /// only when a penalty needs it.
    history: BTreeMap<u32, u32>,
    /// Scratch, one weight a token of the vocabulary; 0 for those that min-p rules out.
    weights: Vec<f64>,
    /// Scratch, the sums of the weights of each [`weights::BLOCK`].
    sums: Vec<f64>,
    /// Scratch, candidates as sortable keys.
    keys: Vec<u64>,
    /// Scratch, what the filters kept, with weights.
    kept: Vec<(u32, f64)>,
}

impl Sampler {
    /// A sampler for one answer to `prompt`.
    pub fn new(sampling: Sampling, seed: u64, vocab_size: usize, prompt: &[u32]) -> Result<Self> {
        sampling.validate(vocab_size)?;
        let mut history = BTreeMap::new();
        if sampling.repetition_penalty != 1.0 {
            history.extend(prompt.iter().map(|&id| (id, 0)));
        }
        Ok(Self {
            sampling,
            seed,
            vocab_size,
            cpu: Cpu::best(),
            history,
            weights: Vec::new(),
            sums: Vec::new(),
            keys: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// Chooses the token that will stand at `position` of the sequence (the prompt's first token
    /// stands at 0), and remembers it for the penalties. `logits` is used up.
    pub fn sample(&mut self, logits: &mut [f32], position: usize) -> Result<u32> {
        let id = self.guess(logits, position)?;
        if self.has_penalties() {
            *self.history.entry(id).or_default() += 1;
        }
        Ok(id)
    }

    /// The token that [`Self::sample`] would choose from these logits, not remembered. For another
    /// model's logits it is a guess that uses the same random number, which makes it right often.
    pub(crate) fn guess(&mut self, logits: &mut [f32], position: usize) -> Result<u32> {
        if logits.len() != self.vocab_size || logits.is_empty() {
            return Err(Error::Logits {
                reason: format!("{} of them for {} tokens", logits.len(), self.vocab_size),
            });
        }
        self.penalise(logits);
        self.pick(logits, position)
    }

    /// Whether logits are taken as they are, so that [`Self::pick`] is all of [`Self::sample`].
    pub(crate) fn leaves_logits(&self) -> bool {
        !self.has_penalties() && self.sampling.logit_bias.is_empty()
    }

    /// Steps 3 to 5.
    pub(crate) fn pick(&mut self, logits: &[f32], position: usize) -> Result<u32> {
        let largest = largest(logits)?;
        if self.sampling.temperature == 0.0 {
            return Ok(first_equal(logits, largest));
        }
        let point = philox::uniform(self.seed, position as u64);
        Ok(if self.filter(logits, largest) {
            draw(&self.kept, point)
        } else {
            draw_from_all(&self.weights, &self.sums, point)
        })
    }

    fn has_penalties(&self) -> bool {
        let s = &self.sampling;
        s.repetition_penalty != 1.0 || s.presence_penalty != 0.0 || s.frequency_penalty != 0.0
    }

    /// Steps 1 and 2.
    fn penalise(&self, logits: &mut [f32]) {
        let s = &self.sampling;
        for (&id, &count) in &self.history {
            // A prompt given as token ids may hold some that the model has no logit for.
            let Some(logit) = logits.get_mut(id as usize) else {
                continue;
            };
            if *logit > 0.0 {
                *logit /= s.repetition_penalty;
            } else {
                *logit *= s.repetition_penalty;
            }
            if count > 0 {
                *logit -= s.frequency_penalty * count as f32 + s.presence_penalty;
            }
        }
        for &(id, bias) in &s.logit_bias {
            logits[id as usize] += bias;
        }
    }

    /// Steps 3 and 4: fills `kept`, in order of id; or only `weights`, and says no, where neither top-k nor
    /// top-p asks for less than all.
    fn filter(&mut self, logits: &[f32], largest: f32) -> bool {
        // Relative to the most likely token, whose weight is 1. What has no weight is never drawn.
        let min_p = f64::from(self.sampling.min_p).max(f64::MIN_POSITIVE);
        self.kept.clear();
        if self.sampling.top_k > 0 && self.sampling.top_k < logits.len() {
            self.keep_top_k(logits, largest);
        } else if self.sampling.top_p < 1.0 {
            self.weigh(logits, largest, 0.0);
            self.keep_nucleus(logits, largest);
        } else {
            self.weigh(logits, largest, min_p);
            return false;
        }
        self.kept.retain(|&(_, weight)| weight >= min_p);
        self.kept.sort_unstable_by_key(|&(id, _)| id);
        true
    }

    /// Fills `weights` and `sums`.
    fn weigh(&mut self, logits: &[f32], largest: f32, least: f64) {
        let scale = self.scale();
        let (weights, sums) = (&mut self.weights, &mut self.sums);
        weights.resize(logits.len(), 0.0);
        sums.resize(logits.len().div_ceil(weights::BLOCK), 0.0);
        weights::weigh(self.cpu, logits, largest, scale, least, weights, sums);
    }

    fn scale(&self) -> f64 {
        1.0 / f64::from(self.sampling.temperature)
    }

    /// Top-k, then top-p over what it left.
    fn keep_top_k(&mut self, logits: &[f32], largest: f32) {
        let Sampling {
            top_k,
            top_p,
            temperature,
            ..
        } = self.sampling;
        for depth in DEPTHS {
            collect_keys(logits, largest, depth, temperature, &mut self.keys);
            if self.keys.len() >= top_k {
                break;
            }
        }
        if self.keys.len() > top_k {
            self.keys.select_nth_unstable(top_k - 1);
            self.keys.truncate(top_k);
        }
        self.keys.sort_unstable();
        let scale = self.scale();
        let weight = |id: u32| {
            let below = f64::from(logits[id as usize]) - f64::from(largest);
            weights::exp(below * scale)
        };
        let ids = self.keys.iter().map(|&key| id_of(key));
        self.kept.extend(ids.map(|id| (id, weight(id))));
        if top_p < 1.0 {
            let weights = self.kept.iter().map(|&(_, weight)| weight);
            let mass = f64::from(top_p) * weights.clone().sum::<f64>();
            if let Some(count) = nucleus_len(weights, mass) {
                self.kept.truncate(count);
            }
        }
    }

    /// Top-p over the whole vocabulary, whose weights are known.
    fn keep_nucleus(&mut self, logits: &[f32], largest: f32) {
        let Sampling {
            top_p, temperature, ..
        } = self.sampling;
        let weights = &self.weights;
        let mass = f64::from(top_p) * self.sums.iter().sum::<f64>();
        for depth in DEPTHS {
            collect_keys(logits, largest, depth, temperature, &mut self.keys);
            let keys = &mut self.keys;
            let count = likeliest_of(keys, logits, largest, weights, mass, temperature);
            if let Some(count) = count {
                self.keys.truncate(count);
                break;
            }
        }
        let ids = self.keys.iter().map(|&key| id_of(key));
        self.kept.extend(ids.map(|id| (id, weights[id as usize])));
    }
}

/// Orders the keys of the likeliest tokens, likeliest first, as far as they are needed to reach `mass`;
/// gives their number, or `None` if all keys together do not reach it, for which they are in order.
fn likeliest_of(
    keys: &mut [u64],
    logits: &[f32],
    largest: f32,
    weights: &[f64],
    mass: f64,
    temperature: f32,
) -> Option<usize> {
    // Sorting is what costs: first only the bins that reach the mass are sorted.
    let bin = |key: u64| bin_of(logits[id_of(key) as usize], largest, temperature);
    let mut masses = [0.0; BINS];
    for &key in &*keys {
        masses[bin(key)] += weights[id_of(key) as usize];
    }
    let enough = nucleus_len(masses.into_iter(), mass).unwrap_or(BINS);
    let mut len = 0;
    for at in 0..keys.len() {
        if bin(keys[at]) < enough {
            keys.swap(at, len);
            len += 1;
        }
    }
    // All of them if the sum falls short in its last bits when it is added in another order.
    for len in [len, keys.len()] {
        let keys = &mut keys[..len];
        keys.sort_unstable();
        let by_rank = keys.iter().map(|&key| weights[id_of(key) as usize]);
        if let Some(count) = nucleus_len(by_rank, mass) {
            return Some(count);
        }
    }
    None
}

/// How many quarters of a temperature a logit lies below the largest; the last bin takes the rest.
fn bin_of(logit: f32, largest: f32, temperature: f32) -> usize {
    // Of two logits the lower never has the lower bin: subtraction and division are monotonic.
    let depth = (largest - logit) / temperature;
    ((depth * 4.0) as usize).min(BINS - 1)
}

/// The largest logit, or why there is none. Minus infinity is a token that is ruled out.
pub(crate) fn largest(logits: &[f32]) -> Result<f32> {
    let unsound = |logit: f32| logit.is_nan() || logit == f32::INFINITY;
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    // In lanes and without an early exit, so that the loop vectorises.
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut any = [false; 16];
    let (sixteens, rest) = logits.as_chunks::<16>();
    for sixteen in sixteens {
        for i in 0..16 {
            lanes[i] = larger(lanes[i], sixteen[i]);
            any[i] |= unsound(sixteen[i]);
        }
    }
    if any.contains(&true) || rest.iter().any(|&logit| unsound(logit)) {
        let id = logits.iter().position(|&logit| unsound(logit)).unwrap_or(0);
        return Err(Error::Logits {
            reason: format!("that of token {id} is {}", logits[id]),
        });
    }
    let all = lanes.iter().chain(rest).copied();
    let largest = all.fold(f32::NEG_INFINITY, larger);
    if largest == f32::NEG_INFINITY {
        return Err(Error::Logits {
            reason: "all of them are -inf".into(),
        });
    }
    Ok(largest)
}

fn first_equal(logits: &[f32], largest: f32) -> u32 {
    const AT_ONCE: usize = 64;
    // Whole pieces first: their comparisons vectorise.
    let holds = |piece: &[f32]| piece.iter().filter(|&&logit| logit == largest).count() > 0;
    let piece = logits.chunks(AT_ONCE).position(holds);
    let index = piece.and_then(|piece| {
        let from = piece * AT_ONCE;
        let within = logits[from..].iter().position(|&logit| logit == largest);
        within.map(|index| from + index)
    });
    index.expect("the largest logit is one of the logits") as u32
}

/// A key whose ascending order is that of descending logits, and of ascending ids among equals.
pub(crate) fn key_of(id: u32, logit: f32) -> u64 {
    // Adding zero makes -0 and 0 the same.
    let bits = (logit + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    u64::from(!ascending) << 32 | u64::from(id)
}

pub(crate) fn id_of(key: u64) -> u32 {
    key as u32
}

/// The keys of the tokens whose logits are at most `depth` temperatures below the largest.
fn collect_keys(logits: &[f32], largest: f32, depth: f64, temperature: f32, keys: &mut Vec<u64>) {
    const AT_ONCE: usize = 64;
    let floor = (f64::from(largest) - depth * f64::from(temperature)) as f32;
    keys.clear();
    // Whole pieces first: their comparisons vectorise, and most pieces have no candidate.
    for (piece, from) in logits.chunks(AT_ONCE).zip((0..).step_by(AT_ONCE)) {
        if piece.iter().filter(|&&logit| logit >= floor).count() > 0 {
            let candidates = (from..).zip(piece).filter(|&(_, &logit)| logit >= floor);
            keys.extend(candidates.map(|(id, &logit)| key_of(id, logit)));
        }
    }
}

/// How many of the weights, from the first, reach `mass` together; at least one. `None` if all of
/// them do not.
fn nucleus_len(weights: impl Iterator<Item = f64>, mass: f64) -> Option<usize> {
    let mut reached = 0.0;
    for (index, weight) in weights.enumerate() {
        reached += weight;
        if reached >= mass {
            return Some(index + 1);
        }
    }
    None
}

/// Step 5 over the whole vocabulary: the token that the point `u` of the unit interval falls on, found
/// block by block; tokens of weight 0 have no width.
fn draw_from_all(weights: &[f64], sums: &[f64], u: f64) -> u32 {
    let total: f64 = sums.iter().sum();
    let point = u * total;
    let mut before = 0.0;
    for (block, &sum) in sums.iter().enumerate() {
        if before + sum > point {
            let from = block * weights::BLOCK;
            let weights = &weights[from..(from + weights::BLOCK).min(weights.len())];
            let mut reached = before;
            let mut last = 0;
            for (index, &weight) in weights
                .iter()
                .enumerate()
                .filter(|&(_, &weight)| weight > 0.0)
            {
                last = index;
                reached += weight;
                if reached > point {
                    break;
                }
            }
            // The last one of the block takes what its sum has more than its terms one by one.
            return (from + last) as u32;
        }
        before += sum;
    }
    unreachable!("the sum, added in the same order, is over any part of it")
}

/// Step 5: the token that the point `u` of the unit interval falls on.
fn draw(kept: &[(u32, f64)], u: f64) -> u32 {
    let total: f64 = kept.iter().map(|&(_, weight)| weight).sum();
    let point = u * total;
    let mut reached = 0.0;
    for &(id, weight) in kept {
        reached += weight;
        if reached > point {
            return id;
        }
    }
    unreachable!("the sum, added in the same order, is over any part of it")
}
