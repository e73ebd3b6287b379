//! The chat inside of other applications: who comes in, what they reach, and what opens nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::tools::{PATIENCE, add_program};
use super::{Browser, Server, Site, events, member, owner};
use crate::serve::Response;

const ORIGIN: &str = "https://shop.example";

fn now_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap().as_secs() as i64
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let text = format!("{}.{}", encoded(header), encoded(claims));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let tag = ring::hmac::sign(&key, text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// An application, as its administrator and its own server know it.
struct Shop {
    id: String,
    secret: String,
}

impl Shop {
    #[allow(
        clippy::needless_pass_by_value,
        reason = "calls read better with json! in place"
    )]
    fn of(server: &Server, admin: &Browser, more: Value) -> Self {
        let mut body = json!({ "name": "Shop", "origins": [ORIGIN], "algorithm": "HS256" });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let made = admin.ok(server, "POST", "/api/admin/embeds", body);
        Self {
            id: made["id"].as_str().unwrap().to_owned(),
            secret: made["secret"].as_str().unwrap_or_default().to_owned(),
        }
    }

    fn token(&self, subject: &str) -> String {
        let claims =
            json!({ "aud": self.id, "sub": subject, "exp": now_s() + 120, "name": subject });
        signed(
            &json!({ "alg": "HS256", "typ": "JWT" }),
            &claims,
            &self.secret,
        )
    }

    fn come(&self, server: &Server, token: &str) -> Response {
        let body = json!({ "app": self.id, "token": token });
        Browser::default().send(server, "POST", "/api/embed/session", Some(&body))
    }

    fn guest(&self, server: &Server, subject: &str) -> Guest {
        let response = self.come(server, &self.token(subject));
        assert_eq!(response.status, 200, "{}", response.body);
        assert!(response.headers("set-cookie").is_empty(), "no cookie");
        Guest(response.json()["token"].as_str().unwrap().to_owned())
    }
}

/// Somebody in the frame.
struct Guest(String);

impl Guest {
    fn send(&self, server: &Server, method: &str, path: &str, body: Option<&Value>) -> Response {
        self.send_with(server, method, path, body, &[])
    }

    fn send_with(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        body: Option<&Value>,
        more: &[&str],
    ) -> Response {
        let bearer = format!("Authorization: Bearer {}", self.0);
        let mut headers = vec!["X-Terang: 1", "Content-Type: application/json", &bearer];
        headers.extend(more);
        let bytes = body.map(ToString::to_string).unwrap_or_default();
        server.request(method, path, &headers, bytes.as_bytes())
    }

    #[track_caller]
    fn ok(&self, server: &Server, method: &str, path: &str, body: Option<&Value>) -> Value {
        let response = self.send(server, method, path, body);
        assert_eq!(response.status, 200, "{method} {path}: {}", response.body);
        response.json()
    }
}

