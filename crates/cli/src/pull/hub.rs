//! A file of the Hugging Face hub over HTTPS, resumed with `Range`. A host that cannot be reached is
//! given up within five seconds; a connection that breaks later is tried again with growing pauses.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::part_file::{BUFFER_BYTES, PartFile};
use super::progress::Progress;
use super::{Miss, miss_for, pause};
use crate::messages::Msg;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(2_500);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// Pauses before the tries after a failure; progress starts the list again.
const PAUSES_MS: [u64; 5] = [500, 1_000, 2_000, 4_000, 8_000];
/// Progress that counts as such: a server that cuts after each byte is given up.
const PROGRESS_BYTES_MIN: u64 = 1 << 20;

struct Endpoint {
    base: String,
    host: String,
    token: Option<String>,
}

impl Endpoint {
    fn from_environment() -> Self {
        let base = std::env::var("HF_ENDPOINT")
            .ok()
            .filter(|e| !e.is_empty())
            .unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let token = std::env::var("HF_TOKEN").ok();
        Self::new(&base, token)
    }

    fn new(base: &str, token: Option<String>) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let rest = base.split_once("://").map_or(base.as_str(), |(_, r)| r);
        let authority = rest.split('/').next().unwrap_or("");
        let host = authority.rsplit('@').next().unwrap_or("").to_owned();
        // A token in clear would be anybody's; only the own machine may see it without TLS.
        let name = host.rsplit_once(':').map_or(host.as_str(), |(n, _)| n);
        let private =
            base.starts_with("https://") || matches!(name, "localhost" | "127.0.0.1" | "[::1]");
        let token = token
            .map(|t| t.trim().to_owned())
            .filter(|t| private && !t.is_empty() && t.bytes().all(|b| b.is_ascii_graphic()));
        Self { base, host, token }
    }
}

/// Fetches the rest of `part`.
pub(super) fn fetch(
    repo: &str,
    revision: &str,
    file: &str,
    part: &mut PartFile,
    progress: &Progress,
) -> Result<(), Miss> {
    let endpoint = Endpoint::from_environment();
    let url = format!("{}/{repo}/resolve/{revision}/{file}", endpoint.base);
    let agent = agent()?;
    let mut failures = 0;
    let mut connected = false;
    let mut base = part.len();
    loop {
        let cut = match once(&agent, &endpoint, &url, part, progress, &mut connected) {
            Ok(()) => return Ok(()),
            Err(Once::Final(miss)) => return Err(miss),
            Err(Once::Cut(reason)) => reason,
        };
        if !connected {
            return Err(Miss::Unreachable {
                host: endpoint.host,
            });
        }
        if part.len() >= base + PROGRESS_BYTES_MIN {
            failures = 0;
        }
        base = part.len();
        let Some(wait) = PAUSES_MS.get(failures).copied().map(Duration::from_millis) else {
            return Err(miss_for(Msg::ReasonCut { reason: cut }));
        };
        failures += 1;
        progress.line(&Msg::RetryingIn {
            reason: cut,
            seconds: format!("{:.1}", wait.as_secs_f32()),
        });
        pause(wait)?;
    }
}

enum Once {
    /// Trying again will not help.
    Final(Miss),
    /// It may.
    Cut(String),
}

impl<E: Into<Miss>> From<E> for Once {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

fn once(
    agent: &Agent,
    endpoint: &Endpoint,
    url: &str,
    part: &mut PartFile,
    progress: &Progress,
    connected: &mut bool,
) -> Result<(), Once> {
    let mut request = agent.get(url);
    if part.len() > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.len()));
    }
    if let Some(token) = &endpoint.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = request.call().map_err(|e| Once::Cut(plain(&e)))?;
    *connected = true;
    check(&response, part)?;
    let mut reader = response.into_body().into_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) if part.len() < part.limit() => {
                return Err(Once::Cut(format!("{} / {}", part.len(), part.limit())));
            }
            Ok(0) => return Ok(()),
            Ok(count) => {
                part.write(&buffer[..count])?;
                progress.reach(part.len());
            }
            Err(_) if crate::interrupt::requested() => {
                return Err(crate::problem::Problem::Interrupted.into());
            }
            Err(e) => return Err(Once::Cut(e.to_string())),
        }
    }
}

