//! The address, the keys and the certificate.

use std::io::ErrorKind;
use std::net::TcpListener;

use terang_server::Config;
use terang_server::keys::KeyFile;
use terang_server::tls::TlsFiles;

use super::Finding;
use crate::data_dir::DataDir;
use crate::messages::Msg;

/// Can it be listened on?
pub(super) fn address(config: &Config) -> Finding {
    const CHECK: &str = "address";
    let address = config.listen.to_string();
    match TcpListener::bind(config.listen) {
        Ok(_) => Finding::well(CHECK, &Msg::DoctorAddress { address }),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::wrong(
            CHECK,
            &Msg::DoctorAddressTaken { address },
            Msg::DoctorAddressTakenNext {},
        ),
        Err(error) => Finding::wrong(
            CHECK,
            &Msg::DoctorAddressRefused {
                address,
                reason: error.to_string(),
            },
            Msg::DoctorAddressRefusedNext {},
        ),
    }
}

/// Are there keys where the address needs them, and does nobody else read them?
pub(super) fn keys(data: &DataDir, config: &Config) -> Vec<Finding> {
    const CHECK: &str = "keys";
    let path = data.keys();
    let keys = match KeyFile::new(&path).list() {
        Ok(keys) => keys,
        Err(error) => return vec![Finding::wrong(CHECK, &error, Msg::DoctorKeysNext {})],
    };
    let needed = config.require_keys || !config.listen.ip().is_loopback();
    let count = keys.len().to_string();
    let mut findings = vec![match (needed, keys.is_empty()) {
        // The server starts all the same: people make keys in the web app.
        (true, true) if !config.require_keys => Finding::warning(
            CHECK,
            &Msg::DoctorKeysMissing {
                address: config.listen.to_string(),
            },
            Msg::DoctorKeysMissingNext {},
        ),
        (true, true) => Finding::wrong(
            CHECK,
            &Msg::DoctorKeysMissing {
                address: config.listen.to_string(),
            },
            Msg::DoctorKeysMissingNext {},
        ),
        (true, false) => Finding::well(CHECK, &Msg::DoctorKeys { count }),
        (false, _) => Finding::well(CHECK, &Msg::DoctorKeysOptional { count }),
    }];
    let private = [path, data.usage()];
    for path in private.iter().filter(|path| is_read_by_others(path)) {
        let path = path.display().to_string();
        let next = Msg::DoctorPrivateNext { path: path.clone() };
        findings.push(Finding::warning(CHECK, &Msg::DoctorPrivate { path }, next));
    }
    findings
}

/// Does the certificate go with its key? Is there one where others can listen?
pub(super) fn tls(config: &Config) -> Vec<Finding> {
    const CHECK: &str = "tls";
    let files = TlsFiles::of_settings(&config.tls_cert, &config.tls_key);
    let checked = files.and_then(|files| match files {
        Some(files) => files.check().map(|()| Some(files)),
        None => Ok(None),
    });
    let address = config.listen.to_string();
    match checked {
        Err(error) => vec![Finding::wrong(CHECK, &error, Msg::DoctorTlsNext {})],
        Ok(None) if config.listen.ip().is_loopback() => {
            vec![Finding::well(CHECK, &Msg::DoctorTlsNotNeeded { address })]
        }
        Ok(None) => vec![Finding::warning(
            CHECK,
            &Msg::DoctorTlsNone { address },
            Msg::DoctorTlsNoneNext {},
        )],
        Ok(Some(files)) => {
            let mut findings = vec![Finding::well(CHECK, &Msg::DoctorTls {})];
            if is_read_by_others(files.key()) {
                let path = files.key().display().to_string();
                let next = Msg::DoctorPrivateNext { path: path.clone() };
                findings.push(Finding::warning(CHECK, &Msg::DoctorPrivate { path }, next));
            }
            findings
        }
    }
}

#[cfg(unix)]
fn is_read_by_others(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    // A group may be given the key of a certificate on purpose.
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o007 != 0)
}

#[cfg(not(unix))]
fn is_read_by_others(_path: &std::path::Path) -> bool {
    false
}
