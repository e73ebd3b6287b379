//! A response while it is made: what the engine puts out becomes its items, and the events that tell
//! of them. Whole, streamed and background responses all come from here, so they cannot differ.

use std::sync::Arc;

use super::item::{Item, Part, Role, Status};
use super::object::{
    EventKind, Failure, IncompleteDetails, ResponseEvent, ResponseObject, ResponseStatus,
};
use crate::error::ApiError;
use crate::generate::{Finish, Output, Usage};
use crate::models::Loaded;
use crate::openai::logprobs::{self, TokenWire};
use crate::openai::settings::{new_id, now_s};

/// A response on its way.
pub(super) struct Progress {
    pub(super) response: ResponseObject,
    model: Arc<Loaded>,
    /// Whether probabilities are told.
    logprobs: bool,
    sequence: u64,
    /// The last item is not closed.
    open: bool,
    /// Blanks that have come outside of a message. Before a call they are nobody's text.
    held: (String, Vec<TokenWire>),
    events: Vec<ResponseEvent>,
}

impl Progress {
    pub(super) fn new(response: ResponseObject, model: Arc<Loaded>, logprobs: bool) -> Self {
        Self {
            response,
            model,
            logprobs,
            sequence: 0,
            open: false,
            held: (String::new(), Vec::new()),
            events: Vec::new(),
        }
    }

    /// The events with which a stream begins.
    pub(super) fn begin(&mut self) -> Vec<ResponseEvent> {
        let response = Box::new(self.response.clone());
        self.event(EventKind::Created { response });
        self.response.status = ResponseStatus::InProgress;
        let response = Box::new(self.response.clone());
        self.event(EventKind::InProgress { response });
        std::mem::take(&mut self.events)
    }

    /// Takes what happens; gives the events that tell of it.
    pub(super) fn take(&mut self, output: Output, usage: Usage) -> Vec<ResponseEvent> {
        match output {
            Output::Started { seed } => {
                self.response.seed = Some(seed);
                self.response.status = ResponseStatus::InProgress;
            }
            Output::Prompt(_) => {}
            Output::Token { logprob, text } => {
                let logprob = logprob.filter(|_| self.logprobs);
                let logprobs = logprob.map(|logprob| logprobs::wire(&self.model, &logprob));
                self.text(text, logprobs.into_iter().collect());
            }
            Output::CallBegin { name, .. } => self.begin_call(name),
            Output::CallArguments { text, .. } => self.arguments(text),
            Output::Finished(finish) => self.finish(finish, usage),
            Output::Failed(error) => self.fail(&error, usage),
        }
        std::mem::take(&mut self.events)
    }

    /// Ends it where it is, since its client does not want it any more.
    pub(super) fn cancel(&mut self, usage: Usage) {
        self.end(ResponseStatus::Cancelled, Status::Incomplete, usage);
    }

    fn finish(&mut self, finish: Finish, usage: Usage) {
        if self.response.output.is_empty() {
            let (text, logprobs) = std::mem::take(&mut self.held);
            self.begin_message();
            self.more(text, logprobs);
        }
        match finish {
            Finish::Length => {
                self.response.incomplete_details = Some(IncompleteDetails {
                    reason: "max_output_tokens",
                });
                self.end(ResponseStatus::Incomplete, Status::Incomplete, usage);
                let response = Box::new(self.response.clone());
                self.event(EventKind::Incomplete { response });
            }
            Finish::Stop | Finish::StopString(_) | Finish::ToolCalls => {
                self.response.completed_at = Some(now_s());
                self.end(ResponseStatus::Completed, Status::Completed, usage);
                let response = Box::new(self.response.clone());
                self.event(EventKind::Completed { response });
            }
        }
    }

    fn fail(&mut self, error: &ApiError, usage: Usage) {
        self.response.error = Some(Failure {
            code: error.code.unwrap_or(error.kind),
            message: error.message.clone(),
        });
        self.end(ResponseStatus::Failed, Status::Incomplete, usage);
        let response = Box::new(self.response.clone());
        self.event(EventKind::Failed { response });
    }

    fn end(&mut self, status: ResponseStatus, last: Status, usage: Usage) {
        self.close(last);
        self.response.status = status;
        self.response.usage = Some(usage.into());
    }

