//! GGUF files: what a sound one gives, and the file attacks 1 to 12 and 14 (numbers as in the
//! project's list of attacks) on the reader.

use crate::bounds::refused_with;
use crate::gguf_writer::{GgufWriter, on_disk, sample, string, type_id};
use std::path::Path;
use terang_kernels::DType;
use terang_model::TensorSource;
use terang_model::gguf::{Gguf, Numbers, Strings, Value};

#[track_caller]
fn refuse(writer: &GgufWriter, words: &[&str]) {
    refuse_bytes(&writer.bytes(), words);
}

#[track_caller]
fn refuse_bytes(bytes: &[u8], words: &[&str]) {
    let (_dir, path) = on_disk("bad.gguf", bytes);
    refused_with(&[&["bad.gguf"], words].concat(), || Gguf::open(&path));
}

fn open(writer: &GgufWriter) -> (tempfile::TempDir, Gguf) {
    let (dir, path) = on_disk("model.gguf", &writer.bytes());
    let gguf = Gguf::open(&path).unwrap();
    (dir, gguf)
}

#[test]
fn a_sound_file_gives_its_values_and_tensors() {
    for version in [2, 3] {
        let writer = GgufWriter {
            version,
            ..sample()
        };
        let (_dir, gguf) = open(&writer);
        assert_eq!(gguf.version(), version);
        let metadata = gguf.metadata();
        assert_eq!(metadata.str("general.architecture").unwrap(), "llama");
        assert_eq!(metadata.u32("llama.block_count").unwrap(), 2);
        assert_eq!(metadata.usize("llama.block_count").unwrap(), 2);
        assert_eq!(metadata.f32("llama.rope.freq_base").unwrap(), 10000.0);
        assert_eq!(metadata.f32("f64").unwrap(), 0.25);
        assert!(metadata.bool("tokenizer.ggml.add_bos_token").unwrap());
        assert_eq!(metadata.u64("u64").unwrap(), u64::MAX);
        assert_eq!(metadata.get::<i64>("i64").unwrap(), -5);
        assert_eq!(metadata.get_opt::<u32>("absent").unwrap(), None);
        let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap();
        assert_eq!(tokens.len(), 4);
        let tokens: Vec<&str> = tokens.utf8().map(Result::unwrap).collect();
        assert_eq!(tokens, ["<unk>", "a", "ä", "🦀"]);
        let scores: Vec<f32> = metadata.floats("tokenizer.ggml.scores").unwrap().collect();
        assert_eq!(scores, [1.0, -2.0]);
        let types: Vec<i64> = metadata
            .ints("tokenizer.ggml.token_type")
            .unwrap()
            .collect();
        assert_eq!(types, [1, -1]);
        let Some(Value::Array(nested)) = metadata.value("nested") else {
            panic!("{:?}", metadata.value("nested"));
        };
        assert_eq!(nested.len(), 2);
        assert!(metadata.iter().is_sorted_by_key(|(key, _)| key));

        assert_eq!(gguf.names().len(), DType::ALL.len());
        assert!(gguf.names().is_sorted());
        for dtype in DType::ALL {
            let tensor = gguf.require(&format!("weight.{dtype}")).unwrap();
            let cols = dtype.block_len() * 2;
            assert_eq!(tensor.dtype, dtype);
            assert_eq!(tensor.shape, [3, cols]);
            assert_eq!(tensor.data.len(), 3 * dtype.row_bytes(cols).unwrap());
            assert!(
                tensor
                    .data
                    .iter()
                    .enumerate()
                    .all(|(i, x)| *x == (i * 37 % 251) as u8)
            );
            assert!(tensor.data.as_ptr().addr().is_multiple_of(32));
            gguf.done_with(&format!("weight.{dtype}"));
        }
        gguf.check_intact().unwrap();
    }
}

