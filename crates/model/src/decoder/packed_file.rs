//! Packed weights kept in a file, so that the next start maps them instead of packing anew.
//!
//! A file is the matrices in the order in which they are loaded, each at a multiple of [`ALIGN`], then
//! the header as JSON, its length and CRC-32 (u32, little endian), and [`MAGIC`]. It is written beside
//! its place by a thread of its own while the model already answers, and renamed when whole. What does
//! not fit its source, this program's layout or its own check sums is as good as absent: the weights
//! are packed again.

use super::weights::Weights;
use crate::mapped::MappedFile;
use crate::{Result, TensorSource};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};
use terang_kernels::buffer::{Arena, SharedBytes, StableBytes};
use terang_kernels::packed::LAYOUT_VERSION;
use terang_kernels::{DType, PackedMatrix, ThreadPool};

const MAGIC: [u8; 8] = *b"TRGPACK1";
/// Bytes after the header.
const TRAILER: usize = 16;
/// Most bytes of the header: room for half a million matrices.
const HEADER_BYTES_MAX: usize = 64 << 20;
/// A page, so that a matrix begins on a cache line.
const ALIGN: usize = 4096;
/// Bytes under one check sum, and written at once.
const CHECKED: usize = 1 << 20;
/// Bytes that stay free on the file system besides another file of the same size.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// How long the end of a decoder waits for the rest of its file to be written.
const WAIT_AT_END: Duration = Duration::from_secs(1);
const WAIT_STEP: Duration = Duration::from_millis(2);
/// Steps in which a mapped model moves to memory of its own, where it is large; bytes a step where it
/// is not.
const SETTLE_STEPS: usize = 32;
const SETTLE_BYTES_MIN: usize = 8 << 20;
const EXTENSION: &str = "packed";
/// While it is written.
const PART: &str = "part";

/// Where packed weights are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedCache {
    /// The folder. It is made when it is needed; all in it can be deleted at any time.
    pub dir: PathBuf,
    /// Most bytes of all files in it. Those that were used longest ago go first.
    pub bytes_max: u64,
}

#[derive(Serialize, Deserialize)]
struct Header {
    /// The weights' file or folder.
    path: PathBuf,
    /// [`TensorSource::identity`] of what was packed.
    identity: String,
    layout: u32,
    matrices: Vec<Entry>,
    /// CRC-32 of each [`CHECKED`] bytes of the matrices, as they lie in the file.
    checks: Vec<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    dtype: String,
    rows: usize,
    cols: usize,
    start: usize,
    len: usize,
}

/// An open file of packed weights.
#[derive(Debug)]
pub(super) struct PackedFile {
    map: Arc<MappedFile>,
    matrices: Vec<Entry>,
    settled: Settled,
    arena: Arena,
}

/// How much was moved out of the map.
#[derive(Debug)]
enum Settled {
    /// Nothing, and the first step is still to come.
    NotBegun,
    /// So many matrices.
    Moved(usize),
    /// There is no memory for the rest.
    Stays,
}

impl PackedCache {
    fn place(&self, source: &dyn TensorSource) -> PathBuf {
        let path = source.path();
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = crc32fast::hash(path.as_os_str().as_encoded_bytes());
        self.dir.join(format!("{name:08x}.{EXTENSION}"))
    }

    /// The packed weights of `source`, if they are there and whole.
    pub(super) fn open(&self, source: &dyn TensorSource, pool: &ThreadPool) -> Option<PackedFile> {
        let identity = source.identity()?;
        let place = self.place(source);
        let (map, header, data_len) = read_header(&place)?;
        if header.identity != identity || header.layout != LAYOUT_VERSION {
            return None;
        }
        let data = &map.bytes()[..data_len];
        if header.checks.len() != data.len().div_ceil(CHECKED) {
            return None;
        }
        let whole = AtomicBool::new(true);
        pool.for_chunks(header.checks.len(), 1, |_, parts| {
            for part in parts {
                let bytes = &data[part * CHECKED..data.len().min((part + 1) * CHECKED)];
                if crc32fast::hash(bytes) != header.checks[part] {
                    whole.store(false, Ordering::Relaxed);
                }
            }
        });
        if !whole.into_inner() {
            return None;
        }
        // For the order in which files are given up. Without it this one merely goes earlier.
        let _ = File::open(&place).and_then(|file| file.set_modified(SystemTime::now()));
        Some(PackedFile {
            map: Arc::new(map),
            matrices: header.matrices,
            settled: Settled::NotBegun,
            arena: Arena::new(),
        })
    }

