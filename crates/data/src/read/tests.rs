use super::*;
use std::io::Write as _;

/// Gives the items of a file of this name and these bytes.
fn read_raw(name: &str, bytes: &[u8], form: Form, sink: Sink<'_>) -> Result<Seen> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let input = Input {
        source: 0,
        path,
        name: name.to_owned(),
    };
    read(&input, &Source::of_form(form), sink)
}

/// What a file of this name and these bytes gives: documents' texts, and what was lost.
fn read_all(name: &str, bytes: &[u8], form: Form) -> Result<(Vec<String>, Vec<&'static str>)> {
    let source = Source::of_form(form);
    let (mut texts, mut lost) = (Vec::new(), Vec::new());
    let seen = read_raw(name, bytes, form, &mut |item| {
        match crate::clean::document(item, &source) {
            Ok(document) => texts.push(document.text),
            Err(rule) => lost.push(rule),
        }
        Ok(())
    })?;
    assert_eq!(seen.bytes, bytes.len() as u64);
    assert_eq!(seen.sha256, hex(&Sha256::digest(bytes)));
    Ok((texts, lost))
}

fn texts(name: &str, bytes: &[u8]) -> Vec<String> {
    read_all(name, bytes, Form::Auto).unwrap().0
}

fn lost(name: &str, bytes: &[u8]) -> Vec<&'static str> {
    read_all(name, bytes, Form::Auto).unwrap().1
}

fn error(name: &str, bytes: &[u8]) -> String {
    let read = read_raw(name, bytes, Form::Auto, &mut |_| Ok(()));
    let error = read.unwrap_err().to_string();
    assert!(error.starts_with(name), "{error}");
    error
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn parquet_file(rows: &[&str]) -> Vec<u8> {
    use parquet::data_type::{ByteArray, ByteArrayType};
    let schema = "message schema { required binary text (UTF8); }";
    let schema = std::sync::Arc::new(parquet::schema::parser::parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer =
        parquet::file::writer::SerializedFileWriter::new(&mut bytes, schema, properties.into())
            .unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let values: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(*row)).collect();
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, None, None)
        .unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn every_form_is_read() {
    let jsonl = b"{\"text\": \"one\"}\n\n{\"text\": \"two\"}\n";
    let expected = ["one", "two"];
    assert_eq!(texts("a.jsonl", jsonl), expected);
    assert_eq!(texts("a.jsonl.gz", &gz(jsonl)), expected);
    let zst = zstd::encode_all(&jsonl[..], 1).unwrap();
    assert_eq!(texts("a.jsonl.zst", &zst), expected);
    assert_eq!(
        texts("a.json", b" [{\"text\": \"one\"}, {\"text\": \"two\"}]"),
        expected
    );
    assert_eq!(
        texts("a.json", b"{\"text\": \"one\"}\n{\"text\": \"two\"}"),
        expected
    );
    assert_eq!(texts("a.csv", b"id,text\n1,one\n2,\"two\"\n"), expected);
    assert_eq!(texts("a.tsv", b"text\tid\none\t1\ntwo\t2\n"), expected);
    assert_eq!(texts("a.parquet", &parquet_file(&expected)), expected);
    assert_eq!(texts("a.txt", b"one\r\ntwo"), ["one\ntwo"]);
    assert_eq!(texts("a.md", b"# one\n\ntwo"), ["# one\n\ntwo"]);
    assert_eq!(
        texts("a.html", b"<title>one</title><p>two"),
        ["# one\n\ntwo"]
    );
    let members: [(&str, &[u8]); 3] = [
        ("x/a.jsonl", jsonl),
        ("b.txt", b"three"),
        ("p.png", b"\x89"),
    ];
    let expected = ["one", "two", "three"];
    assert_eq!(texts("a.zip", &zip(&members)), expected);
    assert_eq!(lost("a.zip", &zip(&members)), ["unknown_form"]);
    assert_eq!(texts("a.tgz", &gz(&tar(&members))), expected);
}

#[test]
fn archives_of_networks_are_read() {
    let tweets = b"window.YTD.tweets.part0 = [ {\"tweet\": {\"full_text\": \"first [1]\"}}, \
        {\"tweet\": {\"full_text\": \"RT @a: b\"}} ]";
    let x = zip(&[
        ("data/tweets.js", tweets),
        (
            "data/account.js",
            b"window.YTD.account.part0 = [{\"account\": {\"email\": \"a@b.co\"}}]",
        ),
        ("README.txt", b"about"),
    ]);
    assert_eq!(texts("x.zip", &x), ["first [1]"]);
    assert_eq!(lost("x.zip", &x), ["reposted"]);
    let public = "https://www.w3.org/ns/activitystreams#Public";
    let outbox = format!(
        "{{\"@context\": [\"y\", {{}}], \"orderedItems\": [{{\"type\": \"Create\", \"object\": {{\"to\": [\"{public}\"], \
         \"content\": \"<p>hello \\\"orderedItems\\\"</p>\"}}}}, {{\"type\": \"Announce\"}}], \"totalItems\": 2}}"
    );
    assert_eq!(
        texts("outbox.json", outbox.as_bytes()),
        ["hello \"orderedItems\""]
    );
    let archive = gz(&tar(&[
        ("outbox.json", outbox.as_bytes()),
        ("actor.json", b"{}"),
    ]));
    let read = read_all("archive.tar.gz", &archive, Form::Mastodon).unwrap();
    assert_eq!(
        read,
        (vec!["hello \"orderedItems\"".to_owned()], vec!["reposted"])
    );
}

#[test]
fn what_is_broken_is_told_by_its_file() {
    let jsonl = "{\"text\": \"one two three four\"}\n".repeat(5000);
    let packed = gz(jsonl.as_bytes());
    error("a.jsonl.gz", &packed[..packed.len() / 2]);
    error("a.jsonl.gz", b"no gzip at all");
    let zst = zstd::encode_all(jsonl.as_bytes(), 1).unwrap();
    error("a.jsonl.zst", &zst[..zst.len() / 2]);
    let file = parquet_file(&["one", "two"]);
    for end in [file.len() - 1, file.len() / 2, 8, 3] {
        error("a.parquet", &file[..end]);
    }
    let archive = zip(&[("a.jsonl", jsonl.as_bytes())]);
    error("a.zip", &archive[..archive.len() - 10]);
    assert!(error("a.json", b"[{\"text\": \"x\"}, {").contains("middle"));
    assert!(error("a.json", b"nothing").contains("no JSON array"));
    assert!(error("a.csv.zip.gz", &gz(&archive)).contains("unpack"));
}

#[test]
fn a_bomb_ends_as_an_error() {
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let zeros = line.repeat(80 << 10);
    for (name, bomb) in [
        ("a.txt.gz", gz(&zeros)),
        ("a.txt.zst", zstd::encode_all(&zeros[..], 1).unwrap()),
        (
            "a.zip",
            zip(&[("a.txt", &zeros[..40 << 20]), ("b.txt", &zeros[..40 << 20])]),
        ),
    ] {
        let error = error(name, &bomb);
        assert!(error.contains("200 times"), "{error}");
    }
}

#[test]
fn what_is_no_document_is_counted() {
    for (name, bytes, expected) in [
        ("a.txt", &b""[..], &["empty_file"][..]),
        ("a.parquet", b"", &["empty_file"]),
        ("a.txt", b"a\0b", &["binary"]),
        ("a.txt", b"caf\xe9", &["not_utf8"]),
        ("a.jsonl", b"{\"text\": \"\xff\"}\n", &["not_utf8"]),
        ("a.jsonl", b"{\n[]\n", &["not_json", "no_text"]),
        ("a.csv", b"text\n\xff\n", &["not_utf8"]),
        ("a.csv", b"other\nx\n", &["no_text"]),
        ("a.jsonl", b"{\"text\": \" \"}\n", &["empty"]),
    ] {
        assert_eq!(lost(name, bytes), expected, "{name} {bytes:?}");
    }
}

/// A reader of a line without end, of which nothing is kept.
struct Endless {
    left: u64,
    end: &'static [u8],
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return self.end.read(buffer);
        }
        let n = buffer.len().min(self.left as usize);
        buffer[..n].fill(b'x');
        self.left -= n as u64;
        Ok(n)
    }
}

