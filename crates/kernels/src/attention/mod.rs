//! Attention over a paged cache of keys and values.
//!
//! A query walks its keys in blocks of [`PAGE`] counted from position 0, with an online softmax over
//! the blocks in ascending order; blocks are gathered in spans of [`SPAN`] positions, each with a
//! softmax of its own, and the spans are merged in ascending order. Nothing depends on how the prompt
//! was cut, which queries share a tile, or how many threads there are: that is why spans exist, since
//! threads may take them in any order.
//!
//! Scores are one chain of fused multiply-adds over the head's elements; outputs one chain over the
//! keys of a block.

mod block;
mod cache;
mod coded;

pub use cache::{KvLayout, KvRows, KvType, KvWrite, PAGE};

use self::block::Ahead;
use self::cache::quantize;
use crate::cpu::{Cpu, multiversion};
use crate::math;
use crate::pool::{SharedMut, ThreadPool};
use crate::rows::soft_cap_plain;
use crate::simd::LANES;
use std::cell::RefCell;
use std::f32::consts::LOG2_E;
use std::ops::Range;

/// Positions that share one softmax before merging.
pub const SPAN: usize = 8 * PAGE;

/// Query tokens in a tile: they share each loaded key and value.
const TILE_TOKENS: usize = 8;

/// What is the same for all queries of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Query heads; a multiple of the key-value heads.
    pub n_heads: usize,
    /// The cache's layout.
    pub layout: KvLayout,
    /// Factor on query-key products; queries are multiplied by it first.
    pub scale: f32,
    /// `cap * tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// A query sees this many latest positions, its own included.
    pub window: Option<usize>,
    /// A query sees no position after its own. Otherwise it sees all up to the job's last query.
    pub causal: bool,
}

/// Consecutive query tokens of one sequence, whose keys and values are in the cache already.
#[derive(Clone, Debug)]
pub struct Job<'a> {
    /// This layer's part of the sequence's pages, from position 0.
    pub pages: Vec<&'a [u8]>,
    /// Row of the first query.
    pub first_row: usize,
    /// Position of the first query.
    pub start: usize,
    /// Queries.
    pub tokens: usize,
}

/// The query heads of a tile that share one key-value head.
#[derive(Clone, Copy)]
struct Tile<'a> {
    job: &'a Job<'a>,
    kv_head: usize,
    first_token: usize,
    tokens: usize,
}

/// Softmax state of the rows of a tile.
#[derive(Default)]
struct State {
    /// Largest score of each row.
    max: Vec<f32>,
    /// Sum of exponentials.
    sum: Vec<f32>,
    /// `[rows, value_stride]` weighted values.
    acc: Vec<f32>,
}

#[derive(Default)]
struct Scratch {
    queries: Queries,
    scores: Vec<f32>,
    /// Largest score of each row of a block, then what it makes of the sums so far.
    largest: Vec<f32>,
    /// `[rows, LANES]` sums of a block's weights.
    lanes: Vec<f32>,
    /// The keys that each row may see; of one block those that each of its rows sees.
    ranges: Vec<Range<usize>>,
    in_block: Vec<Range<usize>>,
    span: State,
    total: State,
}

