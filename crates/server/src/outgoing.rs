//! Requests that this server makes of others: no redirects, and the authorities that were named.

use std::sync::Arc;

use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// A file of authorities that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub(crate) struct CertificateError {
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// Who asks. `certificate`: a file of authorities in PEM instead of the built-in ones.
pub(crate) fn agent(certificate: Option<&str>) -> Result<Agent, CertificateError> {
    let mut tls = TlsConfig::builder();
    if let Some(path) = certificate {
        tls = tls.root_certs(roots(path)?);
    }
    Ok(Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("terang/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.build())
        .build()
        .into())
}

fn roots(path: &str) -> Result<RootCerts, CertificateError> {
    let wrong = |reason: String| CertificateError {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(wrong("holds no certificate in PEM form".to_owned()));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
