//! What all handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::keys::KeyRing;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::openai::responses::Store;
use crate::telemetry::Telemetry;
use crate::tls::Tls;

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
    draining: AtomicBool,
    /// Becomes true when answers have had their time to finish.
    cut: watch::Sender<bool>,
}

impl App {
    pub(crate) fn new(
        config: Config,
        models: Models,
        keys: KeyRing,
        tls: Option<Tls>,
        telemetry: Option<Telemetry>,
        loopback: bool,
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
            draining: AtomicBool::new(false),
            cut: watch::Sender::new(false),
        }
    }

    /// Whether every request needs a key.
    pub(crate) fn keys_required(&self) -> bool {
        self.config.require_keys || !self.loopback
    }

    /// From now on new work is refused.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
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
        self.draining.load(Ordering::Relaxed)
    }
}
