//! Beginnings of sequences that are kept in the cache after their sequences ended, so that whoever
//! begins alike (the next turn of a conversation, everybody with the same system prompt) evaluates
//! only what is new.
//!
//! A tree of pages: a node is the page after its parent's, known by the tokens that lie on it. A
//! page at the end of a sequence may be partly filled; such nodes have no children. Children are
//! ordered by their tokens, so the one that shares most with what is looked for stands beside it.
//! The least recently used leaf goes first when pages run out. Requests of different salts have trees
//! of their own, so that none learns from its speed what others asked.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::runner::{BlockPool, PAGE, Page};

/// Whom beginnings are shared with. What an adapter made of a beginning is of no use without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Salt {
    /// As the request has it.
    pub(crate) request: u64,
    /// The adapter's identity.
    pub(crate) adapter: Option<u64>,
}

/// The trees. They hold each of their pages once.
#[derive(Debug)]
pub(crate) struct PrefixCache {
    /// `None`: free for reuse.
    nodes: Vec<Option<Node>>,
    unused: Vec<usize>,
    /// The root of each salt's tree; it has no page, and children unless it is being built.
    roots: BTreeMap<Salt, usize>,
    /// Counts uses and insertions.
    clock: u64,
}

#[derive(Debug)]
struct Node {
    /// Of a root: itself.
    parent: usize,
    tokens: Box<[u32]>,
    page: Page,
    children: BTreeMap<Box<[u32]>, usize>,
    last_used: u64,
}

/// A page that begins with the positions that come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    node: usize,
    pub(crate) page: Page,
    pub(crate) positions: usize,
}

impl PrefixCache {
    pub(crate) fn new() -> Self {
        Self {
            nodes: Vec::new(),
            unused: Vec::new(),
            roots: BTreeMap::new(),
            clock: 0,
        }
    }

    /// The pages that hold the longest known beginning of `tokens`: whole ones, and at the end one
    /// of which perhaps only the first positions fit.
    pub(crate) fn find(&self, salt: Salt, tokens: &[u32]) -> Vec<Hit> {
        let mut hits = Vec::new();
        let Some(&root) = self.roots.get(&salt) else {
            return hits;
        };
        let (mut at, mut rest) = (root, tokens);
        while let Some((node, positions)) = self.nearest(at, &rest[..rest.len().min(PAGE)]) {
            let page = self.node(node).page;
            hits.push(Hit {
                node,
                page,
                positions,
            });
            if positions < PAGE {
                break;
            }
            at = node;
            rest = &rest[PAGE..];
        }
        hits
    }

    /// Remembers that these were used.
    pub(crate) fn touch(&mut self, hits: &[Hit]) {
        self.clock += 1;
        for hit in hits {
            let clock = self.clock;
            self.node_mut(hit.node).last_used = clock;
        }
    }

    /// Keeps the pages of a sequence whose first positions hold `tokens`. Those that are known
    /// already are not held a second time.
    pub(crate) fn insert(
        &mut self,
        blocks: &mut BlockPool,
        salt: Salt,
        tokens: &[u32],
        pages: &[Page],
    ) {
        if tokens.is_empty() {
            return;
        }
        self.clock += 1;
        let mut at = self.root(salt);
        for (tokens, &page) in tokens.chunks(PAGE).zip(pages) {
            at = match self.node(at).children.get(tokens) {
                Some(&child) => child,
                None if self.covered(at, tokens) => return,
                None => self.add(blocks, at, tokens, page),
            };
            let clock = self.clock;
            self.node_mut(at).last_used = clock;
        }
    }

    /// Pages that eviction could free now or step by step.
    pub(crate) fn evictable(&self, blocks: &BlockPool) -> usize {
        // A page that only the tree holds has no descendants that a sequence holds: sequences hold
        // whole beginnings.
        let only_here = |node: &&Node| node.page != Page::MAX && blocks.holders(node.page) == 1;
        self.nodes.iter().flatten().filter(only_here).count()
    }

    /// Gives up the least recently used leaf that frees a page; with `shared`, else one that frees
    /// none, since a sequence holds it too. False if there is none.
    pub(crate) fn evict(&mut self, blocks: &mut BlockPool, shared: bool) -> bool {
        let leaves = (0..).zip(&self.nodes).filter_map(|(id, node)| {
            let node = node
                .as_ref()
                .filter(|node| node.page != Page::MAX && node.children.is_empty())?;
            Some((blocks.holders(node.page) > 1, node.last_used, id))
        });
        match leaves.min() {
            Some((held, _, id)) if shared || !held => {
                self.remove(blocks, id);
                self.drop_bare_roots();
                true
            }
            _ => false,
        }
    }

