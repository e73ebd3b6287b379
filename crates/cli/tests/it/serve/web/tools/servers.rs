//! Setting up servers of tools: who may, where they may be, and what is kept secret.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Bench, add_program, ask, decide, mcp_server, place, settings, until};
use crate::serve::web::{Browser, Server, Site, member, owner};

/// The server of tools over HTTP; it ends with the value.
struct Http(Child, String);

impl Http {
    fn start(arguments: &[&str], did: &std::path::Path) -> Self {
        let mut command = Command::new(mcp_server());
        command.args(["--http", "127.0.0.1:0"]).args(arguments);
        command.env("MCP_TEST_FILE", did).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self(child, line.trim().to_owned())
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn add(server: &Server, who: &Browser, new: Value) -> Value {
    who.ok(server, "POST", "/api/admin/tools", new)
}

fn test(server: &Server, who: &Browser, made: &Value) -> Value {
    let path = format!("/api/admin/tools/{}/test", made["id"].as_str().unwrap());
    who.ok(server, "POST", &path, Value::Null)
}

#[test]
fn servers_of_the_network_are_called_with_their_token_which_nobody_sees_again() {
    const TOKEN: &str = "cloudberry-token-0123456789";
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    for (name, mode) in [("events", None), ("plain", Some("--json"))] {
        let mut arguments = vec!["--token", TOKEN];
        arguments.extend(mode);
        let http = Http::start(&arguments, &site.path("did"));
        let new = json!({
            "name": name, "kind": "http", "url": http.1, "token": TOKEN, "allow_private": true
        });
        let made = add(&server, &me, new);
        assert_eq!(made["has_token"], true);
        let found = test(&server, &me, &made);
        assert_eq!(found["error"], Value::Null, "{found}");
        assert_eq!(found["tools"][0]["name"], "add");
        assert_eq!(found["tools"][0]["read_only"], true);
        let id = made["id"].as_str().unwrap();
        let chat = me.chat(&server, settings(id));
        let answer = ask(&server, &me, &chat, "q1", Some((id, "add")));
        let call = until(&server, &me, &chat, &answer, "waiting");
        decide(&server, &me, &chat, &answer, &call, "once");
        let (_, done) = me.follow(&server, &chat, &answer, 0);
        assert_eq!(done["tool_calls"][0]["state"], "done", "{name}: {done}");
        // Another host does not get the token, and a token that is wrong is said to be.
        let path = format!("/api/admin/tools/{id}");
        let moved = json!({ "url": "http://127.0.0.2:1/mcp" });
        let changed = me.ok(&server, "PATCH", &path, moved);
        assert_eq!(changed["has_token"], false);
        let back = json!({ "url": http.1, "token": "wrong" });
        me.ok(&server, "PATCH", &path, back);
        let found = test(&server, &me, &made);
        assert!(
            found["error"].as_str().unwrap().contains("token"),
            "{found}"
        );
        // It goes away in the middle.
        me.ok(&server, "PATCH", &path, json!({ "token": TOKEN }));
        let answer = ask(&server, &me, &chat, "q2", Some((id, "slow")));
        let call = until(&server, &me, &chat, &answer, "waiting");
        decide(&server, &me, &chat, &answer, &call, "once");
        until(&server, &me, &chat, &answer, "running");
        drop(http);
        let (_, done) = me.follow(&server, &chat, &answer, 0);
        assert_eq!(done["tool_calls"][0]["state"], "failed", "{done}");
    }
    let list = me.send(&server, "GET", "/api/admin/tools", None).body;
    let audit = me.send(&server, "GET", "/api/admin/audit", None).body;
    for told in [list, audit, server.log()] {
        assert!(!told.contains("cloudberry"), "{told}");
    }
}

/// Every spelling of this machine and its network, through the whole server: nobody is connected to.
#[test]
fn no_address_of_this_machine_is_reached_unless_the_owner_allowed_it() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    trap.set_nonblocking(true).unwrap();
    for (number, host) in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "0.0.0.0",
        "10.0.0.1",
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("https://{host}:{port}/mcp");
        let made = add(
            &server,
            &me,
            json!({ "name": format!("s{number}"), "kind": "http", "url": url }),
        );
        let found = test(&server, &me, &made);
        let error = found["error"].as_str().unwrap();
        assert!(
            error.contains("this machine") || error.contains("cannot be found"),
            "{host}: {error}"
        );
    }
    assert!(trap.accept().is_err(), "somebody was connected to");
    // What tells a cloud machine's secrets is not reached even so.
    let cloud = json!({
        "name": "cloud", "kind": "http", "url": "http://169.254.169.254/", "allow_private": true
    });
    let found = test(&server, &me, &add(&server, &me, cloud));
    assert!(
        found["error"].as_str().unwrap().contains("this machine"),
        "{found}"
    );
    for (url, part) in [
        ("http://example.org/mcp", "https"),
        ("https://user:secret@example.org/", "password"),
        ("https://example.org\\@127.0.0.1/", "backslash"),
        ("file:///etc/passwd", "http"),
        ("https://exa mple.org/", "blanks"),
    ] {
        let new = json!({ "name": "odd", "kind": "http", "url": url });
        me.send(&server, "POST", "/api/admin/tools", Some(&new))
            .fails(400, part);
    }
    // A redirect is not followed: the other place sees nobody.
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let open = format!("http://{}/mcp", door.local_addr().unwrap());
    let leads = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n"
    );
    let redirecting = std::thread::spawn(move || {
        let (mut stream, _) = door.accept().unwrap();
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        stream.write_all(leads.as_bytes()).unwrap();
    });
    let new = json!({ "name": "door", "kind": "http", "url": open, "allow_private": true });
    let found = test(&server, &me, &add(&server, &me, new));
    assert!(
        found["error"].as_str().unwrap().contains("another address"),
        "{found}"
    );
    redirecting.join().unwrap();
    assert!(trap.accept().is_err(), "a redirect was followed");
}

