//! How keys and values lie in a page of the cache, and how they get there.
//!
//! A page holds [`PAGE`] consecutive positions of one layer, head by head. As floating-point numbers a
//! head is its keys, transposed (`[head_dim][PAGE]`, so that 16 scores form in 16 lanes), then its
//! values (`[PAGE][head_dim rounded up to 16]`). As int8 its keys go four elements together
//! (`[head_dim / 4][PAGE][4]`), values follow as before, and at the end stand the steps of the codes,
//! one for each key and one for each value (`[2][PAGE]`).

use crate::cpu::{Cpu, dispatch, multiversion};
use crate::matmul::{largest_magnitude, round_block, step};
use crate::pool::{SharedMut, ThreadPool};
use crate::quant::{f16_to_f32, f32_to_f16};
use crate::simd::{LANES, Simd};

/// Positions in a page, and in a block of the online softmax.
pub const PAGE: usize = 64;

/// Heads written below which forking costs more than it saves.
const FORK_HEADS: usize = 6;

/// Storage of cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KvType {
    /// Half precision: the default.
    #[default]
    F16,
    /// Single precision, for comparisons with references.
    F32,
    /// Codes of 8 bits with one step for each key and each value of a head: about half the memory,
    /// slightly other results.
    Int8,
}

/// Sizes of the cache of one layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Key-value heads.
    pub n_kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
    /// Storage type.
    pub dtype: KvType,
}

/// Keys and values of one head within a page.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) keys: &'a [u8],
    pub(super) values: &'a [u8],
    /// Steps of int8 codes; empty for floating-point numbers.
    pub(super) key_steps: &'a [u8],
    pub(super) value_steps: &'a [u8],
}

/// Consecutive rows whose keys and values go to consecutive positions of one page.
#[derive(Debug)]
pub struct KvWrite<'a> {
    /// One layer's part of a page.
    pub page: &'a mut [u8],
    /// First position within the page.
    pub slot: usize,
    /// First row.
    pub first_row: usize,
    /// Rows, at most to the page's end.
    pub rows: usize,
}

/// Rows of keys, then values, `[n_kv_heads, head_dim]` each, `stride` apart from `column` on.
#[derive(Clone, Copy, Debug)]
pub struct KvRows<'a> {
    /// All rows.
    pub data: &'a [f32],
    /// Elements from row to row.
    pub stride: usize,
    /// Where in a row the keys begin.
    pub column: usize,
}

impl KvLayout {
    pub(super) fn element_bytes(&self) -> usize {
        match self.dtype {
            KvType::Int8 => 1,
            KvType::F16 => 2,
            KvType::F32 => 4,
        }
    }

