//! Every route by nobody, by the one whose it is, by another, and by an admin: what is in
//! `/openapi.json` is what is tried, so that a new route is tried without anybody's doing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Browser, Site, member, owner};

/// Routes for people who have not logged in.
const OPEN: [&str; 11] = [
    "/api/me",
    "/api/embed/session",
    "/api/setup",
    "/api/login",
    "/api/logout",
    "/api/oidc/start",
    "/api/oidc/callback",
    "/api/passkeys/challenge",
    "/api/passkeys/login",
    "/api/invitations/{token}",
    "/api/shared/{token}",
];

#[test]
fn every_route_refuses_nobody_and_finds_nothing_of_another() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let ann = member(&server, &admin, "ann", "member");
    let eve = member(&server, &admin, "eve", "member");
    let mut things = Things::of(&server, &ann);
    let embed = json!({ "name": "n", "origins": ["https://a.example"], "algorithm": "HS256" });
    let embed = admin.ok(&server, "POST", "/api/admin/embeds", embed);
    let embed = embed["id"].as_str().unwrap().to_owned();
    things.ids.insert("embeds", embed);
    let document = server.get("/openapi.json").json();
    let mut tried = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/api/") {
            continue;
        }
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let place = things.place(path);
            let body = things.body(path, &method, operation);
            let by = |who: &Browser| who.send(&server, &method, &place, body.as_ref());
            tried += 1;
            if !OPEN.contains(&path.as_str()) || (path == "/api/me" && method == "DELETE") {
                let status = by(&Browser::default()).status;
                assert_eq!(status, 401, "{method} {path} by nobody");
                let forged = Browser {
                    cookies: vec![format!("terang_session={}", "a".repeat(43))],
                };
                assert_eq!(
                    by(&forged).status,
                    401,
                    "{method} {path} by a forged cookie"
                );
            }
            if path.starts_with("/api/admin/") {
                assert_eq!(by(&eve).status, 403, "{method} {path} by a member");
            } else if path.contains('{') && !OPEN.contains(&path.as_str()) {
                for (who, browser) in [("another", &eve), ("an admin", &admin)] {
                    let response = by(browser);
                    assert_eq!(
                        response.status, 404,
                        "{method} {path} by {who}: {}",
                        response.body
                    );
                    for secret in ["cloudberry", "ann@example.org"] {
                        assert!(!response.body.contains(secret), "{method} {path}");
                    }
                }
            }
        }
    }
    assert!(tried > 50, "{tried} routes");
    // Lists, searches and exports of another hold nothing of it either.
    for path in [
        "/api/chats",
        "/api/search?q=cloudberry",
        "/api/folders",
        "/api/prompts",
        "/api/assistants",
        "/api/collections",
        "/api/shares",
        "/api/keys",
        "/api/export",
        "/api/sessions",
    ] {
        for browser in [&eve, &admin] {
            let response = browser.send(&server, "GET", path, None);
            assert_eq!(response.status, 200, "{path}");
            assert!(
                !response.body.contains("cloudberry"),
                "{path}: {}",
                response.body
            );
        }
    }
    // And all of it is still there for whose it is.
    things.are_there(&server, &ann);
    // Files and chats of another cannot be drawn into one's own.
    let own = eve.chat(&server, json!({}));
    let send = format!("/api/chats/{own}/messages");
    let stolen = json!({ "id": "x", "parent_id": null, "content": "read", "attachments": [things.ids["attachments"]] });
    eve.send(&server, "POST", &send, Some(&stolen))
        .fails(404, "");
    let moved = json!({ "folder_id": things.ids["folders"] });
    eve.send(&server, "PATCH", &format!("/api/chats/{own}"), Some(&moved))
        .fails(404, "");
    let below = json!({ "id": "x", "parent_id": things.ids["mid"], "content": "read" });
    eve.send(&server, "POST", &send, Some(&below))
        .fails(409, "parent_id");
}

/// One of each kind of thing that somebody has.
struct Things {
    ids: BTreeMap<&'static str, String>,
}

