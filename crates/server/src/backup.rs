//! A copy of what people keep while the server runs, and a copy put back while it does not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use terang_store::{Store, StoreError};

/// Why there is no copy, or why one was not put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy's file is there already.
    #[error("{0} exists already; a backup writes over nothing")]
    Exists(PathBuf),
    /// There is nothing to copy.
    #[error("{0}: there is no database yet; terang serve makes it")]
    Missing(PathBuf),
    /// A server has the database open.
    #[error("{0} is in use; end the server first")]
    InUse(PathBuf),
    /// The file is no copy.
    #[error("{path} is no backup: {source}")]
    NoBackup {
        /// The file.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// Only a file can be put back.
    #[error(
        "a PostgreSQL database is copied and put back by its own tools, pg_dump and pg_restore"
    )]
    Postgres,
    /// The database refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file refuses.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

type Result<T> = std::result::Result<T, BackupError>;

/// The file that a setting `database` names, or the default.
fn file_of(database: &str, default: &Path) -> Result<PathBuf> {
    match database.strip_prefix("sqlite:") {
        Some(file) => Ok(PathBuf::from(file.strip_prefix("//").unwrap_or(file))),
        None if database.is_empty() => Ok(default.to_owned()),
        None => Err(BackupError::Postgres),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    |source| BackupError::File { path, source }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn run<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(at(Path::new("threads")))?;
    runtime.block_on(work)
}

/// Copies the database, as it is now, to a new file, whether or not a server uses it.
pub fn backup(database: &str, default: &Path, to: &Path) -> Result<()> {
    let from = file_of(database, default)?;
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    if !from.is_file() {
        return Err(BackupError::Missing(from));
    }
    // Written beside its place and renamed into it when whole.
    let unfinished = beside(to, ".new");
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(at(&unfinished))?;
    }
    run(async {
        let store = Store::open_file(&from).await?;
        let copied = store.backup(&unfinished).await;
        store.close().await;
        Ok(copied?)
    })?;
    make_private(&unfinished)?;
    File::open(&unfinished)
        .and_then(|file| file.sync_all())
        .map_err(at(&unfinished))?;
    std::fs::rename(&unfinished, to).map_err(at(to))
}

/// Puts a copy in the place of the database, which no server may use meanwhile. What was there before
/// stays beside it; its path is what this gives.
pub fn restore(database: &str, default: &Path, from: &Path) -> Result<Option<PathBuf>> {
    let to = file_of(database, default)?;
    // A copy of the copy is looked at and brought up to date, so that the copy stays as it is.
    let candidate = beside(&to, ".restore");
    for end in ["", "-wal", "-shm"] {
        let stale = beside(&candidate, end);
        if stale.exists() {
            std::fs::remove_file(&stale).map_err(at(&stale))?;
        }
    }
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(at(folder))?;
    }
    std::fs::copy(from, &candidate).map_err(at(from))?;
    make_private(&candidate)?;
    let checked: Result<()> = run(async {
        let no_backup = |source| BackupError::NoBackup {
            path: from.to_owned(),
            source,
        };
        let store = Store::open_file(&candidate).await.map_err(no_backup)?;
        let verified = store.verify().await.map_err(no_backup);
        store.close().await;
        verified
    });
    let _ = std::fs::remove_file(beside(&candidate, "-lock"));
    if let Err(error) = checked {
        let _ = std::fs::remove_file(&candidate);
        return Err(error);
    }
    let before = if to.is_file() {
        let in_use = run(async {
            // Opening and closing it brings its log into the file.
            let store = Store::open_file(&to).await?;
            let alone = store.is_alone();
            store.close().await;
            Ok(!alone)
        });
        // One that cannot be opened is what a backup is for: it is kept as it is.
        if matches!(in_use, Ok(true)) {
            let _ = std::fs::remove_file(&candidate);
            return Err(BackupError::InUse(to));
        }
        let before = (0..1_000_000)
            .map(|number| beside(&to, &format!(".before-{number}")))
            .find(|path| !path.exists());
        let Some(before) = before else {
            return Err(BackupError::Exists(to));
        };
        for end in ["-wal", "-shm"] {
            let old = beside(&to, end);
            if old.exists() {
                let kept = beside(&before, end);
                std::fs::rename(&old, &kept).map_err(at(&old))?;
            }
        }
        std::fs::rename(&to, &before).map_err(at(&to))?;
        Some(before)
    } else {
        None
    };
    File::open(&candidate)
        .and_then(|file| file.sync_all())
        .map_err(at(&candidate))?;
    std::fs::rename(&candidate, &to).map_err(at(&to))?;
    Ok(before)
}

/// A copy holds what its original does: it is for its owner alone too.
fn make_private(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(path, mode).map_err(at(path))?;
    }
    let _ = path;
    Ok(())
}
