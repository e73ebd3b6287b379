//! The seam between scheduling and arithmetic: chunks of token ids in, logits out, and pages of a
//! cache that sequences share. The decoder is one implementation; tests of the scheduler bring their
//! own.

mod decoder;

pub use decoder::DecoderRunner;
pub use terang_model::decoder::{BlockPool, Chunk, Logits, LogitsWanted, PAGE, Page, Sequence};

use terang_model::Config;

use crate::Result;

/// A model with a cache for many sequences.
///
/// Invariant: the logits after a token depend on the tokens of its own sequence alone, not on how
/// many calls brought them there, whose pages they lie on, or what else those calls held.
pub trait Runner: Send {
    /// Length of a row of logits.
    fn vocab_size(&self) -> usize;

    /// Most positions of one sequence. The cache holds at least one of that length.
    fn context_len(&self) -> usize;

    /// The model's description, which adapters must fit; `None`: this one takes no adapters.
    fn config(&self) -> Option<&Config> {
        None
    }

    /// Who holds which page of the cache.
    fn blocks(&mut self) -> &mut BlockPool;

    /// Appends each chunk's tokens to its sequence, whose pages it reserves where that has not been
    /// done, and computes the logits that chunks want.
    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> Result<()>;

    /// The logits of the last call, in the order of its chunks and their tokens.
    fn logits(&self) -> Logits<'_>;

    /// Length of a hidden state; 0: this model gives none.
    fn hidden_size(&self) -> usize {
        0
    }

    /// The final hidden states of the last call, of the tokens of chunks that asked for them.
    fn hidden(&self) -> &[f32] {
        &[]
    }

    /// Calls `job` once for each index below `count`, on several threads where there are some.
    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        (0..count).for_each(job);
    }
}