#[test]
fn who_comes_through_an_application_chats_and_reaches_nothing_else() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let ann = member(&server, &admin, "ann", "member");
    let poet = json!({ "name": "Poet", "instructions": "Speak in verse." });
    let poet = admin.ok(&server, "POST", "/api/assistants", poet);
    let shop = Shop::of(&server, &admin, json!({ "assistants": [poet["id"]] }));
    let other = Shop::of(&server, &admin, json!({ "name": "School" }));
    // Named as an account that is there: it is another one.
    let guest = shop.guest(&server, "ann@example.org");
    let me = guest.ok(&server, "GET", "/api/me", None);
    assert_eq!(me["user"]["role"], "member");
    assert_eq!(me["user"]["email"], Value::Null);
    let anns = ann.get(&server, "/api/me");
    assert_ne!(me["user"]["id"], anns["user"]["id"]);
    let again = shop.come(&server, &shop.token("ann@example.org")).json();
    assert_eq!(again["assistants"][0]["instructions"], "Speak in verse.");

    let settings = json!({ "settings": { "max_tokens": 4, "temperature": 0 } });
    let chat = guest.ok(&server, "POST", "/api/chats", Some(&settings));
    let chat = chat["id"].as_str().unwrap().to_owned();
    let question = json!({ "id": "q1", "parent_id": null, "content": "cloudberry" });
    let send = format!("/api/chats/{chat}/messages");
    let sent = guest.ok(&server, "POST", &send, Some(&question));
    let answer = sent["answer"]["id"].as_str().unwrap();
    let stream = format!("{send}/{answer}/stream?from=0");
    assert!(
        guest
            .send(&server, "GET", &stream, None)
            .body
            .contains("event: done")
    );

    // Another subject, the same subject of another application, an account and an admin find nothing.
    let path = format!("/api/chats/{chat}");
    for stranger in [
        shop.guest(&server, "eve"),
        other.guest(&server, "ann@example.org"),
    ] {
        stranger.send(&server, "GET", &path, None).fails(404, "");
        assert_eq!(
            stranger.ok(&server, "GET", "/api/chats", None)["chats"],
            json!([])
        );
    }
    for browser in [&ann, &admin] {
        browser.send(&server, "GET", &path, None).fails(404, "");
    }
    let anns_chat = ann.chat(&server, json!({}));
    let path = format!("/api/chats/{anns_chat}");
    guest.send(&server, "GET", &path, None).fails(404, "");

    // Every other route is closed, also with the cookie of somebody who may use it.
    let cookies = format!("Cookie: {}", admin.cookies.join("; "));
    let allowed = [
        "/api/me",
        "/api/models",
        "/api/chats",
        "/api/attachments",
        "/api/search",
        "/api/embed/session",
    ];
    let document = server.get("/openapi.json").json();
    let mut closed = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let is_chat = path.starts_with("/api/chats/")
            && !path.ends_with("/shares")
            && !path.ends_with("/export");
        let is_file = path == "/api/attachments/{id}";
        if !path.starts_with("/api/") || allowed.contains(&path.as_str()) || is_chat || is_file {
            continue;
        }
        for method in item.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            let place = path.replace("{id}", "x").replace("{token}", "x");
            let place = place.replace("{mid}", "x");
            let response = guest.send_with(&server, &method, &place, Some(&json!({})), &[&cookies]);
            response.fails(403, "inside of another application");
            closed += 1;
        }
    }
    assert!(closed > 30, "{closed}");
    guest
        .send(&server, "DELETE", "/api/me", Some(&json!({})))
        .fails(403, "");
    // Nor is the secret a key of the API.
    let bearer = format!("Authorization: Bearer {}", guest.0);
    let models = server.request("GET", "/v1/models", &[&bearer], b"");
    assert!(matches!(models.status, 200 | 401), "{}", models.body);

    // Each is on record, without a secret.
    let audit = admin.get(&server, "/api/admin/audit").to_string();
    for action in ["embed_created", "embed_account_made", "embed_login"] {
        assert!(audit.contains(action), "{action}");
    }
    for secret in [&shop.secret, &guest.0] {
        assert!(!audit.contains(secret.as_str()) && !server.log().contains(secret.as_str()));
    }
    let listed = admin.get(&server, "/api/admin/embeds");
    assert!(!listed.to_string().contains(&shop.secret), "shown once");
    assert_eq!(listed["apps"][0]["accounts"], 2);
}

