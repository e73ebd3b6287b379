//! Texts in, vectors out, by a model that was made for that: neighbours in meaning are neighbours in
//! space, which is what search by meaning needs.
//!
//! There is no queue and no thread of its own. Whoever calls waits for its turn at each batch, so that
//! a long list of texts does not hold up a short one.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use terang_kernels::{Cpu, ThreadPool};
use terang_model::encoder;
use terang_model::tokenizer::Tokenizer;

pub use terang_model::encoder::is_encoder;

use crate::{CancelHandle, EmbedOptions, Error, Result};

/// Tokens of a batch, unless one text has more: enough to keep all cores busy, and done in a moment.
const BATCH_TOKENS: usize = 1024;

/// A loaded encoder; any number of threads may use it.
pub struct Encoder {
    tokenizer: Tokenizer,
    model: Mutex<encoder::Encoder>,
    vocab_size: usize,
    dimensions: usize,
    context_len: usize,
}

/// What became of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Of length 1.
    pub vector: Vec<f32>,
    /// Tokens that it was made of, those around the text included.
    pub tokens: usize,
}

impl Encoder {
    /// Loads a Hugging Face folder. The environment variable `TERANG_CPU` chooses the instruction set;
    /// `threads`: as many as the machine has cores where `None`.
    pub fn open(path: &Path, threads: Option<usize>) -> Result<Self> {
        let cpu = Cpu::from_env()?;
        let threads = threads.unwrap_or_else(ThreadPool::default_threads);
        let (model, tokenizer) = encoder::Encoder::open(path, cpu, threads)?;
        let config = model.config();
        Ok(Self {
            vocab_size: config.vocab_size,
            dimensions: config.hidden_size,
            context_len: config.max_tokens,
            tokenizer,
            model: Mutex::new(model),
        })
    }

    /// Numbers in a vector.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// Most tokens of a text, those around it included.
    pub fn context_len(&self) -> usize {
        self.context_len
    }

    /// The tokens of a text as the model reads it, with those around it.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.tokenizer.encode_whole(text)?)
    }

    /// The vector of each text. A text that is longer than the model reads is refused, with its number.
    pub fn embed(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Embedded>> {
        let tokens = texts.iter().map(|text| self.tokens(text.as_ref()));
        self.embed_tokens(
            &tokens.collect::<Result<Vec<_>>>()?,
            &EmbedOptions::default(),
        )
    }

    /// As [`Self::embed`], but what is too long is cut at its end: the caller knows that the vector
    /// is of its beginning.
    pub fn embed_cut(&self, texts: &[impl AsRef<str>]) -> Result<Vec<Embedded>> {
        let mut all = Vec::with_capacity(texts.len());
        for text in texts {
            let mut tokens = self.tokens(text.as_ref())?;
            if tokens.len() > self.context_len {
                let end = self.tokenizer.suffix();
                tokens.truncate(self.context_len.saturating_sub(end.len()));
                tokens.extend(end);
            }
            all.push(tokens);
        }
        self.embed_tokens(&all, &EmbedOptions::default())
    }

    /// The vector of each list of tokens, taken as they are. Looks at who cancels and at the deadline
    /// between batches; the other options are for models with a line to wait in.
    pub fn embed_tokens(
        &self,
        texts: &[Vec<u32>],
        options: &EmbedOptions,
    ) -> Result<Vec<Embedded>> {
        for (index, tokens) in texts.iter().enumerate() {
            self.check(index, tokens)?;
        }
        let mut vectors = Vec::with_capacity(texts.len());
        let mut rest = texts;
        while !rest.is_empty() {
            still_wanted(&options.cancel, options.deadline)?;
            let mut tokens = 0;
            let fits = |text: &&Vec<u32>| {
                tokens += text.len();
                tokens <= BATCH_TOKENS
            };
            let count = rest.iter().take_while(fits).count().max(1);
            let (batch, after) = rest.split_at(count);
            let batch: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
            // A call that panicked left nothing but scratch behind.
            let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
            vectors.extend(model.encode(&batch)?);
            rest = after;
        }
        if vectors.iter().flatten().any(|x| !x.is_finite()) {
            let reason =
                "embeddings: the vectors hold what is no number; the model file may be damaged";
            return Err(Error::Failed(reason.to_owned()));
        }
        let lengths = texts.iter().map(Vec::len);
        let embedded = |(vector, tokens)| Embedded { vector, tokens };
        Ok(vectors.into_iter().zip(lengths).map(embedded).collect())
    }

    fn check(&self, index: usize, tokens: &[u32]) -> Result<()> {
        if tokens.is_empty() {
            return Err(Error::invalid(
                "input",
                "an empty list",
                "at least one token",
            ));
        }
        if tokens.len() > self.context_len {
            return Err(Error::InputTooLong {
                index,
                tokens: tokens.len(),
                context_len: self.context_len,
            });
        }
        match tokens.iter().find(|&&id| id as usize >= self.vocab_size) {
            None => Ok(()),
            Some(id) => {
                let allowed = format!("tokens 0 to {}", self.vocab_size - 1);
                Err(Error::invalid("input", format_args!("token {id}"), allowed))
            }
        }
    }
}

fn still_wanted(cancel: &CancelHandle, deadline: Option<Instant>) -> Result<()> {
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    match deadline {
        Some(deadline) if Instant::now() >= deadline => Err(Error::Deadline),
        _ => Ok(()),
    }
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("dimensions", &self.dimensions)
            .field("context_len", &self.context_len)
            .finish_non_exhaustive()
    }
}
