//! The messages of a conversation, and its file: JSON with messages as in OpenAI's API, written
//! beside and renamed.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::messages::Msg;
use crate::problem::{Outcome, Problem, fail};
use crate::store;

const FILE_BYTES_MAX: u64 = 64 << 20;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: String,
}

/// What has been said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conversation {
    /// The system prompt, if there is one.
    pub(super) system: Option<String>,
    turns: Vec<Message>,
}

#[derive(Serialize, Deserialize)]
struct Saved {
    #[serde(default)]
    model: String,
    #[serde(default)]
    date: String,
    messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn new(system: Option<String>) -> Self {
        Self {
            system: system.filter(|s| !s.trim().is_empty()),
            turns: Vec::new(),
        }
    }

    /// All messages, the system prompt first.
    pub(super) fn messages(&self) -> Vec<Message> {
        let system = self.system.iter().map(|content| Message {
            role: Role::System,
            content: content.clone(),
        });
        system.chain(self.turns.iter().cloned()).collect()
    }

    pub(super) fn push(&mut self, role: Role, content: String) {
        self.turns.push(Message { role, content });
    }

    /// Takes back the last message, if it is of `role`.
    pub(super) fn take_back(&mut self, role: Role) -> Option<Message> {
        self.turns.pop_if(|m| m.role == role)
    }

    /// Whether a question stands last.
    pub(super) fn awaits_answer(&self) -> bool {
        self.turns.last().is_some_and(|m| m.role == Role::User)
    }

    pub(super) fn len(&self) -> usize {
        self.turns.len()
    }

    /// Forgets all turns; the system prompt stays.
    pub(super) fn clear(&mut self) {
        self.turns.clear();
    }

    /// Writes the conversation to `path`. A file that is something else is not overwritten.
    pub(super) fn save(&self, path: &Path, model: &str) -> Outcome<()> {
        if path.exists() && read(path).is_err() {
            return Err(fail(Msg::SaveRefused {
                path: path.display().to_string(),
            }));
        }
        let saved = Saved {
            model: model.to_owned(),
            date: store::now(),
            messages: self.messages(),
        };
        let mut text = serde_json::to_vec_pretty(&saved).unwrap_or_default();
        text.push(b'\n');
        store::write_private(path, &text)
    }

    /// Reads a conversation from `path`.
    pub(super) fn load(path: &Path) -> Outcome<Self> {
        let messages = read(path)?;
        let mut turns = messages.into_iter().peekable();
        let system = turns.next_if(|m| m.role == Role::System).map(|m| m.content);
        Ok(Self {
            system,
            turns: turns.collect(),
        })
    }
}

fn read(path: &Path) -> Outcome<Vec<Message>> {
    let invalid = |reason: String| {
        fail(Msg::ConversationInvalid {
            path: path.display().to_string(),
            reason,
        })
    };
    let meta = fs::metadata(path).map_err(|e| Problem::file(path, &e))?;
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        return Err(invalid(format!("{} > {FILE_BYTES_MAX}", meta.len())));
    }
    let text = fs::read_to_string(path).map_err(|e| Problem::file(path, &e))?;
    if let Ok(messages) = serde_json::from_str::<Vec<Message>>(&text) {
        return Ok(messages);
    }
    serde_json::from_str::<Saved>(&text)
        .map(|saved| saved.messages)
        .map_err(|e| invalid(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chat.json");
        let mut chat = Conversation::new(Some("be brief".into()));
        chat.push(Role::User, "hi \u{1b}[31m \"é\"".into());
        chat.push(Role::Assistant, "hello".into());
        chat.save(&path, "m").unwrap();
        chat.save(&path, "m").unwrap();
        assert_eq!(Conversation::load(&path).unwrap(), chat);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn bare_lists_are_read_and_other_files_are_neither_read_nor_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, r#"[{"role":"user","content":"q"}]"#).unwrap();
        assert!(Conversation::load(&path).unwrap().awaits_answer());
        for bad in [
            "",
            "{}",
            "[1]",
            r#"[{"role":"wizard","content":"q"}]"#,
            "\u{0}",
        ] {
            fs::write(&path, bad).unwrap();
            assert!(Conversation::load(&path).is_err(), "{bad:?}");
            assert!(Conversation::default().save(&path, "m").is_err(), "{bad:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
        assert!(Conversation::load(folder.path()).is_err());
    }
}
