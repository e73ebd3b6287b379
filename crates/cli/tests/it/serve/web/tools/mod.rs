//! Tools: servers of tools that are set up, calls that people allow or not, and what others try. The
//! server of tools is a real one (`examples/mcp_server.rs`), over both transports.

mod calls;
mod servers;
mod survival;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Browser, Server, Site};

pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// The server of tools. Tests of everything have built it; for a test alone it is built here.
fn mcp_server() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let mut path = std::env::current_exe().unwrap();
        path.pop();
        path.pop();
        path.push("examples/mcp_server");
        if !path.exists() {
            let mut cargo = Command::new(env!("CARGO"));
            cargo.args(["build", "-p", "terang-cli", "--example", "mcp_server"]);
            assert!(cargo.status().unwrap().success());
        }
        path
    });
    built.clone()
}

/// A server with tools, and a chat that may use them.
struct Bench {
    site: Site,
    server: Server,
    me: Browser,
    /// The server of tools.
    id: String,
    chat: String,
}

impl Bench {
    /// For one person, with the program as server of tools.
    fn start() -> Option<Self> {
        Self::at(Site::single())
    }

    fn at(site: Site) -> Option<Self> {
        let server = site.start()?;
        let me = Browser::default();
        let id = add_program(&site, &server, &me);
        let chat = me.chat(&server, settings(&id));
        Some(Self {
            site,
            server,
            me,
            id,
            chat,
        })
    }

    /// What the tools did.
    fn did(&self) -> Vec<String> {
        did(&self.site)
    }

    /// Whether a tool was called.
    fn called(&self, tool: &str) -> bool {
        self.did()
            .iter()
            .any(|line| line.starts_with(&format!("{tool} ")))
    }

    /// Asks for a tool to be used; gives the answer's identity.
    fn ask(&self, question: &str, tool: &str) -> String {
        ask(
            &self.server,
            &self.me,
            &self.chat,
            question,
            Some((&self.id, tool)),
        )
    }

    fn answer(&self, id: &str) -> Value {
        message(&self.server, &self.me, &self.chat, id)
    }

    /// Waits until the last call of an answer is in this state; gives the call.
    #[track_caller]
    fn until(&self, answer: &str, state: &str) -> Value {
        until(&self.server, &self.me, &self.chat, answer, state)
    }

    fn decide(&self, answer: &str, call: &Value, decision: &str) {
        decide(&self.server, &self.me, &self.chat, answer, call, decision);
    }

    /// Follows an answer to its end.
    fn end(&self, answer: &str) -> Value {
        self.me.follow(&self.server, &self.chat, answer, 0).1
    }

    /// Has a tool called and allowed; gives the answer at its end.
    fn whole(&self, question: &str, tool: &str) -> Value {
        let answer = self.ask(question, tool);
        let call = self.until(&answer, "waiting");
        self.decide(&answer, &call, "once");
        self.end(&answer)
    }
}

fn settings(id: &str) -> Value {
    json!({ "temperature": 0, "max_tokens": 64, "tools": [id] })
}

fn did(site: &Site) -> Vec<String> {
    let text = std::fs::read_to_string(site.path("did")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

pub(super) fn add_program(site: &Site, server: &Server, owner: &Browser) -> String {
    let new = json!({
        "name": "test", "kind": "stdio", "command": mcp_server(),
        "env": { "MCP_TEST_FILE": site.path("did") }, "timeout_s": 90,
    });
    let made = owner.ok(server, "POST", "/api/admin/tools", new);
    made["id"].as_str().unwrap().to_owned()
}

fn ask(server: &Server, me: &Browser, chat: &str, id: &str, tool: Option<(&str, &str)>) -> String {
    let whole = me.get(server, &format!("/api/chats/{chat}"));
    let mut body = json!({
        "id": id, "parent_id": whole["chat"]["leaf_id"], "content": "Use the tool and tell me."
    });
    if let Some((id, tool)) = tool {
        body["use_tool"] = json!({ "server_id": id, "tool": tool });
    }
    me.ask(server, chat, body)
}

fn message(server: &Server, me: &Browser, chat: &str, id: &str) -> Value {
    let whole = me.get(server, &format!("/api/chats/{chat}"));
    let messages = whole["messages"].as_array().unwrap();
    messages
        .iter()
        .find(|message| message["id"] == id)
        .unwrap()
        .clone()
}

#[track_caller]
fn until(server: &Server, me: &Browser, chat: &str, answer: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let message = message(server, me, chat, answer);
        let last = message["tool_calls"].as_array().unwrap().last();
        if let Some(call) = last.filter(|call| call["state"] == state) {
            return call.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{message}\n{}", server.log());
        assert_eq!(
            message["status"],
            "streaming",
            "{message}\n{}",
            server.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn decide(server: &Server, me: &Browser, chat: &str, answer: &str, call: &Value, decision: &str) {
    let path = place(chat, answer, call);
    me.ok(server, "POST", &path, json!({ "decision": decision }));
}

fn place(chat: &str, answer: &str, call: &Value) -> String {
    let call = call["id"].as_str().unwrap();
    format!("/api/chats/{chat}/messages/{answer}/calls/{call}")
}
