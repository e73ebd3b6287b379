//! Safetensors: one file, or the shards of a model with their index.
//!
//! Invariant: after opening, every tensor's range lies inside its file's data, the tensors of a file
//! follow each other without overlap, hole or rest (as the format demands), each shape agrees with
//! its range, and names are unique over all shards.
//!
//! The bytes of a tensor may lie at any address: the format does not align them.

mod header;
mod write;

pub use write::{NewTensor, write};

use crate::checkpoint::{TensorSource, TensorView, folder_file};
use crate::mapped::MappedFile;
use crate::{Error, Result};
use header::Row;
use std::ops::Range;
use std::path::{Path, PathBuf};
use terang_kernels::DType;

/// Most bytes of a header. The format allows 100 MB; the greatest published have under two, and this
/// much is parsed within a second and bounded memory.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Most bytes of an index.
const INDEX_BYTES_MAX: usize = 32 << 20;

/// One or more open safetensors files.
#[derive(Debug)]
pub struct Safetensors {
    /// The file, or the index of a sharded model.
    path: PathBuf,
    shards: Vec<MappedFile>,
    /// Sorted by name.
    tensors: Vec<Tensor>,
}

#[derive(Debug)]
struct Tensor {
    name: Box<str>,
    shard: usize,
    dtype: StoredType,
    shape: Box<[usize]>,
    data: Range<usize>,
}

/// Element type of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StoredType {
    /// One that the decoder reads.
    Weights(DType),
    /// Another one of the format: an error only when the tensor is asked for, since files of
    /// supported models may hold such buffers beside the weights.
    Other { name: &'static str, bits: usize },
}

impl Safetensors {
    /// Opens one file.
    pub fn open(path: &Path) -> Result<Self> {
        let mut opened = Self {
            path: path.to_owned(),
            shards: Vec::new(),
            tensors: Vec::new(),
        };
        opened.add_shard(path)?;
        opened.sort()?;
        Ok(opened)
    }

    /// Opens the shards that the index `file_name` in `folder` names. The shards must lie in the
    /// same folder ([`folder_file`]).
    pub fn open_sharded(folder: &Path, file_name: &str) -> Result<Self> {
        let path = folder_file(folder, file_name)?;
        let map = MappedFile::open(&path)?;
        if map.bytes().len() > INDEX_BYTES_MAX {
            let found = format!("{} bytes", map.bytes().len());
            let allowed = format!("at most {INDEX_BYTES_MAX}");
            return Err(Error::invalid(path, "file size", found, allowed));
        }
        let index = header::parse_index(map.bytes())
            .map_err(|error| Error::invalid(&path, "weight_map", error, "JSON of an index"))?;
        let mut opened = Self {
            path,
            shards: Vec::new(),
            tensors: Vec::new(),
        };
        for file in &index.files {
            opened.add_shard(&folder_file(folder, file)?)?;
        }
        opened.sort()?;
        opened.check_against(&index)?;
        Ok(opened)
    }

    fn add_shard(&mut self, path: &Path) -> Result<()> {
        let map = MappedFile::open(path)?;
        let (rows, data) = read_header(&map)?;
        let shard = self.shards.len();
        for row in rows {
            self.tensors.push(place(path, row, shard, &data)?);
        }
        check_cover(path, &mut self.tensors, shard, &data)?;
        self.shards.push(map);
        Ok(())
    }

    fn sort(&mut self) -> Result<()> {
        self.tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let twice = |pair: &&[Tensor]| pair[0].name == pair[1].name;
        match self.tensors.windows(2).find(twice) {
            None => Ok(()),
            Some(pair) => {
                let path = self.shards[pair[1].shard].path();
                let name = &*pair[1].name;
                Err(Error::invalid(
                    path,
                    name,
                    "the name twice",
                    "each name once",
                ))
            }
        }
    }