#[test]
fn what_answers_nonsense_or_without_end_is_told() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let endless = |head: &'static str, piece: &'static str| {
        let door = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", door.local_addr().unwrap());
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = door.accept() {
                let mut bytes = [0; 4096];
                let _ = stream.read(&mut bytes);
                let _ = stream.write_all(head.as_bytes());
                let block = piece.repeat(1 << 12);
                while stream.write_all(block.as_bytes()).is_ok() {}
            }
        });
        url
    };
    for (name, url) in [
        (
            "json",
            endless(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n",
                "[[[[[[[[",
            ),
        ),
        (
            "events",
            endless(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n",
                "data: x",
            ),
        ),
        ("head", endless("HTTP/1.1 200 OK\r\n", "X-Y: aaaaaaaa\r\n")),
        ("noise", endless("nonsense", "nonsense")),
        (
            "html",
            endless(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
                "<html>",
            ),
        ),
    ] {
        let new = json!({ "name": name, "kind": "http", "url": url, "allow_private": true });
        let found = test(&server, &me, &add(&server, &me, new));
        assert!(found["error"].is_string(), "{name}: {found}");
        assert_eq!(found["tools"], json!([]));
    }
    for (name, command) in [
        ("none", "/nowhere/program"),
        ("false", "false"),
        ("cat", "cat"),
        ("yes", "yes"),
    ] {
        let new = json!({ "name": name, "kind": "stdio", "command": command, "inherit": ["PATH"] });
        let made = add(&server, &me, new);
        if name == "yes" || name == "cat" {
            // They never say anything that is MCP: it ends by its deadline, which is long.
            continue;
        }
        let found = test(&server, &me, &made);
        let error = found["error"].as_str().unwrap();
        assert!(!error.contains("/nowhere"), "{error}");
    }
    assert_eq!(server.get("/health/live").status, 200);
}