/// The scaled query rows of a tile, `[rows, head_dim]`; for int8 keys also as codes.
#[derive(Default)]
struct Queries {
    rows: Vec<f32>,
    codes: Vec<i8>,
    steps: Vec<f32>,
    sums: Vec<i32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Attends for all jobs: `q` rows are `q_stride` apart and begin with `[n_heads, head_dim]`; `out` is
/// `[rows, n_heads * head_dim]`.
pub fn attend(
    cpu: Cpu,
    pool: &ThreadPool,
    attention: &Attention,
    jobs: &[Job<'_>],
    q: &[f32],
    q_stride: usize,
    out: &mut [f32],
) {
    let layout = &attention.layout;
    let mut tiles = Vec::new();
    let mut spans_max = 0;
    for job in jobs {
        let end = job.start + job.tokens;
        assert!(
            job.pages.len() * PAGE >= end,
            "pages do not reach the last query"
        );
        assert!(
            job.pages
                .iter()
                .all(|page| page.len() == layout.page_bytes())
        );
        spans_max = spans_max.max(end.div_ceil(SPAN));
        // Head by head: one head's keys and values stay in the second-level cache for all queries.
        for kv_head in 0..layout.n_kv_heads {
            let first_tokens = (0..job.tokens).step_by(TILE_TOKENS);
            tiles.extend(first_tokens.map(|first_token| Tile {
                job,
                kv_head,
                first_token,
                tokens: TILE_TOKENS.min(job.tokens - first_token),
            }));
        }
    }
    let out = SharedMut::new(out);
    if spans_max > 1 && tiles.len() < 4 * pool.threads() {
        attend_by_spans(cpu, pool, attention, &tiles, spans_max, q, q_stride, &out);
        return;
    }
    pool.for_chunks(tiles.len(), 1, |_, range| {
        SCRATCH.with_borrow_mut(|scratch| {
            for index in range {
                let (tile, then) = (&tiles[index], tiles.get(index + 1));
                scratch.load(cpu, attention, tile, q, q_stride);
                scratch
                    .total
                    .reset(tile.rows(attention), layout.value_stride());
                for span in scratch.spans() {
                    scratch.attend_span(cpu, attention, tile, span, then);
                    let Scratch { span, total, .. } = &mut *scratch;
                    total.merge(cpu, span, layout.value_stride());
                }
                scratch.total.write(cpu, attention, tile, &out);
            }
        });
    });
}

/// As [`attend`], for few queries over many positions: threads share the spans of a tile.
#[allow(clippy::too_many_arguments, reason = "the second half of `attend`")]
fn attend_by_spans(
    cpu: Cpu,
    pool: &ThreadPool,
    attention: &Attention,
    tiles: &[Tile<'_>],
    spans_max: usize,
    q: &[f32],
    q_stride: usize,
    out: &SharedMut<f32>,
) {
    let mut states: Vec<State> = Vec::new();
    states.resize_with(tiles.len() * spans_max, State::default);
    let shared = SharedMut::new(&mut states);
    pool.for_chunks(tiles.len() * spans_max, 1, |_, range| {
        SCRATCH.with_borrow_mut(|scratch| {
            for index in range {
                let tile = &tiles[index / spans_max];
                scratch.load(cpu, attention, tile, q, q_stride);
                let span = index % spans_max;
                if scratch.spans().contains(&span) {
                    scratch.attend_span(cpu, attention, tile, span, None);
                    // SAFETY: each index is visited by one thread.
                    let state = unsafe { shared.slice(index..index + 1) };
                    std::mem::swap(&mut state[0], &mut scratch.span);
                }
            }
        });
    });
    let stride = attention.layout.value_stride();
    for (tile, spans) in tiles.iter().zip(states.chunks_exact(spans_max)) {
        let mut total = State::default();
        total.reset(tile.rows(attention), stride);
        for span in spans.iter().filter(|span| !span.max.is_empty()) {
            total.merge(cpu, span, stride);
        }
        total.write(cpu, attention, tile, out);
    }
}

impl Tile<'_> {
    fn rows(&self, attention: &Attention) -> usize {
        self.tokens * (attention.n_heads / attention.layout.n_kv_heads)
    }
}

impl Scratch {
    /// Gathers the tile's queries, scaled, `[tokens * group, head_dim]`, and the keys each may see.
    fn load(
        &mut self,
        cpu: Cpu,
        attention: &Attention,
        tile: &Tile<'_>,
        q: &[f32],
        q_stride: usize,
    ) {
        let dim = attention.layout.head_dim;
        let group = attention.n_heads / attention.layout.n_kv_heads;
        // Scores are logarithms to base 2: softmax takes powers of 2.
        let scale = attention.scale * LOG2_E;
        self.queries.rows.clear();
        self.ranges.clear();
        for token in tile.first_token..tile.first_token + tile.tokens {
            let at = (tile.job.first_row + token) * q_stride + tile.kv_head * group * dim;
            let rows = q[at..at + group * dim].iter();
            self.queries.rows.extend(rows.map(|q| q * scale));
            let own = tile.job.start + token + 1;
            let start = attention
                .window
                .map_or(0, |window| own.saturating_sub(window));
            let end = if attention.causal {
                own
            } else {
                tile.job.start + tile.job.tokens
            };
            self.ranges.extend(std::iter::repeat_n(start..end, group));
        }
        if attention.layout.dtype == KvType::Int8 {
            let (rows, q) = (self.ranges.len(), &mut self.queries);
            q.codes.resize(rows * attention.layout.key_dim(), 0);
            q.steps.resize(rows, 0.0);
            q.sums.resize(rows, 0);
            quantize(cpu, &q.rows, dim, &mut q.codes, &mut q.steps, &mut q.sums);
        }
    }

    /// Spans that any row of the tile sees.
    fn spans(&self) -> Range<usize> {
        let first = self.ranges.first().map_or(0, |range| range.start / SPAN);
        let end = self
            .ranges
            .last()
            .map_or(0, |range| range.end.div_ceil(SPAN));
        first..end
    }

    /// `then` is what this thread is likely to turn to after the tile.
    fn attend_span(
        &mut self,
        cpu: Cpu,
        attention: &Attention,
        tile: &Tile<'_>,
        span: usize,
        then: Option<&Tile<'_>>,
    ) {
        let layout = &attention.layout;
        let rows = self.ranges.len();
        self.span.reset(rows, layout.value_stride());
        self.scores.resize(rows * PAGE, 0.0);
        for block in span * SPAN / PAGE..((span + 1) * SPAN / PAGE).min(tile.job.pages.len()) {
            // Ranges ascend from row to row: the block's rows are consecutive.
            let from = block * PAGE;
            let first = self.ranges.partition_point(|range| range.end <= from);
            let ranges = &self.ranges[first..];
            let count = ranges.partition_point(|range| range.start < from + PAGE);
            if count == 0 {
                continue;
            }
            let head = layout.head(tile.job.pages[block], tile.kv_head);
            let scores = &mut self.scores[..count * PAGE];
            let in_block = &mut self.in_block;
            in_block.clear();
            in_block.extend(
                ranges[..count]
                    .iter()
                    .map(|range| range.start.max(from) - from..range.end.min(from + PAGE) - from),
            );
            let seen = in_block.last().map_or(0, |range| range.end);
            block::scores(cpu, layout, &self.queries, first, head, seen, scores);
            let stride = layout.value_stride();
            let max = &mut self.span.max[first..first + count];
            let sum = &mut self.span.sum[first..first + count];
            let acc = &mut self.span.acc[first * stride..][..count * stride];
            self.largest.resize(count, 0.0);
            self.lanes.resize(count * LANES, 0.0);
            let (largest, lanes) = (&mut self.largest[..], &mut self.lanes[..]);
            let softcap = attention.softcap.map(|cap| cap * LOG2_E);
            softmax_block(
                cpu, scores, in_block, seen, softcap, largest, lanes, max, sum, acc,
            );
            if layout.dtype == KvType::Int8 {
                // What is left is to weight the values' codes.
                scale_columns(cpu, scores, head.value_steps);
            }
            let end = self.ranges.last().map_or(0, |range| range.end);
            let next = if end > from + PAGE {
                let page = tile.job.pages.get(block + 1);
                page.map(|page| (*page, tile.kv_head, end - from - PAGE))
            } else {
                then.and_then(|tile| {
                    let seen = (tile.job.start + tile.job.tokens).min(PAGE);
                    Some((*tile.job.pages.first()?, tile.kv_head, seen))
                })
            };
            let next = next.map_or(Ahead::NOTHING, |(page, kv_head, seen)| {
                Ahead::keys(layout, layout.head(page, kv_head).keys, seen)
            });
            block::add_values(cpu, layout, scores, in_block, head.values, acc, next);
        }
    }
}

/// Multiplies each key's weights by the step of its value.
fn scale_columns(cpu: Cpu, weights: &mut [f32], steps: &[u8]) {
    multiversion!(cpu, scale_columns_plain, (weights: &mut [f32], steps: &[u8]));
}

#[inline(always)]
fn scale_columns_plain(weights: &mut [f32], steps: &[u8]) {
    for row in weights.as_chunks_mut::<PAGE>().0 {
        for (weight, step) in row.iter_mut().zip(steps.as_chunks::<4>().0) {
            *weight *= f32::from_ne_bytes(*step);
        }
    }
}

/// One step of the online softmax (arXiv:2307.08691): scores become weights, and what was gathered
/// is scaled to the new maximum. Keys outside a row's range get weight 0, up to the last that any row has
/// `seen`, in whole vectors.
#[allow(clippy::too_many_arguments, reason = "the parts of one softmax step")]
fn softmax_block(
    cpu: Cpu,
    scores: &mut [f32],
    ranges: &[Range<usize>],
    seen: usize,
    softcap: Option<f32>,
    largest: &mut [f32],
    lanes: &mut [f32],
    max: &mut [f32],
    sum: &mut [f32],
    acc: &mut [f32],
) {
    if let Some(cap) = softcap {
        multiversion!(cpu, soft_cap_plain, (scores: &mut [f32], cap: f32));
    }
    let width = seen.next_multiple_of(LANES);
    // Ranges ascend: mostly every row sees the whole block.
    let starts_last = ranges.last().map_or(0, |range| range.start);
    let ends_first = ranges.first().map_or(0, |range| range.end);
    if starts_last > 0 || ends_first < width {
        for (scores, range) in scores.chunks_exact_mut(PAGE).zip(ranges) {
            scores[..range.start].fill(f32::NEG_INFINITY);
            scores[range.end..width].fill(f32::NEG_INFINITY);
        }
    }
    block::largest(cpu, scores, width, largest);
    multiversion!(cpu, weights_plain, (
        scores: &mut [f32], width: usize, largest: &mut [f32], lanes: &mut [f32], max: &mut [f32],
        acc: &mut [f32],
    ));
    block::add_lanes(cpu, lanes, largest, sum);
}

/// The softmax step from each row's largest score on, but for the sums: of each row 16 `lanes`, which are
/// added by hand, since compilers take a row apart into pairs.
#[inline(always)]
fn weights_plain(
    scores: &mut [f32],
    width: usize,
    largest: &mut [f32],
    lanes: &mut [f32],
    max: &mut [f32],
    acc: &mut [f32],
) {
    let stride = acc.len() / max.len();
    let scores = scores.as_chunks_mut::<PAGE>().0;
    // Pass by pass over the rows, since a row alone is a long chain of dependent operations.
    // All scores may be -inf or NaN only if the model's numbers are broken; NaN then reaches the
    // output, where it is reported.
    for (max, correction) in max.iter_mut().zip(&mut *largest) {
        let block_max = larger(*correction, *max);
        // Mostly the maximum stands, and 2^0 is 1.
        *correction = math::exp2_nonpositive(*max - block_max);
        *max = block_max;
    }
    let corrections = &*largest;
    let lanes = lanes.as_chunks_mut::<LANES>().0;
    for (scores, (max, lanes)) in scores.iter_mut().zip(max.iter().zip(lanes)) {
        *lanes = [0.0; LANES];
        for sixteen in scores[..width].as_chunks_mut::<LANES>().0 {
            for i in 0..LANES {
                sixteen[i] = math::exp2_nonpositive(sixteen[i] - *max);
                lanes[i] += sixteen[i];
            }
        }
    }
    for (acc, correction) in acc.chunks_exact_mut(stride).zip(corrections) {
        if *correction != 1.0 {
            for x in acc {
                *x *= correction;
            }
        }
    }
}

/// `b` if `a` is NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

impl State {
    fn reset(&mut self, rows: usize, stride: usize) {
        self.max.clear();
        self.max.resize(rows, f32::NEG_INFINITY);
        self.sum.clear();
        self.sum.resize(rows, 0.0);
        self.acc.clear();
        self.acc.resize(rows * stride, 0.0);
    }

    /// Adds a later span.
    fn merge(&mut self, cpu: Cpu, span: &Self, stride: usize) {
        let state = self;
        multiversion!(cpu, State::merge_plain, (state: &mut State, span: &State, stride: usize));
    }

    /// Rows that see none of the span have no maximum there and stay as they are.
    #[inline(always)]
    fn merge_plain(&mut self, span: &Self, stride: usize) {
        for row in 0..self.max.len() {
            if span.sum[row] == 0.0 {
                continue;
            }
            let max = if span.max[row] > self.max[row] {
                span.max[row]
            } else {
                self.max[row]
            };
            let old = math::exp2_nonpositive(self.max[row] - max);
            let new = math::exp2_nonpositive(span.max[row] - max);
            self.max[row] = max;
            self.sum[row] = self.sum[row].mul_add(old, span.sum[row] * new);
            let acc = &mut self.acc[row * stride..][..stride];
            for (x, y) in acc.iter_mut().zip(&span.acc[row * stride..][..stride]) {
                *x = x.mul_add(old, y * new);
            }
        }
    }

    /// Divides by the sums, and hands the rows over.
    fn write(&mut self, cpu: Cpu, attention: &Attention, tile: &Tile<'_>, out: &SharedMut<f32>) {
        let (dim, stride) = (attention.layout.head_dim, attention.layout.value_stride());
        let group = attention.n_heads / attention.layout.n_kv_heads;
        let (acc, sum) = (&mut self.acc[..], &self.sum[..]);
        multiversion!(cpu, divide_plain, (acc: &mut [f32], sum: &[f32]));
        for (row, values) in self.acc.chunks_exact(stride).enumerate() {
            let token = tile.job.first_row + tile.first_token + row / group;
            let head = tile.kv_head * group + row % group;
            let at = (token * attention.n_heads + head) * dim;
            // SAFETY: tiles of one call are of different tokens or heads.
            let out = unsafe { out.slice(at..at + dim) };
            out.copy_from_slice(&values[..dim]);
        }
    }
}

/// Divides each row of `acc` by its sum.
#[inline(always)]
fn divide_plain(acc: &mut [f32], sum: &[f32]) {
    for (row, sum) in acc.chunks_exact_mut(acc.len() / sum.len()).zip(sum) {
        for x in row {
            *x /= sum;
        }
    }
}