    /// Deletes what the folder holds of models that are no longer where they were, and what was
    /// left half written.
    pub fn sweep(&self) {
        for (path, _, _) in self.files(PART) {
            if File::open(&path).is_ok_and(|file| file.try_lock().is_ok()) {
                let _ = fs::remove_file(path);
            }
        }
        for (path, _, _) in self.files(EXTENSION) {
            let gone = read_header(&path).is_none_or(|(_, header, _)| !header.path.exists());
            if gone {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// All files of that kind: path, when it was last used, bytes.
    fn files(&self, extension: &str) -> Vec<(PathBuf, SystemTime, u64)> {
        let paths = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let paths = paths.map(|entry| entry.path());
        let ours = paths.filter(|path| path.extension().is_some_and(|e| e == extension));
        ours.filter_map(|path| {
            let metadata = fs::symlink_metadata(&path).ok()?;
            let used = metadata.modified().ok()?;
            metadata.is_file().then_some((path, used, metadata.len()))
        })
        .collect()
    }

    /// Makes room for `bytes` at `place`; false where there is none.
    fn make_room(&self, place: &Path, bytes: u64) -> bool {
        self.sweep();
        let free = rustix::fs::statvfs(&self.dir)
            .map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        let wanted_free = bytes.saturating_mul(2).saturating_add(FREE_BYTES_MIN);
        if bytes > self.bytes_max || free < wanted_free {
            return false;
        }
        let mut files = self.files(EXTENSION);
        files.retain(|(path, _, _)| path != place);
        files.sort_by_key(|(_, used, _)| Reverse(*used));
        let mut total: u64 = files.iter().map(|(_, _, len)| len).sum();
        while total.saturating_add(bytes) > self.bytes_max
            && let Some((path, _, len)) = files.pop()
        {
            let _ = fs::remove_file(path);
            total -= len;
        }
        true
    }

    /// Begins to write the packed weights of `source`, in a thread of its own.
    pub(super) fn write(&self, source: &dyn TensorSource, weights: Arc<Weights>) -> Option<Writer> {
        let job = Job {
            cache: self.clone(),
            identity: source.identity()?,
            path: source.path().canonicalize().ok()?,
            place: self.place(source),
            weights,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            // A cache that cannot be written costs the next start some time and is no one's error.
            let _ = job.run(&stopped);
        };
        let thread = std::thread::Builder::new().name("packed weights".into());
        let thread = thread.spawn(run).ok()?;
        Some(Writer {
            stop,
            thread: Some(thread),
        })
    }
}

/// Maps the file and reads its header; `None` where it is not one of ours. Also gives where the
/// matrices end.
fn read_header(path: &Path) -> Option<(MappedFile, Header, usize)> {
    let map = MappedFile::open(path).ok()?;
    let (rest, trailer) = map.bytes().split_last_chunk::<TRAILER>()?;
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| trailer[at + byte]));
    let len = number(0) as usize;
    if !trailer.ends_with(&MAGIC) || len > HEADER_BYTES_MAX || len > rest.len() {
        return None;
    }
    let (data, json) = rest.split_at(rest.len() - len);
    if number(4) != crc32fast::hash(json) {
        return None;
    }
    let header = serde_json::from_slice(json).ok()?;
    let data_len = data.len();
    Some((map, header, data_len))
}

impl PackedFile {
    /// The matrix that is loaded as number `index`, if it is this one.
    pub(super) fn matrix(
        &self,
        index: usize,
        dtype: DType,
        rows: usize,
        cols: usize,
    ) -> Option<PackedMatrix> {
        let entry = self.matrices.get(index)?;
        if (&*entry.dtype, entry.rows, entry.cols) != (&*dtype.to_string(), rows, cols) {
            return None;
        }
        let range = entry.start..entry.start.checked_add(entry.len)?;
        let owner = Arc::clone(&self.map) as Arc<dyn StableBytes>;
        let bytes = SharedBytes::part(owner, range)?;
        PackedMatrix::from_packed(dtype, rows, cols, bytes).ok()
    }

