//! A file of training data: the first byte says by which name it is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use terang_data::config::Form;
use terang_data::read_bytes;

const NAMES: [&str; 12] = [
    "a.txt", "a.md", "a.html", "a.json", "a.jsonl", "a.csv", "a.parquet", "a.zip", "a.txt.gz",
    "a.txt.zst", "tweets.js", "outbox.json",
];

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let name = NAMES[usize::from(*first) % NAMES.len()];
    let _ = read_bytes(name, rest, Form::Auto);
});
