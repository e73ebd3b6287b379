//! Answers on their way out in Anthropic's shape: whole, or as named events.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::error_body;
use super::wire::{AnswerBlock, MessageResponse, UsageWire};
use crate::error::{ApiResult, json_body};
use crate::generate::{Answers, Finish, Output};
use crate::http::sse::{self, EventWriter, Gone};
use crate::models::Loaded;
use crate::openai::settings::new_id;

/// What the answer is told with.
pub(super) struct Style {
    pub(super) model: Arc<Loaded>,
    pub(super) stops: Vec<String>,
}

impl Style {
    fn message(&self, content: Vec<AnswerBlock>, usage: UsageWire) -> MessageResponse {
        MessageResponse {
            id: new_id("msg_"),
            kind: "message",
            role: "assistant",
            model: self.model.name.clone(),
            content,
            stop_reason: None,
            stop_sequence: None,
            usage,
        }
    }

    fn reason(&self, finish: Finish) -> (&'static str, Option<String>) {
        match finish {
            Finish::Stop => ("end_turn", None),
            Finish::StopString(index) => ("stop_sequence", self.stops.get(index).cloned()),
            Finish::Length => ("max_tokens", None),
            Finish::ToolCalls => ("tool_use", None),
        }
    }
}

/// Waits for the whole answer.
pub(super) async fn whole(mut answers: Answers, style: &Style) -> ApiResult<Response> {
    let mut blocks: Vec<AnswerBlock> = Vec::new();
    let mut inputs: Vec<String> = Vec::new();
    let mut ended = ("end_turn", None);
    while let Some((_, output)) = answers.next().await {
        match output {
            Output::Started { .. } | Output::Prompt(_) => {}
            Output::Token { text, .. } => match blocks.last_mut() {
                Some(AnswerBlock::Text { text: before }) => before.push_str(&text),
                _ if text.is_empty() => {}
                _ => blocks.push(AnswerBlock::Text { text }),
            },
            Output::CallBegin { name, .. } => {
                inputs.push(String::new());
                blocks.push(AnswerBlock::ToolUse {
                    id: new_id("toolu_"),
                    name,
                    input: Value::Null,
                });
            }
            Output::CallArguments { text, .. } => {
                if let Some(input) = inputs.last_mut() {
                    input.push_str(&text);
                }
            }
            Output::Finished(finish) => ended = style.reason(finish),
            Output::Failed(error) => return Err(error),
        }
    }
    let mut inputs = inputs.into_iter();
    for block in &mut blocks {
        if let AnswerBlock::ToolUse { input, .. } = block {
            let text = inputs.next().unwrap_or_default();
            // Arguments that were cut off are no object; the reason for the end says so.
            *input = serde_json::from_str(&text).unwrap_or_else(|_| json!({}));
        }
    }
    let mut message = style.message(blocks, answers.usage().into());
    (message.stop_reason, message.stop_sequence) = (Some(ended.0), ended.1);
    Ok(json_body(&message))
}

/// Sends the answer as it is written.
pub(super) fn stream(answers: Answers, style: Style) -> Response {
    sse::respond(move |writer| async move {
        Events {
            writer,
            style,
            blocks: 0,
            open: false,
            in_text: false,
        }
        .send(answers)
        .await
    })
}

struct Events {
    writer: EventWriter,
    style: Style,
    /// Blocks that were begun.
    blocks: usize,
    /// The last of them is not closed.
    open: bool,
    in_text: bool,
}

impl Events {
    async fn send(mut self, mut answers: Answers) -> Result<(), Gone> {
        let mut started = false;
        while let Some((_, output)) = self.writer.wait(answers.next()).await? {
            if !started {
                started = true;
                let message = self.style.message(Vec::new(), answers.usage().into());
                self.event("message_start", json!({ "message": message }))
                    .await?;
            }
            match output {
                Output::Started { .. } | Output::Prompt(_) => {}
                Output::Token { text, .. } if text.is_empty() => {}
                Output::Token { text, .. } => {
                    if !self.in_text {
                        self.begin(json!({ "type": "text", "text": "" })).await?;
                        self.in_text = true;
                    }
                    self.delta(json!({ "type": "text_delta", "text": text }))
                        .await?;
                }
                Output::CallBegin { name, .. } => {
                    let id = new_id("toolu_");
                    let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                    self.begin(block).await?;
                }
                Output::CallArguments { text, .. } => {
                    self.delta(json!({ "type": "input_json_delta", "partial_json": text }))
                        .await?;
                }
                Output::Finished(finish) => {
                    self.end_block().await?;
                    let (reason, sequence) = self.style.reason(finish);
                    let usage: UsageWire = answers.usage().into();
                    let delta = json!({ "stop_reason": reason, "stop_sequence": sequence });
                    let event = json!({ "delta": delta, "usage": usage });
                    self.event("message_delta", event).await?;
                    self.event("message_stop", json!({})).await?;
                }
                Output::Failed(error) => {
                    return self.writer.named("error", &error_body(&error)).await;
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self, block: Value) -> Result<(), Gone> {
        self.end_block().await?;
        let event = json!({ "index": self.blocks, "content_block": block });
        self.event("content_block_start", event).await?;
        self.blocks += 1;
        self.open = true;
        Ok(())
    }

    async fn delta(&self, delta: Value) -> Result<(), Gone> {
        let event = json!({ "index": self.blocks.saturating_sub(1), "delta": delta });
        self.event("content_block_delta", event).await
    }

    async fn end_block(&mut self) -> Result<(), Gone> {
        self.in_text = false;
        if std::mem::take(&mut self.open) {
            let event = json!({ "index": self.blocks.saturating_sub(1) });
            self.event("content_block_stop", event).await?;
        }
        Ok(())
    }

    /// Each event says its name a second time in its data.
    async fn event(&self, name: &str, fields: Value) -> Result<(), Gone> {
        let mut event = json!({ "type": name });
        if let (Some(event), Value::Object(fields)) = (event.as_object_mut(), fields) {
            event.extend(fields);
        }
        self.writer.named(name, &event).await
    }
}
