//! The key-value cache: pages of [`PAGE`] positions for all layers of one decoder, handed out to any
//! number of sequences.

use super::blocks::{BlockPool, Sequence};
use crate::{Error, Result};
use terang_kernels::attention::{KvLayout, PAGE};
use terang_kernels::buffer::{AlignedBytes, Arena};

/// Pages with their bytes. Memory grows page by page up to the limit and is reused.
#[derive(Debug)]
pub struct KvPool {
    layout: KvLayout,
    n_layers: usize,
    blocks: BlockPool,
    arena: Arena,
    pages: Vec<AlignedBytes>,
}

impl KvPool {
    pub(super) fn new(layout: KvLayout, n_layers: usize, pages_max: usize) -> Self {
        Self {
            layout,
            n_layers,
            blocks: BlockPool::new(pages_max),
            arena: Arena::new(),
            pages: Vec::new(),
        }
    }

    /// Who holds which page.
    pub fn blocks(&self) -> &BlockPool {
        &self.blocks
    }

    /// Who holds which page, to change it.
    pub fn blocks_mut(&mut self) -> &mut BlockPool {
        &mut self.blocks
    }

    /// Bytes of one page over all layers.
    pub fn page_bytes(&self) -> usize {
        self.layout.page_bytes() * self.n_layers
    }

    /// Gives a sequence pages of its own for the positions from its end to `len`; see
    /// [`BlockPool::reserve`].
    pub fn reserve(&mut self, sequence: &mut Sequence, len: usize) -> Result<()> {
        // Memory first: what fails then changes nothing.
        let missing = self.blocks.pages_missing(sequence, len);
        while self.pages.len() < self.blocks.pages_after(missing) {
            let page = self
                .arena
                .zeroed(self.page_bytes())
                .map_err(Error::Memory)?;
            self.pages.push(page);
        }
        let copy = self.blocks.reserve(sequence, len)?;
        if let Some(copy) = copy {
            let from = std::mem::take(&mut self.pages[copy.from]);
            let to = self.pages[copy.to].as_mut_slice();
            to.copy_from_slice(from.as_slice());
            self.pages[copy.from] = from;
        }
        Ok(())
    }

    /// A layer's part of each of these pages, which ascend, to write.
    pub(super) fn pages_mut(
        &mut self,
        layer: usize,
        pages: impl Iterator<Item = usize>,
    ) -> Vec<&mut [u8]> {
        let bytes = self.layout.page_bytes();
        let mut rest = &mut self.pages[..];
        let mut passed = 0;
        let mut found = Vec::new();
        for page in pages {
            debug_assert_eq!(self.blocks.holders(page), 1, "a shared page is written");
            let (_, from) = rest.split_at_mut(page - passed);
            let (first, after) = from.split_at_mut(1);
            found.push(&mut first[0].as_mut_slice()[layer * bytes..][..bytes]);
            (rest, passed) = (after, page + 1);
        }
        found
    }

    /// A layer's part of the pages of the first `len` positions.
    pub(super) fn pages(&self, sequence: &Sequence, layer: usize, len: usize) -> Vec<&[u8]> {
        let bytes = self.layout.page_bytes();
        sequence.block_table()[..len.div_ceil(PAGE)]
            .iter()
            .map(|&page| &self.pages[page].as_slice()[layer * bytes..][..bytes])
            .collect()
    }
}
