//! TLS: a certificate and its key from two PEM files, which can be read again while the server runs.
//! Connections that are open keep what they began with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One file of the two is named.
    #[error("{0} is set and {1} is not: TLS needs both, or neither")]
    Half(&'static str, &'static str),
    /// A file cannot be read.
    #[error("{setting}: {path}: {reason}")]
    File {
        /// Which of the two.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// They cannot be used together.
    #[error(
        "tls_cert and tls_key: {0}; the first certificate of tls_cert must be the one that tls_key \
         was made for"
    )]
    Pair(rustls::Error),
}

/// Where the certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    cert: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// The files of the settings `tls_cert` and `tls_key`; `None` where both are empty.
    pub fn of_settings(cert: &str, key: &str) -> Result<Option<Self>, TlsError> {
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => Ok(None),
            (false, true) => Err(TlsError::Half("tls_cert", "tls_key")),
            (true, false) => Err(TlsError::Half("tls_key", "tls_cert")),
            (false, false) => Ok(Some(Self {
                cert: PathBuf::from(cert),
                key: PathBuf::from(key),
            })),
        }
    }

    /// Where the private key lies.
    pub fn key(&self) -> &Path {
        &self.key
    }

    /// Reads both and checks that they belong together.
    pub fn check(&self) -> Result<(), TlsError> {
        self.load().map(drop)
    }

    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let wrong = |setting, path: &Path, reason: String| TlsError::File {
            setting,
            path: path.to_owned(),
            reason,
        };
        let read =
            |setting, path: &Path| read(path).map_err(|e| wrong(setting, path, e.to_string()));
        let pem = read("tls_cert", &self.cert)?;
        let certs = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| wrong("tls_cert", &self.cert, format!("not PEM: {e}")))?;
        if certs.is_empty() {
            let reason = "holds no certificate in PEM form (BEGIN CERTIFICATE)".to_owned();
            return Err(wrong("tls_cert", &self.cert, reason));
        }
        let pem = read("tls_key", &self.key)?;
        // The parser's own words could hold a part of the key.
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            let reason = "holds no private key in PEM form (BEGIN PRIVATE KEY), or one that is \
                          encrypted"
                .to_owned();
            wrong("tls_key", &self.key, reason)
        })?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(certs, key));
        let mut config = config.map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "allowed is a file of at most {FILE_BYTES_MAX} bytes"
        )));
    }
    fs::read(path)
}

/// What new connections are offered.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) fn open(files: TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            config: RwLock::new(files.load()?),
            files,
        })
    }

    /// Reads the files again; what is wrong with them changes nothing.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let config = self.files.load()?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_files_or_none() {
        assert_eq!(TlsFiles::of_settings("", "").unwrap(), None);
        for (cert, key) in [("a", ""), ("", "a")] {
            let error = TlsFiles::of_settings(cert, key).unwrap_err();
            assert!(error.to_string().contains("needs both"), "{error}");
        }
    }

    #[test]
    fn an_error_names_the_setting_and_the_file_and_nothing_of_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        let files = TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
        };
        let error = files.check().unwrap_err().to_string();
        assert!(error.starts_with("tls_cert: "), "{error}");
        fs::write(&cert, "no certificate").unwrap();
        let error = files.check().unwrap_err().to_string();
        assert!(error.contains("no certificate in PEM form"), "{error}");
        let body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        fs::write(&cert, body).unwrap();
        fs::write(&key, "-----BEGIN PRIVATE KEY-----\nsecret!\n").unwrap();
        let error = files.check().unwrap_err().to_string();
        assert!(error.starts_with("tls_key: "), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
