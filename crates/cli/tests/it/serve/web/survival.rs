//! What outlasts a server that dies, one that is told to end, and a copy of its data.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Browser, Site};
use crate::serve::Server;

#[path = "../../../../../store/tests/it/postgres.rs"]
pub(super) mod postgres;

/// Answers that stream when a server is killed.
const ANSWERS: u64 = 8;

/// How often it is killed: `TERANG_DEATHS=25` makes 200 answers of it.
fn deaths() -> u64 {
    std::env::var("TERANG_DEATHS").map_or(2, |deaths| deaths.parse().unwrap())
}

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
    let settings = json!({ "temperature": 0, "max_tokens": 400 });
    let ask = |server: &Server, id: &str| {
        let chat = me.chat(server, settings.clone());
        let question = json!({ "id": id, "parent_id": null, "content": "Tell me a story." });
        let answer = me.ask(server, &chat, question);
        (chat, answer)
    };
    // (chat, question's identity, answer's identity, text that was seen)
    let mut told: Vec<(String, String, String, String)> = Vec::new();
    let mut whole = None;
    let mut moments = Moments(std::process::id());
    for death in 0..deaths() {
        let Some(server) = site.start() else { return };
        if whole.is_none() {
            let (chat, answer) = ask(&server, "q");
            whole = Some(me.follow(&server, &chat, &answer, 0).0);
        }
        let asked: Vec<_> = (0..ANSWERS)
            .map(|number| {
                let id = format!("q{death}-{number}");
                std::thread::sleep(moments.up_to_ms(60));
                let (chat, answer) = ask(&server, &id);
                (chat, id, answer)
            })
            .collect();
        std::thread::sleep(moments.up_to_ms(2500));
        told.extend(asked.into_iter().map(|(chat, id, answer)| {
            let found = me.get(&server, &format!("/api/chats/{chat}"));
            let seen = found["messages"][1]["content"].as_str().unwrap().to_owned();
            (chat, id, answer, seen)
        }));
        std::thread::sleep(moments.up_to_ms(20));
        server.signal(Signal::KILL);
        server.wait();
    }
    let whole = whole.unwrap();
    let Some(server) = site.start() else { return };
    let mut cut = 0;
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
        cut += u64::from(kept.len() < whole.len());
    }
    let answers = ANSWERS * deaths();
    eprintln!(
        "{answers} answers, {cut} of them cut short, seed {}",
        std::process::id()
    );
}

/// Moments that differ from run to run (xorshift).
struct Moments(u32);

impl Moments {
    fn up_to_ms(&mut self, most: u32) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        Duration::from_millis(u64::from(self.0 % (most + 1)))
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