    /// Moves the next matrices out of the map, a part of all that is large enough to be soon done and
    /// small enough not to be felt; true when none is left in it. The first call, before the first
    /// step, moves nothing.
    pub(super) fn settle(&mut self, pool: &ThreadPool, all: &mut [&mut PackedMatrix]) -> bool {
        let done = match self.settled {
            Settled::NotBegun => {
                self.settled = Settled::Moved(0);
                return false;
            }
            Settled::Moved(done) => done,
            Settled::Stays => return false,
        };
        let room = (self.map.bytes().len() / SETTLE_STEPS).max(SETTLE_BYTES_MIN);
        let (mut now, mut bytes) = (done, 0);
        while bytes < room
            && let Some(matrix) = all.get_mut(now)
        {
            bytes += matrix.packed_bytes().len();
            let map = &self.map;
            let moved = matrix.move_to(pool, &self.arena, |part| map.done_with(part));
            if moved.is_err() {
                self.settled = Settled::Stays;
                return false;
            }
            now += 1;
        }
        self.settled = Settled::Moved(now);
        now == all.len()
    }

    /// Fails when the file shrank or could not be read.
    pub(super) fn check_intact(&self) -> Result<()> {
        self.map.check_intact()
    }
}

/// What is written, and where.
struct Job {
    cache: PackedCache,
    identity: String,
    path: PathBuf,
    place: PathBuf,
    weights: Arc<Weights>,
}

impl Job {
    fn run(&self, stop: &AtomicBool) -> io::Result<()> {
        fs::create_dir_all(&self.cache.dir)?;
        let matrices = self.weights.matrices();
        let padded = |m: &&PackedMatrix| m.packed_bytes().len().next_multiple_of(ALIGN) as u64;
        let bytes = matrices.iter().map(padded).sum();
        if !self.cache.make_room(&self.place, bytes) {
            return Ok(());
        }
        let part = self.place.with_extension(PART);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&part)?;
        // Another process may be writing the same.
        if file.try_lock().is_err() {
            return Ok(());
        }
        file.set_len(0)?;
        match self.write_to(&file, &matrices, stop) {
            Ok(true) => fs::rename(&part, &self.place),
            Ok(false) => fs::remove_file(&part),
            Err(error) => {
                let _ = fs::remove_file(&part);
                Err(error)
            }
        }
    }

    /// False when it was told to stop.
    fn write_to(
        &self,
        file: &File,
        matrices: &[&PackedMatrix],
        stop: &AtomicBool,
    ) -> io::Result<bool> {
        let mut out = Checked {
            file,
            stop,
            written: 0,
            hasher: crc32fast::Hasher::new(),
            checks: Vec::new(),
        };
        let mut entries = Vec::new();
        for matrix in matrices {
            let bytes = matrix.packed_bytes();
            entries.push(Entry {
                dtype: matrix.dtype().to_string(),
                rows: matrix.rows(),
                cols: matrix.cols(),
                start: out.written,
                len: bytes.len(),
            });
            let padding = bytes.len().next_multiple_of(ALIGN) - bytes.len();
            if !out.put(bytes)? || !out.put(&[0; ALIGN][..padding])? {
                return Ok(false);
            }
        }
        let header = Header {
            path: self.path.clone(),
            identity: self.identity.clone(),
            layout: LAYOUT_VERSION,
            matrices: entries,
            checks: out.finish(),
        };
        let mut end = serde_json::to_vec(&header)?;
        let check = crc32fast::hash(&end);
        let len = u32::try_from(end.len()).map_err(io::Error::other)?;
        end.extend(len.to_le_bytes());
        end.extend(check.to_le_bytes());
        end.extend(MAGIC);
        let mut file = file;
        file.write_all(&end)?;
        Ok(true)
    }
}

/// Bytes on their way to the file, and their check sums.
struct Checked<'a> {
    file: &'a File,
    stop: &'a AtomicBool,
    written: usize,
    hasher: crc32fast::Hasher,
    checks: Vec<u32>,
}

impl Checked<'_> {
    /// False when it was told to stop.
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<bool> {
        while !bytes.is_empty() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let room = CHECKED - self.written % CHECKED;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.file.write_all(now)?;
            self.hasher.update(now);
            self.written += now.len();
            if self.written.is_multiple_of(CHECKED) {
                self.checks
                    .push(std::mem::take(&mut self.hasher).finalize());
            }
            bytes = later;
        }
        Ok(true)
    }

    fn finish(mut self) -> Vec<u32> {
        if !self.written.is_multiple_of(CHECKED) {
            self.checks.push(self.hasher.finalize());
        }
        self.checks
    }
}

/// The thread that writes. At its end it has a moment to finish, then it is stopped.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        let begun = Instant::now();
        while !thread.is_finished() && begun.elapsed() < WAIT_AT_END {
            std::thread::sleep(WAIT_STEP);
        }
        self.stop.store(true, Ordering::Relaxed);
        // It ends within one write.
        let _ = thread.join();
    }
}
