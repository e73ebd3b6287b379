//! Chat templates: the model's own Jinja template, sandboxed and bounded.

/// A conversation with what its template may want to see besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChatInput {
    /// Messages as in OpenAI's API: objects with `role`, `content` and, where they apply,
    /// `tool_calls`, `tool_call_id`, `name`, `reasoning_content`.
    pub messages: Vec<serde_json::Value>,
    /// Tool definitions as in OpenAI's API.
    pub tools: Vec<serde_json::Value>,
    /// End with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// Further variables of the template (`enable_thinking`, …).
    pub extra: serde_json::Map<String, serde_json::Value>,
}

/// A prompt that a chat template wrote.
///
/// Strings that came from the conversation may contain the text of control tokens. Places where
/// such a text would begin are marked by a guard, a character that occurs nowhere else, so that
/// [`crate::tokenizer::Tokenizer::encode_chat`] can tell them from the template's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    marked: String,
    guard: Option<char>,
}

impl Rendered {
    /// The text without guards, and the byte places in it that had one before them, ascending.
    pub(crate) fn unguarded(&self) -> (std::borrow::Cow<'_, str>, Vec<usize>) {
        let Some(guard) = self.guard else {
            return (std::borrow::Cow::Borrowed(&self.marked), Vec::new());
        };
        let mut text = String::with_capacity(self.marked.len());
        let mut places = Vec::new();
        for (i, piece) in self.marked.split(guard).enumerate() {
            if i > 0 {
                places.push(text.len());
            }
            text.push_str(piece);
        }
        (std::borrow::Cow::Owned(text), places)
    }

    /// The prompt as text.
    pub fn text(&self) -> String {
        self.unguarded().0.into_owned()
    }
}
