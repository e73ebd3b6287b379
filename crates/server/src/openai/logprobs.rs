//! Log-probabilities as the API writes them.

use serde::Serialize;
use terang_engine::TokenLogprob;
use utoipa::ToSchema;

use crate::models::Loaded;

/// The log-probabilities of an answer's tokens.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct ChatLogprobs {
    /// One for each token.
    pub(crate) content: Vec<TokenWire>,
    /// Never any.
    pub(crate) refusal: Option<Vec<TokenWire>>,
}

/// A token.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TokenWire {
    /// Its text; bytes that are no characters by themselves are replaced.
    pub(crate) token: String,
    /// The natural logarithm of its probability.
    pub(crate) logprob: f32,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// The likeliest tokens in its place.
    pub(crate) top_logprobs: Vec<TopWire>,
}

/// A token that might have been.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct TopWire {
    /// Its text.
    pub(crate) token: String,
    /// The natural logarithm of its probability.
    pub(crate) logprob: f32,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
}

pub(super) fn text_of(model: &Loaded, id: u32) -> (String, Vec<u8>) {
    let bytes = model.engine.text().token_text(id).unwrap_or_default();
    (String::from_utf8_lossy(&bytes).into_owned(), bytes)
}

/// JSON has no infinity; this is what stands for a probability of nothing.
pub(super) fn finite(logprob: f32) -> f32 {
    logprob.max(-9999.0)
}

pub(super) fn wire(model: &Loaded, logprob: &TokenLogprob) -> TokenWire {
    let (token, bytes) = text_of(model, logprob.id);
    TokenWire {
        token,
        logprob: finite(logprob.logprob),
        bytes,
        top_logprobs: logprob
            .top
            .iter()
            .map(|&(id, logprob)| {
                let (token, bytes) = text_of(model, id);
                TopWire {
                    token,
                    logprob: finite(logprob),
                    bytes,
                }
            })
            .collect(),
    }
}
