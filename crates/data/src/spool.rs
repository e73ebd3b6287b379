//! What is between two passes: records in a file, in the order in which they were found.
//!
//! Invariant: a file is only ever added to, so that its length says how far it is. What a run that was killed
//! wrote behind the length that it noted is cut off.

use crate::Result;
use crate::clean::Kept;
use crate::document::Kind;
use crate::error::at;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const BUFFER: usize = 1 << 20;
/// Bytes before a document's text.
const HEAD: usize = 20;

/// A file that records are added to.
#[derive(Debug)]
pub(crate) struct Appender {
    path: PathBuf,
    file: BufWriter<File>,
    len: u64,
}

impl Appender {
    /// Goes on behind the first `len` bytes.
    pub(crate) fn open(path: &Path, len: u64) -> Result<Self> {
        let mut options = File::options();
        let mut file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(at(path))?;
        file.set_len(len).map_err(at(path))?;
        file.seek(SeekFrom::Start(len)).map_err(at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file),
            len,
        })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(at(&self.path))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Everything is in the file now; so long it is.
    pub(crate) fn flush(&mut self) -> Result<u64> {
        self.file.flush().map_err(at(&self.path))?;
        self.file.get_ref().sync_data().map_err(at(&self.path))?;
        Ok(self.len)
    }
}

/// Reads a file's first `len` bytes from `start` on.
pub(crate) fn reader(path: &Path, start: u64, len: u64) -> Result<impl Read + use<>> {
    let mut file = File::open(path).map_err(at(path))?;
    file.seek(SeekFrom::Start(start)).map_err(at(path))?;
    Ok(BufReader::with_capacity(BUFFER, file).take(len - start))
}

/// A document that was cleaned, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) source: u16,
    pub(crate) file: u32,
    pub(crate) item: u64,
    pub(crate) kind: Kind,
    pub(crate) language: u8,
    pub(crate) text: String,
}

impl Spooled {
    /// Bytes that it takes in the file.
    pub(crate) fn len(&self) -> u64 {
        (HEAD + self.text.len()) as u64
    }
}

/// Writes a document that is kept.
pub(crate) fn put(out: &mut Appender, source: u16, file: u32, kept: &Kept) -> Result<()> {
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&(kept.text.len() as u32).to_le_bytes());
    head[4] = kept.kind.number();
    head[5] = kept.language;
    head[6..8].copy_from_slice(&source.to_le_bytes());
    head[8..12].copy_from_slice(&file.to_le_bytes());
    head[12..].copy_from_slice(&kept.item.to_le_bytes());
    out.write(&head)?;
    out.write(kept.text.as_bytes())
}

/// Reads the next document; none at the end.
pub(crate) fn get(reader: &mut impl Read, path: &Path) -> Result<Option<Spooled>> {
    let mut head = [0; HEAD];
    let first = reader.read(&mut head[..1]).map_err(at(path))?;
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut head[1..]).map_err(at(path))?;
    let mut text = vec![0; u32_at(&head, 0) as usize];
    reader.read_exact(&mut text).map_err(at(path))?;
    let broken = |_| at(path)(std::io::Error::other("it is not as it was written"));
    Ok(Some(Spooled {
        source: u32_at(&head, 4).wrapping_shr(16) as u16,
        file: u32_at(&head, 8),
        item: u64_at(&head, 12),
        kind: Kind::of_number(head[4]),
        language: head[5],
        text: String::from_utf8(text).map_err(broken)?,
    }))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at + 4)) << 32 | u64::from(u32_at(bytes, at))
}

impl Kind {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Chat => 1,
        }
    }

    pub(crate) fn of_number(number: u8) -> Self {
        if number == 1 { Self::Chat } else { Self::Text }
    }
}
