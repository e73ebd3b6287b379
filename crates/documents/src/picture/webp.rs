//! WebP: chunks of its container. Those that are not listed here are left out.

use super::{Bytes, Kept, PictureError, Result, Size, exif};

/// Chunks of the picture, of its colours, of its transparency and of its movement.
const NEEDED: [&[u8; 4]; 6] = [b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", b"ICCP"];
/// Flags of the first chunk that announce what is left out.
const EXIF_FLAG: u8 = 0x08;
const XMP_FLAG: u8 = 0x04;

pub(super) fn clean(data: &[u8]) -> Result<Kept> {
    let mut bytes = Bytes::new(data);
    bytes.expect(b"RIFF")?;
    let length = bytes.u32_le()? as usize;
    // What stands behind it is no part of it.
    let mut bytes = Bytes::new(bytes.take(length)?);
    bytes.expect(b"WEBP")?;
    let (name, body) = chunk(&mut bytes)?;
    let mut kept = b"RIFF\0\0\0\0WEBP".to_vec();
    let (size, orientation) = if name == *b"VP8X" {
        extended(body, bytes, &mut kept)?
    } else {
        let size = still(name, body)?.ok_or(PictureError::Damaged)?;
        write(&mut kept, name, body);
        (size, None)
    };
    let length = u32::try_from(kept.len() - 8).map_err(|_| PictureError::Damaged)?;
    kept[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(Kept {
        size,
        orientation,
        data: kept,
    })
}

/// A file of several chunks, of which `head` is the first.
fn extended(head: &[u8], mut bytes: Bytes<'_>, kept: &mut Vec<u8>) -> Result<(Size, Option<u8>)> {
    let mut fields = Bytes::new(head);
    let flags = fields.byte()?;
    fields.take(3)?;
    let size = Size::of(fields.u24_le()? + 1, fields.u24_le()? + 1)?;
    let flags_at = kept.len() + 8;
    write(kept, *b"VP8X", head);
    let (mut orientation, mut drawn) = (None, false);
    while !bytes.is_empty() {
        let (name, body) = chunk(&mut bytes)?;
        drawn |= still(name, body)?.is_some();
        match &name {
            b"ANMF" => {
                let mut frame = Bytes::new(body);
                frame.take(6)?;
                Size::of(frame.u24_le()? + 1, frame.u24_le()? + 1)?;
                drawn = true;
            }
            // Some programs write the name that it has within a JPEG before it.
            b"EXIF" if orientation.is_none() => {
                let tiff = body.strip_prefix(b"Exif\0\0").unwrap_or(body);
                orientation = exif::orientation(tiff);
            }
            _ => {}
        }
        if NEEDED.contains(&&name) {
            write(kept, name, body);
        }
    }
    if !drawn {
        return Err(PictureError::Damaged);
    }
    kept[flags_at] = flags & !(EXIF_FLAG | XMP_FLAG);
    if let Some(turned) = orientation {
        kept[flags_at] |= EXIF_FLAG;
        write(kept, *b"EXIF", &exif::only(turned));
    }
    Ok((size, orientation))
}

/// How large a picture that does not move is, if the chunk is one.
fn still(name: [u8; 4], body: &[u8]) -> Result<Option<Size>> {
    let mut fields = Bytes::new(body);
    let (width, height) = match &name {
        b"VP8 " => {
            fields.take(3)?;
            fields.expect(b"\x9d\x01\x2a")?;
            // Two bits of each are a scale that nobody uses.
            (fields.u16_le()? & 0x3fff, fields.u16_le()? & 0x3fff)
        }
        b"VP8L" => {
            fields.expect(b"\x2f")?;
            let both = fields.u32_le()?;
            ((both & 0x3fff) + 1, ((both >> 14) & 0x3fff) + 1)
        }
        _ => return Ok(None),
    };
    Size::of(width, height).map(Some)
}

fn chunk<'a>(bytes: &mut Bytes<'a>) -> Result<([u8; 4], &'a [u8])> {
    let name = bytes.array()?;
    let length = bytes.u32_le()? as usize;
    let body = bytes.take(length)?;
    // Some programs leave out the last one's.
    if length % 2 == 1 && !bytes.is_empty() {
        bytes.byte()?;
    }
    Ok((name, body))
}

fn write(kept: &mut Vec<u8>, name: [u8; 4], body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or_default();
    kept.extend(name);
    kept.extend(length.to_le_bytes());
    kept.extend_from_slice(body);
    if body.len() % 2 == 1 {
        kept.push(0);
    }
}
