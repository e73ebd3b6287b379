//! Accounts: setting up, logging in, sessions, roles, leaving.

use serde_json::{Value, json};

use super::super::Server;
use super::{Browser, PASSWORD, Site, member, owner};

fn login(server: &Server, browser: &Browser, email: &str, password: &str) -> super::Response {
    let body = json!({ "email": email, "password": password });
    browser.send(server, "POST", "/api/login", Some(&body))
}

#[test]
fn the_first_to_come_is_the_owner_and_nobody_after_them() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let nobody = Browser::default();
    let me = nobody.get(&server, "/api/me");
    assert_eq!(
        (&me["mode"], &me["setup_needed"], &me["user"]),
        (&json!("accounts"), &json!(true), &Value::Null)
    );
    for weak in [
        "short",
        "password123",
        "aaaaaaaaaaaaaa",
        "owner@example.org",
    ] {
        let body = json!({ "name": "O", "email": "owner@example.org", "password": weak });
        nobody
            .send(&server, "POST", "/api/setup", Some(&body))
            .fails(400, "password");
    }
    let owner = owner(&server);
    let me = owner.get(&server, "/api/me");
    assert_eq!(
        (&me["user"]["role"], &me["setup_needed"]),
        (&json!("owner"), &json!(false))
    );
    let body = json!({ "name": "E", "email": "eve@example.org", "password": PASSWORD });
    nobody
        .send(&server, "POST", "/api/setup", Some(&body))
        .fails(403, "already");
    // The accounts are there at the next start too, and are not opened to who comes to loopback.
    let chat = owner.chat(&server, json!({}));
    drop(server);
    let without = Site {
        flags: Vec::new(),
        ..site
    };
    let Some(server) = without.start() else {
        return;
    };
    let path = format!("/api/chats/{chat}");
    server.get(&path).fails(401, "log in");
    assert_eq!(owner.get(&server, &path)["chat"]["id"], chat.as_str());
}

#[test]
fn cookies_are_kept_from_scripts_and_other_sites_and_change_at_each_login() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    owner(&server);
    // One who plants a cookie before the login does not have it afterwards.
    let planted = "planted00000000000000000000000000000000000a";
    let mut browser = Browser {
        cookies: vec![format!("terang_session={planted}")],
    };
    let response = login(&server, &browser, "Owner@Example.org", PASSWORD);
    assert_eq!(response.status, 200, "{}", response.body);
    for cookie in response.headers("set-cookie") {
        for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(
            !cookie.contains("Secure") && !cookie.contains(planted),
            "{cookie}"
        );
    }
    let thief = browser.clone();
    thief
        .send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    browser.keep(&response);
    let first = browser.clone();
    let response = login(&server, &browser, "owner@example.org", PASSWORD);
    browser.keep(&response);
    // The session before is over, and the new one is another.
    first
        .send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    let copied = browser.clone();
    browser.ok(&server, "POST", "/api/logout", Value::Null);
    copied
        .send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    // What is kept opens nothing: not the token, but its digest.
    let kept = std::fs::read(site.path("data/terang.db")).unwrap();
    let wal = std::fs::read(site.path("data/terang.db-wal")).unwrap_or_default();
    for cookie in copied.cookies.iter().chain(&first.cookies) {
        let token = cookie.split('=').nth(1).unwrap().as_bytes();
        for file in [&kept, &wal] {
            assert!(!file.windows(token.len()).any(|window| window == token));
        }
    }
}

#[test]
fn sessions_are_listed_and_revoked_and_a_new_password_ends_the_others() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let first = owner(&server);
    let mut second = Browser::default();
    second.keep(&login(&server, &second, "owner@example.org", PASSWORD));
    let listed = first.get(&server, "/api/sessions")["sessions"].clone();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    let other = listed
        .iter()
        .find(|session| session["current"] == false)
        .unwrap();
    let path = format!("/api/sessions/{}", other["id"].as_str().unwrap());
    first.ok(&server, "DELETE", &path, Value::Null);
    second
        .send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    second.keep(&login(&server, &second, "owner@example.org", PASSWORD));
    let wrong = json!({ "old": "not the old one", "new": "a much better phrase" });
    first
        .send(&server, "POST", "/api/password", Some(&wrong))
        .fails(400, "not your password");
    let right = json!({ "old": PASSWORD, "new": "a much better phrase" });
    first.ok(&server, "POST", "/api/password", right);
    second
        .send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    first.get(&server, "/api/chats");
    login(&server, &Browser::default(), "owner@example.org", PASSWORD).fails(401, "wrong");
}