impl Things {
    fn of(server: &super::Server, ann: &Browser) -> Self {
        let mut ids = BTreeMap::new();
        let id = |value: &Value| value["id"].as_str().unwrap().to_owned();
        let folder = ann.ok(
            server,
            "POST",
            "/api/folders",
            json!({ "name": "cloudberry" }),
        );
        ids.insert("folders", id(&folder));
        let prompt = json!({ "name": "cloudberry", "text": "cloudberry" });
        ids.insert(
            "prompts",
            id(&ann.ok(server, "POST", "/api/prompts", prompt)),
        );
        let assistant = json!({ "name": "cloudberry" });
        ids.insert(
            "assistants",
            id(&ann.ok(server, "POST", "/api/assistants", assistant)),
        );
        let key = json!({ "name": "cloudberry" });
        ids.insert("keys", id(&ann.ok(server, "POST", "/api/keys", key)));
        let file = ann.raw(
            server,
            "POST",
            "/api/attachments?name=cloudberry.md",
            b"cloudberry",
        );
        ids.insert("attachments", id(&file.json()));
        let made = json!({ "name": "cloudberry" });
        let made = id(&ann.ok(server, "POST", "/api/collections", made));
        let path = format!("/api/collections/{made}/documents?name=cloudberry.md");
        let document = id(&ann.raw(server, "POST", &path, b"cloudberry").json());
        super::knowledge::read(server, ann, &document);
        ids.insert("collections", made);
        ids.insert("documents", document);
        let chat = ann.chat(server, json!({ "max_tokens": 4, "temperature": 0 }));
        let question = json!({ "id": "q1", "parent_id": null, "content": "cloudberry" });
        let answer = ann.ask(server, &chat, question);
        ann.follow(server, &chat, &answer, 0);
        let share = ann.ok(
            server,
            "POST",
            &format!("/api/chats/{chat}/shares"),
            Value::Null,
        );
        ids.insert("shares", id(&share));
        let sessions = ann.get(server, "/api/sessions");
        ids.insert("sessions", id(&sessions["sessions"][0]));
        let me = ann.get(server, "/api/me");
        ids.insert("users", id(&me["user"]));
        // Only a provider makes one: see `oidc`, where another's is tried.
        ids.insert("identities", "nothing".to_owned());
        // And only an authenticator: see the browser's tests.
        ids.insert("passkeys", "nothing".to_owned());
        ids.insert("chats", chat);
        ids.insert("mid", answer);
        // Tested with one that is there beside the other tests of tools.
        ids.insert("consents", "nothing".to_owned());
        ids.insert("tools", "nothing".to_owned());
        Self { ids }
    }

    /// A route's path with the identities of these things.
    fn place(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('/').collect();
        let mut place = Vec::new();
        for (index, part) in parts.iter().enumerate() {
            place.push(match *part {
                "{id}" => self.ids[parts[index - 1]].clone(),
                // Only a question is answered.
                "{mid}" if parts.last() == Some(&"answer") => "q1".to_owned(),
                "{mid}" => self.ids["mid"].clone(),
                "{token}" | "{cid}" | "{name}" => "nothing".to_owned(),
                "{number}" => "0".to_owned(),
                other => other.to_owned(),
            });
        }
        let query = match path {
            "/api/search" | "/api/collections/{id}/search" => "?q=cloudberry",
            "/api/attachments" | "/api/collections/{id}/documents" => "?name=a.txt",
            _ => "",
        };
        place.join("/") + query
    }

    /// A body that would be right.
    fn body(&self, path: &str, method: &str, operation: &Value) -> Option<Value> {
        operation.get("requestBody")?;
        Some(match (method, path) {
            ("POST", "/api/chats/{id}/messages") => {
                json!({ "id": "new", "parent_id": self.ids["mid"], "content": "more" })
            }
            ("POST", "/api/chats/{id}/messages/{mid}/calls/{cid}") => json!({ "decision": "once" }),
            ("POST", "/api/prompts") => json!({ "name": "n", "text": "t" }),
            ("POST", "/api/folders" | "/api/assistants" | "/api/keys" | "/api/collections") => {
                json!({ "name": "n" })
            }
            ("PATCH", "/api/chats/{id}") => json!({ "title": "taken" }),
            ("PATCH", "/api/folders/{id}" | "/api/assistants/{id}" | "/api/collections/{id}") => {
                json!({ "name": "taken" })
            }
            ("PATCH", "/api/admin/users/{id}" | "/api/admin/embeds/{id}") => {
                json!({ "disabled": true })
            }
            ("POST", "/api/admin/fetch") => json!({ "model": "nothing" }),
            ("POST", "/api/admin/embeds") => {
                json!({ "name": "n", "origins": ["https://b.example"], "algorithm": "HS256" })
            }
            ("POST", "/api/embed/session") => json!({ "app": "x", "token": "y" }),
            ("POST", "/api/admin/invitations") => json!({ "role": "member" }),
            ("POST", "/api/login") => json!({ "email": "nobody@example.org", "password": "x" }),
            ("POST", "/api/setup" | "/api/invitations/{token}") => {
                json!({ "name": "n", "email": "n@example.org", "password": super::PASSWORD })
            }
            ("POST", "/api/password") => json!({ "old": "x", "new": super::PASSWORD }),
            _ => json!({}),
        })
    }

    #[track_caller]
    fn are_there(&self, server: &super::Server, ann: &Browser) {
        let chat = ann.get(server, &format!("/api/chats/{}", self.ids["chats"]));
        assert_eq!(chat["chat"]["title"], "cloudberry");
        assert_eq!(chat["messages"].as_array().unwrap().len(), 2);
        for kind in [
            "folders",
            "prompts",
            "assistants",
            "collections",
            "keys",
            "shares",
            "sessions",
        ] {
            let listed = ann.get(server, &format!("/api/{kind}"));
            assert_eq!(listed[kind][0]["id"], self.ids[kind].as_str(), "{kind}");
        }
        let file = ann.send(
            server,
            "GET",
            &format!("/api/attachments/{}", self.ids["attachments"]),
            None,
        );
        assert_eq!(file.body, "cloudberry");
        let path = format!("/api/documents/{}/passages/0", self.ids["documents"]);
        assert_eq!(ann.get(server, &path)["text"], "cloudberry");
    }
}