#[test]
fn who_may_set_up_what() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let boss = owner(&server);
    let admin = member(&server, &boss, "adam", "admin");
    let ann = member(&server, &boss, "ann", "member");
    let program = json!({ "name": "p", "kind": "stdio", "command": "true" });
    let local =
        json!({ "name": "l", "kind": "http", "url": "http://127.0.0.1/", "allow_private": true });
    let remote = json!({ "name": "r", "kind": "http", "url": "https://example.org/mcp" });
    let post =
        |who: &Browser, body: &Value| who.send(&server, "POST", "/api/admin/tools", Some(body));
    for body in [&program, &local, &remote] {
        post(&ann, body).fails(403, "");
    }
    // With accounts, programs are nobody's to set up unless the settings say so.
    post(&boss, &program).fails(403, "tool_commands");
    post(&admin, &program).fails(403, "owner");
    post(&admin, &local).fails(403, "owner");
    let made = post(&admin, &remote).json();
    let path = format!("/api/admin/tools/{}", made["id"].as_str().unwrap());
    let opened = json!({ "allow_private": true });
    admin
        .send(&server, "PATCH", &path, Some(&opened))
        .fails(403, "owner");
    boss.ok(&server, "PATCH", &path, opened);
    // What the owner opened an admin can close, and not open or lead elsewhere.
    let elsewhere = json!({ "url": "http://127.0.0.1:1/" });
    admin
        .send(&server, "PATCH", &path, Some(&elsewhere))
        .fails(403, "owner");
    admin.ok(&server, "PATCH", &path, json!({ "enabled": false }));
    admin
        .send(&server, "PATCH", &path, Some(&json!({ "enabled": true })))
        .fails(403, "owner");
    // Fields of the other kind, and kinds that change, are refused by name.
    for (body, part) in [
        (json!({ "command": "sh" }), "command"),
        (json!({ "env": { "A": "b" } }), "env"),
        (json!({ "kind": "stdio", "command": "sh" }), "kind"),
        (json!({ "stdio": { "command": "sh" } }), "stdio"),
        (json!({ "name": "" }), "name"),
        (json!({ "timeout_s": 0 }), "timeout_s"),
        (json!({ "token": "a\r\nb" }), "token"),
    ] {
        boss.send(&server, "PATCH", &path, Some(&body))
            .fails(400, part);
    }
    // No request of somebody who chats starts or reaches anything.
    for settings in [
        json!({ "tools": [{ "command": "sh" }] }),
        json!({ "tools": ["../x"] }),
        json!({ "tools": ["sh -c id"] }),
        json!({ "mcp": { "command": "sh" } }),
    ] {
        let body = json!({ "settings": settings });
        ann.send(&server, "POST", "/api/chats", Some(&body))
            .fails(400, "");
    }
    drop(server);
    let mut site = site;
    site.flags.extend(["--set", "tool_commands=true"]);
    let Some(server) = site.start() else { return };
    admin
        .send(&server, "POST", "/api/admin/tools", Some(&program))
        .fails(403, "owner");
    boss.ok(&server, "POST", "/api/admin/tools", program);
}

#[test]
fn another_can_neither_see_nor_decide_a_call() {
    let mut site = Site::accounts();
    site.flags.extend(["--set", "tool_commands=true"]);
    let Some(server) = site.start() else { return };
    let boss = owner(&server);
    let ann = member(&server, &boss, "ann", "member");
    let eve = member(&server, &boss, "eve", "member");
    let id = add_program(&site, &server, &boss);
    let chat = ann.chat(&server, settings(&id));
    let answer = ask(&server, &ann, &chat, "q1", Some((&id, "add")));
    let call = until(&server, &ann, &chat, &answer, "waiting");
    let own = eve.chat(&server, settings(&id));
    for who in [&eve, &boss] {
        for decision in ["once", "chat", "always", "deny"] {
            for chat in [&chat, &own] {
                let path = place(chat, &answer, &call);
                let body = json!({ "decision": decision });
                who.send(&server, "POST", &path, Some(&body)).fails(404, "");
            }
        }
        assert_eq!(who.get(&server, "/api/consents")["consents"], json!([]));
    }
    assert_eq!(
        super::message(&server, &ann, &chat, &answer)["tool_calls"][0]["state"],
        "waiting"
    );
    decide(&server, &ann, &chat, &answer, &call, "always");
    ann.follow(&server, &chat, &answer, 0);
    // What ann allowed is not allowed by eve, and not eve's to take back.
    let consents = ann.get(&server, "/api/consents");
    let path = format!(
        "/api/consents/{}",
        consents["consents"][0]["id"].as_str().unwrap()
    );
    eve.send(&server, "DELETE", &path, None).fails(404, "");
    let answer = ask(&server, &eve, &own, "q1", Some((&id, "add")));
    until(&server, &eve, &own, &answer, "waiting");
    // Taken away, its tools are gone for everybody, and what was called stays.
    boss.ok(
        &server,
        "DELETE",
        &format!("/api/admin/tools/{id}"),
        Value::Null,
    );
    assert_eq!(ann.get(&server, "/api/tools")["servers"], json!([]));
    assert_eq!(ann.get(&server, "/api/consents")["consents"], json!([]));
    let whole = ann.get(&server, &format!("/api/chats/{chat}"));
    assert_eq!(whole["messages"][1]["tool_calls"][0]["state"], "done");
}

#[test]
fn a_tool_server_can_be_switched_off() {
    let Some(bench) = Bench::start() else { return };
    let path = format!("/api/admin/tools/{}", bench.id);
    let listed = bench.me.get(&bench.server, "/api/tools");
    assert_eq!(listed["servers"][0]["tools"][0]["name"], "add", "{listed}");
    bench
        .me
        .ok(&bench.server, "PATCH", &path, json!({ "enabled": false }));
    assert_eq!(
        bench.me.get(&bench.server, "/api/tools")["servers"],
        json!([])
    );
    let answer = bench.ask("q1", "add");
    assert_eq!(bench.end(&answer)["status"], "failed");
    bench
        .me
        .ok(&bench.server, "PATCH", &path, json!({ "enabled": true }));
    assert_eq!(bench.whole("q2", "add")["tool_calls"][0]["state"], "done");
}

