//! The models that are served: loaded when they are first asked for, unloaded when another needs
//! their memory. The one that was used longest ago goes first, and never one that answers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use terang_engine::{Engine, EngineOptions, Sampling};

use crate::error::{ApiError, ApiResult};
use crate::toolcall::Format;

/// A model to serve.
#[derive(Clone, Debug)]
pub struct ModelSource {
    /// The name that requests give.
    pub name: String,
    /// Other names that mean it.
    pub aliases: Vec<String>,
    /// Its file or folder.
    pub path: PathBuf,
    /// How to sample from it where a request does not say.
    pub sampling: Sampling,
}

/// A model in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) sampling: Sampling,
    pub(crate) tool_format: Format,
}

impl Loaded {
    fn new(source: &ModelSource, engine: Engine) -> Self {
        let template = engine.text().template().map(|t| t.source().to_owned());
        Self {
            name: source.name.clone(),
            tool_format: Format::of_template(template.as_deref().unwrap_or_default()),
            sampling: source.sampling.clone(),
            engine,
        }
    }
}

struct Entry {
    source: ModelSource,
    bytes: u64,
    loaded: RwLock<Option<Arc<Loaded>>>,
    used_ms: AtomicU64,
    failed: AtomicBool,
}

/// All models that are served.
pub(crate) struct Models {
    entries: Vec<Entry>,
    options: EngineOptions,
    memory_limit_bytes: u64,
    /// Held while models are loaded or unloaded.
    changing: tokio::sync::Mutex<()>,
    begun: Instant,
    created_s: u64,
}

/// What `/v1/models` says about a model.
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a str,
    pub(crate) loaded: Option<Arc<Loaded>>,
}

impl Models {
    pub(crate) fn new(
        sources: Vec<ModelSource>,
        options: EngineOptions,
        memory_limit_bytes: u64,
    ) -> Self {
        let entries = sources.into_iter().map(|source| Entry {
            bytes: size_of(&source.path),
            source,
            loaded: RwLock::new(None),
            used_ms: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        });
        Self {
            entries: entries.collect(),
            options,
            memory_limit_bytes,
            changing: tokio::sync::Mutex::new(()),
            begun: Instant::now(),
            created_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs()),
        }
    }

    /// When the server started, in seconds since 1970.
    pub(crate) fn created_s(&self) -> u64 {
        self.created_s
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        self.entries.iter().map(|entry| Listed {
            name: &entry.source.name,
            loaded: entry.get(),
        })
    }

    /// The name of the first model, which is loaded at the start.
    pub(crate) fn first(&self) -> &str {
        self.entries
            .first()
            .map_or("", |entry| entry.source.name.as_str())
    }

    /// Whether the first model can answer; an error if it could not be loaded.
    pub(crate) fn is_ready(&self) -> Result<bool, ()> {
        match self.entries.first() {
            Some(entry) if entry.failed.load(Ordering::Relaxed) => Err(()),
            // A model that was unloaded for another is loaded again when asked for.
            _ => Ok(self.entries.iter().any(|entry| entry.get().is_some())),
        }
    }

    fn position(&self, name: &str) -> ApiResult<usize> {
        let meant = |entry: &Entry| {
            entry.source.name == name || entry.source.aliases.iter().any(|alias| alias == name)
        };
        self.entries.iter().position(meant).ok_or_else(|| {
            let known: Vec<&str> = self
                .entries
                .iter()
                .map(|e| e.source.name.as_str())
                .collect();
            ApiError::model_not_found(name, &known)
        })
    }

    /// The served name that `name` means.
    pub(crate) fn resolve(&self, name: &str) -> ApiResult<&str> {
        Ok(&self.entries[self.position(name)?].source.name)
    }

    /// The model that `name` means, loaded first where it is not in memory. Loading goes on if the
    /// caller leaves: the next one wants it too.
    pub(crate) async fn get(self: &Arc<Self>, name: &str) -> ApiResult<Arc<Loaded>> {
        let index = self.position(name)?;
        let entry = &self.entries[index];
        entry
            .used_ms
            .store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        if let Some(loaded) = entry.get() {
            return Ok(loaded);
        }
        let models = Arc::clone(self);
        tokio::spawn(async move { models.load(index).await })
            .await
            .unwrap_or_else(|_| Err(ApiError::internal("loading the model failed")))
    }

    async fn load(&self, index: usize) -> ApiResult<Arc<Loaded>> {
        let _changing = self.changing.lock().await;
        let entry = &self.entries[index];
        if let Some(loaded) = entry.get() {
            return Ok(loaded);
        }
        self.make_room(index).await?;
        let (source, options) = (entry.source.clone(), self.options.clone());
        let begun = Instant::now();
        let engine = tokio::task::spawn_blocking(move || {
            Engine::open(&source.path, &options, |_| ()).map(|engine| Loaded::new(&source, engine))
        })
        .await;
        match engine {
            Ok(Ok(loaded)) => {
                let loaded = Arc::new(loaded);
                tracing::info!(
                    model = %entry.source.name,
                    load_ms = begun.elapsed().as_millis() as u64,
                    context = loaded.engine.context_len(),
                    "model loaded"
                );
                entry.failed.store(false, Ordering::Relaxed);
                entry.set(Some(Arc::clone(&loaded)));
                Ok(loaded)
            }
            Ok(Err(error)) => {
                // The cause names paths of this machine: it is for the log alone.
                tracing::error!(model = %entry.source.name, %error, "model cannot be loaded");
                entry.failed.store(true, Ordering::Relaxed);
                Err(cannot_load(&entry.source.name))
            }
            Err(_) => {
                entry.failed.store(true, Ordering::Relaxed);
                Err(cannot_load(&entry.source.name))
            }
        }
    }

    /// Unloads what was used longest ago until there is room for `wanted`.
    async fn make_room(&self, wanted: usize) -> ApiResult<()> {
        if self.memory_limit_bytes == 0 {
            return Ok(());
        }
        let needed = self.entries[wanted].bytes;
        loop {
            let held: u64 = self
                .entries
                .iter()
                .filter(|entry| entry.get().is_some())
                .map(|entry| entry.bytes)
                .sum();
            if held + needed <= self.memory_limit_bytes || held == 0 {
                return Ok(());
            }
            let idle = self
                .entries
                .iter()
                .filter(|entry| entry.is_idle())
                .min_by_key(|entry| entry.used_ms.load(Ordering::Relaxed));
            let Some(entry) = idle else {
                return Err(ApiError::unavailable(
                    "memory_limit",
                    "the memory for models is taken by others that are answering; try again later",
                ));
            };
            let Some(loaded) = entry.take() else { continue };
            tracing::info!(model = %entry.source.name, "model unloaded");
            // Waits for the engine's thread.
            let _ = tokio::task::spawn_blocking(move || drop(loaded)).await;
        }
    }
}

fn cannot_load(name: &str) -> ApiError {
    ApiError::unavailable(
        "model_not_loaded",
        format!("model {name} cannot be loaded; the server's log says why"),
    )
}

impl Entry {
    fn get(&self) -> Option<Arc<Loaded>> {
        self.loaded
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, loaded: Option<Arc<Loaded>>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    /// Nobody uses it; only `loaded` itself holds it.
    fn is_idle(&self) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded
            .as_ref()
            .is_some_and(|loaded| Arc::strong_count(loaded) == 1)
    }

    fn take(&self) -> Option<Arc<Loaded>> {
        self.loaded
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// Bytes of a file, or of the files in a folder.
fn size_of(path: &std::path::Path) -> u64 {
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
