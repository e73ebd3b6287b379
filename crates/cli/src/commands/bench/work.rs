//! The work that is timed: prefill, decode and batched decode on the decoder itself, without
//! sampling and text. Tokens are pseudo-random and the same in every run.

use std::time::Instant;

use terang_engine::Limits;
use terang_model::decoder::{Chunk, Decoder, KvPool, LogitsWanted, PAGE, Sequence};

use super::go_on;
use crate::problem::{Outcome, Problem};

/// Prompt lengths.
pub(super) const PREFILL: [usize; 3] = [128, 512, 2048];
/// Positions in the cache before decode begins; those above 0 are prompts of [`PREFILL`].
pub(super) const DEPTHS: [usize; 3] = [0, 512, 2048];
/// Sequences that decode together.
pub(super) const BATCHES: [usize; 6] = [1, 4, 8, 16, 32, 64];
/// What a prompt must leave free in the context.
const ROOM: usize = 64;

const WARM_STEPS_MAX: usize = 64;

/// What is measured for one model.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    context_len: usize,
    /// Positions that each sequence of a batch has in the cache.
    batch_prompt: usize,
    quick: bool,
}

impl Sizes {
    pub(super) fn new(context_len: usize, batch_prompt: usize, quick: bool) -> Self {
        let mut sizes = Self {
            context_len,
            batch_prompt: 0,
            quick,
        };
        let room = sizes.batched_steps() + 1;
        sizes.batch_prompt = batch_prompt.min(context_len.saturating_sub(room));
        sizes
    }

    pub(super) fn prefill(self) -> impl Iterator<Item = usize> {
        let largest = if self.quick { 512 } else { usize::MAX };
        PREFILL
            .into_iter()
            .filter(move |&tokens| tokens <= largest && tokens + ROOM <= self.context_len)
    }

    pub(super) fn depths(self) -> impl Iterator<Item = usize> {
        let measured = move |depth| depth == 0 || self.prefill().any(|tokens| tokens == depth);
        DEPTHS.into_iter().filter(move |&depth| measured(depth))
    }

    pub(super) fn batches(self) -> impl Iterator<Item = usize> {
        let quick = self.quick;
        BATCHES
            .into_iter()
            .filter(move |n| !quick || matches!(n, 1 | 8 | 32))
    }

    /// Steps of decode that are timed, after one that is not.
    fn decode_steps(self) -> usize {
        let steps = if self.quick { 16 } else { 48 };
        steps.min(self.context_len - 1)
    }

    fn batched_steps(self) -> usize {
        let steps = if self.quick { 8 } else { 24 };
        steps.min(self.context_len - 1)
    }

    /// Positions in the cache that a timed step at `depth` finds, on average.
    pub(super) fn mean_positions(self, depth: usize) -> f64 {
        depth as f64 + 1.0 + self.decode_steps() as f64 / 2.0
    }

    /// Positions that each sequence of a batch has in the cache before.
    pub(super) fn batch_prompt(self) -> usize {
        self.batch_prompt
    }

    /// As [`Self::mean_positions`], of a sequence in a batch.
    pub(super) fn mean_batch_positions(self) -> usize {
        self.batch_prompt + 1 + self.batched_steps() / 2
    }

    /// Positions of a sequence in a batch at most.
    fn batch_positions(self) -> usize {
        self.batch_prompt + self.batched_steps() + 1
    }
}

/// A decoder and what it works on.
#[derive(Debug)]
pub(super) struct Work {
    decoder: Decoder,
    kv: KvPool,
    sizes: Sizes,
    /// The sequence of the last prefill.
    prompt: Sequence,
    /// Sequences of batches, each with a prompt of its own in the cache.
    batch: Vec<Sequence>,
    state: u64,
}

impl Work {
    pub(super) fn new(decoder: Decoder, sizes: Sizes) -> Self {
        let longest = sizes.prefill().max().unwrap_or(0) + ROOM;
        let each = sizes.batch_positions().next_multiple_of(PAGE);
        let batch = sizes.batches().max().unwrap_or(1) * each;
        let kv = decoder.new_kv_pool(longest.next_multiple_of(PAGE) + batch);
        Self {
            decoder,
            kv,
            sizes,
            prompt: Sequence::new(),
            batch: Vec::new(),
            state: 0,
        }
    }

