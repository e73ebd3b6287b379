//! Causal attention over whole documents, forward and backward.
//!
//! Scores are made a block of queries at a time and made again for the gradient, so that memory grows with
//! the length of a document and not with its square (FlashAttention, arXiv:2205.14135). One task is one
//! document and one key-value head with all its query heads, so that no two tasks add to the same gradient.

use super::loss::largest;
use crate::buffer::AlignedVec;
use crate::cpu::{Cpu, multiversion};
use crate::gemm::{Right, Size, Start, View, Workspace, gemm, multiply};
use crate::math;
use crate::pool::{SharedMut, ThreadPool};
use crate::rows::{rotate, tree_sum};
use crate::simd::LANES;
use std::cell::RefCell;
use std::ops::Range;

/// Queries whose scores are held at once.
const QUERIES: usize = 64;

/// What the heads look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Query heads.
    pub n_heads: usize,
    /// Key-value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Factor on the products of queries and keys.
    pub scale: f32,
    /// Rotary pairs are `(2i, 2i + 1)` instead of `(i, i + half)`.
    pub interleaved: bool,
}

impl Shape {
    /// Elements of a token's queries, keys and values.
    pub const fn qkv_width(&self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    /// Elements of a token's output.
    pub const fn out_width(&self) -> usize {
        self.n_heads * self.head_dim
    }
}

/// The inputs, for a run of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Attention<'a> {
    /// What the heads look like.
    pub shape: Shape,
    /// A row a token: queries, then keys, then values, before rotation.
    pub qkv: &'a [f32],
    /// Tokens of each document; they do not overlap. Tokens outside of all have no output.
    pub documents: &'a [Range<usize>],
    /// Cosines of the rotary angles, a row a token.
    pub cos: &'a [f32],
    /// Sines, as `cos`.
    pub sin: &'a [f32],
}

/// Memory of one task.
#[derive(Default)]
struct Scratch {
    gemm: Workspace,
    q: Vec<f32>,
    keys: Side,
    values: Side,
    /// Output of a head, or its gradient.
    out: Vec<f32>,
    dq: Vec<f32>,
    dk: Vec<f32>,
    dv: Vec<f32>,
    scores: AlignedVec<f32>,
    d_scores: AlignedVec<f32>,
}

/// Keys or values of a task, laid out once for all blocks of queries.
#[derive(Default)]
struct Side {
    /// `[tokens, head_dim]`, as they are gathered.
    rows: Vec<f32>,
    by_token: Right,
    by_element: Right,
}

impl Side {
    /// For sums over tokens.
    fn set_by_token(&mut self, cpu: Cpu, hd: usize) {
        let view = View::rows(&self.rows, hd);
        self.by_token.set(cpu, view, self.rows.len() / hd, hd);
    }

    /// For sums over a head's elements.
    fn set_by_element(&mut self, cpu: Cpu, hd: usize) {
        let view = View::rows(&self.rows, hd).transposed();
        self.by_element.set(cpu, view, hd, self.rows.len() / hd);
    }
}

/// Elements from a row of scores to the next: an odd number of lines, since columns of scores are read too and
/// lines that are a power of two apart have the same place in a cache.
const fn scores_stride(keys: usize) -> usize {
    (keys.div_ceil(LANES) | 1) * LANES
}

