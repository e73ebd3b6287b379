//! GIF: blocks up to the last. Comments and what programs write for themselves are left out.

use super::{Bytes, Kept, PictureError, Result, Size};

/// Blocks of applications that say how it moves, and what its colours mean.
const NEEDED: [&[u8]; 3] = [b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012"];

pub(super) fn clean(data: &[u8]) -> Result<Kept> {
    let mut bytes = Bytes::new(data);
    bytes.take(6)?;
    let size = Size::of(bytes.u16_le()?, bytes.u16_le()?)?;
    let flags = bytes.byte()?;
    bytes.take(2)?;
    bytes.take(colours(flags))?;
    let mut kept = data[..data.len() - bytes.rest().len()].to_vec();
    let mut drawn = false;
    loop {
        let whole = bytes.rest();
        let needed = match bytes.byte()? {
            0x21 => {
                let label = bytes.byte()?;
                let first = sub_blocks(&mut bytes)?;
                // How long a frame is shown, and what becomes of it.
                label == 0xf9 || label == 0xff && NEEDED.contains(&first)
            }
            0x2c => {
                let (left, top) = (bytes.u16_le()?, bytes.u16_le()?);
                let (width, height) = (bytes.u16_le()?, bytes.u16_le()?);
                Size::of(left + width, top + height)?;
                let flags = bytes.byte()?;
                bytes.take(colours(flags))?;
                bytes.byte()?;
                sub_blocks(&mut bytes)?;
                drawn = true;
                true
            }
            0x3b => break,
            _ => return Err(PictureError::Damaged),
        };
        if needed {
            kept.extend_from_slice(&whole[..whole.len() - bytes.rest().len()]);
        }
    }
    if !drawn {
        return Err(PictureError::Damaged);
    }
    kept.push(0x3b);
    Ok(Kept {
        size,
        orientation: None,
        data: kept,
    })
}

/// Bytes of the colours that the flags announce.
fn colours(flags: u8) -> usize {
    if flags & 0x80 == 0 {
        0
    } else {
        3 << ((flags & 7) + 1)
    }
}

/// Passes over blocks up to the empty one; gives the first.
fn sub_blocks<'a>(bytes: &mut Bytes<'a>) -> Result<&'a [u8]> {
    let mut first = None;
    loop {
        let length = bytes.byte()?;
        let block = bytes.take(length.into())?;
        let first = *first.get_or_insert(block);
        if length == 0 {
            return Ok(first);
        }
    }
}
