//! One step of the decoder over a batch.
//!
//! Shapes: `n` tokens of all chunks together; `d` hidden size; `q` and `kv` widths of queries and of
//! keys; `f` width of the feed-forward layer. Rows are tokens.

use super::adapting::Adapting;
use super::layers::{activate, mixture, norm, product, residual};
use super::weights::FeedForward;
use super::{Chunk, Decoder, KvPool, Logits, LogitsWanted, PAGE, Page};
use crate::adapter::Projection;
use crate::config::{Activation, LayerConfig, RopePairing};
use crate::{Error, Result};
use std::sync::Arc;
use terang_kernels::attention::{Attention, Job, KvRows, KvWrite, attend};
use terang_kernels::matmul::{Activations, Target, matmul};
use terang_kernels::quant;
use terang_kernels::rows::{self, Gate};

/// Tokens in one call: what bounds the scratch memory.
const BATCH_TOKENS_MAX: usize = 8192;

/// Buffers that are kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[n, d]` the residual stream.
    x: Vec<f32>,
    /// `[n, d]` normed input of a layer's half, later its output.
    pub(super) normed: Vec<f32>,
    /// `[n, q + 2 kv]`.
    qkv: Vec<f32>,
    /// `[n, q]`.
    attended: Vec<f32>,
    /// `[n, 2 f]`.
    pub(super) gate_up: Vec<f32>,
    /// `[n, f]`.
    pub(super) hidden: Vec<f32>,
    /// `[n, experts]`.
    pub(super) router: Vec<f32>,
    /// `[m, d]` rows that go to one expert, and what comes back.
    pub(super) expert_in: Vec<f32>,
    pub(super) expert_out: Vec<f32>,
    pub(super) activations: Activations,
    adapting: Adapting,
    /// By page, ascending.
    writes: Vec<PageWrite>,
    /// For each rotary embedding, `[n, dim / 2]`.
    cos: Vec<Vec<f32>>,
    sin: Vec<Vec<f32>>,
    /// `[rows wanted, vocab]`.
    pub(super) logits: Vec<f32>,
    /// `[rows wanted, d]` normed, for chunks that want hidden states.
    pub(super) final_hidden: Vec<f32>,
}

/// Rows of the batch whose keys and values go to one page.
#[derive(Clone, Copy, Debug)]
struct PageWrite {
    page: Page,
    slot: usize,
    first_row: usize,
    rows: usize,
}

/// A chunk's place in the batch.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) first_row: usize,
    start: usize,
    pub(super) tokens: usize,
}