    /// Gives up everything.
    pub(crate) fn clear(&mut self, blocks: &mut BlockPool) {
        for node in self.nodes.drain(..).flatten() {
            if node.page != Page::MAX {
                blocks.drop_hold(node.page);
            }
        }
        self.unused.clear();
        self.roots.clear();
    }

    /// The child that shares the longest beginning with `tokens`, and how long that is.
    fn nearest(&self, at: usize, tokens: &[u32]) -> Option<(usize, usize)> {
        let children = &self.node(at).children;
        let upwards = (Bound::Included(tokens), Bound::Unbounded);
        let downwards = (Bound::Unbounded, Bound::Excluded(tokens));
        let above = children.range::<[u32], _>(upwards).next();
        let below = children.range::<[u32], _>(downwards).next_back();
        let neighbours = above.into_iter().chain(below);
        let shared = neighbours.map(|(child, &id)| {
            let equal = child.iter().zip(tokens).take_while(|(a, b)| a == b);
            (equal.count(), id)
        });
        let (count, id) = shared.max()?;
        (count > 0).then_some((id, count))
    }

    /// Whether a child begins with `tokens`.
    fn covered(&self, at: usize, tokens: &[u32]) -> bool {
        self.nearest(at, tokens)
            .is_some_and(|(_, count)| count == tokens.len())
    }

    fn add(&mut self, blocks: &mut BlockPool, parent: usize, tokens: &[u32], page: Page) -> usize {
        // A partly filled page that the new one begins with is of no more use.
        let below = (Bound::Unbounded, Bound::Excluded(tokens));
        let children = &self.node(parent).children;
        let shorter = children.range::<[u32], _>(below).next_back();
        if let Some((child, &id)) = shorter
            && tokens.starts_with(child)
        {
            self.remove(blocks, id);
        }
        blocks.hold(page);
        let id = self.new_id();
        self.nodes[id] = Some(Node {
            parent,
            tokens: tokens.into(),
            page,
            children: BTreeMap::new(),
            last_used: self.clock,
        });
        self.node_mut(parent).children.insert(tokens.into(), id);
        id
    }

    fn root(&mut self, salt: Salt) -> usize {
        if let Some(&root) = self.roots.get(&salt) {
            return root;
        }
        let id = self.new_id();
        self.nodes[id] = Some(Node {
            parent: id,
            tokens: Box::default(),
            page: Page::MAX,
            children: BTreeMap::new(),
            last_used: self.clock,
        });
        self.roots.insert(salt, id);
        id
    }

