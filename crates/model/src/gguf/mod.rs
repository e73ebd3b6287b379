//! GGUF files, versions 2 and 3, little endian: metadata and tensors in one memory-mapped file
//! (specification: `docs/gguf.md` of the ggml project).
//!
//! Invariant: after [`Gguf::open`] every range that a value or tensor refers to lies inside the
//! map, tensors do not overlap, and keys and tensor names are unique. Counts in the file are never
//! trusted: nothing is allocated by them, and each is checked against the bytes that are left.

mod cursor;
mod header;
mod metadata;
mod value;
mod write;

pub use metadata::Metadata;
pub use value::{Array, FromValue, Numbers, Strings, Value, ValueType};
pub use write::{NewTensor, NewValue, write};

use crate::checkpoint::{TensorSource, TensorView};
use crate::mapped::MappedFile;
use crate::{Error, Result};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use terang_kernels::DType;

/// The first four bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// Most dimensions of a tensor.
const DIMS_MAX: usize = 4;

/// An open GGUF file.
#[derive(Debug)]
pub struct Gguf {
    map: Arc<MappedFile>,
    version: u32,
    metadata: Metadata,
    /// Sorted by name.
    tensors: Vec<TensorInfo>,
}

/// Where one tensor lies.
#[derive(Clone, Debug)]
struct TensorInfo {
    /// A copy, so that the order of names holds even if the file is rewritten.
    name: Box<str>,
    dtype: DType,
    /// Outermost first; the first `rank` count.
    shape: [usize; DIMS_MAX],
    rank: usize,
    data: Range<usize>,
}

impl Gguf {
    /// Maps the file and checks its header, metadata and tensor table; reads no weights.
    pub fn open(path: &Path) -> Result<Self> {
        let map = Arc::new(MappedFile::open(path)?);
        let header = header::parse(&map)?;
        let metadata = Metadata::new(Arc::clone(&map), header.entries);
        if let Some(parts @ 2..) = metadata.get_opt::<u64>("split.count")? {
            let found = format!("part of a model in {parts} files");
            let supported = "one file (join the parts with `llama-gguf-split --merge`)";
            return Err(Error::unsupported(path, "split.count", found, supported));
        }
        Ok(Self {
            map,
            version: header.version,
            metadata,
            tensors: header.tensors,
        })
    }

    /// Version of the format, 2 or 3.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The file's keys and values.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Lets the system drop what was read of keys and values; they are read again when needed.
    pub fn done_with_metadata(&self) {
        let starts = self.tensors.iter().map(|tensor| tensor.data.start);
        let end = starts.min().unwrap_or(0);
        self.map.done_with(&self.map.bytes()[..end]);
    }

    fn find(&self, name: &str) -> Option<&TensorInfo> {
        let found = self
            .tensors
            .binary_search_by(|tensor| (*tensor.name).cmp(name));
        Some(&self.tensors[found.ok()?])
    }
}

impl TensorSource for Gguf {
    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        let tensor = self.find(name)?;
        Some(TensorView {
            dtype: tensor.dtype,
            shape: &tensor.shape[..tensor.rank],
            data: &self.map.bytes()[tensor.data.clone()],
        })
    }

    fn names(&self) -> Vec<&str> {
        self.tensors.iter().map(|tensor| &*tensor.name).collect()
    }

    fn path(&self) -> &Path {
        self.map.path()
    }

    fn done_with(&self, name: &str) {
        if let Some(tensor) = self.find(name) {
            self.map.done_with(&self.map.bytes()[tensor.data.clone()]);
        }
    }

    fn identity(&self) -> Option<String> {
        self.map.identity().ok()
    }

    fn check_intact(&self) -> Result<()> {
        self.map.check_intact()
    }
}
