//! What adapters add to the projections of a batch. The rows of a batch are grouped by adapter, so
//! that each group's thin matrices are read once; rows without one are not touched.
//!
//! An element of `A x`, and of `B` times that, is one chain of fused multiply-adds as in every float
//! product, and goes to the projection's output with one more; so who shares a group cannot show.

use super::{Chunk, Place};
use crate::adapter::{Adapter, LowRank, Projection};
use std::sync::Arc;
use terang_kernels::matmul::{Activations, Target, matmul};
use terang_kernels::{Cpu, ThreadPool, rows};

/// A batch's groups, and buffers that are kept between calls.
#[derive(Default)]
pub(super) struct Adapting {
    groups: Vec<Group>,
    /// `[m, in]` the rows of a group.
    gathered: Vec<f32>,
    input: Activations,
    /// `[m, rank]`.
    low: Vec<f32>,
    low_input: Activations,
    /// `[m, out]`.
    high: Vec<f32>,
}

/// The rows of a batch that one adapter changes, ascending.
struct Group {
    adapter: Arc<Adapter>,
    rows: Vec<usize>,
}

impl Adapting {
    /// Groups the rows of a batch.
    pub(super) fn begin(&mut self, chunks: &[Chunk<'_>], places: &[Place]) {
        self.groups.clear();
        for (chunk, place) in chunks.iter().zip(places) {
            let Some(adapter) = chunk.sequence.adapter() else {
                continue;
            };
            let rows = place.first_row..place.first_row + place.tokens;
            let same = |group: &&mut Group| group.adapter.id() == adapter.id();
            match self.groups.iter_mut().find(same) {
                Some(group) => group.rows.extend(rows),
                None => self.groups.push(Group {
                    adapter: Arc::clone(adapter),
                    rows: rows.collect(),
                }),
            }
        }
    }

    /// The batch is done: adapters may go.
    pub(super) fn end(&mut self) {
        self.groups.clear();
    }

    /// Adds to `y`, the outputs of projections of `x` that stand at these columns of rows of `width`
    /// elements. `d` is the width of `x`.
    #[allow(
        clippy::too_many_arguments,
        reason = "a product's parts and where they lie"
    )]
    pub(super) fn add(
        &mut self,
        cpu: Cpu,
        pool: &ThreadPool,
        layer: usize,
        projections: &[(Projection, usize)],
        x: &[f32],
        d: usize,
        y: &mut [f32],
        width: usize,
    ) {
        for Group { adapter, rows } in &self.groups {
            let of = |&(projection, column): &(Projection, usize)| {
                Some((adapter.of(layer, projection)?, column))
            };
            let pairs: Vec<(&LowRank, usize)> = projections.iter().filter_map(of).collect();
            if pairs.is_empty() {
                continue;
            }
            let m = rows.len();
            self.gathered.clear();
            for row in rows {
                self.gathered.extend_from_slice(&x[row * d..][..d]);
            }
            let dtypes = pairs.iter().map(|(pair, _)| pair.a.dtype());
            self.input.set(cpu, pool, &self.gathered, m, d, dtypes);
            for (LowRank { a, b, scale }, column) in pairs {
                let (rank, out) = (a.rows(), b.rows());
                self.low.resize(m * rank, 0.0);
                let target = |matrix| [Target { matrix, column: 0 }];
                matmul(cpu, pool, &target(a), &self.input, &mut self.low, rank);
                let low_input = &mut self.low_input;
                low_input.set(cpu, pool, &self.low, m, rank, [b.dtype()]);
                self.high.resize(m * out, 0.0);
                matmul(cpu, pool, &target(b), low_input, &mut self.high, out);
                let high = &self.high;
                let n = y.len() / width;
                rows::for_rows(pool, n, y, |range, y| {
                    let first = rows.partition_point(|row| *row < range.start);
                    let last = rows.partition_point(|row| *row < range.end);
                    for index in first..last {
                        let at = (rows[index] - range.start) * width + column;
                        let y = &mut y[at..at + out];
                        rows::add_scaled(cpu, y, &high[index * out..][..out], *scale);
                    }
                });
            }
        }
    }
}
