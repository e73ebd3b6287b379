//! Opens and closes the store, and copies it while it is in use.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;

use crate::db::{Db, values};
use crate::dialect::Dialect;
use crate::error::{Result, StoreError};
use crate::migrate;

/// Everything that people keep. Cheap to clone: clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) db: Db,
    /// Held while the file is open: who has it knows that no other process uses the file.
    lock: Option<Arc<File>>,
}

impl Store {
    /// Opens `url`: `sqlite:FILE` or `postgres://…`, and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self> {
        let mut lock = None;
        let db = if let Some(file) = url.strip_prefix("sqlite:") {
            let path = Path::new(file.strip_prefix("//").unwrap_or(file));
            make_private(path)?;
            lock = try_lock(path)?;
            Db::sqlite(path).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Db::postgres(url).await?
        } else {
            // What stands there may hold a password.
            let scheme = url.split(':').next().unwrap_or_default();
            return Err(StoreError::Url(scheme.chars().take(40).collect()));
        };
        migrate::run(&db).await?;
        Ok(Self { db, lock })
    }

    /// Opens the file at `path`.
    pub async fn open_file(path: &Path) -> Result<Self> {
        Self::open(&format!("sqlite:{}", path.display())).await
    }

    /// Which kind of database it is.
    pub fn dialect(&self) -> Dialect {
        self.db.dialect()
    }

    /// Whether no other process can have the database open.
    pub fn is_alone(&self) -> bool {
        self.lock.is_some()
    }

    /// Whether the database answers.
    pub async fn check(&self) -> Result<()> {
        self.db.one("SELECT 1", vec![]).await.map(drop)
    }

    /// Writes a copy as of now to a new file while others go on reading and writing.
    pub async fn backup(&self, to: &Path) -> Result<()> {
        match self.db {
            Db::Sqlite { .. } => {
                let to = to.to_string_lossy().into_owned();
                self.db.execute("VACUUM INTO $1", values![to]).await?;
                Ok(())
            }
            Db::Postgres(_) => Err(StoreError::Unsupported(
                "a PostgreSQL database is copied by its own tool, pg_dump",
            )),
        }
    }

    /// Whether what is in the file holds together.
    pub async fn verify(&self) -> Result<()> {
        if self.dialect() == Dialect::Sqlite {
            let mut row = self.db.one("PRAGMA integrity_check", vec![]).await?;
            let found = row.text()?;
            if found != "ok" {
                return Err(StoreError::Damaged(found));
            }
        }
        Ok(())
    }

    /// Ends all connections; a file's log is then part of the file.
    pub async fn close(&self) {
        self.db.close().await;
    }

    /// A value of the server's own.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        let found = self
            .db
            .maybe("SELECT value FROM settings WHERE name = $1", values![name])
            .await?;
        found.map(|mut row| row.text()).transpose()
    }

    /// Keeps a value of the server's own, unless there is one; gives the one that counts.
    pub async fn setting_or(&self, name: &str, value: &str) -> Result<String> {
        self.db
            .execute(
                "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
                values![name, value],
            )
            .await?;
        self.setting(name).await?.ok_or(StoreError::NotFound)
    }
}

/// Says beside the file that it is in use. `None`: another process has said so.
fn try_lock(path: &Path) -> Result<Option<Arc<File>>> {
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    let beside = Path::new(&beside);
    let at = |source| StoreError::File {
        path: beside.to_owned(),
        source,
    };
    let file = File::create(beside).map_err(at)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Arc::new(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(at(source)),
    }
}

/// The file is made readable by its owner alone before anything stands in it.
fn make_private(path: &Path) -> Result<()> {
    let at = |path: &Path, source| StoreError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder).map_err(|source| at(folder, source))?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(at(path, error)),
    }
}
