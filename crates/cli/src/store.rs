//! Installed models: `models/NAME/model.gguf`, or the files of a Hugging Face folder, and beside them
//! `receipt.json`. A model is installed when all are there and have the receipt's sizes; the receipt is
//! written last.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::catalogue::{Member, is_model_name};
use crate::data_dir::DataDir;
use crate::messages::Msg;
use crate::problem::{Outcome, Problem, fail};

/// Name of the weights in a model's folder.
pub(crate) const MODEL_FILE: &str = "model.gguf";
const RECEIPT_FILE: &str = "receipt.json";
const RECEIPT_BYTES_MAX: u64 = 64 << 10;

/// What is known about an installed file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// The catalogue's name.
    pub(crate) name: String,
    /// Where the bytes came from.
    pub(crate) source: String,
    /// Their SHA-256, verified when they came.
    pub(crate) sha256: String,
    /// Their count.
    pub(crate) bytes: u64,
    /// The bytes were an archive, and this is what was taken out of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<Member>,
    /// When they came, RFC 3339 in UTC.
    pub(crate) date: String,
}

/// A model in the data folder.
#[derive(Clone, Debug)]
pub(crate) struct Installed {
    /// The weights, or the folder with all files.
    pub(crate) path: PathBuf,
    /// What is known about them.
    pub(crate) receipt: Receipt,
}

impl Receipt {
    /// What to open of a model in `folder`.
    pub(crate) fn path(&self, folder: &Path) -> PathBuf {
        if self.files.is_empty() {
            folder.join(MODEL_FILE)
        } else {
            folder.to_owned()
        }
    }

    /// Bytes on the disk.
    pub(crate) fn bytes_here(&self) -> u64 {
        if self.files.is_empty() {
            return self.bytes;
        }
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl Installed {
    /// Its files, each with its SHA-256.
    pub(crate) fn files(&self) -> Vec<(PathBuf, String)> {
        if self.receipt.files.is_empty() {
            return vec![(self.path.clone(), self.receipt.sha256.clone())];
        }
        let files = self.receipt.files.iter();
        files
            .map(|file| (self.path.join(&file.name), file.sha256.clone()))
            .collect()
    }
}

/// The model's folder; a symbolic link in its place is refused, since it would lead out of the
/// data folder.
pub(crate) fn folder(data: &DataDir, name: &str) -> Outcome<PathBuf> {
    let folder = data.model(name);
    match fs::symlink_metadata(&folder) {
        Ok(meta) if meta.is_symlink() => Err(fail(Msg::FolderIsLink {
            path: folder.display().to_string(),
        })),
        Ok(_) => Ok(folder),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(folder),
        Err(e) => Err(Problem::file(&folder, &e)),
    }
}

/// The installed model `name`, if it is there. Its size is checked, its hash is not: that was done
/// when it came.
pub(crate) fn installed(data: &DataDir, name: &str) -> Outcome<Option<Installed>> {
    let folder = folder(data, name)?;
    let Some(receipt) = read_receipt(&folder.join(RECEIPT_FILE)) else {
        return Ok(None);
    };
    let path = receipt.path(&folder);
    if receipt.files.is_empty() && !is_whole(&path, receipt.bytes)? {
        return Ok(None);
    }
    for file in &receipt.files {
        // A name that leads elsewhere is of no receipt of ours.
        let plain = Path::new(&file.name)
            .file_name()
            .is_some_and(|name| name == &*file.name);
        if !plain || !is_whole(&folder.join(&file.name), file.bytes)? {
            return Ok(None);
        }
    }
    Ok(Some(Installed { path, receipt }))
}

/// Whether the file is there, with as many bytes as it must have.
fn is_whole(path: &Path, bytes: u64) -> Outcome<bool> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() == bytes => Ok(true),
        Ok(meta) if meta.is_symlink() => Err(fail(Msg::FolderIsLink {
            path: path.display().to_string(),
        })),
        Ok(meta) => Err(fail(Msg::ModelDamaged {
            path: path.display().to_string(),
            found: meta.len().to_string(),
            expected: bytes.to_string(),
        })),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Problem::file(path, &e)),
    }
}

/// Receipts of all folders that hold a whole model.
pub(crate) fn receipts(data: &DataDir) -> Vec<Receipt> {
    let Ok(entries) = fs::read_dir(data.models()) else {
        return Vec::new();
    };
    let mut receipts: Vec<Receipt> = entries
        .flatten()
        .filter_map(|entry| read_receipt(&entry.path().join(RECEIPT_FILE)))
        // A receipt that was copied to another folder speaks for none.
        .filter(|r| is_model_name(&r.name) && matches!(installed(data, &r.name), Ok(Some(_))))
        .collect();
    receipts.sort_by(|a, b| a.name.cmp(&b.name));
    receipts.dedup_by(|a, b| a.name == b.name);
    receipts
}

fn read_receipt(path: &Path) -> Option<Receipt> {
    let meta = fs::symlink_metadata(path).ok()?;
    if !meta.is_file() || meta.len() > RECEIPT_BYTES_MAX {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes the receipt of a file that is in place.
pub(crate) fn write_receipt(folder: &Path, receipt: &Receipt) -> Outcome<()> {
    let text = serde_json::to_vec_pretty(receipt).unwrap_or_default();
    write_whole(&folder.join(RECEIPT_FILE), &text)
}

/// Writes `bytes` beside `path` and renames: a reader sees the old file or the new one.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Outcome<()> {
    write_beside(path, bytes, fs::OpenOptions::new().write(true))
}

/// The same for what is nobody else's business.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    write_beside(path, bytes, &mut options)
}

fn write_beside(path: &Path, bytes: &[u8], options: &mut fs::OpenOptions) -> Outcome<()> {
    use io::Write;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut write = || {
        let mut file = options.create_new(true).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        sync_folder(path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&beside);
        Problem::file(path, &e)
    })
}

/// Makes a rename in the folder of `path` durable, where the platform has a way.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::File::open(folder)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// Now, as RFC 3339 in UTC.
pub(crate) fn now() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs());
    rfc3339(seconds)
}

/// Seconds since 1970 as a date of the proleptic Gregorian calendar.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from 1 March of the year 0, so that leap days end their years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_on_both_sides_of_leap_days() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_200), "2024-03-01T00:00:00Z");
        assert_eq!(rfc3339(4_102_444_799), "2099-12-31T23:59:59Z");
    }

    #[test]
    fn a_file_of_the_wrong_size_is_not_taken_for_the_model() {
        let root = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(root.path().to_owned())).unwrap();
        let folder = data.model("a:1b");
        fs::create_dir_all(&folder).unwrap();
        let receipt = Receipt {
            name: "a:1b".into(),
            source: "test".into(),
            sha256: String::new(),
            bytes: 4,
            files: Vec::new(),
            date: now(),
        };
        write_receipt(&folder, &receipt).unwrap();
        assert!(installed(&data, "a:1b").unwrap().is_none());
        fs::write(folder.join(MODEL_FILE), b"123").unwrap();
        assert!(installed(&data, "a:1b").is_err());
        fs::write(folder.join(MODEL_FILE), b"1234").unwrap();
        assert_eq!(installed(&data, "a:1b").unwrap().unwrap().receipt, receipt);
    }

    #[cfg(unix)]
    #[test]
    fn links_in_place_of_folders_and_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let data = DataDir::resolve(Some(root.path().to_owned())).unwrap();
        fs::create_dir_all(data.models()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), data.model("a:1b")).unwrap();
        assert!(folder(&data, "a:1b").is_err());
        assert!(installed(&data, "a:1b").is_err());
    }
}
