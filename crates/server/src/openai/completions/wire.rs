//! Wire types of `/v1/completions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::openai::wire::{
    Inputs, InputsSchema, OneOrMany, OneOrManySchema, StreamOptions, UsageSoFar,
};

/// A text to go on with.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompletionRequest {
    /// The model's name.
    pub(crate) model: String,
    /// One text, several, or token ids.
    #[schema(value_type = InputsSchema)]
    pub(crate) prompt: Inputs,
    /// Send the text as it is written.
    pub(crate) stream: Option<bool>,
    /// What a stream holds besides.
    pub(crate) stream_options: Option<StreamOptions>,
    /// Most tokens to generate; 16 when absent.
    pub(crate) max_tokens: Option<u64>,
    /// Fewest tokens to generate.
    pub(crate) min_tokens: Option<u64>,
    /// Texts for each prompt; their seeds are the seed and those after it.
    pub(crate) n: Option<u64>,
    /// Begin with the prompt.
    pub(crate) echo: Option<bool>,
    /// Tell the probability of each token, and of so many of the likeliest in its place.
    pub(crate) logprobs: Option<u64>,
    /// 0 takes the most likely token.
    pub(crate) temperature: Option<f32>,
    /// Keep the smallest set of this probability.
    pub(crate) top_p: Option<f32>,
    /// Keep the k most likely; 0 or -1 keeps all.
    pub(crate) top_k: Option<i64>,
    /// Keep tokens at least this likely relative to the best.
    pub(crate) min_p: Option<f32>,
    /// Taken from tokens that stand in the text, times their count.
    pub(crate) frequency_penalty: Option<f32>,
    /// Taken from tokens that stand in the text.
    pub(crate) presence_penalty: Option<f32>,
    /// Above 1 makes tokens that were seen less likely.
    pub(crate) repetition_penalty: Option<f32>,
    /// Added to the logits of single tokens, by id.
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
    /// The same seed gives the same text.
    pub(crate) seed: Option<i64>,
    /// The text ends before the first of these.
    #[schema(value_type = Option<OneOrManySchema>)]
    pub(crate) stop: Option<OneOrMany>,
    /// Tokens that end the text.
    pub(crate) stop_token_ids: Option<Vec<u32>>,
    /// Go on after the model's own end.
    pub(crate) ignore_eos: Option<bool>,
    /// What the text must look like.
    pub(crate) structured_outputs: Option<Value>,
    /// Who of a key's users asks; they wait in line separately.
    pub(crate) user: Option<String>,
    /// Beginnings are shared in the cache only where this is the same.
    pub(crate) prompt_cache_key: Option<String>,
    /// Higher goes first.
    pub(crate) priority: Option<i32>,
    /// Not supported but for the same number as `n`.
    pub(crate) best_of: Option<u64>,
    /// Not supported.
    pub(crate) suffix: Option<Value>,
}

/// The texts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionResponse {
    /// By which the answer is known.
    pub(crate) id: String,
    /// `text_completion`.
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// The model's name.
    pub(crate) model: String,
    /// The texts.
    pub(crate) choices: Vec<CompletionChoice>,
    /// Tokens used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<UsageSoFar>,
}

/// One text, or a piece of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletionChoice {
    /// Its number.
    pub(crate) index: usize,
    /// It.
    pub(crate) text: String,
    /// Probabilities, where asked for.
    pub(crate) logprobs: Option<CompletionLogprobs>,
    /// `stop` or `length`, once it has ended.
    pub(crate) finish_reason: Option<&'static str>,
}

/// Probabilities, each list with one entry for each token.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct CompletionLogprobs {
    /// The tokens' texts.
    pub(crate) tokens: Vec<String>,
    /// The natural logarithms of their probabilities; the prompt's first token has none.
    pub(crate) token_logprobs: Vec<Option<f32>>,
    /// The likeliest tokens in their places.
    pub(crate) top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Where they begin in the text, in characters.
    pub(crate) text_offset: Vec<usize>,
}
