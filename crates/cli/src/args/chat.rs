//! Arguments of a conversation, and the bounds of what chooses tokens.

use std::path::PathBuf;

use clap::Args;

use crate::messages::Msg;

/// Arguments of `terang chat`.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// What to ask; without it, and without a pipe, a conversation begins
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// A smaller model of the same vocabulary that guesses ahead; the answer is the same, sooner
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) draft: Option<String>,
    /// LoRA adapter to put on top of the model: a PEFT folder or a .gguf file
    #[arg(long, value_name = "PATH")]
    pub(crate) adapter: Option<PathBuf>,
    /// System prompt
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Add a text file to the question; may be given again
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,
    /// Give one JSON object: text, counts, timings, seed
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Give the answer only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How tokens are chosen
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// How tokens are chosen.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// 0 takes the most likely token; each model has its own default, which /set shows
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f32>,
    /// Keep the K most likely; 0 keeps all
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub(crate) top_k: Option<u32>,
    /// Keep the smallest set of this probability; 1 keeps all
    #[arg(long, value_name = "P", value_parser = unit)]
    pub(crate) top_p: Option<f32>,
    /// Keep tokens at least this likely relative to the best
    #[arg(long, value_name = "P", value_parser = unit)]
    pub(crate) min_p: Option<f32>,
    /// Above 1 makes tokens that were seen less likely
    #[arg(long, value_name = "F", value_parser = repetition)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Taken from tokens that stand in the answer
    #[arg(long, value_name = "F", value_parser = penalty, allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// The same, times their count
    #[arg(long, value_name = "F", value_parser = penalty, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// The same seed gives the same answer; random when absent
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Most tokens to generate; until the context is full when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) max_tokens: Option<u32>,
    /// End the answer before this text; may be given again
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Most tokens of context; the model's own when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=100_000_000))]
    pub(crate) context: Option<u32>,
}

fn bounded(text: &str, low: f32, high: f32) -> Result<f32, String> {
    text.parse::<f32>()
        .ok()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| {
            Msg::NumberRange {
                low: low.to_string(),
                high: high.to_string(),
            }
            .to_string()
        })
}

fn temperature(text: &str) -> Result<f32, String> {
    bounded(text, 0.0, 100.0)
}

fn unit(text: &str) -> Result<f32, String> {
    bounded(text, 0.0, 1.0)
}

fn repetition(text: &str) -> Result<f32, String> {
    bounded(text, 0.01, 100.0)
}

fn penalty(text: &str) -> Result<f32, String> {
    bounded(text, -2.0, 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_their_bounds_are_refused() {
        for bad in ["NaN", "inf", "-1", "101", "", "x", "1e99"] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
        assert!(unit("1.01").is_err() && unit("0").is_ok() && unit("1").is_ok());
        assert!(repetition("0").is_err());
    }
}