    fn new_id(&mut self) -> usize {
        self.unused.pop().unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        })
    }

    fn remove(&mut self, blocks: &mut BlockPool, id: usize) {
        let node = self.nodes[id].take().expect("a node of the tree");
        debug_assert!(node.children.is_empty(), "only leaves are removed");
        self.node_mut(node.parent).children.remove(&node.tokens);
        self.unused.push(id);
        blocks.drop_hold(node.page);
    }

    /// Gives up the roots of trees that have no pages left.
    fn drop_bare_roots(&mut self) {
        let Self {
            roots,
            nodes,
            unused,
            ..
        } = self;
        roots.retain(|_, &mut id| {
            let bare = nodes[id]
                .as_ref()
                .is_none_or(|root| root.children.is_empty());
            if bare {
                nodes[id] = None;
                unused.push(id);
            }
            !bare
        });
    }

    fn node(&self, id: usize) -> &Node {
        self.nodes[id].as_ref().expect("a node of the tree")
    }

    fn node_mut(&mut self, id: usize) -> &mut Node {
        self.nodes[id].as_mut().expect("a node of the tree")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::Sequence;

    /// Puts a sequence of these tokens into the tree and lets it go.
    fn keep(cache: &mut PrefixCache, blocks: &mut BlockPool, tokens: &[u32]) {
        let mut sequence = Sequence::new();
        blocks.reserve(&mut sequence, tokens.len()).unwrap();
        sequence.set_len(tokens.len());
        cache.insert(blocks, Salt::default(), tokens, sequence.block_table());
        blocks.release(&mut sequence);
    }

    fn positions(cache: &PrefixCache, tokens: &[u32]) -> usize {
        cache
            .find(Salt::default(), tokens)
            .iter()
            .map(|hit| hit.positions)
            .sum()
    }

    fn numbers(from: u32, count: usize) -> Vec<u32> {
        (from..).take(count).collect()
    }

    #[test]
    fn the_longest_beginning_is_found_to_the_token() {
        let (mut cache, mut blocks) = (PrefixCache::new(), BlockPool::new(100));
        keep(&mut cache, &mut blocks, &numbers(0, 2 * PAGE + 10));
        let mut other = numbers(0, PAGE + 5);
        other.extend([9999; 20]);
        keep(&mut cache, &mut blocks, &other);
        assert_eq!(positions(&cache, &numbers(0, 500)), 2 * PAGE + 10);
        assert_eq!(positions(&cache, &other), PAGE + 25);
        assert_eq!(positions(&cache, &numbers(0, 7)), 7);
        assert_eq!(positions(&cache, &numbers(1, 7)), 0);
        let mut third = numbers(0, PAGE + 20);
        third.push(0);
        assert_eq!(positions(&cache, &third), PAGE + 20);
    }

    #[test]
    fn a_page_is_held_once_and_a_longer_one_takes_the_place_of_a_shorter() {
        let (mut cache, mut blocks) = (PrefixCache::new(), BlockPool::new(100));
        keep(&mut cache, &mut blocks, &numbers(0, PAGE + 10));
        keep(&mut cache, &mut blocks, &numbers(0, PAGE + 10));
        keep(&mut cache, &mut blocks, &numbers(0, PAGE + 4));
        assert_eq!(blocks.pages_in_use(), 2);
        keep(&mut cache, &mut blocks, &numbers(0, PAGE + 30));
        assert_eq!(blocks.pages_in_use(), 2);
        assert_eq!(positions(&cache, &numbers(0, 500)), PAGE + 30);
        cache.clear(&mut blocks);
        assert_eq!(blocks.pages_in_use(), 0);
        assert_eq!(positions(&cache, &numbers(0, 500)), 0);
    }

    #[test]
    fn the_least_recently_used_leaf_goes_first() {
        let (mut cache, mut blocks) = (PrefixCache::new(), BlockPool::new(100));
        keep(&mut cache, &mut blocks, &numbers(0, 2 * PAGE));
        keep(&mut cache, &mut blocks, &numbers(1000, PAGE));
        cache.touch(&cache.find(Salt::default(), &numbers(0, PAGE)));
        assert_eq!(cache.evictable(&blocks), 3);
        // The second page of the first is the oldest; then the other sequence.
        cache.evict(&mut blocks, false);
        assert_eq!(positions(&cache, &numbers(0, 500)), PAGE);
        assert_eq!(positions(&cache, &numbers(1000, 500)), PAGE);
        cache.evict(&mut blocks, false);
        assert_eq!(positions(&cache, &numbers(1000, 500)), 0);
        assert!(cache.evict(&mut blocks, false) && !cache.evict(&mut blocks, true));
        assert_eq!(blocks.pages_in_use(), 0);
    }

    #[test]
    fn pages_in_use_are_given_up_last() {
        let (mut cache, mut blocks) = (PrefixCache::new(), BlockPool::new(100));
        keep(&mut cache, &mut blocks, &numbers(0, PAGE));
        let page = cache.find(Salt::default(), &numbers(0, PAGE))[0].page;
        let mut sequence = Sequence::new();
        blocks.adopt(&mut sequence, page, PAGE);
        keep(&mut cache, &mut blocks, &numbers(1000, PAGE));
        assert_eq!(cache.evictable(&blocks), 1);
        cache.evict(&mut blocks, false);
        assert_eq!(positions(&cache, &numbers(0, PAGE)), PAGE);
        assert_eq!(positions(&cache, &numbers(1000, PAGE)), 0);
        assert!(!cache.evict(&mut blocks, false) && cache.evict(&mut blocks, true));
    }

    #[test]
    fn beginnings_of_another_salt_are_not_found_and_leave_nothing_behind() {
        let (mut cache, mut blocks) = (PrefixCache::new(), BlockPool::new(100));
        let salt = |number: u64| Salt {
            request: number / 2,
            adapter: (number % 2 == 1).then_some(number),
        };
        for number in 1..=20 {
            let mut sequence = Sequence::new();
            blocks.reserve(&mut sequence, PAGE).unwrap();
            sequence.set_len(PAGE);
            cache.insert(
                &mut blocks,
                salt(number),
                &numbers(0, PAGE),
                sequence.block_table(),
            );
            blocks.release(&mut sequence);
        }
        assert_eq!(blocks.pages_in_use(), 20);
        assert!(cache.find(Salt::default(), &numbers(0, PAGE)).is_empty());
        assert_eq!(cache.find(salt(7), &numbers(0, PAGE))[0].positions, PAGE);
        while cache.evict(&mut blocks, false) {}
        assert_eq!(blocks.pages_in_use(), 0);
        assert!(cache.roots.is_empty() && cache.nodes.iter().all(Option::is_none));
    }
}
