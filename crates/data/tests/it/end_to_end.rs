use super::*;
use std::fmt::Write as _;
use terang_data::document::messages;
use terang_data::manifest::Manifest;
use terang_data::prepared::Prepared;

const CONFIG: &str = r#"
name = "mixed"
languages = ["en", "id"]
[tokenizer]
vocab_size = 300
[decontaminate]
files = ["eval.jsonl"]
[[source]]
name = "pages"
files = ["pages/*.txt"]
rules = []
languages = []
licence = "CC0-1.0"
origin = "made up"
[[source]]
name = "lines"
files = ["lines.jsonl"]
rules = ["gopher_word_length"]
weight = 2.0
[[source]]
name = "talk"
files = ["talk.jsonl"]
languages = []
[[source]]
name = "sums"
generate = "arithmetic"
count = 40
"#;

/// Files of all kinds, with what is to be dropped among them.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("pages")).unwrap();
    for i in 0..30 {
        write(
            &format!("pages/{i:02}.txt"),
            &format!("{}\r\nmail me: ani{i}@example.org\n", sentence(i, 80)),
        );
    }
    write(
        "pages/30.txt",
        &format!("{}\nmail me: ani7@example.org", sentence(7, 80)),
    );
    let mut near = sentence(8, 80);
    near.push_str(" Indeed so.");
    write("pages/31.txt", &near);
    write("pages/32.txt", "");
    let question = sentence(99, 20);
    write("eval.jsonl", &format!("{{\"question\": \"{question}\"}}\n"));
    let mut lines = String::new();
    for i in 100..6000 {
        let _ = writeln!(lines, "{{\"text\": \"{}\"}}", sentence(i, 30));
    }
    let _ = writeln!(
        lines,
        "{{\"text\": \"They ask: {question} Yes.\"}}\nnot json"
    );
    lines.push_str("{\"text\": \"a b c d e f\"}\n");
    lines.push_str(
        "{\"text\": \"Dies ist ein ganz gewöhnlicher deutscher Satz, den niemand hier lernen soll, weil er \
         nicht dazu gehört.\"}\n",
    );
    write("lines.jsonl", &lines);
    let mut talk = String::new();
    for i in 0..50 {
        let (ask, answer) = (sentence(9000 + i, 6), sentence(9500 + i, 9));
        let _ = writeln!(
            talk,
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{ask}\"}}, {{\"role\": \"assistant\", \"content\": \"{answer}\"}}]}}"
        );
    }
    talk.push_str("{\"instruction\": \"refuse me\", \"output\": \"this one\"}\n");
    write("talk.jsonl", &talk);
    write("config.toml", CONFIG);
    let config = folder.path().join("config.toml");
    (folder, config)
}

#[test]
fn files_become_documents_and_every_loss_has_a_name() {
    let (folder, config) = folder();
    let out = folder.path().join("out");
    let finished = run(&config, &out, 2).unwrap();
    let manifest = &finished.manifest;
    assert!(!finished.was_there);
    assert_eq!(manifest, &Manifest::read(&out).unwrap());
    let counts = |name: &str| {
        &manifest
            .sources
            .iter()
            .find(|s| s.name == name)
            .unwrap()
            .counts
    };
    let pages = counts("pages");
    assert_eq!((pages.documents_in, pages.documents_out), (33, 30));
    assert_eq!(pages.scrubbed["email"], 31);
    for (source, rule) in [
        ("pages", "duplicate"),
        ("pages", "near_duplicate"),
        ("pages", "empty_file"),
        ("lines", "evaluation"),
        ("lines", "not_json"),
        ("lines", "gopher_word_length"),
        ("talk", "not_encoded"),
    ] {
        assert_eq!(
            counts(source).dropped.get(rule),
            Some(&1),
            "{source} {rule}"
        );
    }
    // Words that nobody speaks may be taken for any language, but German is not kept.
    assert!(counts("lines").dropped["language"] >= 1);
    assert!(!counts("lines").languages.contains_key("de"));
    for source in &manifest.sources {
        let c = &source.counts;
        let dropped: u64 = c
            .dropped
            .iter()
            .filter(|(rule, _)| *rule != "not_encoded")
            .map(|(_, n)| n)
            .sum();
        assert_eq!(c.documents_in, c.documents_out + dropped, "{}", source.name);
        assert!(c.tokens > c.bytes_out / 2, "{}", source.name);
    }
    let prepared = Prepared::open(&out).unwrap();
    let shard = prepared.shard(0).unwrap();
    assert_eq!(shard.records.len() as u64, manifest.documents);
    assert!(shard.text(0).ends_with("mail me: <email>"));
    let tokens = prepared.tokens(0).unwrap().unwrap();
    let (mut chats, mut all) = (0, 0);
    for (i, record) in shard.records.iter().enumerate() {
        let encoded = tokens.document(i, record.kind);
        all += encoded.tokens.len() as u64;
        let expected = Bytes
            .encode(record.kind, shard.text(i))
            .unwrap()
            .unwrap_or_default();
        assert_eq!(encoded, expected, "document {i}");
        if record.kind == Kind::Chat {
            chats += 1;
            assert_eq!(messages(shard.text(i)).len(), 2);
        }
    }
    assert_eq!((chats, all), (91, manifest.tokens));
    let reference = prepared.reference(0, 0, &shard.records[0]);
    assert_eq!(
        (reference.file.as_str(), reference.item),
        ("pages/00.txt", 1)
    );
    assert!(run(&config, &out, 2).unwrap().was_there);
}

