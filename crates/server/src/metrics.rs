//! Counts and times in OpenMetrics' text form. No label holds anything that a client can choose
//! freely, so that nobody can make the list grow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use terang_engine::EngineLoad;

use crate::generate::Usage;
use crate::models::Models;

/// Upper bounds of the histograms' buckets in seconds.
const BOUNDS_S: [f64; 14] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Name, meaning and value of a figure.
type Row<T, V> = (&'static str, &'static str, fn(&T) -> V);
type HistogramRow = (&'static str, &'static str, fn(&ModelFigures) -> &Histogram);

/// The media type of what [`Metrics::render`] writes.
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, Default)]
struct Histogram {
    counts: [u64; BOUNDS_S.len()],
    count: u64,
    sum_s: f64,
}

impl Histogram {
    fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        self.count += 1;
        self.sum_s += seconds;
        for (count, bound) in self.counts.iter_mut().zip(BOUNDS_S) {
            if seconds <= bound {
                *count += 1;
            }
        }
    }

    fn render(&self, out: &mut String, name: &str, label: &str) {
        for (count, bound) in self.counts.iter().zip(BOUNDS_S) {
            let _ = writeln!(out, "{name}_bucket{{{label},le=\"{bound:?}\"}} {count}");
        }
        let _ = writeln!(out, "{name}_bucket{{{label},le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_count{{{label}}} {}", self.count);
        let _ = writeln!(out, "{name}_sum{{{label}}} {}", self.sum_s);
    }
}

#[derive(Debug, Default)]
struct ModelFigures {
    prompt_tokens: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    ttft: Histogram,
    duration: Histogram,
}

/// All figures of the server.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    models: Mutex<BTreeMap<String, ModelFigures>>,
    connections: AtomicU64,
}

impl Metrics {
    /// A request was answered with this status.
    pub(crate) fn responded(&self, route: &'static str, status: u16) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route, status)).or_default() += 1;
    }

    /// An answer ended.
    pub(crate) fn answered(
        &self,
        model: &str,
        usage: Usage,
        ttft: Option<Duration>,
        duration: Duration,
    ) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let figures = models.entry(model.to_owned()).or_default();
        figures.prompt_tokens += usage.prompt_tokens as u64;
        figures.cached_tokens += usage.cached_tokens as u64;
        figures.completion_tokens += usage.completion_tokens as u64;
        figures.duration.observe(duration);
        if let Some(ttft) = ttft {
            figures.ttft.observe(ttft);
        }
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// The whole text.
    pub(crate) fn render(&self, models: &Models) -> String {
        let mut out = String::new();
        head(
            &mut out,
            "terang_http_requests",
            "counter",
            "Requests by route and status",
        );
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, status), count) in requests.iter() {
            let _ = writeln!(
                out,
                "terang_http_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        drop(requests);
        head(
            &mut out,
            "terang_http_connections",
            "gauge",
            "Open connections",
        );
        let _ = writeln!(
            out,
            "terang_http_connections {}",
            self.connections.load(Ordering::Relaxed)
        );
        self.render_models(&mut out);
        render_engines(&mut out, models);
        out.push_str("# EOF\n");
        out
    }

    fn render_models(&self, out: &mut String) {
        let models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let counters: [Row<ModelFigures, u64>; 3] = [
            ("terang_prompt_tokens", "Tokens of prompts", |f| {
                f.prompt_tokens
            }),
            (
                "terang_cached_tokens",
                "Tokens of prompts that were in the cache",
                |f| f.cached_tokens,
            ),
            ("terang_completion_tokens", "Tokens generated", |f| {
                f.completion_tokens
            }),
        ];
        for (name, help, value) in counters {
            head(out, name, "counter", help);
            for (model, figures) in models.iter() {
                let _ = writeln!(out, "{name}_total{{{}}} {}", label(model), value(figures));
            }
        }
        let histograms: [HistogramRow; 2] = [
            (
                "terang_time_to_first_token_seconds",
                "From a request's arrival to its first token",
                |f| &f.ttft,
            ),
            (
                "terang_request_duration_seconds",
                "From a request's arrival to its end",
                |f| &f.duration,
            ),
        ];
        for (name, help, value) in histograms {
            head(out, name, "histogram", help);
            for (model, figures) in models.iter() {
                value(figures).render(out, name, &label(model));
            }
        }
    }
}

fn render_engines(out: &mut String, models: &Models) {
    let loads: Vec<(&str, EngineLoad)> = models
        .list()
        // Adapters share their model's engine.
        .filter(|model| model.parent.is_none())
        .filter_map(|model| Some((model.name, model.decoder?.engine.load())))
        .collect();
    let gauges: [Row<EngineLoad, usize>; 4] = [
        ("terang_requests_running", "Requests that run", |l| {
            l.running
        }),
        ("terang_requests_waiting", "Requests that wait", |l| {
            l.waiting
        }),
        ("terang_cache_pages", "Pages of the cache", |l| {
            l.pages_total
        }),
        ("terang_cache_pages_free", "Pages that nobody holds", |l| {
            l.pages_free
        }),
    ];
    for (name, help, value) in gauges {
        head(out, name, "gauge", help);
        for (model, load) in &loads {
            let _ = writeln!(out, "{name}{{{}}} {}", label(model), value(load));
        }
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}.");
}

fn label(model: &str) -> String {
    let escaped = model
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("model=\"{escaped}\"")
}
