//! Who holds which page of a cache: block tables, reference counts and the free list, without the
//! bytes.
//!
//! A page may be held several times, by sequences that begin alike and by a cache of beginnings. One
//! that is held more than once is never written: a sequence that would write into it first takes a
//! copy. Invariant: a page is in the free list exactly when nobody holds it.

use super::PAGE;
use crate::adapter::Adapter;
use crate::{Error, Result};
use std::sync::Arc;

/// A page's number in its pool.
pub type Page = usize;

/// The pages of one pool.
#[derive(Debug)]
pub struct BlockPool {
    /// How often each page is held.
    holders: Vec<u32>,
    free: Vec<Page>,
    pages_max: usize,
}

/// One sequence's place in a pool: which pages hold its positions. Dropping it does not give the
/// pages back; [`BlockPool::release`] does.
#[derive(Debug, Default)]
pub struct Sequence {
    block_table: Vec<Page>,
    len: usize,
    adapter: Option<Arc<Adapter>>,
}

impl Sequence {
    /// A sequence without positions.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sequence without positions, all of whose tokens go through an adapter, if there is one.
    /// What is in the cache under one adapter is of no use under another.
    pub fn with_adapter(adapter: Option<Arc<Adapter>>) -> Self {
        Self {
            adapter,
            ..Self::default()
        }
    }

    /// What its tokens go through besides the model.
    pub fn adapter(&self) -> Option<&Arc<Adapter>> {
        self.adapter.as_ref()
    }

    /// Positions in the cache.
    pub fn len(&self) -> usize {
        self.len
    }

    /// No positions are in the cache.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pages in order; those at the end may hold no positions yet.
    pub fn block_table(&self) -> &[Page] {
        &self.block_table
    }

    /// Says that the positions before `len` are written.
    pub fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.block_table.len() * PAGE);
        self.len = len;
    }
}

/// A copy that must be made before a sequence is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageCopy {
    /// The page that others hold too.
    pub from: Page,
    /// The sequence's own page in its place.
    pub to: Page,
}

impl BlockPool {
    /// A pool of at most `pages_max` pages, all free.
    pub fn new(pages_max: usize) -> Self {
        Self {
            holders: Vec::new(),
            free: Vec::new(),
            pages_max,
        }
    }

    /// Most pages in use at once.
    pub fn pages_max(&self) -> usize {
        self.pages_max
    }

    /// Pages that nobody holds.
    pub fn free_pages(&self) -> usize {
        self.free.len() + self.pages_max - self.holders.len()
    }

    /// Pages that somebody holds.
    pub fn pages_in_use(&self) -> usize {
        self.holders.len() - self.free.len()
    }

    /// How often a page is held.
    pub fn holders(&self, page: Page) -> u32 {
        self.holders[page]
    }

    /// Pages that [`Self::reserve`] would take from the free ones.
    pub fn pages_missing(&self, sequence: &Sequence, len: usize) -> usize {
        let more = len
            .div_ceil(PAGE)
            .saturating_sub(sequence.block_table.len());
        more + usize::from(self.shared_tail(sequence, len).is_some())
    }

    /// How many pages, numbered from 0, there will be at most when `more` are taken.
    pub(super) fn pages_after(&self, more: usize) -> usize {
        let new = more.saturating_sub(self.free.len());
        self.pages_max.min(self.holders.len() + new)
    }

    /// Gives a sequence pages of its own for the positions from its end to `len`. Where its last
    /// positions lie on a page that others hold too, that page must be copied.
    ///
    /// # Errors
    /// [`Error::Limit`] if too few pages are free; nothing changes then.
    pub fn reserve(&mut self, sequence: &mut Sequence, len: usize) -> Result<Option<PageCopy>> {
        if self.pages_missing(sequence, len) > self.free_pages() {
            return Err(Error::Limit {
                what: "key-value cache positions",
                found: len,
                limit: self.pages_max * PAGE,
            });
        }
        let copy = self.shared_tail(sequence, len).map(|index| {
            let from = sequence.block_table[index];
            let to = self.take();
            sequence.block_table[index] = to;
            self.drop_hold(from);
            PageCopy { from, to }
        });
        while sequence.block_table.len() < len.div_ceil(PAGE) {
            let page = self.take();
            sequence.block_table.push(page);
        }
        Ok(copy)
    }

    /// Where in the block table the page lies that would be written next, if others hold it.
    fn shared_tail(&self, sequence: &Sequence, len: usize) -> Option<usize> {
        let index = sequence.len / PAGE;
        let page = *sequence.block_table.get(index)?;
        (len > sequence.len && self.holders[page] > 1).then_some(index)
    }