    /// Every tensor of the index is in the shard that the index names, and no other is there.
    fn check_against(&self, index: &header::Index) -> Result<()> {
        for (name, shard) in &index.tensors {
            let found = match self.find(name) {
                Some(tensor) if tensor.shard == *shard => continue,
                Some(tensor) => format!("the tensor in {}", index.files[tensor.shard]),
                None => "no such tensor".to_owned(),
            };
            let allowed = format!("the tensor in {}", index.files[*shard]);
            return Err(Error::invalid(&self.path, &**name, found, allowed));
        }
        // All of the index are there, so a difference in number is a duplicate or a tensor beside.
        if index.tensors.len() != self.tensors.len() {
            let found = format!("{} names", index.tensors.len());
            let allowed = format!("the {} tensors of the files, each once", self.tensors.len());
            return Err(Error::invalid(&self.path, "weight_map", found, allowed));
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Option<&Tensor> {
        let found = self
            .tensors
            .binary_search_by(|tensor| (*tensor.name).cmp(name));
        Some(&self.tensors[found.ok()?])
    }

    fn view<'a>(&'a self, tensor: &'a Tensor, dtype: DType) -> TensorView<'a> {
        TensorView {
            dtype,
            shape: &tensor.shape,
            data: &self.shards[tensor.shard].bytes()[tensor.data.clone()],
        }
    }
}

impl TensorSource for Safetensors {
    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let tensor = self.find(name)?;
        match tensor.dtype {
            StoredType::Weights(dtype) => Some(self.view(tensor, dtype)),
            StoredType::Other { .. } => None,
        }
    }

    fn require(&self, name: &str) -> Result<TensorView<'_>> {
        match self.find(name) {
            None => Err(crate::checkpoint::missing(self, name)),
            Some(tensor) => match tensor.dtype {
                StoredType::Weights(dtype) => Ok(self.view(tensor, dtype)),
                StoredType::Other { name: found, .. } => {
                    let path = self.shards[tensor.shard].path();
                    let field = format!("{name}: dtype");
                    Err(Error::unsupported(path, field, found, "F32, F16, BF16"))
                }
            },
        }
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|tensor| &*tensor.name).collect()
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn done_with(&self, name: &str) {
        if let Some(tensor) = self.find(name) {
            let shard = &self.shards[tensor.shard];
            shard.done_with(&shard.bytes()[tensor.data.clone()]);
        }
    }

    fn identity(&self) -> Option<String> {
        let shards = self.shards.iter().map(|shard| shard.identity().ok());
        Some(shards.collect::<Option<Vec<_>>>()?.join(" "))
    }

    fn check_intact(&self) -> Result<()> {
        self.shards.iter().try_for_each(MappedFile::check_intact)
    }
}

/// The rows of the header and the range of the data.
fn read_header(map: &MappedFile) -> Result<(Vec<Row>, Range<usize>)> {
    let (path, bytes) = (map.path(), map.bytes());
    let Some((size, rest)) = bytes.split_first_chunk() else {
        let found = format!("{} bytes", bytes.len());
        return Err(Error::invalid(path, "file size", found, "at least 8 bytes"));
    };
    let size = u64::from_le_bytes(*size);
    if size > HEADER_BYTES_MAX {
        let allowed = format!("at most {HEADER_BYTES_MAX} bytes");
        return Err(Error::invalid(path, "header size", size, allowed));
    }
    let Some((json, data)) = rest.split_at_checked(size as usize) else {
        let allowed = format!("at most {}, where the file ends", rest.len());
        return Err(Error::invalid(path, "header size", size, allowed));
    };
    if json.first() != Some(&b'{') {
        let found = json.get(..1).unwrap_or_default().escape_ascii().to_string();
        return Err(Error::invalid(
            path,
            "header",
            format!("\"{found}\" first"),
            "\"{\" first",
        ));
    }
    let rows = header::parse_header(json)
        .map_err(|error| Error::invalid(path, "header", error, "JSON of a safetensors header"))?;
    Ok((rows, bytes.len() - data.len()..bytes.len()))
}

