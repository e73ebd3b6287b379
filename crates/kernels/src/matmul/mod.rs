//! Matrix products `out = x W^T`: rows of activations by packed weights.
//!
//! Work is split over groups of 16 output features. Within a group a tile of tokens shares each
//! loaded weight. Neither changes a result: every output element is its own chain of operations.

mod activations;
mod float;
mod int8;
#[cfg(target_arch = "x86_64")]
mod tiles;

pub use activations::Activations;
pub(crate) use activations::{largest_magnitude, round_block, step};

use crate::DType;
use crate::cpu::{Cpu, dispatch};
use crate::packed::{GROUP, PackedMatrix, block32, block256};
use crate::pool::ThreadPool;
use crate::simd::Simd;
use activations::{Form, TILE_ROWS};
use std::ops::Range;

/// Rows that go through a group before the next group: their activations stay in the second-level
/// cache while the group's weights stay in the first.
const BLOCK_ROWS: usize = 256;

/// Rows that are worth a block of their own for each thread. With fewer, reading the weights once for
/// all threads counts for more.
const HOME_ROWS: usize = 32;

/// Work that is worth a turn of its own: operations, and bytes of weights when tokens are few.
const PART_OPS: usize = 1 << 20;
const PART_BYTES: usize = 1 << 15;

/// One of the matrices that share the left side of a product, and the output column where its
/// features start.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The weights.
    pub matrix: &'a PackedMatrix,
    /// First output column.
    pub column: usize,
}

/// 16 rows of a matrix and where their outputs go.
#[derive(Clone, Copy)]
struct Group<'a> {
    dtype: DType,
    bytes: &'a [u8],
    valid_rows: usize,
    out_column: usize,
    out_stride: usize,
}

