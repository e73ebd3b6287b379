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