#[test]
fn typed_access_names_file_key_found_and_allowed() {
    let (_dir, gguf) = open(&sample().array("big", 10, 1, &u64::MAX.to_le_bytes()));
    let metadata = gguf.metadata();
    let message = |error: terang_model::Error| {
        let message = error.to_string();
        assert!(message.contains("model.gguf"), "{message}");
        message
    };
    let absent = message(metadata.u32("llama.embedding_length").unwrap_err());
    assert!(absent.ends_with(
        "llama.embedding_length: found nothing, allowed an integer from 0 to 4294967295"
    ));
    let text = message(metadata.u32("general.architecture").unwrap_err());
    assert!(
        text.contains("found the string \"llama\"") || text.contains("llama"),
        "{text}"
    );
    let negative = message(metadata.u32("i64").unwrap_err());
    assert!(negative.contains("found the integer -5"), "{negative}");
    let large = message(metadata.u32("u64").unwrap_err());
    assert!(large.contains("18446744073709551615"), "{large}");
    message(
        metadata
            .get::<Strings<'_>>("tokenizer.ggml.scores")
            .unwrap_err(),
    );
    message(
        metadata
            .get::<Numbers<'_>>("tokenizer.ggml.tokens")
            .unwrap_err(),
    );
    message(metadata.floats("tokenizer.ggml.token_type").err().unwrap());
    message(metadata.ints("tokenizer.ggml.scores").err().unwrap());
    let overflow = message(metadata.ints("big").err().unwrap());
    assert!(overflow.contains("big[0]"), "{overflow}");
    message(gguf.require("absent.weight").unwrap_err());
}

#[test]
fn every_prefix_of_a_sound_file_is_refused() {
    let bytes = sample().bytes();
    let (_dir, path) = on_disk("cut.gguf", &bytes);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    for len in (0..bytes.len()).rev() {
        file.set_len(len as u64).unwrap();
        assert!(Gguf::open(&path).is_err(), "opened with {len} bytes");
    }
}

#[test]
fn other_files_and_versions_are_named() {
    refuse_bytes(b"", &["magic"]);
    refuse_bytes(b"GGUF", &["version"]);
    refuse_bytes(b"PK\x03\x04 not a model", &["magic", "PK", "GGUF"]);
    let version = |version: [u8; 4]| [b"GGUF".as_slice(), &version, &[0; 16]].concat();
    refuse_bytes(&version([1, 0, 0, 0]), &["version: 1 is not supported"]);
    refuse_bytes(&version([0, 0, 0, 3]), &["big endian"]);
    refuse_bytes(&version([4, 0, 0, 0]), &["version: found 4"]);
    refuse(
        &sample().raw_key("split.count", 2, &[3, 0]),
        &["split.count", "3 files"],
    );
}

#[test]
fn attack_01_tensor_count() {
    for count in [1 << 63, u64::MAX, 1 << 32, 1 << 17, 100] {
        let writer = GgufWriter {
            tensor_count: Some(count),
            ..GgufWriter::default().u32("key", 1)
        };
        refuse(&writer, &["tensor count", &count.to_string()]);
    }
}

#[test]
fn attack_02_key_count() {
    for count in [1 << 63, u64::MAX, 1 << 32, 1 << 17, 100] {
        let writer = GgufWriter {
            key_count: Some(count),
            ..GgufWriter::default().u32("key", 1)
        };
        refuse(&writer, &["key count", &count.to_string()]);
    }
}

#[test]
fn attack_03_string_length() {
    for len in [u64::MAX, 1 << 63, 1 << 30, 100] {
        let value = [&len.to_le_bytes(), b"short".as_slice()].concat();
        let writer = GgufWriter::default().raw_key("general.name", 8, &value);
        refuse(&writer, &["general.name", &len.to_string(), "file ends"]);
        let items = GgufWriter::default().array("tokens", 8, 1, &value);
        refuse(&items, &["tokens[0]", &len.to_string()]);
        let mut key = b"GGUF\x03\0\0\0".to_vec();
        key.extend([0; 8]);
        key.extend(1_u64.to_le_bytes());
        key.extend(&value);
        key.extend([0; 32]);
        refuse_bytes(&key, &["key 0", &len.to_string()]);
    }
    refuse(&GgufWriter::default().u32("", 0), &["key 0", "0 bytes"]);
    let long = "k".repeat(300);
    refuse(
        &GgufWriter::default().u32(&long, 0),
        &["key 0", "300 bytes"],
    );
}

#[test]
fn attack_04_array_count() {
    for item_type in 0..13 {
        for count in [1 << 63, u64::MAX, u64::MAX / 8 + 2, 1 << 40, 100] {
            let writer = GgufWriter::default().array("array", item_type, count, &[0; 16]);
            refuse(&writer, &["array", &count.to_string()]);
        }
    }
}

/// Arrays of one array each, `depth` deep, around an empty one.
fn nested(depth: usize) -> Vec<u8> {
    let level = [&9_u32.to_le_bytes(), 1_u64.to_le_bytes().as_slice()].concat();
    let mut bytes = level.repeat(depth);
    bytes.extend([0; 12]);
    bytes
}