/// Writes each token's output to `out` (rows of [`Shape::out_width`]), and each head's largest score and
/// inverse sum of exponentials to `stats` (rows of `2 * n_heads`), which [`backward`] needs.
///
/// # Panics
/// If a slice does not hold the tokens of the documents.
pub fn forward(
    cpu: Cpu,
    pool: &ThreadPool,
    input: &Attention<'_>,
    out: &mut [f32],
    stats: &mut [f32],
) {
    let shape = input.shape;
    let (hd, group) = (shape.head_dim, shape.n_heads / shape.n_kv_heads);
    let (out, stats) = (SharedMut::new(out), SharedMut::new(stats));
    tasks(pool, input, |_, scratch, tokens, kv_head| {
        let k_head = shape.n_heads + kv_head;
        let (keys, values) = (&mut scratch.keys, &mut scratch.values);
        input.gather(cpu, &mut keys.rows, tokens, k_head, true);
        input.gather(
            cpu,
            &mut values.rows,
            tokens,
            k_head + shape.n_kv_heads,
            false,
        );
        keys.set_by_element(cpu, hd);
        values.set_by_token(cpu, hd);
        for head in kv_head * group..(kv_head + 1) * group {
            input.gather(cpu, &mut scratch.q, tokens, head, true);
            scratch.out.resize(tokens.len() * hd, 0.0);
            for queries in query_blocks(tokens.len()) {
                let (rows, keys) = (queries.len(), queries.end);
                let stride = scores_stride(keys);
                let scores = scratch.scores.at_least(rows * stride);
                let by_element = Size {
                    m: rows,
                    n: keys,
                    k: hd,
                };
                let q = View::rows(&scratch.q[queries.start * hd..], hd);
                let k = &scratch.keys.by_element;
                multiply(cpu, by_element, q, k, scores, stride, Start::Zero);
                let mut found = [[0.0f32; 2]; QUERIES];
                softmax(
                    cpu,
                    scores,
                    stride,
                    queries.start,
                    shape.scale,
                    &mut found[..rows],
                );
                for (i, found) in found[..rows].iter().enumerate() {
                    let at = ((tokens.start + queries.start + i) * shape.n_heads + head) * 2;
                    // SAFETY: this task alone has this head of this document.
                    unsafe { stats.slice(at..at + 2) }.copy_from_slice(found);
                }
                let by_token = Size {
                    m: rows,
                    n: hd,
                    k: keys,
                };
                let (p, v) = (View::rows(scores, stride), &scratch.values.by_token);
                let out = &mut scratch.out[queries.start * hd..];
                multiply(cpu, by_token, p, v, out, hd, Start::Zero);
            }
            for (i, row) in scratch.out.chunks_exact(hd).enumerate() {
                let at = (tokens.start + i) * shape.out_width() + head * hd;
                // SAFETY: as above.
                unsafe { out.slice(at..at + hd) }.copy_from_slice(row);
            }
        }
    });
}

/// Writes the gradient of `input.qkv` to `d_qkv`, from that of the output and from what [`forward`] wrote to
/// `stats`.
///
/// # Panics
/// If a slice does not hold the tokens of the documents.
pub fn backward(
    cpu: Cpu,
    pool: &ThreadPool,
    input: &Attention<'_>,
    stats: &[f32],
    d_out: &[f32],
    d_qkv: &mut [f32],
) {
    let shape = input.shape;
    let (hd, group) = (shape.head_dim, shape.n_heads / shape.n_kv_heads);
    let d_qkv = SharedMut::new(d_qkv);
    tasks(pool, input, |single, scratch, tokens, kv_head| {
        let (k_head, v_head) = (
            shape.n_heads + kv_head,
            shape.n_heads + shape.n_kv_heads + kv_head,
        );
        let (keys, values) = (&mut scratch.keys, &mut scratch.values);
        input.gather(cpu, &mut keys.rows, tokens, k_head, true);
        input.gather(cpu, &mut values.rows, tokens, v_head, false);
        keys.set_by_element(cpu, hd);
        keys.set_by_token(cpu, hd);
        values.set_by_element(cpu, hd);
        for zeroed in [&mut scratch.dk, &mut scratch.dv] {
            zeroed.clear();
            zeroed.resize(tokens.len() * hd, 0.0);
        }
        let scatter = |x: &mut [f32], head: usize, rotated: bool| {
            if rotated {
                input.rotate(cpu, x, tokens, true);
            }
            for (i, row) in x.chunks_exact(hd).enumerate() {
                let at = (tokens.start + i) * shape.qkv_width() + head * hd;
                // SAFETY: this task alone has these heads of this document.
                unsafe { d_qkv.slice(at..at + hd) }.copy_from_slice(row);
            }
        };
        for head in kv_head * group..(kv_head + 1) * group {
            input.gather(cpu, &mut scratch.q, tokens, head, true);
            copy_head(
                &mut scratch.out,
                d_out,
                shape.out_width(),
                tokens,
                head * hd,
                hd,
            );
            scratch.dq.resize(tokens.len() * hd, 0.0);
            for queries in query_blocks(tokens.len()) {
                let row = (tokens.start + queries.start) * shape.n_heads + head;
                let stats = Stats {
                    all: &stats[2 * row..],
                    step: 2 * shape.n_heads,
                };
                backward_block(cpu, single, scratch, shape, &queries, stats);
            }
            scatter(&mut scratch.dq, head, true);
        }
        scatter(&mut scratch.dk, k_head, true);
        scatter(&mut scratch.dv, v_head, false);
    });
}

/// A head's statistics, `step` elements from one token to the next.
#[derive(Clone, Copy)]
struct Stats<'a> {
    all: &'a [f32],
    step: usize,
}

