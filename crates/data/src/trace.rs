//! The longest spans of an answer that stand word for word in the training data, with the documents that hold
//! them, as `OLMoTrace` shows them (arXiv:2504.07096).

use crate::Result;
use crate::index::{Index, PHRASE_MAX, Place};
use crate::normalize::normalize;
use std::ops::Range;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Words of a span that is worth telling.
    pub words_min: usize,
    /// Spans that are told, longest first.
    pub spans_max: usize,
    /// Documents that are named for each.
    pub documents_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            words_min: 4,
            spans_max: 20,
            documents_max: 5,
        }
    }
}

/// An answer with what of it stands in the data.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Trace {
    /// The answer as it was looked for.
    pub answer: String,
    /// Bytes of it that stand in a span.
    pub covered_bytes: usize,
    /// The spans, longest first.
    pub spans: Vec<Span>,
}

/// A part of an answer that stands in the data.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Span {
    /// Where it begins in the answer, in bytes.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it says.
    pub text: String,
    /// Its words.
    pub words: usize,
    /// How often it stands there.
    pub occurrences: u64,
    /// Documents that hold it.
    pub documents: u64,
    /// The first of these.
    pub first: Vec<Place>,
}

impl Index {
    /// Traces an answer.
    ///
    /// # Errors
    /// Those of reading.
    pub fn trace(&self, answer: &str, settings: &Settings) -> Result<Trace> {
        let answer = normalize(answer);
        let mut spans = self.spans(&answer, settings.words_min)?;
        let covered_bytes = covered(&spans);
        spans.sort_by_key(|span| (std::cmp::Reverse(span.len()), span.start));
        spans.truncate(settings.spans_max);
        let spans = spans
            .into_iter()
            .map(|span| {
                let text = &answer[span.clone()];
                let found = self.find_bytes(text.as_bytes(), settings.documents_max)?;
                Ok(Span {
                    start: span.start,
                    end: span.end,
                    text: text.to_owned(),
                    words: words(text),
                    occurrences: found.occurrences,
                    documents: found.documents,
                    first: found.first,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Trace {
            answer,
            covered_bytes,
            spans,
        })
    }

    /// Spans of whole words that stand in the data and in no longer one that does, in the order of the answer.
    fn spans(&self, answer: &str, words_min: usize) -> Result<Vec<Range<usize>>> {
        let (starts, ends) = boundaries(answer);
        let mut spans = Vec::new();
        let mut last_end = 0;
        for start in starts {
            let end = answer.len().min(start + PHRASE_MAX);
            let rest = &answer.as_bytes()[start..end];
            let mut longest = 0;
            for shard in &self.shards {
                longest = longest.max(shard.longest(rest)?);
            }
            let fits = ends.partition_point(|end| *end <= start + longest);
            let Some(&end) = ends[..fits].last().filter(|end| **end > last_end) else {
                continue;
            };
            last_end = end;
            // One that is too short still ends before no longer one would begin.
            if end > start && words(&answer[start..end]) >= words_min {
                spans.push(start..end);
            }
        }
        Ok(spans)
    }
}

/// Where words begin, and where they end: behind their last letter, and behind the marks that follow it.
fn boundaries(text: &str) -> (Vec<usize>, Vec<usize>) {
    let (mut starts, mut ends) = (Vec::new(), Vec::new());
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (before.is_alphanumeric(), c.is_alphanumeric()) {
            (false, true) => starts.push(at),
            (true, false) => ends.push(at),
            _ => {}
        }
        if !c.is_alphanumeric() && !c.is_whitespace() {
            ends.push(at + c.len_utf8());
        }
        before = c;
    }
    ends.push(text.len());
    ends.dedup();
    (starts, ends)
}

fn words(text: &str) -> usize {
    boundaries(text).0.len()
}

fn covered(spans: &[Range<usize>]) -> usize {
    let mut to = 0;
    let each = spans.iter().map(|span| {
        let new = span.end.saturating_sub(span.start.max(to));
        to = to.max(span.end);
        new
    });
    each.sum()
}
