//! Weight matrices, repacked so that 16 rows lie side by side.
//!
//! Rows are taken in groups of 16 (the last group is filled with zero rows). For each block of
//! columns a group holds its 16 scales and then the codes, 4 bytes of row 0, 4 bytes of row 1, …: one
//! vector register multiplies 16 rows by the same 4 activations, and no sum ever crosses lanes. That
//! is what makes results independent of the instruction set.
//!
//! Codes keep the bit layout of the source format within each row, so packing is a copy of 4-byte
//! words; only sub-byte scales of K-quants and the fifth bits of `Q5_0` and `Q5_1` are rearranged.

pub(crate) mod block256;
pub(crate) mod block32;

use crate::buffer::{Arena, SharedBytes};
use crate::dtype::DType;
use crate::pool::{SharedMut, ThreadPool};
use crate::quant::{bf16_to_f32, f16_to_f32};
use std::sync::atomic::{AtomicBool, Ordering};

/// Version of the layout in memory. Packed weights are also kept in files, which name the version
/// that wrote them: it grows with every change of any type's layout.
pub const LAYOUT_VERSION: u32 = 2;

/// Bytes that a thread copies at once: a huge page.
const COPIED_AT_ONCE: usize = 2 << 20;
/// Bytes after which those that were moved are given up; whole pages.
const MOVED_AT_ONCE: usize = 4 << 20;

/// Rows in a group.
pub const GROUP: usize = crate::simd::LANES;

/// A matrix of weights, `rows` by `cols`, ready for [`crate::matmul`].
#[derive(Debug)]
pub struct PackedMatrix {
    dtype: DType,
    rows: usize,
    cols: usize,
    group_bytes: usize,
    data: SharedBytes,
}

/// Why a matrix could not be packed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The row length does not fit the storage type, or there are no elements.
    #[error("shape [{rows}, {cols}] does not fit blocks of {block_len}")]
    Shape {
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
        /// Elements in a block.
        block_len: usize,
    },
    /// The data is not as long as the shape says.
    #[error("{found} bytes for a shape that takes {expected}")]
    Length {
        /// Bytes given.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// The system has no memory for it.
    #[error("no memory for {bytes} bytes: {reason}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// What the system says.
        reason: String,
    },
    /// A scale or weight is NaN or infinite.
    #[error("a scale or weight is not a finite number")]
    NotFinite,
}

impl PackedMatrix {
    /// Packs row-major `data` as files hold it, into memory of `arena`.
    pub fn pack(
        pool: &ThreadPool,
        arena: &Arena,
        dtype: DType,
        rows: usize,
        cols: usize,
        data: &[u8],
    ) -> Result<Self, PackError> {
        let Layout {
            row_bytes,
            group_bytes,
            n_groups,
            total,
        } = Layout::new(dtype, rows, cols)?;
        let expected = row_bytes * rows;
        if data.len() != expected {
            return Err(PackError::Length {
                found: data.len(),
                expected,
            });
        }
        let mut packed = arena.zeroed(total).map_err(|error| PackError::Memory {
            bytes: total,
            reason: error.to_string(),
        })?;
        let finite = AtomicBool::new(true);
        let out = SharedMut::new(packed.as_mut_slice());
        pool.for_chunks(
            n_groups,
            n_groups.div_ceil(pool.threads() * 8),
            |_, groups| {
                let start = groups.start;
                // SAFETY: chunks of one call never overlap.
                let out = unsafe { out.slice(start * group_bytes..groups.end * group_bytes) };
                let mut all_finite = true;
                for group in groups {
                    let dst = &mut out[(group - start) * group_bytes..][..group_bytes];
                    for row in 0..GROUP.min(rows - group * GROUP) {
                        let src = &data[(group * GROUP + row) * row_bytes..][..row_bytes];
                        all_finite &= pack_row(dtype, src, dst, row);
                    }
                }
                if !all_finite {
                    finite.store(false, Ordering::Relaxed);
                }
            },
        );
        if !finite.into_inner() {
            return Err(PackError::NotFinite);
        }
        Ok(Self {
            dtype,
            rows,
            cols,
            group_bytes,
            data: packed.into(),
        })
    }