#[test]
fn threads_and_being_stopped_change_no_byte() {
    let (folder, config) = folder();
    let out = |name: &str| folder.path().join(name);
    run(&config, &out("one"), 1).unwrap();
    let expected = contents(&out("one"));
    assert!(expected.iter().any(|(name, _)| name == "learned-00000.bin"));
    for threads in [2, 5] {
        let out = out(&format!("threads-{threads}"));
        run(&config, &out, threads).unwrap();
        assert_eq!(contents(&out), expected, "{threads}");
    }
    // Stopped wherever it says that it is somewhere, again and again, until it is done.
    let out = out("stopped");
    let mut stops = 0;
    for events in 0.. {
        match run_until(&config, &out, 2, events) {
            Ok(_) => break,
            Err(DataError::Stopped) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(stops > 3);
    assert_eq!(contents(&out), expected);
}

/// A process that is killed leaves files behind what it noted: they are cut off.
#[test]
fn what_a_killed_run_left_is_cut_off() {
    let (folder, config) = folder();
    let whole = folder.path().join("whole");
    run(&config, &whole, 2).unwrap();
    let killed = folder.path().join("killed");
    assert!(matches!(
        run_until(&config, &killed, 2, 4),
        Err(DataError::Stopped)
    ));
    for name in ["clean", "keys", "files"] {
        let mut file = std::fs::File::options()
            .append(true)
            .open(killed.join(".work").join(name))
            .unwrap();
        std::io::Write::write_all(&mut file, b"half a record").unwrap();
    }
    std::fs::write(killed.join("text-00000.bin.part"), "half a shard").unwrap();
    run(&config, &killed, 1).unwrap();
    std::fs::remove_file(killed.join("text-00000.bin.part")).unwrap_or_default();
    assert_eq!(contents(&killed), contents(&whole));
}

#[test]
fn another_configuration_or_file_is_prepared_anew() {
    let (folder, config) = folder();
    let out = folder.path().join("out");
    let first = run(&config, &out, 2).unwrap().manifest;
    std::fs::write(folder.path().join("pages/40.txt"), sentence(4242, 70)).unwrap();
    let second = run(&config, &out, 2).unwrap();
    assert!(!second.was_there);
    assert_eq!(second.manifest.documents, first.documents + 1);
    assert_ne!(second.manifest.digest, first.digest);
    let text = CONFIG.replace("count = 40", "count = 41");
    std::fs::write(&config, text).unwrap();
    assert_eq!(
        run(&config, &out, 2).unwrap().manifest.documents,
        first.documents + 2
    );
}

#[test]
fn what_was_changed_is_told_by_its_file() {
    let (folder, config) = folder();
    let out = folder.path().join("out");
    run(&config, &out, 2).unwrap();
    for name in [
        "text-00000.bin",
        "tokens-00000.bin",
        "documents-00000.bin",
        "files.jsonl",
        "manifest.json",
    ] {
        let path = out.join(name);
        let whole = std::fs::read(&path).unwrap();
        let mut changed = whole.clone();
        let at = changed.len() / 2;
        changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
        std::fs::write(&path, changed).unwrap();
        let read = || -> Result<()> {
            let prepared = Prepared::open(&out)?;
            prepared.shard(0)?;
            prepared.tokens(0)?;
            Ok(())
        };
        let error = read().unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
        std::fs::write(&path, whole).unwrap();
        read().unwrap();
    }
}

#[test]
fn data_without_a_document_are_told_with_what_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("c.toml");
    std::fs::write(folder.path().join("a.txt"), "short").unwrap();
    std::fs::write(
        &config,
        "name = \"x\"\n[[source]]\nname = \"a\"\nfiles = [\"a.txt\"]\n",
    )
    .unwrap();
    let error = run(&config, &folder.path().join("out"), 1)
        .unwrap_err()
        .to_string();
    assert!(error.contains("gopher_word_count 1"), "{error}");
    let missing = run(
        &folder.path().join("none.toml"),
        &folder.path().join("out"),
        1,
    )
    .unwrap_err();
    assert!(missing.to_string().contains("none.toml"));
}
