//! Storage types of tensor elements: names, block sizes and byte counts as in the GGUF format
//! (`ggml_type` in the GGUF specification).

/// How the elements of a tensor are stored. Quantized types store blocks of consecutive elements
/// of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(
    non_camel_case_types,
    reason = "the field's own names, as GGUF spells them"
)]
pub enum DType {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16: the upper half of a single.
    BF16,
    /// 32 elements: f16 scale, 4-bit values minus 8.
    Q4_0,
    /// 32 elements: f16 scale, f16 minimum, 4-bit values.
    Q4_1,
    /// 32 elements: f16 scale, 5-bit values minus 16.
    Q5_0,
    /// 32 elements: f16 scale, f16 minimum, 5-bit values.
    Q5_1,
    /// 32 elements: f16 scale, 8-bit signed values.
    Q8_0,
    /// 256 elements in 16 sub-blocks with 4-bit scales and minimums, 2-bit values.
    Q2_K,
    /// 256 elements in 16 sub-blocks with 6-bit scales, 3-bit values minus 4.
    Q3_K,
    /// 256 elements in 8 sub-blocks with 6-bit scales and minimums, 4-bit values.
    Q4_K,
    /// 256 elements in 8 sub-blocks with 6-bit scales and minimums, 5-bit values.
    Q5_K,
    /// 256 elements in 16 sub-blocks with 8-bit scales, 6-bit values minus 32.
    Q6_K,
    /// 32 elements: f16 scale, 4-bit indices into a fixed non-linear table.
    IQ4_NL,
    /// 32 elements: shared 8-bit exponent, 4-bit E2M1 floats (OCP Microscaling).
    MXFP4,
}

impl DType {
    /// All storage types, in the order of their definition.
    pub const ALL: [Self; 15] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q8_0,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
        Self::IQ4_NL,
        Self::MXFP4,
    ];

    /// Elements in one block (1 for plain floats).
    pub const fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0
            | Self::Q4_1
            | Self::Q5_0
            | Self::Q5_1
            | Self::Q8_0
            | Self::IQ4_NL
            | Self::MXFP4 => 32,
            Self::Q2_K | Self::Q3_K | Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of one block.
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 | Self::IQ4_NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2_K => 84,
            Self::Q3_K => 110,
            Self::Q4_K => 144,
            Self::Q5_K => 176,
            Self::Q6_K => 210,
            Self::MXFP4 => 17,
        }
    }

    /// Bytes of a row of `cols` elements, or `None` when `cols` is not a multiple of the block
    /// length or the count overflows.
    pub const fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// The name GGUF and the field use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2_K => "Q2_K",
            Self::Q3_K => "Q3_K",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
            Self::IQ4_NL => "IQ4_NL",
            Self::MXFP4 => "MXFP4",
        }
    }
}

impl std::fmt::Display for DType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
