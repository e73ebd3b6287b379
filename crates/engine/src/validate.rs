//! The limits of a request, checked once where it enters. What passes here cannot make the sampler
//! or the stop matcher fail, allocate without bound or run long.

use crate::{Error, Request, Result, Sampling};

/// Most stop strings of a request.
pub const STOP_STRINGS_MAX: usize = 16;
/// Longest stop string in bytes; also the most text that is ever held back.
pub const STOP_BYTES_MAX: usize = 512;
/// Most stop tokens of a request.
pub const STOP_TOKENS_MAX: usize = 64;
/// Most alternatives that `logprobs` and `prompt_logprobs` may ask for.
pub const LOGPROBS_MAX: usize = 20;
/// Most entries of `logit_bias`.
pub const LOGIT_BIAS_MAX: usize = 1024;

impl Request {
    /// Checks every field but the prompt, whose length only the tokenizer can tell.
    pub fn validate(&self, vocab_size: usize) -> Result<()> {
        self.sampling.validate(vocab_size)?;
        if self.max_tokens == Some(0) && self.prompt_logprobs.is_none() {
            return Err(Error::invalid("max_tokens", 0, "1 or more"));
        }
        if self.max_tokens.is_some_and(|most| self.min_tokens > most) {
            return Err(Error::invalid(
                "min_tokens",
                self.min_tokens,
                "at most max_tokens",
            ));
        }
        for (field, asked) in [
            ("logprobs", self.logprobs),
            ("prompt_logprobs", self.prompt_logprobs),
        ] {
            if let Some(found) = asked.filter(|&count| count > LOGPROBS_MAX) {
                return Err(Error::invalid(field, found, format!("0 to {LOGPROBS_MAX}")));
            }
        }
        if self.stop_tokens.len() > STOP_TOKENS_MAX {
            return Err(Error::invalid(
                "stop_tokens",
                format_args!("{} tokens", self.stop_tokens.len()),
                format!("at most {STOP_TOKENS_MAX} tokens"),
            ));
        }
        if let Some(id) = self
            .stop_tokens
            .iter()
            .find(|&&id| id as usize >= vocab_size)
        {
            return Err(Error::invalid(
                "stop_tokens",
                format_args!("token id {id}"),
                format!("token ids below {vocab_size}"),
            ));
        }
        validate_stop(&self.stop)
    }
}

fn validate_stop(stop: &[String]) -> Result<()> {
    if stop.len() > STOP_STRINGS_MAX {
        return Err(Error::invalid(
            "stop",
            format_args!("{} strings", stop.len()),
            format!("at most {STOP_STRINGS_MAX} strings"),
        ));
    }
    for string in stop {
        if string.is_empty() || string.len() > STOP_BYTES_MAX {
            return Err(Error::invalid(
                "stop",
                format_args!("a string of {} bytes", string.len()),
                format!("strings of 1 to {STOP_BYTES_MAX} bytes"),
            ));
        }
    }
    Ok(())
}

impl Sampling {
    /// Checks every field against its range and the vocabulary.
    pub fn validate(&self, vocab_size: usize) -> Result<()> {
        within("temperature", self.temperature, 0.0, 100.0)?;
        within("top_p", self.top_p, 0.0, 1.0)?;
        within("min_p", self.min_p, 0.0, 1.0)?;
        within("repetition_penalty", self.repetition_penalty, 0.01, 100.0)?;
        within("presence_penalty", self.presence_penalty, -2.0, 2.0)?;
        within("frequency_penalty", self.frequency_penalty, -2.0, 2.0)?;
        if self.logit_bias.len() > LOGIT_BIAS_MAX {
            return Err(Error::invalid(
                "logit_bias",
                format_args!("{} entries", self.logit_bias.len()),
                format!("at most {LOGIT_BIAS_MAX} entries"),
            ));
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab_size {
                return Err(Error::invalid(
                    "logit_bias",
                    format_args!("token id {id}"),
                    format!("token ids below {vocab_size}"),
                ));
            }
            within("logit_bias", bias, -100.0, 100.0)?;
        }
        Ok(())
    }
}

