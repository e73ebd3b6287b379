//! The decoder: one transformer for all families, described by a [`Config`].
//!
//! Token ids in, logits out. A call takes any number of sequences at once, each with any number of
//! new tokens; what a sequence gets does not depend on the others, on how its prompt was cut, or on
//! the number of threads.

mod adapting;
mod blocks;
mod cache;
mod forward;
mod layers;
mod packed_file;
mod rope;
mod weights;

pub use blocks::{BlockPool, Page, PageCopy, Sequence};
pub use cache::KvPool;
pub(crate) use layers::product;
pub use packed_file::PackedCache;
pub use rope::rope_table;
pub use terang_kernels::attention::{KvType, PAGE};
pub use weights::Products;
pub(crate) use weights::{Linear, PREFIXES};

use crate::config::Config;
use crate::{Result, TensorSource};
use forward::Place;
use rope::Frequencies;
use std::sync::Arc;
use terang_kernels::attention::KvLayout;
use terang_kernels::{Cpu, ThreadPool};
use weights::Weights;

/// How a decoder runs.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Instruction set of the kernels.
    pub cpu: Cpu,
    /// Threads, the caller's own included.
    pub threads: usize,
    /// Storage of the key-value cache.
    pub kv_type: KvType,
    /// Where packed weights are kept for the next start; `None`: nowhere.
    pub packed_cache: Option<PackedCache>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            cpu: Cpu::best(),
            threads: ThreadPool::default_threads(),
            kv_type: KvType::default(),
            packed_cache: None,
        }
    }
}

/// A model with its weights in memory.
pub struct Decoder {
    config: Config,
    weights: Arc<Weights>,
    /// Writes the packed weights to their file.
    _packed_writer: Option<packed_file::Writer>,
    source: Arc<dyn TensorSource>,
    frequencies: Vec<Frequencies>,
    kv_type: KvType,
    cpu: Cpu,
    pool: ThreadPool,
    scratch: forward::Scratch,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// New tokens of one sequence.
#[derive(Debug)]
pub struct Chunk<'a> {
    /// The sequence, which grows by the tokens.
    pub sequence: &'a mut Sequence,
    /// The tokens, in order; not empty.
    pub tokens: &'a [u32],
    /// Which of their logits are wanted.
    pub logits: LogitsWanted,
}

/// Which logits a [`Chunk`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitsWanted {
    /// None: the chunk is followed by more of its prompt.
    None,
    /// Those after the last token.
    Last,
    /// Those after each token.
    All,
    /// None, but the final hidden state of each token.
    Hidden,
}

/// Logits of one call, a row for each token that asked, in the order of chunks and tokens.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    data: &'a [f32],
    vocab_size: usize,
}

impl<'a> Logits<'a> {
    /// Rows of `vocab_size` logits, one after another.
    pub fn new(data: &'a [f32], vocab_size: usize) -> Self {
        assert!(vocab_size > 0 && data.len().is_multiple_of(vocab_size));
        Self { data, vocab_size }
    }

    /// Rows.
    pub fn len(&self) -> usize {
        self.data.len() / self.vocab_size
    }

    /// No chunk asked for logits.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// One row, `vocab_size` logits.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.data[index * self.vocab_size..][..self.vocab_size]
    }
}

impl Decoder {
    /// Loads and repacks the weights; `progress(done, total)` is called in between.
    pub fn load(
        source: Arc<dyn TensorSource>,
        config: Config,
        options: &LoadOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let pool = ThreadPool::new(options.threads.max(1));
        let cache = options.packed_cache.as_ref();
        let packed = cache.and_then(|cache| cache.open(&*source, &pool));
        let weights = Arc::new(weights::load(&*source, &config, &pool, packed, progress)?);
        let packed_writer = match &weights.packed {
            Some(_) => None,
            None => cache.and_then(|cache| cache.write(&*source, Arc::clone(&weights))),
        };
        let frequencies = config.rope.iter().map(Frequencies::new).collect();
        Ok(Self {
            config,
            weights,
            _packed_writer: packed_writer,
            source,
            frequencies,
            kv_type: options.kv_type,
            cpu: options.cpu,
            pool,
            scratch: forward::Scratch::default(),
        })
    }

    /// The model's description.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Instruction set in use.
    pub fn cpu(&self) -> Cpu {
        self.cpu
    }

    /// The threads that the decoder computes with, for work between its calls.
    pub fn thread_pool(&self) -> &ThreadPool {
        &self.pool
    }

    /// The logits of the last call.
    pub fn logits(&self) -> Logits<'_> {
        Logits::new(&self.scratch.logits, self.config.vocab_size)
    }

    /// The final hidden states of the last call, `hidden_size` for each token that asked.
    pub fn hidden_states(&self) -> &[f32] {
        &self.scratch.final_hidden
    }

    /// The packed weights came from their file, and some still lie in its map.
    pub fn weights_are_mapped(&self) -> bool {
        self.weights.packed.is_some()
    }

    /// Bytes of weights that one generated token reads.
    pub fn bytes_per_token(&self) -> usize {
        self.weights.bytes_per_token(&self.config)
    }

    /// What one token is multiplied with in the layers.
    pub fn layer_products(&self) -> Products {
        self.weights.layer_products(&self.config)
    }

    /// What a token is multiplied with in the head, which of a prompt only the last one reaches.
    pub fn head_products(&self) -> Products {
        Products::of(&self.weights.head)
    }

    /// Multiply-adds of attention for a token that sees `positions`, its own included.
    pub fn attention_products(&self, positions: usize) -> usize {
        let layers = self.config.layers.iter();
        let seen = layers.map(|layer| positions.min(layer.sliding_window.unwrap_or(positions)));
        // A score and a weighted value for each element of each head.
        2 * seen.sum::<usize>() * self.config.num_attention_heads * self.config.head_dim
    }

    /// Bytes of keys and values that one generated token reads with `positions` in the cache.
    pub fn kv_bytes(&self, positions: usize) -> usize {
        let layers = self.config.layers.iter();
        let seen = layers.map(|layer| positions.min(layer.sliding_window.unwrap_or(positions)));
        seen.sum::<usize>() * self.kv_layout().page_bytes() / PAGE
    }

    /// A cache with room for `positions` in all, taken from the system as it fills.
    pub fn new_kv_pool(&self, positions: usize) -> KvPool {
        let layout = self.kv_layout();
        KvPool::new(layout, self.config.layers.len(), positions.div_ceil(PAGE))
    }

    fn kv_layout(&self) -> KvLayout {
        KvLayout {
            n_kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
            dtype: self.kv_type,
        }
    }
}
