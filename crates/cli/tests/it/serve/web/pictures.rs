//! Pictures of messages: what is taken, who gets it, and how long it is there.

use serde_json::{Value, json};

use super::survival::postgres;
use super::{Browser, PASSWORD, Site, member, owner};
use crate::serve::{Response, Server};

/// Stands where a camera writes the place.
const PLACE: &[u8] = b"6.2088 S, 106.8456 E";

/// A chunk; nothing here looks at its checksum.
fn chunk(name: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length, name, body, &[0; 4]].concat()
}

/// A PNG of these pixels, with chunks that tell of who made it.
fn png(width: u32, height: u32, telling: bool) -> Vec<u8> {
    let head = [
        &width.to_be_bytes()[..],
        &height.to_be_bytes(),
        &[8, 2, 0, 0, 0],
    ];
    let mut parts = vec![
        b"\x89PNG\r\n\x1a\n".to_vec(),
        chunk(b"IHDR", &head.concat()),
    ];
    if telling {
        parts.push(chunk(b"tEXt", PLACE));
        parts.push(chunk(b"eXIf", PLACE));
    }
    parts.push(chunk(b"IDAT", b"pixels"));
    parts.push(chunk(b"IEND", b""));
    if telling {
        parts.push(PLACE.to_vec());
    }
    parts.concat()
}

/// A JPEG whose camera was held sideways, somewhere.
fn jpeg() -> Vec<u8> {
    let exif = [
        &b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"[..],
        PLACE,
    ];
    let exif = exif.concat();
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [
        &b"\xff\xd8\xff\xe1"[..],
        &length,
        &exif,
        b"\xff\xc0\0\x0b\x08\0\x14\0\x1e\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0abc\xff\xd9",
    ]
    .concat()
}

fn upload(browser: &Browser, server: &Server, name: &str, data: &[u8]) -> Response {
    let path = format!("/api/attachments?name={name}");
    browser.raw(server, "POST", &path, data)
}

/// Uploads a picture; gives it as it is told of.
#[track_caller]
fn picture(browser: &Browser, server: &Server, name: &str) -> Value {
    let made = upload(browser, server, name, &png(640, 480, true));
    assert_eq!(made.status, 200, "{}", made.body);
    made.json()
}

/// Where a file is to be had.
fn at(file: &Value) -> String {
    format!("/api/attachments/{}", file["id"].as_str().unwrap())
}

/// A chat with one question, which is about this file.
fn ask(browser: &Browser, server: &Server, file: &Value) -> String {
    let chat = browser.chat(server, json!({ "max_tokens": 2 }));
    let question =
        json!({ "id": "q1", "parent_id": null, "content": "", "attachments": [file["id"]] });
    let answer = browser.ask(server, &chat, question);
    browser.follow(server, &chat, &answer, 0);
    chat
}

fn holds(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

#[test]
fn pictures_come_back_as_what_they_are_and_without_what_cameras_write() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let file = picture(&me, &server, "sawah%20%22pagi%22.png");
    let told = (
        &file["name"],
        &file["mime"],
        &file["width"],
        &file["height"],
    );
    let name = json!("sawah \"pagi\".png");
    assert_eq!(told, (&name, &json!("image/png"), &json!(640), &json!(480)));
    let back = me.send(&server, "GET", &at(&file), None);
    assert_eq!((back.status, &back.bytes), (200, &png(640, 480, false)));
    for (header, value) in [
        ("content-type", "image/png"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "private, no-cache"),
        (
            "content-disposition",
            "inline; filename*=UTF-8''sawah%20%22pagi%22.png",
        ),
    ] {
        assert_eq!(back.header(header), Some(value), "{header}");
    }
    let tag = format!("If-None-Match: {}", back.header("etag").unwrap());
    let again = server.request("GET", &at(&file), &[&tag], b"");
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    // Its bytes say what it is, whatever it is called; the camera is still held sideways.
    let file = upload(&me, &server, "notes.md", &jpeg()).json();
    let told = (&file["mime"], &file["width"], &file["height"]);
    assert_eq!(told, (&json!("image/jpeg"), &json!(20), &json!(30)));
    let back = me.send(&server, "GET", &at(&file), None);
    assert_eq!(back.header("content-type"), Some("image/jpeg"));
    assert!(holds(&back.bytes, b"Exif") && !holds(&back.bytes, PLACE));
}

