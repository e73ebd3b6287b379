//! The key-value cache: pages of [`PAGE`] positions, handed out from one pool to any number of
//! sequences.

use crate::{Error, Result};
use terang_kernels::attention::{KvLayout, PAGE};
use terang_kernels::buffer::AlignedBytes;

/// Pages for all layers of one decoder. Memory grows page by page up to the limit and is reused.
#[derive(Debug)]
pub struct KvPool {
    layout: KvLayout,
    n_layers: usize,
    pages: Vec<AlignedBytes>,
    free: Vec<usize>,
    pages_max: usize,
}

/// One sequence's place in a [`KvPool`]: which pages hold its positions. Dropping it does not give
/// the pages back; [`KvPool::release`] does.
#[derive(Debug, Default)]
pub struct Sequence {
    block_table: Vec<usize>,
    len: usize,
}

impl Sequence {
    /// A sequence without positions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Positions in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No positions are in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.block_table.len() * PAGE);
        self.len = len;
    }
}

impl KvPool {
    pub(super) fn new(layout: KvLayout, n_layers: usize, pages_max: usize) -> Self {
        Self {
            layout,
            n_layers,
            pages: Vec::new(),
            free: Vec::new(),
            pages_max,
        }
    }

    /// Positions for which there is room besides those in use.
    pub fn free_positions(&self) -> usize {
        (self.free.len() + self.pages_max - self.pages.len()) * PAGE
    }

    /// Pages in use by sequences.
    pub fn pages_in_use(&self) -> usize {
        self.pages.len() - self.free.len()
    }

    /// Bytes of one page over all layers.
    pub fn page_bytes(&self) -> usize {
        self.layout.page_bytes() * self.n_layers
    }

    /// Gives a sequence the pages for `len` positions.
    ///
    /// # Errors
    /// [`Error::Limit`] if the pool has too few; the sequence is unchanged then.
    pub(super) fn reserve(&mut self, sequence: &mut Sequence, len: usize) -> Result<()> {
        let wanted = len.div_ceil(PAGE);
        let missing = wanted.saturating_sub(sequence.block_table.len());
        if missing * PAGE > self.free_positions() {
            let limit = self.pages_max * PAGE;
            return Err(Error::Limit {
                what: "key-value cache positions",
                found: len,
                limit,
            });
        }
        for _ in 0..missing {
            let page = self.free.pop().unwrap_or_else(|| {
                self.pages.push(AlignedBytes::zeroed(self.page_bytes()));
                self.pages.len() - 1
            });
            sequence.block_table.push(page);
        }
        Ok(())
    }

    /// Forgets the positions from `len` on.
    pub fn truncate(&mut self, sequence: &mut Sequence, len: usize) {
        sequence.len = sequence.len.min(len);
        let keep = sequence.len.div_ceil(PAGE);
        self.free.extend(sequence.block_table.drain(keep..));
    }

    /// Gives all pages back.
    pub fn release(&mut self, sequence: &mut Sequence) {
        self.truncate(sequence, 0);
    }

    /// A layer's part of the page with `position`, to write.
    pub(super) fn page_mut(
        &mut self,
        sequence: &Sequence,
        layer: usize,
        position: usize,
    ) -> &mut [u8] {
        let bytes = self.layout.page_bytes();
        let page = &mut self.pages[sequence.block_table[position / PAGE]];
        &mut page.as_mut_slice()[layer * bytes..][..bytes]
    }

    /// A layer's part of the pages of the first `len` positions.
    pub(super) fn pages(&self, sequence: &Sequence, layer: usize, len: usize) -> Vec<&[u8]> {
        let bytes = self.layout.page_bytes();
        sequence.block_table[..len.div_ceil(PAGE)]
            .iter()
            .map(|&page| &self.pages[page].as_slice()[layer * bytes..][..bytes])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terang_kernels::attention::KvType;

    #[test]
    fn pages_are_reused_and_the_limit_holds() {
        let layout = KvLayout {
            n_kv_heads: 1,
            head_dim: 16,
            dtype: KvType::F16,
        };
        let mut pool = KvPool::new(layout, 2, 3);
        let (mut a, mut b) = (Sequence::new(), Sequence::new());
        pool.reserve(&mut a, PAGE + 1).unwrap();
        a.set_len(PAGE + 1);
        assert!(matches!(
            pool.reserve(&mut b, PAGE + 1),
            Err(Error::Limit { .. })
        ));
        assert_eq!(pool.pages_in_use(), 2);
        pool.truncate(&mut a, PAGE);
        pool.reserve(&mut b, 2 * PAGE).unwrap();
        assert_eq!((pool.pages_in_use(), pool.free_positions()), (3, 0));
        pool.release(&mut a);
        pool.release(&mut b);
        assert_eq!((pool.pages_in_use(), pool.free_positions()), (0, 3 * PAGE));
    }
}
