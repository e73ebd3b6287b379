//! Passkeys against a server: what an authenticator of the test's own signs, and what is made of it on
//! the way. That a browser's works is tested in the browser (`web/tests/passkeys.spec.ts`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Browser, Site, member, owner};
use crate::serve::{Response, Server};

/// What stands before a P-256 point in a `SubjectPublicKeyInfo`.
const HEAD: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";

struct Authenticator {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    credential: [u8; 16],
    origin: String,
    rp_id: String,
}

impl Authenticator {
    fn new(number: u8, server: &Server) -> Self {
        let random = SystemRandom::new();
        let method = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(method, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(method, pkcs8.as_ref(), &random).unwrap();
        Self {
            pair,
            random,
            credential: [number; 16],
            origin: format!("http://localhost:{}", server.address.port()),
            rp_id: "localhost".to_owned(),
        }
    }

    fn client_data(&self, kind: &str, challenge: &str) -> String {
        json!({ "type": kind, "challenge": challenge, "origin": self.origin }).to_string()
    }

    fn data(&self, counter: u32, flags: u8) -> Vec<u8> {
        let site = digest(&SHA256, self.rp_id.as_bytes());
        [site.as_ref(), &[flags], &counter.to_be_bytes()].concat()
    }

    /// The body that adds it to an account.
    fn shown(&self, asked: &Value) -> Value {
        let challenge = asked["challenge"].as_str().unwrap();
        let new = [&[0; 16][..], &[0, 16], &self.credential].concat();
        let point = &self.pair.public_key().as_ref()[1..];
        let mut spki = base64::engine::general_purpose::STANDARD
            .decode(HEAD)
            .unwrap();
        spki.extend_from_slice(point);
        let client = self.client_data("webauthn.create", challenge);
        json!({ "name": "Test", "ticket": asked["ticket"], "algorithm": -7,
            "client_data": URL_SAFE_NO_PAD.encode(client),
            "authenticator_data": URL_SAFE_NO_PAD.encode([self.data(0, 0x45), new].concat()),
            "public_key": URL_SAFE_NO_PAD.encode(spki) })
    }

    /// The body that logs in.
    fn answer(&self, asked: &Value, counter: u32, flags: u8) -> Value {
        let challenge = asked["challenge"].as_str().unwrap();
        let client = self.client_data("webauthn.get", challenge);
        let data = self.data(counter, flags);
        let message = [&data, digest(&SHA256, client.as_bytes()).as_ref()].concat();
        let signature = self.pair.sign(&self.random, &message).unwrap();
        json!({ "ticket": asked["ticket"], "credential": URL_SAFE_NO_PAD.encode(self.credential),
            "client_data": URL_SAFE_NO_PAD.encode(client),
            "authenticator_data": URL_SAFE_NO_PAD.encode(data),
            "signature": URL_SAFE_NO_PAD.encode(signature) })
    }
}

/// Sends a request as a page of `localhost` with the server's port does.
fn send(server: &Server, who: &Browser, path: &str, body: &Value) -> Response {
    let host = format!("Host: localhost:{}", server.address.port());
    let cookies = format!("Cookie: {}", who.cookies.join("; "));
    let headers = [
        "X-Terang: 1",
        "Content-Type: application/json",
        &host,
        &cookies,
    ];
    server.request("POST", path, &headers, body.to_string().as_bytes())
}

fn asked(server: &Server, who: &Browser, purpose: &str) -> Value {
    let body = json!({ "purpose": purpose });
    let response = send(server, who, "/api/passkeys/challenge", &body);
    assert_eq!(response.status, 200, "{}", response.body);
    response.json()
}

#[test]
fn nothing_but_the_authenticators_own_answer_logs_in() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let ann = member(&server, &admin, "ann", "member");
    let eve = member(&server, &admin, "eve", "member");
    let nobody = Browser::default();
    let key = Authenticator::new(1, &server);

