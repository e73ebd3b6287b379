//! What outlasts a server that dies, one that is told to end, and a copy of its data.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Browser, Site};

#[path = "../../../../../store/tests/it/postgres.rs"]
mod postgres;

/// Kills at different moments of this many answers.
const DEATHS: u64 = 6;

#[test]
fn a_killed_server_loses_no_message_and_keeps_a_beginning_of_each_answer() {
    killed(&Site::single());
}

#[test]
fn a_killed_server_loses_nothing_in_postgresql_either() {
    let Some(cluster) = postgres::cluster() else {
        return;
    };
    let mut site = Site::single();
    site.database = Some(cluster.database());
    killed(&site);
}

fn killed(site: &Site) {
    let me = Browser::default();
    // (chat, question's identity, answer's identity, text that was seen)
    let mut told: Vec<(String, String, String, String)> = Vec::new();
    let mut whole = None;
    for death in 0..DEATHS {
        let Some(server) = site.start() else { return };
        if whole.is_none() {
            let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 400 }));
            let question = json!({ "id": "q", "parent_id": null, "content": "Tell me a story." });
            let answer = me.ask(&server, &chat, question);
            whole = Some(me.follow(&server, &chat, &answer, 0).0);
        }
        let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 400 }));
        let id = format!("q{death}");
        let question = json!({ "id": id, "parent_id": null, "content": "Tell me a story." });
        let answer = me.ask(&server, &chat, question);
        std::thread::sleep(Duration::from_millis(37 + 211 * death));
        let path = format!("/api/chats/{chat}");
        let seen = me.get(&server, &path)["messages"][1]["content"].clone();
        server.signal(Signal::KILL);
        server.wait();
        told.push((chat, id, answer, seen.as_str().unwrap().to_owned()));
    }
    let whole = whole.unwrap();
    let Some(server) = site.start() else { return };
    for (chat, question, answer, seen) in told {
        let found = me.get(&server, &format!("/api/chats/{chat}"));
        let messages = found["messages"].as_array().unwrap();
        assert_eq!(messages.len(), 2, "{found}");
        assert_eq!(messages[0]["id"], question.as_str());
        assert_eq!(messages[0]["content"], "Tell me a story.");
        assert_eq!(messages[1]["id"], answer.as_str());
        // In a shared database a death is noticed only after a while.
        if site.database.is_none() {
            assert!(matches!(
                messages[1]["status"].as_str(),
                Some("cut" | "done" | "stopped")
            ));
        }
        let kept = messages[1]["content"].as_str().unwrap();
        assert!(
            whole.starts_with(kept),
            "{kept:?} is no beginning of {whole:?}"
        );
        // What a reader of the database has seen is not taken back.
        assert!(kept.len() >= seen.len(), "{kept:?} {seen:?}");
    }
}

#[test]
fn one_that_is_told_to_end_finishes_its_answers() {
    let mut site = Site::single();
    // A busy machine takes its time.
    site.flags = vec!["--set", "drain_timeout_s=120"];
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 16 }));
    let question = json!({ "id": "q", "parent_id": null, "content": "Tell me a story." });
    me.ask(&server, &chat, question);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    drop(server);
    let Some(server) = site.start() else { return };
    let found = me.get(&server, &format!("/api/chats/{chat}"));
    let answer = &found["messages"][1];
    assert!(
        matches!(answer["status"].as_str(), Some("done" | "stopped")),
        "{answer}"
    );
    assert!(
        answer["usage"]["completion_tokens"].as_i64().unwrap() > 1,
        "{answer}"
    );
}

#[test]
fn a_backup_of_a_running_server_is_restored() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let kept = me.ok(&server, "POST", "/api/chats", json!({ "title": "kept" }));
    let copy = site.path("copy.db");
    let file = copy.to_str().unwrap();
    site.terang(&["backup", file]).succeeds();
    site.terang(&["backup", file]).fails(1, "exists");
    let later = me.ok(&server, "POST", "/api/chats", json!({ "title": "later" }));
    site.terang(&["restore", file]).fails(1, "in use");
    server.signal(Signal::TERM);
    server.wait();
    let nonsense = site.path("nonsense");
    std::fs::write(&nonsense, "nonsense").unwrap();
    site.terang(&["restore", nonsense.to_str().unwrap()])
        .fails(1, "nonsense");
    site.terang(&["restore", file]).succeeds();
    let Some(server) = site.start() else { return };
    let path = |chat: &Value| format!("/api/chats/{}", chat["id"].as_str().unwrap());
    assert_eq!(me.get(&server, &path(&kept))["chat"]["title"], "kept");
    me.send(&server, "GET", &path(&later), None).fails(404, "");
}
