//! The vocabulary: token id to bytes and bytes to id.
//!
//! All token texts lie in one buffer; the index from bytes to id is an open-addressing table of ids
//! into it, so that loading a quarter of a million tokens costs a few milliseconds. Only *mergeable*
//! tokens are in the index: a control token can be looked up by [`Vocab::control_id`] but is never
//! found when ordinary text is encoded.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Most tokens a vocabulary may have; the largest in use have about 300 thousand.
pub(super) const TOKENS_MAX: usize = 1 << 19;
/// Most bytes one token may have.
pub(super) const TOKEN_BYTES_MAX: usize = 1 << 14;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// No token has this id.
    Absent,
    /// Comes out of merging.
    Normal,
    /// Stands for one byte that no other token covers (`<0x0A>`).
    Byte(u8),
    /// Taken from the text before merging, but allowed in user text.
    UserDefined,
    /// Control: never comes out of user text.
    Special,
}

/// Token id to bytes and back; see the module's comment.
#[derive(Debug)]
pub(super) struct Vocab {
    text: Vec<u8>,
    /// `(start, end)` of each id in `text`.
    spans: Vec<(u32, u32)>,
    kinds: Vec<Kind>,
    mergeable: HashTable<u32>,
    others: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Vocab {
    pub(super) fn with_capacity(tokens: usize) -> Self {
        Self {
            text: Vec::with_capacity(tokens * 8),
            spans: Vec::with_capacity(tokens),
            kinds: Vec::with_capacity(tokens),
            mergeable: HashTable::with_capacity(tokens),
            others: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Number of ids, absent ones included.
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// The token's text as it stands in the vocabulary.
    pub(super) fn bytes(&self, id: u32) -> Option<&[u8]> {
        let i = id as usize;
        if *self.kinds.get(i)? == Kind::Absent {
            return None;
        }
        let (start, end) = self.spans[i];
        Some(&self.text[start as usize..end as usize])
    }

    pub(super) fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Absent)
    }

    /// The id of a token that ordinary text may become.
    pub(super) fn id(&self, bytes: &[u8]) -> Option<u32> {
        self.find(&self.mergeable, bytes)
    }

    /// The id of a control, user-defined or byte token by its text.
    pub(super) fn control_id(&self, bytes: &[u8]) -> Option<u32> {
        self.find(&self.others, bytes)
    }

    fn find(&self, table: &HashTable<u32>, bytes: &[u8]) -> Option<u32> {
        let hash = self.hasher.hash_one(bytes);
        table
            .find(hash, |&id| self.span_bytes(id) == bytes)
            .copied()
    }

    fn span_bytes(&self, id: u32) -> &[u8] {
        let (start, end) = self.spans[id as usize];
        &self.text[start as usize..end as usize]
    }

    /// Puts a token at `id`; `Err` tells what is wrong. A text that two ids share keeps the first.
    pub(super) fn insert(&mut self, id: u32, bytes: &[u8], kind: Kind) -> Result<(), Conflict> {
        let i = id as usize;
        if i >= TOKENS_MAX {
            return Err(Conflict::Id);
        }
        if bytes.len() > TOKEN_BYTES_MAX {
            return Err(Conflict::Length(bytes.len()));
        }
        if i >= self.spans.len() {
            self.spans.resize(i + 1, (0, 0));
            self.kinds.resize(i + 1, Kind::Absent);
        }
        if self.kinds[i] != Kind::Absent {
            return Err(Conflict::Taken);
        }
        let start = u32::try_from(self.text.len()).map_err(|_| Conflict::Id)?;
        self.text.extend_from_slice(bytes);
        let end = u32::try_from(self.text.len()).map_err(|_| Conflict::Id)?;
        self.spans[i] = (start, end);
        self.kinds[i] = kind;
        self.index(id, kind);
        Ok(())
    }

    /// Changes what a token is for (a token of the vocabulary that is also an added token).
    pub(super) fn set_kind(&mut self, id: u32, kind: Kind) {
        let old = self.kinds[id as usize];
        if old == kind {
            return;
        }
        let hash = self.hasher.hash_one(self.span_bytes(id));
        let table = if old == Kind::Normal {
            &mut self.mergeable
        } else {
            &mut self.others
        };
        if let Ok(entry) = table.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.kinds[id as usize] = kind;
        self.index(id, kind);
    }

    fn index(&mut self, id: u32, kind: Kind) {
        let Self {
            text,
            spans,
            mergeable,
            others,
            hasher,
            ..
        } = self;
        let bytes_of = |id: u32| {
            let (start, end) = spans[id as usize];
            &text[start as usize..end as usize]
        };
        let table = if kind == Kind::Normal {
            mergeable
        } else {
            others
        };
        let bytes = bytes_of(id);
        let hash = hasher.hash_one(bytes);
        if table
            .find(hash, |&other| bytes_of(other) == bytes)
            .is_none()
        {
            table.insert_unique(hash, id, |&other| hasher.hash_one(bytes_of(other)));
        }
    }
}

/// Why a token cannot be put into the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Conflict {
    /// The id is over the limit.
    Id,
    /// Another token has this id.
    Taken,
    /// The token is too long.
    Length(usize),
}
