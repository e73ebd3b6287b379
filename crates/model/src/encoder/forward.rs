//! One pass over a batch of texts.
//!
//! Shapes: `n` tokens of all texts together; `d` hidden size; `f` width of the feed-forward layer.
//! Rows are tokens.

use super::weights::{Layer, Norm};
use super::{BATCH_TOKENS_MAX, Encoder};
use crate::decoder::product;
use crate::{Error, Result};
use terang_kernels::attention::{Attention, Job, KvLayout, KvRows, KvType, KvWrite, PAGE, attend};
use terang_kernels::matmul::Activations;
use terang_kernels::{Cpu, ThreadPool, quant, rows};

/// Buffers that are kept between calls.
#[derive(Default)]
pub(super) struct Scratch {
    /// `[n, d]` the residual stream.
    x: Vec<f32>,
    /// `[n, 3 d]`.
    qkv: Vec<f32>,
    /// `[n, d]`.
    attended: Vec<f32>,
    /// `[n, f]`.
    hidden: Vec<f32>,
    /// `[n, d]` what a layer's half adds to the stream.
    output: Vec<f32>,
    activations: Activations,
    /// Keys and values of one layer, whole pages for each text.
    pages: Vec<u8>,
}

/// A text's place in the batch.
#[derive(Clone, Copy)]
struct Place {
    first_row: usize,
    tokens: usize,
    first_page: usize,
}

impl Encoder {
    /// The vector of each text, of length 1: the mean of its tokens' last hidden states, scaled.
    ///
    /// # Errors
    /// [`Error::Limit`] if a token id is not in the vocabulary, a text is longer than the model has
    /// positions for, or the texts together are over [`BATCH_TOKENS_MAX`].
    ///
    /// # Panics
    /// If a text is empty.
    pub fn encode(&mut self, texts: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
        let places = self.check(texts)?;
        self.embed(texts)?;
        for layer in &self.weights.layers {
            let s = &mut self.scratch;
            s.attention(
                self.cpu,
                &self.pool,
                layer,
                self.config.num_attention_heads,
                &places,
            );
            s.add_and_norm(
                self.cpu,
                &self.pool,
                &layer.attention_norm,
                self.config.layer_norm_eps,
            );
            s.feed_forward(self.cpu, &self.pool, layer);
            s.add_and_norm(
                self.cpu,
                &self.pool,
                &layer.output_norm,
                self.config.layer_norm_eps,
            );
        }
        let d = self.config.hidden_size;
        let vector = |place: &Place| {
            mean(
                &self.scratch.x[place.first_row * d..][..place.tokens * d],
                d,
            )
        };
        Ok(places.iter().map(vector).collect())
    }

    fn check(&self, texts: &[&[u32]]) -> Result<Vec<Place>> {
        let over = |what, found, limit| Err(Error::Limit { what, found, limit });
        let (mut first_row, mut first_page) = (0, 0);
        let mut places = Vec::with_capacity(texts.len());
        for text in texts {
            assert!(!text.is_empty(), "a text has at least one token");
            let limit = self.config.max_position_embeddings;
            if text.len() > limit {
                return over("tokens in context", text.len(), limit);
            }
            let limit = self.config.vocab_size;
            if let Some(&id) = text.iter().find(|&&id| id as usize >= limit) {
                return over("token id", id as usize, limit - 1);
            }
            places.push(Place {
                first_row,
                tokens: text.len(),
                first_page,
            });
            first_row += text.len();
            first_page += text.len().div_ceil(PAGE);
        }
        if first_row > BATCH_TOKENS_MAX {
            return over("tokens in one batch", first_row, BATCH_TOKENS_MAX);
        }
        Ok(places)
    }

    /// Word, kind of text and position, added in this order and normed.
    fn embed(&mut self, texts: &[&[u32]]) -> Result<()> {
        let d = self.config.hidden_size;
        let (weights, cpu) = (&self.weights, self.cpu);
        let words = self.source.require(&weights.words)?;
        let row_bytes = words.dtype.row_bytes(d).unwrap_or_default();
        let n = texts.iter().map(|text| text.len()).sum::<usize>();
        let x = &mut self.scratch.x;
        x.resize(n * d, 0.0);
        let tokens = texts.iter().flat_map(|text| text.iter().enumerate());
        for ((position, &id), row) in tokens.zip(x.chunks_exact_mut(d)) {
            let word = &words.data[id as usize * row_bytes..][..row_bytes];
            quant::dequantize_row(words.dtype, word, row);
            rows::add(cpu, row, &weights.kind);
            rows::add(cpu, row, &weights.positions[position * d..][..d]);
        }
        // The file may have shrunk under the map.
        self.source.check_intact()?;
        norm(
            cpu,
            &self.pool,
            &weights.embedding_norm,
            self.config.layer_norm_eps,
            x,
        );
        Ok(())
    }
}

