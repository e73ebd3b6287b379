//! Equality with the reference package, bit for bit.

use super::*;

const FIXTURE: &[u8] = include_bytes!("../../tests/fixtures/quant.bin");

struct Record {
    name: String,
    blocks: Vec<u8>,
    values: Vec<f32>,
}

fn records() -> Vec<Record> {
    let mut rest = FIXTURE;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let name_len = usize::from(take::<1>(&mut rest)[0]);
        let (name, after) = rest.split_at(name_len);
        rest = after;
        let elements = u32::from_le_bytes(*take(&mut rest)) as usize;
        let bytes = u32::from_le_bytes(*take(&mut rest)) as usize;
        let (blocks, after) = rest.split_at(bytes);
        let (values, after) = after.split_at(elements * 4);
        rest = after;
        records.push(Record {
            name: String::from_utf8(name.to_vec()).unwrap(),
            blocks: blocks.to_vec(),
            values: values
                .as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect(),
        });
    }
    records
}

#[test]
fn every_type_dequantizes_as_the_reference_does() {
    let records = records();
    for dtype in DType::ALL {
        let record = records.iter().find(|r| r.name == dtype.name()).unwrap();
        let mut out = vec![0.0; record.values.len()];
        dequantize_row(dtype, &record.blocks, &mut out);
        for (i, (ours, theirs)) in out.iter().zip(&record.values).enumerate() {
            let equal = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(equal, "{dtype} element {i}: {ours:e} for {theirs:e}");
        }
    }
}

#[test]
fn rows_quantize_as_the_reference_does() {
    let mut seen = 0;
    for record in records() {
        let Some(name) = record.name.strip_prefix("to:") else {
            continue;
        };
        let halves =
            |f: fn(f32) -> u16| record.values.iter().flat_map(move |x| f(*x).to_le_bytes());
        let ours: Vec<u8> = match name {
            "Q8_0" => quantize_row_q8_0(&record.values),
            "Q4_0" => quantize_row_q4_0(&record.values),
            "Q4_1" => quantize_row_q4_1(&record.values),
            "F16" => halves(f32_to_f16).collect(),
            "BF16" => halves(f32_to_bf16).collect(),
            _ => panic!("no quantizer to {name}"),
        };
        assert_eq!(ours, record.blocks, "{name}");
        seen += 1;
    }
    assert_eq!(seen, 5);
}

#[test]
#[should_panic(expected = "row of 33 Q8_0 elements")]
fn a_row_of_the_wrong_length_is_a_broken_promise() {
    dequantize_row(DType::Q8_0, &[0; 34], &mut [0.0; 33]);
}

proptest::proptest! {
    /// The error is never much above what sixteen steps over the sub-block's range give, which begins at zero
    /// or below: a minimum above zero cannot be told in this form.
    #[test]
    fn q4_k_is_near(seed in proptest::prelude::any::<u64>(), shift in -1.0f32..1.0, size in 1e-3f32..1e3) {
        let row: Vec<f32> = (0..512)
            .map(|i| ((crate::philox::uniform(seed, i) as f32 - 0.5) + shift) * size)
            .collect();
        let mut out = vec![0.0; row.len()];
        dequantize_row(crate::DType::Q4_K, &quantize_row_q4_k(&row), &mut out);
        // The block's largest minimum, which six bits are steps of.
        let coarse = row.iter().copied().fold(0.0, f32::min).abs() / 63.0;
        for (x, y) in row.chunks(32).zip(out.chunks(32)) {
            let least = x.iter().copied().fold(0.0, f32::min);
            let greatest = x.iter().copied().fold(least, f32::max);
            let step = (greatest - least) / 15.0;
            let errors = x.iter().zip(y).map(|(x, y)| (x - y) * (x - y));
            let root_mean = (errors.sum::<f32>() / 32.0).sqrt();
            // Rounding alone gives 0.29 of a step; six bits of the scale and the minimum add to it.
            proptest::prop_assert!(root_mean < 0.6 * step + coarse, "{} {}", root_mean, step);
        }
    }
}

#[test]
fn q4_k_takes_any_numbers() {
    for row in [
        [0.0f32; 256],
        [f32::MIN_POSITIVE; 256],
        [1e30; 256],
        [-3.0; 256],
    ] {
        let bytes = quantize_row_q4_k(&row);
        assert_eq!(bytes.len(), 144);
        let mut out = [0.0; 256];
        dequantize_row(crate::DType::Q4_K, &bytes, &mut out);
        if row[0].abs() < 1e5 {
            assert!(
                out.iter()
                    .all(|x| (x - row[0]).abs() <= 0.02 * row[0].abs() + 1e-7),
                "{}",
                out[0]
            );
        }
    }
}