    /// Lets an empty-ended sequence begin or go on with a page that somebody holds, whose first
    /// `positions` are those that come next.
    ///
    /// # Panics
    /// If the sequence does not end at a page's end, or `positions` is not 1 to [`PAGE`].
    pub fn adopt(&mut self, sequence: &mut Sequence, page: Page, positions: usize) {
        assert!(
            sequence.len == sequence.block_table.len() * PAGE && (1..=PAGE).contains(&positions),
            "a page is adopted at the end of a whole one"
        );
        self.hold(page);
        sequence.block_table.push(page);
        sequence.len += positions;
    }

    /// Forgets the positions from `len` on, and pages that hold none before it.
    pub fn truncate(&mut self, sequence: &mut Sequence, len: usize) {
        sequence.len = sequence.len.min(len);
        let keep = sequence.len.div_ceil(PAGE);
        for page in sequence.block_table.drain(keep..) {
            self.drop_hold(page);
        }
    }

    /// Gives all pages back.
    pub fn release(&mut self, sequence: &mut Sequence) {
        self.truncate(sequence, 0);
    }

    /// Holds a page once more.
    pub fn hold(&mut self, page: Page) {
        assert!(self.holders[page] > 0, "a free page cannot be held on to");
        self.holders[page] += 1;
    }

    /// Holds a page once less; it is free when nobody does any more.
    pub fn drop_hold(&mut self, page: Page) {
        assert!(self.holders[page] > 0, "a page was given back twice");
        self.holders[page] -= 1;
        if self.holders[page] == 0 {
            self.free.push(page);
        }
    }

    fn take(&mut self) -> Page {
        let page = self.free.pop().unwrap_or_else(|| {
            self.holders.push(0);
            self.holders.len() - 1
        });
        self.holders[page] = 1;
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grow(pool: &mut BlockPool, sequence: &mut Sequence, len: usize) -> Option<PageCopy> {
        let copy = pool.reserve(sequence, len).unwrap();
        sequence.set_len(len);
        copy
    }

    #[test]
    fn pages_are_reused_and_the_limit_holds() {
        let mut pool = BlockPool::new(3);
        let (mut a, mut b) = (Sequence::new(), Sequence::new());
        grow(&mut pool, &mut a, PAGE + 1);
        assert!(matches!(
            pool.reserve(&mut b, PAGE + 1),
            Err(Error::Limit { .. })
        ));
        assert_eq!(pool.pages_in_use(), 2);
        pool.truncate(&mut a, PAGE);
        grow(&mut pool, &mut b, 2 * PAGE);
        assert_eq!((pool.pages_in_use(), pool.free_pages()), (3, 0));
        pool.release(&mut a);
        pool.release(&mut b);
        assert_eq!((pool.pages_in_use(), pool.free_pages()), (0, 3));
    }

    #[test]
    fn a_shared_page_is_copied_before_it_is_written() {
        let mut pool = BlockPool::new(4);
        let (mut a, mut b) = (Sequence::new(), Sequence::new());
        grow(&mut pool, &mut a, PAGE + 10);
        let pages = a.block_table().to_vec();
        pool.adopt(&mut b, pages[0], PAGE);
        pool.adopt(&mut b, pages[1], 5);
        assert_eq!((b.len(), pool.pages_in_use()), (PAGE + 5, 2));
        assert_eq!(pool.pages_missing(&b, PAGE + 6), 1);
        let copy = grow(&mut pool, &mut b, PAGE + 6).unwrap();
        assert_eq!((copy.from, copy.to), (pages[1], b.block_table()[1]));
        // Both own their tails now, and the whole page stays shared.
        assert_eq!(grow(&mut pool, &mut a, PAGE + 11), None);
        assert_eq!(grow(&mut pool, &mut b, PAGE + 7), None);
        assert_eq!(pool.holders(pages[0]), 2);
        pool.release(&mut a);
        pool.release(&mut b);
        assert_eq!(pool.pages_in_use(), 0);
    }

    #[test]
    fn a_whole_shared_page_needs_no_copy() {
        let mut pool = BlockPool::new(3);
        let (mut a, mut b) = (Sequence::new(), Sequence::new());
        grow(&mut pool, &mut a, PAGE);
        pool.adopt(&mut b, a.block_table()[0], PAGE);
        assert_eq!(pool.pages_missing(&b, PAGE + 1), 1);
        assert_eq!(grow(&mut pool, &mut b, PAGE + 1), None);
        // Cut back into the shared page, it is copied after all.
        pool.truncate(&mut b, 3);
        assert!(grow(&mut pool, &mut b, 4).is_some());
    }
}