#[test]
fn what_is_no_picture_that_can_be_shown_is_refused_by_a_word() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let svg = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>";
    let huge = [&png(9000, 9000, false)[..], &[0; 8]].concat();
    let mut heavy = png(1, 1, false);
    heavy.resize((10 << 20) + 1, 0);
    let endless = [
        &b"\x89PNG\r\n\x1a\n"[..],
        b"\xff\xff\xff\xffIHDR",
        &[0xff; 64],
    ]
    .concat();
    let whole = png(1, 1, false);
    let cut = &whole[..whole.len() - 9];
    for (name, data, status, code) in [
        ("a.svg", &svg[..], 400, "picture_unsupported"),
        ("a.png", svg, 400, "picture_unsupported"),
        ("a.jpg", b"%PDF-1.7\n", 400, "picture_unsupported"),
        ("a.webp", b"RIFF\x04\0\0\0WAVE", 400, "picture_unsupported"),
        ("a.heic", b"\0\0\0\x18ftypheic", 400, "picture_unsupported"),
        ("a.bin", b"BM\xff\0\0\0\0", 400, "picture_unsupported"),
        ("a.png", b"", 400, "picture_unsupported"),
        ("a.png", &huge, 413, "picture_too_many_pixels"),
        ("a.png", &heavy, 413, "picture_too_large"),
        ("a.png", &endless, 400, "picture_damaged"),
        ("a.txt", cut, 400, "picture_damaged"),
        ("a.jpg", b"\xff\xd8\xff\xe1\xff\xff", 400, "picture_damaged"),
        (
            "a.gif",
            b"GIF89a\xff\xff\x01\0\xff",
            413,
            "picture_too_many_pixels",
        ),
        (
            "a.webp",
            b"RIFF\xff\xff\xff\xffWEBPVP8X",
            400,
            "picture_damaged",
        ),
    ] {
        let error = upload(&me, &server, name, data).fails(status, name);
        assert_eq!(error["code"], code, "{name}: {error}");
        assert_eq!(error["param"], "name");
    }
    // The same text under a name of its own is a text, which nobody is shown as a picture.
    let file = upload(&me, &server, "source.txt", svg).json();
    assert_eq!(
        (&file["mime"], &file["width"]),
        (&json!("text/plain"), &Value::Null)
    );
    let back = me.send(&server, "GET", &at(&file), None);
    let told = (
        back.header("content-type"),
        back.header("content-disposition"),
    );
    let saved = Some("attachment; filename*=UTF-8''source.txt");
    assert_eq!(told, (Some("application/octet-stream"), saved));
}

#[test]
fn a_model_is_told_one_line_of_a_picture() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let tokens = |attachments: Value| {
        let chat = me.chat(&server, json!({ "max_tokens": 2 }));
        let question = json!({ "id": "q1", "parent_id": null, "content": "What is it?", "attachments": attachments });
        let answer = me.ask(&server, &chat, question);
        let (_, done) = me.follow(&server, &chat, &answer, 0);
        done["usage"]["prompt_tokens"].as_i64().unwrap()
    };
    let file = picture(&me, &server, "sawah.png");
    let more = tokens(json!([file["id"]])) - tokens(json!([]));
    assert!((20..80).contains(&more), "{more} tokens for a picture");
}

#[test]
fn a_picture_is_its_owners_alone() {
    let site = Site::accounts();
    let Some(server) = site.start() else { return };
    let admin = owner(&server);
    let ann = member(&server, &admin, "ann", "member");
    let file = picture(&ann, &server, "sawah.png");
    let chat = ask(&ann, &server, &file);
    // Shown to others without it: a link is to what was said.
    let path = format!("/api/chats/{chat}/shares");
    let share = ann.ok(&server, "POST", &path, Value::Null);
    let shared = format!("/api/shared/{}", share["token"].as_str().unwrap());
    let shown = server.get(&shared);
    assert!(
        shown.status == 200 && !shown.body.contains("sawah"),
        "{}",
        shown.body
    );
    let tag = format!("If-None-Match: \"{}\"", file["id"].as_str().unwrap());
    server
        .request("GET", &at(&file), &[&tag], b"")
        .fails(401, "log in");
    for other in [&admin, &member(&server, &admin, "eve", "member")] {
        other.send(&server, "GET", &at(&file), None).fails(404, "");
        let cookies = format!("Cookie: {}", other.cookies.join("; "));
        let known = server.request("GET", &at(&file), &[&tag, &cookies], b"");
        known.fails(404, "");
    }
    let left = json!({ "password": PASSWORD });
    ann.ok(&server, "DELETE", "/api/me", left);
    ann.send(&server, "GET", &at(&file), None)
        .fails(401, "log in");
    admin.send(&server, "GET", &at(&file), None).fails(404, "");
}

#[test]
fn pictures_stay_with_their_chats_and_go_with_them() {
    kept(&Site::single());
}

#[test]
fn pictures_stay_with_their_chats_in_postgresql_too() {
    let Some(cluster) = postgres::cluster() else {
        return;
    };
    let mut site = Site::single();
    site.database = Some(cluster.database());
    kept(&site);
}

/// All attachments of a chat's messages, in their order.
fn attached(me: &Browser, server: &Server, chat: &str) -> Vec<Value> {
    let whole = me.get(server, &format!("/api/chats/{chat}"));
    let messages = whole["messages"].as_array().unwrap();
    let files = messages
        .iter()
        .flat_map(|m| m["attachments"].as_array().unwrap());
    files.cloned().collect()
}