fn place(path: &Path, row: Row, shard: usize, data: &Range<usize>) -> Result<Tensor> {
    let name = &*row.name;
    let Some(dtype) = StoredType::from_name(&row.dtype) else {
        let allowed = "a type of the safetensors format";
        return Err(Error::invalid(
            path,
            format!("{name}: dtype"),
            row.dtype,
            allowed,
        ));
    };
    let mut shape = Vec::with_capacity(row.shape.len());
    for dim in &row.shape {
        let allowed = format!("0 to {}", isize::MAX);
        let dim = usize::try_from(*dim)
            .ok()
            .filter(|dim| isize::try_from(*dim).is_ok())
            .ok_or_else(|| Error::invalid(path, format!("{name}: dimension"), dim, allowed))?;
        shape.push(dim);
    }
    let bits = shape
        .iter()
        .try_fold(dtype.bits(), |size, dim| size.checked_mul(*dim));
    let Some(size) = bits.filter(|bits| bits % 8 == 0).map(|bits| bits / 8) else {
        let found = format!("{shape:?} {} elements", row.dtype);
        let allowed = "whole bytes, fewer than 2^61";
        return Err(Error::invalid(
            path,
            format!("{name}: shape"),
            found,
            allowed,
        ));
    };
    let [begin, end] = row.data_offsets;
    let inside = begin <= end && end <= data.len() as u64;
    if !inside || end - begin != size as u64 {
        let found = format!("[{begin}, {end}]");
        let allowed = format!("{size} bytes (the shape's) inside {} of data", data.len());
        return Err(Error::invalid(
            path,
            format!("{name}: data_offsets"),
            found,
            allowed,
        ));
    }
    Ok(Tensor {
        dtype,
        shard,
        shape: shape.into(),
        data: data.start + begin as usize..data.start + end as usize,
        name: row.name,
    })
}

/// The tensors of `shard` follow each other from the first to the last byte of the data.
fn check_cover(
    path: &Path,
    tensors: &mut [Tensor],
    shard: usize,
    data: &Range<usize>,
) -> Result<()> {
    let first = tensors.partition_point(|tensor| tensor.shard < shard);
    let tensors = &mut tensors[first..];
    tensors.sort_unstable_by_key(|tensor| (tensor.data.start, tensor.data.end));
    let mut covered = data.start;
    for tensor in tensors {
        if tensor.data.start != covered {
            let found = format!("begin {}", tensor.data.start - data.start);
            let allowed = format!("{}, where the tensor before ends", covered - data.start);
            let field = format!("{}: data_offsets", tensor.name);
            return Err(Error::invalid(path, field, found, allowed));
        }
        covered = tensor.data.end;
    }
    if covered != data.end {
        let found = format!("{} bytes after the last tensor", data.end - covered);
        return Err(Error::invalid(path, "data", found, "none"));
    }
    Ok(())
}

impl StoredType {
    fn from_name(name: &str) -> Option<Self> {
        let other = |name, bits| Some(Self::Other { name, bits });
        match name {
            "F32" => Some(Self::Weights(DType::F32)),
            "F16" => Some(Self::Weights(DType::F16)),
            "BF16" => Some(Self::Weights(DType::BF16)),
            "BOOL" => other("BOOL", 8),
            "U8" => other("U8", 8),
            "I8" => other("I8", 8),
            "F8_E5M2" => other("F8_E5M2", 8),
            "F8_E4M3" => other("F8_E4M3", 8),
            "F8_E8M0" => other("F8_E8M0", 8),
            "F6_E2M3" => other("F6_E2M3", 6),
            "F6_E3M2" => other("F6_E3M2", 6),
            "F4" => other("F4", 4),
            "U16" => other("U16", 16),
            "I16" => other("I16", 16),
            "U32" => other("U32", 32),
            "I32" => other("I32", 32),
            "U64" => other("U64", 64),
            "I64" => other("I64", 64),
            "F64" => other("F64", 64),
            "C64" => other("C64", 64),
            _ => None,
        }
    }

    fn bits(self) -> usize {
        match self {
            Self::Weights(dtype) => 8 * dtype.block_bytes(),
            Self::Other { bits, .. } => bits,
        }
    }
}
