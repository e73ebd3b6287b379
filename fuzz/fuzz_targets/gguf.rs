//! Opens the input as a GGUF file; reads all metadata and a block of every tensor.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;
use terang_model::gguf::{Array, Gguf, Value};

fuzz_target!(|bytes: &[u8]| {
    file::with_file(bytes, |path| {
        let Ok(gguf) = Gguf::open(path) else {
            return;
        };
        let metadata = gguf.metadata();
        for (key, value) in metadata.iter() {
            assert!(!value.to_string().is_empty() || matches!(value, Value::Str("")));
            if let Value::Array(array) = value {
                read_array(array);
            }
            let _ = metadata.get_opt::<u32>(key);
            let _ = metadata.ints(key).map(Iterator::count);
            let _ = metadata.floats(key).map(Iterator::count);
        }
        file::read_tensors(&gguf);
    });
});

fn read_array(array: Array<'_>) {
    if let Some(strings) = array.strings() {
        assert_eq!(strings.clone().count(), array.len());
        let _ = strings.utf8().filter(Result::is_err).count();
    }
    if let Some(numbers) = array.numbers() {
        assert_eq!(numbers.iter().count(), array.len());
        assert!(numbers.get(array.len()).is_none());
    }
}