#[test]
fn guessing_is_held_up_and_locks_out_nobody_else() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let known = owner(&server);
    let other = member(&server, &known, "ben", "member");
    let guesser = Browser::default();
    let mut held_up = false;
    // On a slow machine a guess may take longer than the first waits, which grow.
    for number in 0..16 {
        let guess = format!("guess number {number}");
        let response = login(&server, &guesser, "owner@example.org", &guess);
        if response.status == 429 {
            let wait: u64 = response.header("retry-after").unwrap().parse().unwrap();
            assert!(wait >= 1);
            held_up = true;
            break;
        }
        response.fails(401, "wrong");
    }
    assert!(held_up);
    // Even the right password waits, from there.
    assert_eq!(
        login(&server, &guesser, "owner@example.org", PASSWORD).status,
        429
    );
    // The owner's own browser does not, nor does another person at the same address.
    assert_eq!(
        login(&server, &known, "owner@example.org", PASSWORD).status,
        200
    );
    assert_eq!(
        login(&server, &Browser::default(), "ben@example.org", PASSWORD).status,
        200
    );
    other.get(&server, "/api/chats");
    // An account that does not exist is refused in the same words.
    let nobody = login(&server, &Browser::default(), "nobody@example.org", PASSWORD);
    let wrong = login(
        &server,
        &Browser::default(),
        "ben@example.org",
        "wrong password",
    );
    assert_eq!(nobody.body, wrong.body);
}

#[test]
fn roles_say_who_looks_after_whom() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let owner = owner(&server);
    let admin = member(&server, &owner, "ada", "admin");
    let ben = member(&server, &owner, "ben", "member");
    let users = admin.get(&server, "/api/admin/users")["users"].clone();
    let id = |name: &str| {
        let users = users.as_array().unwrap();
        let user = users.iter().find(|user| user["name"] == name).unwrap();
        user["id"].as_str().unwrap().to_owned()
    };
    let user = |name: &str| format!("/api/admin/users/{}", id(name));
    for path in [
        "/api/admin/users",
        "/api/admin/usage",
        "/api/admin/audit",
        "/api/admin/health",
    ] {
        ben.send(&server, "GET", path, None).fails(403, "admins");
        admin.get(&server, path);
    }
    let disable = json!({ "disabled": true });
    let promote = json!({ "role": "admin" });
    ben.send(&server, "PATCH", &user("ben"), Some(&promote))
        .fails(403, "admins");
    admin
        .send(&server, "PATCH", &user("Owner"), Some(&disable))
        .fails(403, "only the owner");
    admin
        .send(&server, "PATCH", &user("ben"), Some(&promote))
        .fails(403, "only the owner");
    admin
        .send(&server, "POST", "/api/admin/invitations", Some(&promote))
        .fails(403, "only the owner");
    owner
        .send(&server, "PATCH", &user("Owner"), Some(&disable))
        .fails(409, "owner");
    // A demoted admin is one no more, at once and in every window.
    owner.ok(&server, "PATCH", &user("ada"), json!({ "role": "member" }));
    admin
        .send(&server, "GET", "/api/admin/users", None)
        .fails(401, "log in");
    // Who is disabled is out, with their keys.
    let key = ben.ok(&server, "POST", "/api/keys", json!({ "name": "phone" }));
    assert!(key["secret"].as_str().unwrap().starts_with("sk-terang-"));
    owner.ok(&server, "PATCH", &user("ben"), disable);
    ben.send(&server, "GET", "/api/keys", None)
        .fails(401, "log in");
    login(&server, &Browser::default(), "ben@example.org", PASSWORD).fails(401, "wrong");
    let keys = std::fs::read_to_string(site.path("data/keys.json")).unwrap();
    assert!(!keys.contains("phone"), "{keys}");
    let audit = owner.get(&server, "/api/admin/audit").to_string();
    for action in [
        "setup",
        "invited",
        "invitation_accepted",
        "user_disabled",
        "login_failed",
    ] {
        assert!(audit.contains(action), "{action}: {audit}");
    }
}

#[test]
fn who_leaves_takes_everything_along() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let owner = owner(&server);
    let ben = member(&server, &owner, "ben", "member");
    let chat = ben.chat(&server, json!({ "max_tokens": 2 }));
    let question = json!({ "id": "q1", "parent_id": null, "content": "Hi" });
    let answer = ben.ask(&server, &chat, question);
    ben.follow(&server, &chat, &answer, 0);
    let share = ben.ok(
        &server,
        "POST",
        &format!("/api/chats/{chat}/shares"),
        Value::Null,
    );
    let wrong = json!({ "password": "wrong password" });
    ben.send(&server, "DELETE", "/api/me", Some(&wrong))
        .fails(400, "not your password");
    owner
        .send(
            &server,
            "DELETE",
            "/api/me",
            Some(&json!({ "password": PASSWORD })),
        )
        .fails(403, "goes last");
    ben.ok(
        &server,
        "DELETE",
        "/api/me",
        json!({ "password": PASSWORD }),
    );
    ben.send(&server, "GET", "/api/chats", None)
        .fails(401, "log in");
    server
        .get(&format!("/api/shared/{}", share["token"].as_str().unwrap()))
        .fails(404, "");
    login(&server, &Browser::default(), "ben@example.org", PASSWORD).fails(401, "wrong");
}
