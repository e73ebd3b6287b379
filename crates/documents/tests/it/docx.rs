//! Word's documents.

use std::io::{Cursor, Write};

use terang_documents::{DocumentError, Format, read};
use zip::write::SimpleFileOptions;

/// An archive with one part.
fn archive(name: &str, xml: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(xml).unwrap();
    zip.finish().unwrap().into_inner()
}

fn document(body: &str) -> Vec<u8> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"http://x\"><w:body>{body}\
         </w:body></w:document>"
    );
    archive("word/document.xml", xml.as_bytes())
}

#[test]
fn paragraphs_headings_and_tables_are_read() {
    let body = "<w:p><w:pPr><w:pStyle w:val=\"Heading2\"/></w:pPr><w:r><w:t>Leave &amp; pay</w:t></w:r></w:p>\
        <w:p><w:r><w:t xml:space=\"preserve\">Twelve </w:t></w:r><w:r><w:t>days&#233;.</w:t></w:r></w:p>\
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>b</w:t></w:r></w:p>\
        </w:tc></w:tr></w:tbl><w:p/><w:p><w:r><w:t>end</w:t><w:br/><w:t>&lt;b&gt;</w:t></w:r></w:p>";
    let found = read(Format::Docx, document(body)).unwrap();
    assert_eq!(
        found.text,
        "## Leave & pay\n\nTwelve daysé.\n\na  | b \n\nend\n<b>\n\n"
    );
    assert_eq!(found.headings[0].title, "Leave & pay");
}

#[test]
fn what_is_no_document_is_refused() {
    let cases: [(Vec<u8>, DocumentError); 6] = [
        (b"PK\x03\x04".to_vec(), DocumentError::Damaged),
        (archive("other.xml", b"<a/>"), DocumentError::Damaged),
        (
            archive("word/document.xml", b"\xff\xfe"),
            DocumentError::Damaged,
        ),
        (
            archive("word/document.xml", b"<w:p a=\"<w:t"),
            DocumentError::Damaged,
        ),
        (document("<w:p/>"), DocumentError::NoText),
        (
            document(&format!("<w:t>{}</w:t>", "word ".repeat(1 << 20))),
            DocumentError::TooMuchText { limit: 4 << 20 },
        ),
    ];
    for (data, wanted) in cases {
        assert_eq!(read(Format::Docx, data).unwrap_err(), wanted);
    }
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused() {
    let data = document(&" ".repeat(65 << 20));
    assert!(data.len() < 1 << 20);
    let refused = read(Format::Docx, data).unwrap_err();
    assert!(matches!(refused, DocumentError::UnpacksToTooMuch { .. }));
}

/// An entity that names itself twice, and so on: only the five that XML has are known.
#[test]
fn entities_do_not_grow() {
    let xml = "<!DOCTYPE d [<!ENTITY a \"lol\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>\
        <w:document><w:p><w:t>x&c;y</w:t></w:p></w:document>";
    let data = archive("word/document.xml", xml.as_bytes());
    assert_eq!(read(Format::Docx, data).unwrap().text.trim(), "x&c;y");
}

#[test]
fn nesting_is_no_recursion() {
    let body = format!("<w:p>{}<w:t>deep</w:t>", "<w:r>".repeat(200_000));
    assert!(
        read(Format::Docx, document(&body))
            .unwrap()
            .text
            .contains("deep")
    );
}
