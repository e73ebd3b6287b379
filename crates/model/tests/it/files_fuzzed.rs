//! Random and mutated files: they open or are refused, and what opens can be read to the end.

use crate::files_safetensors::file;
use crate::gguf_writer::sample;
use proptest::prelude::*;
use std::io::Write;
use terang_model::TensorSource;
use terang_model::gguf::{Gguf, Value};
use terang_model::safetensors::Safetensors;

/// Reads every value and a block of every tensor, as the fuzz targets do.
fn read_all(source: &dyn TensorSource) {
    for name in source.names() {
        let Some(tensor) = source.tensor(name) else {
            continue;
        };
        let (len, bytes) = (tensor.dtype.block_len(), tensor.dtype.block_bytes());
        if let Some(block) = tensor.data.get(..bytes) {
            let mut out = vec![0.0; len];
            terang_kernels::quant::dequantize_row(tensor.dtype, block, &mut out);
        }
        let elements: usize = tensor.shape.iter().product();
        assert_eq!(tensor.data.len(), tensor.dtype.row_bytes(elements).unwrap());
    }
}

fn try_gguf(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let Ok(gguf) = Gguf::open(file.path()) else {
        return;
    };
    for (key, value) in gguf.metadata().iter() {
        let _ = value.to_string();
        if let Value::Array(array) = value {
            let strings = array.strings().map_or(0, Iterator::count);
            let numbers = array.numbers().map_or(0, |numbers| numbers.iter().count());
            assert!(strings + numbers == array.len() || array.item_type().size().is_none());
        }
        assert!(gguf.metadata().contains(key));
    }
    read_all(&gguf);
}

fn try_safetensors(bytes: &[u8]) {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(bytes).unwrap();
    if let Ok(tensors) = Safetensors::open(named.path()) {
        read_all(&tensors);
    }
}

/// Replaces, inserts or takes out bytes at places given as fractions of the length.
pub(crate) fn mutate(bytes: &mut Vec<u8>, changes: &[(f64, u8, Vec<u8>)]) {
    for (place, kind, with) in changes {
        let at = ((bytes.len() as f64 * place) as usize).min(bytes.len());
        let end = (at + with.len()).min(bytes.len());
        match kind % 3 {
            0 => bytes[at..end].copy_from_slice(&with[..end - at]),
            1 => drop(bytes.splice(at..at, with.iter().copied())),
            _ => drop(bytes.drain(at..end)),
        }
    }
}

/// Changes, half of them in the first tenth of the file and of eight bytes, as the counts are.
pub(crate) fn changes() -> impl Strategy<Value = Vec<(f64, u8, Vec<u8>)>> {
    let place = prop_oneof![0.0..0.1, 0.0..1.0];
    let extreme = prop_oneof![
        Just(u64::MAX),
        Just(1 << 63),
        Just(1 << 32),
        Just(0),
        any::<u64>()
    ];
    let with = prop_oneof![
        extreme.prop_map(|x| x.to_le_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..4)
    ];
    prop::collection::vec((place, any::<u8>(), with), 1..4)
}

const SAFETENSORS_HEADER: &str = r#"{"__metadata__":{"format":"pt"},
    "a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},
    "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[16,28]}}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn mutated_gguf_files_open_or_are_refused(changes in changes()) {
        let mut bytes = sample().bytes();
        mutate(&mut bytes, &changes);
        try_gguf(&bytes);
    }

    #[test]
    fn mutated_safetensors_files_open_or_are_refused(changes in changes()) {
        let mut bytes = file(SAFETENSORS_HEADER, &[7; 28]);
        mutate(&mut bytes, &changes);
        try_safetensors(&bytes);
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_gguf(&bytes);
        try_gguf(&[b"GGUF\x03\0\0\0".as_slice(), &bytes].concat());
        try_safetensors(&bytes);
        let header = String::from_utf8_lossy(&bytes);
        try_safetensors(&file(&header, &bytes));
    }
}
