//! `terang doctor`: what it finds, and that it says what to do.

use std::net::TcpListener;

use serde_json::Value;

use crate::real;
use crate::support::{Outcome, Place, bytes, sha256};

/// Where the model could come from, if anybody fetched it.
const SOURCE: &str = "[[model.source]]\nkind = \"path\"\npath = \"/nonexistent\"\n";

/// A place whose only model is whole, and small.
fn place() -> Place {
    let place = Place::new();
    let weights = bytes(1000);
    place.catalogue(1000, &sha256(&weights), SOURCE);
    std::fs::create_dir_all(place.model()).unwrap();
    std::fs::write(place.model().join("model.gguf"), &weights).unwrap();
    let receipt = format!(
        r#"{{"name": "tiny:1b", "source": "test", "sha256": "{}", "bytes": 1000, "date": ""}}"#,
        sha256(&weights)
    );
    std::fs::write(place.model().join("receipt.json"), receipt).unwrap();
    place
}

fn doctor(place: &Place, arguments: &[&str]) -> Outcome {
    let free = ["doctor", "--listen", "127.0.0.1:0"];
    place.run(&[&free, arguments].concat())
}

/// The one finding of a check that is not well.
#[track_caller]
fn finding(outcome: &Outcome, check: &str, state: &str) -> (String, String) {
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["ok"], outcome.code == Some(0));
    let checks = report["checks"].as_array().unwrap();
    let found = checks
        .iter()
        .find(|c| c["check"] == check && c["state"] == state);
    let found = found.unwrap_or_else(|| panic!("no {state} {check} in {report:#}"));
    (
        found["found"].as_str().unwrap().to_owned(),
        found["next"].as_str().unwrap_or_default().to_owned(),
    )
}

#[test]
fn a_good_set_up_is_well() {
    let Some(real) = real::model() else { return };
    let mut command = real.terang();
    command.args(["doctor", "--full", "--json", "--listen", "127.0.0.1:0"]);
    let outcome: Outcome = command.output().unwrap().into();
    outcome.succeeds();
    let (model, _) = finding(&outcome, "model", "ok");
    assert!(model.contains("sha-256 is right"), "{model}");
    let (memory, _) = finding(&outcome, "memory", "ok");
    assert!(memory.contains("MB") || memory.contains("GB"), "{memory}");
    for check in ["settings", "data_folder", "address", "keys", "tls"] {
        finding(&outcome, check, "ok");
    }
}

#[test]
fn nothing_there_yet_is_only_a_warning() {
    let place = Place::new();
    place.catalogue(1000, &sha256(b""), SOURCE);
    let outcome = doctor(&place, &["--json"]);
    outcome.succeeds();
    let (found, next) = finding(&outcome, "model", "warning");
    assert!(found.contains("not here yet"), "{found}");
    assert!(next.contains("terang pull tiny:1b"), "{next}");
    // It looks and makes nothing.
    assert!(!place.data().exists());
}

#[test]
fn what_is_wrong_with_models_is_found() {
    let place = place();
    // Its size and hash are right, and it is no model.
    let outcome = doctor(&place, &["--json", "--full"]);
    outcome.fails(1, "wrong: 1;");
    finding(&outcome, "model", "ok");
    let (_, next) = finding(&outcome, "model", "wrong");
    assert!(next.contains("get tiny:1b again"), "{next}");
    let mut other = bytes(1000);
    other[500] ^= 1;
    std::fs::write(place.model().join("model.gguf"), &other).unwrap();
    let outcome = doctor(&place, &["--json", "--full"]);
    let (found, _) = finding(&outcome, "model", "wrong");
    assert!(found.contains("sha-256 differs"), "{found}");
    std::fs::write(place.model().join("model.gguf"), b"short").unwrap();
    let outcome = doctor(&place, &["--json"]);
    let (found, _) = finding(&outcome, "model", "wrong");
    assert!(found.contains("found 5 bytes, expected 1000"), "{found}");
    let outcome = doctor(&place, &["--json", "--model", "nihil"]);
    outcome.fails(1, "wrong: ");
}

