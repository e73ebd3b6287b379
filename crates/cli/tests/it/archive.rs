//! A model for embeddings, which comes as a zip of a folder: it is unpacked within bounds, listed for
//! what it is, and refused where text is wanted.

use std::fmt::Write as _;
use std::fs;
use std::io::{Cursor, Write};

use serde_json::Value;
use zip::write::SimpleFileOptions;

use crate::real::repository;
use crate::support::{Outcome, Place, names, sha256};

const FILES: [&str; 4] = [
    "model.safetensors",
    "tokenizer.json",
    "sentence_bert_config.json",
    "config.json",
];

fn file(name: &str) -> Vec<u8> {
    fs::read(repository("tests/fixtures/encoder/tiny").join(name)).unwrap()
}

/// A zip of these files, and of one more that nobody asked for.
fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    archive.start_file("../../escaped", options).unwrap();
    archive.write_all(b"x").unwrap();
    for (name, bytes) in files {
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// What the catalogue says of the files.
fn members(files: &[(&str, Vec<u8>)]) -> String {
    let mut text = String::from("task = \"embed\"\n");
    for (name, bytes) in files {
        let (count, sha256) = (bytes.len(), sha256(bytes));
        let _ = write!(
            text,
            "[[model.archive]]\nname = \"{name}\"\nbytes = {count}\nsha256 = \"{sha256}\"\n"
        );
    }
    text
}

fn tiny() -> Vec<(&'static str, Vec<u8>)> {
    FILES.map(|name| (name, file(name))).to_vec()
}

/// A place with this archive as `tiny.zip`, and a catalogue that says it holds `said`.
fn place(archive: &[u8], said: &[(&str, Vec<u8>)]) -> Place {
    let place = Place::new();
    fs::write(place.path("tiny.zip"), archive).unwrap();
    let source = "[[model.source]]\nkind = \"path\"\npath = \"/nonexistent\"\n";
    let rest = members(said) + source;
    place.catalogue(archive.len() as u64, &sha256(archive), &rest);
    place
}

/// A place whose catalogue has the tiny encoder, which is not here yet.
pub(crate) fn with_tiny() -> Place {
    place(&zip(&tiny()), &tiny())
}

pub(crate) fn pull(place: &Place) -> Outcome {
    let archive = place.path("tiny.zip");
    place.run(&["pull", "tiny", "--from", archive.to_str().unwrap()])
}

#[test]
fn an_encoder_comes_is_listed_for_what_it_is_and_goes() {
    let place = with_tiny();
    pull(&place).succeeds();
    let mut expected = FILES.map(str::to_owned).to_vec();
    expected.push("receipt.json".to_owned());
    expected.sort();
    assert_eq!(names(&place.model()), expected);
    for (name, bytes) in tiny() {
        assert!(
            fs::read(place.model().join(name)).unwrap() == bytes,
            "{name}"
        );
    }
    assert!(!place.path("escaped").exists() && !place.data().join("escaped").exists());
    let list = place.run(&["list"]);
    assert!(
        list.succeeds().stdout.contains("embeddings"),
        "{}",
        list.stdout
    );
    let list = place.run(&["list", "--json"]);
    let list: Value = serde_json::from_str(&list.succeeds().stdout).unwrap();
    assert_eq!(
        (&list[0]["task"], &list[0]["state"]),
        (&"embed".into(), &"installed".into())
    );
    let shown = place.run(&["show", "tiny", "--json", "--verify"]);
    let shown: Value = serde_json::from_str(&shown.succeeds().stdout).unwrap();
    assert_eq!(
        (&shown["verified"], &shown["task"]),
        (&true.into(), &"embed".into())
    );
    let folder = place.model().display().to_string();
    let shown = place.run(&["show", &folder, "--json"]);
    let shown: Value = serde_json::from_str(&shown.succeeds().stdout).unwrap();
    assert_eq!(
        (&shown["context_length"], &shown["hidden_size"]),
        (&128.into(), &48.into())
    );
    // Pulling again fetches nothing.
    fs::remove_file(place.path("tiny.zip")).unwrap();
    place.run(&["pull", "tiny"]).succeeds();
    place.run(&["rm", "tiny", "--yes"]).succeeds();
    assert!(!place.model().exists());
}

#[test]
fn where_text_is_wanted_it_is_refused_before_it_is_fetched() {
    let place = with_tiny();
    fs::write(place.path("text"), "hello").unwrap();
    let text = place.path("text").display().to_string();
    let folder = repository("tests/fixtures/encoder/tiny")
        .display()
        .to_string();
    for model in ["tiny", &folder] {
        let part = "makes embeddings and no text";
        place
            .run(&["chat", "--model", model, "hello"])
            .fails(1, part);
        place.run(&["bench", model]).fails(1, part);
        let eval = ["eval", "perplexity", "--model", model, "--file", &text];
        place.run(&eval).fails(1, part);
    }
    assert!(!place.model().exists());
    let indonesian = place.run(&["--lang", "id", "chat", "--model", "tiny", "halo"]);
    indonesian.fails(1, "membuat embedding, bukan teks");
}

#[test]
fn damage_to_any_file_is_seen_and_mended() {
    let place = with_tiny();
    for name in FILES {
        pull(&place).succeeds();
        let path = place.model().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[10] ^= 1;
        fs::write(&path, &bytes).unwrap();
        place
            .run(&["show", "tiny", "--verify"])
            .fails(1, "sha-256 differs");
        fs::write(&path, &bytes[..9]).unwrap();
        place.run(&["show", "tiny"]).fails(1, "found 9 bytes");
        pull(&place).succeeds();
        place.run(&["show", "tiny", "--verify"]).succeeds();
        fs::remove_file(&path).unwrap();
        assert!(place.run(&["list"]).succeeds().stdout.contains("available"));
    }
}

#[test]
fn an_archive_that_is_not_as_the_catalogue_says_leaves_nothing() {
    let changed = |name: &str, bytes: Vec<u8>| {
        let mut files = tiny();
        files.iter_mut().find(|file| file.0 == name).unwrap().1 = bytes;
        files
    };
    let bomb = changed("tokenizer.json", vec![b' '; 64 << 20]);
    let other = changed(
        "config.json",
        file("config.json").iter().map(|b| b ^ 1).collect(),
    );
    let short = changed("model.safetensors", Vec::new());
    let lacking: Vec<_> = tiny()
        .into_iter()
        .filter(|file| file.0 != "tokenizer.json")
        .collect();
    for (archive, part) in [
        (zip(&bomb), "tokenizer.json in the archive is another file"),
        (zip(&other), "config.json in the archive is another file"),
        (
            zip(&short),
            "model.safetensors in the archive is another file",
        ),
        (zip(&lacking), "the archive has no tokenizer.json"),
        (
            b"PK\x03\x04 is all of it".to_vec(),
            "the archive cannot be read",
        ),
        (zip(&tiny())[..5000].to_vec(), "the archive cannot be read"),
    ] {
        let place = place(&archive, &tiny());
        pull(&place).fails(1, part);
        let left = names(&place.model());
        let unfinished = |name: &String| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|x| x == "part")
        };
        assert!(left.iter().all(unfinished), "{left:?}");
        assert!(place.run(&["list"]).succeeds().stdout.contains("available"));
    }
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_a_file_is_not_written_through() {
    let place = with_tiny();
    fs::create_dir_all(place.model()).unwrap();
    fs::write(place.path("keep"), b"x").unwrap();
    for name in ["config.json", "config.json.part"] {
        std::os::unix::fs::symlink(place.path("keep"), place.model().join(name)).unwrap();
    }
    pull(&place).succeeds();
    assert_eq!(fs::read(place.path("keep")).unwrap(), b"x");
    assert!(!place.model().join("config.json").is_symlink());
}

#[test]
fn doctor_looks_at_it_too() {
    let place = with_tiny();
    let doctor = |place: &Place| place.run(&["doctor", "--model", "tiny", "--full", "--json"]);
    pull(&place).succeeds();
    let told = doctor(&place).stdout;
    assert!(
        told.contains("tiny:1b") && !told.contains("\"error\""),
        "{told}"
    );
    let path = place.model().join("config.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("gelu", "relu")).unwrap();
    assert!(doctor(&place).stdout.contains("sha-256 differs"));
}
