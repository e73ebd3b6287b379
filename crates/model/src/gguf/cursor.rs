//! A position in the mapped header. Every step is checked against the end of the file and against
//! the limit on the header's size.

use crate::mapped::MappedFile;
use crate::{Error, Result};
use std::ops::Range;

/// Most bytes of header, metadata and tensor table together: three times that of the greatest
/// vocabulary known, and little enough to walk through in well under a second.
pub(super) const HEADER_BYTES_MAX: usize = 48 << 20;

pub(super) struct Cursor<'a> {
    map: &'a MappedFile,
    /// The file up to the header limit.
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(map: &'a MappedFile) -> Self {
        let bytes = map.bytes();
        Self {
            map,
            bytes: &bytes[..bytes.len().min(HEADER_BYTES_MAX)],
            position: 0,
        }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The range of the next `count` bytes. `field` names them in the error.
    pub(super) fn range(
        &mut self,
        count: u64,
        field: impl FnOnce() -> String,
    ) -> Result<Range<usize>> {
        match usize::try_from(count)
            .ok()
            .filter(|count| *count <= self.left())
        {
            Some(count) => {
                let start = self.position;
                self.position += count;
                Ok(start..self.position)
            }
            None => Err(self.too_long(count, field())),
        }
    }

    fn too_long(&self, count: u64, field: String) -> Error {
        let left = self.left();
        let limit = if self.bytes.len() < self.map.bytes().len() {
            format!("at most {left}, where the limit of {HEADER_BYTES_MAX} bytes of header ends")
        } else {
            format!("at most {left}, where the file ends")
        };
        let found = format!("{count} bytes from byte {}", self.position);
        Error::invalid(self.map.path(), field, found, limit)
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        field: impl FnOnce() -> String,
    ) -> Result<[u8; N]> {
        let range = self.range(N as u64, field)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[range]);
        Ok(array)
    }

    pub(super) fn u32(&mut self, field: impl FnOnce() -> String) -> Result<u32> {
        self.array(field).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, field: impl FnOnce() -> String) -> Result<u64> {
        self.array(field).map(u64::from_le_bytes)
    }

    /// A length and that many bytes; the range of the bytes.
    pub(super) fn string(&mut self, field: impl Fn() -> String) -> Result<Range<usize>> {
        let count = self.u64(&field)?;
        self.range(count, field)
    }

    /// A string that must be UTF-8.
    pub(super) fn text(&mut self, field: impl Fn() -> String) -> Result<Range<usize>> {
        let range = self.string(&field)?;
        match std::str::from_utf8(&self.bytes[range.clone()]) {
            Ok(_) => Ok(range),
            Err(error) => {
                let found = format!("a byte {} that is not", error.valid_up_to());
                Err(Error::invalid(self.map.path(), field(), found, "UTF-8"))
            }
        }
    }

    pub(super) fn str(&self, range: &Range<usize>) -> &'a str {
        std::str::from_utf8(&self.bytes[range.clone()]).unwrap_or_default()
    }
}
