//! The models that are served: loaded when they are first asked for, unloaded when another needs
//! their memory. The one that was used longest ago goes first, and never one that answers. Beside those
//! that the settings name stands the default encoder, which is served when its files are there.

mod resident;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use terang_engine::{Encoder, EngineOptions, Sampling};

use crate::error::{ApiError, ApiResult};
pub(crate) use resident::Loaded;
use resident::{Entry, Resident};

/// What a model is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Task {
    /// It answers.
    #[default]
    Generate,
    /// It makes embeddings, and no text.
    Embed,
}

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
    /// What it is for.
    pub task: Task,
    /// How to sample from it where a request does not say.
    pub sampling: Sampling,
    /// What can be put on top of it.
    pub adapters: Vec<AdapterSource>,
}

/// All models that are served.
pub(crate) struct Models {
    entries: Vec<Entry>,
    /// Those that the server was started with, which come first.
    n_fixed: usize,
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
    pub(crate) task: Task,
    pub(crate) loaded: bool,
    /// Tokens of its context, once it is in memory.
    pub(crate) context_len: Option<usize>,
    /// Of one that answers, once it is in memory.
    pub(crate) decoder: Option<Arc<Loaded>>,
}

/// A model that the server has on offer, as it lies on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) task: Task,
    pub(crate) bytes: u64,
    pub(crate) loaded: bool,
    /// The server was started with it.
    pub(crate) fixed: bool,
}

/// What makes embeddings.
pub(crate) enum Embedder {
    /// A model that answers, whose hidden states will do too.
    Decoder(Arc<Loaded>),
    /// A model for that, under its name.
    Encoder(String, Arc<Encoder>),
}

