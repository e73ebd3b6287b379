//! A document of any format: the first byte says which.

#![no_main]

use libfuzzer_sys::fuzz_target;
use terang_documents::{Format, passages, read};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let format = Format::ALL[usize::from(*first) % Format::ALL.len()];
    let Ok(document) = read(format, rest.to_vec()) else {
        return;
    };
    for passage in passages(&document).unwrap_or_default() {
        assert!(!document.text[passage.range].trim().is_empty());
    }
});
