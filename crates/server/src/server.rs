//! Starts the server, tells when it listens, and ends it in order.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use terang_documents::isolated;
use terang_engine::EngineOptions;
use terang_store::{Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::depot::{Depot, Stock};
use crate::http::listen;
use crate::keys::{KeyError, KeyRing};
use crate::models::{ModelSource, Models};
use crate::notify;
use crate::telemetry::{Telemetry, TelemetryError, TelemetrySettings};
use crate::tls::{Tls, TlsError, TlsFiles};
use crate::web::Web;
use crate::web::knowledge::reader;
use crate::web::tools::given;

/// Threads for what takes a while: tokenizing, loading, waiting for embeddings.
pub(crate) const BLOCKING_THREADS: usize = 32;

/// All that a server is started with.
#[derive(Debug)]
pub struct Options {
    /// The settings.
    pub config: Config,
    /// The models, the first of which is loaded at the start.
    pub models: Vec<ModelSource>,
    /// The model for embeddings that is served beside them once its folder is there.
    pub encoder: Option<ModelSource>,
    /// Where further models come from and lie.
    pub depot: Arc<dyn Depot>,
    /// How models are loaded and run.
    pub engine: EngineOptions,
    /// The file of API keys.
    pub keys: PathBuf,
    /// The file of what keys have used.
    pub usage: PathBuf,
    /// The file of chats and accounts, where the settings name no database.
    pub database: PathBuf,
    /// Reads what people upload.
    pub documents: isolated::Reader,
}

/// Why a server did not start or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No model is named.
    #[error("no model to serve")]
    NoModel,
    /// Two models have one name.
    #[error("models: {0} is named twice; give one of them another name with NAME=PATH")]
    SameName(String),
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A key is to be asked for, and there is none.
    #[error("require_keys is set, and there is no API key: make one with terang key create NAME")]
    NoKeys,
    /// What people keep cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// TLS cannot be offered.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Telemetry cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The runtime cannot be started.
    #[error("threads of the server: {0}")]
    Runtime(io::Error),
    /// Answers were cut at the end of the time for them.
    #[error("{0} connections were broken off after {1} s; see drain_timeout_s")]
    Cut(usize, u64),
}

/// Serves until the process is told to end. `listening` is called once, with the address.
pub fn run(options: Options, listening: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    // The engine has the cores; one thread carries the bytes, and another where the first is busy.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("terang-http")
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let done = runtime.block_on(serve(options, listening));
    // What waits for a model that is still being loaded need not be waited for.
    runtime.shutdown_background();
    done
}

async fn serve(options: Options, listening: impl FnOnce(SocketAddr)) -> Result<(), ServeError> {
    let config = options.config;
    check_names(&options.models)?;
    let keys = KeyRing::open(&options.keys, &options.usage, config.usage_file_bytes)?;
    let loopback = config.listen.ip().is_loopback();
    if keys.is_empty() && config.require_keys {
        return Err(ServeError::NoKeys);
    }
    let tls = TlsFiles::of_settings(&config.tls_cert, &config.tls_key)?;
    let tls = tls.map(Tls::open).transpose()?;
    if tls.is_none() && !loopback {
        tracing::warn!(
            "without TLS, who can read the network reads keys and prompts; see tls_cert and tls_key"
        );
    }
    let at = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let store = if config.database.reveal().is_empty() {
        Store::open_file(&options.database).await?
    } else {
        Store::open(config.database.reveal()).await?
    };
    given::keep(&store, &config).await?;
    // Where keys are asked for, the app is no way round them.
    let reachable = !loopback || config.require_keys;
    let web = Web::open(store, options.documents, config.accounts, reachable).await?;
    let listener = TcpListener::bind(config.listen).await.map_err(at)?;
    let address = listener.local_addr().map_err(at)?;
    let telemetry = TelemetrySettings::of_environment(|name| std::env::var(name).ok())?;
    let telemetry = telemetry.map(|settings| Telemetry::start(settings, address.port()));
    let telemetry = telemetry.transpose()?;
    let drain_timeout_s = config.drain_timeout_s;
    let limit = config.memory_limit_bytes;
    let models = Models::new(options.models, options.encoder, options.engine, limit);
    let usage = options.usage;
    let stock = Stock::new(options.depot);
    let app = App::new(
        config, models, keys, tls, telemetry, loopback, web, usage, stock,
    );
    let app = Arc::new(app);
    let (stop, stopping) = watch::channel(false);
    if let Some(token) = app.web.setup_token() {
        let scheme = if app.tls.is_some() { "https" } else { "http" };
        tracing::info!("make the first account at {scheme}://{address}/setup?token={token}");
    }
    listening(address);
    notify::ready();
    tracing::info!(%address, keys_required = app.keys_required(), "listening");
    let models = Arc::clone(&app.models);
    tokio::spawn(async move { models.warm_up().await });
    tokio::spawn(obey_signals(Arc::clone(&app), stop));
    tokio::spawn(tidy(Arc::clone(&app)));
    tokio::spawn(reader::run(Arc::clone(&app)));
    let cut = listen::serve(Arc::clone(&app), listener, stopping).await;
    finish_answers(&app).await;
    app.stock.close().await;
    app.keys.close();
    if let Some(telemetry) = &app.telemetry {
        telemetry.close();
    }
    if cut > 0 {
        return Err(ServeError::Cut(cut, drain_timeout_s));
    }
    tracing::info!("ended");
    Ok(())
}