    /// A matrix from bytes that were packed before: those of [`Self::packed_bytes`], by this
    /// [`LAYOUT_VERSION`]. Only their number is checked.
    pub fn from_packed(
        dtype: DType,
        rows: usize,
        cols: usize,
        data: SharedBytes,
    ) -> Result<Self, PackError> {
        let layout = Layout::new(dtype, rows, cols)?;
        if data.as_slice().len() != layout.total {
            return Err(PackError::Length {
                found: data.as_slice().len(),
                expected: layout.total,
            });
        }
        Ok(Self {
            dtype,
            rows,
            cols,
            group_bytes: layout.group_bytes,
            data,
        })
    }

    /// Moves the packed bytes to memory of `arena`, and says of each part that it is no longer read where it
    /// was: a large matrix is then not there twice.
    ///
    /// # Errors
    /// What the system says when it has no more memory; nothing has changed then.
    pub fn move_to(
        &mut self,
        pool: &ThreadPool,
        arena: &Arena,
        moved_on: impl Fn(&[u8]),
    ) -> std::io::Result<()> {
        let from = self.data.as_slice();
        let mut moved = arena.zeroed(from.len())?;
        let to = SharedMut::new(moved.as_mut_slice());
        for start in (0..from.len()).step_by(MOVED_AT_ONCE) {
            let from = &from[start..(start + MOVED_AT_ONCE).min(from.len())];
            pool.for_chunks(from.len(), COPIED_AT_ONCE, |_, part| {
                // SAFETY: chunks of one call never overlap.
                let to = unsafe { to.slice(start + part.start..start + part.end) };
                to.copy_from_slice(&from[part]);
            });
            moved_on(from);
        }
        self.data = moved.into();
        Ok(())
    }

    /// The packed bytes.
    pub fn packed_bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// Storage type of the weights.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Output features.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input features.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that a product with one token reads.
    pub fn bytes(&self) -> usize {
        self.data.as_slice().len()
    }

    /// Writes one row as files hold it, and says whether that can be had: formats whose scales are
    /// spread over bits are packed for good.
    pub fn copy_row(&self, row: usize, out: &mut Vec<u8>) -> bool {
        assert!(row < self.rows, "a row of the matrix");
        out.clear();
        let lane = row % GROUP;
        for block in self
            .group(row / GROUP)
            .chunks_exact(group_block_bytes(self.dtype))
        {
            let scale = |at: usize| &block[at + 2 * lane..][..2];
            let words = |from: usize| {
                let vectors = block[from..].chunks_exact(4 * GROUP);
                vectors.flat_map(move |vector| &vector[4 * lane..][..4])
            };
            match self.dtype {
                DType::F32 => out.extend(words(0)),
                DType::F16 | DType::BF16 => out.extend(scale(0)),
                DType::Q4_0 | DType::Q8_0 | DType::IQ4_NL => {
                    out.extend(scale(0));
                    out.extend(words(2 * GROUP));
                }
                DType::Q4_1 => {
                    out.extend(scale(0));
                    out.extend(scale(2 * GROUP));
                    out.extend(words(4 * GROUP));
                }
                _ => return false,
            }
        }
        true
    }

    pub(crate) fn n_groups(&self) -> usize {
        self.rows.div_ceil(GROUP)
    }

    pub(crate) fn group(&self, group: usize) -> &[u8] {
        &self.data.as_slice()[group * self.group_bytes..][..self.group_bytes]
    }
}

/// How many bytes a matrix takes, as files hold it and packed.
struct Layout {
    row_bytes: usize,
    group_bytes: usize,
    n_groups: usize,
    /// Bytes when packed.
    total: usize,
}

impl Layout {
    fn new(dtype: DType, rows: usize, cols: usize) -> Result<Self, PackError> {
        let block_len = dtype.block_len();
        let sizes = || {
            let row_bytes = dtype.row_bytes(cols)?;
            row_bytes.checked_mul(rows)?;
            let group_bytes = (cols / block_len).checked_mul(group_block_bytes(dtype))?;
            let n_groups = rows.div_ceil(GROUP);
            Some(Self {
                row_bytes,
                group_bytes,
                n_groups,
                total: group_bytes.checked_mul(n_groups)?,
            })
        };
        let sizes = if rows == 0 || cols == 0 {
            None
        } else {
            sizes()
        };
        sizes.ok_or(PackError::Shape {
            rows,
            cols,
            block_len,
        })
    }
}

