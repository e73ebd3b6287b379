//! PNG: chunks up to the last. Those that are not listed here are left out, and so is what follows.

use super::{Bytes, Kept, PictureError, Result, Size, exif};

pub(super) const MAGIC: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Chunks of the picture, of its colours, of its transparency and of its movement.
const NEEDED: [&[u8; 4]; 19] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB",
    b"cICP", b"mDCV", b"cLLI", b"bKGD", b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
];

pub(super) fn clean(data: &[u8]) -> Result<Kept> {
    let mut bytes = Bytes::new(data);
    bytes.expect(MAGIC)?;
    let mut kept = MAGIC.to_vec();
    let (mut size, mut orientation, mut drawn) = (None, None, false);
    loop {
        let whole = bytes.rest();
        let length = bytes.u32_be()? as usize;
        let name: [u8; 4] = bytes.array()?;
        let body = bytes.take(length)?;
        bytes.take(4)?;
        match (&name, size) {
            (b"IHDR", None) => {
                let mut head = Bytes::new(body);
                size = Some(Size::of(head.u32_be()?, head.u32_be()?)?);
            }
            (b"IHDR", Some(_)) | (_, None) => return Err(PictureError::Damaged),
            (b"IDAT", _) => drawn = true,
            (b"eXIf", _) if orientation.is_none() => {
                orientation = exif::orientation(body);
                if let Some(turned) = orientation {
                    chunk(&mut kept, name, &exif::only(turned));
                }
            }
            _ => {}
        }
        if NEEDED.contains(&&name) {
            kept.extend_from_slice(&whole[..whole.len() - bytes.rest().len()]);
        } else if name[0].is_ascii_uppercase() {
            // Without a chunk that says so of itself the picture would be another.
            return Err(PictureError::Damaged);
        }
        if name == *b"IEND" {
            break;
        }
    }
    match size {
        Some(size) if drawn => Ok(Kept {
            size,
            orientation,
            data: kept,
        }),
        _ => Err(PictureError::Damaged),
    }
}

fn chunk(kept: &mut Vec<u8>, name: [u8; 4], body: &[u8]) {
    let length = u32::try_from(body.len()).unwrap_or_default();
    kept.extend(length.to_be_bytes());
    let from = kept.len();
    kept.extend(name);
    kept.extend_from_slice(body);
    let sum = checksum(&kept[from..]);
    kept.extend(sum.to_be_bytes());
}

/// CRC-32, as PNG has it.
fn checksum(data: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for &byte in data {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}
