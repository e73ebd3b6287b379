//! Where Terang keeps its files: `--data-dir`, `TERANG_DATA_DIR`, else the XDG data folder.

use std::path::{Path, PathBuf};

use terang_model::decoder::PackedCache;

use crate::messages::Msg;
use crate::problem::{Outcome, fail};

/// The data folder. It need not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The folder that was asked for, or the default.
    pub(crate) fn resolve(asked: Option<PathBuf>) -> Outcome<Self> {
        if let Some(root) = asked.filter(|p| !p.as_os_str().is_empty()) {
            return Ok(Self { root });
        }
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|p| p.is_absolute())
        };
        absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .map(|base| Self {
                root: base.join("terang"),
            })
            .ok_or_else(|| fail(Msg::NoHome {}))
    }

    /// The folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where models are.
    pub(crate) fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// Folder of the model `name`, which the catalogue has validated.
    pub(crate) fn model(&self, name: &str) -> PathBuf {
        debug_assert!(
            crate::catalogue::is_model_name(name),
            "validated by the catalogue"
        );
        // A name holds no underscore, so no two names share a folder.
        self.models().join(name.replace(':', "_"))
    }

    /// Weights as they are in memory, kept for the next start.
    pub(crate) fn packed_cache(&self, bytes_max: u64) -> PackedCache {
        PackedCache {
            dir: self.root.join("cache").join("packed"),
            bytes_max,
        }
    }

    /// Folders of training runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Data that recipes prepare.
    pub(crate) fn prepared(&self) -> PathBuf {
        self.root.join("data")
    }

    /// Packages that data come from.
    pub(crate) fn packages(&self) -> PathBuf {
        self.root.join("packages")
    }

    /// Settings of the server.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("terang.toml")
    }

    /// API keys of the server.
    pub(crate) fn keys(&self) -> PathBuf {
        self.root.join("keys.json")
    }

    /// What keys of the server have used.
    pub(crate) fn usage(&self) -> PathBuf {
        self.root.join("usage.jsonl")
    }

    /// Chats and accounts of the web app.
    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("terang.db")
    }

    /// History of the chat's prompt.
    pub(crate) fn history(&self) -> PathBuf {
        self.root.join("chat_history")
    }
}