#[test]
fn a_line_without_end_is_passed_over() {
    let source = Source::of_form(Form::Auto);
    let reading = Reading {
        name: "a".to_owned(),
        source: &source,
        size: 0,
    };
    for form in [Form::Text, Form::Jsonl] {
        let endless = Endless {
            left: 100 << 20,
            end: b"\n{\"text\": \"after\"}\n",
        };
        let mut items = Vec::new();
        let mut reader = BufReader::new(endless);
        reading
            .items(&mut reader, form, &mut |item| {
                assert!(item.bytes() <= 2 * TEXT_MAX);
                items.push(item);
                Ok(())
            })
            .unwrap();
        assert!(matches!(items[0], Item::Lost("line_too_long")));
        assert_eq!(items.len(), 2);
    }
    // A quote that is never closed, and an element without end.
    let endless = |end| {
        BufReader::new(Endless {
            left: 40 << 20,
            end,
        })
    };
    let csv = reading.items(
        &mut BufReader::new(io::Cursor::new(b"text\n\"").chain(endless(b""))),
        Form::Csv,
        &mut |_| Ok(()),
    );
    assert!(csv.unwrap_err().to_string().contains("never closed"));
    let mut lost = Vec::new();
    let element = io::Cursor::new(b"[\"").chain(endless(b"\", {\"text\": \"b\"}]"));
    reading
        .items(&mut BufReader::new(element), Form::Json, &mut |item| {
            lost.push(matches!(item, Item::Lost("record_too_long")));
            Ok(())
        })
        .unwrap();
    assert_eq!(lost, [true, false]);
}

#[test]
fn long_texts_are_cut_where_a_paragraph_ends() {
    let paragraph = "word ".repeat(20_000) + "\n\n";
    let text = paragraph.repeat(30);
    let items = texts("a.txt", text.as_bytes());
    assert!(items.len() > 1);
    assert!(
        items
            .iter()
            .all(|item| item.len() <= 2 * TEXT_MAX && item.ends_with("word"))
    );
}

proptest::proptest! {
    /// Whatever bytes a file has, it is read or refused.
    #[test]
    fn no_file_is_fatal(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), name in 0usize..12) {
        let names = ["a.txt", "a.md", "a.html", "a.json", "a.jsonl", "a.csv", "a.parquet", "a.zip", "a.txt.gz",
            "a.txt.zst", "tweets.js", "a.tar"];
        let _ = read_bytes(names[name], &bytes, Form::Auto);
    }

    /// Nor is any damage to one that was whole.
    #[test]
    fn no_damage_is_fatal(at in 0usize..400, byte in 0u8.., which in 0usize..3) {
        let (name, mut bytes) = [
            ("a.parquet", parquet_file(&["one", "two", "three"])),
            ("a.zip", zip(&[("a.txt", b"one two three"), ("b.jsonl", b"{\"text\": \"x\"}")])),
            ("a.json", b"[{\"text\": \"one\"}, {\"messages\": [{\"role\": \"user\", \"content\": \"\\u00e9\"}]}]".to_vec()),
        ][which].clone();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read_bytes(name, &bytes, Form::Auto);
    }
}
