//! From a chat as others write it to one of ours. What is no text of a person or a model (tools,
//! hidden instructions) is left out, and what follows it follows what it followed.

use std::collections::{HashMap, HashSet};

use serde::Deserialize;
use serde_json::{Map, Value};
use terang_store::{ImportedChat, Message, Role, Status, new_id, now_ms};

use crate::web::text;

const MESSAGES_MAX: usize = 20_000;
const TITLE_CHARS_MAX: usize = 200;

/// A title, and why its chat cannot be imported.
pub(super) type Refused = (String, String);

/// A chat in any of the forms.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Any {
    title: Option<String>,
    create_time: Option<f64>,
    update_time: Option<f64>,
    mapping: Option<Map<String, Value>>,
    current_node: Option<String>,
    is_archived: Option<bool>,
    chat: Option<Inner>,
    messages: Option<Vec<Own>>,
    created_at: Option<f64>,
    updated_at: Option<f64>,
    archived: Option<bool>,
    pinned: Option<bool>,
}

/// Open WebUI's chat, or what stands before the messages of ours.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Inner {
    title: Option<String>,
    history: Option<History>,
    leaf_id: Option<String>,
    created_at: Option<f64>,
    updated_at: Option<f64>,
    archived: Option<bool>,
    pinned: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct History {
    messages: Map<String, Value>,
    #[serde(rename = "currentId")]
    current_id: Option<String>,
}

/// A message of our own export.
#[derive(Deserialize)]
struct Own {
    id: String,
    parent_id: Option<String>,
    role: String,
    content: String,
    model: Option<String>,
    created_at: Option<f64>,
    #[serde(default)]
    attachments: Vec<Named>,
}

/// A file of our own export, by the identity that it had there.
#[derive(Deserialize)]
struct Named {
    id: String,
}

/// A message on its way: `None` where there is nothing to keep.
struct Node {
    id: String,
    parent: Option<String>,
    kept: Option<(Role, String)>,
    model: Option<String>,
    created_at: i64,
    files: Vec<String>,
}

/// A chat of ours.
pub(super) fn chat(value: Value) -> Result<ImportedChat, Refused> {
    let named = value
        .get("title")
        .or_else(|| value.get("chat")?.get("title"));
    let title: String = named.and_then(Value::as_str).unwrap_or_default().to_owned();
    let title: String = title
        .chars()
        .filter(|c| !c.is_control())
        .take(TITLE_CHARS_MAX)
        .collect();
    let refused = |why: &str| (title.clone(), why.to_owned());
    let any: Any =
        serde_json::from_value(value).map_err(|_| refused("its fields are not those of a chat"))?;
    let inner = any.chat.unwrap_or_default();
    let (nodes, leaf) = if let Some(mapping) = any.mapping {
        (chatgpt(&mapping), any.current_node)
    } else if let Some(history) = inner.history {
        (open_webui(&history.messages), history.current_id)
    } else if let Some(messages) = any.messages {
        (messages.into_iter().map(own).collect(), inner.leaf_id)
    } else {
        return Err(refused("it has no messages"));
    };
    if nodes.len() > MESSAGES_MAX {
        return Err(refused("it has more messages than a chat may have"));
    }
    let (messages, leaf_id) = arrange(&nodes, leaf.as_deref());
    if messages.is_empty() {
        return Err(refused("it has no text"));
    }
    let time = |times: [Option<f64>; 3]| times.into_iter().flatten().next().map(milliseconds);
    let begun = time([any.create_time, any.created_at, inner.created_at]);
    let ended = time([any.update_time, any.updated_at, inner.updated_at]);
    let begun = begun.unwrap_or_else(now_ms);
    Ok(ImportedChat {
        title: if title.is_empty() {
            "Imported".to_owned()
        } else {
            title
        },
        created_at: begun,
        updated_at: ended.unwrap_or(begun),
        leaf_id,
        archived: any
            .is_archived
            .or(any.archived)
            .or(inner.archived)
            .unwrap_or(false),
        pinned: any.pinned.or(inner.pinned).unwrap_or(false),
        messages,
    })
}

/// Times come in seconds or milliseconds.
fn milliseconds(time: f64) -> i64 {
    let ms = if time.abs() < 1e11 {
        time * 1000.0
    } else {
        time
    };
    // Far dates order nothing; casts saturate.
    (ms as i64).clamp(0, 253_402_300_799_999)
}

fn role(name: &str) -> Option<Role> {
    match name {
        "user" => Some(Role::User),
        "assistant" => Some(Role::Assistant),
        _ => None,
    }
}

