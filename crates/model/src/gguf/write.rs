//! Writing a GGUF file, version 3.

use super::{MAGIC, ValueType, header::type_id};
use std::io::{self, Write};
use terang_kernels::DType;

/// Bytes that tensors begin at a multiple of; the format's default.
const ALIGNMENT: usize = 32;

/// A value to write.
#[derive(Clone, Debug)]
pub enum NewValue {
    /// A 32-bit unsigned integer.
    U32(u32),
    /// A single.
    F32(f32),
    /// A boolean.
    Bool(bool),
    /// A text.
    Str(String),
    /// A list of texts.
    Strings(Vec<String>),
    /// A list of 32-bit integers.
    I32s(Vec<i32>),
}

/// A tensor to write.
#[derive(Clone, Debug)]
pub struct NewTensor {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<usize>,
    /// How its elements are stored.
    pub dtype: DType,
    /// Its elements.
    pub data: Vec<u8>,
}

/// Writes a GGUF file.
///
/// # Errors
/// What writing fails with.
pub fn write(
    out: &mut impl Write,
    metadata: &[(String, NewValue)],
    tensors: &[NewTensor],
) -> io::Result<()> {
    let mut header = Vec::new();
    header.extend(MAGIC);
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        string(&mut header, key);
        put(&mut header, value);
    }
    let mut at = 0;
    for tensor in tensors {
        string(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for dim in tensor.shape.iter().rev() {
            header.extend((*dim as u64).to_le_bytes());
        }
        header.extend(type_id(tensor.dtype).to_le_bytes());
        header.extend((at as u64).to_le_bytes());
        at += tensor.data.len().next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    out.write_all(&header)?;
    for tensor in tensors {
        out.write_all(&tensor.data)?;
        let rest = tensor.data.len().next_multiple_of(ALIGNMENT) - tensor.data.len();
        out.write_all(&[0; ALIGNMENT][..rest])?;
    }
    Ok(())
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put(out: &mut Vec<u8>, value: &NewValue) {
    let kind = |out: &mut Vec<u8>, kind: ValueType| out.extend((kind as u32).to_le_bytes());
    match value {
        NewValue::U32(x) => {
            kind(out, ValueType::U32);
            out.extend(x.to_le_bytes());
        }
        NewValue::F32(x) => {
            kind(out, ValueType::F32);
            out.extend(x.to_le_bytes());
        }
        NewValue::Bool(x) => {
            kind(out, ValueType::Bool);
            out.push(u8::from(*x));
        }
        NewValue::Str(text) => {
            kind(out, ValueType::String);
            string(out, text);
        }
        NewValue::Strings(texts) => {
            kind(out, ValueType::Array);
            kind(out, ValueType::String);
            out.extend((texts.len() as u64).to_le_bytes());
            for text in texts {
                string(out, text);
            }
        }
        NewValue::I32s(numbers) => {
            kind(out, ValueType::Array);
            kind(out, ValueType::I32);
            out.extend((numbers.len() as u64).to_le_bytes());
            out.extend(numbers.iter().flat_map(|x| x.to_le_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TensorSource as _;
    use crate::gguf::Gguf;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let values = [
            (
                "general.architecture".to_owned(),
                NewValue::Str("llama".to_owned()),
            ),
            ("a.f".to_owned(), NewValue::F32(1.5)),
            ("a.b".to_owned(), NewValue::Bool(true)),
            ("a.u".to_owned(), NewValue::U32(7)),
            (
                "a.s".to_owned(),
                NewValue::Strings(vec!["x".to_owned(), "yy".to_owned()]),
            ),
            ("a.i".to_owned(), NewValue::I32s(vec![-1, 2])),
        ];
        let floats: Vec<u8> = [1.0f32, 2.0, 3.0]
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        let tensors = [
            NewTensor {
                name: "t".to_owned(),
                shape: vec![3],
                dtype: DType::F32,
                data: floats.clone(),
            },
            NewTensor {
                name: "q".to_owned(),
                shape: vec![2, 32],
                dtype: DType::Q8_0,
                data: vec![1; 68],
            },
        ];
        let mut file = std::fs::File::create(&path).unwrap();
        write(&mut file, &values, &tensors).unwrap();
        let read = Gguf::open(&path).unwrap();
        let metadata = read.metadata();
        assert_eq!(metadata.str("general.architecture").unwrap(), "llama");
        assert_eq!(
            (metadata.f32("a.f").unwrap(), metadata.u32("a.u").unwrap()),
            (1.5, 7)
        );
        assert_eq!(metadata.ints("a.i").unwrap().collect::<Vec<_>>(), [-1, 2]);
        assert_eq!(metadata.len(), 6);
        assert_eq!(read.require("t").unwrap().data, floats);
        let view = read.require("q").unwrap();
        assert_eq!(
            (view.shape, view.dtype, view.data.len()),
            (&[2, 32][..], DType::Q8_0, 68)
        );
    }
}