/// Multiplies the rows of `x` with each target: `out[t][target.column + n] = x[t] . matrix[n]`, with
/// rows of `out` `out_stride` apart.
///
/// Panics if shapes disagree or `x` was not [`set`](Activations::set) for the weights' types.
pub fn matmul(
    cpu: Cpu,
    pool: &ThreadPool,
    targets: &[Target<'_>],
    x: &Activations,
    out: &mut [f32],
    out_stride: usize,
) {
    let mut n_groups = 0;
    for target in targets {
        assert_eq!(target.matrix.cols(), x.cols, "product of different widths");
        assert!(
            x.has(Form::of(target.matrix.dtype())),
            "activations lack the weights' form"
        );
        assert!(
            target.column + target.matrix.rows() <= out_stride,
            "features outside the output"
        );
        n_groups += target.matrix.n_groups();
    }
    assert!(out.len() >= x.rows * out_stride, "output too short");
    if x.rows == 0 || n_groups == 0 {
        return;
    }
    let out = OutPointer(out.as_mut_ptr(), x.rows * out_stride);
    // Each thread's home is a block of rows, whose activations it has at hand; see `for_chunks`.
    let at_home = (x.rows / HOME_ROWS).clamp(1, pool.threads());
    let n_blocks = at_home.max(x.rows.div_ceil(BLOCK_ROWS));
    let block_rows = x.rows.div_ceil(n_blocks).next_multiple_of(TILE_ROWS);
    let n_blocks = x.rows.div_ceil(block_rows);
    let bytes: usize = targets.iter().map(|target| target.matrix.bytes()).sum();
    let group_bytes = bytes / n_groups;
    let group_ops = 2 * GROUP * x.cols * block_rows;
    let enough = (PART_OPS / group_ops.max(1)).min(PART_BYTES / group_bytes.max(1));
    let chunk = even_chunk(n_groups, pool.threads()).min(enough.max(1));
    let parts = n_groups.div_ceil(chunk);
    pool.for_chunks(n_blocks * parts, 1, |_, range| {
        let out = &out;
        // SAFETY: each group writes its own columns of a block's rows, and no two parts have both in
        // common.
        let out = unsafe { std::slice::from_raw_parts_mut(out.0, out.1) };
        for part in range {
            let (block, part) = (part / parts, part % parts);
            let tokens = block * block_rows..((block + 1) * block_rows).min(x.rows);
            let groups = part * chunk..((part + 1) * chunk).min(n_groups);
            let mut first = 0;
            for target in targets {
                let n = target.matrix.n_groups();
                let from = groups.start.clamp(first, first + n) - first;
                let to = groups.end.clamp(first, first + n) - first;
                for index in from..to {
                    let group = Group {
                        dtype: target.matrix.dtype(),
                        bytes: target.matrix.group(index),
                        valid_rows: GROUP.min(target.matrix.rows() - index * GROUP),
                        out_column: target.column + index * GROUP,
                        out_stride,
                    };
                    group_product(cpu, group, x, tokens.clone(), out);
                }
                first += n;
            }
        }
    });
}

/// Groups that a thread takes at once: a few times each, and so that none has much more than the
/// others.
fn even_chunk(n_groups: usize, threads: usize) -> usize {
    let busiest = |chunk: &usize| n_groups.div_ceil(*chunk).div_ceil(threads) * chunk;
    (3..=8)
        .map(|times| n_groups.div_ceil(threads * times))
        .min_by_key(busiest)
        .unwrap_or(1)
}

struct OutPointer(*mut f32, usize);
// SAFETY: see its use in `matmul`.
unsafe impl Sync for OutPointer {}

fn group_product(
    cpu: Cpu,
    group: Group<'_>,
    x: &Activations,
    tokens: Range<usize>,
    out: &mut [f32],
) {
    use activations::Quantized;
    #[cfg(target_arch = "x86_64")]
    let tokens = tiles::product(cpu, group, x, tokens, out);
    macro_rules! int8 {
        ($scalar:path, $vector:path, $format:ty, $x:expr) => {{
            #[inline(always)]
            unsafe fn kernel<S: Simd>(
                group: Group<'_>,
                x: &Quantized,
                tokens: Range<usize>,
                out: &mut [f32],
            ) {
                // SAFETY: the caller's contract.
                unsafe { $vector(group, x, tokens, out) }
            }
            let x = $x;
            dispatch!(cpu, $scalar, kernel, (
                group: Group<'_>, x: &Quantized, tokens: Range<usize>, out: &mut [f32],
            ))
        }};
    }
    macro_rules! float {
        ($load:ty) => {{
            #[inline(always)]
            unsafe fn kernel<S: Simd>(
                group: Group<'_>,
                x: &[f32],
                tokens: Range<usize>,
                out: &mut [f32],
            ) {
                // SAFETY: the caller's contract.
                unsafe { float::vector::<S, $load>(group, x, tokens, out) }
            }
            let x = &x.float[..];
            dispatch!(cpu, float::scalar, kernel, (
                group: Group<'_>, x: &[f32], tokens: Range<usize>, out: &mut [f32],
            ))
        }};
    }
    macro_rules! blocks32 {
        ($format:ty) => {
            int8!(
                int8::scalar32,
                int8::vector32::<S, $format>,
                $format,
                &x.q32
            )
        };
    }
    macro_rules! blocks256 {
        ($format:ty) => {
            int8!(
                int8::scalar256,
                int8::vector256::<S, $format>,
                $format,
                &x.q256
            )
        };
    }
    match group.dtype {
        DType::F32 => float!(float::F32),
        DType::F16 => float!(float::F16),
        DType::BF16 => float!(float::Bf16),
        DType::Q4_0 => blocks32!(block32::Q4_0),
        DType::Q4_1 => blocks32!(block32::Q4_1),
        DType::Q5_0 => blocks32!(block32::Q5_0),
        DType::Q5_1 => blocks32!(block32::Q5_1),
        DType::Q8_0 => blocks32!(block32::Q8_0),
        DType::IQ4_NL => blocks32!(block32::Iq4Nl),
        DType::MXFP4 => blocks32!(block32::Mxfp4),
        DType::Q2_K => blocks256!(block256::Q2K),
        DType::Q3_K => blocks256!(block256::Q3K),
        DType::Q4_K => blocks256!(block256::Q4K),
        DType::Q5_K => blocks256!(block256::Q5K),
        DType::Q6_K => blocks256!(block256::Q6K),
    }
}

/// Writes the lanes of one token that are rows of the matrix.
#[inline(always)]
unsafe fn store<S: Simd>(group: Group<'_>, token: usize, lanes: S::F, out: &mut [f32]) {
    let at = token * group.out_stride + group.out_column;
    let out = &mut out[at..at + group.valid_rows];
    // SAFETY: a full group writes 16 elements of a slice that long; a short one goes by a copy.
    unsafe {
        if group.valid_rows == GROUP {
            S::f_store(out.as_mut_ptr(), lanes);
        } else {
            let mut all = [0.0; GROUP];
            S::f_store(all.as_mut_ptr(), lanes);
            out.copy_from_slice(&all[..group.valid_rows]);
        }
    }
}
