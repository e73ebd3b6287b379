//! The models that are served: loaded when they are first asked for, unloaded when another needs
//! their memory. The one that was used longest ago goes first, and never one that answers.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use terang_engine::{Engine, EngineOptions, Sampling};

use crate::error::{ApiError, ApiResult};
use crate::toolcall::Format;

/// A LoRA adapter of a model.
#[derive(Clone, Debug)]
pub struct AdapterSource {
    /// The name that requests give in the place of the model's.
    pub name: String,
    /// Its PEFT folder or GGUF file.
    pub path: PathBuf,
}

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
    /// What can be put on top of it.
    pub adapters: Vec<AdapterSource>,
}

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

/// A model in memory, and its adapters in the order of its source.
#[derive(Clone, Debug)]
struct Resident {
    base: Arc<Loaded>,
    /// `None`: it could not be read.
    adapters: Vec<Option<Arc<Loaded>>>,
}

impl Resident {
    fn open(source: &ModelSource, options: &EngineOptions) -> terang_engine::Result<Self> {
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
        Ok(Self {
            adapters: adapters.collect(),
            base: named(&source.name, None),
        })
    }

    /// The model by itself, or with the adapter of that number.
    fn get(&self, adapter: Option<usize>) -> Option<&Arc<Loaded>> {
        match adapter {
            None => Some(&self.base),
            Some(index) => self.adapters[index].as_ref(),
        }
    }

    /// Nobody uses it.
    fn is_idle(&self) -> bool {
        let adapters = self.adapters.iter().flatten();
        let mut all = adapters.chain([&self.base]);
        all.all(|loaded| Arc::strong_count(loaded) == 1)
    }
}

struct Entry {
    source: ModelSource,
    bytes: u64,
    loaded: RwLock<Option<Resident>>,
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

/// A model, and perhaps one of its adapters, by number.
#[derive(Clone, Copy)]
struct Place {
    entry: usize,
    adapter: Option<usize>,
}

/// What `/v1/models` says about a model.
pub(crate) struct Listed<'a> {
    pub(crate) name: &'a str,
    /// Of an adapter, the model that it belongs to.
    pub(crate) parent: Option<&'a str>,
    pub(crate) loaded: Option<Arc<Loaded>>,
}

impl Models {
    pub(crate) fn new(
        sources: Vec<ModelSource>,
        options: EngineOptions,
        memory_limit_bytes: u64,
    ) -> Self {
        let entries = sources.into_iter().map(|source| Entry {
            bytes: source.bytes(),
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
        self.entries.iter().flat_map(|entry| {
            let ModelSource { name, adapters, .. } = &entry.source;
            let model = Listed {
                name,
                parent: None,
                loaded: entry.get(None),
            };
            let adapters = adapters.iter().enumerate().map(|(index, adapter)| Listed {
                name: &adapter.name,
                parent: Some(name),
                loaded: entry.get(Some(index)),
            });
            std::iter::once(model).chain(adapters)
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
            _ => Ok(self.entries.iter().any(|entry| entry.get(None).is_some())),
        }
    }

    fn place(&self, name: &str) -> ApiResult<Place> {
        let meant = |(entry, source): (usize, &ModelSource)| {
            let adapter = source.adapters.iter().position(|it| it.name == name);
            let itself = source.name == name || source.aliases.iter().any(|alias| alias == name);
            (itself || adapter.is_some()).then_some(Place { entry, adapter })
        };
        let sources = self.entries.iter().map(|entry| &entry.source);
        sources.enumerate().find_map(meant).ok_or_else(|| {
            let known: Vec<&str> = self.list().map(|listed| listed.name).collect();
            ApiError::model_not_found(name, &known)
        })
    }

    /// The served name that `name` means.
    pub(crate) fn resolve(&self, name: &str) -> ApiResult<&str> {
        Ok(self.name(self.place(name)?))
    }

    fn name(&self, place: Place) -> &str {
        let source = &self.entries[place.entry].source;
        match place.adapter {
            None => &source.name,
            Some(index) => &source.adapters[index].name,
        }
    }

    /// The model that `name` means, loaded first where it is not in memory. Loading goes on if the
    /// caller leaves: the next one wants it too.
    pub(crate) async fn get(self: &Arc<Self>, name: &str) -> ApiResult<Arc<Loaded>> {
        let place = self.place(name)?;
        let entry = &self.entries[place.entry];
        entry
            .used_ms
            .store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        if let Some(loaded) = entry.get(place.adapter) {
            return Ok(loaded);
        }
        let models = Arc::clone(self);
        let resident = tokio::spawn(async move { models.load(place.entry).await })
            .await
            .unwrap_or_else(|_| Err(ApiError::internal("loading the model failed")))?;
        let loaded = resident.get(place.adapter).map(Arc::clone);
        loaded.ok_or_else(|| cannot_load(self.name(place)))
    }

    async fn load(&self, index: usize) -> ApiResult<Resident> {
        let _changing = self.changing.lock().await;
        let entry = &self.entries[index];
        if let Some(resident) = entry.resident() {
            return Ok(resident);
        }
        self.make_room(index).await?;
        let (source, options) = (entry.source.clone(), self.options.clone());
        let begun = Instant::now();
        let opened = tokio::task::spawn_blocking(move || Resident::open(&source, &options)).await;
        match opened {
            Ok(Ok(resident)) => {
                tracing::info!(
                    model = %entry.source.name,
                    load_ms = begun.elapsed().as_millis() as u64,
                    context = resident.base.engine.context_len(),
                    adapters = resident.adapters.iter().flatten().count(),
                    "model loaded"
                );
                entry.failed.store(false, Ordering::Relaxed);
                entry.set(Some(resident.clone()));
                Ok(resident)
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
                .filter(|entry| entry.get(None).is_some())
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

impl ModelSource {
    /// Bytes of its files, and of its adapters'.
    fn bytes(&self) -> u64 {
        let adapters = self.adapters.iter().map(|adapter| size_of(&adapter.path));
        size_of(&self.path) + adapters.sum::<u64>()
    }
}

impl Entry {
    fn resident(&self) -> Option<Resident> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.clone()
    }

    fn get(&self, adapter: Option<usize>) -> Option<Arc<Loaded>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref()?.get(adapter).map(Arc::clone)
    }

    fn set(&self, loaded: Option<Resident>) {
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
    }

    /// Nobody uses it; only `loaded` itself holds it.
    fn is_idle(&self) -> bool {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.as_ref().is_some_and(Resident::is_idle)
    }

    fn take(&self) -> Option<Resident> {
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
