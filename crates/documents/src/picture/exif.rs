//! What cameras write beside a picture (Exif). All of it is left out but one number: how the camera was
//! held, since the picture is shown turned by it.

use super::{Bytes, PictureError, Result};

const ORIENTATION: u32 = 0x0112;
const SHORT: u32 = 3;

/// How a number is written, which the file says at its beginning.
type Number<'a> = fn(&mut Bytes<'a>) -> Result<u32>;

/// How the camera was held, where that is anything but upright. What cannot be read says nothing.
pub(super) fn orientation(tiff: &[u8]) -> Option<u8> {
    find(tiff).ok().filter(|turned| (2..=8).contains(turned))
}

fn find<'a>(tiff: &'a [u8]) -> Result<u8> {
    let mut head = Bytes::new(tiff);
    let (u16_of, u32_of): (Number<'a>, Number<'a>) = match head.take(2)? {
        b"II" => (Bytes::u16_le, Bytes::u32_le),
        b"MM" => (Bytes::u16_be, Bytes::u32_be),
        _ => return Err(PictureError::Damaged),
    };
    if u16_of(&mut head)? != 42 {
        return Err(PictureError::Damaged);
    }
    let mut list = Bytes::new(tiff);
    list.take(u32_of(&mut head)? as usize)?;
    for _ in 0..u16_of(&mut list)? {
        let mut entry = Bytes::new(list.take(12)?);
        let (tag, kind) = (u16_of(&mut entry)?, u16_of(&mut entry)?);
        if tag == ORIENTATION && kind == SHORT && u32_of(&mut entry)? == 1 {
            return u8::try_from(u16_of(&mut entry)?).map_err(|_| PictureError::Damaged);
        }
    }
    Err(PictureError::Damaged)
}

/// That number and nothing else.
pub(super) fn only(orientation: u8) -> [u8; 26] {
    let mut tiff = *b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0";
    tiff[18] = orientation;
    tiff
}
