//! Documents for tests.

use std::io::Write;

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

/// A PDF of one page that says `text`.
pub(crate) fn text_page(text: &str) -> Vec<u8> {
    let content = format!("BT /F1 12 Tf 72 680 Td ({text}) Tj ET");
    page("", content.as_bytes())
}

/// A PDF of one page with this content, which unpacks to 300 MB of blanks.
pub(crate) fn pdf_bomb() -> Vec<u8> {
    let archive = archive("x", &vec![b' '; 300 << 20]);
    // A local header of 30 bytes and the name, then the data up to the central directory.
    let mut fours = archive.windows(4);
    let end = fours.position(|four| four == b"PK\x01\x02").unwrap();
    let deflated = [&[0x78, 0x9c], &archive[31..end]].concat();
    page("/Filter /FlateDecode", &deflated)
}

/// A PDF whose tree of pages holds itself.
pub(crate) fn pdf_loop() -> Vec<u8> {
    pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 9999999 /Kids [2 0 R 2 0 R 2 0 R] >>".to_vec(),
    ])
}

/// A document of Word's with this text.
pub(crate) fn docx(text: &str) -> Vec<u8> {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"http://x\"><w:body><w:p><w:r>\
         <w:t>{text}</w:t></w:r></w:p></w:body></w:document>"
    );
    archive("word/document.xml", xml.as_bytes())
}

fn archive(name: &str, data: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    zip.start_file(name, options).unwrap();
    zip.write_all(data).unwrap();
    zip.finish().unwrap().into_inner()
}

fn page(about: &str, content: &[u8]) -> Vec<u8> {
    let mut stream = format!("<< {about} /Length {} >>\nstream\n", content.len()).into_bytes();
    stream.extend_from_slice(content);
    stream.extend_from_slice(b"\nendstream");
    let page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << \
                /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>";
    pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Count 1 /Kids [3 0 R] >>".to_vec(),
        page.as_bytes().to_vec(),
        stream,
    ])
}
