//! The seam between scheduling and arithmetic: token ids in, logits out, and a cache of positions
//! that can be cut. The decoder is one implementation; tests of the scheduler bring their own.

mod decoder;

pub use decoder::DecoderRunner;

use crate::Result;

/// Which rows of logits a call wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: the tokens only enter the cache.
    None,
    /// That after the last token.
    Last,
    /// One after each token.
    All,
}

/// A model with the cache of one sequence.
///
/// Invariant: the logits after a token depend on the tokens of the cache alone, not on how many
/// calls brought them there.
pub trait Runner: Send {
    /// Length of a row of logits.
    fn vocab_size(&self) -> usize;

    /// Most positions that the cache holds.
    fn context_len(&self) -> usize;

    /// Forgets all positions from `len` on.
    fn truncate(&mut self, len: usize);

    /// Appends `tokens` (at least one, ids below `vocab_size`, within `context_len`) to the cache
    /// and hands each wanted row of logits to `row`, in order.
    fn forward(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        row: &mut dyn FnMut(&[f32]),
    ) -> Result<()>;
}
