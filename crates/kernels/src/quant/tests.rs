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
