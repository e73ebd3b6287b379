//! What all handlers share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::depot::Stock;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::openai::responses::Store;
use crate::telemetry::Telemetry;
use crate::tls::Tls;
use crate::web::Web;

/// Half of the threads that may block.
const EMBEDDING_MAX: usize = crate::server::BLOCKING_THREADS / 2;

/// The server's state.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) models: Arc<Models>,
    pub(crate) keys: KeyRing,
    pub(crate) metrics: Metrics,
    /// What connections are offered; `None`: no TLS.
    pub(crate) tls: Option<Tls>,
    /// `None`: nobody collects.
    pub(crate) telemetry: Option<Telemetry>,
    /// Listens on loopback alone.
    pub(crate) loopback: bool,
    /// Calls for embeddings that wait for an engine, each on a thread; those that prepare other
    /// requests must find threads too.
    pub(crate) embedding: Semaphore,
    /// Responses that can be asked for again and gone on with.
    pub(crate) responses: Store,
    /// The web app and what people keep.
    pub(crate) web: Web,
    /// The file of what keys have used.
    pub(crate) usage_path: PathBuf,
    /// Models that can be fetched and removed.
    pub(crate) stock: Stock,
    /// Since when new work is refused.
    draining: OnceLock<Instant>,
    /// Becomes true when answers have had their time to finish.
    cut: watch::Sender<bool>,
}

impl App {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one part, named at the one call"
    )]
    pub(crate) fn new(
        config: Config,
        models: Models,
        keys: KeyRing,
        tls: Option<Tls>,
        telemetry: Option<Telemetry>,
        loopback: bool,
        web: Web,
        usage_path: PathBuf,
        stock: Stock,
    ) -> Self {
        let responses = Store::new(config.stored_responses, config.stored_bytes);
        Self {
            config,
            models: Arc::new(models),
            keys,
            metrics: Metrics::default(),
            tls,
            telemetry,
            loopback,
            embedding: Semaphore::new(EMBEDDING_MAX),
            responses,
            web,
            usage_path,
            stock,
            draining: OnceLock::new(),
            cut: watch::Sender::new(false),
        }
    }

    /// Whether every request needs a key.
    pub(crate) fn keys_required(&self) -> bool {
        self.config.require_keys || !self.loopback
    }

    /// From now on new work is refused.
    pub(crate) fn drain(&self) {
        self.draining.get_or_init(Instant::now);
    }

    /// What is left of the time that started answers have.
    pub(crate) fn drain_time_left(&self) -> Duration {
        let whole = Duration::from_secs(self.config.drain_timeout_s);
        let begun = self.draining.get();
        begun.map_or(whole, |begun| whole.saturating_sub(begun.elapsed()))
    }

    /// Ends the answers that still run.
    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Tells when answers must end.
    pub(crate) fn watch_cut(&self) -> watch::Receiver<bool> {
        self.cut.subscribe()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get().is_some()
    }
}
