//! Read-only memory maps of model files.
//!
//! Invariant: the bytes of a [`MappedFile`] can be read for as long as it lives, whatever happens
//! to the file. Pages that the system can no longer supply (the file was cut, the disk failed) read
//! as zeros from then on and the map is marked *lost*, which [`MappedFile::check_intact`] reports.
//! Another process that rewrites the file in place can change the bytes under a reader; readers
//! therefore check every length against the slice they hold, never against one they read before.
#![allow(
    unsafe_code,
    reason = "the memory map, its advice and its fault handler are system calls"
)]

mod fault;

use crate::{Error, Result};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use terang_kernels::buffer::StableBytes;

/// A whole regular file, mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    /// Kept open to see whether the file shrinks.
    file: File,
    /// `None` for an empty file, which cannot be mapped.
    map: Option<Map>,
}

#[derive(Debug)]
struct Map {
    start: NonNull<u8>,
    len: usize,
    registration: fault::Registration,
}

// SAFETY: the map is read-only and belongs to the value alone; reading it needs no thread.
unsafe impl Send for Map {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for Map {}

// SAFETY: the map stands, at one address, until the value is dropped, and is readable throughout:
// see the invariant of this module.
unsafe impl StableBytes for MappedFile {
    fn bytes(&self) -> &[u8] {
        self.bytes()
    }
}

impl MappedFile {
    /// Maps the file at `path`. Only regular files can be mapped; in particular a named pipe or a
    /// device is refused without being opened, since opening may block or act.
    pub fn open(path: &Path) -> Result<Self> {
        let on_path = |source| Error::io(path, source);
        refuse_irregular(path, &std::fs::metadata(path).map_err(on_path)?)?;
        let file = OpenOptions::new()
            .read(true)
            // Should the path have become a pipe in between, do not wait for its writer.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(on_path)?;
        let metadata = file.metadata().map_err(on_path)?;
        refuse_irregular(path, &metadata)?;
        let len = usize::try_from(metadata.len())
            .ok()
            .filter(|len| isize::try_from(*len).is_ok())
            .ok_or_else(|| {
                let allowed = "as many bytes as this machine can address";
                Error::invalid(path, "file size", metadata.len(), allowed)
            })?;
        let map = match len {
            0 => None,
            _ => Some(Map::new(&file, len).map_err(on_path)?),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            map,
        })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        let Some(map) = &self.map else {
            return &[];
        };
        // SAFETY: `start` begins `len` mapped readable bytes until `Map` is dropped, which `self`
        // outlives; the fault handler supplies pages that the file no longer has.
        unsafe { std::slice::from_raw_parts(map.start.as_ptr(), map.len) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file this is and when it last changed, as text: another file, or the same with other
    /// contents, gives another text.
    pub fn identity(&self) -> Result<String> {
        let metadata = self.file.metadata();
        let m = metadata.map_err(|source| Error::io(&self.path, source))?;
        Ok(format!(
            "{}:{}:{}:{}.{:09}:{}.{:09}",
            m.dev(),
            m.ino(),
            m.len(),
            m.mtime(),
            m.mtime_nsec(),
            m.ctime(),
            m.ctime_nsec()
        ))
    }

    /// Fails when pages of the map were lost or the file is shorter than when it was mapped.
    pub fn check_intact(&self) -> Result<()> {
        let Some(map) = &self.map else {
            return Ok(());
        };
        let metadata = self.file.metadata();
        let size = metadata
            .map_err(|source| Error::io(&self.path, source))?
            .len();
        if size < map.len as u64 {
            let allowed = format!("{} bytes, as when it was opened", map.len);
            let found = format!("{size} bytes");
            return Err(Error::invalid(&self.path, "file size", found, allowed));
        }
        if map.registration.lost() {
            let source = io::Error::other("a part could not be read while the model was in use");
            return Err(Error::io(&self.path, source));
        }
        Ok(())
    }

    /// Lets the system drop the pages that lie wholly inside `part`, a slice of [`Self::bytes`];
    /// they are read from the file again when needed.
    pub fn done_with(&self, part: &[u8]) {
        let Some(map) = &self.map else {
            return;
        };
        let whole = map.start.as_ptr() as usize..map.start.as_ptr() as usize + map.len;
        let page = fault::page_size();
        let start = (part.as_ptr() as usize).next_multiple_of(page);
        let end = (part.as_ptr() as usize + part.len()) & !(page - 1);
        if start >= end || start < whole.start || end > whole.end {
            return;
        }
        // SAFETY: the range is page-aligned and inside the map. Dropping clean pages of a read-only
        // file map loses nothing: the next read brings them back. A failure changes nothing.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED);
        }
    }
}

impl Map {
    fn new(file: &File, len: usize) -> io::Result<Self> {
        fault::install_handler()?;
        // SAFETY: a new read-only map of an open file at an address that the system chooses.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let Some(start) = NonNull::new(start.cast()) else {
            return Err(io::Error::other(
                "the system mapped the file at address zero",
            ));
        };
        match fault::Registration::new(start.as_ptr() as usize, len) {
            Ok(registration) => Ok(Self {
                start,
                len,
                registration,
            }),
            Err(error) => {
                unmap(start, len);
                Err(error)
            }
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // First out of the registry: another map may get this address as soon as it is free.
        self.registration.release();
        unmap(self.start, self.len);
    }
}

fn unmap(start: NonNull<u8>, len: usize) {
    // SAFETY: exactly the range that `mmap` gave to the caller, who holds no reference into it.
    unsafe {
        libc::munmap(start.as_ptr().cast(), len);
    }
}

fn refuse_irregular(path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    let found = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::invalid(
        path,
        "kind of file",
        found,
        "a regular file",
    ))
}
