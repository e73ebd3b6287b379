//! Models in memory, and the places for those that are not.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use terang_engine::{Encoder, Engine, EngineOptions, Sampling};

use super::{AdapterSource, ModelSource, Task};
use crate::toolcall::Format;

/// A model in memory, by itself or with one of its adapters.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    /// The model's, with all its adapters.
    pub(crate) engine: Arc<Engine>,
    /// The adapter that requests go through, as the engine knows it.
    pub(crate) adapter: Option<String>,
    pub(crate) sampling: Sampling,
    pub(crate) tool_format: Format,
}

/// A model in memory.
#[derive(Clone, Debug)]
pub(super) enum Resident {
    /// One that answers, and its adapters in the order of its source.
    Decoder {
        base: Arc<Loaded>,
        /// `None`: it could not be read.
        adapters: Vec<Option<Arc<Loaded>>>,
    },
    /// One that makes embeddings.
    Encoder(Arc<Encoder>),
}

impl Resident {
    pub(super) fn open(
        source: &ModelSource,
        options: &EngineOptions,
    ) -> terang_engine::Result<Self> {
        if source.task == Task::Embed {
            let encoder = Encoder::open(&source.path, options.threads)?;
            return Ok(Self::Encoder(Arc::new(encoder)));
        }
        let engine = Arc::new(Engine::open(&source.path, options, |_| ())?);
        let template = engine.text().template().map(|t| t.source().to_owned());
        let tool_format = Format::of_template(template.as_deref().unwrap_or_default());
        let named = |name: &str, adapter: Option<&str>| {
            Arc::new(Loaded {
                name: name.to_owned(),
                engine: Arc::clone(&engine),
                adapter: adapter.map(str::to_owned),
                sampling: source.sampling.clone(),
                tool_format,
            })
        };
        // An adapter that is broken does not keep the model from answering.
        let adapters = source.adapters.iter().map(|AdapterSource { name, path }| {
            let added = engine.add_adapter(name, path);
            if let Err(error) = &added {
                tracing::error!(adapter = %name, %error, "adapter cannot be loaded");
            }
            added.is_ok().then(|| named(name, Some(name)))
        });
        Ok(Self::Decoder {
            adapters: adapters.collect(),
            base: named(&source.name, None),
        })
    }

    /// The model that answers by itself, or with the adapter of that number.
    pub(super) fn decoder(&self, adapter: Option<usize>) -> Option<&Arc<Loaded>> {
        match (self, adapter) {
            (Self::Decoder { base, .. }, None) => Some(base),
            (Self::Decoder { adapters, .. }, Some(index)) => adapters[index].as_ref(),
            (Self::Encoder(_), _) => None,
        }
    }

    pub(super) fn encoder(&self) -> Option<&Arc<Encoder>> {
        match self {
            Self::Decoder { .. } => None,
            Self::Encoder(encoder) => Some(encoder),
        }
    }

    /// Tokens that it reads at once.
    pub(super) fn context_len(&self) -> usize {
        match self {
            Self::Decoder { base, .. } => base.engine.context_len(),
            Self::Encoder(encoder) => encoder.context_len(),
        }
    }

    /// Nobody uses it.
    fn is_idle(&self) -> bool {
        match self {
            Self::Decoder { base, adapters } => {
                let mut all = adapters.iter().flatten().chain([base]);
                all.all(|loaded| Arc::strong_count(loaded) == 1)
            }
            Self::Encoder(encoder) => Arc::strong_count(encoder) == 1,
        }
    }
}

/// The place of a model.
pub(super) struct Entry {
    pub(super) source: ModelSource,
    /// Of its files, when it was last loaded or looked at.
    pub(super) bytes: AtomicU64,
    loaded: RwLock<Option<Resident>>,
    pub(super) used_ms: AtomicU64,
    pub(super) failed: AtomicBool,
}

impl ModelSource {
    /// Bytes of its files, and of its adapters'.
    fn bytes(&self) -> u64 {
        let adapters = self.adapters.iter().map(|adapter| size_of(&adapter.path));
        size_of(&self.path) + adapters.sum::<u64>()
    }
}

impl Entry {
    pub(super) fn new(source: ModelSource) -> Self {
        Self {
            bytes: AtomicU64::new(source.bytes()),
            source,
            loaded: RwLock::new(None),
            used_ms: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        }
    }

    /// Whether its files are there. Those of a model that answers were there at the start; an
    /// encoder may come and go, and its `config.json` comes last.
    pub(super) fn is_there(&self) -> bool {
        self.source.task != Task::Embed || self.source.path.join("config.json").is_file()
    }

    /// Looks at its files again.
    pub(super) fn measure(&self) {
        self.bytes.store(self.source.bytes(), Ordering::Relaxed);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn resident(&self) -> Option<Resident> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.clone()
    }

    pub(super) fn is_loaded(&self) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.is_some()
    }

    pub(super) fn set(&self, loaded: Option<Resident>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    /// Nobody uses it; only `loaded` itself holds it.
    pub(super) fn is_idle(&self) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().is_some_and(Resident::is_idle)
    }

    pub(super) fn take(&self) -> Option<Resident> {
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Bytes of a file, or of the files in a folder.
fn size_of(path: &Path) -> u64 {
    let Ok(meta) = std::fs::metadata(path) else {
        return 0;
    };
    if meta.is_file() {
        return meta.len();
    }
    let files = std::fs::read_dir(path).into_iter().flatten().flatten();
    files
        .filter_map(|file| file.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|meta| meta.len())
        .sum()
}
