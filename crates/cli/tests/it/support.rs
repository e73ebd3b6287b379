//! A place for one test: a data folder, a catalogue of its own, and the binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sha2::{Digest, Sha256};

/// A folder that holds everything of one test.
pub(crate) struct Place {
    root: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Folder of the model `tiny:1b`.
    pub(crate) fn model(&self) -> PathBuf {
        self.data().join("models/tiny_1b")
    }

    /// A catalogue with the model `tiny:1b` of `bytes`, its hash and these sources.
    pub(crate) fn catalogue(&self, bytes: u64, sha256: &str, sources: &str) {
        let text = format!(
            "default = \"tiny:1b\"\n[[model]]\nname = \"tiny:1b\"\naliases = [\"tiny\"]\n\
             title = \"Tiny\"\nlicence = \"Apache-2.0\"\nbytes = {bytes}\nsha256 = \"{sha256}\"\n\
             context_length = 64\nlanguages = [\"en\"]\nparameters = \"1\"\nchat_template = false\n{sources}"
        );
        std::fs::write(self.path("catalogue.toml"), text).unwrap();
    }

    /// The binary, cut off from the person's own environment.
    pub(crate) fn terang(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_terang"));
        command
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("TERANG_DATA_DIR", self.data())
            .env("LANG", "en_US.UTF-8")
            .stdin(Stdio::null());
        if self.path("catalogue.toml").exists() {
            command.env("TERANG_CATALOGUE", self.path("catalogue.toml"));
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.terang().args(arguments).output().unwrap().into()
    }

    /// A stand-in for pip that hands out the wheels in the folder `wheels`.
    #[cfg(unix)]
    pub(crate) fn pip(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir_all(self.path("bin")).unwrap();
        let path = self.path("bin/pip");
        std::fs::write(&path, format!("#!/bin/sh\nPATH=/usr/bin:/bin\n{script}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// What a run gave.
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Outcome {
    /// Asserts the exit code and that the error is one line that holds `part`.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, part: &str) {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("error: ") || last.starts_with("galat: "),
            "{}",
            self.stderr
        );
        assert!(last.contains(part), "{last:?} lacks {part:?}");
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
    }

    #[track_caller]
    pub(crate) fn succeeds(&self) -> &Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }
}

/// Bytes that do not repeat within a buffer.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// The file's name in a folder listing, sorted; hidden files included.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
