//! Logging in with an identity provider: what is believed of one that lies. That a well-behaved one of
//! others' making works is tested in the browser (`web/tests/oidc.spec.ts`).

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Browser, Site, member, owner};
use crate::serve::Server;

/// What the provider says, which a test may change at any time.
#[derive(Clone, Default)]
struct Says {
    /// Instead of the right ones.
    discovery: Option<Value>,
    claims: Value,
    user: Value,
    token_status: Option<u16>,
    /// Bytes that pad the answers.
    padding: usize,
}

/// A provider on loopback.
struct Provider {
    issuer: String,
    says: Arc<Mutex<Says>>,
    /// Bodies of the requests for tokens.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (says, asked) = (Arc::<Mutex<Says>>::default(), Arc::default());
        let provider = Self {
            issuer: issuer.clone(),
            says: Arc::clone(&says),
            asked: Arc::clone(&asked),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let told = says.lock().unwrap().clone();
                answer(stream.unwrap(), &issuer, &told, &asked);
            }
        });
        provider
    }

    /// The next to come is called so, with these claims changed.
    fn introduce(&self, subject: &str, nonce: &str, changed: &Value) {
        let mut claims = json!({ "iss": self.issuer, "aud": "terang", "sub": subject,
            "exp": 4_000_000_000_u64, "nonce": nonce });
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let user = json!({ "sub": subject, "name": subject, "email_verified": true,
            "email": format!("{subject}@example.org") });
        *self.says.lock().unwrap() = Says {
            claims,
            user,
            ..Says::default()
        };
    }
}

fn answer(mut stream: TcpStream, issuer: &str, says: &Says, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let from = head.len();
        if reader.read_line(&mut head).unwrap_or(0) <= 2 {
            break;
        }
        let line = head[from..].to_lowercase();
        if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let (status, told) = match path.as_str() {
        "/.well-known/openid-configuration" => (
            200,
            says.discovery.clone().unwrap_or_else(|| {
                json!({ "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
                    "token_endpoint": format!("{issuer}/token"),
                    "userinfo_endpoint": format!("{issuer}/userinfo") })
            }),
        ),
        "/token" => {
            let body = String::from_utf8(body).unwrap();
            asked.lock().unwrap().push(format!("{head}{body}"));
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let head = part(&json!({ "alg": says.claims.get("alg").unwrap_or(&json!("RS256")) }));
            let token = format!("{head}.{}.c2ln", part(&says.claims));
            let told = json!({ "id_token": token, "access_token": "secret-access" });
            (says.token_status.unwrap_or(200), told)
        }
        "/userinfo" if head.contains("Bearer secret-access") => (200, says.user.clone()),
        _ => (404, json!({})),
    };
    let told = told.to_string() + &" ".repeat(says.padding);
    let length = told.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{told}"
    );
}

fn site(provider: &Provider, domains: &str) -> Site {
    let mut site = Site::accounts();
    let settings = [
        format!("oidc_issuer={}", provider.issuer),
        "oidc_client_id=terang".to_owned(),
        "oidc_client_secret=s/cret".to_owned(),
        "public_url=http://localhost:1".to_owned(),
        format!("oidc_domains={domains}"),
        "oidc_name=Kantor".to_owned(),
    ];
    for setting in settings {
        // As long as the tests run.
        site.flags.extend(["--set", setting.leak()]);
    }
    site
}

/// One part of an address's query.
fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    let found = query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    found.unwrap().to_owned()
}

/// Sets out; the state and the nonce of the journey.
fn set_out(server: &Server, browser: &mut Browser, query: &str) -> (String, String) {
    let started = browser.send(server, "GET", &format!("/api/oidc/start{query}"), None);
    assert_eq!(started.status, 303, "{}", started.body);
    browser.keep(&started);
    let to = started.headers("location").remove(0).to_owned();
    assert_eq!(parameter(&to, "client_id"), "terang");
    assert_eq!(parameter(&to, "code_challenge_method"), "S256");
    assert_eq!(
        parameter(&to, "redirect_uri"),
        "http%3A%2F%2Flocalhost%3A1%2Fapi%2Foidc%2Fcallback"
    );
    (parameter(&to, "state"), parameter(&to, "nonce"))
}