    fn event(&mut self, kind: EventKind) {
        self.events.push(ResponseEvent {
            sequence_number: self.sequence,
            kind,
        });
        self.sequence += 1;
    }

    /// The last item's number.
    fn index(&self) -> usize {
        self.response.output.len().saturating_sub(1)
    }

    fn item_id(&self) -> String {
        let last = self.response.output.last();
        last.map_or_else(String::new, |item| item.id().to_owned())
    }

    fn text(&mut self, text: String, logprobs: Vec<TokenWire>) {
        let in_message = matches!(self.response.output.last(), Some(Item::Message { .. }));
        if self.open && in_message {
            return self.more(text, logprobs);
        }
        self.held.0.push_str(&text);
        self.held.1.extend(logprobs);
        if !self.held.0.trim().is_empty() {
            let (text, logprobs) = std::mem::take(&mut self.held);
            self.begin_message();
            self.more(text, logprobs);
        }
    }

    fn begin_message(&mut self) {
        self.begin_item(Item::Message {
            id: new_id("msg_"),
            status: Status::InProgress,
            role: Role::Assistant,
            content: Vec::new(),
        });
        let part = Part::output(String::new(), Vec::new());
        if let Some(Item::Message { content, .. }) = self.response.output.last_mut() {
            content.push(part.clone());
        }
        self.event(EventKind::PartAdded {
            item_id: self.item_id(),
            output_index: self.index(),
            content_index: 0,
            part,
        });
    }

    fn more(&mut self, delta: String, logprobs: Vec<TokenWire>) {
        if delta.is_empty() && logprobs.is_empty() {
            return;
        }
        if let Some(Item::Message { content, .. }) = self.response.output.last_mut()
            && let Some(Part::OutputText {
                text,
                logprobs: all,
                ..
            }) = content.last_mut()
        {
            text.push_str(&delta);
            all.extend_from_slice(&logprobs);
        }
        self.event(EventKind::TextDelta {
            item_id: self.item_id(),
            output_index: self.index(),
            content_index: 0,
            delta,
            logprobs,
        });
    }

    fn begin_call(&mut self, name: String) {
        drop(std::mem::take(&mut self.held));
        self.begin_item(Item::FunctionCall {
            id: new_id("fc_"),
            status: Status::InProgress,
            call_id: new_id("call_"),
            name,
            arguments: String::new(),
        });
    }

    fn arguments(&mut self, delta: String) {
        if delta.is_empty() {
            return;
        }
        if let Some(Item::FunctionCall { arguments, .. }) = self.response.output.last_mut() {
            arguments.push_str(&delta);
        }
        self.event(EventKind::ArgumentsDelta {
            item_id: self.item_id(),
            output_index: self.index(),
            delta,
        });
    }

    fn begin_item(&mut self, item: Item) {
        self.close(Status::Completed);
        self.open = true;
        self.response.output.push(item.clone());
        self.event(EventKind::ItemAdded {
            output_index: self.index(),
            item,
        });
    }

    /// Ends the last item.
    fn close(&mut self, status: Status) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        let (item_id, output_index) = (self.item_id(), self.index());
        let Some(item) = self.response.output.last_mut() else {
            return;
        };
        item.set_status(status);
        let item = item.clone();
        match &item {
            Item::Message { content, .. } => {
                for (content_index, part) in content.iter().enumerate() {
                    if let Part::OutputText { text, logprobs, .. } = part {
                        self.event(EventKind::TextDone {
                            item_id: item_id.clone(),
                            output_index,
                            content_index,
                            text: text.clone(),
                            logprobs: logprobs.clone(),
                        });
                    }
                    self.event(EventKind::PartDone {
                        item_id: item_id.clone(),
                        output_index,
                        content_index,
                        part: part.clone(),
                    });
                }
            }
            Item::FunctionCall {
                name, arguments, ..
            } => self.event(EventKind::ArgumentsDone {
                item_id,
                output_index,
                name: name.clone(),
                arguments: arguments.clone(),
            }),
            Item::FunctionCallOutput { .. } => {}
        }
        self.event(EventKind::ItemDone { output_index, item });
    }
}
