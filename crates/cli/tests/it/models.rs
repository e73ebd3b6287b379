//! list, show, rm, and names that try to leave the data folder.

use std::fs;

use crate::support::{Outcome, Place, bytes, names, sha256};

fn with_tiny() -> Place {
    let place = Place::new();
    let body = bytes(5000);
    fs::write(place.path("tiny.gguf"), &body).unwrap();
    place.catalogue(
        5000,
        &sha256(&body),
        "[[model.source]]\nkind = \"path\"\npath = \"/nonexistent\"\n",
    );
    place
}

fn pull(place: &Place) -> Outcome {
    let file = place.path("tiny.gguf");
    place.run(&["pull", "tiny", "--from", file.to_str().unwrap()])
}

#[test]
fn a_model_comes_is_listed_and_goes() {
    let place = with_tiny();
    assert!(place.run(&["list"]).succeeds().stdout.contains("available"));
    pull(&place).succeeds();
    assert_eq!(names(&place.model()), ["model.gguf", "receipt.json"]);
    let list = place.run(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list.succeeds().stdout).unwrap();
    assert_eq!(list[0]["state"], "installed");
    assert_eq!(list[0]["bytes"], 5000);
    let shown = place.run(&["show", "tiny:1b", "--json", "--verify"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.succeeds().stdout).unwrap();
    assert_eq!(shown["verified"], true);
    place.run(&["rm", "tiny:1b"]).fails(2, "--yes");
    place.run(&["rm", "tiny:1b", "--yes"]).succeeds();
    assert!(!place.model().exists());
    place
        .run(&["rm", "tiny:1b", "--yes"])
        .fails(1, "not installed");
}

#[test]
fn damage_is_seen() {
    let place = with_tiny();
    pull(&place).succeeds();
    let file = place.model().join("model.gguf");
    let mut body = fs::read(&file).unwrap();
    body[2500] ^= 1;
    fs::write(&file, &body).unwrap();
    place
        .run(&["show", "tiny:1b", "--verify"])
        .fails(1, "sha-256 differs");
    fs::write(&file, &body[..100]).unwrap();
    place
        .run(&["show", "tiny:1b"])
        .fails(1, "found 100 bytes, expected 5000");
    // Pulling again mends it.
    pull(&place).succeeds();
    place.run(&["show", "tiny:1b", "--verify"]).succeeds();
}

#[test]
fn another_file_is_not_taken_for_the_model() {
    let place = with_tiny();
    fs::write(place.path("tiny.gguf"), bytes(5001)).unwrap();
    pull(&place).fails(1, "size differs: found 5001, expected 5000");
    fs::write(place.path("tiny.gguf"), vec![0; 5000]).unwrap();
    pull(&place).fails(1, "sha-256 differs");
    assert_eq!(names(&place.model()), [""; 0]);
    place
        .run(&["pull", "tiny", "--from", "/dev/zero"])
        .fails(1, "size differs");
}

#[test]
fn names_cannot_leave_the_data_folder() {
    let place = with_tiny();
    let outside = place.path("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("keep"), b"x").unwrap();
    for name in [
        "../outside",
        "../../outside",
        "/",
        "..",
        "tiny:../x",
        "tiny:1b/../..",
        "",
        "\u{1b}[2J",
    ] {
        for verb in [&["pull"][..], &["rm", "--yes"]] {
            let outcome = place.run(&[verb, &["--", name]].concat());
            outcome.fails(1, "");
            assert!(!outcome.stderr.contains('\u{1b}'));
        }
    }
    assert!(outside.join("keep").exists());
    // A catalogue cannot name one either.
    let text = fs::read_to_string(place.path("catalogue.toml")).unwrap();
    fs::write(
        place.path("catalogue.toml"),
        text.replace("tiny:1b", "../outside"),
    )
    .unwrap();
    place.run(&["list"]).fails(1, "not a valid catalogue");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_out_of_the_data_folder() {
    let place = with_tiny();
    let outside = place.path("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("keep"), b"x").unwrap();
    fs::create_dir_all(place.data().join("models")).unwrap();
    std::os::unix::fs::symlink(&outside, place.model()).unwrap();
    pull(&place).fails(1, "symbolic link");
    place
        .run(&["rm", "--yes", "tiny"])
        .fails(1, "symbolic link");
    fs::remove_file(place.model()).unwrap();
    // A link in place of the part file is replaced, not written through.
    fs::create_dir_all(place.model()).unwrap();
    std::os::unix::fs::symlink(outside.join("keep"), place.model().join("model.gguf.part"))
        .unwrap();
    pull(&place).succeeds();
    assert_eq!(fs::read(outside.join("keep")).unwrap(), b"x");
    place.run(&["rm", "--yes", "tiny"]).succeeds();
    assert!(outside.join("keep").exists());
}

#[test]
fn unknown_models_and_wrong_paths_say_what_to_do() {
    let place = Place::new();
    place
        .run(&["pull", "smolm2:135m"])
        .fails(1, "did you mean smollm2:135m? see terang list");
    place
        .run(&["chat", "-m", "zzz", "q"])
        .fails(1, "see terang list");
    place
        .run(&["chat", "-m", "./none.gguf", "q"])
        .fails(1, "no such model file");
    place
        .run(&["chat", "-m", "/dev/null", "q"])
        .fails(1, "not a model");
    fs::create_dir_all(place.path("empty")).unwrap();
    let folder = place.path("empty");
    place
        .run(&["chat", "-m", folder.to_str().unwrap(), "q"])
        .fails(1, "not a model");
    fs::write(place.path("four.gguf"), b"GGUF").unwrap();
    let file = place.path("four.gguf");
    place
        .run(&["chat", "-m", file.to_str().unwrap(), "q"])
        .fails(1, "four.gguf");
}

#[test]
fn bad_attachments_are_refused_before_a_model_is_loaded() {
    let place = Place::new();
    fs::write(place.path("binary"), b"a\0b").unwrap();
    let binary = place.path("binary");
    place
        .run(&["chat", "--file", binary.to_str().unwrap(), "q"])
        .fails(1, "not text");
    place
        .run(&["chat", "--file", "/dev/zero", "q"])
        .fails(1, "not an ordinary file");
    place
        .run(&["chat", "--file", "/none", "q"])
        .fails(1, "/none");
}
