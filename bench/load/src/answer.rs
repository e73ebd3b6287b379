//! What is read from an answer: its text, its end, and how many tokens the server counted.

use serde::Deserialize;

/// An event of a stream, or a whole answer, of `/v1/completions` or `/v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(crate) struct Part {
    /// The answers, or pieces of them.
    #[serde(default)]
    pub(crate) choices: Vec<Choice>,
    /// Tokens, where told.
    pub(crate) usage: Option<Usage>,
    /// What went wrong after the stream had begun.
    pub(crate) error: Option<serde_json::Value>,
}

/// A piece of one answer.
#[derive(Debug, Deserialize)]
pub(crate) struct Choice {
    text: Option<String>,
    delta: Option<Message>,
    message: Option<Message>,
    /// Why it ended.
    pub(crate) finish_reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    content: Option<String>,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Usage {
    /// Read.
    #[serde(default)]
    pub(crate) prompt_tokens: u64,
    /// Written.
    #[serde(default)]
    pub(crate) completion_tokens: u64,
}

impl Choice {
    /// Its text.
    pub(crate) fn text(&self) -> &str {
        let message = self.delta.as_ref().or(self.message.as_ref());
        let content = message.and_then(|message| message.content.as_ref());
        self.text.as_ref().or(content).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_both_routes() {
        for (event, text) in [
            (r#"{"choices":[{"text":"a","finish_reason":null}]}"#, "a"),
            (
                r#"{"choices":[{"delta":{"content":"b"}}],"usage":null}"#,
                "b",
            ),
            (
                r#"{"choices":[{"delta":{"role":"assistant","content":null}}]}"#,
                "",
            ),
            (r#"{"choices":[{"message":{"content":"c"}}]}"#, "c"),
        ] {
            let part: Part = serde_json::from_str(event).unwrap();
            assert_eq!(part.choices[0].text(), text);
        }
        let last = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
        let part: Part = serde_json::from_str(last).unwrap();
        assert_eq!(part.usage.map(|usage| usage.completion_tokens), Some(2));
    }
}
