//! Layer normalization and GELU: against their plain definitions, and bit for bit between levels.

use proptest::prelude::*;
use terang_kernels::{Cpu, rows};

fn floats(len: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(-30.0f32..30.0, len)
}

fn cases() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<f32>)> {
    (1usize..70, 1usize..4)
        .prop_flat_map(|(width, rows)| (floats(width * rows), floats(width), floats(width)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn layer_norm_is_what_it_says((x, weight, bias) in cases()) {
        let (width, eps) = (weight.len(), 1e-5f32);
        let normed = |cpu| {
            let mut x = x.clone();
            rows::layer_norm_in_place(cpu, &mut x, &weight, &bias, eps);
            x
        };
        let expected = normed(Cpu::SCALAR);
        for cpu in Cpu::available() {
            let found = normed(cpu);
            let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            prop_assert!(same, "{}", cpu.name());
        }
        for (x, found) in x.chunks_exact(width).zip(expected.chunks_exact(width)) {
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
            let squares = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>();
            let scale = 1.0 / (squares / width as f64 + f64::from(eps)).sqrt();
            for (i, found) in found.iter().enumerate() {
                let exact = (f64::from(x[i]) - mean) * scale * f64::from(weight[i]);
                let exact = exact + f64::from(bias[i]);
                prop_assert!((f64::from(*found) - exact).abs() < 2e-3, "{found} is not {exact}");
            }
        }
    }

    #[test]
    fn gelu_is_the_same_at_every_level(x in floats(53)) {
        let bits = |cpu| {
            let mut x = x.clone();
            rows::gelu_in_place(cpu, &mut x);
            x.into_iter().map(f32::to_bits).collect::<Vec<_>>()
        };
        for cpu in Cpu::available() {
            prop_assert_eq!(bits(cpu), bits(Cpu::SCALAR), "{}", cpu.name());
        }
    }
}
