//! What happens when there is no room left, or no database for a while: it is said, nothing that was
//! acknowledged is lost, and all goes on by itself.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::survival::postgres;
use super::{Browser, Site};

/// A file system of its own, in memory, of a few mebibytes.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, loudly, for who may not mount.
    fn mount(folder: PathBuf, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(&folder).unwrap();
        let size = format!("size={mebibytes}m");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&folder)
            .output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder));
        }
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a full disk needs a file system that root mounts"
        );
        None
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all room that is left.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Asks in chats of their own until the server cannot keep a question: the questions that it took.
fn ask_until_refused(me: &Browser, server: &super::Server, most: usize) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    for number in 0..most {
        let made = me.send(server, "POST", "/api/chats", Some(&json!({})));
        if made.status != 200 {
            made.fails(503, "database");
            return kept;
        }
        let chat = made.json()["id"].as_str().unwrap().to_owned();
        let id = format!("full{number}");
        let question = json!({ "id": id, "parent_id": null, "content": "word ".repeat(200),
            "settings": { "max_tokens": 1 } });
        let path = format!("/api/chats/{chat}/messages");
        let asked = me.send(server, "POST", &path, Some(&question));
        if asked.status == 503 {
            asked.fails(503, "database");
            return kept;
        }
        if asked.status == 200 {
            kept.push((chat, id));
        }
    }
    panic!("{most} questions were kept and the disk is not full");
}

fn is_kept(me: &Browser, server: &super::Server, chat: &str, question: &str) {
    let found = me.get(server, &format!("/api/chats/{chat}"));
    assert_eq!(found["messages"][0]["id"], question, "{found}");
}

#[test]
fn a_full_disk_is_said_and_loses_nothing() {
    let mut site = Site::single();
    let Some(disk) = SmallDisk::mount(site.path("disk"), 16) else {
        return;
    };
    site.database = Some(format!("sqlite:{}", disk.0.join("terang.db").display()));
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 200 }));
    let question = json!({ "id": "q", "parent_id": null, "content": "Tell me a story." });
    let answer = me.ask(&server, &chat, question);
    disk.fill();
    let mut kept = ask_until_refused(&me, &server, 3000);
    kept.push((chat.clone(), "q".to_owned()));
    let file = me.raw(
        &server,
        "POST",
        "/api/attachments?name=a.md",
        &vec![b'a'; 1 << 20],
    );
    file.fails(503, "database");
    // What is there can be read all the while.
    for (chat, question) in &kept {
        is_kept(&me, &server, chat, question);
    }
    disk.clear();
    // The answer that was being made is whole in the end, and all works again.
    let (text, done) = me.follow(&server, &chat, &answer, 0);
    assert_eq!(done["content"], text.as_str());
    assert!(
        matches!(done["status"].as_str(), Some("done" | "stopped")),
        "{done}"
    );
    let after = me.chat(&server, json!({ "max_tokens": 1 }));
    let question = json!({ "id": "after", "parent_id": null, "content": "Hello" });
    me.ask(&server, &after, question);
    kept.push((after, "after".to_owned()));
    server.signal(Signal::KILL);
    server.wait();
    drop(server);
    let Some(server) = site.start() else { return };
    for (chat, question) in &kept {
        is_kept(&me, &server, chat, question);
    }
    let found = me.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(found["messages"][1]["content"], text.as_str());
}

#[test]
fn a_database_that_goes_and_comes_back_is_waited_for() {
    let Some(cluster) = postgres::own_cluster() else {
        return;
    };
    let mut site = Site::single();
    site.database = Some(cluster.database());
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let chat = me.chat(&server, json!({ "temperature": 0, "max_tokens": 200 }));
    let question = json!({ "id": "q", "parent_id": null, "content": "Tell me a story." });
    let answer = me.ask(&server, &chat, question);
    cluster.stop();
    let begun = Instant::now();
    let made = me.send(&server, "POST", "/api/chats", Some(&json!({})));
    made.fails(503, "database");
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    // What needs no database goes on.
    let body = json!({ "model": crate::real::MODEL, "prompt": "Hello", "max_tokens": 1 });
    let completed = me.send(&server, "POST", "/v1/completions", Some(&body));
    assert_eq!(completed.status, 200, "{}", completed.body);
    assert_eq!(server.get("/health/live").status, 200);
    cluster.start_again();
    let (text, done) = me.follow(&server, &chat, &answer, 0);
    assert_eq!(done["content"], text.as_str());
    let kept = me.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(kept["messages"][0]["id"], "q");
    assert_eq!(kept["messages"][1]["content"], text.as_str());
    assert_ne!(kept["messages"][1]["status"], Value::from("streaming"));
}
