//! What the file targets share: the input as a file, and a look at every tensor.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use terang_model::TensorSource;

thread_local! {
    /// One file, written anew for every input.
    static FILE: RefCell<tempfile::NamedTempFile> =
        RefCell::new(tempfile::NamedTempFile::new().expect("a temporary file"));
}

/// Calls `read` with the path of a file that holds `bytes`.
pub fn with_file(bytes: &[u8], read: impl FnOnce(&Path)) {
    FILE.with_borrow_mut(|temporary| {
        let file: &mut File = temporary.as_file_mut();
        file.set_len(0).expect("an empty file");
        file.rewind().expect("the start");
        file.write_all(bytes).expect("a full file");
        read(temporary.path());
    });
}

/// Dequantizes the first block of every tensor.
pub fn read_tensors(source: &dyn TensorSource) {
    for name in source.names() {
        let Some(tensor) = source.tensor(name) else {
            continue;
        };
        let elements: usize = tensor.shape.iter().product();
        assert_eq!(tensor.dtype.row_bytes(elements), Some(tensor.data.len()));
        if let Some(block) = tensor.data.get(..tensor.dtype.block_bytes()) {
            let mut values = vec![0.0; tensor.dtype.block_len()];
            terang_kernels::quant::dequantize_row(tensor.dtype, block, &mut values);
        }
    }
}
