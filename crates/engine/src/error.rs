//! The one error type of this crate.

/// Why a request was refused or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of the request holds what is not allowed there.
    #[error("{field}: found {found}, allowed {allowed}")]
    Invalid {
        /// The field's name.
        field: &'static str,
        /// What stands there.
        found: String,
        /// What may stand there.
        allowed: String,
    },
    /// The prompt does not fit; it is never cut silently.
    #[error(
        "prompt: {prompt_tokens} tokens, but the context holds {context_len} and the answer needs at \
         least one; shorten the prompt or raise the context length"
    )]
    PromptTooLong {
        /// Tokens of the prompt.
        prompt_tokens: usize,
        /// Positions of the context.
        context_len: usize,
    },
    /// A text is longer than the encoder reads; it is never cut silently.
    #[error(
        "input {index}: {tokens} tokens, but the model reads {context_len} at most; split the text"
    )]
    InputTooLong {
        /// The text's number, from 0.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// What the model reads.
        context_len: usize,
    },
    /// Too many requests wait already.
    #[error("queue: {limit} requests wait already; try again later")]
    QueueFull {
        /// The queue's capacity.
        limit: usize,
    },
    /// The engine's thread has ended.
    #[error("engine: it has stopped and takes no more requests")]
    Stopped,
    /// What the answer must look like cannot be compiled, or asks for more than is allowed.
    #[error("constraint: {reason}")]
    Constraint {
        /// What is wrong with it.
        reason: String,
    },
    /// The call's deadline passed.
    #[error("deadline: it passed before the result was there")]
    Deadline,
    /// The call was cancelled.
    #[error("cancelled: the call was taken back")]
    Cancelled,
    /// The engine could not do it, for the reason told.
    #[error("{0}")]
    Failed(String),
    /// This engine or its model cannot do that.
    #[error("{what}: not available")]
    Unavailable {
        /// The field or call.
        what: &'static str,
    },
    /// The model's logits cannot be sampled from.
    #[error("logits: {reason}; the model file may be damaged")]
    Logits {
        /// What is wrong with them.
        reason: String,
    },
    /// The engine's thread could not be started.
    #[error("engine thread: {0}")]
    Thread(std::io::Error),
    /// `TERANG_CPU` asks for an instruction set that is not there.
    #[error(transparent)]
    Cpu(#[from] terang_kernels::cpu::CpuError),
    /// The model's files, tokenizer, template or decoder failed.
    #[error(transparent)]
    Model(#[from] terang_model::Error),
}

impl Error {
    pub(crate) fn invalid(
        field: &'static str,
        found: impl std::fmt::Display,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            field,
            found: found.to_string(),
            allowed: allowed.into(),
        }
    }
}
