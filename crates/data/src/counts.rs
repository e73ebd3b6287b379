//! What became of a source's documents, in numbers.

use crate::personal::{Found, KINDS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Bytes of its files.
    pub bytes_in: u64,
    /// Documents that were found, those that were lost on the way included.
    pub documents_in: u64,
    /// Documents that are kept.
    pub documents_out: u64,
    /// Bytes of their text.
    pub bytes_out: u64,
    /// Their tokens; 0 without a tokenizer.
    pub tokens: u64,
    /// Documents that were dropped, by rule.
    pub dropped: BTreeMap<String, u64>,
    /// Personal data that were replaced, by kind.
    pub scrubbed: BTreeMap<String, u64>,
    /// Documents that are kept, by language.
    pub languages: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn drop(&mut self, rule: &str) {
        add(&mut self.dropped, rule, 1);
    }

    pub(crate) fn keep(&mut self, language: &str, bytes: usize) {
        self.documents_out += 1;
        self.bytes_out += bytes as u64;
        add(&mut self.languages, language, 1);
    }

    /// Takes back that one was kept.
    pub(crate) fn take_back(&mut self, rule: &str, language: &str, bytes: usize) {
        self.documents_out -= 1;
        self.bytes_out -= bytes as u64;
        if let Some(count) = self.languages.get_mut(language) {
            *count -= 1;
        }
        self.languages.retain(|_, count| *count > 0);
        self.drop(rule);
    }

    pub(crate) fn scrubbed(&mut self, found: &Found) {
        for (kind, count) in KINDS.iter().zip(found).filter(|(_, count)| **count > 0) {
            add(&mut self.scrubbed, kind, *count);
        }
    }

    /// Adds those of a part.
    pub(crate) fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.documents_in += other.documents_in;
        self.documents_out += other.documents_out;
        self.bytes_out += other.bytes_out;
        self.tokens += other.tokens;
        for (mine, theirs) in [
            (&mut self.dropped, &other.dropped),
            (&mut self.scrubbed, &other.scrubbed),
            (&mut self.languages, &other.languages),
        ] {
            for (name, count) in theirs {
                add(mine, name, *count);
            }
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    match counts.get_mut(name) {
        Some(so_far) => *so_far += count,
        None => drop(counts.insert(name.to_owned(), count)),
    }
}
