//! How keys and values lie in a page of the cache.
//!
//! A page holds [`PAGE`] consecutive positions of one layer. For each key-value head: the keys,
//! transposed (`[head_dim][PAGE]`, so that 16 scores form in 16 lanes), then the values
//! (`[PAGE][head_dim rounded up to 16]`).

use crate::cpu::{Cpu, dispatch};
use crate::quant::{f16_to_f32, f32_to_f16};
use crate::simd::{LANES, Simd};

/// Positions in a page, and in a block of the online softmax.
pub const PAGE: usize = 64;

/// Storage of cached keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KvType {
    /// Half precision: the default.
    #[default]
    F16,
    /// Single precision, for comparisons with references.
    F32,
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

impl KvLayout {
    pub(super) fn element_bytes(&self) -> usize {
        match self.dtype {
            KvType::F16 => 2,
            KvType::F32 => 4,
        }
    }

    /// Elements of a value row: `head_dim` rounded up to whole vectors.
    pub(super) fn value_stride(&self) -> usize {
        self.head_dim.next_multiple_of(LANES)
    }

    fn head_bytes(&self) -> usize {
        PAGE * (self.head_dim + self.value_stride()) * self.element_bytes()
    }

    /// Bytes of one page of one layer.
    pub fn page_bytes(&self) -> usize {
        self.n_kv_heads * self.head_bytes()
    }

    /// Keys and values of a head within a page.
    pub(super) fn head<'a>(&self, page: &'a [u8], head: usize) -> (&'a [u8], &'a [u8]) {
        page[head * self.head_bytes()..][..self.head_bytes()]
            .split_at(PAGE * self.head_dim * self.element_bytes())
    }

    /// Stores the keys and values of one position, `[n_kv_heads, head_dim]` each.
    pub fn write(&self, cpu: Cpu, page: &mut [u8], slot: usize, keys: &[f32], values: &[f32]) {
        let (size, dim, stride) = (self.element_bytes(), self.head_dim, self.value_stride());
        assert!(
            slot < PAGE && page.len() == self.page_bytes(),
            "slot or page of another layout"
        );
        let heads = page.chunks_exact_mut(self.head_bytes());
        let rows = keys.chunks_exact(dim).zip(values.chunks_exact(dim));
        for (head, (key, value)) in heads.zip(rows) {
            let (keys, values) = head.split_at_mut(PAGE * dim * size);
            let values = &mut values[slot * stride * size..][..dim * size];
            match self.dtype {
                KvType::F32 => {
                    for (d, x) in key.iter().enumerate() {
                        keys[(d * PAGE + slot) * 4..][..4].copy_from_slice(&x.to_ne_bytes());
                    }
                    for (out, x) in values.chunks_exact_mut(4).zip(value) {
                        out.copy_from_slice(&x.to_ne_bytes());
                    }
                }
                KvType::F16 => {
                    let mut halves = [0u16; LANES];
                    for (d, part) in (0..).step_by(LANES).zip(key.chunks(LANES)) {
                        to_f16(cpu, part, &mut halves);
                        for (i, x) in halves[..part.len()].iter().enumerate() {
                            keys[((d + i) * PAGE + slot) * 2..][..2]
                                .copy_from_slice(&x.to_ne_bytes());
                        }
                    }
                    for (out, part) in values.chunks_mut(2 * LANES).zip(value.chunks(LANES)) {
                        to_f16(cpu, part, &mut halves);
                        for (out, x) in out.chunks_exact_mut(2).zip(halves) {
                            out.copy_from_slice(&x.to_ne_bytes());
                        }
                    }
                }
            }
        }
    }

    /// One stored element, for the scalar kernels.
    pub(super) fn element(&self, data: &[u8], index: usize) -> f32 {
        match self.dtype {
            KvType::F32 => {
                let b = &data[4 * index..][..4];
                f32::from_ne_bytes([b[0], b[1], b[2], b[3]])
            }
            KvType::F16 => f16_to_f32(u16::from_ne_bytes([data[2 * index], data[2 * index + 1]])),
        }
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