    /// Elements of a value row: `head_dim` rounded up to whole vectors.
    pub(super) fn value_stride(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    /// Elements of a key: int8 codes go four together.
    pub(super) fn key_dim(&self) -> usize {
        match self.dtype {
            KvType::Int8 => self.head_dim.next_multiple_of(4),
            KvType::F16 | KvType::F32 => self.head_dim,
        }
    }

    fn steps_bytes(&self) -> usize {
        if self.dtype == KvType::Int8 {
            4 * PAGE
        } else {
            0
        }
    }

    fn head_bytes(&self) -> usize {
        PAGE * (self.key_dim() + self.value_stride()) * self.element_bytes()
            + 2 * self.steps_bytes()
    }

    /// Bytes of one page of one layer.
    pub fn page_bytes(&self) -> usize {
        self.n_kv_heads * self.head_bytes()
    }

    /// Keys and values of a head within a page.
    pub(super) fn head<'a>(&self, page: &'a [u8], head: usize) -> Head<'a> {
        let head = &page[head * self.head_bytes()..][..self.head_bytes()];
        let (keys, rest) = head.split_at(PAGE * self.key_dim() * self.element_bytes());
        let (values, steps) = rest.split_at(PAGE * self.value_stride() * self.element_bytes());
        let (key_steps, value_steps) = steps.split_at(self.steps_bytes());
        Head {
            keys,
            values,
            key_steps,
            value_steps,
        }
    }

    /// Stores keys and values, head by head in parallel.
    pub fn write(&self, cpu: Cpu, pool: &ThreadPool, writes: Vec<KvWrite<'_>>, kv: KvRows<'_>) {
        let mut heads = Vec::with_capacity(writes.len() * self.n_kv_heads);
        for write in writes {
            assert!(
                write.slot + write.rows <= PAGE && write.page.len() == self.page_bytes(),
                "slot or page of another layout"
            );
            let parts = write.page.chunks_exact_mut(self.head_bytes());
            heads.extend(parts.enumerate().map(|(index, bytes)| HeadWrite {
                bytes,
                index,
                slot: write.slot,
                rows: write.first_row..write.first_row + write.rows,
            }));
        }
        let total = heads.len();
        let chunk = if total < FORK_HEADS {
            total
        } else {
            total.div_ceil(4 * pool.threads())
        };
        let heads = SharedMut::new(&mut heads);
        pool.for_chunks(total, chunk, |_, range| {
            // SAFETY: ranges of one call never overlap.
            for head in unsafe { heads.slice(range) } {
                match self.dtype {
                    KvType::F32 => self.write_f32(head, kv),
                    KvType::F16 => self.write_f16(cpu, head, kv),
                    KvType::Int8 => self.write_int8(cpu, head, kv),
                }
            }
        });
    }

    /// Key and value of a head in a row.
    fn pair<'a>(&self, kv: KvRows<'a>, row: usize, head: usize) -> (&'a [f32], &'a [f32]) {
        let dim = self.head_dim;
        let at = row * kv.stride + kv.column + head * dim;
        let values = at + self.n_kv_heads * dim;
        (&kv.data[at..at + dim], &kv.data[values..values + dim])
    }

    fn write_f32(&self, head: &mut HeadWrite<'_>, kv: KvRows<'_>) {
        let (keys, values) = head.bytes.split_at_mut(4 * PAGE * self.head_dim);
        for (slot, row) in (head.slot..).zip(head.rows.clone()) {
            let (key, value) = self.pair(kv, row, head.index);
            for (d, x) in key.iter().enumerate() {
                keys[(d * PAGE + slot) * 4..][..4].copy_from_slice(&x.to_ne_bytes());
            }
            let values = values[slot * self.value_stride() * 4..]
                .as_chunks_mut::<4>()
                .0;
            for (out, x) in values.iter_mut().zip(value) {
                *out = x.to_ne_bytes();
            }
        }
    }

    fn write_f16(&self, cpu: Cpu, head: &mut HeadWrite<'_>, kv: KvRows<'_>) {
        let (keys, values) = head.bytes.split_at_mut(2 * PAGE * self.head_dim);
        let mut halves = [0u16; LANES];
        for (slot, row) in (head.slot..).zip(head.rows.clone()) {
            let (key, value) = self.pair(kv, row, head.index);
            let mut columns = keys.chunks_exact_mut(2 * PAGE);
            for part in key.chunks(LANES) {
                to_f16(cpu, part, &mut halves);
                for (x, column) in halves[..part.len()].iter().zip(&mut columns) {
                    column[2 * slot..][..2].copy_from_slice(&x.to_ne_bytes());
                }
            }
            let values = values[slot * self.value_stride() * 2..].chunks_mut(2 * LANES);
            for (out, part) in values.zip(value.chunks(LANES)) {
                to_f16(cpu, part, &mut halves);
                for (out, x) in out
                    .as_chunks_mut::<2>()
                    .0
                    .iter_mut()
                    .zip(&halves[..part.len()])
                {
                    *out = x.to_ne_bytes();
                }
            }
        }
    }

    fn write_int8(&self, cpu: Cpu, head: &mut HeadWrite<'_>, kv: KvRows<'_>) {
        let (keys, rest) = head.bytes.split_at_mut(PAGE * self.key_dim());
        let (values, steps) = rest.split_at_mut(PAGE * self.value_stride());
        let (key_steps, value_steps) = steps.split_at_mut(4 * PAGE);
        let (dim, stride) = (self.head_dim, self.value_stride());
        let mut codes = vec![0; stride];
        let (mut step, mut sum) = ([0.0], [0]);
        for (slot, row) in (head.slot..).zip(head.rows.clone()) {
            let (key, value) = self.pair(kv, row, head.index);
            quantize(cpu, key, dim, &mut codes, &mut step, &mut sum);
            key_steps[4 * slot..][..4].copy_from_slice(&step[0].to_ne_bytes());
            let fours = codes.as_chunks::<4>().0;
            for (column, four) in keys.chunks_exact_mut(4 * PAGE).zip(fours) {
                column[4 * slot..][..4].copy_from_slice(&four.map(i8::cast_unsigned));
            }
            quantize(cpu, value, dim, &mut codes, &mut step, &mut sum);
            value_steps[4 * slot..][..4].copy_from_slice(&step[0].to_ne_bytes());
            for (out, code) in values[slot * stride..].iter_mut().zip(&codes) {
                *out = code.cast_unsigned();
            }
        }
    }

    /// One stored element, for the scalar kernels.
    pub(super) fn element(&self, data: &[u8], index: usize) -> f32 {
        match self.dtype {
            KvType::F32 => float(data, index),
            KvType::F16 => f16_to_f32(u16::from_ne_bytes([data[2 * index], data[2 * index + 1]])),
            KvType::Int8 => f32::from(data[index].cast_signed()),
        }
    }
}