/// Comes back; where the browser is sent then.
fn come_back(server: &Server, browser: &mut Browser, state: &str) -> String {
    let path = format!("/api/oidc/callback?code=c0de&state={state}&iss=x&session_state=y");
    let back = browser.send(server, "GET", &path, None);
    assert_eq!(back.status, 303, "{}", back.body);
    browser.keep(&back);
    back.headers("location").remove(0).to_owned()
}

#[test]
fn who_has_an_identity_logs_in_with_it() {
    let provider = Provider::start();
    let site = site(&provider, "example.org");
    let Some(server) = site.start() else { return };
    let nobody = Browser::default();
    assert_eq!(nobody.get(&server, "/api/me")["oidc"], "Kantor");
    // The owner's account is not made by whoever comes from the provider first.
    let mut early = Browser::default();
    let (state, nonce) = set_out(&server, &mut early, "");
    provider.introduce("ann", &nonce, &json!({}));
    let to = come_back(&server, &mut early, &state);
    assert_eq!(to, "/login?problem=oidc_no_account");

    let mut admin = owner(&server);
    // Somebody from an allowed domain gets an account, and finds it again.
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut ann = Browser::default();
        let (state, nonce) = set_out(&server, &mut ann, "");
        provider.introduce("ann", &nonce, &json!({}));
        assert_eq!(come_back(&server, &mut ann, &state), "/");
        let me = ann.get(&server, "/api/me");
        assert_eq!(me["user"]["email"], "ann@example.org");
        assert_eq!(me["user"]["role"], "member");
        ids.push(me["user"]["id"].clone());
        // The same arrival once more opens nothing.
        let mut thief = Browser::default();
        let to = come_back(&server, &mut thief, &state);
        assert_eq!(to, "/login?problem=oidc_expired");
        let listed = ann.get(&server, "/api/identities");
        let id = listed["identities"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/api/identities/{id}");
        ann.send(&server, "DELETE", &path, None)
            .fails(409, "only way");
        admin.send(&server, "DELETE", &path, None).fails(404, "");
    }
    assert_eq!(ids[0], ids[1]);
    let asked = provider.asked.lock().unwrap().clone();
    assert!(asked[0].contains("code_verifier=") && asked[0].contains("grant_type="));
    // terang:s%2Fcret
    assert!(
        asked[0].contains("Basic dGVyYW5nOnMlMkZjcmV0"),
        "{}",
        asked[0]
    );

    // An address that somebody here has opens no account; with a session the identity is added.
    let mut other = Browser::default();
    let (state, nonce) = set_out(&server, &mut other, "");
    provider.introduce("owner", &nonce, &json!({}));
    let to = come_back(&server, &mut other, &state);
    assert_eq!(to, "/login?problem=oidc_email_taken");
    let (state, nonce) = set_out(&server, &mut admin, "?link=true");
    provider.introduce("boss", &nonce, &json!({}));
    assert_eq!(come_back(&server, &mut admin, &state), "/settings/security");
    let (state, nonce) = set_out(&server, &mut other, "");
    provider.introduce("boss", &nonce, &json!({}));
    assert_eq!(come_back(&server, &mut other, &state), "/");
    assert_eq!(other.get(&server, "/api/me")["user"]["role"], "owner");
    // One that belongs to somebody is not added to another.
    let mut eve = member(&server, &admin, "eve", "member");
    let (state, nonce) = set_out(&server, &mut eve, "?link=true");
    provider.introduce("ann", &nonce, &json!({}));
    let to = come_back(&server, &mut eve, &state);
    assert_eq!(to, "/settings/security?problem=oidc_taken");
    // Without a session there is nothing to add to.
    let start = nobody.send(&server, "GET", "/api/oidc/start?link=true", None);
    start.fails(401, "log in");
    // An account that is switched off stays so.
    let path = format!("/api/admin/users/{}", ids[0].as_str().unwrap());
    admin.ok(&server, "PATCH", &path, json!({ "disabled": true }));
    let mut ann = Browser::default();
    let (state, nonce) = set_out(&server, &mut ann, "");
    provider.introduce("ann", &nonce, &json!({}));
    let to = come_back(&server, &mut ann, &state);
    assert_eq!(to, "/login?problem=oidc_disabled");
    for secret in ["secret-access", "s/cret", "c0de", "ann@example.org"] {
        assert!(!server.log().contains(secret), "{}", server.log());
    }
}

