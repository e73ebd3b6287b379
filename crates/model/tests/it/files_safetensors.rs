//! Safetensors files and shards: sound ones, and file attack 16.

use crate::bounds::refused_with;
use crate::gguf_writer::on_disk;
use std::path::Path;
use terang_kernels::DType;
use terang_model::TensorSource;
use terang_model::safetensors::Safetensors;

/// A file of that header and data.
pub(crate) fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [
        &(header.len() as u64).to_le_bytes(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

/// A sound file with the tensor `name`: two rows of two.
pub(crate) fn one(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}}}"#);
    file(&header, &[1; 16])
}

#[track_caller]
fn refuse(header: &str, data: &[u8], words: &[&str]) {
    refuse_bytes(&file(header, data), words);
}

#[track_caller]
fn refuse_bytes(bytes: &[u8], words: &[&str]) {
    let (_dir, path) = on_disk("bad.safetensors", bytes);
    refused_with(&[&["bad.safetensors"], words].concat(), || {
        Safetensors::open(&path)
    });
}

#[test]
fn a_sound_file_gives_its_tensors() {
    let header = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},
        "a":{"shape":[2],"dtype":"F32","data_offsets":[0,8]},
        "scalar":{"dtype":"F16","shape":[],"data_offsets":[20,22]},
        "none":{"dtype":"F16","shape":[0,7],"data_offsets":[22,22]},
        "ids":{"dtype":"I64","shape":[1],"data_offsets":[22,30]},
        "nibbles":{"dtype":"F4","shape":[4],"data_offsets":[30,32]}}   "#;
    let data: Vec<u8> = (0..32).collect();
    let (_dir, path) = on_disk("model.safetensors", &file(header, &data));
    let tensors = Safetensors::open(&path).unwrap();
    assert_eq!(
        tensors.names(),
        ["a", "b", "ids", "nibbles", "none", "scalar"]
    );
    let b = tensors.require("b").unwrap();
    assert_eq!(
        (b.dtype, b.shape, b.data),
        (DType::BF16, [2, 3].as_slice(), &data[8..20])
    );
    assert_eq!(tensors.require("scalar").unwrap().data, [20, 21]);
    assert!(tensors.require("scalar").unwrap().shape.is_empty());
    assert!(tensors.require("none").unwrap().data.is_empty());
    assert!(tensors.tensor("ids").is_none());
    let error = tensors.require("ids").unwrap_err().to_string();
    assert!(
        error.contains("ids: dtype: I64 is not supported"),
        "{error}"
    );
    assert!(
        tensors
            .require("c")
            .unwrap_err()
            .to_string()
            .contains("tensor c")
    );
    tensors.done_with("a");
    tensors.check_intact().unwrap();
}

#[test]
fn every_prefix_of_a_sound_file_is_refused() {
    let bytes = one("weight");
    for len in 0..bytes.len() {
        refuse_bytes(&bytes[..len], &[]);
    }
}

#[test]
fn attack_16_header_size() {
    for size in [1 << 63, u64::MAX, 100_000_001, 17 << 20, 1000] {
        let bytes = [&u64::to_le_bytes(size), b"{}".as_slice()].concat();
        refuse_bytes(&bytes, &["header size", &size.to_string()]);
    }
    // Really there, over a hundred megabytes of blanks.
    let (_dir, path) = on_disk("bad.safetensors", &(101_u64 << 20).to_le_bytes());
    let opened = std::fs::File::options().write(true).open(&path).unwrap();
    opened.set_len(200 << 20).unwrap();
    refused_with(&["header size", "at most"], || Safetensors::open(&path));
}