/// The gradients that go through the scores of a block of queries: those queries' own, and what they add
/// to the keys' and values'.
fn backward_block(
    cpu: Cpu,
    single: &ThreadPool,
    scratch: &mut Scratch,
    shape: Shape,
    queries: &Range<usize>,
    stats: Stats<'_>,
) {
    let Scratch {
        gemm: workspace,
        q,
        keys: k,
        values: v,
        out: d_out,
        dq,
        dk,
        dv,
        scores,
        d_scores,
    } = scratch;
    let (rows, keys, hd) = (queries.len(), queries.end, shape.head_dim);
    let stride = scores_stride(keys);
    let (scores, d_scores) = (
        scores.at_least(rows * stride),
        d_scores.at_least(rows * stride),
    );
    let at = queries.start * hd;
    let (q, d_out) = (View::rows(&q[at..], hd), View::rows(&d_out[at..], hd));
    let by_element = Size {
        m: rows,
        n: keys,
        k: hd,
    };
    multiply(
        cpu,
        by_element,
        q,
        &k.by_element,
        scores,
        stride,
        Start::Zero,
    );
    multiply(
        cpu,
        by_element,
        d_out,
        &v.by_element,
        d_scores,
        stride,
        Start::Zero,
    );
    softmax_backward(
        cpu,
        scores,
        d_scores,
        stride,
        queries.start,
        shape.scale,
        stats,
    );
    let (p, ds) = (View::rows(scores, stride), View::rows(d_scores, stride));
    let to_keys = Size {
        m: keys,
        n: hd,
        k: rows,
    };
    let mut add = |a: View<'_>, b, c: &mut [f32]| {
        let a = a.transposed();
        gemm(cpu, single, workspace, to_keys, a, b, c, hd, Start::Add);
    };
    add(p, d_out, dv);
    add(ds, q, dk);
    let by_token = Size {
        m: rows,
        n: hd,
        k: keys,
    };
    let dq = &mut dq[at..];
    multiply(cpu, by_token, ds, &k.by_token, dq, hd, Start::Zero);
}

fn query_blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len)
        .step_by(QUERIES)
        .map(move |start| start..(start + QUERIES).min(len))
}

/// Calls `task` for each document and key-value head.
fn tasks(
    pool: &ThreadPool,
    input: &Attention<'_>,
    task: impl Fn(&ThreadPool, &mut Scratch, &Range<usize>, usize) + Sync,
) {
    let n_kv_heads = input.shape.n_kv_heads;
    let single = ThreadPool::new(1);
    pool.for_chunks(input.documents.len() * n_kv_heads, 1, |_, range| {
        SCRATCH.with_borrow_mut(|scratch| {
            for index in range {
                let tokens = &input.documents[index / n_kv_heads];
                if !tokens.is_empty() {
                    task(&single, scratch, tokens, index % n_kv_heads);
                }
            }
        });
    });
}

thread_local! {
    /// Kept from one layer to the next: memory that is new has to be cleared by the system first.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Attention<'_> {
    /// A head's rows side by side, rotated or not.
    fn gather(
        &self,
        cpu: Cpu,
        out: &mut Vec<f32>,
        tokens: &Range<usize>,
        head: usize,
        rotated: bool,
    ) {
        let hd = self.shape.head_dim;
        copy_head(out, self.qkv, self.shape.qkv_width(), tokens, head * hd, hd);
        if rotated {
            self.rotate(cpu, out, tokens, false);
        }
    }

    fn rotate(&self, cpu: Cpu, x: &mut [f32], tokens: &Range<usize>, back: bool) {
        let half = self.cos.len() * self.shape.qkv_width() / self.qkv.len();
        if half == 0 {
            return;
        }
        let cos = &self.cos[tokens.start * half..tokens.end * half];
        let sin = &self.sin[tokens.start * half..tokens.end * half];
        let (hd, interleaved) = (self.shape.head_dim, self.shape.interleaved);
        rotate_rows(
            cpu,
            x,
            hd,
            cos,
            sin,
            half,
            if back { -1.0 } else { 1.0 },
            interleaved,
        );
    }
}

fn copy_head(
    out: &mut Vec<f32>,
    from: &[f32],
    width: usize,
    tokens: &Range<usize>,
    at: usize,
    hd: usize,
) {
    out.clear();
    for token in tokens.clone() {
        out.extend_from_slice(&from[token * width + at..][..hd]);
    }
}

