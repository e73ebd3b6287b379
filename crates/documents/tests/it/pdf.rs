//! PDF, written here by hand.

use std::fmt::Write as _;

use terang_documents::{DocumentError, Format, passages, read};

/// A file of these objects, the first of which is the catalogue.
fn file(objects: &[String]) -> Vec<u8> {
    let mut out = String::from("%PDF-1.7\n");
    let mut places = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        places.push(out.len());
        write!(out, "{} 0 obj\n{object}\nendobj\n", index + 1).unwrap();
    }
    let xref = out.len();
    write!(out, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).unwrap();
    for place in places {
        writeln!(out, "{place:010} 00000 n ").unwrap();
    }
    write!(
        out,
        "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF",
        objects.len() + 1
    )
    .unwrap();
    out.into_bytes()
}

fn stream(content: &str) -> String {
    format!(
        "<< /Length {} >>\nstream\n{content}\nendstream",
        content.len()
    )
}

/// A file whose pages draw this.
fn pages(contents: &[&str]) -> Vec<u8> {
    let count = contents.len();
    let kids: Vec<String> = (0..count).map(|n| format!("{} 0 R", 4 + 2 * n)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!(
            "<< /Type /Pages /Count {count} /Kids [{}] >>",
            kids.join(" ")
        ),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    for (index, content) in contents.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * index
        ));
        objects.push(stream(content));
    }
    file(&objects)
}

#[test]
fn words_lines_paragraphs_and_headings_are_put_together() {
    let first = "BT /F1 24 Tf 72 720 Td (Leave policy) Tj ET \
        BT /F1 12 Tf 72 680 Td (Everybody has twelve) Tj 0 -14 Td [(days of le) 20 (ave a y) -10 (ear, as infor-)] TJ \
        0 -14 Td (mation says.) Tj 0 -40 Td (Sick) Tj 30 0 Td (days do not count.) Tj ET";
    let second = "BT /F1 12 Tf 72 700 Td (Caf\\351 on page two.) Tj 2 Tr (bold) Tj ET";
    let document = read(Format::Pdf, pages(&[first, second])).unwrap();
    assert_eq!(
        document.text,
        "Leave policy\n\nEverybody has twelve\ndays of leave a year, as information says.\n\n\
         Sick days do not count.\n\nCafé on page two.bold"
    );
    let numbers: Vec<usize> = document.pages.iter().map(|page| page.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(document.headings.len(), 1);
    let found = passages(&document).unwrap();
    assert_eq!(found[0].page, Some(1));
    assert_eq!(found[0].heading.as_deref(), Some("Leave policy"));
    let last = document.text.find("Café").unwrap();
    assert_eq!(document.page_at(last), Some(2));
}

#[test]
fn what_is_no_pdf_is_refused() {
    for bad in [
        &b"%PDF-1.7"[..],
        b"%PDF-1.7\n%%EOF",
        b"%PDF-1.7\ntrailer << /Root 1 0 R >>",
        b"%PDF-1.7\nxref\n0 99999999999\ntrailer << /Size 99999999999 /Root 1 0 R /Prev 9 >>\nstartxref\n9\n%%EOF",
    ] {
        let refused = read(Format::Pdf, bad.to_vec()).unwrap_err();
        assert!(
            matches!(refused, DocumentError::Damaged | DocumentError::NoText),
            "{refused:?}"
        );
    }
    let empty = pages(&["0 0 m 10 10 l S"]);
    assert_eq!(read(Format::Pdf, empty).unwrap_err(), DocumentError::NoText);
}

#[test]
fn trees_that_hold_themselves_end() {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Count 2 /Kids [2 0 R 3 0 R] /Parent 2 0 R >>",
        "<< /Type /Page /Parent 2 0 R /Contents [4 0 R 4 0 R] /MediaBox [0 0 9 9] /Resources << /XObject << /X 4 0 R >> >> >>",
        "<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Length 5 /Resources << /XObject << /X 4 0 R >> >> >>\nstream\n/X Do\nendstream",
    ];
    let _ = read(Format::Pdf, file(&objects.map(str::to_owned)));
}

#[test]
fn any_byte_may_be_wrong() {
    let good = pages(&["BT /F1 12 Tf 72 680 Td (Everybody has twelve days.) Tj ET"]);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x15;
        let _ = read(Format::Pdf, bad);
        let _ = read(Format::Pdf, good[..at].to_vec());
    }
}
