//! What comes with the binary to run it as a service: the unit, and what the server tells its manager.

use std::collections::BTreeMap;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{PATIENCE, Server};
use crate::real;
use crate::support::Place;

fn packaged(name: &str) -> String {
    std::fs::read_to_string(real::repository("packaging").join(name)).unwrap()
}

/// Settings of the unit by section and name; a name that stands several times has the last value.
fn unit() -> BTreeMap<(String, String), String> {
    let text = packaged("terang.service");
    let mut section = String::new();
    let mut settings = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        settings.insert((section.clone(), name.to_owned()), value.to_owned());
    }
    settings
}

#[test]
fn the_unit_fits_the_server() {
    let unit = unit();
    let service = |name: &str| {
        let value = unit.get(&("Service".to_owned(), name.to_owned()));
        value
            .unwrap_or_else(|| panic!("{name} is missing"))
            .as_str()
    };
    // The next test sees the server keep this promise.
    assert_eq!(service("Type"), "notify");
    assert!(service("ExecReload").contains("-HUP"));
    let stop: u64 = service("TimeoutStopSec").parse().unwrap();
    assert!(stop > terang_server::Config::default().drain_timeout_s);
    for (name, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
        ("UMask", "0077"),
    ] {
        assert_eq!(service(name), value, "{name}");
    }
    // The data folder is the one that it may write to, and its user is made.
    let data = service("Environment")
        .strip_prefix("TERANG_DATA_DIR=")
        .unwrap();
    assert_eq!(data, format!("/var/lib/{}", service("StateDirectory")));
    let user = format!("u {} ", service("User"));
    assert!(packaged("terang.sysusers").contains(&user));
}

#[test]
fn systemd_takes_the_unit() {
    let has = Command::new("systemd-analyze").arg("--version").output();
    if !has.is_ok_and(|output| output.status.success()) {
        return real::skipped("systemd-analyze is not here");
    }
    let place = Place::new();
    // With the binary that is here in the place of the one that will be installed.
    let text = packaged("terang.service");
    let binary = env!("CARGO_BIN_EXE_terang");
    let file = place.path("terang.service");
    std::fs::write(&file, text.replace("/usr/local/bin/terang", binary)).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--generators=no"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    let ours: Vec<&str> = said.lines().filter(|l| l.contains("terang")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
    let security = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=25"])
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&security.stdout);
    // 25 is an exposure of 2.5 of 10.
    assert!(
        security.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&security.stderr)
    );
}

#[test]
fn the_service_manager_is_told_when_it_listens_and_when_it_ends() {
    let Some(real) = real::model() else { return };
    let place = Place::new();
    let path = place.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = real.terang();
    command
        .args(["serve", "--model", real::MODEL, "--listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", &path);
    let server = Server::of(command);
    let mut bytes = [0; 256];
    let mut told = || {
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    assert_eq!(told(), "READY=1");
    assert_eq!(server.get("/health/live").status, 200);
    server.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
    assert_eq!(server.wait(), Some(0));
    // Nothing more comes.
    socket
        .set_read_timeout(Some(Duration::from_millis(10)))
        .unwrap();
    assert!(socket.recv(&mut [0; 8]).is_err());
}

#[test]
fn the_container_runs_as_nobody_of_importance_and_keeps_its_data() {
    let text = packaged("Containerfile");
    let has = |line: &str| assert!(text.lines().any(|l| l == line), "{line}");
    has("USER terang");
    has("VOLUME /data");
    has("ENV TERANG_DATA_DIR=/data TERANG_LISTEN=0.0.0.0:8080");
    has("EXPOSE 8080");
    // A shell in between would keep SIGTERM from the server.
    has("ENTRYPOINT [\"/usr/local/bin/terang\"]");
    let manifest = std::fs::read_to_string(real::repository("Cargo.toml")).unwrap();
    let version = manifest.split("rust-version = \"").nth(1).unwrap();
    let version = version.split('"').next().unwrap();
    assert!(text.contains(&format!("FROM rust:{version}-")), "{version}");
    // Podman and Docker both read it: what the host has built stays out of the container.
    let ignored = std::fs::read_to_string(real::repository(".dockerignore")).unwrap();
    for folder in ["target", ".git"] {
        assert!(ignored.lines().any(|line| line == folder), "{folder}");
    }
}
