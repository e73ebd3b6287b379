//! Models that an administrator fetches and removes. Where they come from and where they lie is known
//! to who starts the server, who hands in a [`Depot`]; here is what goes on at this moment: one model is
//! fetched at a time, in a thread of its own, and can be stopped.

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use terang_store::now_ms;

use crate::error::{ApiError, ApiResult};
use crate::models::Task;

/// Where models come from and lie.
pub trait Depot: Debug + Send + Sync {
    /// The models that can be had, and others that are here.
    fn list(&self) -> Result<Vec<Stocked>, DepotError>;
    /// Fetches a model; does nothing if it is here. What has arrived is kept when it is stopped or
    /// fails, and the next call goes on from there.
    fn fetch(&self, name: &str, watch: &Arc<FetchWatch>) -> Result<(), DepotError>;
    /// Removes a model, or what has arrived of it.
    fn remove(&self, name: &str) -> Result<(), DepotError>;
}

/// A model of a [`Depot`].
#[derive(Clone, Debug)]
pub struct Stocked {
    /// Its name.
    pub name: String,
    /// Its name as its publisher writes it.
    pub title: String,
    /// What it is for.
    pub task: Task,
    /// Its licence.
    pub licence: String,
    /// Codes of its languages.
    pub languages: Vec<String>,
    /// Count of its parameters, as its publisher writes it.
    pub parameters: String,
    /// Bytes to fetch.
    pub bytes: u64,
    /// Bytes on the disk.
    pub bytes_here: u64,
    /// All of it is here.
    pub installed: bool,
    /// The folder in which it is, or would be.
    pub folder: PathBuf,
}

/// Why a depot could not do it. The texts may name paths: they are for the log.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// No model has this name.
    #[error("{0}: no such model")]
    Unknown(String),
    /// It was told to stop.
    #[error("stopped")]
    Stopped,
    /// Another process is at it.
    #[error("{0}")]
    Busy(String),
    /// The disk is full.
    #[error("{0}")]
    NoSpace(String),
    /// No source gave it.
    #[error("{0}")]
    NoSource(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// How far a fetch is, and whether it is still wanted.
#[derive(Debug, Default)]
pub struct FetchWatch {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl FetchWatch {
    /// From here on it is about `total` bytes, of which `done` are there.
    pub fn begin(&self, total: u64, done: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// So many are there.
    pub fn reach(&self, done: u64) {
        self.done.fetch_max(done, Ordering::Relaxed);
    }

    /// Whether somebody said to stop.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// What is being fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetching {
    pub(crate) name: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Stopped,
    NoSpace,
    NoSource,
    Failed,
}

/// The last fetch that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    pub(crate) at: i64,
}

#[derive(Debug, Default)]
struct State {
    current: Option<(String, Arc<FetchWatch>)>,
    last: Option<Ended>,
}

/// The depot, and what goes on in it.
#[derive(Debug)]
pub(crate) struct Stock {
    depot: Arc<dyn Depot>,
    state: Arc<Mutex<State>>,
}

impl Stock {
    pub(crate) fn new(depot: Arc<dyn Depot>) -> Self {
        Self {
            depot,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What is being fetched, and what was fetched last.
    pub(crate) fn now(&self) -> (Option<Fetching>, Option<Ended>) {
        let state = self.state();
        let fetching = state.current.as_ref().map(|(name, watch)| Fetching {
            name: name.clone(),
            done: watch.done.load(Ordering::Relaxed),
            total: watch.total.load(Ordering::Relaxed),
        });
        (fetching, state.last.clone())
    }

    pub(crate) async fn list(&self) -> ApiResult<Vec<Stocked>> {
        let depot = Arc::clone(&self.depot);
        blocking(move || depot.list()).await
    }

    /// The model of that name.
    pub(crate) async fn find(&self, name: &str) -> ApiResult<Stocked> {
        let mut all = self.list().await?.into_iter();
        let found = all.find(|model| model.name == name);
        found.ok_or_else(|| told(&DepotError::Unknown(name.to_owned())))
    }

    /// Begins to fetch a model.
    pub(crate) fn begin(&self, model: &Stocked) -> ApiResult<()> {
        let watch = Arc::new(FetchWatch::default());
        watch.begin(model.bytes, model.bytes_here.min(model.bytes));
        {
            let mut state = self.state();
            if let Some((name, _)) = &state.current {
                let message = format!("{name} is being fetched; wait for it, or stop it");
                return Err(ApiError::conflict("fetch_running", message));
            }
            state.current = Some((model.name.clone(), Arc::clone(&watch)));
        }
        let (depot, state, name) = (
            Arc::clone(&self.depot),
            Arc::clone(&self.state),
            model.name.clone(),
        );
        tracing::info!(model = %name, "fetching begins");
        let fetching = tokio::task::spawn_blocking(move || depot.fetch(&name, &watch));
        let name = model.name.clone();
        tokio::spawn(async move {
            let ended = fetching.await;
            let outcome = match &ended {
                Ok(Ok(())) => Outcome::Done,
                Ok(Err(DepotError::Stopped)) => Outcome::Stopped,
                Ok(Err(DepotError::NoSpace(_))) => Outcome::NoSpace,
                Ok(Err(DepotError::NoSource(_))) => Outcome::NoSource,
                Ok(Err(_)) | Err(_) => Outcome::Failed,
            };
            if let Ok(Err(error)) = ended {
                tracing::warn!(model = %name, %error, "was not fetched");
            } else {
                tracing::info!(model = %name, ?outcome, "fetching ended");
            }
            let mut state = lock(&state);
            state.current = None;
            state.last = Some(Ended {
                name,
                outcome,
                at: now_ms(),
            });
        });
        Ok(())
    }

    /// Stops the fetch that goes on; gives its model.
    pub(crate) fn stop(&self) -> Option<String> {
        let state = self.state();
        let (name, watch) = state.current.as_ref()?;
        watch.stop.store(true, Ordering::Relaxed);
        Some(name.clone())
    }

    /// The same, and waits for it for a moment: what it started must not outlive the server.
    pub(crate) async fn close(&self) {
        const WITHIN: Duration = Duration::from_secs(3);
        let begun = Instant::now();
        while self.stop().is_some() && begun.elapsed() < WITHIN {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn remove(&self, name: &str) -> ApiResult<()> {
        let (depot, name) = (Arc::clone(&self.depot), name.to_owned());
        blocking(move || depot.remove(&name)).await
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DepotError> + Send + 'static,
) -> ApiResult<T> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| ApiError::internal("the models could not be looked at"))?;
    done.map_err(|error| told(&error))
}

/// What the person is told; the rest is in the log.
fn told(error: &DepotError) -> ApiError {
    match error {
        DepotError::Unknown(_) => ApiError::not_found("there is no model of this name"),
        DepotError::Busy(_) => ApiError::conflict(
            "model_busy",
            "another process is fetching this model or removing it",
        ),
        _ => {
            tracing::error!(%error, "models");
            ApiError::internal("that could not be done; the server's log says why")
        }
    }
}
