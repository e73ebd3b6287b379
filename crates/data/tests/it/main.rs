//! Data from files to an index, as a whole.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod end_to_end;
mod searching;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use terang_data::config::Tokenizer;
use terang_data::document::{Kind, readable};
use terang_data::prepare::{Finished, Options, prepare};
use terang_data::tokens::{Encode, Encoded, Tokenizers};
use terang_data::{DataError, Result};

/// Bytes as tokens: what this crate's own tests need of a tokenizer.
struct Bytes;

impl Tokenizers for Bytes {
    fn train(&self, texts: &[PathBuf], _: &Tokenizer, out: &Path) -> Result<()> {
        assert!(texts.iter().all(|text| text.exists()));
        std::fs::write(out, "bytes").map_err(|source| DataError::File {
            path: out.to_owned(),
            source,
        })
    }
    fn open(&self, _: &Path) -> Result<Box<dyn Encode>> {
        Ok(Box::new(Self))
    }
}

impl Encode for Bytes {
    fn vocab_size(&self) -> usize {
        257
    }
    fn encode(&self, kind: Kind, text: &str) -> Result<Option<Encoded>> {
        let mut tokens: Vec<u32> = readable(text).bytes().map(u32::from).collect();
        tokens.push(256);
        let learned = match kind {
            Kind::Text => Vec::new(),
            Kind::Chat => (0..tokens.len()).map(|i| i % 3 != 0).collect(),
        };
        Ok((!text.contains("refuse me")).then_some(Encoded { tokens, learned }))
    }
}

/// A sentence of words that a seed draws.
fn sentence(seed: u64, words: u64) -> String {
    let word = |i: u64| {
        let mut x = (seed * 1000 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x ^= x >> 29;
        let letters = b"abcdefghijklmnoprstuwy";
        let length = 3 + x % 6;
        (0..length)
            .map(|j| char::from(letters[(x >> (j * 5)) as usize % letters.len()]))
            .collect::<String>()
    };
    (0..words).map(word).collect::<Vec<_>>().join(" ") + "."
}

fn run(config: &Path, out: &Path, threads: usize) -> Result<Finished> {
    run_until(config, out, threads, u64::MAX)
}

/// Prepares, but is stopped at the `events`th event.
fn run_until(config: &Path, out: &Path, threads: usize, events: u64) -> Result<Finished> {
    let options = Options {
        config: config.to_owned(),
        out: out.to_owned(),
        packages: out.join("packages"),
        threads,
        tokenizers: &Bytes,
    };
    let seen = AtomicU64::new(0);
    prepare(&options, &|_| seen.fetch_add(1, Ordering::Relaxed) < events)
}

/// Files of a folder with their bytes, but those that say when it was made.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.ends_with("lock"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        })
        .collect();
    all.sort();
    all
}
