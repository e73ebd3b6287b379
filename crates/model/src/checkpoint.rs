//! Where weights come from: one view over GGUF files and Hugging Face folders.

use terang_kernels::DType;

/// One tensor as it lies in a file: row-major, outermost dimension first (`[rows, cols]`), as in
/// PyTorch. (GGUF stores dimensions innermost first; the reader turns them round.)
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
    /// All names, sorted.
    fn names(&self) -> Vec<&str>;
    /// The file to name in errors.
    fn path(&self) -> &std::path::Path;
    /// Tells the system that the pages of this tensor will not be read again soon, so that weights
    /// that were repacked do not stay in memory twice.
    fn done_with(&self, _name: &str) {}
    /// Fails when the file shrank or could not be read while it was mapped.
    fn check_intact(&self) -> crate::Result<()> {
        Ok(())
    }
}
