//! The encoder: a transformer that reads a text whole, both ways, and gives one vector for it (BERT,
//! arXiv:1810.04805; Sentence-BERT, arXiv:1908.10084).
//!
//! Token ids in, vectors of length 1 out. Every token sees every other of its text. Layer norms stand
//! after each addition, positions have learned embeddings, the feed-forward layer is `GELU` without a
//! gate, and the vector is the mean over the text's tokens. A text's vector depends neither on the
//! texts beside it nor on the number of threads.

mod config;
mod forward;
mod weights;

pub use config::{EncoderConfig, is_encoder};

use crate::bundle::refuse_links_that_leave;
use crate::checkpoint::HfFolder;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result, TensorSource};
use std::path::Path;
use std::sync::Arc;
use terang_kernels::{Cpu, ThreadPool};

/// Tokens in one call: what bounds the scratch memory.
pub const BATCH_TOKENS_MAX: usize = 1 << 13;

/// An encoder with its weights in memory.
pub struct Encoder {
    config: EncoderConfig,
    weights: weights::Weights,
    source: Arc<dyn TensorSource>,
    cpu: Cpu,
    pool: ThreadPool,
    scratch: forward::Scratch,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Encoder {
    /// Opens a Hugging Face folder, with the tokenizer that belongs to it.
    pub fn open(dir: &Path, cpu: Cpu, threads: usize) -> Result<(Self, Tokenizer)> {
        let folder = HfFolder::open(dir)?;
        let config = EncoderConfig::from_folder(dir, &folder.config)?;
        refuse_links_that_leave(dir)?;
        let path = dir.join("tokenizer.json");
        let tokenizer = Tokenizer::from_file(&path)?;
        let (found, size) = (tokenizer.vocab_size(), config.vocab_size);
        if found > size {
            let allowed = format!("the {size} of the model");
            return Err(Error::invalid(path, "tokens", found, allowed));
        }
        // Without its ends a text would get another vector than the model was trained to give.
        if tokenizer.add_bos().is_none() || tokenizer.suffix().is_empty() {
            let (field, found) = ("post_processor", "no tokens around a text");
            return Err(Error::unsupported(path, field, found, "[CLS] and [SEP]"));
        }
        let encoder = Self::load(Arc::new(folder.tensors), config, cpu, threads)?;
        Ok((encoder, tokenizer))
    }

    /// Loads and repacks the weights.
    pub fn load(
        source: Arc<dyn TensorSource>,
        config: EncoderConfig,
        cpu: Cpu,
        threads: usize,
    ) -> Result<Self> {
        let pool = ThreadPool::new(threads.max(1));
        let weights = weights::load(&*source, &config, &pool)?;
        Ok(Self {
            config,
            weights,
            source,
            cpu,
            pool,
            scratch: forward::Scratch::default(),
        })
    }

    /// The model's description.
    pub fn config(&self) -> &EncoderConfig {
        &self.config
    }
}
