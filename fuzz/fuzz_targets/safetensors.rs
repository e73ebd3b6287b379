//! Opens the input as a safetensors file and reads the start of every tensor.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use terang_model::safetensors::Safetensors;

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, |path| {
        if let Ok(tensors) = Safetensors::open(path) {
            file::read_tensors(&tensors);
        }
    });
});