#[test]
fn a_provider_that_lies_lets_nobody_in() {
    let provider = Provider::start();
    let site = site(&provider, "example.org");
    let Some(server) = site.start() else { return };
    owner(&server);
    let come = |change: &dyn Fn(&mut Says)| {
        let mut browser = Browser::default();
        let (state, nonce) = set_out(&server, &mut browser, "");
        provider.introduce("ann", &nonce, &json!({}));
        change(&mut provider.says.lock().unwrap());
        let to = come_back(&server, &mut browser, &state);
        assert!(browser.get(&server, "/api/me")["user"].is_null(), "{to}");
        to
    };
    for (claim, value) in [
        ("iss", json!("https://id.example.org")),
        ("aud", json!("another")),
        ("exp", json!(1000)),
        ("nonce", json!("another")),
        ("alg", json!("none")),
    ] {
        let to = come(&|says| says.claims[claim] = value.clone());
        assert_eq!(to, "/login?problem=oidc_unavailable", "{claim}");
    }
    assert_eq!(
        come(&|says| says.user["sub"] = json!("boss")),
        "/login?problem=oidc_unavailable"
    );
    assert_eq!(
        come(&|says| says.token_status = Some(400)),
        "/login?problem=oidc_unavailable"
    );
    assert_eq!(
        come(&|says| says.padding = 1 << 20),
        "/login?problem=oidc_unavailable"
    );
    // An address that is not confirmed, or of another domain, makes no account.
    for (field, value) in [
        ("email_verified", json!(false)),
        ("email", json!("ann@example.com")),
        ("email", json!("ann@example.org@example.com")),
        ("email", json!("ann@evil-example.org")),
        ("email", Value::Null),
    ] {
        let to = come(&|says| says.user[field] = value.clone());
        assert!(to.starts_with("/login?problem="), "{field} {to}");
    }
    let mut refused = Browser::default();
    let (state, _) = set_out(&server, &mut refused, "");
    let path = format!("/api/oidc/callback?error=access_denied&state={state}");
    let back = refused.send(&server, "GET", &path, None);
    assert_eq!(back.headers("location"), ["/login?problem=oidc_refused"]);
}

#[test]
fn a_provider_of_another_name_is_not_asked_for_anything() {
    let provider = Provider::start();
    let site = site(&provider, "");
    let Some(server) = site.start() else { return };
    let start = || Browser::default().send(&server, "GET", "/api/oidc/start", None);
    for (field, value) in [
        ("issuer", "https://id.example.org"),
        ("token_endpoint", "http://192.0.2.1/token"),
        ("authorization_endpoint", "javascript:alert(1)"),
    ] {
        let issuer = &provider.issuer;
        let mut document = json!({ "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/auth"),
            "token_endpoint": format!("{issuer}/token") });
        document[field] = json!(value);
        provider.says.lock().unwrap().discovery = Some(document);
        start().fails(503, "identity provider");
    }
    provider.says.lock().unwrap().discovery = None;
    assert_eq!(start().status, 303);
}
