//! Packed weights on disk: the same answers from them, and whatever is wrong with them only costs
//! time.

use crate::parity::{families, run};
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terang_model::bundle::ModelFiles;
use terang_model::decoder::{Decoder, LoadOptions, PackedCache};

const TOKENS: [u32; 5] = [1, 5, 9, 2, 7];

fn load(model: &Path, cache: Option<&PackedCache>) -> Decoder {
    let files = ModelFiles::open(model).unwrap();
    let options = LoadOptions {
        threads: 2,
        packed_cache: cache.cloned(),
        ..LoadOptions::default()
    };
    Decoder::load(
        files.tensors(),
        files.config().unwrap(),
        &options,
        &mut |_, _| (),
    )
    .unwrap()
}

fn logits(decoder: &mut Decoder) -> Vec<u32> {
    let logits = run(decoder, &TOKENS, &[3]);
    logits.into_iter().map(f32::to_bits).collect()
}

/// A copy of a fixture that a test may change, and a folder for its packed weights.
fn model_and_cache(model: &Path) -> (tempfile::TempDir, PathBuf, PackedCache) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("model");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(model).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let cache = PackedCache {
        dir: dir.path().join("packed"),
        bytes_max: 1 << 30,
    };
    (dir, copy, cache)
}

fn files(cache: &PackedCache) -> Vec<PathBuf> {
    let entries = fs::read_dir(&cache.dir).into_iter().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_family_answers_alike_from_its_packed_weights() {
    for family in families() {
        let (_dir, model, cache) = model_and_cache(&family);
        let expected = logits(&mut load(&model, None));
        let mut first = load(&model, Some(&cache));
        assert!(!first.weights_are_mapped());
        assert_eq!(logits(&mut first), expected);
        // Its end waits for the file.
        drop(first);
        assert_eq!(files(&cache).len(), 1, "{}", model.display());
        let mut second = load(&model, Some(&cache));
        assert!(second.weights_are_mapped(), "{}", family.display());
        for _ in 0..3 {
            assert_eq!(logits(&mut second), expected, "{}", family.display());
        }
        // By now all lies in memory, and the file no longer matters.
        assert!(!second.weights_are_mapped(), "{}", family.display());
        fs::write(&files(&cache)[0], "").unwrap();
        assert_eq!(logits(&mut second), expected, "{}", family.display());
    }
}

#[test]
fn another_model_at_the_same_path_is_packed_anew() {
    let family = &families()[0];
    let (_dir, model, cache) = model_and_cache(family);
    drop(load(&model, Some(&cache)));
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    // A sign bit: the same size, other weights.
    bytes[last] ^= 0x80;
    fs::write(&weights, bytes).unwrap();
    let expected = logits(&mut load(&model, None));
    let mut changed = load(&model, Some(&cache));
    assert!(!changed.weights_are_mapped());
    assert_eq!(logits(&mut changed), expected);
    drop(changed);
    let mut again = load(&model, Some(&cache));
    assert!(again.weights_are_mapped());
    assert_eq!(logits(&mut again), expected);
    assert_eq!(files(&cache).len(), 1);
}

#[test]
fn a_file_that_shrinks_while_it_is_used_is_an_error_and_no_answer() {
    let (_dir, model, cache) = model_and_cache(&families()[0]);
    drop(load(&model, Some(&cache)));
    let mut decoder = load(&model, Some(&cache));
    let file = fs::File::options().write(true).open(&files(&cache)[0]);
    file.unwrap().set_len(100).unwrap();
    let mut kv = decoder.new_kv_pool(64);
    let mut sequence = terang_model::decoder::Sequence::new();
    let chunk = terang_model::decoder::Chunk {
        sequence: &mut sequence,
        tokens: &TOKENS,
        logits: terang_model::decoder::LogitsWanted::Last,
    };
    let error = decoder.forward(&mut kv, &mut [chunk]).unwrap_err();
    assert!(error.to_string().contains("file size"), "{error}");
}

#[test]
fn the_folder_keeps_to_its_size_and_to_models_that_exist() {
    let family = &families()[0];
    let (_one, first, cache) = model_and_cache(family);
    let (two, second, _) = model_and_cache(family);
    drop(load(&first, Some(&cache)));
    let one_file = files(&cache);
    let bytes = fs::metadata(&one_file[0]).unwrap().len();
    let tight = PackedCache {
        bytes_max: bytes + bytes / 2,
        ..cache.clone()
    };
    drop(load(&second, Some(&tight)));
    let other_file = files(&cache);
    assert_eq!(other_file.len(), 1);
    assert_ne!(one_file, other_file, "the one used longest ago went");
    let none = PackedCache {
        bytes_max: bytes / 2,
        ..cache.clone()
    };
    drop(load(&first, Some(&none)));
    assert_eq!(files(&cache), other_file, "what has no room is not written");
    fs::write(cache.dir.join("01234567.part"), b"left by a crash").unwrap();
    drop(two);
    cache.sweep();
    assert_eq!(files(&cache), Vec::<PathBuf>::new());
}

#[test]
fn a_folder_that_cannot_be_made_is_no_error() {
    let (dir, model, _) = model_and_cache(&families()[0]);
    let blocked = dir.path().join("file");
    fs::write(&blocked, b"").unwrap();
    let cache = PackedCache {
        dir: blocked.join("packed"),
        bytes_max: 1 << 30,
    };
    let expected = logits(&mut load(&model, None));
    assert_eq!(logits(&mut load(&model, Some(&cache))), expected);
}

#[test]
fn many_at_once_write_one_whole_file() {
    let (_dir, model, cache) = model_and_cache(&families()[0]);
    let expected = Arc::new(logits(&mut load(&model, None)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    assert_eq!(&logits(&mut load(&model, Some(&cache))), &*expected);
                }
            });
        }
    });
    assert_eq!(files(&cache).len(), 1);
    assert!(load(&model, Some(&cache)).weights_are_mapped());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_is_found(flip in any::<prop::sample::Index>(), bit in 0u8..8, cut in 0usize..3) {
        let (_dir, model, cache) = model_and_cache(&families()[0]);
        let expected = logits(&mut load(&model, None));
        drop(load(&model, Some(&cache)));
        let path = files(&cache).remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let at = flip.index(bytes.len());
        match cut {
            0 => bytes.truncate(at),
            // The end, where the header is.
            1 => {
                let tail = bytes.len().min(3000);
                let at = bytes.len() - 1 - flip.index(tail);
                bytes[at] ^= 1 << bit;
            }
            _ => bytes[at] ^= 1 << bit,
        }
        fs::write(&path, bytes).unwrap();
        let mut decoder = load(&model, Some(&cache));
        prop_assert!(!decoder.weights_are_mapped());
        prop_assert_eq!(logits(&mut decoder), expected);
    }
}
