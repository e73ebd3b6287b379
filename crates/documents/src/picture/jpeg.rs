//! JPEG: segments up to the end of the picture. What follows it (a second picture, a film) is not kept.

use super::{Bytes, Kept, PictureError, Result, Size, exif};

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const EXIF: &[u8] = b"Exif\0\0";

pub(super) fn clean(data: &[u8]) -> Result<Kept> {
    let mut bytes = Bytes::new(data);
    bytes.expect(&[0xff, START])?;
    let mut kept = vec![0xff, START];
    let (mut size, mut orientation, mut scanned) = (None, None, false);
    loop {
        let mark = marker(&mut bytes)?;
        match mark {
            END => break,
            0x00 | START => return Err(PictureError::Damaged),
            // Without a length.
            0x01 | 0xd0..=0xd7 => {
                kept.extend([0xff, mark]);
                continue;
            }
            _ => {}
        }
        let length = bytes.array()?;
        let body = u16::from_be_bytes(length).checked_sub(2);
        let body = bytes.take(body.ok_or(PictureError::Damaged)?.into())?;
        if let Some(tiff) = body.strip_prefix(EXIF)
            && mark == 0xe1
            && orientation.is_none()
        {
            orientation = exif::orientation(tiff);
            if let Some(turned) = orientation {
                segment(&mut kept, mark, &[EXIF, &exif::only(turned)].concat());
            }
        }
        if !is_needed(mark, body) {
            continue;
        }
        if is_frame(mark) {
            // Precision, lines, pixels of a line.
            let mut frame = Bytes::new(body);
            frame.byte()?;
            let (height, width) = (frame.u16_be()?, frame.u16_be()?);
            let found = Size::of(width, height)?;
            size.get_or_insert(found);
        }
        segment(&mut kept, mark, body);
        if mark == SCAN {
            let length = entropy_coded(bytes.rest());
            kept.extend_from_slice(bytes.take(length)?);
            scanned = true;
        }
    }
    kept.extend([0xff, END]);
    match size {
        Some(size) if scanned => Ok(Kept {
            size,
            orientation,
            data: kept,
        }),
        _ => Err(PictureError::Damaged),
    }
}

/// The next marker. Decoders pass over what stands before one, and so it is left out.
fn marker(bytes: &mut Bytes<'_>) -> Result<u8> {
    loop {
        if bytes.byte()? != 0xff {
            continue;
        }
        loop {
            let mark = bytes.byte()?;
            if mark != 0xff {
                return Ok(mark);
            }
        }
    }
}

fn segment(kept: &mut Vec<u8>, mark: u8, body: &[u8]) {
    let length = u16::try_from(body.len() + 2).unwrap_or_default();
    kept.extend([0xff, mark]);
    kept.extend(length.to_be_bytes());
    kept.extend_from_slice(body);
}

fn is_frame(mark: u8) -> bool {
    matches!(mark, 0xc0..=0xcf) && !matches!(mark, 0xc4 | 0xc8 | 0xcc)
}

/// Whether the picture looks the same only with it.
fn is_needed(mark: u8, body: &[u8]) -> bool {
    match mark {
        // JFIF; its extension is a preview.
        0xe0 => body.starts_with(b"JFIF\0"),
        // What its colours mean. Other pictures within the file stand under the same marker.
        0xe2 => body.starts_with(b"ICC_PROFILE\0"),
        // Which colours it has.
        0xee => body.starts_with(b"Adobe"),
        // Frames, tables and scans. Applications' own segments and comments are none of these.
        0xc0..=0xcf | SCAN..=0xdf => true,
        _ => false,
    }
}

/// How long the picture's own data is, which ends with the first marker that is no part of it.
fn entropy_coded(data: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = data[at..].iter().position(|&byte| byte == 0xff) {
        at += found;
        match data.get(at + 1) {
            Some(0x00 | 0xd0..=0xd7) => at += 2,
            Some(0xff) => at += 1,
            Some(_) => return at,
            None => break,
        }
    }
    data.len()
}