#[test]
fn who_comes_through_an_application_has_the_tools_of_its_assistants_alone() {
    let mut site = Site::accounts();
    site.flags.extend(["--set", "tool_commands=true"]);
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let id = add_program(&site, &server, &admin);
    let clerk = json!({ "name": "Clerk", "settings": { "tools": [id] } });
    let clerk = admin.ok(&server, "POST", "/api/assistants", clerk);
    let shop = Shop::of(&server, &admin, json!({ "assistants": [clerk["id"]] }));
    let other = Shop::of(&server, &admin, json!({ "name": "School" }));
    let with = json!({ "settings": { "tools": [id], "max_tokens": 64, "temperature": 0 } });
    let stranger = other.guest(&server, "ann");
    stranger
        .send(&server, "POST", "/api/chats", Some(&with))
        .fails(400, "assistants");
    let own = stranger.ok(&server, "POST", "/api/chats", Some(&json!({})));
    let path = format!("/api/chats/{}", own["id"].as_str().unwrap());
    stranger
        .send(&server, "PATCH", &path, Some(&with))
        .fails(400, "assistants");
    // One who has them is asked, and cannot allow what could not be taken back there.
    let guest = shop.guest(&server, "ann");
    let chat = guest.ok(&server, "POST", "/api/chats", Some(&with));
    let chat = format!("/api/chats/{}", chat["id"].as_str().unwrap());
    let question = json!({ "id": "q1", "parent_id": null, "content": "Add two numbers.",
        "use_tool": { "server_id": id, "tool": "add" } });
    let sent = guest.ok(
        &server,
        "POST",
        &format!("{chat}/messages"),
        Some(&question),
    );
    let answer = format!("{chat}/messages/{}", sent["answer"]["id"].as_str().unwrap());
    let begun = std::time::Instant::now();
    let call = loop {
        let whole = guest.ok(&server, "GET", &chat, None);
        let call = whole["messages"][1]["tool_calls"][0].clone();
        if call["state"] == "waiting" {
            break call;
        }
        assert!(begun.elapsed() < PATIENCE, "{whole}\n{}", server.log());
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    let place = format!("{answer}/calls/{}", call["id"].as_str().unwrap());
    let decide = |who: &Guest, decision: &str| {
        let body = json!({ "decision": decision });
        who.send(&server, "POST", &place, Some(&body))
    };
    decide(&guest, "always").fails(400, "decision");
    for stranger in [&stranger, &shop.guest(&server, "eve")] {
        decide(stranger, "once").fails(404, "");
    }
    assert_eq!(decide(&guest, "once").status, 200);
    let stream = format!("{answer}/stream?from=0");
    let told = guest.send(&server, "GET", &stream, None).body;
    let done = &events(&told).pop().unwrap().1;
    assert_eq!(done["tool_calls"][0]["state"], "done", "{told}");
}

#[test]
fn tokens_that_are_not_the_applications_own_open_nothing() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let shop = Shop::of(&server, &admin, json!({}));
    let other = Shop::of(&server, &admin, json!({}));
    let good = json!({ "aud": shop.id, "sub": "ann", "exp": now_s() + 120 });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let hs = json!({ "alg": "HS256" });
    let none = json!({ "alg": "none" });
    let cases = [
        (format!("{}.{}.", encoded(&none), encoded(&good)), "alg"),
        (signed(&none, &good, &shop.secret), "alg"),
        (
            signed(&json!({ "alg": "RS256" }), &good, &shop.secret),
            "alg",
        ),
        (
            signed(&json!({ "alg": "HS384" }), &good, &shop.secret),
            "alg",
        ),
        (signed(&hs, &good, &other.secret), "signature"),
        (signed(&hs, &good, ""), "signature"),
        (format!("{}.{}.", encoded(&hs), encoded(&good)), "signature"),
        (
            signed(&hs, &with("exp", json!(now_s() - 60)), &shop.secret),
            "exp",
        ),
        (
            signed(&hs, &with("exp", json!(now_s() + 7200)), &shop.secret),
            "exp",
        ),
        (
            signed(&hs, &with("aud", json!(other.id)), &shop.secret),
            "aud",
        ),
        (signed(&hs, &with("sub", json!("")), &shop.secret), "sub"),
        (other.token("ann"), "signature"),
        (String::new(), "form"),
    ];
    for (token, part) in &cases {
        shop.come(&server, token)
            .fails(401, &format!("token: {part}"));
    }
    let nowhere = Shop {
        id: "0198c0de-0000-7000-8000-000000000000".to_owned(),
        secret: shop.secret.clone(),
    };
    nowhere
        .come(&server, &nowhere.token("ann"))
        .fails(401, "no such application");
    // Nobody was made by any of them.
    let users = admin.get(&server, "/api/admin/users");
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
    for forged in ["te-", "te-x", &format!("te-{}", "a".repeat(43))] {
        let guest = Guest(forged.to_owned());
        guest
            .send(&server, "GET", "/api/chats", None)
            .fails(401, "");
        guest.send(&server, "GET", "/api/me", None).fails(401, "");
    }
}

#[test]
fn revocation_ends_sessions_and_tokens_at_once() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let mut shop = Shop::of(&server, &admin, json!({}));
    let path = format!("/api/admin/embeds/{}", shop.id);
    let is_out = |guest: &Guest| {
        guest
            .send(&server, "GET", "/api/chats", None)
            .fails(401, "");
    };

    let guest = shop.guest(&server, "ann");
    let replayed = shop.token("ann");
    let renewed = admin.ok(&server, "PATCH", &path, json!({ "new_key": true }));
    is_out(&guest);
    shop.come(&server, &replayed).fails(401, "signature");
    shop.secret = renewed["secret"].as_str().unwrap().to_owned();

    let guest = shop.guest(&server, "ann");
    let token = shop.token("ann");
    admin.ok(&server, "PATCH", &path, json!({ "disabled": true }));
    is_out(&guest);
    shop.come(&server, &token).fails(401, "no such application");
    admin.ok(&server, "PATCH", &path, json!({ "disabled": false }));
    is_out(&guest);

    let guest = shop.guest(&server, "ann");
    let id = guest.ok(&server, "GET", "/api/me", None)["user"]["id"].clone();
    let user = format!("/api/admin/users/{}", id.as_str().unwrap());
    admin
        .send(&server, "PATCH", &user, Some(&json!({ "role": "admin" })))
        .fails(409, "member");
    admin.ok(&server, "PATCH", &user, json!({ "disabled": true }));
    is_out(&guest);
    shop.come(&server, &token).fails(401, "disabled");
    admin.ok(&server, "PATCH", &user, json!({ "disabled": false }));

    let guest = shop.guest(&server, "ann");
    guest.ok(&server, "DELETE", "/api/embed/session", None);
    is_out(&guest);
    let guest = shop.guest(&server, "ann");
    admin.ok(&server, "DELETE", &path, Value::Null);
    is_out(&guest);
    shop.come(&server, &token).fails(401, "no such application");
    let users = admin.get(&server, "/api/admin/users");
    assert_eq!(users["users"].as_array().unwrap().len(), 1);
}