/// Answers of the web app go on without a connection: they get their time too, and what is cut then
/// is saved as far as it came.
async fn finish_answers(app: &App) {
    let left = app.drain_time_left();
    if !app.web.idle(left).await {
        app.cut();
        app.web.idle(Duration::from_secs(2)).await;
    }
    app.web.tools.close();
    app.web.store.close().await;
}

/// Forgets what is over, now and then.
async fn tidy(app: Arc<App>) {
    loop {
        if let Err(error) = app.web.tidy().await {
            tracing::warn!(%error, "what is over could not be forgotten yet");
        }
        tokio::time::sleep(Duration::from_secs(30)).await;
    }
}

fn check_names(models: &[ModelSource]) -> Result<(), ServeError> {
    if models.is_empty() {
        return Err(ServeError::NoModel);
    }
    let names = models.iter().flat_map(|model| {
        let adapters = model.adapters.iter().map(|adapter| &adapter.name);
        adapters.chain([&model.name])
    });
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(ServeError::SameName(name.clone()));
        }
    }
    // An adapter under a model's other name would never be found, or the model not.
    let aliases = models.iter().flat_map(|model| &model.aliases);
    let adapters: BTreeSet<_> = models
        .iter()
        .flat_map(|model| &model.adapters)
        .map(|it| &it.name)
        .collect();
    match aliases.into_iter().find(|alias| adapters.contains(alias)) {
        Some(alias) => Err(ServeError::SameName(alias.clone())),
        None => Ok(()),
    }
}

#[cfg(unix)]
async fn obey_signals(app: Arc<App>, stop: watch::Sender<bool>) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        tracing::error!("signals cannot be received");
        // Held, lest the server take its end for a command to stop.
        return std::future::pending().await;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => read_again(&app),
        }
    }
    notify::stopping();
    tracing::info!("draining: started answers finish, new requests are refused");
    app.drain();
    stop.send_replace(true);
    // Held until the process ends.
    std::future::pending::<()>().await;
}

/// Keys with their limits, and the certificate. What cannot be read stays as it was.
#[cfg(unix)]
fn read_again(app: &App) {
    match app.keys.reload() {
        Ok(keys) => tracing::info!(keys, "keys and limits read again"),
        Err(error) => tracing::error!(%error, "keys stay as they were"),
    }
    if let Some(tls) = &app.tls {
        match tls.reload() {
            Ok(()) => tracing::info!("certificate read again"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

#[cfg(not(unix))]
async fn obey_signals(app: Arc<App>, stop: watch::Sender<bool>) {
    let _ = tokio::signal::ctrl_c().await;
    app.drain();
    stop.send_replace(true);
    std::future::pending::<()>().await;
}