#[allow(clippy::too_many_arguments, reason = "tables and their layout")]
fn rotate_rows(
    cpu: Cpu,
    x: &mut [f32],
    hd: usize,
    cos: &[f32],
    sin: &[f32],
    half: usize,
    sign: f32,
    interleaved: bool,
) {
    multiversion!(cpu, rotate_rows_plain, (
        x: &mut [f32], hd: usize, cos: &[f32], sin: &[f32], half: usize, sign: f32, interleaved: bool,
    ));
}

#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "as above")]
fn rotate_rows_plain(
    x: &mut [f32],
    hd: usize,
    cos: &[f32],
    sin: &[f32],
    half: usize,
    sign: f32,
    interleaved: bool,
) {
    let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
    for (x, (cos, sin)) in x.chunks_exact_mut(hd).zip(angles) {
        if interleaved {
            for ((pair, c), s) in x.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                (pair[0], pair[1]) = rotate(pair[0], pair[1], *c, sign * s);
            }
        } else {
            let (first, second) = x.split_at_mut(half);
            for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = rotate(*a, *b, *c, sign * s);
            }
        }
    }
}

/// Scores become probabilities, row `i` over its first `first + i + 1` keys; the others get 0. The
/// largest scaled score and the inverse sum go to `stats`.
fn softmax(
    cpu: Cpu,
    scores: &mut [f32],
    stride: usize,
    first: usize,
    scale: f32,
    stats: &mut [[f32; 2]],
) {
    multiversion!(cpu, softmax_plain, (
        scores: &mut [f32], stride: usize, first: usize, scale: f32, stats: &mut [[f32; 2]],
    ));
}

#[inline(always)]
fn softmax_plain(
    scores: &mut [f32],
    stride: usize,
    first: usize,
    scale: f32,
    stats: &mut [[f32; 2]],
) {
    for (i, (row, stats)) in scores.chunks_exact_mut(stride).zip(stats).enumerate() {
        let (seen, hidden) = row.split_at_mut(first + i + 1);
        hidden.fill(0.0);
        for x in seen.iter_mut() {
            *x *= scale;
        }
        let max = largest(seen);
        let mut lanes = [0.0f32; 16];
        let (sixteens, rest) = seen.as_chunks_mut::<16>();
        for x in sixteens {
            for j in 0..16 {
                x[j] = math::exp_nonpositive(x[j] - max);
                lanes[j] += x[j];
            }
        }
        for (x, lane) in rest.iter_mut().zip(&mut lanes) {
            *x = math::exp_nonpositive(*x - max);
            *lane += *x;
        }
        let inverse = 1.0 / tree_sum(lanes);
        for x in seen {
            *x *= inverse;
        }
        *stats = [max, inverse];
    }
}

/// From scores and the gradient of the probabilities: the probabilities again, in the scores' place, and
/// the gradient of the unscaled scores, `scale * p * (dp - sum(p dp))`.
fn softmax_backward(
    cpu: Cpu,
    scores: &mut [f32],
    d_scores: &mut [f32],
    stride: usize,
    first: usize,
    scale: f32,
    stats: Stats<'_>,
) {
    multiversion!(cpu, softmax_backward_plain, (
        scores: &mut [f32], d_scores: &mut [f32], stride: usize, first: usize, scale: f32, stats: Stats<'_>,
    ));
}

#[inline(always)]
fn softmax_backward_plain(
    scores: &mut [f32],
    d_scores: &mut [f32],
    stride: usize,
    first: usize,
    scale: f32,
    stats: Stats<'_>,
) {
    let rows = scores
        .chunks_exact_mut(stride)
        .zip(d_scores.chunks_exact_mut(stride));
    for (i, (p, dp)) in rows.enumerate() {
        let (max, inverse) = (stats.all[i * stats.step], stats.all[i * stats.step + 1]);
        let (p, hidden) = p.split_at_mut(first + i + 1);
        let (dp, d_hidden) = dp.split_at_mut(first + i + 1);
        hidden.fill(0.0);
        d_hidden.fill(0.0);
        for x in p.iter_mut() {
            *x = math::exp_nonpositive(*x * scale - max) * inverse;
        }
        let mut lanes = [0.0f32; 16];
        for (p, dp) in p.as_chunks::<16>().0.iter().zip(dp.as_chunks::<16>().0) {
            for j in 0..16 {
                lanes[j] = p[j].mul_add(dp[j], lanes[j]);
            }
        }
        let done = p.len() - p.len() % 16;
        for j in done..p.len() {
            lanes[j - done] = p[j].mul_add(dp[j], lanes[j - done]);
        }
        let sum = tree_sum(lanes);
        for (p, dp) in p.iter().zip(dp) {
            *dp = scale * (p * (*dp - sum));
        }
    }
}