    let challenge = asked(&server, &ann, "register");
    assert_eq!(challenge["rp_id"], "localhost");
    let shown = key.shown(&challenge);
    // A challenge for one is of no use to another, nor for something else, nor twice.
    send(&server, &eve, "/api/passkeys", &shown).fails(400, "ticket");
    let login_ticket = asked(&server, &nobody, "login")["ticket"].clone();
    let mut mixed = shown.clone();
    mixed["ticket"] = login_ticket;
    send(&server, &ann, "/api/passkeys", &mixed).fails(400, "ticket");
    for (field, wrong) in [
        ("client_data", "e30"),
        ("client_data", "?"),
        ("authenticator_data", "AAAA"),
        ("public_key", "AAAA"),
        ("public_key", ""),
    ] {
        let mut broken = shown.clone();
        broken[field] = json!(wrong);
        send(&server, &ann, "/api/passkeys", &broken).fails(400, field);
    }
    let added = send(&server, &ann, "/api/passkeys", &shown);
    assert_eq!(added.status, 200, "{}", added.body);
    send(&server, &ann, "/api/passkeys", &shown).fails(400, "ticket");
    let listed = ann.get(&server, "/api/passkeys");
    let path = format!(
        "/api/passkeys/{}",
        listed["passkeys"][0]["id"].as_str().unwrap()
    );
    eve.send(&server, "DELETE", &path, None).fails(404, "");
    let body = json!({ "purpose": "register" });
    send(&server, &nobody, "/api/passkeys/challenge", &body).fails(401, "log in");

    let login = |answer: &Value| send(&server, &nobody, "/api/passkeys/login", answer);
    let challenge = asked(&server, &nobody, "login");
    let good = key.answer(&challenge, 1, 5);
    let other = asked(&server, &nobody, "login");
    let mut replayed = good.clone();
    replayed["ticket"] = other["ticket"].clone();
    login(&replayed).fails(400, "another challenge");
    let elsewhere = Authenticator {
        origin: "https://evil.example".to_owned(),
        ..Authenticator::new(1, &server)
    };
    login(&elsewhere.answer(&challenge, 1, 5)).fails(400, "another site");
    let evil = Authenticator {
        rp_id: "evil.example".to_owned(),
        ..Authenticator::new(1, &server)
    };
    login(&evil.answer(&challenge, 1, 5)).fails(400, "another site");
    for flags in [0, 1, 4] {
        login(&key.answer(&challenge, 1, flags)).fails(400, "who you are");
    }
    // Right in all but the key, and right in all but the account.
    let forged = Authenticator::new(1, &server);
    login(&forged.answer(&asked(&server, &nobody, "login"), 1, 5)).fails(401, "passkey");
    let unknown = Authenticator::new(2, &server);
    login(&unknown.answer(&asked(&server, &nobody, "login"), 1, 5)).fails(401, "passkey");
    let response = login(&good);
    assert_eq!(response.status, 200, "{}", response.body);
    assert_eq!(response.json()["user"]["email"], "ann@example.org");
    let mut browser = Browser::default();
    browser.keep(&response);
    assert_eq!(browser.get(&server, "/api/me")["user"]["role"], "member");
    login(&good).fails(401, "passkey");
    // A copy that has counted less.
    login(&key.answer(&asked(&server, &nobody, "login"), 1, 5)).fails(401, "passkey");
    let again = login(&key.answer(&asked(&server, &nobody, "login"), 2, 5));
    assert_eq!(again.status, 200, "{}", again.body);
    // Passkeys belong to names.
    let by_number = format!("Host: {}", server.address);
    let headers = ["X-Terang: 1", "Content-Type: application/json", &by_number];
    let body = json!({ "purpose": "login" }).to_string();
    let numbered = server.request("POST", "/api/passkeys/challenge", &headers, body.as_bytes());
    numbered.fails(400, "localhost");
    // An account that is switched off stays so.
    let id = again.json()["user"]["id"].as_str().unwrap().to_owned();
    admin.ok(
        &server,
        "PATCH",
        &format!("/api/admin/users/{id}"),
        json!({ "disabled": true }),
    );
    login(&key.answer(&asked(&server, &nobody, "login"), 3, 5)).fails(401, "passkey");
}
