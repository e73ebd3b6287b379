//! What a path may be, and file attack 17: links and names that leave a model folder.

use crate::bounds::refused_with;
use crate::files_safetensors::one;
use crate::gguf_writer::{on_disk, sample};
use std::fs::{create_dir_all, write};
use std::os::unix::fs::symlink;
use std::path::Path;
use terang_model::TensorSource;
use terang_model::checkpoint::{Checkpoint, folder_file, read_text};

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path().join("config.json"), "{}").unwrap();
    write(dir.path().join("model.safetensors"), one("a")).unwrap();
    dir
}

#[test]
fn a_path_is_opened_by_what_it_is() {
    // By content, not by name.
    let (_dir, path) = on_disk("blob", &sample().bytes());
    assert!(matches!(
        Checkpoint::open(&path).unwrap(),
        Checkpoint::Gguf(_)
    ));
    let dir = folder();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names(), ["a"]);
    assert_eq!(checkpoint.require("a").unwrap().shape, [2, 2]);
    let Checkpoint::HfFolder(folder) = checkpoint else {
        panic!("{checkpoint:?}");
    };
    assert_eq!(folder.config, "{}");

    for (name, bytes, words) in [
        ("empty", b"".as_slice(), &["an empty file"][..]),
        ("short.gguf", b"GG", &["magic"]),
        ("model.bin", b"PK\x03\x04rest", &["pickle"]),
        ("model.txt", b"hello, world", &["hello, w", "GGUF"]),
        (
            "model.safetensors",
            &one("a"),
            &["safetensors file by itself", "config.json"],
        ),
    ] {
        let (_dir, path) = on_disk(name, bytes);
        refused_with(&[&[name], words].concat(), || Checkpoint::open(&path));
    }
    refused_with(&["/no/such/model"], || {
        Checkpoint::open(Path::new("/no/such/model"))
    });
}

#[test]
fn a_folder_without_its_files_says_which() {
    let dir = folder();
    std::fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    refused_with(&["weights", "model.safetensors"], || {
        Checkpoint::open(dir.path())
    });
    write(dir.path().join("pytorch_model.bin"), "x").unwrap();
    refused_with(&["pytorch_model.bin is not supported"], || {
        Checkpoint::open(dir.path())
    });
    std::fs::remove_file(dir.path().join("config.json")).unwrap();
    refused_with(&["no config.json"], || Checkpoint::open(dir.path()));
    let dir = folder();
    write(dir.path().join("config.json"), b"\xff").unwrap();
    refused_with(&["config.json", "UTF-8"], || Checkpoint::open(dir.path()));
    write(dir.path().join("config.json"), vec![b' '; 5 << 20]).unwrap();
    refused_with(&["config.json", "5242880 bytes"], || {
        Checkpoint::open(dir.path())
    });
}

#[test]
fn attack_17_links_that_leave_the_folder() {
    let outside = folder();
    for name in ["config.json", "model.safetensors"] {
        let dir = folder();
        let link = dir.path().join(name);
        std::fs::remove_file(&link).unwrap();
        symlink(outside.path().join(name), &link).unwrap();
        refused_with(&[name, "a link to"], || Checkpoint::open(dir.path()));
        std::fs::remove_file(&link).unwrap();
        symlink(&link, &link).unwrap();
        refused_with(&[name], || Checkpoint::open(dir.path()));
        std::fs::remove_file(&link).unwrap();
        symlink("/dev/zero", &link).unwrap();
        refused_with(&[name], || Checkpoint::open(dir.path()));
    }
    // A folder outside that is named like the cache's does not help.
    let dir = folder();
    create_dir_all(dir.path().join("blobs")).unwrap();
    write(dir.path().join("blobs/x"), "{}").unwrap();
    symlink("blobs/x", dir.path().join("extra.json")).unwrap();
    refused_with(&["extra.json"], || folder_file(dir.path(), "extra.json"));
}

#[test]
fn attack_17_names_that_leave_the_folder() {
    let dir = folder();
    for name in [
        "../x",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b",
        "a/../config.json",
        "a\\b",
        "a\0b",
    ] {
        refused_with(&["file name"], || read_text(dir.path(), name, 100));
    }
    assert_eq!(read_text(dir.path(), "config.json", 100).unwrap(), "{}");
}

#[test]
fn links_inside_the_folder_and_into_the_hub_cache_are_followed() {
    let dir = folder();
    symlink("config.json", dir.path().join("same.json")).unwrap();
    assert_eq!(read_text(dir.path(), "same.json", 100).unwrap(), "{}");

    let cache = tempfile::tempdir().unwrap();
    let model = cache.path().join("models--a--b");
    let snapshot = model.join("snapshots/0123");
    create_dir_all(&snapshot).unwrap();
    create_dir_all(model.join("blobs")).unwrap();
    create_dir_all(cache.path().join("models--c--d/blobs")).unwrap();
    write(model.join("blobs/1"), "{}").unwrap();
    write(model.join("blobs/2"), one("a")).unwrap();
    write(cache.path().join("models--c--d/blobs/3"), "{}").unwrap();
    symlink("../../blobs/1", snapshot.join("config.json")).unwrap();
    symlink("../../blobs/2", snapshot.join("model.safetensors")).unwrap();
    symlink(
        "../../../models--c--d/blobs/3",
        snapshot.join("tokenizer.json"),
    )
    .unwrap();
    Checkpoint::open(&snapshot).unwrap();
    refused_with(&["tokenizer.json"], || {
        folder_file(&snapshot, "tokenizer.json")
    });
    // The folder itself may be reached by any path.
    symlink(&snapshot, cache.path().join("link")).unwrap();
    Checkpoint::open(&cache.path().join("link")).unwrap();
}