#[test]
fn only_the_applications_own_pages_may_frame_its_page_and_nobody_the_rest() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let shop = Shop::of(
        &server,
        &admin,
        json!({ "origins": [ORIGIN, "http://127.0.0.1:3000"] }),
    );
    let ancestors = |path: &str| {
        let response = server.get(path);
        assert_eq!(response.status, 200, "{path}");
        let policy = response.header("content-security-policy").unwrap();
        let (_, ancestors) = policy.split_once("frame-ancestors ").unwrap();
        ancestors.to_owned()
    };
    let page = format!("/embed/{}", shop.id);
    assert_eq!(ancestors(&page), format!("{ORIGIN} http://127.0.0.1:3000"));
    for path in [
        "/",
        "/login",
        "/embed",
        "/embed/",
        "/embed/0198c0de-0000-7000-8000-000000000000",
        &format!("{page}/x"),
        &format!("/x{page}"),
    ] {
        assert_eq!(ancestors(path), "'none'", "{path}");
    }
    let id = format!("/api/admin/embeds/{}", shop.id);
    let other = json!({ "origins": ["https://other.example"] });
    admin.ok(&server, "PATCH", &id, other);
    assert_eq!(ancestors(&page), "https://other.example");
    admin.ok(&server, "PATCH", &id, json!({ "disabled": true }));
    assert_eq!(ancestors(&page), "'none'");
    // A policy cannot be widened by what an origin is called.
    for origin in [
        "*",
        "https://*",
        "https://a; script-src *",
        "https://a b",
        "null",
        "'self'",
        "https://a/x",
        "data:",
        "https://a,https://b",
    ] {
        let body = json!({ "origins": [origin] });
        admin
            .send(&server, "PATCH", &id, Some(&body))
            .fails(400, "origins");
    }
    // A page of another origin can neither ask for a session nor read with one.
    let guest = Guest("te-x".to_owned());
    let foreign = format!("Origin: {ORIGIN}");
    for (method, path) in [("POST", "/api/embed/session"), ("GET", "/api/chats")] {
        guest
            .send_with(&server, method, path, Some(&json!({})), &[&foreign])
            .fails(403, "origin");
    }
}

#[test]
fn what_an_application_may_be_is_bounded_and_needs_accounts() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let ann = member(&server, &admin, "ann", "member");
    let anns = ann.ok(
        &server,
        "POST",
        "/api/assistants",
        json!({ "name": "Ann's" }),
    );
    for (change, status, part) in [
        (json!({ "name": "" }), 400, "name"),
        (json!({ "origins": [] }), 400, "origins"),
        (json!({ "origins": vec![ORIGIN; 21] }), 400, "origins"),
        (json!({ "algorithm": "none" }), 400, "algorithm"),
        (json!({ "algorithm": "RS256" }), 400, "public_key"),
        (
            json!({ "algorithm": "RS256", "public_key": "x" }),
            400,
            "public_key",
        ),
        (json!({ "public_key": "x" }), 400, "public_key"),
        (json!({ "assistants": [anns["id"]] }), 404, ""),
        (json!({ "nothing": 1 }), 400, "nothing"),
    ] {
        let mut body = json!({ "name": "Shop", "origins": [ORIGIN], "algorithm": "HS256" });
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        admin
            .send(&server, "POST", "/api/admin/embeds", Some(&body))
            .fails(status, part);
    }
    let single = Site::single();
    let Some(server) = single.start() else { return };
    let body = json!({ "name": "Shop", "origins": [ORIGIN], "algorithm": "HS256" });
    Browser::default()
        .send(&server, "POST", "/api/admin/embeds", Some(&body))
        .fails(403, "accounts");
}