fn chatgpt(mapping: &Map<String, Value>) -> Vec<Node> {
    let node = |(id, node): (&String, &Value)| {
        let message = &node["message"];
        let hidden = message["metadata"]["is_visually_hidden_from_conversation"] == true;
        let role = role(message["author"]["role"].as_str().unwrap_or_default());
        let text = parts(&message["content"]);
        // What is said to a tool is not said to the person.
        let to_all = message["recipient"].as_str().is_none_or(|to| to == "all");
        let kept = role.filter(|_| !hidden && to_all && !text.trim().is_empty());
        Node {
            id: id.clone(),
            parent: node["parent"].as_str().map(str::to_owned),
            kept: kept.map(|role| (role, text)),
            model: message["metadata"]["model_slug"]
                .as_str()
                .map(str::to_owned),
            created_at: message["create_time"].as_f64().map_or(0, milliseconds),
            files: Vec::new(),
        }
    };
    mapping.iter().map(node).collect()
}

/// The text of a message's content.
fn parts(content: &Value) -> String {
    match content["content_type"].as_str() {
        Some("text" | "multimodal_text") => {
            let parts = content["parts"].as_array().into_iter().flatten();
            let texts = parts
                .filter_map(Value::as_str)
                .filter(|text| !text.is_empty());
            texts.collect::<Vec<_>>().join("\n\n")
        }
        Some("code") => {
            let code = content["text"].as_str().unwrap_or_default();
            format!("```\n{code}\n```")
        }
        _ => String::new(),
    }
}

fn open_webui(messages: &Map<String, Value>) -> Vec<Node> {
    let node = |(id, message): (&String, &Value)| {
        let text = message["content"].as_str().unwrap_or_default();
        let role = role(message["role"].as_str().unwrap_or_default());
        let kept = role.filter(|_| !text.trim().is_empty());
        Node {
            id: id.clone(),
            parent: message["parentId"].as_str().map(str::to_owned),
            kept: kept.map(|role| (role, text.to_owned())),
            model: message["model"].as_str().map(str::to_owned),
            created_at: message["timestamp"].as_f64().map_or(0, milliseconds),
            files: Vec::new(),
        }
    };
    messages.iter().map(node).collect()
}

fn own(message: Own) -> Node {
    let role = match message.role.as_str() {
        "system" => Some(Role::System),
        other => role(other),
    };
    Node {
        id: message.id,
        parent: message.parent_id,
        kept: role.map(|role| (role, message.content)),
        model: message.model,
        created_at: message.created_at.map_or(0, milliseconds),
        files: message
            .attachments
            .into_iter()
            .map(|file| file.id)
            .collect(),
    }
}

