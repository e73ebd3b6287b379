use super::*;
use crate::gemm::tests::{matrix, view};
use proptest::prelude::*;

/// The chain, from the matrices themselves.
fn naive(size: Size, a: View<'_>, b: View<'_>, c: &mut [f32], c_stride: usize, start: Start) {
    let at = |x: View<'_>, i: usize, j: usize| {
        halves(round(x.data[i * x.row_stride + j * x.col_stride]))[0]
    };
    for i in 0..size.m {
        for j in 0..size.n {
            let c = &mut c[i * c_stride + j];
            let mut total = if start == Start::Add { *c } else { 0.0 };
            for block in (0..size.k).step_by(K_BLOCK) {
                let mut sum = 0.0f32;
                for step in (block..size.k.min(block + K_BLOCK)).step_by(DEPTH) {
                    let mut chains = [0.0f32; 2];
                    for k in step..size.k.min(step + DEPTH) {
                        let chain = &mut chains[k % 2];
                        *chain = at(a, i, k).mul_add(at(b, k, j), *chain);
                    }
                    sum += chains[0] + chains[1];
                }
                total += sum;
            }
            *c = total;
        }
    }
}

/// The same numbers, many of them far apart.
fn spread(matrix: &mut (Vec<f32>, bool, usize), exponent: i32) {
    for (i, x) in matrix.0.iter_mut().enumerate() {
        let exponent = (i as i32).wrapping_mul(37) % (exponent + 1);
        *x *= 2f32.powi(exponent);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_level_and_number_of_threads_gives_the_chain(
        (m, n, k) in (1usize..100, 1usize..100, 1usize..1200),
        flips in any::<(bool, bool, bool)>(),
        gap in 0usize..3,
        exponent in prop_oneof![Just(0i32), Just(12), Just(-70)],
        seed in any::<u32>(),
    ) {
        let size = Size { m, n, k };
        let (mut a, mut b) = (matrix(m, k, gap, flips.0, seed), matrix(k, n, gap, flips.1, seed ^ 0x55));
        spread(&mut a, exponent.abs());
        if exponent < 0 {
            // As small as gradients are, down to what becomes zero.
            for x in &mut b.0 {
                *x *= 2f32.powi(-56);
            }
            for x in &mut a.0 {
                *x *= 2f32.powi(-110);
            }
        }
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

    #[test]
    fn rounding_is_to_the_nearest(bits in any::<u32>()) {
        let x = f32::from_bits(bits);
        let rounded = halves(round(x))[0];
        if x.is_nan() {
            prop_assert!(rounded.is_nan());
        } else if x.abs() < 2f32.powi(-55) {
            prop_assert_eq!(rounded.to_bits(), 0);
        } else {
            let down = f32::from_bits(bits & 0xffff_0000);
            let up = f32::from_bits((bits & 0xffff_0000).wrapping_add(0x1_0000));
            let (to_down, to_up) = (f64::from(x) - f64::from(down), f64::from(up) - f64::from(x));
            let is_even = bits & 0x1_0000 == 0;
            let expected = match to_down.abs().partial_cmp(&to_up.abs()) {
                _ if up.is_infinite() => rounded,
                Some(std::cmp::Ordering::Less) => down,
                Some(std::cmp::Ordering::Equal) if is_even => down,
                _ => up,
            };
            prop_assert_eq!(rounded.to_bits(), expected.to_bits());
        }
    }
}

/// A broken number reaches every element that it should, and no other.
#[test]
fn what_is_not_finite_is_seen() {
    let (pool, mut workspace) = (ThreadPool::new(1), Workspace::new());
    let size = Size {
        m: 20,
        n: 20,
        k: 40,
    };
    for bad in [f32::NAN, f32::INFINITY] {
        let (mut a, b) = (vec![1.0; 20 * 40], vec![0.5; 40 * 20]);
        a[7 * 40 + 33] = bad;
        for cpu in Cpu::available() {
            let mut c = vec![0.0; 20 * 20];
            gemm(
                cpu,
                &pool,
                &mut workspace,
                size,
                View::rows(&a, 40),
                View::rows(&b, 20),
                &mut c,
                20,
                Start::Zero,
            );
            for (i, row) in c.chunks_exact(20).enumerate() {
                assert!(
                    row.iter().all(|x| x.is_finite() == (i != 7)),
                    "{} {i}",
                    cpu.name()
                );
            }
        }
    }
}