fn kept(site: &Site) {
    let me = Browser::default();
    let (chat, file, notes);
    {
        let Some(server) = site.start() else { return };
        file = picture(&me, &server, "sawah.png");
        notes = upload(&me, &server, "catatan.md", b"Padi").json();
        chat = ask(&me, &server, &file);
        // Another version of the question, with a text besides.
        let path = format!("/api/chats/{chat}/messages");
        let body = json!({ "id": "q2", "parent_id": null, "content": "And now?", "attachments": [file["id"], notes["id"]] });
        let sent = me.ok(&server, "POST", &path, body);
        let answer = sent["answer"]["id"].as_str().unwrap();
        me.follow(&server, &chat, answer, 0);
    }
    let Some(server) = site.start() else { return };
    let files = attached(&me, &server, &chat);
    let names: Vec<&str> = files.iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["sawah.png", "sawah.png", "catatan.md"]);
    assert_eq!(
        (&files[0]["width"], &files[2]["width"]),
        (&json!(640), &Value::Null)
    );

    // One chat and all of them, out and in again, with files of their own.
    for from in [
        format!("/api/chats/{chat}/export?format=json"),
        "/api/export".to_owned(),
    ] {
        let out = me.send(&server, "GET", &from, None);
        let out_json = out.json();
        assert_eq!(
            out_json["attachments"].as_array().unwrap().len(),
            2,
            "{from}"
        );
        let before = ids(&me, &server);
        let back = me.raw(&server, "POST", "/api/import", out.body.as_bytes());
        assert_eq!(back.status, 200, "{}", back.body);
        assert_eq!(back.json()["skipped"], json!([]), "{}", back.body);
        let new: Vec<String> = ids(&me, &server)
            .into_iter()
            .filter(|id| !before.contains(id))
            .collect();
        assert_eq!(new.len(), 1, "{from}");
        let copies = attached(&me, &server, &new[0]);
        let names: Vec<&str> = copies.iter().map(|f| f["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["sawah.png", "sawah.png", "catatan.md"]);
        assert_eq!(copies[0]["id"], copies[1]["id"]);
        assert_ne!(copies[0]["id"], file["id"]);
        for (copy, file) in [(&copies[0], &file), (&copies[2], &notes)] {
            let was = me.send(&server, "GET", &at(file), None);
            let is = me.send(&server, "GET", &at(copy), None);
            assert_eq!((is.status, is.bytes), (200, was.bytes));
        }
        let path = format!("/api/chats/{}", new[0]);
        me.ok(&server, "DELETE", &path, Value::Null);
        me.send(&server, "GET", &at(&copies[0]), None)
            .fails(404, "");
    }

    // A question goes, another has the picture still; then the chat goes.
    let question = |id: &str| format!("/api/chats/{chat}/messages/{id}");
    me.ok(&server, "DELETE", &question("q1"), Value::Null);
    assert_eq!(me.send(&server, "GET", &at(&file), None).status, 200);
    me.ok(
        &server,
        "DELETE",
        &format!("/api/chats/{chat}"),
        Value::Null,
    );
    for file in [&file, &notes] {
        me.send(&server, "GET", &at(file), None).fails(404, "");
    }
}

/// Identities of all chats on the list.
fn ids(me: &Browser, server: &Server) -> Vec<String> {
    let listed = me.get(server, "/api/chats");
    let chats = listed["chats"].as_array().unwrap().iter();
    chats
        .map(|chat| chat["id"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn an_import_trusts_no_file_and_reaches_none_that_was_there() {
    let site = Site::single();
    let Some(server) = site.start() else { return };
    let me = Browser::default();
    let mine = picture(&me, &server, "mine.png");
    let said = |attachments: Value| {
        json!({ "chat": { "title": "t" }, "messages": [{ "id": "a", "parent_id": null, "role": "user",
            "content": "Hi", "attachments": attachments }] })
    };
    let file = |id: &str, name: &str, data: &str| json!({ "id": id, "name": name, "data": data });
    let export = json!({ "terang_export": 1, "attachments": [
            file("one", "../../a.png", "iVBORw0KGgo="),
            file("two", "b.svg", "PHN2Zy8+"),
            file("three", "c.txt", "not base64!"),
            json!({ "id": 7 }),
            file("four", "ok\u{7}.txt", "aGVsbG8="),
            file("five", "../../d.txt", "aGVsbG8="),
        ], "chats": [said(json!([{ "id": "one" }, { "id": "five" }, { "id": mine["id"] }]))] });
    let back = me.raw(
        &server,
        "POST",
        "/api/import",
        export.to_string().as_bytes(),
    );
    assert_eq!(back.status, 200, "{}", back.body);
    let back = back.json();
    assert_eq!(
        (&back["chats"], back["skipped"].as_array().unwrap().len()),
        (&json!(1), 5),
        "{back}"
    );
    let chat = ids(&me, &server).remove(0);
    let files = attached(&me, &server, &chat);
    let names: Vec<&Value> = files.iter().map(|file| &file["name"]).collect();
    assert_eq!(names, ["d.txt"]);
}