/// People take their time: what they then allow is what they were asked about, or nothing.
#[test]
fn a_server_that_was_set_up_anew_or_removed_meanwhile_is_not_called() {
    let Some(bench) = Bench::start() else { return };
    let path = format!("/api/admin/tools/{}", bench.id);
    let refused = |answer: &str, why: &str| {
        let call = bench.until(answer, "waiting");
        bench.decide(answer, &call, "once");
        let done = bench.end(answer);
        let call = &done["tool_calls"][0];
        assert_eq!(call["state"], "failed", "{done}");
        assert!(call["result"].as_str().unwrap().contains(why), "{done}");
        assert!(!bench.called("note"), "{:?}", bench.did());
    };
    let answer = bench.ask("q1", "note");
    bench.until(&answer, "waiting");
    let elsewhere = json!({ "args": ["--elsewhere"] });
    bench.me.ok(&bench.server, "PATCH", &path, elsewhere);
    refused(&answer, "set up anew");
    let answer = bench.ask("q2", "note");
    bench.until(&answer, "waiting");
    let off = json!({ "enabled": false });
    bench.me.ok(&bench.server, "PATCH", &path, off);
    refused(&answer, "switched off");
    bench
        .me
        .ok(&bench.server, "PATCH", &path, json!({ "enabled": true }));
    let answer = bench.ask("q3", "note");
    bench.until(&answer, "waiting");
    bench.me.ok(&bench.server, "DELETE", &path, Value::Null);
    let starts = bench.did().len();
    refused(&answer, "removed");
    assert_eq!(bench.did().len(), starts, "it was started again");
}

/// Whoever writes the settings' file runs the machine: what stands there needs nobody's leave, and
/// nobody changes it from the app.
#[test]
fn servers_of_the_settings_file_are_there_as_it_says() {
    let site = Site::accounts();
    let file = site.path("data").join("terang.toml");
    let write = |text: &str| {
        std::fs::create_dir_all(site.path("data")).unwrap();
        std::fs::write(&file, text).unwrap();
    };
    write(&format!(
        "[tool_servers.filed]\ncommand = {:?}\nenv = {{ MCP_TEST_FILE = {:?} }}\n",
        mcp_server(),
        site.path("did")
    ));
    let Some(server) = site.start() else { return };
    let boss = owner(&server);
    let ann = member(&server, &boss, "ann", "member");
    let listed = boss.get(&server, "/api/admin/tools");
    assert_eq!(listed["may_run_programs"], false);
    let filed = &listed["servers"][0];
    assert_eq!(
        (&filed["name"], &filed["given"]),
        (&json!("filed"), &json!(true))
    );
    let id = filed["id"].as_str().unwrap().to_owned();
    let path = format!("/api/admin/tools/{id}");
    for change in [
        json!({ "args": ["x"] }),
        json!({ "name": "y" }),
        json!({ "env": {} }),
    ] {
        boss.send(&server, "PATCH", &path, Some(&change))
            .fails(409, "settings' file");
    }
    boss.send(&server, "DELETE", &path, None)
        .fails(409, "settings' file");
    for enabled in [false, true] {
        boss.ok(&server, "PATCH", &path, json!({ "enabled": enabled }));
    }
    let chat = ann.chat(&server, settings(&id));
    let answer = ask(&server, &ann, &chat, "q1", Some((&id, "add")));
    let call = until(&server, &ann, &chat, &answer, "waiting");
    decide(&server, &ann, &chat, &answer, &call, "always");
    let (_, done) = ann.follow(&server, &chat, &answer, 0);
    assert_eq!(done["tool_calls"][0]["state"], "done", "{done}");
    // The same file again: what was allowed holds. Without it the server is gone.
    drop(server);
    let Some(server) = site.start() else { return };
    let answer = ask(&server, &ann, &chat, "q2", Some((&id, "add")));
    let (_, done) = ann.follow(&server, &chat, &answer, 0);
    assert_eq!(done["tool_calls"][0]["state"], "done", "{done}");
    drop(server);
    write("");
    let Some(server) = site.start() else { return };
    assert_eq!(ann.get(&server, "/api/tools")["servers"], json!([]));
    drop(server);
    write("[tool_servers.bad]\ncommand = \"a\"\nurl = \"https://b.example\"\n");
    let refused = site.terang(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(
        refused.stderr.contains("tool_servers.bad"),
        "{}",
        refused.stderr
    );
}
