//! Traces and metrics for OpenTelemetry, by its conventions for generative AI, sent as OTLP's JSON
//! over HTTP. Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or that of one signal) is set.
//!
//! - `settings`: the environment variables that OpenTelemetry defines.
//! - `figures`: histograms.
//! - `encode`: spans and histograms as OTLP writes them.
//! - `export`: the thread that sends them.
//!
//! Invariants: nothing that is sent holds a prompt, an answer or a key; what waits to be sent is
//! bounded, and no request waits for a collector.

mod encode;
mod export;
mod figures;
mod settings;

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use figures::Figures;
pub use settings::{TelemetryError, TelemetrySettings};

use crate::generate::Usage;

/// Spans that may wait for the collector; more are counted and lost.
const SPANS_WAITING_MAX: usize = 4096;

/// Where a request comes from and what it asks for, as far as telemetry is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Origin {
    /// The kind of work in the words of the conventions.
    pub(crate) operation: &'static str,
    /// The caller's own span.
    pub(crate) parent: Option<TraceParent>,
}

impl Origin {
    /// The origin of a request for `route` that came with this `traceparent`.
    pub(crate) fn new(route: &str, traceparent: Option<&str>) -> Self {
        let operation = match route {
            "/v1/completions" => "text_completion",
            "/v1/embeddings" => "embeddings",
            _ => "chat",
        };
        Self {
            operation,
            parent: traceparent.and_then(TraceParent::parse),
        }
    }
}

/// A span of the caller, as W3C's Trace Context writes it in the header `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    trace: u128,
    span: u64,
    sampled: bool,
}

impl TraceParent {
    fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().split('-');
        let version = hex(parts.next()?, 2)?;
        let trace = hex(parts.next()?, 32)?;
        let span = hex(parts.next()?, 16)?;
        let flags = hex(parts.next()?, 2)?;
        // A later version may have more parts; this one may not.
        let is_whole = version == 0 && parts.next().is_none() || (1..255).contains(&version);
        (is_whole && trace != 0 && span != 0).then_some(Self {
            trace,
            span: span as u64,
            sampled: flags & 1 == 1,
        })
    }
}

fn hex(text: &str, digits: usize) -> Option<u128> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let right = text.len() == digits && text.bytes().all(lower);
    right.then(|| u128::from_str_radix(text, 16).ok())?
}

/// A generation that ended.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    pub(crate) origin: Origin,
    pub(crate) model: String,
    pub(crate) duration: Duration,
    pub(crate) ttft: Option<Duration>,
    pub(crate) usage: Usage,
    pub(crate) finish_reasons: Vec<&'static str>,
    /// A word that says why it failed, one of a fixed set.
    pub(crate) error: Option<&'static str>,
    pub(crate) asked: Asked,
}

/// What a request asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) choices: usize,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) seed: Option<u64>,
}

/// A span that waits to be sent.
#[derive(Clone, Debug)]
struct Span {
    trace: u128,
    id: u64,
    ended: SystemTime,
    generation: Generation,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Span>,
    lost: u64,
    figures: Figures,
}

/// Takes what is to be sent.
#[derive(Debug)]
pub(crate) struct Telemetry {
    waiting: Arc<Mutex<Waiting>>,
    traces: bool,
    stop: Mutex<Option<Sender<()>>>,
    exporter: Mutex<Option<JoinHandle<()>>>,
}

impl Telemetry {
    /// Starts the thread that sends.
    pub(crate) fn start(settings: TelemetrySettings, port: u16) -> Result<Self, TelemetryError> {
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let (stop, stopped) = channel();
        let traces = settings.traces_url.is_some();
        let exporter = export::Exporter::new(settings, port, Arc::clone(&waiting))?;
        let thread = std::thread::Builder::new()
            .name("terang-telemetry".to_owned())
            .spawn(move || exporter.run(&stopped))
            .map_err(TelemetryError::Thread)?;
        Ok(Self {
            waiting,
            traces,
            stop: Mutex::new(Some(stop)),
            exporter: Mutex::new(Some(thread)),
        })
    }

    /// Takes a generation that ended just now.
    pub(crate) fn ended(&self, generation: Generation) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.figures.count(&generation);
        let parent = generation.origin.parent;
        // Who calls decides whether the whole trace is kept.
        if !self.traces || parent.is_some_and(|parent| !parent.sampled) {
            return;
        }
        let (mut trace, mut id) = ([0; 16], [0; 8]);
        let drawn = getrandom::fill(&mut trace).and_then(|()| getrandom::fill(&mut id));
        if waiting.spans.len() >= SPANS_WAITING_MAX || drawn.is_err() {
            waiting.lost += 1;
            return;
        }
        // Zero is no identity.
        let own = || u128::from_le_bytes(trace).max(1);
        let trace = parent.map_or_else(own, |parent| parent.trace);
        let id = u64::from_le_bytes(id).max(1);
        waiting.spans.push(Span {
            trace,
            id,
            ended: SystemTime::now(),
            generation,
        });
    }

    /// Sends what waits, and ends.
    pub(crate) fn close(&self) {
        let stop = self
            .stop
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(stop);
        let exporter = self
            .exporter
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(exporter) = exporter {
            let _ = exporter.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_parents_are_read_or_passed_over() {
        let whole = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let parent = TraceParent::parse(whole).unwrap();
        assert_eq!(parent.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parent.span, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
        let later = whole.replace("00-4b", "01-4b") + "-more";
        assert_eq!(TraceParent::parse(&later), Some(parent));
        let not = whole.replace("-01", "-00");
        assert!(!TraceParent::parse(&not).unwrap().sampled);
        for wrong in [
            "",
            "00",
            &(whole.to_owned() + "-more"),
            &whole.replace("00-4b", "ff-4b"),
            &whole.replace("4bf9", "4BF9"),
            &whole.replace("4bf9", "+bf9"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(TraceParent::parse(wrong), None, "{wrong}");
        }
    }
}