/// Parents before children, in the order of the file, and without what is not kept. What hangs on
/// nothing, or on itself, is a beginning.
fn arrange(nodes: &[Node], leaf: Option<&str>) -> (Vec<Message>, Option<String>) {
    let index: HashMap<String, usize> = nodes
        .iter()
        .enumerate()
        .map(|(at, node)| (node.id.clone(), at))
        .collect();
    let parent = |at: usize| {
        let parent = nodes[at].parent.as_ref();
        parent.and_then(|parent| index.get(parent)).copied()
    };
    // The nearest kept one above, by the node; found without recursion, and in rings not at all.
    let mut above: Vec<Option<usize>> = vec![None; nodes.len()];
    let mut known = vec![false; nodes.len()];
    let mut order = Vec::with_capacity(nodes.len());
    for start in 0..nodes.len() {
        let mut way = Vec::new();
        let mut on_way = HashSet::new();
        let mut at = Some(start);
        while let Some(node) = at.filter(|&node| !known[node] && on_way.insert(node)) {
            way.push(node);
            at = parent(node);
        }
        for &node in way.iter().rev() {
            above[node] = parent(node).filter(|&up| known[up]).and_then(|up| {
                if nodes[up].kept.is_some() {
                    Some(up)
                } else {
                    above[up]
                }
            });
            known[node] = true;
            order.push(node);
        }
    }
    let ids: Vec<String> = nodes
        .iter()
        .map(|node| match text::id("id", &node.id) {
            Ok(()) => node.id.clone(),
            // One that cannot be ours: any other will do.
            Err(_) => new_id().unwrap_or_default(),
        })
        .collect();
    let leaf = leaf.and_then(|leaf| index.get(leaf)).copied();
    let leaf = leaf.and_then(|leaf| {
        if nodes[leaf].kept.is_some() {
            Some(leaf)
        } else {
            above[leaf]
        }
    });
    let mut messages = Vec::new();
    let mut last = None;
    for at in order {
        let Some((role, content)) = &nodes[at].kept else {
            continue;
        };
        last = Some(ids[at].clone());
        messages.push(Message {
            id: ids[at].clone(),
            chat_id: String::new(),
            parent_id: above[at].map(|up| ids[up].clone()),
            role: *role,
            content: content.clone(),
            status: Status::Done,
            error: None,
            model: nodes[at].model.clone().filter(|_| *role == Role::Assistant),
            attachments: Value::from(nodes[at].files.clone()).to_string(),
            usage: None,
            sources: None,
            created_at: nodes[at].created_at,
        });
    }
    (messages, leaf.map(|leaf| ids[leaf].clone()).or(last))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(role: &str, text: &str, parent: Option<&str>) -> Value {
        json!({ "parent": parent, "message": {
            "author": { "role": role }, "create_time": 1_700_000_000.5,
            "content": { "content_type": "text", "parts": [text] },
        }})
    }

    #[test]
    fn a_chat_of_chatgpt_keeps_its_branches_and_skips_what_is_hidden() {
        let value = json!({
            "title": "Fruit", "create_time": 1_700_000_000.0, "current_node": "a2",
            "mapping": {
                // A child before its parents, as the export may have it.
                "a2": said("assistant", "Durian.", Some("tool")),
                "root": { "parent": null, "message": null },
                "sys": said("system", "be kind", Some("root")),
                "q1": said("user", "Name one.", Some("sys")),
                "a1": said("assistant", "Mango.", Some("q1")),
                "tool": said("tool", "result", Some("q1")),
            }
        });
        let chat = chat(value).unwrap();
        let got: Vec<_> = chat
            .messages
            .iter()
            .map(|m| (m.id.as_str(), m.parent_id.as_deref(), m.content.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                ("q1", None, "Name one."),
                ("a2", Some("q1"), "Durian."),
                ("a1", Some("q1"), "Mango."),
            ]
        );
        assert_eq!(chat.leaf_id.as_deref(), Some("a2"));
        assert_eq!(chat.created_at, 1_700_000_000_000);
    }

    #[test]
    fn rings_and_loose_ends_are_no_trap() {
        let value = json!({ "title": "x", "mapping": {
            "a": said("user", "1", Some("b")),
            "b": said("assistant", "2", Some("a")),
            "c": said("user", "3", Some("c")),
            "../d": said("user", "4", Some("nowhere")),
        }});
        let chat = chat(value).unwrap();
        assert_eq!(chat.messages.len(), 4);
        let mut seen = HashSet::new();
        for message in &chat.messages {
            assert!(
                message
                    .parent_id
                    .as_ref()
                    .is_none_or(|parent| seen.contains(parent))
            );
            seen.insert(message.id.clone());
        }
    }

    #[test]
    fn chats_of_open_webui_and_of_our_own_are_read() {
        let webui = json!({ "title": "t", "chat": { "title": "t", "history": {
            "currentId": "b", "messages": {
                "a": { "id": "a", "parentId": null, "role": "user", "content": "Hi", "timestamp": 1_700_000_000 },
                "b": { "id": "b", "parentId": "a", "role": "assistant", "content": "Hello", "model": "m" },
            } } } });
        let got = chat(webui).unwrap();
        assert_eq!((got.messages.len(), got.leaf_id.as_deref()), (2, Some("b")));
        assert_eq!(got.messages[1].model.as_deref(), Some("m"));
        let ours = json!({ "chat": { "title": "own", "leaf_id": "a", "pinned": true },
            "messages": [{ "id": "a", "parent_id": null, "role": "user", "content": "Hi",
                "attachments": [{ "id": "f", "name": "a.png" }],
                "created_at": 1_700_000_000_000_i64 }] });
        let got = chat(ours).unwrap();
        assert_eq!((got.title.as_str(), got.pinned), ("own", true));
        assert_eq!(got.messages[0].created_at, 1_700_000_000_000);
        assert_eq!(got.messages[0].attachments, "[\"f\"]");
    }

    #[test]
    fn what_is_no_chat_is_named() {
        for value in [
            json!({ "title": "x" }),
            json!({ "title": "x", "mapping": {} }),
            json!({ "title": "x", "mapping": 7 }),
        ] {
            let (title, why) = chat(value).unwrap_err();
            assert!(title == "x" && !why.is_empty());
        }
        assert!(chat(json!(7)).is_err());
    }
}
