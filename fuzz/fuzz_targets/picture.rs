//! A picture: what is kept of one is a picture of which nothing is to be left out.

#![no_main]

use libfuzzer_sys::fuzz_target;
use terang_documents::Picture;

fuzz_target!(|data: &[u8]| {
    if let Ok(picture) = Picture::read(data) {
        assert!(picture.data.len() <= data.len() + 40);
        assert_eq!(Picture::read(&picture.data), Ok(picture));
    }
});
