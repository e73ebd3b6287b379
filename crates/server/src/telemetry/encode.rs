//! OTLP's JSON: field names in camel case, identities in hexadecimal, 64-bit integers as strings.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::figures::{Figures, Labels, Metric};
use super::{Generation, Span, TelemetrySettings};

const KIND_SERVER: u8 = 2;
const STATUS_ERROR: u8 = 2;
/// Counts go on from the start; nothing is taken off when they are sent.
const CUMULATIVE: u8 = 2;

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn int(key: &str, value: u64) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn double(key: &str, value: f32) -> Value {
    json!({ "key": key, "value": { "doubleValue": f64::from(value) } })
}

fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_nanos().to_string()
}

/// Who sends.
pub(super) fn resource(settings: &TelemetrySettings) -> Value {
    let mut attributes = vec![
        text("service.name", &settings.service),
        text("service.version", env!("CARGO_PKG_VERSION")),
    ];
    let further = settings.resource.iter();
    attributes.extend(further.map(|(name, value)| text(name, value)));
    json!({ "attributes": attributes })
}

fn scope() -> Value {
    json!({ "name": "terang", "version": env!("CARGO_PKG_VERSION") })
}

/// The body for `/v1/traces`.
pub(super) fn traces(resource: &Value, port: u16, spans: &[Span]) -> Value {
    let spans: Vec<Value> = spans.iter().map(|s| span(port, s)).collect();
    json!({ "resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{ "scope": scope(), "spans": spans }],
    }] })
}

fn span(port: u16, span: &Span) -> Value {
    let Generation {
        origin,
        model,
        duration,
        error,
        ..
    } = &span.generation;
    let mut value = json!({
        "traceId": format!("{:032x}", span.trace),
        "spanId": format!("{:016x}", span.id),
        "name": format!("{} {model}", origin.operation),
        "kind": KIND_SERVER,
        "startTimeUnixNano": nanos(span.ended.checked_sub(*duration).unwrap_or(UNIX_EPOCH)),
        "endTimeUnixNano": nanos(span.ended),
        "attributes": attributes(port, &span.generation),
    });
    if let Some(parent) = origin.parent {
        value["parentSpanId"] = format!("{:016x}", parent.span).into();
    }
    if let Some(error) = error {
        value["status"] = json!({ "code": STATUS_ERROR, "message": error });
    }
    value
}

fn attributes(port: u16, generation: &Generation) -> Vec<Value> {
    let Generation {
        origin,
        model,
        ttft,
        usage,
        finish_reasons,
        error,
        asked,
        ..
    } = generation;
    let mut attributes = vec![
        text("gen_ai.operation.name", origin.operation),
        text("gen_ai.provider.name", "terang"),
        text("gen_ai.request.model", model),
        text("gen_ai.response.model", model),
        int("gen_ai.usage.input_tokens", usage.prompt_tokens as u64),
        int(
            "gen_ai.usage.cache_read.input_tokens",
            usage.cached_tokens as u64,
        ),
        int("gen_ai.usage.output_tokens", usage.completion_tokens as u64),
        int("server.port", u64::from(port)),
    ];
    if asked.choices > 1 {
        attributes.push(int("gen_ai.request.choice.count", asked.choices as u64));
    }
    if let Some(max) = asked.max_tokens {
        attributes.push(int("gen_ai.request.max_tokens", max as u64));
    }
    if let Some(temperature) = asked.temperature {
        attributes.push(double("gen_ai.request.temperature", temperature));
    }
    if let Some(top_p) = asked.top_p {
        attributes.push(double("gen_ai.request.top_p", top_p));
    }
    // The wire's integers are signed.
    if let Some(seed) = asked.seed.filter(|&seed| i64::try_from(seed).is_ok()) {
        attributes.push(int("gen_ai.request.seed", seed));
    }
    if let Some(ttft) = ttft {
        attributes.push(double(
            "gen_ai.response.time_to_first_chunk",
            ttft.as_secs_f32(),
        ));
    }
    if !finish_reasons.is_empty() {
        let reasons = finish_reasons.iter();
        let reasons: Vec<Value> = reasons.map(|r| json!({ "stringValue": r })).collect();
        attributes.push(json!({
            "key": "gen_ai.response.finish_reasons",
            "value": { "arrayValue": { "values": reasons } },
        }));
    }
    if let Some(error) = error {
        attributes.push(text("error.type", error));
    }
    attributes
}

/// The body for `/v1/metrics`.
pub(super) fn metrics(
    resource: &Value,
    begun: SystemTime,
    now: SystemTime,
    figures: &Figures,
) -> Value {
    let metrics = Metric::ALL.into_iter().filter_map(|metric| {
        let of_metric = figures.series.iter().filter(|((m, _), _)| *m == metric);
        let points: Vec<Value> = of_metric
            .map(|((_, labels), histogram)| {
                let counts = histogram.counts.iter().map(u64::to_string);
                json!({
                    "attributes": label_attributes(labels),
                    "startTimeUnixNano": nanos(begun),
                    "timeUnixNano": nanos(now),
                    "count": histogram.count.to_string(),
                    "sum": histogram.sum,
                    "bucketCounts": counts.collect::<Vec<_>>(),
                    "explicitBounds": metric.bounds(),
                })
            })
            .collect();
        let (name, unit, description) = metric.describe();
        (!points.is_empty()).then(|| {
            json!({
                "name": name, "unit": unit, "description": description,
                "histogram": { "aggregationTemporality": CUMULATIVE, "dataPoints": points },
            })
        })
    });
    json!({ "resourceMetrics": [{
        "resource": resource,
        "scopeMetrics": [{ "scope": scope(), "metrics": metrics.collect::<Vec<_>>() }],
    }] })
}

fn label_attributes(labels: &Labels) -> Vec<Value> {
    let mut attributes = vec![
        text("gen_ai.operation.name", labels.operation),
        text("gen_ai.provider.name", "terang"),
        text("gen_ai.request.model", &labels.model),
    ];
    if let Some(kind) = labels.token_type {
        attributes.push(text("gen_ai.token.type", kind));
    }
    if let Some(error) = labels.error {
        attributes.push(text("error.type", error));
    }
    attributes
}
