//! Calls: asked for, allowed, denied, stopped, and what came back.

use serde_json::{Value, json};

use super::{Bench, ask, decide, place, settings, until};
use crate::serve::web::survival::postgres;
use crate::serve::web::{Site, events};

#[test]
fn a_call_waits_for_its_person_and_the_model_goes_on_with_its_result() {
    let Some(bench) = Bench::start() else { return };
    allowed_once(&bench);
}

#[test]
fn calls_and_consents_are_kept_in_postgresql_too() {
    let Some(cluster) = postgres::cluster() else {
        return;
    };
    let mut site = Site::single();
    site.database = Some(cluster.database());
    let Some(bench) = Bench::at(site) else { return };
    allowed_once(&bench);
    let answer = bench.ask("p1", "add");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "chat");
    bench.end(&answer);
    let answer = bench.ask("p2", "add");
    assert_eq!(bench.end(&answer)["tool_calls"][0]["state"], "done");
}

fn allowed_once(bench: &Bench) {
    let answer = bench.ask("q1", "add");
    let call = bench.until(&answer, "waiting");
    assert_eq!(
        (&call["tool"], &call["server"]),
        (&json!("add"), &json!("test"))
    );
    let arguments: Value = serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap();
    let sum = arguments["a"].as_i64().unwrap() + arguments["b"].as_i64().unwrap();
    // That the tool says of itself that it changes nothing makes no difference.
    assert!(!bench.called("add"), "{:?}", bench.did());
    bench.decide(&answer, &call, "once");
    let done = bench.end(&answer);
    let calls = done["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["state"], "done", "{done}");
    assert_eq!(calls[0]["result"], format!("The sum is {sum}."));
    assert!(bench.called("add"));
    assert!(
        matches!(done["status"].as_str(), Some("done" | "stopped")),
        "{done}"
    );
    assert!(!done["content"].as_str().unwrap().is_empty(), "{done}");
    // Decided once; and another answer's place does not lead to it.
    let again = place(&bench.chat, &answer, &call);
    let body = json!({ "decision": "deny" });
    bench
        .me
        .send(&bench.server, "POST", &again, Some(&body))
        .fails(409, "decided");
    let elsewhere = place(&bench.chat, "q1", &call);
    bench
        .me
        .send(&bench.server, "POST", &elsewhere, Some(&body))
        .fails(404, "");
    let odd = json!({ "decision": "perhaps" });
    bench
        .me
        .send(&bench.server, "POST", &again, Some(&odd))
        .fails(400, "decision");
    // The stream tells the call as it is at each time, and again to who comes later.
    let path = format!("/api/chats/{}/messages/{answer}/stream", bench.chat);
    let later = events(&bench.me.send(&bench.server, "GET", &path, None).body);
    assert_eq!(later.last().unwrap().1["tool_calls"][0]["state"], "done");
}

#[test]
fn what_is_allowed_for_good_is_not_asked_again_and_can_be_taken_back() {
    let Some(bench) = Bench::start() else { return };
    let (server, me) = (&bench.server, &bench.me);
    let other = me.chat(server, settings(&bench.id));
    let add = Some((bench.id.as_str(), "add"));
    // Once is once.
    bench.whole("q1", "add");
    let answer = bench.ask("q2", "add");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "chat");
    bench.end(&answer);
    // In this chat it is called at once, in another it is asked; another tool is asked everywhere.
    let answer = bench.ask("q3", "add");
    assert_eq!(bench.end(&answer)["tool_calls"][0]["state"], "done");
    let answer = bench.ask("q4", "note");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "deny");
    bench.end(&answer);
    let answer = ask(server, me, &other, "q1", add);
    let call = until(server, me, &other, &answer, "waiting");
    decide(server, me, &other, &answer, &call, "always");
    me.follow(server, &other, &answer, 0);
    let third = me.chat(server, settings(&bench.id));
    let answer = ask(server, me, &third, "q1", add);
    let (_, done) = me.follow(server, &third, &answer, 0);
    assert_eq!(done["tool_calls"][0]["state"], "done", "{done}");
    let consents = me.get(server, "/api/consents")["consents"].clone();
    assert_eq!(consents.as_array().unwrap().len(), 2, "{consents}");
    for consent in consents.as_array().unwrap() {
        let path = format!("/api/consents/{}", consent["id"].as_str().unwrap());
        me.ok(server, "DELETE", &path, Value::Null);
    }
    let answer = bench.ask("q5", "add");
    bench.until(&answer, "waiting");
}

