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
//!    probability, and [Philox](philox) keyed by seed and position picks the point.
//!
//! Weights are computed and added in f64 with the sampler's own exponential. Nothing is sorted but
//! the few candidates that the filters can keep, and how many of those are looked at never shows in
//! the result: ties are ordered by id.

pub(crate) mod exp;
mod philox;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::{Error, Result, Sampling};

/// How far below the largest logit (in units of the temperature) candidates are looked for, in
/// turn, before the whole vocabulary is taken.
const DEPTHS: [f64; 5] = [4.0, 8.0, 16.0, 32.0, f64::INFINITY];

/// Chooses the tokens of one answer.
#[derive(Debug)]
pub struct Sampler {
    sampling: Sampling,
    seed: u64,
    vocab_size: usize,
    /// Times that a token stands in the answer; 0 for those that stand in the prompt only. Filled
    /// only when a penalty needs it.
    history: BTreeMap<u32, u32>,
    /// Scratch, one weight a token of the vocabulary.
    weights: Vec<f64>,
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
            history,
            weights: Vec::new(),
            keys: Vec::new(),
            kept: Vec::new(),
        })
    }

    /// Chooses the token that will stand at `position` of the sequence (the prompt's first token
    /// stands at 0), and remembers it for the penalties. `logits` is used up.
    pub fn sample(&mut self, logits: &mut [f32], position: usize) -> Result<u32> {
        if logits.len() != self.vocab_size || logits.is_empty() {
            return Err(Error::Logits {
                reason: format!("{} of them for {} tokens", logits.len(), self.vocab_size),
            });
        }
        self.penalise(logits);
        let largest = largest(logits)?;
        let id = if self.sampling.temperature == 0.0 {
            first_equal(logits, largest)
        } else {
            self.filter(logits, largest);
            draw(&self.kept, philox::uniform(self.seed, position as u64))
        };
        if self.has_penalties() {
            *self.history.entry(id).or_default() += 1;
        }
        Ok(id)
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

    /// Steps 3 and 4: fills `kept`, in order of id.
    fn filter(&mut self, logits: &[f32], largest: f32) {
        let s = &self.sampling;
        let temperature = f64::from(s.temperature);
        let scale = 1.0 / temperature;
        let weight = |logit: f32| exp::exp((f64::from(logit) - f64::from(largest)) * scale);
        let top_p = f64::from(s.top_p);
        self.kept.clear();
        if s.top_k > 0 && s.top_k < logits.len() {
            for depth in DEPTHS {
                collect_keys(logits, largest, depth * temperature, &mut self.keys);
                if self.keys.len() >= s.top_k {
                    break;
                }
            }
            if self.keys.len() > s.top_k {
                self.keys.select_nth_unstable(s.top_k - 1);
                self.keys.truncate(s.top_k);
            }
            self.keys.sort_unstable();
            let (kept, keys) = (&mut self.kept, &self.keys);
            kept.extend(
                keys.iter()
                    .map(|&key| (id_of(key), weight(logits[id_of(key) as usize]))),
            );
            if s.top_p < 1.0 {
                let total: f64 = kept.iter().map(|&(_, weight)| weight).sum();
                let count = nucleus_len(kept.iter().map(|&(_, weight)| weight), top_p * total);
                kept.truncate(count.unwrap_or(kept.len()));
            }
        } else {
            self.weights.clear();
            self.weights
                .extend(logits.iter().map(|&logit| weight(logit)));
            let weights = &self.weights;
            if s.top_p < 1.0 {
                let mass = top_p * sum(weights);
                for depth in DEPTHS {
                    collect_keys(logits, largest, depth * temperature, &mut self.keys);
                    self.keys.sort_unstable();
                    let by_rank = self.keys.iter().map(|&key| weights[id_of(key) as usize]);
                    if let Some(count) = nucleus_len(by_rank, mass) {
                        self.keys.truncate(count);
                        break;
                    }
                }
                let ids = self.keys.iter().map(|&key| id_of(key));
                self.kept.extend(ids.map(|id| (id, weights[id as usize])));
            } else {
                let all = weights
                    .iter()
                    .enumerate()
                    .map(|(id, &weight)| (id as u32, weight));
                self.kept
                    .extend(all.filter(|&(_, weight)| weight >= f64::from(s.min_p)));
            }
        }
        // The most likely token's weight is 1.
        self.kept
            .retain(|&(_, weight)| weight >= f64::from(s.min_p));
        self.kept.sort_unstable_by_key(|&(id, _)| id);
    }
}

/// The largest logit, or why there is none. Minus infinity is a token that is ruled out.
pub(crate) fn largest(logits: &[f32]) -> Result<f32> {
    let unsound = |logit: f32| logit.is_nan() || logit == f32::INFINITY;
    // No early exit, so that the loop vectorises.
    if logits
        .iter()
        .fold(false, |any, &logit| any | unsound(logit))
    {
        let id = logits.iter().position(|&logit| unsound(logit)).unwrap_or(0);
        return Err(Error::Logits {
            reason: format!("that of token {id} is {}", logits[id]),
        });
    }
    let largest = logits
        .iter()
        .fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    if largest == f32::NEG_INFINITY {
        return Err(Error::Logits {
            reason: "all of them are -inf".into(),
        });
    }
    Ok(largest)
}

fn first_equal(logits: &[f32], largest: f32) -> u32 {
    let index = logits.iter().position(|&logit| logit == largest);
    index.expect("the largest logit is one of the logits") as u32
}

/// A key whose ascending order is that of descending logits, and of ascending ids among equals.
fn key_of(id: u32, logit: f32) -> u64 {
    // Adding zero makes -0 and 0 the same.
    let bits = (logit + 0.0).to_bits();
    let ascending = if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    };
    u64::from(!ascending) << 32 | u64::from(id)
}

fn id_of(key: u64) -> u32 {
    key as u32
}

/// The keys of the tokens whose logits are at most `depth` below the largest.
fn collect_keys(logits: &[f32], largest: f32, depth: f64, keys: &mut Vec<u64>) {
    let floor = (f64::from(largest) - depth) as f32;
    keys.clear();
    for (id, &logit) in logits.iter().enumerate() {
        if logit >= floor {
            keys.push(key_of(id as u32, logit));
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

/// Adds in eight lanes, then the lanes in order: fixed, and several additions at a time.
fn sum(weights: &[f64]) -> f64 {
    let (eights, rest) = weights.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for eight in eights {
        for (lane, weight) in lanes.iter_mut().zip(eight) {
            *lane += weight;
        }
    }
    lanes.iter().chain(rest).sum()
}

/// Step 5: the token that the point `u` of the unit interval falls on.
fn draw(kept: &[(u32, f64)], u: f64) -> u32 {
    let total: f64 = kept.iter().map(|&(_, weight)| weight).sum();
    let point = u * total;
    let mut reached = 0.0;
    let mut last = None;
    for &(id, weight) in kept {
        if weight > 0.0 {
            reached += weight;
            last = Some(id);
            if reached > point {
                break;
            }
        }
    }
    last.expect("the most likely token has a weight of 1 and passes every filter")
}
