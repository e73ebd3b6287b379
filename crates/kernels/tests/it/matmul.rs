//! Matrix products.

use crate::weights::{Random, random_matrix};
use proptest::prelude::*;
use terang_kernels::buffer::Arena;
use terang_kernels::matmul::{Activations, Target, matmul};
use terang_kernels::packed::LAYOUT_VERSION;
use terang_kernels::quant::dequantize_row;
use terang_kernels::{Cpu, DType, PackedMatrix, ThreadPool};

fn product(
    cpu: Cpu,
    pool: &ThreadPool,
    matrix: &PackedMatrix,
    x: &[f32],
    tokens: usize,
) -> Vec<f32> {
    let mut activations = Activations::default();
    activations.set(cpu, pool, x, tokens, matrix.cols(), [matrix.dtype()]);
    let mut out = vec![f32::NAN; tokens * matrix.rows()];
    matmul(
        cpu,
        pool,
        &[Target { matrix, column: 0 }],
        &activations,
        &mut out,
        matrix.rows(),
    );
    out
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_level_and_thread_count_equals_scalar(
        dtype in prop::sample::select(DType::ALL.to_vec()),
        rows in 1usize..70,
        blocks in 1usize..5,
        tokens in prop_oneof![1usize..14, 14usize..150],
        threads in prop::sample::select(vec![1usize, 2, 3, 7]),
        seed: u64,
    ) {
        let mut random = Random(seed);
        let cols = if dtype.block_len() == 1 { 1 + blocks * 7 } else { blocks * dtype.block_len() };
        let data = random_matrix(&mut random, dtype, rows, cols);
        let x: Vec<f32> = (0..tokens * cols).map(|_| random.float() * 3.0).collect();
        let pool = ThreadPool::new(threads);
        let matrix = PackedMatrix::pack(&pool, &Arena::new(), dtype, rows, cols, &data).unwrap();
        let mut row = Vec::new();
        for (index, wanted) in data.chunks_exact(data.len() / rows).enumerate() {
            if matrix.copy_row(index, &mut row) {
                prop_assert_eq!(&row, wanted);
            }
        }
        let expected = product(Cpu::SCALAR, &ThreadPool::new(1), &matrix, &x, tokens);
        for cpu in Cpu::available() {
            let found = product(cpu, &pool, &matrix, &x, tokens);
            prop_assert_eq!(bits(&found), bits(&expected), "{} {}", cpu.name(), dtype);
        }
        // A token alone gives what it gives among others.
        let last = product(Cpu::best(), &pool, &matrix, &x[(tokens - 1) * cols..], 1);
        prop_assert_eq!(bits(&last), bits(&expected[(tokens - 1) * rows..]));
    }
}

/// The product is that of the dequantized weights, up to the activations' rounding to int8.
#[test]
fn products_agree_with_dequantized_weights() {
    let pool = ThreadPool::new(2);
    for dtype in DType::ALL {
        let mut random = Random(7);
        let (rows, cols) = (33, 512);
        let data = random_matrix(&mut random, dtype, rows, cols);
        let matrix = PackedMatrix::pack(&pool, &Arena::new(), dtype, rows, cols, &data).unwrap();
        // Activations that int8 blocks hold exactly: multiples of a step up to 127 of them.
        let x: Vec<f32> = (0..cols)
            .map(|i| if i % 32 == 5 { 127.0 } else { (random.float() * 127.0).round() } / 64.0)
            .collect();
        let found = product(Cpu::best(), &pool, &matrix, &x, 1);
        let row_bytes = dtype.row_bytes(cols).unwrap();
        for row in 0..rows {
            let mut w = vec![0.0; cols];
            dequantize_row(dtype, &data[row * row_bytes..][..row_bytes], &mut w);
            let exact: f64 = w
                .iter()
                .zip(&x)
                .map(|(w, x)| f64::from(*w) * f64::from(*x))
                .sum();
            let size: f64 = w
                .iter()
                .zip(&x)
                .map(|(w, x)| (f64::from(*w) * f64::from(*x)).abs())
                .sum();
            let error = (f64::from(found[row]) - exact).abs();
            assert!(
                error <= size * 2e-6,
                "{dtype} row {row}: {} is not {exact}",
                found[row]
            );
        }
    }
}

#[test]
fn scales_that_are_not_finite_are_refused() {
    let pool = ThreadPool::new(1);
    let mut data = vec![0u8; 34];
    data[1] = 0x7c;
    let result = PackedMatrix::pack(&pool, &Arena::new(), DType::Q8_0, 1, 32, &data);
    assert_eq!(
        result.unwrap_err(),
        terang_kernels::packed::PackError::NotFinite
    );
}

#[test]
fn a_changed_layout_has_a_new_version() {
    // Files of packed weights name the version: where these sums change, `LAYOUT_VERSION` must.
    let pool = ThreadPool::new(1);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for dtype in DType::ALL {
        let cols = 2 * dtype.block_len();
        let data = random_matrix(&mut Random(7), dtype, 17, cols);
        let matrix = PackedMatrix::pack(&pool, &Arena::new(), dtype, 17, cols, &data).unwrap();
        for byte in matrix.packed_bytes() {
            // FNV-1a.
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    assert_eq!((LAYOUT_VERSION, sum), (2, 2_204_706_396_983_244_150));
}

proptest! {
    #[test]
    fn packed_bytes_make_the_same_matrix(
        dtype in prop::sample::select(DType::ALL.to_vec()),
        rows in 1usize..40,
        seed: u64,
    ) {
        let pool = ThreadPool::new(1);
        let cols = 3 * dtype.block_len();
        let mut random = Random(seed);
        let data = random_matrix(&mut random, dtype, rows, cols);
        let matrix = PackedMatrix::pack(&pool, &Arena::new(), dtype, rows, cols, &data).unwrap();
        let copy = |bytes: &[u8]| {
            let mut buffer = Arena::new().zeroed(bytes.len()).unwrap();
            buffer.as_mut_slice().copy_from_slice(bytes);
            buffer.into()
        };
        let bytes = matrix.packed_bytes();
        let again = PackedMatrix::from_packed(dtype, rows, cols, copy(bytes)).unwrap();
        let x: Vec<f32> = (0..2 * cols).map(|_| random.float()).collect();
        prop_assert_eq!(
            bits(&product(Cpu::best(), &pool, &matrix, &x, 2)),
            bits(&product(Cpu::best(), &pool, &again, &x, 2))
        );
        let short = copy(&bytes[1..]);
        prop_assert!(PackedMatrix::from_packed(dtype, rows, cols, short).is_err());
    }
}
