use super::*;
use proptest::prelude::*;

/// A matrix of that many rows and columns, some elements apart, or its transpose in memory.
pub(super) fn matrix(
    rows: usize,
    cols: usize,
    gap: usize,
    flip: bool,
    seed: u32,
) -> (Vec<f32>, bool, usize) {
    let (outer, inner) = if flip { (cols, rows) } else { (rows, cols) };
    let stride = inner + gap;
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let data = (0..outer * stride)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state as f32 / u32::MAX as f32) - 0.5
        })
        .collect();
    (data, flip, stride)
}

pub(super) fn view(matrix: &(Vec<f32>, bool, usize)) -> View<'_> {
    let view = View::rows(&matrix.0, matrix.2);
    if matrix.1 { view.transposed() } else { view }
}

fn naive(size: Size, a: View<'_>, b: View<'_>, c: &mut [f32], c_stride: usize, start: Start) {
    for i in 0..size.m {
        for j in 0..size.n {
            let c = &mut c[i * c_stride + j];
            let from = if start == Start::Add { *c } else { 0.0 };
            *c = (0..size.k).fold(from, |acc, p| {
                let a = a.data[i * a.row_stride + p * a.col_stride];
                a.mul_add(b.data[p * b.row_stride + j * b.col_stride], acc)
            });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_level_and_number_of_threads_gives_the_chain(
        // Beyond each of the blocks that a product goes by: of rows, of columns, of `k`.
        (m, n, k) in prop_oneof![
            2 => (1usize..150, 1usize..150, 1usize..350),
            1 => (1usize..24, N_BLOCK - 20..2 * N_BLOCK + 70, 1usize..40),
            1 => (1usize..40, 1usize..120, K_BLOCK - 20..2 * K_BLOCK + 20),
        ],
        flips in any::<(bool, bool, bool)>(),
        gap in 0usize..3,
        seed in any::<u32>(),
    ) {
        let size = Size { m, n, k };
        let a = matrix(m, k, gap, flips.0, seed);
        let b = matrix(k, n, gap, flips.1, seed ^ 0x55);
        let start = if flips.2 { Start::Add } else { Start::Zero };
        let (before, _, c_stride) = matrix(m, n, gap, false, seed ^ 0xaa);
        let mut expected = before.clone();
        naive(size, view(&a), view(&b), &mut expected, c_stride, start);
        for cpu in Cpu::available() {
            for threads in [1, 3] {
                let (pool, mut workspace) = (ThreadPool::new(threads), Workspace::new());
                let mut c = before.clone();
                gemm(cpu, &pool, &mut workspace, size, view(&a), view(&b), &mut c, c_stride, start);
                prop_assert!(
                    c.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits()),
                    "{} with {threads} threads", cpu.name()
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_first_rows_and_columns_of_a_right_side_give_the_chain(
        (m, n, k) in prop_oneof![
            2 => (1usize..70, 1usize..150, 1usize..200),
            1 => (1usize..20, 1usize..70, K_BLOCK - 20..K_BLOCK + 60),
        ],
        more in (0usize..60, 0usize..60),
        flips in any::<(bool, bool, bool)>(),
        seed in any::<u32>(),
    ) {
        let size = Size { m, n, k };
        let (all_n, all_k) = (n + more.0, k + more.1);
        let a = matrix(m, k, 1, flips.0, seed);
        let b = matrix(all_k, all_n, 2, flips.1, seed ^ 0x55);
        let start = if flips.2 { Start::Add } else { Start::Zero };
        let (before, _, c_stride) = matrix(m, n, 3, false, seed ^ 0xaa);
        let mut expected = before.clone();
        naive(size, view(&a), view(&b), &mut expected, c_stride, start);
        for cpu in Cpu::available() {
            let mut right = Right::default();
            right.set(cpu, view(&b), all_k, all_n);
            let mut c = before.clone();
            multiply(cpu, size, view(&a), &right, &mut c, c_stride, start);
            prop_assert!(
                c.iter().zip(&expected).all(|(x, y)| x.to_bits() == y.to_bits()),
                "{}", cpu.name()
            );
        }
    }
}

#[test]
fn empty_sums_are_zero_or_what_was_there() {
    let (pool, mut workspace) = (ThreadPool::new(1), Workspace::new());
    let size = Size { m: 2, n: 2, k: 0 };
    for (start, expected) in [(Start::Add, [1.0, 2.0, 3.0, 4.0]), (Start::Zero, [0.0; 4])] {
        let mut c = [1.0, 2.0, 3.0, 4.0];
        let empty = View::rows(&[], 1);
        gemm(
            Cpu::best(),
            &pool,
            &mut workspace,
            size,
            empty,
            empty,
            &mut c,
            2,
            start,
        );
        assert_eq!(c, expected);
    }
}