/// Bytes of one block of columns of 16 rows.
pub(crate) const fn group_block_bytes(dtype: DType) -> usize {
    use block32::{Iq4Nl, Mxfp4, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0};
    use block256::{Q2K, Q3K, Q4K, Q5K, Q6K};
    match dtype {
        DType::F32 => 4 * GROUP,
        DType::F16 | DType::BF16 => 2 * GROUP,
        DType::Q4_0 => <Q4_0 as block32::Format>::BYTES,
        DType::Q4_1 => <Q4_1 as block32::Format>::BYTES,
        DType::Q5_0 => <Q5_0 as block32::Format>::BYTES,
        DType::Q5_1 => <Q5_1 as block32::Format>::BYTES,
        DType::Q8_0 => <Q8_0 as block32::Format>::BYTES,
        DType::IQ4_NL => <Iq4Nl as block32::Format>::BYTES,
        DType::MXFP4 => <Mxfp4 as block32::Format>::BYTES,
        DType::Q2_K => <Q2K as block256::Format>::BYTES,
        DType::Q3_K => <Q3K as block256::Format>::BYTES,
        DType::Q4_K => <Q4K as block256::Format>::BYTES,
        DType::Q5_K => <Q5K as block256::Format>::BYTES,
        DType::Q6_K => <Q6K as block256::Format>::BYTES,
    }
}

/// Copies `row` from its file layout into the group; false if a scale or weight is not finite.
fn pack_row(dtype: DType, src: &[u8], dst: &mut [u8], row: usize) -> bool {
    // One loop for each type, in which all sizes are known.
    macro_rules! by_type {
        ($($name:ident),*) => {
            match dtype {
                $(DType::$name => {
                    const SRC: usize = DType::$name.block_bytes();
                    const DST: usize = group_block_bytes(DType::$name);
                    let blocks = src.as_chunks::<SRC>().0.iter();
                    let mut finite = true;
                    for (src, dst) in blocks.zip(dst.as_chunks_mut::<DST>().0) {
                        finite &= pack_block(DType::$name, src, dst, row);
                    }
                    finite
                })*
            }
        };
    }
    assert!(row < GROUP, "a lane of the group");
    by_type!(
        F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K
    )
}

/// Copies one block of `row`.
#[inline(always)]
fn pack_block(dtype: DType, src: &[u8], dst: &mut [u8], row: usize) -> bool {
    match dtype {
        DType::F32 => {
            dst[4 * row..][..4].copy_from_slice(src);
            f32::from_le_bytes([src[0], src[1], src[2], src[3]]).is_finite()
        }
        DType::F16 | DType::BF16 => {
            dst[2 * row..][..2].copy_from_slice(src);
            let bits = u16::from_le_bytes([src[0], src[1]]);
            match dtype {
                DType::F16 => f16_to_f32(bits).is_finite(),
                _ => bf16_to_f32(bits).is_finite(),
            }
        }
        DType::Q4_0
        | DType::Q4_1
        | DType::Q5_0
        | DType::Q5_1
        | DType::Q8_0
        | DType::IQ4_NL
        | DType::MXFP4 => block32::pack(dtype, src, dst, row),
        DType::Q2_K | DType::Q3_K | DType::Q4_K | DType::Q5_K | DType::Q6_K => {
            block256::pack(dtype, src, dst, row)
        }
    }
}

/// Copies an f16 scale to its lane; false if it is not finite.
#[inline(always)]
pub(crate) fn pack_f16(src: &[u8], dst: &mut [u8], row: usize) -> bool {
    dst[2 * row..][..2].copy_from_slice(&src[..2]);
    // All ones in the exponent: NaN or infinity.
    src[1] & 0x7c != 0x7c
}

/// The f16 scale of a lane.
pub(crate) fn lane_f16(block: &[u8], row: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[2 * row], block[2 * row + 1]]))
}

/// Spreads the 4-byte words of `src` over consecutive vectors of `dst`, into lane `row`.
#[inline(always)]
pub(crate) fn pack_words(src: &[u8], dst: &mut [u8], row: usize) {
    let vectors = dst.as_chunks_mut::<{ 4 * GROUP }>().0.iter_mut();
    for (word, vector) in src.as_chunks::<4>().0.iter().zip(vectors) {
        vector.as_chunks_mut::<4>().0[row] = *word;
    }
}

/// Byte `index` of a row whose words were spread by [`pack_words`].
pub(crate) fn lane_byte(vectors: &[u8], row: usize, index: usize) -> u8 {
    vectors[index / 4 * 4 * GROUP + 4 * row + index % 4]
}
