//! `model.gguf.part`: the beginning of a file that is still coming, with its running SHA-256, and
//! `model.gguf.part.json`, which says from which source it is. It survives any way of dying:
//! what the next run finds is either continued or thrown away, and the whole is verified at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::progress::Progress;
use super::{Miss, miss_for};
use crate::catalogue::{Entry, Source};
use crate::interrupt;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem};
use crate::store::{self, Installed};

/// Bytes moved at once.
pub(super) const BUFFER_BYTES: usize = 256 << 10;
const PART_FILE: &str = "model.gguf.part";
const STATE_FILE: &str = "model.gguf.part.json";
const STATE_BYTES_MAX: u64 = 16 << 10;

/// What the part file holds.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
struct State {
    source: String,
    sha256: String,
    /// Whole parts joined so far, and the bytes they make; a source without parts leaves zero.
    parts: u32,
    parts_bytes: u64,
}

/// A file that is still coming.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    state_path: PathBuf,
    file: File,
    hasher: Sha256,
    len: u64,
    limit: u64,
    state: State,
}

impl PartFile {
    /// The part file in `folder`, continued when it is from `source`, else begun anew.
    pub(super) fn open(
        folder: &Path,
        entry: &Entry,
        source: &Source,
        progress: &Progress,
    ) -> Outcome<Self> {
        let path = folder.join(PART_FILE);
        let state_path = folder.join(STATE_FILE);
        let fresh = State {
            source: source.label(),
            sha256: entry.sha256.clone(),
            parts: 0,
            parts_bytes: 0,
        };
        let kept = read_state(&state_path)
            .filter(|s| s.source == fresh.source && s.sha256 == fresh.sha256);
        // A link here would let somebody else's file be overwritten.
        if fs::symlink_metadata(&path).is_ok_and(|m| !m.is_file()) {
            fs::remove_file(&path).map_err(|e| Problem::file(&path, &e))?;
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Problem::file(&path, &e))?;
        let on_disk = file.metadata().map_err(|e| Problem::file(&path, &e))?.len();
        let keep = match (&kept, source) {
            // A part that was being joined when the process died is joined again.
            (Some(state), Source::Pip { .. }) if state.parts_bytes <= on_disk => state.parts_bytes,
            (None, _) | (Some(_), Source::Pip { .. }) => 0,
            (Some(_), _) => on_disk,
        };
        let keep = if keep > entry.bytes { 0 } else { keep };
        let state = kept.filter(|_| keep > 0).unwrap_or(fresh);
        file.set_len(keep).map_err(|e| Problem::file(&path, &e))?;
        let mut part = Self {
            hasher: Sha256::new(),
            len: 0,
            limit: entry.bytes,
            path,
            state_path,
            file,
            state,
        };
        if keep > 0 {
            progress.start(entry.bytes, 0, &Msg::LabelVerifying {}.to_string());
        }
        part.hash_existing(keep, progress)?;
        part.save_state()?;
        Ok(part)
    }

