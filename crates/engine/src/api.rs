//! The whole contract between the engine and those who use it: a [`Request`] in, a stream of
//! [`Event`]s out.

use std::time::Instant;

use serde::{Deserialize, Serialize};

/// What to generate from.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A conversation, rendered by the model's chat template.
    Chat(terang_model::template::ChatInput),
    /// Plain text; special tokens in it are not recognised.
    Text(String),
    /// Token ids as they are.
    Tokens(Vec<u32>),
}

/// One generation. [`Request::new`] sets everything but the prompt to its default.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What to generate from.
    pub prompt: Prompt,
    /// The adapter that its tokens go through, by the name under which the engine has it; `None`: the
    /// model alone.
    pub adapter: Option<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Most tokens to generate; `None`: until the context is full. 0 is allowed only together with
    /// `prompt_logprobs`, whose result is then all that comes.
    pub max_tokens: Option<usize>,
    /// The answer ends before the first of these, which is not part of it.
    pub stop: Vec<String>,
    /// Tokens that end the answer besides the model's own; they give no text.
    pub stop_tokens: Vec<u32>,
    /// The model's own end-of-turn tokens do not end the answer.
    pub ignore_eos: bool,
    /// Until there are this many tokens, those that would end the answer are not chosen, and stop
    /// strings are not looked for.
    pub min_tokens: usize,
    /// Log-probabilities of the chosen tokens, each with this many of the likeliest alternatives.
    pub logprobs: Option<usize>,
    /// The same for the tokens of the prompt, all of which are then evaluated anew.
    pub prompt_logprobs: Option<usize>,
    /// What the answer must look like.
    pub constraint: Option<Constraint>,
    /// Whose request it is: the waiting line is fair between clients.
    pub client: u64,
    /// Higher ones are let in first.
    pub priority: i32,
    /// When to end with what there is so far and [`FinishReason::Deadline`].
    pub deadline: Option<Instant>,
    /// Beginnings are shared in the cache only between requests of the same salt.
    pub cache_salt: u64,
}

impl Request {
    /// A request with every field but the prompt at its default.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompt,
            adapter: None,
            sampling: Sampling::default(),
            max_tokens: None,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            ignore_eos: false,
            min_tokens: 0,
            logprobs: None,
            prompt_logprobs: None,
            constraint: None,
            client: 0,
            priority: 0,
            deadline: None,
            cache_salt: 0,
        }
    }
}

/// What an answer must look like. It is held to it token by token, and may end only where it is
/// complete; `max_tokens` and a deadline cut it all the same.
#[derive(Clone, Debug, PartialEq)]
pub enum Constraint {
    /// Any JSON object.
    JsonObject,
    /// JSON that this schema allows.
    JsonSchema(serde_json::Value),
    /// Text that this regular expression matches as a whole.
    Regex(String),
    /// A grammar in the variant of Lark that the crate `llguidance` reads; it may hold JSON schemas
    /// (`%json {…}`) and name control tokens (`<|name|>`).
    Lark(String),
}

/// How tokens are chosen. Defaults: temperature 0.7, top-p 0.95, no penalties, random seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sampling {
    /// 0 takes the most likely token.
    pub temperature: f32,
    /// Keep the k most likely; 0 keeps all.
    pub top_k: usize,
    /// Keep the smallest set whose probability reaches this; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the most likely; 0 keeps all.
    pub min_p: f32,
    /// Divides (multiplies, if negative) the logits of tokens seen in prompt or answer; 1 is off.
    pub repetition_penalty: f32,
    /// Taken from the logits of tokens that stand in the answer.
    pub presence_penalty: f32,
    /// Taken from the logits of tokens in the answer, times their count.
    pub frequency_penalty: f32,
    /// Added to the logits of single tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Key of the random generator; `None` draws one and reports it.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.7,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: None,
        }
    }
}

/// What happens to a request, in order: `Started`, any number of `Prefill`, `PromptLogprobs` if they
/// were asked for, any number of `Token`, and exactly one `Finished` or `Failed`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt is tokenized and the request has its place.
    Started {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// How many of them are in the cache already.
        cached_tokens: usize,
        /// The seed in use.
        seed: u64,
    },
    /// Part of the prompt is done.
    Prefill {
        /// Prompt tokens done so far, cached ones included.
        done: usize,
        /// Prompt tokens in all.
        total: usize,
    },
    /// The log-probabilities of the prompt's tokens, as asked for by `prompt_logprobs`: one for each
    /// token; nothing stands before the first, so it has none.
    PromptLogprobs(Vec<Option<TokenLogprob>>),
    /// A token was chosen.
    Token {
        /// Its id.
        id: u32,
        /// As asked for by `logprobs`.
        logprob: Option<TokenLogprob>,
        /// Text that is final now: whole characters that no stop string can still take back. May be
        /// empty.
        text: String,
    },
    /// The answer is complete.
    Finished {
        /// Text held back until now (a beginning of a stop string that did not come true).
        text: String,
        /// Why it ended.
        reason: FinishReason,
        /// Counts and timings.
        stats: Stats,
    },
    /// The request could not be done.
    Failed {
        /// One line for the person who asked.
        message: String,
    },
}

impl Event {
    /// Whether it is the last one of its request.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Finished { .. } | Self::Failed { .. })
    }
}

/// How likely the model found a token: the logarithm of the softmax of its logits as they come from
/// the model, before penalties, bias, temperature and constraint.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprob {
    /// The token.
    pub id: u32,
    /// The natural logarithm of its probability.
    pub logprob: f32,
    /// The likeliest tokens in its place, most likely first, among equals the lowest id.
    pub top: Vec<(u32, f32)>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, a stop string or stop token came, or what the answer must look like
    /// leaves nothing more to say.
    Stop,
    /// `max_tokens` or the context's end was reached.
    Length,
    /// The request was cancelled.
    Cancelled,
    /// The request's deadline passed.
    Deadline,
}

/// Counts and timings of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Prompt tokens that were in the cache already.
    pub cached_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Tokens that were guessed and evaluated ahead of their choice.
    pub drafted_tokens: usize,
    /// Guesses that proved right. They save time and change nothing.
    pub accepted_tokens: usize,
    /// Time from submission to the first token.
    pub ttft_ms: f64,
    /// Time for the prompt.
    pub prefill_ms: f64,
    /// Time for the generated tokens after the first.
    pub decode_ms: f64,
}