impl Decoder {
    /// Runs the tokens of all chunks through the model and adds them to their sequences.
    ///
    /// # Errors
    /// [`Error::Limit`] if a token id is not in the vocabulary, a sequence would grow over the
    /// model's context, or the cache is full. Nothing changes then, except that sequences may hold
    /// pages for more positions.
    ///
    /// # Panics
    /// If a chunk is empty.
    pub fn forward(&mut self, kv: &mut KvPool, chunks: &mut [Chunk<'_>]) -> Result<Logits<'_>> {
        let places = self.check_and_reserve(kv, chunks)?;
        // While they are written to a file, they are not read from one.
        if let Some(weights) = Arc::get_mut(&mut self.weights) {
            weights.settle(&self.pool)?;
        }
        self.embed(chunks)?;
        self.rotations(&places);
        self.page_writes(chunks, &places);
        self.scratch.adapting.begin(chunks, &places);
        for index in 0..self.weights.layers.len() {
            self.layer(index, kv, chunks, &places);
        }
        for (chunk, place) in chunks.iter_mut().zip(&places) {
            chunk.sequence.set_len(place.start + place.tokens);
        }
        self.scratch.adapting.end();
        self.final_hidden(chunks, &places);
        self.head(chunks, &places);
        Ok(self.logits())
    }

    fn check_and_reserve(&self, kv: &mut KvPool, chunks: &mut [Chunk<'_>]) -> Result<Vec<Place>> {
        let mut places = Vec::with_capacity(chunks.len());
        let mut first_row = 0;
        for chunk in chunks.iter() {
            let (start, tokens) = (chunk.sequence.len(), chunk.tokens.len());
            assert!(tokens > 0, "a chunk has at least one token");
            let limit = self.config.max_position_embeddings;
            if start + tokens > limit {
                return Err(Error::Limit {
                    what: "tokens in context",
                    found: start + tokens,
                    limit,
                });
            }
            let limit = self.config.vocab_size;
            if let Some(&id) = chunk.tokens.iter().find(|&&id| id as usize >= limit) {
                return Err(Error::Limit {
                    what: "token id",
                    found: id as usize,
                    limit: limit - 1,
                });
            }
            places.push(Place {
                first_row,
                start,
                tokens,
            });
            first_row += tokens;
        }
        if first_row > BATCH_TOKENS_MAX {
            let limit = BATCH_TOKENS_MAX;
            return Err(Error::Limit {
                what: "tokens in one batch",
                found: first_row,
                limit,
            });
        }
        for (chunk, place) in chunks.iter_mut().zip(&places) {
            kv.reserve(chunk.sequence, place.start + place.tokens)?;
        }
        Ok(places)
    }

    /// Reads the tokens' rows of the embedding, from the packed head or straight from the file.
    fn embed(&mut self, chunks: &[Chunk<'_>]) -> Result<()> {
        let d = self.config.hidden_size;
        let x = &mut self.scratch.x;
        x.clear();
        let weights = &self.weights;
        let ids = chunks.iter().flat_map(|chunk| chunk.tokens);
        if weights.embedding_in_head {
            let mut row = Vec::new();
            for &id in ids {
                let whole = weights.head.copy_row(id as usize, &mut row);
                debug_assert!(whole, "found out when the weights were loaded");
                x.resize(x.len() + d, 0.0);
                let start = x.len() - d;
                quant::dequantize_row(weights.head.dtype(), &row, &mut x[start..]);
            }
        } else {
            let table = self.source.require(&weights.embedding)?;
            let Some(row_bytes) = table.dtype.row_bytes(d) else {
                let path = self.source.path();
                let allowed = "whole blocks a row";
                return Err(Error::invalid(path, &weights.embedding, d, allowed));
            };
            for &id in ids {
                let row = &table.data[id as usize * row_bytes..][..row_bytes];
                x.resize(x.len() + d, 0.0);
                let start = x.len() - d;
                quant::dequantize_row(table.dtype, row, &mut x[start..]);
            }
        }
        // The file may have shrunk under the map.
        self.source.check_intact()?;
        if self.config.embedding_scale != 1.0 {
            rows::scale(self.cpu, x, self.config.embedding_scale);
        }
        Ok(())
    }

    /// Finds where this step's keys and values go, in every layer alike.
    fn page_writes(&mut self, chunks: &[Chunk<'_>], places: &[Place]) {
        let writes = &mut self.scratch.writes;
        writes.clear();
        for (chunk, place) in chunks.iter().zip(places) {
            let pages = chunk.sequence.block_table();
            let mut done = 0;
            while done < place.tokens {
                let (page, slot) = ((place.start + done) / PAGE, (place.start + done) % PAGE);
                let rows = (PAGE - slot).min(place.tokens - done);
                writes.push(PageWrite {
                    page: pages[page],
                    slot,
                    first_row: place.first_row + done,
                    rows,
                });
                done += rows;
            }
        }
        writes.sort_unstable_by_key(|write| write.page);
    }

    fn rotations(&mut self, places: &[Place]) {
        let scratch = &mut self.scratch;
        scratch.cos.resize_with(self.frequencies.len(), Vec::new);
        scratch.sin.resize_with(self.frequencies.len(), Vec::new);
        let tables = scratch.cos.iter_mut().zip(&mut scratch.sin);
        for ((cos, sin), frequencies) in tables.zip(&self.frequencies) {
            cos.clear();
            sin.clear();
            for place in places {
                for position in place.start..place.start + place.tokens {
                    frequencies.extend(position, cos, sin);
                }
            }
        }
    }

    fn layer(&mut self, index: usize, kv: &mut KvPool, chunks: &[Chunk<'_>], places: &[Place]) {
        let config = &self.config;
        let layer = &self.weights.layers[index];
        let (cpu, pool, eps) = (self.cpu, &self.pool, config.rms_norm_eps);
        let s = &mut self.scratch;
        norm(cpu, pool, &s.x, &layer.attention_norm, eps, &mut s.normed);
        self.attention(index, kv, chunks, places);
        let layer = &self.weights.layers[index];
        let s = &mut self.scratch;
        let (config, pool) = (&self.config, &self.pool);
        residual(
            cpu,
            pool,
            layer.post_attention_norm.as_deref(),
            eps,
            &mut s.normed,
            &mut s.x,
        );
        norm(cpu, pool, &s.x, &layer.mlp_norm, eps, &mut s.normed);
        let gate = match config.activation {
            Activation::Silu => Gate::Silu,
            Activation::GeluTanh => Gate::GeluTanh,
            Activation::Gelu => Gate::Gelu,
        };
        match (&layer.feed_forward, config.experts) {
            (FeedForward::Experts { router, experts }, Some(shape)) => {
                mixture(
                    cpu,
                    pool,
                    gate,
                    shape,
                    router,
                    experts,
                    config.hidden_size,
                    s,
                );
            }
            (FeedForward::Dense(mlp), _) => {
                let (d, width) = (config.hidden_size, config.intermediate_size);
                let n = s.normed.len() / d;
                let (act, up) = (&mut s.activations, &mut s.gate_up);
                product(cpu, pool, &[&mlp.gate, &mlp.up], &s.normed, n, act, up);
                let both = [(Projection::Gate, 0), (Projection::Up, width)];
                let (adapting, x) = (&mut s.adapting, &s.normed);
                adapting.add(cpu, pool, index, &both, x, d, up, 2 * width);
                activate(cpu, pool, gate, n, up, &mut s.hidden);
                let (x, y) = (&s.hidden, &mut s.normed);
                product(cpu, pool, &[&mlp.down], x, n, act, y);
                let down = [(Projection::Down, 0)];
                adapting.add(cpu, pool, index, &down, x, width, y, d);
            }
            (FeedForward::Experts { .. }, None) => unreachable!("experts without their shape"),
        }
        residual(
            cpu,
            pool,
            layer.post_mlp_norm.as_deref(),
            eps,
            &mut s.normed,
            &mut s.x,
        );
    }

    /// `normed` to attention's output in `normed`; keys and values into the cache.
    fn attention(&mut self, index: usize, kv: &mut KvPool, chunks: &[Chunk<'_>], places: &[Place]) {
        let config = &self.config;
        let (cpu, pool, eps) = (self.cpu, &self.pool, config.rms_norm_eps);
        let layer = &self.weights.layers[index];
        let LayerConfig {
            sliding_window,
            rope,
            ..
        } = config.layers[index];
        let s = &mut self.scratch;
        let n = s.normed.len() / config.hidden_size;
        let dim = config.head_dim;
        let q_width = config.num_attention_heads * dim;
        let kv_width = config.num_key_value_heads * dim;
        let width = q_width + 2 * kv_width;
        let weights = [&layer.q, &layer.k, &layer.v];
        product(
            cpu,
            pool,
            &weights,
            &s.normed,
            n,
            &mut s.activations,
            &mut s.qkv,
        );
        let columns = [
            (Projection::Q, 0),
            (Projection::K, q_width),
            (Projection::V, q_width + kv_width),
        ];
        let (x, d) = (&s.normed, config.hidden_size);
        let adapting = &mut s.adapting;
        adapting.add(cpu, pool, index, &columns, x, d, &mut s.qkv, width);
        let rotation = rope.map(|r| (config.rope[r].pairing, &s.cos[r], &s.sin[r]));
        let pairs = rope.map_or(0, |r| self.frequencies[r].len());
        rows::for_rows(pool, n, &mut s.qkv, |range, qkv| {
            for (row, qkv) in range.zip(qkv.chunks_exact_mut(width)) {
                let (q, kv) = qkv.split_at_mut(q_width);
                let k = &mut kv[..kv_width];
                if let Some(weight) = &layer.q_norm {
                    rows::rms_norm_in_place(cpu, q, weight, eps);
                }
                if let Some(weight) = &layer.k_norm {
                    rows::rms_norm_in_place(cpu, k, weight, eps);
                }
                if let Some((pairing, cos, sin)) = rotation {
                    let at = row * pairs..(row + 1) * pairs;
                    let (cos, sin) = (&cos[at.clone()], &sin[at]);
                    let rotate = match pairing {
                        RopePairing::Half => rows::rope_half,
                        RopePairing::Interleaved => rows::rope_interleaved,
                    };
                    rotate(cpu, q, dim, cos, sin);
                    rotate(cpu, k, dim, cos, sin);
                }
            }
        });
        let layout = self.kv_layout();
        let s = &mut self.scratch;
        let pages = kv.pages_mut(index, s.writes.iter().map(|write| write.page));
        let writes = pages
            .into_iter()
            .zip(&s.writes)
            .map(|(page, write)| KvWrite {
                page,
                slot: write.slot,
                first_row: write.first_row,
                rows: write.rows,
            });
        let rows = KvRows {
            data: &s.qkv,
            stride: width,
            column: q_width,
        };
        layout.write(cpu, pool, writes.collect(), rows);
        let jobs: Vec<Job<'_>> = chunks
            .iter()
            .zip(places)
            .map(
                |(
                    chunk,
                    &Place {
                        first_row,
                        start,
                        tokens,
                    },
                )| {
                    let pages = kv.pages(chunk.sequence, index, start + tokens);
                    Job {
                        pages,
                        first_row,
                        start,
                        tokens,
                    }
                },
            )
            .collect();
        let attention = Attention {
            n_heads: config.num_attention_heads,
            layout,
            scale: config.attention_scale,
            softcap: config.attn_logit_softcap,
            window: sliding_window,
            causal: true,
        };
        s.attended.resize(n * q_width, 0.0);
        attend(cpu, pool, &attention, &jobs, &s.qkv, width, &mut s.attended);
        product(
            cpu,
            pool,
            &[&layer.o],
            &s.attended,
            n,
            &mut s.activations,
            &mut s.normed,
        );
        let (x, y) = (&s.attended, &mut s.normed);
        let output = [(Projection::O, 0)];
        let adapting = &mut s.adapting;
        adapting.add(cpu, pool, index, &output, x, q_width, y, d);
    }

    /// Norms the rows of chunks that want hidden states.
    fn final_hidden(&mut self, chunks: &[Chunk<'_>], places: &[Place]) {
        let d = self.config.hidden_size;
        let s = &mut self.scratch;
        s.hidden.clear();
        for (chunk, place) in chunks.iter().zip(places) {
            if chunk.logits == LogitsWanted::Hidden {
                let rows = &s.x[place.first_row * d..][..place.tokens * d];
                s.hidden.extend_from_slice(rows);
            }
        }
        if s.hidden.is_empty() {
            s.final_hidden.clear();
            return;
        }
        norm(
            self.cpu,
            &self.pool,
            &s.hidden,
            &self.weights.final_norm,
            self.config.rms_norm_eps,
            &mut s.final_hidden,
        );
    }

    fn head(&mut self, chunks: &[Chunk<'_>], places: &[Place]) {
        let config = &self.config;
        let (cpu, pool, d) = (self.cpu, &self.pool, config.hidden_size);
        let s = &mut self.scratch;
        s.hidden.clear();
        for (chunk, place) in chunks.iter().zip(places) {
            let end = place.first_row + place.tokens;
            let wanted = match chunk.logits {
                LogitsWanted::None | LogitsWanted::Hidden => end..end,
                LogitsWanted::Last => end - 1..end,
                LogitsWanted::All => place.first_row..end,
            };
            s.hidden
                .extend_from_slice(&s.x[wanted.start * d..wanted.end * d]);
        }
        let n = s.hidden.len() / d;
        norm(
            cpu,
            pool,
            &s.hidden,
            &self.weights.final_norm,
            config.rms_norm_eps,
            &mut s.normed,
        );
        let head = &self.weights.head;
        s.activations
            .set(cpu, pool, &s.normed, n, d, [head.dtype()]);
        let vocab = config.vocab_size;
        s.logits.resize(n * vocab, 0.0);
        let target = [Target {
            matrix: head,
            column: 0,
        }];
        matmul(cpu, pool, &target, &s.activations, &mut s.logits, vocab);
        if config.logit_scale != 1.0 {
            rows::scale(cpu, &mut s.logits, config.logit_scale);
        }
        if let Some(cap) = config.final_logit_softcap {
            rows::soft_cap(cpu, &mut s.logits, cap);
        }
    }
}
