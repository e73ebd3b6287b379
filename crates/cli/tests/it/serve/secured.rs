//! TLS: real handshakes, a new certificate while it runs, and peers that do not finish one.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::json;

use super::{CHAT, PATIENCE, Response, Server, question, text};
use crate::real;
use crate::support::{Outcome, Place};

/// A certificate that signs itself, in two files.
fn certificate(place: &Place) -> (PathBuf, PathBuf, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert_file, key_file) = (place.path("cert.pem"), place.path("key.pem"));
    std::fs::write(&cert_file, cert.pem()).unwrap();
    std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    (cert_file, key_file, cert.der().clone())
}

fn serve(place: &Place, cert: &Path, key: &Path, more: &[&str]) -> Option<Server> {
    let real = real::model()?;
    let mut command = place.terang();
    let model = format!("{}={}", real::MODEL, real.file().display());
    command
        .args(["serve", "--model", &model, "--listen", "127.0.0.1:0"])
        .arg("--tls-cert")
        .arg(cert)
        .arg("--tls-key")
        .arg(key);
    for setting in more {
        command.args(["--set", setting]);
    }
    Some(Server::of(command))
}

/// One request of a client that trusts this certificate alone.
fn request(
    server: &Server,
    trusted: &CertificateDer<'static>,
    bytes: &[u8],
) -> std::io::Result<Response> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, server.connect());
    stream.write_all(bytes)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(Response::parse(&answer))
}

fn get(server: &Server, trusted: &CertificateDer<'static>, path: &str) -> Response {
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    request(server, trusted, head.as_bytes()).unwrap()
}

fn wait_until_ready(server: &Server, trusted: &CertificateDer<'static>) {
    let begun = Instant::now();
    while get(server, trusted, "/health/ready").status != 200 {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[test]
fn answers_come_through_tls_and_nothing_without_it() {
    let place = Place::new();
    let (cert, key, trusted) = certificate(&place);
    let Some(server) = serve(&place, &cert, &key, &[]) else {
        return;
    };
    wait_until_ready(&server, &trusted);
    let body = question("Hi", json!({ "max_tokens": 3 })).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let answer = request(&server, &trusted, (head + &body).as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(!text(&answer.json()).is_empty());
    // In the clear there is no answer, least of all one with an error that holds something.
    let clear = server.get("/health/live");
    assert_eq!((clear.status, clear.body.contains("ok")), (0, false));
    // A client that does not know the certificate does not speak.
    let (_, _, stranger) = certificate(&Place::new());
    let refused = request(&server, &stranger, b"GET / HTTP/1.1\r\n\r\n");
    assert!(refused.is_err());
    assert_eq!(get(&server, &trusted, "/health/live").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
}

#[test]
fn a_new_certificate_is_taken_at_sighup_and_a_broken_one_is_not() {
    let place = Place::new();
    let (cert, key, first) = certificate(&place);
    let Some(server) = serve(&place, &cert, &key, &[]) else {
        return;
    };
    assert_eq!(get(&server, &first, "/health/live").status, 200);
    let (_, _, second) = certificate(&place);
    // Not before it is told.
    assert_eq!(get(&server, &first, "/health/live").status, 200);
    server.signal(Signal::HUP);
    let probe = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let begun = Instant::now();
    while request(&server, &second, probe).is_err() {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(&cert, "no certificate").unwrap();
    server.signal(Signal::HUP);
    let begun = Instant::now();
    while !server.log().contains("the certificate stays as it was") {
        assert!(begun.elapsed() < PATIENCE, "{}", server.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(get(&server, &second, "/health/live").status, 200);
}

#[test]
fn who_does_not_finish_the_handshake_is_let_go() {
    let place = Place::new();
    let (cert, key, trusted) = certificate(&place);
    let settings = ["header_timeout_s=1", "max_connections=4"];
    let Some(server) = serve(&place, &cert, &key, &settings) else {
        return;
    };
    // All places are taken by connections that say nothing, or half of a greeting.
    let silent: Vec<_> = (0..4)
        .map(|index| {
            let mut stream = server.connect();
            stream.write_all(&[0x16, 3, 1, 2][..index]).unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    assert_eq!(get(&server, &trusted, "/health/live").status, 200);
    assert!(begun.elapsed() < PATIENCE);
    for mut stream in silent {
        let mut rest = Vec::new();
        // Closed or reset, not held.
        let _ = stream.read_to_end(&mut rest);
    }
}

#[test]
fn files_that_do_not_belong_together_stop_it_from_starting() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let (cert, key, _) = certificate(&place);
    let other = Place::new();
    let (_, other_key, _) = certificate(&other);
    let model = real.file();
    let serve = |files: &[(&str, &Path)]| -> Outcome {
        let mut command = place.terang();
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--model"])
            .arg(&model);
        for (flag, file) in files {
            command.arg(flag).arg(file);
        }
        command.output().unwrap().into()
    };
    serve(&[("--tls-cert", &cert)]).fails(1, "tls_cert is set and tls_key is not");
    serve(&[("--tls-key", &key)]).fails(1, "tls_key is set and tls_cert is not");
    serve(&[("--tls-cert", &key), ("--tls-key", &cert)]).fails(1, "holds no certificate");
    serve(&[("--tls-cert", &cert), ("--tls-key", &cert)]).fails(1, "holds no private key");
    serve(&[("--tls-cert", &cert), ("--tls-key", &other_key)]).fails(1, "tls_key was made for");
    let nothing = place.path("nothing.pem");
    serve(&[("--tls-cert", &nothing), ("--tls-key", &key)]).fails(1, "nothing.pem");
}