impl Models {
    pub(crate) fn new(
        mut sources: Vec<ModelSource>,
        encoder: Option<ModelSource>,
        options: EngineOptions,
        memory_limit_bytes: u64,
    ) -> Self {
        // Under a name that stands for another model it could not be found.
        let n_fixed = sources.len();
        sources
            .extend(encoder.filter(|encoder| !sources.iter().any(|it| it.shares_a_name(encoder))));
        Self {
            entries: sources.into_iter().map(Entry::new).collect(),
            n_fixed,
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

    /// Models that are there, each followed by its adapters.
    pub(crate) fn list(&self) -> impl Iterator<Item = Listed<'_>> {
        let there = self.entries.iter().filter(|entry| entry.is_there());
        there.flat_map(|entry| {
            let ModelSource {
                name,
                adapters,
                task,
                ..
            } = &entry.source;
            let resident = entry.resident();
            let context_len = resident.as_ref().map(Resident::context_len);
            let listed = move |name, parent, loaded: bool, decoder| Listed {
                name,
                parent,
                task: *task,
                loaded,
                context_len: context_len.filter(|_| loaded),
                decoder,
            };
            let decoder = |adapter| resident.as_ref()?.decoder(adapter).map(Arc::clone);
            let model = listed(name, None, resident.is_some(), decoder(None));
            let decoders: Vec<_> = (0..adapters.len())
                .map(|index| decoder(Some(index)))
                .collect();
            let adapters = adapters
                .iter()
                .zip(decoders)
                .map(move |(adapter, decoder)| {
                    listed(&adapter.name, Some(name), decoder.is_some(), decoder)
                });
            std::iter::once(model).chain(adapters)
        })
    }

    /// The models that are there, without their adapters.
    pub(crate) fn served(&self) -> Vec<Served> {
        let there = self.entries.iter().enumerate();
        let there = there.filter(|(_, entry)| entry.is_there());
        let served = there.map(|(index, entry)| Served {
            name: entry.source.name.clone(),
            path: entry.source.path.clone(),
            task: entry.source.task,
            bytes: entry.bytes(),
            loaded: entry.is_loaded(),
            fixed: index < self.n_fixed,
        });
        served.collect()
    }

    /// Takes the model in this folder out of memory, so that its files can go.
    pub(crate) async fn let_go(&self, folder: &Path) -> ApiResult<()> {
        let _changing = self.changing.lock().await;
        for (index, entry) in self.entries.iter().enumerate() {
            if !entry.source.path.starts_with(folder) {
                continue;
            }
            if index < self.n_fixed {
                let message = "the server was started with this model";
                return Err(ApiError::conflict("model_served", message));
            }
            if entry.is_loaded() && !entry.is_idle() {
                let message = "this model is being used; try again when it is not";
                return Err(ApiError::conflict("model_in_use", message));
            }
            let resident = entry.take();
            let _ = tokio::task::spawn_blocking(move || drop(resident)).await;
        }
        Ok(())
    }

    /// The name of the first model that answers; of the first of all, where none does.
    pub(crate) fn first(&self) -> &str {
        let answers = |entry: &&Entry| entry.source.task == Task::Generate;
        let first = self.entries.iter().find(answers).or(self.entries.first());
        first.map_or("", |entry| entry.source.name.as_str())
    }

    /// Loads the first model, so that the first request need not wait for it.
    pub(crate) async fn warm_up(self: &Arc<Self>) {
        if !self.entries.is_empty() {
            // What goes wrong is in the log, and /health/ready tells it.
            let _ = self.loaded(0).await;
        }
    }

    /// Whether the first model can answer; an error if it could not be loaded.
    pub(crate) fn is_ready(&self) -> Result<bool, ()> {
        match self.entries.first() {
            Some(entry) if entry.failed.load(Ordering::Relaxed) => Err(()),
            // A model that was unloaded for another is loaded again when asked for.
            _ => Ok(self.entries.iter().any(Entry::is_loaded)),
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

    /// The same, of a model that answers.
    pub(crate) fn resolve_answering(&self, name: &str) -> ApiResult<&str> {
        let place = self.place(name)?;
        self.check_answers(place)?;
        Ok(self.name(place))
    }

    fn check_answers(&self, place: Place) -> ApiResult<()> {
        let source = &self.entries[place.entry].source;
        if source.task == Task::Generate {
            return Ok(());
        }
        let message = format!(
            "{} makes embeddings and no text: it is for /v1/embeddings",
            source.name
        );
        Err(ApiError::invalid("model", message))
    }

    fn name(&self, place: Place) -> &str {
        let source = &self.entries[place.entry].source;
        match place.adapter {
            None => &source.name,
            Some(index) => &source.adapters[index].name,
        }
    }

    /// The model that `name` means, which answers, loaded first where it is not in memory.
    pub(crate) async fn get(self: &Arc<Self>, name: &str) -> ApiResult<Arc<Loaded>> {
        let place = self.place(name)?;
        self.check_answers(place)?;
        let resident = self.loaded(place.entry).await?;
        let loaded = resident.decoder(place.adapter).map(Arc::clone);
        loaded.ok_or_else(|| cannot_load(self.name(place)))
    }

    /// What `name` means to make embeddings with, loaded first where it is not in memory.
    pub(crate) async fn embedder(self: &Arc<Self>, name: &str) -> ApiResult<Embedder> {
        let place = self.place(name)?;
        if self.entries[place.entry].source.task == Task::Generate {
            return Ok(Embedder::Decoder(self.get(name).await?));
        }
        let encoder = self.load_encoder(place.entry).await?;
        Ok(Embedder::Encoder(self.name(place).to_owned(), encoder))
    }

    /// The name of the model that makes embeddings for searching, if one is there: the first that is
    /// served, else the default one.
    pub(crate) fn encoder_name(&self) -> Option<&str> {
        let index = self.encoder_index()?;
        Some(&self.entries[index].source.name)
    }

    /// The model of [`Self::encoder_name`], loaded first where it is not in memory.
    pub(crate) async fn encoder(self: &Arc<Self>) -> ApiResult<Arc<Encoder>> {
        match self.encoder_index() {
            Some(index) => self.load_encoder(index).await,
            None => Err(self.no_encoder()),
        }
    }

    fn encoder_index(&self) -> Option<usize> {
        let can = |entry: &Entry| entry.source.task == Task::Embed && entry.is_there();
        self.entries.iter().position(can)
    }

    async fn load_encoder(self: &Arc<Self>, index: usize) -> ApiResult<Arc<Encoder>> {
        if !self.entries[index].is_there() {
            return Err(self.no_encoder());
        }
        let resident = self.loaded(index).await?;
        let name = &self.entries[index].source.name;
        resident.encoder().cloned().ok_or_else(|| cannot_load(name))
    }

    fn no_encoder(&self) -> ApiError {
        let mut encoders = self.entries.iter().map(|entry| &entry.source);
        let known = encoders.find(|source| source.task == Task::Embed);
        let remedy = known.map_or_else(String::new, |source| {
            let name = source.aliases.first().unwrap_or(&source.name);
            format!("; fetch it with: terang pull {name}")
        });
        let message = format!("no model for embeddings is on this machine{remedy}");
        ApiError::conflict("no_embedding_model", message)
    }

    /// A model in memory, loaded first where it is not. Loading goes on if the caller leaves: the next
    /// one wants it too.
    async fn loaded(self: &Arc<Self>, index: usize) -> ApiResult<Resident> {
        let entry = &self.entries[index];
        entry
            .used_ms
            .store(self.begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        if let Some(resident) = entry.resident() {
            return Ok(resident);
        }
        let models = Arc::clone(self);
        tokio::spawn(async move { models.load(index).await })
            .await
            .unwrap_or_else(|_| Err(ApiError::internal("loading the model failed")))
    }

    async fn load(&self, index: usize) -> ApiResult<Resident> {
        let _changing = self.changing.lock().await;
        let entry = &self.entries[index];
        if let Some(resident) = entry.resident() {
            return Ok(resident);
        }
        entry.measure();
        self.make_room(index).await?;
        let (source, options) = (entry.source.clone(), self.options.clone());
        let begun = Instant::now();
        let opened = tokio::task::spawn_blocking(move || Resident::open(&source, &options)).await;
        match opened {
            Ok(Ok(resident)) => {
                tracing::info!(
                    model = %entry.source.name,
                    load_ms = begun.elapsed().as_millis() as u64,
                    context = resident.context_len(),
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
        let needed = self.entries[wanted].bytes();
        loop {
            let held: u64 = self
                .entries
                .iter()
                .filter(|entry| entry.is_loaded())
                .map(Entry::bytes)
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
    /// Whether a name of one would mean the other.
    fn shares_a_name(&self, other: &Self) -> bool {
        let names = |source: &Self| -> Vec<String> {
            let adapters = source.adapters.iter().map(|adapter| &adapter.name);
            let all = source.aliases.iter().chain(adapters).chain([&source.name]);
            all.cloned().collect()
        };
        let others = names(other);
        names(self).iter().any(|name| others.contains(name))
    }
}
