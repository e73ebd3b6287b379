//! What is left of a call when the server ends, by force or in order.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Bench, did, message};

#[test]
fn a_call_that_waited_or_ran_when_the_server_died_is_cut_and_not_made() {
    let Some(bench) = Bench::start() else { return };
    let waiting = bench.ask("q1", "note");
    bench.until(&waiting, "waiting");
    let Bench {
        site,
        server,
        me,
        id,
        chat,
    } = bench;
    server.signal(Signal::KILL);
    server.wait();
    drop(server);
    let Some(server) = site.start() else { return };
    let found = message(&server, &me, &chat, &waiting);
    assert_eq!(found["status"], "cut", "{found}");
    assert_eq!(found["tool_calls"][0]["state"], "cut", "{found}");
    let path = super::place(&chat, &waiting, &found["tool_calls"][0]);
    let late = json!({ "decision": "once" });
    me.send(&server, "POST", &path, Some(&late)).fails(409, "");
    assert!(!did(&site).iter().any(|line| line.starts_with("note")));
    // It can be gone on with: the model is told that there was no result.
    let on = format!("/api/chats/{chat}/messages/{waiting}/continue");
    let again = me.ok(&server, "POST", &on, Value::Null);
    assert_eq!(again["answer"]["tool_calls"][0]["state"], "cut");
    let stop = format!("/api/chats/{chat}/messages/{waiting}/stop");
    let begun = Instant::now();
    // Should it call again, that waits too.
    while message(&server, &me, &chat, &waiting)["status"] == "streaming"
        && begun.elapsed() < super::PATIENCE
    {
        let calls = message(&server, &me, &chat, &waiting)["tool_calls"].clone();
        if calls
            .as_array()
            .unwrap()
            .iter()
            .any(|call| call["state"] == "waiting")
        {
            me.ok(&server, "POST", &stop, Value::Null);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let running = super::ask(&server, &me, &chat, "q2", Some((&id, "slow")));
    let call = super::until(&server, &me, &chat, &running, "waiting");
    super::decide(&server, &me, &chat, &running, &call, "once");
    super::until(&server, &me, &chat, &running, "running");
    server.signal(Signal::KILL);
    server.wait();
    drop(server);
    let Some(server) = site.start() else { return };
    let found = message(&server, &me, &chat, &running);
    assert_eq!(found["tool_calls"][0]["state"], "cut", "{found}");
}

#[test]
fn a_server_that_is_told_to_end_waits_for_no_decision() {
    let Some(bench) = Bench::start() else { return };
    let answer = bench.ask("q1", "add");
    bench.until(&answer, "waiting");
    let begun = Instant::now();
    let Bench {
        site,
        server,
        me,
        chat,
        ..
    } = bench;
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0), "{}", server.log());
    assert!(begun.elapsed().as_secs() < 25, "{:?}", begun.elapsed());
    drop(server);
    let Some(server) = site.start() else { return };
    let found = message(&server, &me, &chat, &answer);
    assert_eq!(
        (&found["status"], &found["tool_calls"][0]["state"]),
        (&json!("cut"), &json!("cut"))
    );
}
