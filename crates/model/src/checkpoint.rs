//! Where weights come from: one view over GGUF files and Hugging Face folders.

mod folder;

pub use folder::{HfFolder, folder_file, read_text};

use crate::gguf::{self, Gguf};
use crate::mapped::MappedFile;
use crate::{Error, Result};
use std::path::Path;
use terang_kernels::DType;

/// One tensor as it lies in a file: row-major, outermost dimension first (`[rows, cols]`), as in
/// `PyTorch`. (GGUF stores dimensions innermost first; the reader turns them round.)
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    /// Storage type of the elements.
    pub dtype: DType,
    /// Dimensions, outermost first.
    pub shape: &'a [usize],
    /// The elements, exactly `rows * dtype.row_bytes(cols)` bytes, little endian.
    pub data: &'a [u8],
}

/// Named tensors, each found by the name its file gives it.
pub trait TensorSource: Send + Sync {
    /// The tensor of that name.
    fn tensor(&self, name: &str) -> Option<TensorView<'_>>;
    /// The tensor of that name, or an error that says why it cannot be had.
    fn require(&self, name: &str) -> Result<TensorView<'_>> {
        self.tensor(name).ok_or_else(|| missing(self, name))
    }
    /// All names, sorted.
    fn names(&self) -> Vec<&str>;
    /// The file to name in errors.
    fn path(&self) -> &Path;
    /// Tells the system that the pages of this tensor will not be read again soon, so that weights
    /// that were repacked do not stay in memory twice.
    fn done_with(&self, _name: &str) {}
    /// Which files these are and when they last changed, as text; `None` where nobody can say.
    fn identity(&self) -> Option<String> {
        None
    }
    /// Fails when the file shrank or could not be read while it was mapped.
    fn check_intact(&self) -> Result<()> {
        Ok(())
    }
}

/// The error for a tensor that is not there.
pub(crate) fn missing(source: &(impl TensorSource + ?Sized), name: &str) -> Error {
    let field = format!("tensor {name}");
    Error::invalid(source.path(), field, "nothing", "a tensor of this name")
}

/// A model's files, opened by what they are.
#[derive(Debug)]
pub enum Checkpoint {
    /// A GGUF file.
    Gguf(Gguf),
    /// A Hugging Face model folder.
    HfFolder(HfFolder),
}

impl Checkpoint {
    /// Opens a GGUF file or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if metadata.is_dir() {
            return HfFolder::open(path).map(Self::HfFolder);
        }
        let map = MappedFile::open(path)?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        if map.bytes().starts_with(&gguf::MAGIC) || extension == Some("gguf") {
            return Gguf::open(path).map(Self::Gguf);
        }
        let found = match map.bytes() {
            _ if extension == Some("safetensors") => "a safetensors file by itself".to_owned(),
            [b'P', b'K', 3, 4, ..] | [0x80, ..] => "a pickle or archive".to_owned(),
            [] => "an empty file".to_owned(),
            bytes => {
                let start = &bytes[..bytes.len().min(8)];
                format!("a file that begins with \"{}\"", start.escape_ascii())
            }
        };
        let supported = "a GGUF file, or a folder with config.json and safetensors";
        Err(Error::unsupported(path, "model", found, supported))
    }

    fn source(&self) -> &dyn TensorSource {
        match self {
            Self::Gguf(gguf) => gguf,
            Self::HfFolder(folder) => &folder.tensors,
        }
    }
}

impl TensorSource for Checkpoint {
    fn tensor(&self, name: &str) -> Option<TensorView<'_>> {
        self.source().tensor(name)
    }

    fn require(&self, name: &str) -> Result<TensorView<'_>> {
        self.source().require(name)
    }

    fn names(&self) -> Vec<&str> {
        self.source().names()
    }

    fn path(&self) -> &Path {
        self.source().path()
    }

    fn done_with(&self, name: &str) {
        self.source().done_with(name);
    }

    fn identity(&self) -> Option<String> {
        self.source().identity()
    }

    fn check_intact(&self) -> Result<()> {
        self.source().check_intact()
    }
}
