//! Random weights of every storage type.

use terang_kernels::DType;

/// A small generator, enough for test data (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in -1 to 1.
    pub(crate) fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// A finite f16 of moderate size.
    fn scale16(&mut self) -> [u8; 2] {
        let sign = (self.next() as u16 & 1) << 15;
        let exponent = (8 + self.next() % 10) as u16;
        let mantissa = self.next() as u16 & 0x3ff;
        (sign | (exponent << 10) | mantissa).to_le_bytes()
    }
}

/// A matrix as files hold it: random codes, finite scales.
pub(crate) fn random_matrix(
    random: &mut Random,
    dtype: DType,
    rows: usize,
    cols: usize,
) -> Vec<u8> {
    let mut data = Vec::new();
    for _ in 0..rows * cols / dtype.block_len() {
        let start = data.len();
        data.extend((0..dtype.block_bytes()).map(|_| random.next() as u8));
        let block = &mut data[start..];
        match dtype {
            DType::F32 => block.copy_from_slice(&random.float().to_le_bytes()),
            DType::F16 => block.copy_from_slice(&random.scale16()),
            DType::BF16 => block.copy_from_slice(&random.float().to_le_bytes()[2..]),
            DType::Q4_0 | DType::Q5_0 | DType::Q8_0 | DType::IQ4_NL => {
                block[..2].copy_from_slice(&random.scale16());
            }
            DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => {
                block[..2].copy_from_slice(&random.scale16());
                block[2..4].copy_from_slice(&random.scale16());
            }
            DType::MXFP4 => block[0] = 110 + block[0] % 20,
            DType::Q2_K => {
                block[80..82].copy_from_slice(&random.scale16());
                block[82..84].copy_from_slice(&random.scale16());
            }
            DType::Q3_K => block[108..].copy_from_slice(&random.scale16()),
            DType::Q6_K => block[208..].copy_from_slice(&random.scale16()),
        }
    }
    data
}
