//! The decoder as a [`Runner`]: one sequence in a paged cache of its own.

use terang_model::decoder::{Chunk, Decoder, KvPool, LogitsWanted, Sequence};

use super::{Runner, Wanted};
use crate::{Error, Result};

/// A decoder with the cache of one sequence.
#[derive(Debug)]
pub struct DecoderRunner {
    decoder: Decoder,
    kv: KvPool,
    sequence: Sequence,
    context_len: usize,
}

impl DecoderRunner {
    /// A runner with room for `context_len` positions, which take memory as they fill.
    pub fn new(decoder: Decoder, context_len: usize) -> Result<Self> {
        let limit = decoder.config().max_position_embeddings;
        if context_len == 0 || context_len > limit {
            return Err(Error::invalid(
                "context_len",
                context_len,
                format!("1 to {limit}, the model's own"),
            ));
        }
        let kv = decoder.new_kv_pool(context_len);
        Ok(Self {
            decoder,
            kv,
            sequence: Sequence::new(),
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

    fn truncate(&mut self, len: usize) {
        self.kv.truncate(&mut self.sequence, len);
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        row: &mut dyn FnMut(&[f32]),
    ) -> Result<()> {
        let chunk = Chunk {
            sequence: &mut self.sequence,
            tokens,
            logits: match wanted {
                Wanted::None => LogitsWanted::None,
                Wanted::Last => LogitsWanted::Last,
                Wanted::All => LogitsWanted::All,
            },
        };
        let logits = self.decoder.forward(&mut self.kv, &mut [chunk])?;
        for index in 0..logits.len() {
            row(logits.row(index));
        }
        Ok(())
    }
}
