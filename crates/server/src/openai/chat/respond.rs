//! Answers on their way out: whole, or as events.

use std::sync::Arc;

use axum::response::Response;

use super::reason;
use super::wire::{
    AnswerMessage, ChatChunk, ChatResponse, Choice, ChunkChoice, Delta, FunctionCall,
    FunctionDelta, FunctionKind, ToolCall, ToolCallDelta,
};
use crate::error::{ApiResult, json_body};
use crate::generate::{Answers, Finish, Output};
use crate::http::sse::{self, EventWriter, Gone};
use crate::models::Loaded;
use crate::openai::logprobs::{self, ChatLogprobs};
use crate::openai::settings::{new_id, now_s};
use crate::openai::wire::UsageSoFar;

/// How the answer is to be told.
pub(super) struct Style {
    pub(super) model: Arc<Loaded>,
    pub(super) logprobs: bool,
    pub(super) include_usage: bool,
}

#[derive(Default)]
struct Whole {
    text: String,
    calls: Vec<ToolCall>,
    logprobs: ChatLogprobs,
    finish: Option<Finish>,
    seed: u64,
}

/// Waits for all answers.
pub(super) async fn whole(mut answers: Answers, style: &Style, n: usize) -> ApiResult<Response> {
    let mut wholes: Vec<Whole> = (0..n).map(|_| Whole::default()).collect();
    while let Some((index, output)) = answers.next().await {
        let answer = &mut wholes[index];
        match output {
            Output::Started { seed } => answer.seed = seed,
            Output::Prompt(_) => {}
            Output::Token { logprob, text } => {
                answer.text.push_str(&text);
                if let Some(logprob) = logprob {
                    let wire = logprobs::wire(&style.model, &logprob);
                    answer.logprobs.content.push(wire);
                }
            }
            Output::CallBegin { name, .. } => answer.calls.push(ToolCall {
                id: new_id("call_"),
                kind: FunctionKind::Function,
                function: FunctionCall {
                    name,
                    arguments: String::new(),
                    parsed_arguments: None,
                },
                index: None,
            }),
            Output::CallArguments { text, .. } => {
                if let Some(call) = answer.calls.last_mut() {
                    call.function.arguments.push_str(&text);
                }
            }
            Output::Finished(finish) => answer.finish = Some(finish),
            Output::Failed(error) => return Err(error),
        }
    }
    let choices = wholes.into_iter().enumerate().map(|(index, answer)| {
        let only_calls = answer.text.trim().is_empty() && !answer.calls.is_empty();
        Choice {
            index,
            message: AnswerMessage {
                role: "assistant",
                content: (!only_calls).then_some(answer.text),
                refusal: None,
                tool_calls: answer.calls,
            },
            logprobs: style.logprobs.then_some(answer.logprobs),
            finish_reason: answer.finish.map_or("stop", reason),
            seed: answer.seed,
        }
    });
    Ok(json_body(&ChatResponse {
        id: new_id("chatcmpl-"),
        object: "chat.completion",
        created: now_s(),
        model: style.model.name.clone(),
        choices: choices.collect(),
        usage: answers.usage().into(),
    }))
}

/// Sends the answers as they are written.
pub(super) fn stream(answers: Answers, style: Style, n: usize) -> Response {
    sse::respond(move |writer| async move {
        Events {
            writer,
            id: new_id("chatcmpl-"),
            created: now_s(),
            style,
        }
        .send(answers, n)
        .await
    })
}

struct Events {
    writer: EventWriter,
    id: String,
    created: u64,
    style: Style,
}

impl Events {
    async fn send(&self, mut answers: Answers, n: usize) -> Result<(), Gone> {
        for index in 0..n {
            let delta = Delta {
                role: Some("assistant"),
                content: Some(String::new()),
                ..Delta::default()
            };
            self.delta(index, delta, None, None).await?;
        }
        while let Some((index, output)) = self.writer.wait(answers.next()).await? {
            match output {
                Output::Started { .. } | Output::Prompt(_) => {}
                Output::Token { logprob, text } => {
                    let logprobs =
                        logprob
                            .filter(|_| self.style.logprobs)
                            .map(|logprob| ChatLogprobs {
                                content: vec![logprobs::wire(&self.style.model, &logprob)],
                                refusal: None,
                            });
                    if !text.is_empty() || logprobs.is_some() {
                        let delta = Delta {
                            content: Some(text),
                            ..Delta::default()
                        };
                        self.delta(index, delta, logprobs, None).await?;
                    }
                }
                Output::CallBegin { call, name } => {
                    let delta = ToolCallDelta {
                        index: call,
                        id: Some(new_id("call_")),
                        kind: Some(FunctionKind::Function),
                        function: FunctionDelta {
                            name: Some(name),
                            arguments: String::new(),
                        },
                    };
                    self.call(index, delta).await?;
                }
                Output::CallArguments { call, text } => {
                    let delta = ToolCallDelta {
                        index: call,
                        id: None,
                        kind: None,
                        function: FunctionDelta {
                            name: None,
                            arguments: text,
                        },
                    };
                    self.call(index, delta).await?;
                }
                Output::Finished(finish) => {
                    let reason = Some(reason(finish));
                    self.delta(index, Delta::default(), None, reason).await?;
                }
                // The status has gone out already: the stream says what happened, and ends.
                Output::Failed(error) => return self.writer.data(&error.body()).await,
            }
        }
        if self.style.include_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk.usage = Some(UsageSoFar::Told(answers.usage().into()));
            self.writer.data(&chunk).await?;
        }
        self.writer.text("[DONE]").await
    }

    async fn call(&self, index: usize, call: ToolCallDelta) -> Result<(), Gone> {
        let delta = Delta {
            tool_calls: Some(vec![call]),
            ..Delta::default()
        };
        self.delta(index, delta, None, None).await
    }

    async fn delta(
        &self,
        index: usize,
        delta: Delta,
        logprobs: Option<ChatLogprobs>,
        finish_reason: Option<&'static str>,
    ) -> Result<(), Gone> {
        let choice = ChunkChoice {
            index,
            delta,
            logprobs,
            finish_reason,
        };
        self.writer.data(&self.chunk(vec![choice])).await
    }

    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatChunk {
        ChatChunk {
            id: self.id.clone(),
            object: "chat.completion.chunk",
            created: self.created,
            model: self.style.model.name.clone(),
            choices,
            // Where usage is asked for, each event has the field.
            usage: self.style.include_usage.then_some(UsageSoFar::Untold(())),
        }
    }
}