impl Scratch {
    fn attention(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        layer: &Layer,
        n_heads: usize,
        places: &[Place],
    ) {
        let d = layer.q.matrix.cols();
        let n = self.x.len() / d;
        let projections = [&layer.q, &layer.k, &layer.v];
        let act = &mut self.activations;
        product(cpu, pool, &projections, &self.x, n, act, &mut self.qkv);
        let layout = KvLayout {
            n_kv_heads: n_heads,
            head_dim: d / n_heads,
            dtype: KvType::F32,
        };
        let page_bytes = layout.page_bytes();
        let last = places
            .last()
            .map_or(0, |p| p.first_page + p.tokens.div_ceil(PAGE));
        if self.pages.len() < last * page_bytes {
            self.pages.resize(last * page_bytes, 0);
        }
        let mut pages = self.pages.chunks_exact_mut(page_bytes);
        let mut writes = Vec::with_capacity(last);
        for place in places {
            for first in (0..place.tokens).step_by(PAGE) {
                writes.extend(pages.next().map(|page| KvWrite {
                    page,
                    slot: 0,
                    first_row: place.first_row + first,
                    rows: PAGE.min(place.tokens - first),
                }));
            }
        }
        let kv = KvRows {
            data: &self.qkv,
            stride: 3 * d,
            column: d,
        };
        layout.write(cpu, pool, writes, kv);
        let jobs: Vec<Job<'_>> = places
            .iter()
            .map(|place| {
                let pages = self.pages[place.first_page * page_bytes..].chunks_exact(page_bytes);
                Job {
                    pages: pages.take(place.tokens.div_ceil(PAGE)).collect(),
                    first_row: place.first_row,
                    start: 0,
                    tokens: place.tokens,
                }
            })
            .collect();
        let attention = Attention {
            n_heads,
            layout,
            scale: 1.0 / (layout.head_dim as f32).sqrt(),
            softcap: None,
            window: None,
            causal: false,
        };
        self.attended.resize(n * d, 0.0);
        attend(
            cpu,
            pool,
            &attention,
            &jobs,
            &self.qkv,
            3 * d,
            &mut self.attended,
        );
        product(
            cpu,
            pool,
            &[&layer.o],
            &self.attended,
            n,
            act,
            &mut self.output,
        );
    }

    fn feed_forward(&mut self, cpu: Cpu, pool: &ThreadPool, layer: &Layer) {
        let n = self.x.len() / layer.up.matrix.cols();
        let act = &mut self.activations;
        product(cpu, pool, &[&layer.up], &self.x, n, act, &mut self.hidden);
        rows::for_rows(pool, n, &mut self.hidden, |_, x| {
            rows::gelu_in_place(cpu, x);
        });
        product(
            cpu,
            pool,
            &[&layer.down],
            &self.hidden,
            n,
            act,
            &mut self.output,
        );
    }

    /// `x = norm(x + output)`.
    fn add_and_norm(&mut self, cpu: Cpu, pool: &ThreadPool, weights: &Norm, eps: f32) {
        let output = &self.output[..self.x.len()];
        rows::for_rows(pool, self.x.len(), &mut self.x, |range, x| {
            rows::add(cpu, x, &output[range]);
        });
        norm(cpu, pool, weights, eps, &mut self.x);
    }
}

fn norm(cpu: Cpu, pool: &ThreadPool, weights: &Norm, eps: f32, x: &mut [f32]) {
    rows::for_rows(pool, x.len() / weights.weight.len(), x, |_, x| {
        rows::layer_norm_in_place(cpu, x, &weights.weight, &weights.bias, eps);
    });
}

/// The mean of the rows, scaled to length 1. (Its own length does not matter then, so the sum will
/// do.) Added in double precision in the order of the rows.
fn mean(rows: &[f32], d: usize) -> Vec<f32> {
    let mut sums = vec![0.0; d];
    for row in rows.chunks_exact(d) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    let squares: f64 = sums.iter().map(|x| x * x).sum();
    let scale = if squares > 0.0 {
        1.0 / squares.sqrt()
    } else {
        0.0
    };
    sums.into_iter().map(|x| (x * scale) as f32).collect()
}