#[test]
fn a_call_that_is_denied_is_not_made_and_the_model_is_told() {
    let Some(bench) = Bench::start() else { return };
    let answer = bench.ask("q1", "note");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "deny");
    let done = bench.end(&answer);
    assert_eq!(done["tool_calls"][0]["state"], "denied");
    assert!(!bench.called("note"), "{:?}", bench.did());
    assert!(
        matches!(done["status"].as_str(), Some("done" | "stopped")),
        "{done}"
    );
}

/// The canary: a result that asks for another call, in every form that a model or this server could
/// take for one.
#[test]
fn what_a_result_says_calls_nothing() {
    let Some(bench) = Bench::start() else { return };
    let answer = bench.ask("q1", "poisoned");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "always");
    // Whether the model falls for it or not: what it then asks for waits.
    let begun = std::time::Instant::now();
    let message = loop {
        let message = bench.answer(&answer);
        let last = message["tool_calls"]
            .as_array()
            .unwrap()
            .last()
            .unwrap()
            .clone();
        if message["status"] != "streaming" || last["state"] == "waiting" && last["tool"] == "note"
        {
            break message;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{message}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(
        message["tool_calls"][0]["result"]
            .as_str()
            .unwrap()
            .contains("canary")
    );
    assert!(!bench.called("note"), "{:?}", bench.did());
    let stop = format!("/api/chats/{}/messages/{answer}/stop", bench.chat);
    bench.me.ok(&bench.server, "POST", &stop, Value::Null);
    bench.end(&answer);
    // One that does fall for it, by force: with the poison in its context it is made to call.
    let answer = bench.ask("q2", "note");
    bench.until(&answer, "waiting");
    assert!(!bench.called("note"), "{:?}", bench.did());
}

#[test]
fn stop_works_while_a_call_waits_and_while_it_runs() {
    let Some(bench) = Bench::start() else { return };
    let stop = |answer: &str| {
        let path = format!("/api/chats/{}/messages/{answer}/stop", bench.chat);
        bench.me.ok(&bench.server, "POST", &path, Value::Null);
        let done = bench.end(answer);
        assert_eq!(done["status"], "stopped", "{done}");
        assert_eq!(done["tool_calls"][0]["state"], "stopped", "{done}");
        let path = place(&bench.chat, answer, &done["tool_calls"][0]);
        let late = json!({ "decision": "once" });
        bench
            .me
            .send(&bench.server, "POST", &path, Some(&late))
            .fails(409, "");
    };
    let answer = bench.ask("q1", "slow");
    bench.until(&answer, "waiting");
    stop(&answer);
    assert!(!bench.called("slow"));
    let answer = bench.ask("q2", "slow");
    let call = bench.until(&answer, "waiting");
    bench.decide(&answer, &call, "once");
    bench.until(&answer, "running");
    let begun = std::time::Instant::now();
    while !bench.called("slow") {
        assert!(begun.elapsed() < super::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    stop(&answer);
    // The server of tools is told.
    while !bench.did().contains(&"slow was called off".to_owned()) {
        assert!(begun.elapsed() < super::PATIENCE, "{:?}", bench.did());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Deleting the question ends what waits below it too.
    let answer = bench.ask("q3", "add");
    bench.until(&answer, "waiting");
    let path = format!("/api/chats/{}/messages/q3", bench.chat);
    bench.me.ok(&bench.server, "DELETE", &path, Value::Null);
    assert!(!bench.called("add"));
}

#[test]
fn results_are_bounded_and_named_and_failures_are_told() {
    let Some(bench) = Bench::start() else { return };
    let result = |question: &str, tool: &str| {
        let done = bench.whole(question, tool);
        assert!(
            matches!(done["status"].as_str(), Some("done" | "stopped")),
            "{done}"
        );
        done["tool_calls"][0].clone()
    };
    let huge = result("q1", "huge");
    assert_eq!(huge["state"], "done");
    let text = huge["result"].as_str().unwrap();
    assert!(
        text.len() < 70_000 && text.contains("[cut: "),
        "{}",
        text.len()
    );
    let failed = result("q2", "fail");
    assert_eq!(
        (&failed["state"], &failed["result"]),
        (&json!("failed"), &json!("It cannot be done."))
    );
    let shown = result("q3", "show");
    assert_eq!(shown["detail"]["_meta"]["test/key"], "kept");
    assert_eq!(
        shown["detail"]["tool_meta"]["ui"]["resourceUri"],
        "ui://show/page"
    );
    assert_eq!(shown["detail"]["parts"][1]["uri"], "ui://show/page");
    assert!(
        shown["result"]
            .as_str()
            .unwrap()
            .contains("[image, image/png, 5 bytes: not shown]")
    );
    // Of the server's environment a program has what is named, which is nothing here.
    let environment = result("q4", "environment");
    assert_eq!(environment["result"], "MCP_TEST_FILE");
    // More than one message may hold: no answer comes, and it does not wait for ever.
    let change = json!({ "timeout_s": 3 });
    let path = format!("/api/admin/tools/{}", bench.id);
    bench.me.ok(&bench.server, "PATCH", &path, change);
    let flood = result("q5", "flood");
    assert_eq!(flood["state"], "failed", "{flood}");
    let slow = result("q6", "slow");
    assert!(slow["result"].as_str().unwrap().contains("3 s"), "{slow}");
}

#[test]
fn a_server_that_dies_is_started_again() {
    let Some(bench) = Bench::start() else { return };
    let died = bench.whole("q1", "die");
    assert_eq!(died["tool_calls"][0]["state"], "failed", "{died}");
    assert!(
        matches!(died["status"].as_str(), Some("done" | "stopped")),
        "{died}"
    );
    let begun = std::time::Instant::now();
    loop {
        let listed = bench.me.get(&bench.server, "/api/tools");
        let again = bench.did().iter().filter(|line| *line == "started").count() == 2;
        if again && listed["servers"][0]["error"].is_null() {
            break;
        }
        assert!(begun.elapsed() < super::PATIENCE, "{listed}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    assert_eq!(bench.whole("q2", "add")["tool_calls"][0]["state"], "done");
    let starts = bench.did().iter().filter(|line| *line == "started").count();
    assert_eq!(starts, 2);
    // What it says for the log is there, with its name and without its arguments.
    assert!(bench.server.log().contains("the test server speaks"));
}

#[test]
fn a_tool_that_is_not_there_is_refused_by_name() {
    let Some(bench) = Bench::start() else { return };
    let answer = bench.ask("q1", "nothing");
    let done = bench.end(&answer);
    assert_eq!(done["status"], "failed");
    assert!(
        done["error"].as_str().unwrap().contains("use_tool"),
        "{done}"
    );
    // Nor are tools offered in a chat that names none.
    let plain = bench
        .me
        .chat(&bench.server, json!({ "max_tokens": 8, "temperature": 0 }));
    let answer = ask(
        &bench.server,
        &bench.me,
        &plain,
        "q1",
        Some((&bench.id, "add")),
    );
    let (_, done) = bench.me.follow(&bench.server, &plain, &answer, 0);
    assert_eq!(done["status"], "failed");
    let answer = ask(&bench.server, &bench.me, &plain, "q2", None);
    let (_, done) = bench.me.follow(&bench.server, &plain, &answer, 0);
    assert_eq!(done["tool_calls"], json!([]));
}
