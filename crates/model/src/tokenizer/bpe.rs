//! Byte-pair merging (Sennrich et al. 2016), ranked by a merge list as in GPT-2 and in
//! `tokenizer.json`, or by token scores as in `SentencePiece`.
//!
//! A word becomes a chain of symbols; the best adjacent pair is merged until none is left. Equal
//! ranks merge from left to right. Symbols whose text is not in the vocabulary have no id.

use super::vocab::Vocab;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Symbols up to which the best pair is found by scanning instead of through a heap.
const SCAN_MAX: usize = 24;
const NONE: u32 = u32::MAX;

/// How the order of merges is decided.
#[derive(Debug)]
pub(super) enum Ranks {
    /// `(left, right)` to `(rank, merged)`; lower ranks merge first.
    Merges(HashMap<(u32, u32), (u32, u32)>),
    /// A pair may merge where its text is a token; ranks are the tokens' places in descending
    /// order of score.
    Scores(Vec<u32>),
}

/// What becomes of a symbol that the vocabulary lacks.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// Tokens of the 256 bytes, where the model has them all.
    pub(super) bytes: Option<Box<[u32; 256]>>,
    /// The unknown token.
    pub(super) token: Option<u32>,
    /// One unknown token for a run of unknown symbols.
    pub(super) fuse: bool,
}

/// The merging model.
#[derive(Debug)]
pub(super) struct Bpe {
    pub(super) ranks: Ranks,
    /// Words start as bytes; otherwise as characters.
    pub(super) bytes: bool,
    /// A word that is a token is taken whole.
    pub(super) whole_words: bool,
    pub(super) unknown: Unknown,
}

#[derive(Clone, Copy)]
struct Symbol {
    /// [`NONE`]: this text is not a token.
    id: u32,
    start: u32,
    end: u32,
    prev: u32,
    next: u32,
}

/// A pair that may merge: rank, left symbol, and what must still hold when its turn comes.
type Candidate = (u32, u32, u32, u32);

/// Buffers that are kept from word to word.
#[derive(Default)]
pub(super) struct Scratch {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

impl Bpe {
    /// Appends the tokens of one word.
    pub(super) fn encode_word(
        &self,
        vocab: &Vocab,
        word: &str,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        if word.is_empty() {
            return;
        }
        if self.whole_words
            && let Some(id) = vocab.id(word.as_bytes())
        {
            out.push(id);
            return;
        }
        self.split(vocab, word, scratch);
        if scratch.symbols.len() <= SCAN_MAX {
            self.merge_scanning(vocab, word, &mut scratch.symbols);
        } else {
            self.merge_by_heap(vocab, word, scratch);
        }
        self.emit(word, &scratch.symbols, out);
    }

    fn split(&self, vocab: &Vocab, word: &str, scratch: &mut Scratch) {
        let symbols = &mut scratch.symbols;
        symbols.clear();
        let mut push = |start: usize, end: usize| {
            let id = vocab.id(&word.as_bytes()[start..end]).unwrap_or(NONE);
            if id == NONE && self.bytes {
                // A byte-level vocabulary that lacks a byte drops it, as the format's own library
                // does.
                return;
            }
            symbols.push(Symbol {
                id,
                start: start as u32,
                end: end as u32,
                prev: 0,
                next: 0,
            });
        };
        if self.bytes {
            for i in 0..word.len() {
                push(i, i + 1);
            }
        } else {
            for (i, c) in word.char_indices() {
                push(i, i + c.len_utf8());
            }
        }
        let n = symbols.len() as u32;
        for (i, symbol) in symbols.iter_mut().enumerate() {
            symbol.prev = (i as u32).wrapping_sub(1);
            symbol.next = if i as u32 + 1 == n {
                NONE
            } else {
                i as u32 + 1
            };
        }
    }

    /// Rank of a pair and the token that it becomes.
    fn pair(&self, vocab: &Vocab, word: &str, left: Symbol, right: Symbol) -> Option<(u32, u32)> {
        match &self.ranks {
            Ranks::Merges(merges) => merges.get(&(left.id, right.id)).copied(),
            Ranks::Scores(ranks) => {
                let id = vocab.id(&word.as_bytes()[left.start as usize..right.end as usize])?;
                Some((ranks[id as usize], id))
            }
        }
    }

    fn merge_scanning(&self, vocab: &Vocab, word: &str, symbols: &mut Vec<Symbol>) {
        // ranks[i]: the merge of symbols i and i + 1.
        let mut ranks = [(NONE, NONE); SCAN_MAX];
        let pair_at = |symbols: &[Symbol], i: usize| {
            symbols
                .get(i + 1)
                .and_then(|&right| self.pair(vocab, word, symbols[i], right))
                .unwrap_or((NONE, NONE))
        };
        for (i, rank) in ranks.iter_mut().enumerate().take(symbols.len()) {
            *rank = pair_at(symbols, i);
        }
        loop {
            let n = symbols.len();
            let Some(best) = (0..n).min_by_key(|&i| ranks[i].0) else {
                return;
            };
            let (rank, id) = ranks[best];
            if rank == NONE {
                return;
            }
            symbols[best].id = id;
            symbols[best].end = symbols[best + 1].end;
            symbols.remove(best + 1);
            ranks.copy_within(best + 2..n, best + 1);
            ranks[best] = pair_at(symbols, best);
            if best > 0 {
                ranks[best - 1] = pair_at(symbols, best - 1);
            }
        }
    }

    fn merge_by_heap(&self, vocab: &Vocab, word: &str, scratch: &mut Scratch) {
        let Scratch { symbols, heap } = scratch;
        heap.clear();
        let candidate = |symbols: &[Symbol], left: u32| -> Option<Candidate> {
            let l = symbols[left as usize];
            let r = *symbols.get(l.next as usize)?;
            let (rank, id) = self.pair(vocab, word, l, r)?;
            Some((rank, left, id, r.end))
        };
        heap.extend((0..symbols.len() as u32).filter_map(|i| candidate(symbols, i).map(Reverse)));
        while let Some(Reverse((rank, left, id, end))) = heap.pop() {
            let l = symbols[left as usize];
            // Stale: the left symbol was merged away, or one of the two has grown.
            if l.start == l.end || l.next == NONE {
                continue;
            }
            let r = symbols[l.next as usize];
            if r.end != end || self.pair(vocab, word, l, r) != Some((rank, id)) {
                continue;
            }
            let gone = l.next;
            symbols[left as usize].id = id;
            symbols[left as usize].end = end;
            symbols[left as usize].next = r.next;
            symbols[gone as usize].end = symbols[gone as usize].start;
            if r.next != NONE {
                symbols[r.next as usize].prev = left;
            }
            heap.extend(candidate(symbols, left).map(Reverse));
            if l.prev != NONE {
                heap.extend(candidate(symbols, l.prev).map(Reverse));
            }
        }
        symbols.retain(|s| s.start != s.end);
    }

    fn emit(&self, word: &str, symbols: &[Symbol], out: &mut Vec<u32>) {
        let mut in_unknown_run = false;
        for symbol in symbols {
            if symbol.id != NONE {
                out.push(symbol.id);
                in_unknown_run = false;
            } else if let Some(bytes) = &self.unknown.bytes {
                let text = &word.as_bytes()[symbol.start as usize..symbol.end as usize];
                out.extend(text.iter().map(|&b| bytes[b as usize]));
                in_unknown_run = false;
            } else if let Some(unknown) = self.unknown.token {
                if !(in_unknown_run && self.unknown.fuse) {
                    out.push(unknown);
                }
                in_unknown_run = true;
            }
        }
    }
}
