//! Scores of int8 keys: exact products of codes, times the steps.

use super::Queries;
use super::block::{Ahead, prefetch_two};
use super::cache::{Head, KvLayout, PAGE, float};
use crate::cpu::{Cpu, dispatch};
use crate::simd::{LANES, Simd};

/// Query rows as int8 codes, each with its step and the sum of its codes.
#[derive(Clone, Copy)]
struct CodedRows<'a> {
    codes: &'a [i8],
    steps: &'a [f32],
    sums: &'a [i32],
}

impl CodedRows<'_> {
    fn dim(&self) -> usize {
        self.codes.len() / self.steps.len()
    }

    fn after(&self, row: usize) -> Self {
        Self {
            codes: &self.codes[row * self.dim()..],
            steps: &self.steps[row..],
            sums: &self.sums[row..],
        }
    }
}

/// As [`block::scores`](super::block::scores), of int8 keys.
pub(super) fn scores(
    cpu: Cpu,
    layout: &KvLayout,
    queries: &Queries,
    first: usize,
    head: Head<'_>,
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    let (dim, rows) = (layout.key_dim(), scores.len() / PAGE);
    let queries = CodedRows {
        codes: &queries.codes[first * dim..][..rows * dim],
        steps: &queries.steps[first..][..rows],
        sums: &queries.sums[first..][..rows],
    };
    let (keys, steps) = (head.keys, head.key_steps);
    assert_eq!(steps.len(), 4 * PAGE);
    dispatch!(cpu, scores_scalar, scores_vector, (
        queries: CodedRows<'_>, keys: &[u8], steps: &[u8], scores: &mut [f32], next: Ahead<'_>,
    ));
}

fn scores_scalar(
    queries: CodedRows<'_>,
    keys: &[u8],
    steps: &[u8],
    scores: &mut [f32],
    _next: Ahead<'_>,
) {
    let rows = queries.codes.chunks_exact(queries.dim()).zip(queries.steps);
    for ((codes, step), scores) in rows.zip(scores.chunks_exact_mut(PAGE)) {
        for (key, score) in scores.iter_mut().enumerate() {
            let product = |(d, code): (usize, &i8)| {
                let at = (d / 4 * PAGE + key) * 4 + d % 4;
                i32::from(keys[at].cast_signed()) * i32::from(*code)
            };
            let dot: i32 = codes.iter().enumerate().map(product).sum();
            *score = dot as f32 * float(steps, key) * step;
        }
    }
}

#[inline(always)]
unsafe fn scores_vector<S: Simd>(
    queries: CodedRows<'_>,
    keys: &[u8],
    steps: &[u8],
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    let rows = queries.steps.len();
    let mut row = 0;
    // SAFETY: tiles stay within the rows; lengths are asserted by `scores`.
    unsafe {
        while rows - row >= 6 && S::TILE == 8 {
            let scores = &mut scores[row * PAGE..];
            score_rows::<S, 6, 4>(queries.after(row), keys, steps, scores, Ahead::NOTHING);
            row += 6;
        }
        while rows - row >= 3 {
            let (queries, scores) = (queries.after(row), &mut scores[row * PAGE..]);
            if S::TILE == 8 {
                score_rows::<S, 3, 4>(queries, keys, steps, scores, next);
            } else {
                score_rows::<S, 3, 1>(queries, keys, steps, scores, next);
            }
            row += 3;
        }
        let scores = &mut scores[row * PAGE..];
        match rows - row {
            2 => score_rows::<S, 2, 2>(queries.after(row), keys, steps, scores, next),
            1 => score_rows::<S, 1, 4>(queries.after(row), keys, steps, scores, next),
            _ => {}
        }
    }
}

#[inline(always)]
unsafe fn score_rows<S: Simd, const R: usize, const C: usize>(
    queries: CodedRows<'_>,
    keys: &[u8],
    steps: &[u8],
    scores: &mut [f32],
    next: Ahead<'_>,
) {
    let dim = keys.len() / PAGE;
    assert!(queries.codes.len() >= R * dim && scores.len() >= R * PAGE);
    assert!(queries.sums.len() >= R && queries.steps.len() >= R);
    let mut ahead = next.lines();
    // SAFETY: `keys` holds `dim / 4` rows of 4 * PAGE codes, `steps` PAGE floats, the others are
    // asserted above.
    unsafe {
        for key in (0..PAGE).step_by(C * LANES) {
            let mut sum = [[S::i_splat(0); C]; R];
            for r in 0..R {
                sum[r] = [S::i_splat(S::I8_BIAS * queries.sums[r]); C];
            }
            for d in (0..dim).step_by(4) {
                prefetch_two(ahead.next());
                let mut k = [S::b_splat(0); C];
                for c in 0..C {
                    k[c] = S::b_load(keys.as_ptr().add(d * PAGE + 4 * (key + c * LANES)));
                }
                for r in 0..R {
                    let q = S::b_splat4(queries.codes.as_ptr().add(r * dim + d));
                    for c in 0..C {
                        sum[r][c] = S::dot_i8(sum[r][c], k[c], q);
                    }
                }
            }
            for c in 0..C {
                let step = S::f_load(steps.as_ptr().cast::<f32>().add(key + c * LANES));
                for r in 0..R {
                    let score = S::f_mul(S::f_from_i(sum[r][c]), step);
                    let score = S::f_mul(score, S::f_splat(queries.steps[r]));
                    let at = r * PAGE + key + c * LANES;
                    S::f_store(scores.as_mut_ptr().add(at), score);
                }
            }
        }
    }
}
