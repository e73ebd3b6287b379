//! The web app's API as a browser meets it: the real binary, the real model, a database of the
//! test's own.

mod accounts;
mod attacks;
mod chats;
mod embeds;
mod knowledge;
mod matrix;
mod models;
mod oidc;
mod passkeys;
mod pictures;
mod shortage;
mod survival;
mod tools;

use serde_json::{Value, json};

use super::{Response, Server};
use crate::real;
use crate::support::Place;

/// A place of one test's own, whose server can be started again over the same data.
pub(super) struct Site {
    place: Place,
    pub(super) database: Option<String>,
    flags: Vec<&'static str>,
}

impl Site {
    /// For one person.
    pub(super) fn single() -> Self {
        Self {
            place: Place::new(),
            database: None,
            flags: Vec::new(),
        }
    }

    /// For people with accounts.
    pub(super) fn accounts() -> Self {
        Self {
            flags: vec!["--accounts"],
            ..Self::single()
        }
    }

    /// Starts the server; `None`, said loudly, without the model.
    pub(super) fn start(&self) -> Option<Server> {
        let real = real::model()?;
        let mut command = self.place.terang();
        let model = format!("{}={}", real::MODEL, real.file().display());
        command.args(["serve", "--model", &model, "--listen", "127.0.0.1:0"]);
        command.args(&self.flags);
        if let Some(database) = &self.database {
            command.args(["--database", database]);
        }
        let server = Server::of(command);
        server.wait_until_ready();
        Some(server)
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path(name)
    }

    pub(super) fn terang(&self, arguments: &[&str]) -> crate::support::Outcome {
        self.place.run(arguments)
    }
}

/// Somebody's browser: what it sends with each request.
#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: Vec<String>,
}

impl Browser {
    /// Keeps the cookies that a response sets.
    pub(super) fn keep(&mut self, response: &Response) {
        for cookie in response.headers("set-cookie") {
            let pair = cookie.split(';').next().unwrap().to_owned();
            let name = pair.split('=').next().unwrap();
            self.cookies
                .retain(|kept| !kept.starts_with(&format!("{name}=")));
            self.cookies.push(pair);
        }
    }

    pub(super) fn send(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Response {
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        self.raw(server, method, path, bytes.as_bytes())
    }

    pub(super) fn raw(&self, server: &Server, method: &str, path: &str, body: &[u8]) -> Response {
        let cookies = format!("Cookie: {}", self.cookies.join("; "));
        let mut headers = vec!["X-Terang: 1", "Content-Type: application/json"];
        if !self.cookies.is_empty() {
            headers.push(&cookies);
        }
        server.request(method, path, &headers, body)
    }

    /// The answer to a request that must be right.
    #[track_caller]
    pub(super) fn ok(&self, server: &Server, method: &str, path: &str, body: Value) -> Value {
        let body = (!body.is_null()).then_some(body);
        let response = self.send(server, method, path, body.as_ref());
        assert_eq!(response.status, 200, "{method} {path}: {}", response.body);
        response.json()
    }

    #[track_caller]
    pub(super) fn get(&self, server: &Server, path: &str) -> Value {
        self.ok(server, "GET", path, Value::Null)
    }

    #[allow(
        clippy::needless_pass_by_value,
        reason = "calls read better with json! in place"
    )]
    #[track_caller]
    pub(super) fn chat(&self, server: &Server, settings: Value) -> String {
        let made = self.ok(
            server,
            "POST",
            "/api/chats",
            json!({ "settings": settings }),
        );
        made["id"].as_str().unwrap().to_owned()
    }

    /// Sends a question; gives its answer's identity.
    #[track_caller]
    pub(super) fn ask(&self, server: &Server, chat: &str, body: Value) -> String {
        let path = format!("/api/chats/{chat}/messages");
        let sent = self.ok(server, "POST", &path, body);
        assert_eq!(sent["answer"]["status"], "streaming", "{sent}");
        sent["answer"]["id"].as_str().unwrap().to_owned()
    }

    /// Follows an answer to its end from a byte on: its text, and the message.
    #[track_caller]
    pub(super) fn follow(
        &self,
        server: &Server,
        chat: &str,
        answer: &str,
        from: usize,
    ) -> (String, Value) {
        let path = format!("/api/chats/{chat}/messages/{answer}/stream?from={from}");
        let response = self.send(server, "GET", &path, None);
        assert_eq!(response.status, 200, "{}", response.body);
        let (mut text, mut done, mut at) = (String::new(), Value::Null, from);
        for (event, data) in events(&response.body) {
            match event.as_str() {
                "text" => {
                    assert_eq!(data["at"], at, "{}", response.body);
                    let more = data["text"].as_str().unwrap();
                    text.push_str(more);
                    at += more.len();
                }
                "done" => done = data,
                "call" => {}
                other => panic!("{other}"),
            }
        }
        assert!(done.is_object(), "{}", response.body);
        (text, done)
    }
}

/// The events of a stream.
pub(super) fn events(body: &str) -> Vec<(String, Value)> {
    let blocks = body.split("\n\n").filter_map(|block| {
        let (event, data) = block.split_once('\n')?;
        let event = event.strip_prefix("event: ")?;
        let data = serde_json::from_str(data.strip_prefix("data: ")?).ok()?;
        Some((event.to_owned(), data))
    });
    blocks.collect()
}

pub(super) const PASSWORD: &str = "kopi susu gula aren";

/// Sets up a server with accounts: the owner's browser.
#[track_caller]
pub(super) fn owner(server: &Server) -> Browser {
    let mut browser = Browser::default();
    let body = json!({ "name": "Owner", "email": "owner@example.org", "password": PASSWORD });
    let response = browser.send(server, "POST", "/api/setup", Some(&body));
    assert_eq!(response.status, 200, "{}", response.body);
    browser.keep(&response);
    browser
}

/// Invites somebody, who comes: their browser.
#[track_caller]
pub(super) fn member(server: &Server, owner: &Browser, name: &str, role: &str) -> Browser {
    let invited = owner.ok(
        server,
        "POST",
        "/api/admin/invitations",
        json!({ "role": role }),
    );
    let path = format!("/api/invitations/{}", invited["token"].as_str().unwrap());
    let mut browser = Browser::default();
    let email = format!("{name}@example.org");
    let body = json!({ "name": name, "email": email, "password": PASSWORD });
    let response = browser.send(server, "POST", &path, Some(&body));
    assert_eq!(response.status, 200, "{}", response.body);
    browser.keep(&response);
    browser
}