/// One head's part of a [`KvWrite`].
struct HeadWrite<'a> {
    bytes: &'a mut [u8],
    index: usize,
    slot: usize,
    rows: std::ops::Range<usize>,
}

/// The f32 at an index of a byte slice.
pub(super) fn float(data: &[u8], index: usize) -> f32 {
    let b = &data[4 * index..][..4];
    f32::from_ne_bytes([b[0], b[1], b[2], b[3]])
}

/// Int8 codes of rows of `dim` elements: `codes` is `[rows, padded]` with zeros after `dim`; steps and
/// sums of the codes are one a row.
pub(super) fn quantize(
    cpu: Cpu,
    x: &[f32],
    dim: usize,
    codes: &mut [i8],
    steps: &mut [f32],
    sums: &mut [i32],
) {
    multiversion!(cpu, quantize_plain, (
        x: &[f32], dim: usize, codes: &mut [i8], steps: &mut [f32], sums: &mut [i32],
    ));
}

#[inline(always)]
fn quantize_plain(x: &[f32], dim: usize, codes: &mut [i8], steps: &mut [f32], sums: &mut [i32]) {
    let padded = codes.len() / steps.len();
    let rows = x.chunks_exact(dim).zip(codes.chunks_exact_mut(padded));
    for ((x, codes), (value, sum)) in rows.zip(steps.iter_mut().zip(sums)) {
        let (codes, rest) = codes.split_at_mut(dim);
        rest.fill(0);
        let inverse;
        (*value, inverse) = step(largest_magnitude(x));
        *sum = round_block(x, codes, inverse);
    }
}

/// Rounds up to 16 numbers to half precision, ties to even.
fn to_f16(cpu: Cpu, x: &[f32], out: &mut [u16; LANES]) {
    fn scalar(x: &[f32], out: &mut [u16; LANES]) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = f32_to_f16(*x);
        }
    }
    #[inline(always)]
    unsafe fn vector<S: Simd>(x: &[f32], out: &mut [u16; LANES]) {
        let mut all = [0.0; LANES];
        all[..x.len()].copy_from_slice(x);
        // SAFETY: both hold 16 elements; see `Simd` for the rest.
        unsafe { S::f_store_f16(out.as_mut_ptr(), S::f_load(all.as_ptr())) }
    }
    dispatch!(cpu, scalar, vector, (x: &[f32], out: &mut [u16; LANES]));
}