#[test]
fn attack_05_nested_arrays() {
    refuse(
        &GgufWriter::default().raw_key("deep", 9, &nested(100_000)),
        &["deep", "nested", "at most 4"],
    );
    open(&GgufWriter::default().raw_key("deep", 9, &nested(3)));
}

#[test]
fn attack_06_dimensions_whose_product_wraps() {
    for dims in [
        &[1 << 32, 1 << 32][..],
        &[1 << 62, 4],
        &[1 << 31, 1 << 31, 4],
        &[1 << 20, 1 << 20, 1 << 20, 1 << 4],
        &[(1 << 62) + 32],
        &[4_611_686_018_427_387_905, 4],
    ] {
        for dtype in [DType::F32, DType::F16, DType::Q8_0] {
            let writer = GgufWriter::default().row("w", dims, type_id(dtype), 0);
            refuse(&writer, &["w"]);
        }
    }
    for dim in [0, 1 << 63, u64::MAX] {
        let writer = GgufWriter::default().row("w", &[32, dim], 0, 0);
        refuse(&writer, &["w: dimension", &dim.to_string()]);
    }
    refuse(
        &GgufWriter::default().row("w", &[48, 2], type_id(DType::Q8_0), 0),
        &["w: row length", "48", "multiple of 32"],
    );
}

#[test]
fn attack_07_tensors_whose_sum_wraps() {
    let mut writer = GgufWriter::default();
    for i in 0..64_u64 {
        writer = writer.row(&format!("w{i}"), &[1 << 57], 0, i << 59);
    }
    writer.data = vec![0; 4096];
    refuse(&writer, &["w0", "file ends"]);
}

#[test]
fn attack_08_padding_wraps() {
    for dim in [
        u64::MAX / 4,
        u64::MAX / 4 - 7,
        (1 << 61) - 1,
        i64::MAX as u64 / 4,
    ] {
        let mut writer = GgufWriter::default().row("w", &[dim], 0, 0);
        writer.data = vec![0; 64];
        refuse(&writer, &["w"]);
    }
}

#[test]
fn attack_09_alignment() {
    for alignment in [0, 1, 3, 48, 0x8000_0000, u32::MAX] {
        refuse(
            &sample().u32("general.alignment", alignment),
            &["general.alignment", &alignment.to_string(), "power of two"],
        );
    }
    let value = 32_u64.to_le_bytes();
    refuse(
        &sample().raw_key("general.alignment", 10, &value),
        &["general.alignment", "u64"],
    );
    refuse(
        &sample().str("general.alignment", "32"),
        &["general.alignment", "string"],
    );
    refuse(
        &sample().array("general.alignment", 4, 1, &[32, 0, 0, 0]),
        &["general.alignment"],
    );
    let mut wide = GgufWriter {
        alignment: 4096,
        ..GgufWriter::default()
    };
    wide = wide.u32("general.alignment", 4096);
    wide = wide.tensor("w", &[2], DType::F32, &[1; 8]);
    let (_dir, gguf) = open(&wide);
    assert_eq!(gguf.require("w").unwrap().data, [1; 8]);
}

#[test]
fn attack_10_offset_beyond_the_file() {
    for offset in [32, 64, 4096, 1 << 62, 1 << 63, u64::MAX - 31] {
        let mut writer = GgufWriter::default().row("w", &[16], 0, offset);
        writer.data = vec![0; 64];
        refuse(&writer, &["w", &offset.to_string(), "file ends"]);
    }
    let mut misaligned = GgufWriter::default().row("w", &[8], 0, 4);
    misaligned.data = vec![0; 64];
    refuse(&misaligned, &["w: offset", "multiple of 32"]);
    let mut overlap = GgufWriter::default()
        .row("a", &[16], 0, 0)
        .row("b", &[8], 0, 32);
    overlap.data = vec![0; 64];
    refuse(&overlap, &["b", "overlaps a"]);
}