fn within(field: &'static str, found: f32, least: f32, most: f32) -> Result<()> {
    // Written so that NaN fails.
    if found >= least && found <= most {
        Ok(())
    } else {
        Err(Error::invalid(field, found, format!("{least} to {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Prompt;

    fn message(change: impl FnOnce(&mut Request)) -> Option<String> {
        let mut request = Request::new(Prompt::Tokens(vec![1]));
        change(&mut request);
        request.validate(100).err().map(|error| error.to_string())
    }

    #[test]
    fn refusals_name_field_found_and_allowed() {
        let refused = [
            (
                message(|r| r.sampling.temperature = f32::NAN),
                "temperature: found NaN, allowed 0 to 100",
            ),
            (
                message(|r| r.sampling.temperature = -0.5),
                "temperature: found -0.5, allowed 0 to 100",
            ),
            (
                message(|r| r.sampling.top_p = f32::INFINITY),
                "top_p: found inf, allowed 0 to 1",
            ),
            (
                message(|r| r.sampling.min_p = 1.5),
                "min_p: found 1.5, allowed 0 to 1",
            ),
            (
                message(|r| r.sampling.repetition_penalty = 0.0),
                "repetition_penalty: found 0, allowed 0.01 to 100",
            ),
            (
                message(|r| r.sampling.presence_penalty = 3.0),
                "presence_penalty: found 3, allowed -2 to 2",
            ),
            (
                message(|r| r.sampling.frequency_penalty = f32::NEG_INFINITY),
                "frequency_penalty: found -inf, allowed -2 to 2",
            ),
            (
                message(|r| r.sampling.logit_bias = vec![(100, 1.0)]),
                "logit_bias: found token id 100, allowed token ids below 100",
            ),
            (
                message(|r| r.sampling.logit_bias = vec![(1, f32::NAN)]),
                "logit_bias: found NaN, allowed -100 to 100",
            ),
            (
                message(|r| r.sampling.logit_bias = vec![(1, 1.0); 1025]),
                "logit_bias: found 1025 entries, allowed at most 1024 entries",
            ),
            (
                message(|r| r.max_tokens = Some(0)),
                "max_tokens: found 0, allowed 1 or more",
            ),
            (
                message(|r| (r.max_tokens, r.min_tokens) = (Some(3), 4)),
                "min_tokens: found 4, allowed at most max_tokens",
            ),
            (
                message(|r| r.logprobs = Some(21)),
                "logprobs: found 21, allowed 0 to 20",
            ),
            (
                message(|r| r.prompt_logprobs = Some(21)),
                "prompt_logprobs: found 21, allowed 0 to 20",
            ),
            (
                message(|r| r.stop_tokens = vec![100]),
                "stop_tokens: found token id 100, allowed token ids below 100",
            ),
            (
                message(|r| r.stop_tokens = vec![1; 65]),
                "stop_tokens: found 65 tokens, allowed at most 64 tokens",
            ),
            (
                message(|r| r.stop = vec![String::new()]),
                "stop: found a string of 0 bytes, allowed strings of 1 to 512 bytes",
            ),
            (
                message(|r| r.stop = vec!["x".repeat(513)]),
                "stop: found a string of 513 bytes, allowed strings of 1 to 512 bytes",
            ),
            (
                message(|r| r.stop = vec!["x".into(); 17]),
                "stop: found 17 strings, allowed at most 16 strings",
            ),
        ];
        for (found, wanted) in refused {
            assert_eq!(found.as_deref(), Some(wanted));
        }
    }

    #[test]
    fn ends_of_the_ranges_are_allowed() {
        assert_eq!(message(|_| ()), None);
        assert_eq!(message(|r| r.sampling.temperature = 0.0), None);
        assert_eq!(message(|r| r.sampling.top_p = 0.0), None);
        assert_eq!(message(|r| r.sampling.top_k = usize::MAX), None);
        assert_eq!(message(|r| r.max_tokens = Some(usize::MAX)), None);
        let scored = |r: &mut Request| (r.max_tokens, r.prompt_logprobs) = (Some(0), Some(20));
        assert_eq!(message(scored), None);
        assert_eq!(
            message(|r| r.sampling.logit_bias = vec![(99, -100.0)]),
            None
        );
    }
}
