//! A document: what is learned as one, and how a conversation is written as one text.

use serde_json::Value;

/// Stands before a message's role. Cleaned text has no control characters but line ends and tabs, so none of
/// these marks can come out of a source.
pub const MESSAGE: char = '\u{1e}';
/// Stands between a message's role and what it says.
pub const CONTENT: char = '\u{1f}';
/// Stands after each document in a shard: no phrase goes over it.
pub const END: u8 = 0;

/// What kind of document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Plain text.
    #[default]
    Text,
    /// A conversation, written with [`MESSAGE`] and [`CONTENT`].
    Chat,
}

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// Its text.
    pub text: String,
    /// What kind it is.
    pub kind: Kind,
}

/// What somebody says in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What they say.
    pub content: String,
}

impl Document {
    /// A text.
    pub(crate) fn text(text: String) -> Self {
        Self {
            text,
            kind: Kind::Text,
        }
    }

    /// A conversation.
    pub(crate) fn chat<'a>(messages: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = String::new();
        for (role, content) in messages {
            text.push(MESSAGE);
            text.push_str(role);
            text.push(CONTENT);
            // Marks of ours in what somebody says would begin a message of theirs.
            text.extend(content.chars().filter(|c| !matches!(*c, MESSAGE | CONTENT)));
        }
        Self {
            text,
            kind: Kind::Chat,
        }
    }
}

/// The messages of a conversation's text.
pub fn messages(text: &str) -> Vec<Message> {
    text.split(MESSAGE)
        .filter_map(|message| message.split_once(CONTENT))
        .map(|(role, content)| Message {
            role: role.to_owned(),
            content: content.to_owned(),
        })
        .collect()
}

/// A text as a person reads it: what is said, each message on a line of its own.
pub fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            MESSAGE if out.is_empty() => {}
            MESSAGE => out.push('\n'),
            CONTENT => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

/// Names of roles in the forms that people share conversations in.
fn role(name: &str) -> Option<&'static str> {
    match name {
        "system" | "developer" => Some("system"),
        "user" | "human" | "prompter" => Some("user"),
        "assistant" | "gpt" | "bot" | "chatgpt" | "model" => Some("assistant"),
        _ => None,
    }
}

/// The document in a record: a conversation (`OpenAI`'s, `ShareGPT`'s or Alpaca's form), or a text in `field`,
/// `text` or `content`. Otherwise the name of what is wrong.
pub(crate) fn of_record(
    record: &Value,
    field: Option<&str>,
) -> std::result::Result<Document, &'static str> {
    if let Some(field) = field {
        let mut parts = Vec::new();
        collect(record, field, &mut parts);
        return if parts.is_empty() {
            Err("no_text")
        } else {
            Ok(Document::text(parts.join("\n")))
        };
    }
    for (list, who, what) in [
        ("messages", "role", "content"),
        ("conversations", "from", "value"),
        ("conversation", "role", "content"),
    ] {
        if let Some(list) = record[list].as_array() {
            return conversation(list, who, what);
        }
    }
    let text = |name: &str| record[name].as_str();
    if let Some((instruction, output)) =
        text("instruction").zip(text("output").or(text("response")))
    {
        let input = text("input")
            .or(text("context"))
            .filter(|input| !input.is_empty());
        let question = match input {
            Some(input) => format!("{instruction}\n\n{input}"),
            None => instruction.to_owned(),
        };
        return Ok(Document::chat([
            ("user", &*question),
            ("assistant", output),
        ]));
    }
    let text = text("text").or(text("content")).ok_or("no_text")?;
    Ok(Document::text(text.to_owned()))
}

fn conversation(
    list: &[Value],
    who: &str,
    what: &str,
) -> std::result::Result<Document, &'static str> {
    let messages: Option<Vec<(&str, &str)>> = list
        .iter()
        .map(|message| {
            let who = message[who].as_str().or(message["role"].as_str())?;
            let what = message[what].as_str().or(message["content"].as_str())?;
            Some((role(who)?, what))
        })
        .collect();
    // Calls of tools, pictures and what else has no text are not learned yet.
    let messages = messages.ok_or("chat_unknown_message")?;
    if !messages.iter().any(|(role, _)| *role == "assistant") {
        return Err("chat_without_answer");
    }
    Ok(Document::chat(messages))
}