    fn hash_existing(&mut self, keep: u64, progress: &Progress) -> Outcome<()> {
        self.at(SeekFrom::Start(0))?;
        let mut buffer = vec![0; BUFFER_BYTES];
        while self.len < keep {
            if interrupt::requested() {
                return Err(Problem::Interrupted);
            }
            let want =
                usize::try_from(keep - self.len).map_or(BUFFER_BYTES, |n| n.min(BUFFER_BYTES));
            let count = match self.file.read(&mut buffer[..want]) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Problem::file(&self.path, &e)),
            };
            self.hasher.update(&buffer[..count]);
            self.len += count as u64;
            progress.reach(self.len);
        }
        self.at(SeekFrom::Start(self.len)).map(|_| ())
    }

    fn at(&mut self, position: SeekFrom) -> Outcome<u64> {
        self.file
            .seek(position)
            .map_err(|e| Problem::file(&self.path, &e))
    }

    /// Bytes here.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of the whole file.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whole parts joined.
    pub(super) fn parts(&self) -> u32 {
        self.state.parts
    }

    /// Appends, up to the whole file's size; more than that is a wrong file.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Miss> {
        if interrupt::requested() {
            return Err(Problem::Interrupted.into());
        }
        if self.len + bytes.len() as u64 > self.limit {
            let found = format!("> {}", self.limit);
            let expected = self.limit.to_string();
            self.restart()?;
            return Err(miss_for(Msg::ReasonSize { found, expected }));
        }
        self.file
            .write_all(bytes)
            .map_err(|e| Problem::file(&self.path, &e))?;
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what is here and begins at zero.
    pub(super) fn restart(&mut self) -> Outcome<()> {
        self.file
            .set_len(0)
            .map_err(|e| Problem::file(&self.path, &e))?;
        self.at(SeekFrom::Start(0))?;
        self.hasher = Sha256::new();
        self.len = 0;
        self.state.parts = 0;
        self.state.parts_bytes = 0;
        self.save_state()
    }

    /// A part is joined whole: from now on it is kept whatever happens.
    pub(super) fn part_done(&mut self) -> Outcome<()> {
        self.file
            .sync_data()
            .map_err(|e| Problem::file(&self.path, &e))?;
        self.state.parts += 1;
        self.state.parts_bytes = self.len;
        self.save_state()
    }

    /// The hash of what is here.
    pub(super) fn sha256(&self) -> String {
        hex(&self.hasher.clone().finalize())
    }

    /// The bytes, for reading.
    pub(super) fn reader(&self) -> Outcome<File> {
        File::open(&self.path).map_err(|e| Problem::file(&self.path, &e))
    }

    /// Makes the bytes durable and gives them their name.
    pub(super) fn put_in_place(self, target: &Path) -> Outcome<()> {
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.path, target))
            .and_then(|()| store::sync_folder(target))
            .map_err(|e| Problem::file(target, &e))?;
        let _ = fs::remove_file(&self.state_path);
        Ok(())
    }

    /// Removes the file and its state.
    pub(super) fn discard(self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.state_path);
    }

    fn save_state(&self) -> Outcome<()> {
        let text = serde_json::to_vec(&self.state).unwrap_or_default();
        store::write_whole(&self.state_path, &text)
    }
}

fn read_state(path: &Path) -> Option<State> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > STATE_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Bytes of a half download in `folder`, for `terang list`.
pub(crate) fn partial_bytes(folder: &Path) -> u64 {
    fs::symlink_metadata(folder.join(PART_FILE))
        .ok()
        .filter(fs::Metadata::is_file)
        .map_or(0, |m| m.len())
}

/// What is wrong with the first file of a model whose SHA-256 is not its receipt's, if there is one.
pub(crate) fn differing(installed: &Installed, progress: &Progress) -> Outcome<Option<Msg>> {
    for (path, expected) in installed.files() {
        let found = sha256_of(&path, progress)?;
        if found != expected {
            return Ok(Some(Msg::ChecksumDiffers {
                path: path.display().to_string(),
                found,
                expected,
            }));
        }
    }
    Ok(None)
}

/// The SHA-256 of a whole file.
fn sha256_of(path: &Path, progress: &Progress) -> Outcome<String> {
    let mut file = File::open(path).map_err(|e| Problem::file(path, &e))?;
    let total = file.metadata().map_err(|e| Problem::file(path, &e))?.len();
    progress.start(total, 0, &Msg::LabelVerifying {}.to_string());
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut done = 0;
    let result = loop {
        if interrupt::requested() {
            break Err(Problem::Interrupted);
        }
        match file.read(&mut buffer) {
            Ok(0) => break Ok(hex(&hasher.finalize())),
            Ok(count) => {
                hasher.update(&buffer[..count]);
                done += count as u64;
                progress.reach(done);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(Problem::file(path, &e)),
        }
    };
    progress.clear();
    result
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
