//! OpenTelemetry's own environment variables. One that cannot be followed is refused, not passed over.

use std::io;
use std::time::Duration;

/// Where and how to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelemetrySettings {
    pub(super) traces_url: Option<String>,
    pub(super) metrics_url: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
    /// Between two sendings of spans.
    pub(super) traces_delay: Duration,
    /// Between two sendings of metrics.
    pub(super) metrics_delay: Duration,
    pub(super) service: String,
    /// Further facts about this process.
    pub(super) resource: Vec<(String, String)>,
    /// File of the collector's certificate authority.
    pub(super) certificate: Option<String>,
}

/// Why telemetry cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A variable cannot be followed.
    #[error("{name}: found {found}, allowed {allowed}")]
    Variable {
        /// The variable.
        name: String,
        /// What stands in it.
        found: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A certificate cannot be used.
    #[error("{path}: {reason}")]
    Certificate {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// The thread cannot be started.
    #[error("thread of telemetry: {0}")]
    Thread(io::Error),
}

impl TelemetrySettings {
    /// What the environment says; `None` where nothing is to be sent.
    pub fn of_environment(
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TelemetryError> {
        let get = |name: &str| environment(name).filter(|text| !text.trim().is_empty());
        if get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let traces_url = url(get, "TRACES", "/v1/traces")?;
        let metrics_url = url(get, "METRICS", "/v1/metrics")?;
        if traces_url.is_none() && metrics_url.is_none() {
            return Ok(None);
        }
        for name in [
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        ] {
            if let Some(found) = get(name).filter(|found| found != "http/json") {
                return Err(TelemetryError::Variable {
                    name: name.to_owned(),
                    found,
                    allowed: "http/json, which collectors take at the port of http/protobuf",
                });
            }
        }
        let millis = |name: &str, default: u64| match get(name) {
            None => Ok(Duration::from_millis(default)),
            Some(text) => match text.trim().parse() {
                Ok(millis @ 1..=86_400_000) => Ok(Duration::from_millis(millis)),
                _ => Err(TelemetryError::Variable {
                    name: name.to_owned(),
                    found: text,
                    allowed: "milliseconds, 1 to 86400000",
                }),
            },
        };
        let mut resource = pairs(get, "OTEL_RESOURCE_ATTRIBUTES")?;
        let named = resource.iter().position(|(name, _)| name == "service.name");
        let named = named.map(|index| resource.remove(index).1);
        Ok(Some(Self {
            traces_url,
            metrics_url,
            headers: pairs(get, "OTEL_EXPORTER_OTLP_HEADERS")?,
            timeout: millis("OTEL_EXPORTER_OTLP_TIMEOUT", 10_000)?,
            traces_delay: millis("OTEL_BSP_SCHEDULE_DELAY", 5_000)?,
            metrics_delay: millis("OTEL_METRIC_EXPORT_INTERVAL", 60_000)?,
            service: get("OTEL_SERVICE_NAME")
                .or(named)
                .unwrap_or_else(|| "terang".to_owned()),
            resource,
            certificate: get("OTEL_EXPORTER_OTLP_CERTIFICATE").or_else(|| get("SSL_CERT_FILE")),
        }))
    }
}

/// Where a signal goes: an address of its own as it is, else the common one with the signal's path.
fn url(
    get: impl Fn(&str) -> Option<String>,
    signal: &str,
    path: &str,
) -> Result<Option<String>, TelemetryError> {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match get(&exporter) {
        Some(found) if found == "none" => return Ok(None),
        Some(found) if found != "otlp" => {
            return Err(TelemetryError::Variable {
                name: exporter,
                found,
                allowed: "otlp or none",
            });
        }
        _ => {}
    }
    let own = format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT");
    let common = "OTEL_EXPORTER_OTLP_ENDPOINT";
    let (name, url) = match (get(&own), get(common)) {
        (Some(own_url), _) => (own, own_url),
        (None, Some(base)) => (
            common.to_owned(),
            format!("{}{path}", base.trim_end_matches('/')),
        ),
        (None, None) => return Ok(None),
    };
    let is_http = ["http://", "https://"].iter().any(|s| url.starts_with(s));
    if is_http && url.parse::<axum::http::Uri>().is_ok() {
        Ok(Some(url))
    } else {
        Err(TelemetryError::Variable {
            name,
            found: url,
            allowed: "an address such as http://127.0.0.1:4318",
        })
    }
}

/// `name=value,name=value`, values percent-encoded. What is wrong is not shown: it may be a secret.
fn pairs(
    get: impl Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Vec<(String, String)>, TelemetryError> {
    let text = get(name).unwrap_or_default();
    let mut pairs = Vec::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let pair = part.split_once('=').and_then(|(name, value)| {
            let name = name.trim();
            (!name.is_empty()).then_some((name.to_owned(), percent_decoded(value.trim())?))
        });
        pairs.push(pair.ok_or_else(|| TelemetryError::Variable {
            name: name.to_owned(),
            found: "something else".to_owned(),
            allowed: "NAME=VALUE, separated by commas",
        })?);
    }
    Ok(pairs)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<TelemetrySettings>, TelemetryError> {
        TelemetrySettings::of_environment(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn off_unless_there_is_somewhere_to_send_to() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        assert_eq!(read(&[]).unwrap(), None);
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).unwrap(), None);
        assert_eq!(
            read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).unwrap(),
            None
        );
        let on = read(&[endpoint, ("OTEL_METRICS_EXPORTER", "none")]);
        let on = on.unwrap().unwrap();
        assert_eq!(on.traces_url.unwrap(), "http://127.0.0.1:4318/v1/traces");
        assert_eq!((on.metrics_url, on.service.as_str()), (None, "terang"));
        let own = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://localhost/here",
        );
        let own = read(&[endpoint, own]).unwrap().unwrap();
        assert_eq!(own.traces_url.unwrap(), "http://localhost/here");
        assert_eq!(own.metrics_url.unwrap(), "http://127.0.0.1:4318/v1/metrics");
    }

    #[test]
    fn what_cannot_be_followed_is_refused_and_secrets_are_not_shown() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "localhost:4318"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=%zzsecret"),
        ] {
            let error = read(&[endpoint, (name, value)]).unwrap_err().to_string();
            assert!(error.starts_with(name), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
        let headers = (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "authorization=Bearer%20x, b=c=d",
        );
        let resource = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=mine,a=b");
        let settings = read(&[endpoint, headers, resource]).unwrap().unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [pair("authorization", "Bearer x"), pair("b", "c=d")];
        assert_eq!(settings.headers, expected);
        assert_eq!(settings.service, "mine");
        assert_eq!(settings.resource, [pair("a", "b")]);
    }
}