#[test]
fn attack_16_header_text() {
    refuse("", &[], &["header"]);
    refuse(" {}", &[], &["header"]);
    refuse("[]", &[], &["header"]);
    refuse("{", &[], &["header"]);
    refuse("{} {}", &[], &["header"]);
    refuse(r#"{"a":1}"#, &[], &["header"]);
    refuse(
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        &[0; 4],
        &["data_offsets"],
    );
    refuse(
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":1}}"#,
        &[0; 4],
        &["more"],
    );
    refuse(r#"{"__metadata__":{"a":1}}"#, &[], &["header"]);
    refuse(
        &format!(r#"{{"a":{}"#, "[".repeat(100_000)),
        &[],
        &["header"],
    );
    refuse(
        &format!(r#"{{"a":{}"#, r#"{"a":"#.repeat(100_000)),
        &[],
        &["header"],
    );
    let shape = "1,".repeat(1_000_000);
    refuse(
        &format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}1],"data_offsets":[0,4]}}}}"#),
        &[0; 4],
        &["at most 8 dimensions"],
    );
    let name = "n".repeat(2_000_000);
    refuse(
        &format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#),
        &[0; 4],
        &["2000000 bytes"],
    );
    let many: Vec<String> = (0..70_000)
        .map(|i| format!(r#""{i}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    refuse(
        &format!("{{{}}}", many.join(",")),
        &[],
        &["more than 65536"],
    );
    let keys: Vec<String> = (0..1_000_000).map(|i| format!(r#""{i}":"""#)).collect();
    refuse(
        &format!(r#"{{"__metadata__":{{{}}}}}"#, keys.join(",")),
        &[],
        &["more than 4096"],
    );
    // A name with a lone surrogate, one that is not UTF-8, and a dtype that nobody knows.
    refuse(
        r#"{"\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
        &[0; 4],
        &["header"],
    );
    refuse_bytes(
        &[&[4, 0, 0, 0, 0, 0, 0, 0], b"{\"\xff\"".as_slice()].concat(),
        &["header"],
    );
    refuse(
        r#"{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}"#,
        &[0; 4],
        &["a: dtype", "F33"],
    );
}

#[test]
fn attack_16_overlaps_holes_and_rests() {
    let two = |a: [u64; 2], b: [u64; 2]| {
        let row = |[begin, end]: [u64; 2]| {
            let dim = end - begin;
            format!(
                r#"{{"dtype":"F16","shape":[{}],"data_offsets":[{begin},{end}]}}"#,
                dim / 2
            )
        };
        format!(r#"{{"a":{},"b":{}}}"#, row(a), row(b))
    };
    refuse(
        &two([0, 8], [6, 12]),
        &[0; 12],
        &["b: data_offsets", "begin 6", "8"],
    );
    refuse(&two([0, 8], [0, 8]), &[0; 8], &["data_offsets"]);
    refuse(&two([0, 12], [4, 8]), &[0; 12], &["data_offsets"]);
    refuse(&two([0, 4], [8, 12]), &[0; 12], &["b: data_offsets"]);
    refuse(&two([4, 8], [8, 12]), &[0; 12], &["a: data_offsets"]);
    refuse(
        &two([0, 4], [4, 8]),
        &[0; 9],
        &["data", "1 bytes after the last tensor"],
    );
    refuse("{}", &[0; 4], &["4 bytes after the last tensor"]);
}

#[test]
fn attack_16_duplicate_keys() {
    let row = r#"{"dtype":"F16","shape":[1],"data_offsets":[0,2]}"#;
    let next = r#"{"dtype":"F16","shape":[1],"data_offsets":[2,4]}"#;
    refuse(
        &format!(r#"{{"a":{row},"a":{next}}}"#),
        &[0; 4],
        &["a", "twice"],
    );
    refuse(
        &format!(r#"{{"a":{row},"\u0061":{next}}}"#),
        &[0; 4],
        &["a", "twice"],
    );
    refuse(
        r#"{"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,2]}}"#,
        &[0; 2],
        &["duplicate field"],
    );
    refuse(
        r#"{"__metadata__":{},"__metadata__":{}}"#,
        &[],
        &["__metadata__", "twice"],
    );
    refuse(
        r#"{"__metadata__":{"k":"1","k":"2"}}"#,
        &[],
        &["k", "twice"],
    );
}

#[test]
fn attack_16_shapes_that_disagree_with_offsets() {
    let row = |shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (shape, offsets) in [
        ("[4]", "[0,8]"),
        ("[1]", "[0,8]"),
        ("[2]", "[8,0]"),
        ("[2]", "[0,9223372036854775808]"),
        ("[2]", "[18446744073709551608,0]"),
        ("[4611686018427387904,4]", "[0,8]"),
        ("[4611686018427387905,4]", "[0,8]"),
        ("[4294967296,4294967296]", "[0,8]"),
        ("[18446744073709551615]", "[0,8]"),
        ("[2305843009213693954]", "[0,8]"),
        ("[-2]", "[0,8]"),
        ("[2.0]", "[0,8]"),
        ("[2]", "[0,8,8]"),
        ("[2]", "[0]"),
    ] {
        refuse(&row(shape, offsets), &[0; 8], &[]);
    }
}

fn sharded(index: &str) -> (tempfile::TempDir, terang_model::Result<Safetensors>) {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("one.safetensors", &one("a"));
    write("two.safetensors", &one("b"));
    write("again.safetensors", &one("a"));
    write("index.json", index.as_bytes());
    let opened = Safetensors::open_sharded(dir.path(), "index.json");
    (dir, opened)
}

#[test]
fn shards_give_the_tensors_of_all_files() {
    let (_dir, opened) = sharded(
        r#"{"metadata":{"total_size":32},
            "weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#,
    );
    let tensors = opened.unwrap();
    assert_eq!(tensors.names(), ["a", "b"]);
    assert_eq!(tensors.require("b").unwrap().data, [1; 16]);
    assert!(tensors.path().ends_with("index.json"));
}

#[test]
fn an_index_that_disagrees_with_its_shards_is_refused() {
    for (map, words) in [
        (
            r#"{"a":"two.safetensors","b":"one.safetensors"}"#,
            &["the tensor in"][..],
        ),
        (
            r#"{"a":"one.safetensors","c":"two.safetensors"}"#,
            &["c", "no such tensor"],
        ),
        (
            r#"{"a":"one.safetensors","b":"again.safetensors"}"#,
            &["a", "twice"],
        ),
        (
            r#"{"a":"one.safetensors","a":"one.safetensors"}"#,
            &["weight_map"],
        ),
        (r#"{"a":"gone.safetensors"}"#, &["gone.safetensors"]),
        (
            r#"{"a":"../one.safetensors"}"#,
            &["file name", "../one.safetensors"],
        ),
        (r#"{"a":"/etc/passwd"}"#, &["file name", "/etc/passwd"]),
        (r#"{"a":"."}"#, &["file name"]),
        (r#"{"a":".."}"#, &["file name"]),
        (r#"{"a":""}"#, &["file name"]),
        (r#"{"a":"x/../one.safetensors"}"#, &["file name"]),
        (r#"{"a":"..\\one.safetensors"}"#, &["file name"]),
        (r#"{"a":"one.safetensors/"}"#, &["file name"]),
        (r#"{"a":"one\u0000.safetensors"}"#, &["file name"]),
        (r#"{"a":["one.safetensors"]}"#, &["weight_map"]),
        (r#"{"a":"index.json"}"#, &["index.json"]),
    ] {
        let (_dir, opened) = sharded(&format!(r#"{{"weight_map":{map}}}"#));
        refused_with(words, || opened);
    }
    let (_dir, opened) = sharded(r#"{"weight_maps":{}}"#);
    refused_with(&["weight_map"], || opened);
    assert!(Safetensors::open_sharded(Path::new("/no/such/folder"), "index.json").is_err());
}
