//! The decoder as a [`Runner`].

use terang_model::Config;
use terang_model::decoder::{BlockPool, Chunk, Decoder, KvPool, Logits, PAGE};

use super::Runner;
use crate::{Error, Result};

/// A decoder with a cache.
#[derive(Debug)]
pub struct DecoderRunner {
    decoder: Decoder,
    kv: KvPool,
    context_len: usize,
}

impl DecoderRunner {
    /// A runner for sequences of up to `context_len` positions, with `cache_len` positions for all
    /// of them together (`context_len` if that is more), which take memory as they fill.
    pub fn new(decoder: Decoder, context_len: usize, cache_len: usize) -> Result<Self> {
        let limit = decoder.config().max_position_embeddings;
        if context_len == 0 || context_len > limit {
            return Err(Error::invalid(
                "context_len",
                context_len,
                format!("1 to {limit}, the model's own"),
            ));
        }
        let kv = decoder.new_kv_pool(cache_len.max(context_len));
        debug_assert!(kv.blocks().pages_max() * PAGE >= context_len);
        Ok(Self {
            decoder,
            kv,
            context_len,
        })
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

impl Runner for DecoderRunner {
    fn vocab_size(&self) -> usize {
        self.decoder.config().vocab_size
    }

    fn context_len(&self) -> usize {
        self.context_len
    }

    fn config(&self) -> Option<&Config> {
        Some(self.decoder.config())
    }

    fn blocks(&mut self) -> &mut BlockPool {
        self.kv.blocks_mut()
    }

    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> Result<()> {
        self.decoder.forward(&mut self.kv, chunks)?;
        Ok(())
    }

    fn logits(&self) -> Logits<'_> {
        self.decoder.logits()
    }

    fn hidden_size(&self) -> usize {
        self.decoder.config().hidden_size
    }

    fn hidden(&self) -> &[f32] {
        self.decoder.hidden_states()
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        self.decoder
            .thread_pool()
            .for_chunks(count, 1, |_, range| range.for_each(job));
    }
}
