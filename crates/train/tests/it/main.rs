//! Tokenizers from real text.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};
use terang_model::tokenizer::{Special, Tokenizer};
use terang_train::TrainError;
use terang_train::tokenizer::{Made, Settings, train};

/// What `tests/reference/tokenizer_train.py` has written.
#[derive(Deserialize)]
struct Reference {
    special: Vec<String>,
    tricky: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    pre_tokenizer: String,
    vocab_size: usize,
    min_frequency: u64,
    tokens: usize,
    merges: usize,
    first: Vec<String>,
    sha256: String,
    ids_sha256: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn reference() -> Reference {
    let path = root().join("tests/reference/tokenizer_train.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

fn make(reference: &Reference, case: &Case, threads: usize) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let tricky = folder.path().join("tricky.txt");
    std::fs::write(&tricky, &reference.tricky).unwrap();
    let settings = Settings {
        vocab_size: case.vocab_size,
        min_frequency: case.min_frequency,
        pre_tokenizer: case.pre_tokenizer.clone(),
        special: reference.special.clone(),
        threads,
    };
    let files = [root().join("bench/data/rust-book.txt"), tricky];
    train(&files, &settings, |_| true).unwrap()
}

#[test]
fn merges_are_those_of_the_reference_trainer_and_ids_too() {
    let reference = reference();
    for case in &reference.cases {
        let name = format!("{} {}", case.pre_tokenizer, case.vocab_size);
        let made = make(&reference, case, 2);
        let merges: Vec<String> = made.merges().iter().map(|merge| merge.join(" ")).collect();
        assert_eq!(merges[..20], case.first, "{name}");
        assert_eq!(
            (made.vocab_size(), merges.len()),
            (case.tokens, case.merges),
            "{name}"
        );
        assert_eq!(sha256(&merges.join("\n")), case.sha256, "{name}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokenizer.json");
        made.save(&file).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let tokenizer = Tokenizer::from_file(&file).unwrap();
        let text = format!("<|im_start|>{}", reference.tricky);
        let ids = tokenizer.encode(&text, Special::Parse).unwrap();
        let listed: Vec<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(
            sha256(&format!("[{}]", listed.join(", "))),
            case.ids_sha256,
            "{name}"
        );
        assert_eq!(tokenizer.decode(&ids, false), text, "{name}");
    }
}

#[test]
fn threads_do_not_show() {
    let reference = reference();
    let case = &reference.cases[1];
    let one = make(&reference, case, 1).to_json();
    for threads in [2, 7] {
        assert_eq!(make(&reference, case, threads).to_json(), one);
    }
}

#[test]
fn what_cannot_be_made_is_refused_by_name() {
    let good = Settings {
        vocab_size: 300,
        min_frequency: 0,
        pre_tokenizer: "gpt-2".to_owned(),
        special: vec!["<|end|>".to_owned()],
        threads: 1,
    };
    let special = |texts: &[&str]| Settings {
        special: texts.iter().map(ToString::to_string).collect(),
        ..good.clone()
    };
    for (settings, field) in [
        (
            Settings {
                vocab_size: 256,
                ..good.clone()
            },
            "vocab_size",
        ),
        (
            Settings {
                vocab_size: 1 << 30,
                ..good.clone()
            },
            "vocab_size",
        ),
        (
            Settings {
                pre_tokenizer: "none".to_owned(),
                ..good.clone()
            },
            "pre_tokenizer",
        ),
        (special(&["<s>", "<s>"]), "special"),
        (special(&[""]), "special"),
        (special(&["a"]), "special"),
        (special(&[&"x".repeat(257)]), "special"),
        // It becomes a token of this text.
        (special(&["he"]), "special"),
    ] {
        let files = [root().join("bench/data/rust-book.txt")];
        let error = train(&files, &settings, |_| true).unwrap_err();
        assert!(
            matches!(&error, TrainError::Setting { name, .. } if *name == field),
            "{error}"
        );
    }
}