#[test]
fn attack_11_types_and_dimension_counts() {
    for id in [4, 5, 31, 33, 42, 0x8000_0000, u32::MAX] {
        refuse(
            &GgufWriter::default().row("w", &[32], id, 0),
            &["w: type", &id.to_string()],
        );
    }
    for (id, name) in [(16, "IQ2_XXS"), (23, "IQ4_XS"), (34, "TQ1_0"), (28, "F64")] {
        refuse(
            &GgufWriter::default().row("w", &[256], id, 0),
            &["w: type", name, "not supported", "Q4_K"],
        );
    }
    for id in [13, 255, 0x8000_0000, u32::MAX] {
        refuse(
            &GgufWriter::default().raw_key("k", id, &[0; 8]),
            &["k: type", &id.to_string()],
        );
        refuse(
            &GgufWriter::default().array("k", id, 1, &[0; 8]),
            &["k: type", &id.to_string()],
        );
    }
    for rank in [0_u32, 5, 1000, u32::MAX] {
        let row = [&string("w"), rank.to_le_bytes().as_slice(), &[1; 64]].concat();
        let writer = GgufWriter::default().raw_row(row);
        refuse(&writer, &["w: dimensions", &rank.to_string(), "1 to 4"]);
    }
}

#[test]
fn attack_12_duplicates() {
    refuse(
        &sample().u32("llama.block_count", 3),
        &["llama.block_count", "twice"],
    );
    let writer = GgufWriter::default()
        .tensor("w", &[8], DType::F32, &[0; 32])
        .tensor("w", &[8], DType::F32, &[0; 32]);
    refuse(&writer, &["w", "twice"]);
}

#[test]
fn attack_13_an_oversized_token() {
    let mut items = string(&"x".repeat(49 << 20));
    items.extend(string("y"));
    refuse(
        &GgufWriter::default().array("tokenizer.ggml.tokens", 8, 2, &items),
        &["tokenizer.ggml.tokens[0]", "limit"],
    );
}

#[test]
fn attack_14_counts_over_two_to_the_31_and_sign_flips() {
    let (_dir, gguf) = open(
        &GgufWriter::default()
            .u32("llama.vocab_size", u32::MAX)
            .raw_key("llama.block_count", 5, &(-1_i32).to_le_bytes())
            .array("tokenizer.ggml.token_type", 5, 1, &(-1_i32).to_le_bytes()),
    );
    let metadata = gguf.metadata();
    assert_eq!(
        metadata.usize("llama.vocab_size").unwrap(),
        u32::MAX as usize
    );
    metadata.get::<i32>("llama.vocab_size").unwrap_err();
    metadata.usize("llama.block_count").unwrap_err();
    let mut types = metadata.ints("tokenizer.ggml.token_type").unwrap();
    assert_eq!(types.next(), Some(-1));
    for count in [1 << 31, (1 << 31) + 1, 1 << 32] {
        refuse(
            &GgufWriter::default().array("tokenizer.ggml.tokens", 8, count, &[0; 64]),
            &["tokenizer.ggml.tokens", &count.to_string()],
        );
    }
}

#[test]
fn text_that_is_not_utf_8() {
    refuse(
        &GgufWriter::default().raw_key("general.name", 8, &[2, 0, 0, 0, 0, 0, 0, 0, b'a', 0xff]),
        &["general.name", "UTF-8"],
    );
    let items = [string("ok"), vec![1, 0, 0, 0, 0, 0, 0, 0, 0xff]].concat();
    let (_dir, gguf) = open(&GgufWriter::default().array("tokens", 8, 2, &items));
    let strings = gguf.metadata().strings("tokens").unwrap();
    assert_eq!(
        strings.clone().collect::<Vec<_>>(),
        [b"ok".as_slice(), b"\xff"]
    );
    let error = strings.utf8().nth(1).unwrap().unwrap_err().to_string();
    assert!(
        error.contains("tokens[1]") && error.contains("UTF-8"),
        "{error}"
    );
}

#[test]
fn names_in_messages_cannot_steer_the_terminal() {
    let name = "\u{1b}[2J\r\n\u{202e}";
    let (_dir, path) = on_disk(
        "bad.gguf",
        &GgufWriter::default().row(name, &[32], 99, 0).bytes(),
    );
    let message = Gguf::open(&path).unwrap_err().to_string();
    assert!(
        !message.contains(['\u{1b}', '\r', '\n', '\u{202e}']),
        "{message:?}"
    );
}

/// The worst header within all limits: many short keys, tensors and strings.
#[test]
fn a_header_at_the_limits_opens_within_bounds() {
    let mut writer = GgufWriter::default();
    let items = [0_u8; 8].repeat(5 << 20);
    writer = writer.array("strings", 8, 5 << 20, &items);
    for i in 0..60_000_u64 {
        writer = writer.row(&format!("w{i:020}"), &[8], 0, i * 32);
    }
    writer.data = vec![0; 60_000 * 32 - 4];
    refuse(&writer, &["w00000000000000059999", "file ends"]);
    assert!(Gguf::open(Path::new("/no/such/model.gguf")).is_err());
}
