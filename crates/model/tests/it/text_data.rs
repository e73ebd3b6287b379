//! Where tests find files that are too large for the repository.

use std::path::{Path, PathBuf};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file below `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

/// A file that `tests/reference/fetch.sh` fetches, if it was fetched; otherwise says so loudly.
pub(crate) fn fetched(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("TERANG_TEST_DATA")
        .map_or_else(|| root().join("target/test-data"), PathBuf::from);
    let path = folder.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!(
        "SKIPPED: {} is not there; tests/reference/fetch.sh fetches it (set TERANG_TEST_DATA to \
         choose the folder)",
        path.display()
    );
    None
}
