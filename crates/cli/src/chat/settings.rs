//! How answers are made: the sampling flags, and `/set` in a conversation. Both know the same names
//! and the same bounds.

use terang_engine::Sampling;

use crate::args::SamplingArgs;
use crate::catalogue::Recommended;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem, misuse};

/// What the person chose about answers; what is left open is the model's recommendation, or else the
/// engine's default.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Settings {
    chosen: Recommended,
    presence_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    pub(super) seed: Option<u64>,
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
    /// What the flags choose.
    pub(super) fn from_args(args: &SamplingArgs) -> Outcome<Self> {
        if args.stop.iter().any(String::is_empty) {
            return Err(misuse(Msg::StopEmpty {}));
        }
        Ok(Self {
            chosen: Recommended {
                temperature: args.temperature,
                top_k: args.top_k,
                top_p: args.top_p,
                min_p: args.min_p,
                repetition_penalty: args.repetition_penalty,
            },
            presence_penalty: args.presence_penalty,
            frequency_penalty: args.frequency_penalty,
            seed: args.seed,
            max_tokens: args.max_tokens.map(|n| n as usize),
            stop: args.stop.clone(),
        })
    }

    /// How to sample from a model that comes with `recommended`.
    pub(super) fn sampling(&self, recommended: &Recommended) -> Sampling {
        let default = Sampling::default();
        let (chosen, model) = (&self.chosen, recommended);
        let top_k = chosen.top_k.or(model.top_k).map(|k| k as usize);
        let real =
            |chosen: Option<f32>, model: Option<f32>, default| chosen.or(model).unwrap_or(default);
        Sampling {
            temperature: real(chosen.temperature, model.temperature, default.temperature),
            top_k: top_k.unwrap_or(default.top_k),
            top_p: real(chosen.top_p, model.top_p, default.top_p),
            min_p: real(chosen.min_p, model.min_p, default.min_p),
            repetition_penalty: real(
                chosen.repetition_penalty,
                model.repetition_penalty,
                default.repetition_penalty,
            ),
            presence_penalty: real(self.presence_penalty, None, default.presence_penalty),
            frequency_penalty: real(self.frequency_penalty, None, default.frequency_penalty),
            logit_bias: Vec::new(),
            seed: self.seed,
        }
    }

    /// Names and values, one a line.
    pub(super) fn describe(&self, recommended: &Recommended) -> String {
        let s = self.sampling(recommended);
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
        let chosen = &mut self.chosen;
        match key.as_str() {
            "temperature" => chosen.temperature = Some(real(&key, value, 0.0, 100.0)?),
            "top_k" => chosen.top_k = Some(whole(&key, value, 0, 10_000_000)? as u32),
            "top_p" => chosen.top_p = Some(real(&key, value, 0.0, 1.0)?),
            "min_p" => chosen.min_p = Some(real(&key, value, 0.0, 1.0)?),
            "repetition_penalty" => {
                chosen.repetition_penalty = Some(real(&key, value, 0.01, 100.0)?);
            }
            "presence_penalty" => self.presence_penalty = Some(real(&key, value, -2.0, 2.0)?),
            "frequency_penalty" => self.frequency_penalty = Some(real(&key, value, -2.0, 2.0)?),
            "seed" if value == "-" => self.seed = None,
            "seed" => self.seed = Some(whole(&key, value, 0, u64::MAX)?),
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

    #[test]
    fn the_person_comes_before_the_model_and_the_model_before_the_default() {
        let mut settings = Settings::default();
        let model = Recommended {
            temperature: Some(0.2),
            top_k: Some(20),
            ..Recommended::default()
        };
        settings.set("temperature", "0.5").unwrap();
        let sampling = settings.sampling(&model);
        assert_eq!((sampling.temperature, sampling.top_k), (0.5, 20));
        assert_eq!(sampling.top_p, Sampling::default().top_p);
        let plain = Settings::default().sampling(&Recommended::default());
        assert_eq!(plain, Sampling::default());
    }

    #[test]
    fn every_key_can_be_set_and_is_described() {
        let mut settings = Settings::default();
        for key in KEYS {
            settings.set(key, "1").unwrap();
            settings.set(&key.replace('_', "-"), "1").unwrap();
            assert!(settings.describe(&Recommended::default()).contains(key));
        }
        assert_eq!(settings.seed, Some(1));
        settings.set("seed", "-").unwrap();
        assert_eq!(settings.seed, None);
    }

    #[test]
    fn values_out_of_bounds_change_nothing() {
        let mut changed = Settings::default();
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
        assert_eq!(changed, Settings::default());
    }
}