#[test]
fn what_is_wrong_with_the_rest_is_found() {
    let place = Place::new();
    place.catalogue(1000, &sha256(b""), SOURCE);
    // Settings; what depends on them is not guessed.
    let outcome = doctor(&place, &["--json", "--set", "queue_len=0"]);
    outcome.fails(1, "wrong: 1;");
    let (found, next) = finding(&outcome, "settings", "wrong");
    assert!(found.contains("queue_len: found 0"), "{found}");
    assert!(!next.is_empty() && !outcome.stdout.contains("\"tls\""));
    // A port that is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = place.run(&["doctor", "--json", "--listen", &address]);
    outcome.fails(1, "wrong: 1;");
    let (found, next) = finding(&outcome, "address", "wrong");
    assert!(found.contains(&address), "{found}");
    assert!(next.contains("--listen"), "{next}");
    // An address for all, without a key, and then with one but without TLS.
    let open = ["doctor", "--json", "--listen", "0.0.0.0:0"];
    let outcome = place.run(&open);
    outcome.succeeds();
    let (_, next) = finding(&outcome, "keys", "warning");
    assert!(next.contains("terang key create"), "{next}");
    place.run(&["key", "create", "phone"]).succeeds();
    let outcome = place.run(&open);
    outcome.succeeds();
    finding(&outcome, "keys", "ok");
    let (_, next) = finding(&outcome, "tls", "warning");
    assert!(next.contains("tls_cert"), "{next}");
    let outcome = doctor(&place, &["--json", "--tls-cert", "nothing.pem"]);
    let (found, _) = finding(&outcome, "tls", "wrong");
    assert!(found.contains("tls_key is not"), "{found}");
    // Damaged keys, and some that everybody reads.
    std::fs::write(place.data().join("keys.json"), "[]").unwrap();
    let outcome = doctor(&place, &["--json"]);
    finding(&outcome, "keys", "wrong");
    let mut command = place.terang();
    command.env("TERANG_CPU", "abacus");
    let outcome: Outcome = command.args(["doctor", "--json"]).output().unwrap().into();
    let (found, _) = finding(&outcome, "cpu", "wrong");
    assert!(found.contains("abacus"), "{found}");
    // The data folder's place is taken by a file.
    std::fs::write(place.path("file"), "").unwrap();
    let file = place.path("file").display().to_string();
    let outcome = doctor(&place, &["--json", "--data-dir", &file]);
    finding(&outcome, "data_folder", "wrong");
}

#[cfg(unix)]
#[test]
fn keys_that_others_can_read_are_told() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    place.catalogue(1000, &sha256(b""), SOURCE);
    place.run(&["key", "create", "phone"]).succeeds();
    let keys = place.data().join("keys.json");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let outcome = doctor(&place, &["--json"]);
    outcome.succeeds();
    let (_, next) = finding(&outcome, "keys", "warning");
    assert!(next.starts_with("run chmod 600 "), "{next}");
}

#[test]
fn lines_speak_the_persons_language() {
    let place = Place::new();
    place.catalogue(1000, &sha256(b""), SOURCE);
    let outcome = doctor(&place, &["--lang", "id"]);
    outcome.succeeds();
    assert!(
        outcome.stdout.contains("baik: pengaturan: sah"),
        "{}",
        outcome.stdout
    );
    let outcome = doctor(&place, &["--lang", "id", "--set", "max_n=0"]);
    outcome.fails(1, "salah: 1;");
    let english = doctor(&place, &[]);
    for line in english.stdout.lines() {
        let (state, _) = line.split_once(": ").unwrap();
        assert!(["ok", "warning", "wrong"].contains(&state), "{line}");
        // Whoever is warned is told what to do.
        assert!(state == "ok" || line.contains("; "), "{line}");
    }
    doctor(&place, &["--set", "nothing"]).fails(2, "NAME=VALUE");
}