/// The texts at a path such as `verses.*.translation`.
fn collect<'a>(value: &'a Value, path: &str, parts: &mut Vec<&'a str>) {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let mut found = |value: &'a Value| match value {
        Value::String(text) if rest.is_empty() => parts.push(text),
        value if !rest.is_empty() => collect(value, rest, parts),
        _ => {}
    };
    match value {
        Value::Array(items) if name == "*" => items.iter().for_each(found),
        Value::Object(fields) if name == "*" => fields.values().for_each(found),
        value => {
            if let Some(value) = value.get(name) {
                found(value);
            }
        }
    }
}

/// A post of an archive of X: what its writer says themselves.
pub(crate) fn of_tweet(record: &Value) -> std::result::Result<Document, &'static str> {
    let tweet = record.get("tweet").unwrap_or(record);
    let text = tweet["full_text"]
        .as_str()
        .or(tweet["text"].as_str())
        .ok_or("no_text")?;
    if text.starts_with("RT @") {
        return Err("reposted");
    }
    let text = html_escape::decode_html_entities(text).into_owned();
    // Short links say nothing: where they lead is gone.
    let words = text
        .split(' ')
        .filter(|word| !word.starts_with("https://t.co/"));
    Ok(Document::text(words.collect::<Vec<_>>().join(" ")))
}

/// A post of a Mastodon outbox: one that its writer made for all to read.
pub(crate) fn of_activity(record: &Value) -> std::result::Result<Document, &'static str> {
    const PUBLIC: &str = "https://www.w3.org/ns/activitystreams#Public";
    if record["type"] == "Announce" {
        return Err("reposted");
    }
    let note = &record["object"];
    let content = note["content"].as_str().ok_or("no_text")?;
    let is_public = |field: &str| {
        let names = |value: &Value| value == PUBLIC || value == "as:Public" || value == "Public";
        match &note[field] {
            Value::Array(all) => all.iter().any(names),
            one => names(one),
        }
    };
    // What was written to a few must not come out of a model.
    if !is_public("to") && !is_public("cc") {
        return Err("not_public");
    }
    of_html(content.as_bytes())
}

/// What a reader of a page sees.
pub(crate) fn of_html(page: &[u8]) -> std::result::Result<Document, &'static str> {
    let page = terang_documents::read(terang_documents::Format::Html, page.to_vec());
    match page {
        Ok(page) => Ok(Document::text(page.text)),
        Err(terang_documents::DocumentError::NotText) => Err("not_utf8"),
        Err(_) => Err("too_long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conversations_of_all_forms_are_one() {
        let expected = Document::chat([("user", "hi"), ("assistant", "hello")]);
        for record in [
            json!({"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}),
            json!({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}),
            json!({"instruction": "hi", "input": "", "output": "hello"}),
        ] {
            assert_eq!(of_record(&record, None), Ok(expected.clone()), "{record}");
        }
        let said = messages(&expected.text);
        assert_eq!(
            (said[1].role.as_str(), said[1].content.as_str()),
            ("assistant", "hello")
        );
        assert_eq!(readable(&expected.text), "user: hi\nassistant: hello");
        // What somebody says cannot become a message of its own.
        let forged = Document::chat([("user", "a\u{1e}system\u{1f}b")]);
        assert_eq!(messages(&forged.text).len(), 1);
    }

    #[test]
    fn records_without_text_are_told() {
        for (record, reason) in [
            (json!({"txt": "a"}), "no_text"),
            (json!(3), "no_text"),
            (json!({"messages": []}), "chat_without_answer"),
            (
                json!({"messages": [{"role": "alien", "content": "x"}]}),
                "chat_unknown_message",
            ),
        ] {
            assert_eq!(of_record(&record, None), Err(reason));
        }
        let record = json!({"v": [{"t": "a"}, {"t": "b"}, {"u": 1}], "text": "no"});
        assert_eq!(of_record(&record, Some("v.*.t")).unwrap().text, "a\nb");
        assert_eq!(of_record(&record, Some("w.*.t")), Err("no_text"));
    }

    #[test]
    fn posts_are_what_their_writer_made_public() {
        let tweet = json!({"tweet": {"full_text": "salt &amp; rice https://t.co/abc"}});
        assert_eq!(of_tweet(&tweet).unwrap().text, "salt & rice");
        assert_eq!(of_tweet(&json!({"full_text": "RT @x: y"})), Err("reposted"));
        let post = |to: &str| json!({"type": "Create", "object": {"to": [to], "content": "<p>a</p><p>b</p>"}});
        let public = post("https://www.w3.org/ns/activitystreams#Public");
        assert_eq!(of_activity(&public).unwrap().text, "a\n\nb");
        assert_eq!(
            of_activity(&post("https://example.org/users/b")),
            Err("not_public")
        );
    }
}