/// Looks at the answer's head; makes `part` begin where the body does.
fn check<B>(response: &Response<B>, part: &mut PartFile) -> Result<(), Once> {
    let expected = part.limit();
    let size = |found: u64| {
        Once::Final(miss_for(Msg::ReasonSize {
            found: found.to_string(),
            expected: expected.to_string(),
        }))
    };
    let header = |name| response.headers().get(name).and_then(|v| v.to_str().ok());
    match response.status() {
        StatusCode::OK => {
            if part.len() > 0 {
                part.restart()?;
            }
            match header(header::CONTENT_LENGTH).and_then(|v| v.parse().ok()) {
                Some(length) if length != expected => Err(size(length)),
                _ => Ok(()),
            }
        }
        StatusCode::PARTIAL_CONTENT => {
            let range = header(header::CONTENT_RANGE).and_then(content_range);
            match range {
                Some((_, Some(total))) if total != expected => Err(size(total)),
                Some((start, _)) if start == part.len() => Ok(()),
                _ => {
                    part.restart()?;
                    Err(Once::Cut("Content-Range".to_owned()))
                }
            }
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            part.restart()?;
            Err(Once::Cut("416".to_owned()))
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(Once::Cut(
                Msg::ReasonStatus {
                    status: status.as_u16().to_string(),
                }
                .to_string(),
            ))
        }
        status => Err(Once::Final(miss_for(Msg::ReasonStatus {
            status: status.as_u16().to_string(),
        }))),
    }
}

/// Start and total of `bytes START-END/TOTAL`.
fn content_range(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.trim().parse().ok()?, total.trim().parse().ok()))
}

fn agent() -> Result<Agent, Miss> {
    let mut tls = TlsConfig::builder();
    if let Some(roots) = extra_roots()? {
        tls = tls.root_certs(roots);
    }
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(RESOLVE_TIMEOUT))
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .timeout_per_read(Some(READ_TIMEOUT))
        .user_agent(concat!("terang/", env!("CARGO_PKG_VERSION")))
        .accept_encoding("identity")
        .tls_config(tls.build())
        .build()
        .into())
}

/// Certificates of `SSL_CERT_FILE`, which an organisation with its own authority sets.
fn extra_roots() -> Result<Option<RootCerts>, Miss> {
    let Some(path) = std::env::var_os("SSL_CERT_FILE").filter(|p| !p.is_empty()) else {
        return Ok(None);
    };
    let pem = std::fs::read(&path).map_err(|e| {
        miss_for(Msg::FileUnreadable {
            path: path.to_string_lossy().into_owned(),
            reason: e.to_string(),
        })
    })?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    Ok((!certificates.is_empty()).then(|| RootCerts::Specific(Arc::new(certificates))))
}

/// The error in one line, without the request that caused it.
fn plain(error: &ureq::Error) -> String {
    error.to_string().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_or_refused() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5, None)));
        for bad in [
            "",
            "bytes */10",
            "items 5-9/10",
            "bytes -5/10",
            "bytes 99999999999999999999-1/2",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_token_goes_only_where_nobody_can_read_it() {
        let token = || Some("hf_secret\n".to_owned());
        let sent = |base: &str| Endpoint::new(base, token()).token.is_some();
        assert!(sent("https://huggingface.co/"));
        assert!(sent("http://127.0.0.1:8080"));
        assert!(sent("http://localhost"));
        assert!(!sent("http://mirror.example"));
        assert!(!sent("http://127.0.0.1.example"));
        assert!(!sent("http://localhost@mirror.example"));
        assert_eq!(
            Endpoint::new("https://a.example:8/x/", None).host,
            "a.example:8"
        );
    }
}
