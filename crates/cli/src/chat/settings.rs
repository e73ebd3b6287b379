//! How answers are made: the sampling flags, and `/set` in a conversation. Both know the same names
//! and the same bounds.

use terang_engine::Sampling;

use crate::args::SamplingArgs;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem, misuse};

/// Everything about an answer but its question.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) sampling: Sampling,
    pub(super) max_tokens: Option<usize>,
    pub(super) stop: Vec<String>,
}

/// What `/set` can change.
pub(super) const KEYS: [&str; 9] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "max_tokens",
];

const COUNT_MAX: u64 = 100_000_000;

impl Settings {
    /// The flags' settings, the engine's defaults elsewhere.
    pub(super) fn from_args(args: &SamplingArgs) -> Outcome<Self> {
        let defaults = Sampling::default();
        if args.stop.iter().any(String::is_empty) {
            return Err(misuse(Msg::StopEmpty {}));
        }
        Ok(Self {
            sampling: Sampling {
                temperature: args.temperature.unwrap_or(defaults.temperature),
                top_k: args.top_k.map_or(defaults.top_k, |k| k as usize),
                top_p: args.top_p.unwrap_or(defaults.top_p),
                min_p: args.min_p.unwrap_or(defaults.min_p),
                repetition_penalty: args
                    .repetition_penalty
                    .unwrap_or(defaults.repetition_penalty),
                presence_penalty: args.presence_penalty.unwrap_or(defaults.presence_penalty),
                frequency_penalty: args.frequency_penalty.unwrap_or(defaults.frequency_penalty),
                logit_bias: Vec::new(),
                seed: args.seed,
            },
            max_tokens: args.max_tokens.map(|n| n as usize),
            stop: args.stop.clone(),
        })
    }

    /// Names and values, one a line.
    pub(super) fn describe(&self) -> String {
        let s = &self.sampling;
        let or_dash = |v: Option<String>| v.unwrap_or_else(|| "-".to_owned());
        let values = [
            s.temperature.to_string(),
            s.top_k.to_string(),
            s.top_p.to_string(),
            s.min_p.to_string(),
            s.repetition_penalty.to_string(),
            s.presence_penalty.to_string(),
            s.frequency_penalty.to_string(),
            or_dash(s.seed.map(|v| v.to_string())),
            or_dash(self.max_tokens.map(|v| v.to_string())),
        ];
        let lines: Vec<String> = KEYS
            .iter()
            .zip(values)
            .map(|(key, value)| format!("  {key:<20}{value}\n"))
            .collect();
        lines.concat()
    }

    /// Sets `key`; `-` takes a seed or a limit away.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Outcome<()> {
        let key = key.replace('-', "_");
        let sampling = &mut self.sampling;
        match key.as_str() {
            "temperature" => sampling.temperature = real(&key, value, 0.0, 100.0)?,
            "top_k" => sampling.top_k = whole(&key, value, 0, 10_000_000)? as usize,
            "top_p" => sampling.top_p = real(&key, value, 0.0, 1.0)?,
            "min_p" => sampling.min_p = real(&key, value, 0.0, 1.0)?,
            "repetition_penalty" => {
                sampling.repetition_penalty = real(&key, value, 0.01, 100.0)?;
            }
            "presence_penalty" => sampling.presence_penalty = real(&key, value, -2.0, 2.0)?,
            "frequency_penalty" => sampling.frequency_penalty = real(&key, value, -2.0, 2.0)?,
            "seed" if value == "-" => sampling.seed = None,
            "seed" => sampling.seed = Some(whole(&key, value, 0, u64::MAX)?),
            "max_tokens" if value == "-" => self.max_tokens = None,
            "max_tokens" => {
                self.max_tokens = Some(whole(&key, value, 1, COUNT_MAX)? as usize);
            }
            _ => {
                return Err(misuse(Msg::SetUnknown {
                    key,
                    allowed: KEYS.join(", "),
                }));
            }
        }
        Ok(())
    }
}

fn real(key: &str, value: &str, low: f32, high: f32) -> Outcome<f32> {
    value
        .parse()
        .ok()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| bad(key, value, &low.to_string(), &high.to_string()))
}

fn whole(key: &str, value: &str, low: u64, high: u64) -> Outcome<u64> {
    value
        .parse()
        .ok()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| bad(key, value, &low.to_string(), &high.to_string()))
}

fn bad(key: &str, value: &str, low: &str, high: &str) -> Problem {
    misuse(Msg::SetInvalid {
        key: key.to_owned(),
        value: value.to_owned(),
        allowed: Msg::NumberRange {
            low: low.to_owned(),
            high: high.to_owned(),
        }
        .to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
        }
    }

    #[test]
    fn every_key_can_be_set_and_is_described() {
        let mut settings = settings();
        for key in KEYS {
            settings.set(key, "1").unwrap();
            settings.set(&key.replace('_', "-"), "1").unwrap();
            assert!(settings.describe().contains(key));
        }
        assert_eq!(settings.sampling.seed, Some(1));
        settings.set("seed", "-").unwrap();
        assert_eq!(settings.sampling.seed, None);
    }

    #[test]
    fn values_out_of_bounds_change_nothing() {
        let mut changed = settings();
        for (key, value) in [
            ("temperature", "NaN"),
            ("temperature", "-1"),
            ("top_p", "2"),
            ("presence_penalty", "2.1"),
            ("seed", "-5"),
            ("max_tokens", "x"),
            ("max_tokens", "0"),
            ("colour", "1"),
        ] {
            assert!(changed.set(key, value).is_err(), "{key} {value}");
        }
        assert_eq!(changed, settings());
    }
}
