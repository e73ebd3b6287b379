//! Writes small GGUF files for tests, sound ones and others: every count and length can be given
//! separately from what is written.

use std::path::PathBuf;
use tempfile::TempDir;
use terang_kernels::DType;

/// A GGUF file in the making.
#[derive(Clone, Debug)]
pub(crate) struct GgufWriter {
    pub(crate) version: u32,
    pub(crate) alignment: usize,
    /// Instead of the number of keys written.
    pub(crate) key_count: Option<u64>,
    /// Instead of the number of tensors written.
    pub(crate) tensor_count: Option<u64>,
    pub(crate) keys: Vec<Vec<u8>>,
    pub(crate) table: Vec<Vec<u8>>,
    pub(crate) data: Vec<u8>,
}

impl Default for GgufWriter {
    fn default() -> Self {
        Self {
            version: 3,
            alignment: 32,
            key_count: None,
            tensor_count: None,
            keys: Vec::new(),
            table: Vec::new(),
            data: Vec::new(),
        }
    }
}

/// A length and the bytes.
pub(crate) fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl GgufWriter {
    /// Any key with its type number and the bytes of its value.
    pub(crate) fn raw_key(mut self, key: &str, value_type: u32, value: &[u8]) -> Self {
        self.keys
            .push([&string(key), value_type.to_le_bytes().as_slice(), value].concat());
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw_key(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.raw_key(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.raw_key(key, 7, &[value.into()])
    }

    pub(crate) fn str(self, key: &str, value: &str) -> Self {
        self.raw_key(key, 8, &string(value))
    }

    pub(crate) fn array(self, key: &str, item_type: u32, count: u64, items: &[u8]) -> Self {
        let head = [&item_type.to_le_bytes(), count.to_le_bytes().as_slice()].concat();
        self.raw_key(key, 9, &[&head, items].concat())
    }

    pub(crate) fn strings(self, key: &str, items: &[&str]) -> Self {
        let bytes: Vec<u8> = items.iter().flat_map(|item| string(item)).collect();
        self.array(key, 8, items.len() as u64, &bytes)
    }

    /// Any row of the tensor table; `dims` innermost first, as in the file.
    pub(crate) fn row(mut self, name: &str, dims: &[u64], type_id: u32, offset: u64) -> Self {
        let mut row = string(name);
        row.extend((dims.len() as u32).to_le_bytes());
        row.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        row.extend(type_id.to_le_bytes());
        row.extend(offset.to_le_bytes());
        self.table.push(row);
        self
    }

    /// A row of the tensor table as bytes.
    pub(crate) fn raw_row(mut self, row: Vec<u8>) -> Self {
        self.table.push(row);
        self
    }

    /// A tensor with its data; `shape` outermost first.
    pub(crate) fn tensor(mut self, name: &str, shape: &[u64], dtype: DType, data: &[u8]) -> Self {
        let offset = self.data.len().next_multiple_of(self.alignment);
        self.data.resize(offset, 0);
        self.data.extend(data);
        let dims: Vec<u64> = shape.iter().rev().copied().collect();
        self.row(name, &dims, type_id(dtype), offset as u64)
    }

    /// The file's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        let tensor_count = self.tensor_count.unwrap_or(self.table.len() as u64);
        bytes.extend(tensor_count.to_le_bytes());
        bytes.extend(
            self.key_count
                .unwrap_or(self.keys.len() as u64)
                .to_le_bytes(),
        );
        bytes.extend(self.keys.concat());
        bytes.extend(self.table.concat());
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
            bytes.extend(&self.data);
        }
        bytes
    }
}

/// The number of a storage type in GGUF files.
pub(crate) fn type_id(dtype: DType) -> u32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 6,
        DType::Q5_1 => 7,
        DType::Q8_0 => 8,
        DType::Q2_K => 10,
        DType::Q3_K => 11,
        DType::Q4_K => 12,
        DType::Q5_K => 13,
        DType::Q6_K => 14,
        DType::IQ4_NL => 20,
        DType::BF16 => 30,
        DType::MXFP4 => 39,
    }
}

/// A sound file with a value of every kind and a tensor of every storage type.
pub(crate) fn sample() -> GgufWriter {
    let mut writer = GgufWriter::default()
        .str("general.architecture", "llama")
        .u32("llama.block_count", 2)
        .f32("llama.rope.freq_base", 10000.0)
        .bool("tokenizer.ggml.add_bos_token", true)
        .strings("tokenizer.ggml.tokens", &["<unk>", "a", "ä", "🦀"])
        .array(
            "tokenizer.ggml.scores",
            6,
            2,
            &[0, 0, 128, 63, 0, 0, 0, 192],
        )
        .array(
            "tokenizer.ggml.token_type",
            5,
            2,
            &[1, 0, 0, 0, 255, 255, 255, 255],
        )
        .raw_key("i64", 11, &(-5_i64).to_le_bytes())
        .raw_key("u64", 10, &u64::MAX.to_le_bytes())
        .raw_key("f64", 12, &0.25_f64.to_le_bytes())
        .array(
            "nested",
            9,
            2,
            &[
                [
                    &0_u32.to_le_bytes(),
                    2_u64.to_le_bytes().as_slice(),
                    &[7, 8],
                ]
                .concat(),
                [&0_u32.to_le_bytes(), 0_u64.to_le_bytes().as_slice()].concat(),
            ]
            .concat(),
        );
    for dtype in DType::ALL {
        let cols = dtype.block_len() * 2;
        let bytes = dtype.row_bytes(cols).unwrap() * 3;
        let data: Vec<u8> = (0..bytes).map(|i| (i * 37 % 251) as u8).collect();
        writer = writer.tensor(&format!("weight.{dtype}"), &[3, cols as u64], dtype, &data);
    }
    writer
}

/// Writes `bytes` to a file in a fresh folder, which lives as long as the first of the pair.
pub(crate) fn on_disk(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    (dir, path)
}
