//! Which tokens each step sees: a pure function of the seed and the step, so that a run goes on anywhere.

use crate::corpus::Document;
use crate::decoder::MicroBatch;
use std::ops::Range;
use std::sync::Arc;
use terang_kernels::philox::uniform_of;

/// Streams of random numbers below this belong to tensors' initial values.
pub(crate) const ORDER_STREAM: u32 = 1 << 31;

/// A sequence to learn from: one more token than is fed in, since each is learned from those before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Window {
    tokens: Vec<u32>,
    learned: Vec<bool>,
    /// Where a document begins, ascending, the first at 0.
    starts: Vec<usize>,
}

/// How documents become sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// They follow each other and are cut where a sequence ends.
    Cut,
    /// They are kept whole: one that does not fit begins the next sequence, one longer than a sequence loses
    /// its end.
    Whole,
}

/// The order in which documents are learned from.
#[derive(Debug)]
pub struct Batches {
    documents: Arc<Vec<Document>>,
    packing: Packing,
    sequence: usize,
    batch: usize,
    seed: u64,
    /// The windows of the epoch that was asked for last.
    epoch: Option<(u64, Vec<Window>)>,
    /// Windows of each epoch before the latest, summed: where an epoch begins.
    begins: Vec<u64>,
}

impl Batches {
    /// Batches of `batch` sequences of `sequence` tokens.
    pub fn new(
        documents: impl Into<Arc<Vec<Document>>>,
        packing: Packing,
        sequence: usize,
        batch: usize,
        seed: u64,
    ) -> Self {
        Self {
            documents: documents.into(),
            packing,
            sequence,
            batch,
            seed,
            epoch: None,
            begins: vec![0],
        }
    }

    /// Tokens in all.
    pub fn tokens(&self) -> usize {
        self.documents
            .iter()
            .map(|document| document.tokens.len())
            .sum()
    }

    /// Documents in all.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// There is nothing to learn from.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Whether there is at least one sequence.
    pub fn has_a_sequence(&mut self) -> bool {
        !self.windows(0).is_empty()
    }

    /// The micro-batches of a step, of `micro_batch` sequences each. Each target counts 1 over those of the
    /// step that count.
    pub fn step(&mut self, step: u64, micro_batch: usize) -> Vec<MicroBatch> {
        let windows: Vec<Window> = (0..self.batch as u64)
            .map(|i| self.window(step * self.batch as u64 + i))
            .collect();
        weighted(&windows, self.sequence, micro_batch)
    }

    /// All sequences, once, in the order of the documents: for validation.
    pub fn all(&self, micro_batch: usize) -> Vec<MicroBatch> {
        let order: Vec<usize> = (0..self.documents.len()).collect();
        weighted(&self.pack(&order, true), self.sequence, micro_batch)
    }

    fn window(&mut self, index: u64) -> Window {
        let mut epoch = self
            .begins
            .iter()
            .rposition(|&begin| begin <= index)
            .unwrap_or(0) as u64;
        loop {
            let begin = self.begins[epoch as usize];
            let windows = self.windows(epoch);
            let len = windows.len() as u64;
            if index - begin < len {
                return windows[(index - begin) as usize].clone();
            }
            if self.begins.len() as u64 == epoch + 1 {
                self.begins.push(begin + len);
            }
            epoch += 1;
        }
    }

    /// The windows of an epoch: documents in an order of its own.
    fn windows(&mut self, epoch: u64) -> &[Window] {
        if self.epoch.as_ref().is_none_or(|(made, _)| *made != epoch) {
            let mut order: Vec<usize> = (0..self.documents.len()).collect();
            shuffle(&mut order, self.seed, ORDER_STREAM ^ (2 * epoch) as u32);
            let mut windows = self.pack(&order, false);
            // Neighbours in a long document do not stand in one batch.
            shuffle(
                &mut windows,
                self.seed,
                ORDER_STREAM ^ (2 * epoch + 1) as u32,
            );
            self.epoch = Some((epoch, windows));
        }
        self.epoch.as_ref().map_or(&[], |(_, windows)| windows)
    }

    fn pack(&self, order: &[usize], keep_rest: bool) -> Vec<Window> {
        let size = self.sequence + 1;
        let (mut windows, mut window) = (Vec::new(), Window::default());
        for &index in order {
            let document = &self.documents[index];
            let mut at = 0;
            while at < document.tokens.len() {
                let mut n = (document.tokens.len() - at).min(size - window.tokens.len());
                if self.packing == Packing::Whole && at + n < document.tokens.len() {
                    if !window.tokens.is_empty() {
                        windows.push(std::mem::take(&mut window));
                        continue;
                    }
                    n = size;
                }
                window.starts.push(window.tokens.len());
                window
                    .tokens
                    .extend_from_slice(&document.tokens[at..at + n]);
                if document.learned.is_empty() {
                    window.learned.resize(window.tokens.len(), true);
                } else {
                    window
                        .learned
                        .extend_from_slice(&document.learned[at..at + n]);
                }
                at += n;
                if window.tokens.len() == size {
                    windows.push(std::mem::take(&mut window));
                    if self.packing == Packing::Whole {
                        break;
                    }
                    // What was only a target is the next sequence's first input.
                    if at < document.tokens.len() {
                        at -= 1;
                    }
                }
            }
        }
        let is_whole_set = self.packing == Packing::Whole || keep_rest || windows.is_empty();
        if window.tokens.len() > 1 && is_whole_set {
            windows.push(window);
        }
        windows
    }
}

/// Fisher and Yates' shuffle with draws from a stream of the seed.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64, stream: u32) {
    for i in (1..items.len()).rev() {
        let j = (uniform_of(seed, stream, i as u64) * (i + 1) as f64) as usize;
        items.swap(i, j.min(i));
    }
}

