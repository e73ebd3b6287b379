//! Writing a safetensors file.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// A tensor of f32 to write.
#[derive(Clone, Debug)]
pub struct NewTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its dimensions, outermost first.
    pub shape: &'a [usize],
    /// Its elements.
    pub data: &'a [f32],
}

/// Writes a safetensors file of f32 tensors, with `metadata` in its header.
///
/// # Errors
/// What writing fails with; [`io::ErrorKind::InvalidInput`] where a shape is not that of its elements.
pub fn write(
    out: &mut impl Write,
    tensors: &[NewTensor<'_>],
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut at = 0;
    for tensor in tensors {
        if tensor.shape.iter().product::<usize>() != tensor.data.len() {
            let message = format!(
                "tensor {}: its shape is not that of its elements",
                tensor.name
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let end = at + 4 * tensor.data.len();
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [at, end] });
        header.insert(tensor.name.to_owned(), entry);
        at = end;
    }
    let mut text = Value::Object(header).to_string();
    // Data begins at a multiple of 8, as the format's own writer has it.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    out.write_all(&(text.len() as u64).to_le_bytes())?;
    out.write_all(text.as_bytes())?;
    let mut bytes = Vec::with_capacity(1 << 16);
    for tensor in tensors {
        for part in tensor.data.chunks(1 << 14) {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|x| x.to_le_bytes()));
            out.write_all(&bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorSource as _;
    use crate::safetensors::Safetensors;

    #[test]
    fn what_is_written_is_read() {
        let data: Vec<f32> = (0..40_000).map(|i| i as f32 * 0.5 - 7.0).collect();
        let tensors = [
            NewTensor {
                name: "b",
                shape: &[200, 200],
                data: &data,
            },
            NewTensor {
                name: "a",
                shape: &[3],
                data: &data[..3],
            },
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let mut file = std::fs::File::create(&path).unwrap();
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        write(&mut file, &tensors, &metadata).unwrap();
        let read = Safetensors::open(&path).unwrap();
        for tensor in &tensors {
            let view = read.require(tensor.name).unwrap();
            assert_eq!(view.shape, tensor.shape);
            let numbers: Vec<f32> = view
                .data
                .as_chunks::<4>()
                .0
                .iter()
                .map(|x| f32::from_le_bytes(*x))
                .collect();
            assert_eq!(numbers, tensor.data);
        }
        let wrong = [NewTensor {
            name: "a",
            shape: &[4],
            data: &data[..3],
        }];
        assert!(write(&mut Vec::new(), &wrong, &BTreeMap::new()).is_err());
    }
}
