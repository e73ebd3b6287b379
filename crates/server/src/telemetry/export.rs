//! Sends what waits, at intervals and at the end. A collector that is away is asked again later.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use ureq::Agent;

use crate::outgoing;

use super::{SPANS_WAITING_MAX, Span, TelemetryError, TelemetrySettings, Waiting, encode};

/// Spans in one body.
const BATCH_MAX: usize = 512;
/// For sending at the end of the process, which a collector that is away must not hold up.
const LAST_TIMEOUT: Duration = Duration::from_secs(3);

/// What became of a body.
enum Sent {
    Taken,
    /// Later it may be taken.
    Later(String),
    Refused(String),
}

pub(super) struct Exporter {
    settings: TelemetrySettings,
    agent: Agent,
    resource: Value,
    port: u16,
    begun: SystemTime,
    waiting: Arc<Mutex<Waiting>>,
    failing: bool,
}

impl Exporter {
    pub(super) fn new(
        settings: TelemetrySettings,
        port: u16,
        waiting: Arc<Mutex<Waiting>>,
    ) -> Result<Self, TelemetryError> {
        let agent = outgoing::agent(settings.certificate.as_deref()).map_err(|error| {
            TelemetryError::Certificate {
                path: error.path,
                reason: error.reason,
            }
        })?;
        Ok(Self {
            agent,
            resource: encode::resource(&settings),
            settings,
            port,
            begun: SystemTime::now(),
            waiting,
            failing: false,
        })
    }

    /// Until the other end of `stopped` goes.
    pub(super) fn run(mut self, stopped: &Receiver<()>) {
        let mut metrics_at = Instant::now() + self.settings.metrics_delay;
        let mut traces_at = Instant::now() + self.settings.traces_delay;
        loop {
            let next = metrics_at.min(traces_at);
            let wait = next.saturating_duration_since(Instant::now());
            let is_last = stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout);
            if is_last {
                self.settings.timeout = self.settings.timeout.min(LAST_TIMEOUT);
            }
            let now = Instant::now();
            if is_last || now >= traces_at {
                self.send_traces(is_last);
                traces_at = now + self.settings.traces_delay;
            }
            if is_last || now >= metrics_at {
                self.send_metrics();
                metrics_at = now + self.settings.metrics_delay;
            }
            if is_last {
                return;
            }
        }
    }

    fn send_traces(&mut self, is_last: bool) {
        let Some(url) = self.settings.traces_url.clone() else {
            return;
        };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = std::mem::take(&mut waiting.spans);
        let lost = std::mem::take(&mut waiting.lost);
        drop(waiting);
        if lost > 0 {
            tracing::warn!(spans = lost, "spans are lost: the collector is too slow");
        }
        let mut rest = &spans[..];
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(rest.len().min(BATCH_MAX));
            let body = encode::traces(&self.resource, self.port, batch);
            let sent = self.post(&url, &body);
            let keep = matches!(sent, Sent::Later(_));
            self.tell(sent);
            if keep {
                if !is_last {
                    self.keep(rest);
                }
                return;
            }
            rest = after;
        }
    }

    /// Puts spans back, as many as there is room for.
    fn keep(&self, spans: &[Span]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = SPANS_WAITING_MAX.saturating_sub(waiting.spans.len());
        let kept = &spans[spans.len().saturating_sub(room)..];
        waiting.spans.extend_from_slice(kept);
        waiting.lost += (spans.len() - kept.len()) as u64;
    }

    fn send_metrics(&mut self) {
        let Some(url) = self.settings.metrics_url.clone() else {
            return;
        };
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = waiting.figures.clone();
        drop(waiting);
        if figures.series.is_empty() {
            return;
        }
        let body = encode::metrics(&self.resource, self.begun, SystemTime::now(), &figures);
        // Counts go on, so what is not taken now comes with the next.
        let sent = self.post(&url, &body);
        self.tell(sent);
    }

    fn post(&self, url: &str, body: &Value) -> Sent {
        let mut request = self
            .agent
            .post(url)
            .config()
            .timeout_global(Some(self.settings.timeout))
            .build()
            .header("Content-Type", "application/json");
        for (name, value) in &self.settings.headers {
            request = request.header(name, value);
        }
        match request.send(body.to_string()) {
            Ok(response) => match response.status().as_u16() {
                200..=299 => Sent::Taken,
                status @ (429 | 502 | 503 | 504) => {
                    Sent::Later(format!("the collector answered {status}"))
                }
                status => Sent::Refused(format!("the collector answered {status}")),
            },
            Err(error) => Sent::Later(error.to_string().replace('\n', " ")),
        }
    }

    /// Says once that sending fails, not at every interval.
    fn tell(&mut self, sent: Sent) {
        let reason = match sent {
            Sent::Taken => {
                self.failing = false;
                return;
            }
            Sent::Later(reason) | Sent::Refused(reason) => reason,
        };
        if !self.failing {
            self.failing = true;
            tracing::warn!(reason, "telemetry cannot be sent");
        }
    }
}