/// Windows side by side, `micro_batch` in each, all weights over the targets that count in all of them.
fn weighted(windows: &[Window], sequence: usize, micro_batch: usize) -> Vec<MicroBatch> {
    let mut batches: Vec<MicroBatch> = windows
        .chunks(micro_batch)
        .map(|windows| {
            let mut batch = MicroBatch::default();
            for window in windows {
                append(&mut batch, window, sequence);
            }
            batch
        })
        .collect();
    let counted: usize = batches
        .iter()
        .map(|batch| {
            batch
                .weights
                .iter()
                .filter(|weight| **weight != 0.0)
                .count()
        })
        .sum();
    let weight = 1.0 / counted.max(1) as f32;
    for weight_of in batches.iter_mut().flat_map(|batch| &mut batch.weights) {
        *weight_of *= weight;
    }
    batches
}

/// Adds a window: its tokens, what follows each within its document, and a document without targets that
/// fills it up.
fn append(batch: &mut MicroBatch, window: &Window, sequence: usize) {
    let first = batch.tokens.len();
    let n = window.tokens.len() - 1;
    batch.tokens.extend_from_slice(&window.tokens[..n]);
    batch.targets.extend_from_slice(&window.tokens[1..]);
    batch.weights.extend(
        window.learned[1..]
            .iter()
            .map(|learned| f32::from(*learned)),
    );
    for (i, &start) in window.starts.iter().enumerate() {
        let end = window.starts.get(i + 1).copied().unwrap_or(n).min(n);
        if start > 0 {
            // The token before belongs to another document.
            batch.weights[first + start - 1] = 0.0;
        }
        if start < end {
            batch.documents.push(range(first, start, end));
        }
    }
    if n < sequence {
        batch.tokens.resize(first + sequence, 0);
        batch.targets.resize(first + sequence, 0);
        batch.weights.resize(first + sequence, 0.0);
        batch.documents.push(range(first, n, sequence));
    }
}

fn range(first: usize, start: usize, end: usize) -> Range<usize> {
    first + start..first + end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<Document> {
        [5usize, 9, 2, 14, 7, 3]
            .iter()
            .enumerate()
            .map(|(i, &n)| Document {
                tokens: (0..n).map(|j| (i * 100 + j) as u32).collect(),
                learned: Vec::new(),
            })
            .collect()
    }

    /// Each target that counts follows its input within its document, and no document is seen from another.
    fn check(batch: &MicroBatch, sequence: usize) {
        assert_eq!(batch.tokens.len() % sequence, 0);
        let mut covered = 0;
        for document in &batch.documents {
            assert_eq!(document.start, covered);
            covered = document.end;
            assert_eq!(document.start / sequence, (document.end - 1) / sequence);
            for i in document.clone().skip(1) {
                let padding = batch.tokens[document.start..document.end]
                    .iter()
                    .all(|t| *t == 0);
                assert!(padding || batch.tokens[i] == batch.tokens[i - 1] + 1);
            }
        }
        assert_eq!(covered, batch.tokens.len());
        for (i, weight) in batch.weights.iter().enumerate() {
            assert!(*weight == 0.0 || batch.targets[i] == batch.tokens[i] + 1);
        }
    }

    #[test]
    fn every_token_is_learned_once_an_epoch() {
        for packing in [Packing::Cut, Packing::Whole] {
            let batches = Batches::new(documents(), packing, 6, 1, 1);
            let all = batches.all(2);
            let mut learned = Vec::new();
            for batch in &all {
                check(batch, 6);
                let counted = batch
                    .targets
                    .iter()
                    .zip(&batch.weights)
                    .filter(|(_, weight)| **weight != 0.0);
                learned.extend(counted.map(|(target, _)| *target));
            }
            learned.sort_unstable();
            // All but each document's first; whole documents lose what is longer than a sequence.
            let expected: Vec<u32> = documents()
                .iter()
                .flat_map(|document| {
                    let n = if packing == Packing::Whole {
                        7
                    } else {
                        usize::MAX
                    };
                    document
                        .tokens
                        .iter()
                        .take(n)
                        .skip(1)
                        .copied()
                        .collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(learned, expected, "{packing:?}");
            let weight: f32 = all.iter().flat_map(|batch| &batch.weights).sum();
            assert!((weight - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn a_step_is_a_function_of_seed_and_step() {
        for packing in [Packing::Cut, Packing::Whole] {
            let new = |seed| Batches::new(documents(), packing, 6, 4, seed);
            let mut in_order = new(1);
            let steps: Vec<_> = (0..9).map(|step| in_order.step(step, 2)).collect();
            let mut again = new(1);
            for step in [8, 0, 5, 5, 3] {
                assert_eq!(
                    again.step(step as u64, 2),
                    steps[step],
                    "{packing:?} {step}"
                );
            }
            assert_ne!(new(2).step(0, 2), steps[0]);
            steps.iter().flatten().for_each(|batch| check(batch, 6));
            // One micro-batch or many: the same tokens in the same order.
            let one: Vec<u32> = new(1)
                .step(3, 4)
                .iter()
                .flat_map(|batch| batch.tokens.clone())
                .collect();
            let many: Vec<u32> = new(1)
                .step(3, 1)
                .iter()
                .flat_map(|batch| batch.tokens.clone())
                .collect();
            assert_eq!(one, many);
        }
    }

    #[test]
    fn too_little_text_for_a_sequence_is_still_one() {
        let mut batches = Batches::new(documents()[..1].to_vec(), Packing::Cut, 64, 2, 1);
        assert!(batches.has_a_sequence());
        check(&batches.step(3, 2)[0], 64);
        assert!(!Batches::new(Vec::new(), Packing::Cut, 8, 2, 1).has_a_sequence());
    }
}
