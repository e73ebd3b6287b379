//! Hostile documents, read in a child process: each costs an error, in time and within the memory that
//! a child may have.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use terang_documents::{DocumentError, Format, isolated::Reader};

/// The example of this crate, which is built with its tests.
fn program() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples/read_document")
}

fn reader() -> Reader {
    Reader::new(program())
}

/// A file of these objects, the first of which is the catalogue.
fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n".to_vec();
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        writeln!(out, "{} 0 obj", index + 1).unwrap();
        out.extend_from_slice(object);
        out.extend_from_slice(b"\nendobj\n");
    }
    let xref = out.len();
    write!(out, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).unwrap();
    for place in places {
        writeln!(out, "{place:010} 00000 n ").unwrap();
    }
    let count = objects.len() + 1;
    write!(
        out,
        "trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF"
    )
    .unwrap();
    out
}

fn stream(about: &str, data: &[u8]) -> Vec<u8> {
    let mut out = format!("<< {about} /Length {} >>\nstream\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\nendstream");
    out
}

/// One page with this content; `more` objects are numbered from 5 on, and are forms `X5`, `X6`, ….
fn page(content: Vec<u8>, more: Vec<Vec<u8>>) -> Vec<u8> {
    let forms = (5..5 + more.len()).map(|n| format!("/X{n} {n} 0 R "));
    let forms = forms.collect::<Vec<_>>().concat();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << \
             /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> \
             /XObject << {forms} >> >> >>"
        )
        .into_bytes(),
        content,
    ];
    objects.extend(more);
    pdf(&objects)
}

fn text_page(text: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 680 Td ({text}) Tj ET");
    page(stream("", content.as_bytes()), Vec::new())
}

/// Zlib's form of data, made by the same library that reads archives.
fn deflated(data: &[u8]) -> Vec<u8> {
    use zip::write::SimpleFileOptions;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    zip.start_file("x", options).unwrap();
    zip.write_all(data).unwrap();
    let archive = zip.finish().unwrap().into_inner();
    // A local header of 30 bytes and the name, then the data up to the central directory.
    let end = archive
        .windows(4)
        .position(|four| four == b"PK\x01\x02")
        .unwrap();
    let mut out = vec![0x78, 0x9c];
    out.extend_from_slice(&archive[31..end]);
    out
}

/// Each form draws the next ten times: ten to the power of their number.
fn branching(levels: usize) -> Vec<u8> {
    let forms = (0..levels).map(|level| {
        let next = 6 + level;
        let (content, resources) = if level + 1 == levels {
            ("BT /F1 12 Tf (x) Tj ET".to_owned(), String::new())
        } else {
            (
                format!("/X{next} Do ").repeat(10),
                format!("/XObject << /X{next} {next} 0 R >>"),
            )
        };
        let about = format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << {resources} /Font << \
             /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
        );
        stream(&about, content.as_bytes())
    });
    page(stream("", b"/X5 Do"), forms.collect())
}

#[test]
fn a_document_is_read_by_the_child() {
    let read = reader()
        .read(Format::Pdf, text_page("Twelve days of leave."))
        .unwrap();
    assert_eq!(read.text, "Twelve days of leave.");
    let html = reader()
        .read(Format::Html, b"<h1>A</h1><p>b".to_vec())
        .unwrap();
    assert_eq!(html.text, "# A\n\nb");
    assert_eq!(html.headings[0].title, "A");
    let locked = reader().read(Format::Pdf, b"%PDF-1.7\nnothing".to_vec());
    assert_eq!(locked.unwrap_err(), DocumentError::Damaged);
}

#[test]
fn bombs_and_loops_cost_an_error() {
    // 300 MB of blanks, and the same once more deflated: a few hundred bytes.
    let blanks = deflated(&vec![b' '; 300 << 20]);
    let twice = deflated(&blanks);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        (
            "a stream that unpacks to 300 MB",
            page(stream("/Filter /FlateDecode", &blanks), Vec::new()),
        ),
        (
            "deflated twice",
            page(
                stream("/Filter [/FlateDecode /FlateDecode]", &twice),
                Vec::new(),
            ),
        ),
        ("forms that draw forms, ten to the ninth", branching(9)),
        (
            "a form that draws itself",
            page(
                stream("", b"/X5 Do"),
                vec![stream(
                    "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X5 5 0 R >> >>",
                    b"/X5 Do /X5 Do",
                )],
            ),
        ),
        (
            "a page tree that holds itself",
            pdf(&[
                b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
                b"<< /Type /Pages /Count 9999999 /Kids [2 0 R 2 0 R 2 0 R] >>".to_vec(),
            ]),
        ),
        (
            "arrays in arrays",
            pdf(&[[b"<< /Type /Catalog /Pages ".to_vec(), vec![b'['; 1 << 20]].concat()]),
        ),
    ];
    for (name, data) in cases {
        let begun = Instant::now();
        let read = reader().read(Format::Pdf, data);
        assert!(read.is_err(), "{name}: {read:?}");
        assert!(begun.elapsed() < Duration::from_secs(100), "{name}");
    }
}

#[test]
fn a_child_that_does_not_end_is_ended() {
    let slow = reader().with_deadline(Duration::from_millis(300));
    let begun = Instant::now();
    let read = slow.read(Format::Pdf, branching(9));
    assert!(
        matches!(read, Err(DocumentError::TooSlow { .. })),
        "{read:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
}

#[test]
fn what_a_child_cannot_be_started_with_is_said() {
    let nowhere = Reader::new(PathBuf::from("/nowhere/terang"));
    let read = nowhere.read(Format::Pdf, text_page("x"));
    assert!(matches!(read, Err(DocumentError::Unavailable { .. })));
    // Another program that says something else.
    let other = Reader::new(PathBuf::from("/bin/echo"));
    assert_eq!(
        other.read(Format::Pdf, text_page("x")).unwrap_err(),
        DocumentError::BrokeOff
    );
}

/// The child gives up what it could do before it looks at the file.
#[cfg(target_os = "linux")]
#[test]
fn the_child_is_confined() {
    let mut child = Command::new(program())
        .args(["read-document", "pdf"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&branching(9)).unwrap();
    drop(input);
    let path = format!("/proc/{}/limits", child.id());
    let deadline = Instant::now() + Duration::from_secs(30);
    let limits = loop {
        let limits = std::fs::read_to_string(&path).unwrap();
        let cpu = limits
            .lines()
            .find(|line| line.starts_with("Max cpu time"))
            .unwrap();
        if !cpu.contains("unlimited") || Instant::now() > deadline {
            break limits;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    std::thread::sleep(Duration::from_millis(20));
    let limits_later = std::fs::read_to_string(&path).unwrap_or(limits);
    child.kill().unwrap();
    child.wait().unwrap();
    for (name, wanted) in [
        ("Max cpu time", "30"),
        ("Max file size", "0"),
        ("Max open files", "0"),
        ("Max processes", "0"),
        ("Max core file size", "0"),
        ("Max address space", "805306368"),
    ] {
        let line = limits_later
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        let found = line[name.len()..].split_whitespace().next().unwrap();
        assert_eq!(found, wanted, "{line}");
    }
}