    pub(super) fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Touches weights, buffers and threads once.
    pub(super) fn warm_up(&mut self) -> Outcome<()> {
        let tokens = self.sizes.prefill().next().unwrap_or(1);
        self.prefill(tokens)?;
        self.batched(1)?;
        // Weights that came from a file's map move to memory over the first steps.
        for _ in 0..WARM_STEPS_MAX {
            if !self.decoder.weights_are_mapped() {
                break;
            }
            self.batched(1)?;
        }
        Ok(())
    }

    /// Tokens a second of a prompt of `tokens`, cut as the engine cuts it, to its last logits.
    pub(super) fn prefill(&mut self, tokens: usize) -> Outcome<f64> {
        self.kv.blocks_mut().release(&mut self.prompt);
        let mut sequence = Sequence::new();
        let seconds = self.read_prompt(&mut sequence, tokens);
        self.prompt = sequence;
        Ok(tokens as f64 / seconds?)
    }

    /// Reads so many tokens into an empty sequence; gives the seconds.
    fn read_prompt(&mut self, sequence: &mut Sequence, tokens: usize) -> Outcome<f64> {
        let prompt = self.tokens(tokens);
        let chunk_len = Limits::default().prefill_chunk;
        let begun = Instant::now();
        let mut chunks = prompt.chunks(chunk_len).peekable();
        while let Some(tokens) = chunks.next() {
            go_on()?;
            let logits = match chunks.peek() {
                Some(_) => LogitsWanted::None,
                None => LogitsWanted::Last,
            };
            let chunk = Chunk {
                sequence: &mut *sequence,
                tokens,
                logits,
            };
            forward(&mut self.decoder, &mut self.kv, &mut [chunk])?;
        }
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Tokens a second after `depth` positions: those of the last prefill if it was as long.
    pub(super) fn decode(&mut self, depth: usize) -> Outcome<f64> {
        if depth > 0 && self.prompt.len() != depth {
            self.prefill(depth)?;
        }
        let mut sequences = vec![std::mem::take(&mut self.prompt)];
        self.kv.blocks_mut().truncate(&mut sequences[0], depth);
        let speed = self.steps(&mut sequences, self.sizes.decode_steps());
        for mut sequence in sequences {
            self.kv.blocks_mut().truncate(&mut sequence, depth);
            self.prompt = sequence;
        }
        speed
    }

    /// Tokens a second of `sequences` together, a token of each a step, after their prompts.
    pub(super) fn batched(&mut self, sequences: usize) -> Outcome<f64> {
        let prompt = self.sizes.batch_prompt;
        while self.batch.len() < sequences {
            let mut sequence = Sequence::new();
            let read = self.read_prompt(&mut sequence, prompt);
            self.batch.push(sequence);
            read?;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let speed = self.steps(&mut batch[..sequences], self.sizes.batched_steps());
        for sequence in &mut batch {
            self.kv.blocks_mut().truncate(sequence, prompt);
        }
        self.batch = batch;
        speed
    }

    fn steps(&mut self, sequences: &mut [Sequence], steps: usize) -> Outcome<f64> {
        let mut begun = Instant::now();
        for step in 0..=steps {
            go_on()?;
            let tokens = self.tokens(sequences.len());
            let mut chunks: Vec<Chunk<'_>> = sequences
                .iter_mut()
                .zip(tokens.chunks(1))
                .map(|(sequence, tokens)| Chunk {
                    sequence,
                    tokens,
                    logits: LogitsWanted::Last,
                })
                .collect();
            forward(&mut self.decoder, &mut self.kv, &mut chunks)?;
            if step == 0 {
                // The first step takes the pages of the cache, and grows buffers to their size.
                begun = Instant::now();
            }
        }
        let tokens = (steps * sequences.len()) as f64;
        Ok(tokens / begun.elapsed().as_secs_f64())
    }

    /// The next pseudo-random tokens.
    fn tokens(&mut self, count: usize) -> Vec<u32> {
        let vocab_size = self.decoder.config().vocab_size as u64;
        (0..count)
            .map(|_| {
                self.state = self
                    .state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                ((self.state >> 33) % vocab_size) as u32
            })
            .collect()
    }
}

fn forward(decoder: &mut Decoder, kv: &mut KvPool, chunks: &mut [Chunk<'_>]) -> Outcome<()> {
    match decoder.forward(kv, chunks) {
        Ok(_) => Ok(()),
        Err(e) => Err(Problem::Below(e.to_string())),
    }
}
