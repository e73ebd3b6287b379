//! Between the APIs and the engine: an [`Order`] in, a stream of [`Output`]s out. Each API is a
//! mapping of its wire types to these and knows nothing of threads, channels and cancellation.
//!
//! Invariants: what is not read is bounded, and dropping [`Answers`] cancels what runs.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use terang_engine::{CancelHandle, Event, FinishReason, Request, TokenLogprob};
use tokio::sync::{mpsc, watch};

use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::keys::Caller;
use crate::models::Loaded;
use crate::telemetry::{Asked, Generation};
use crate::toolcall::{Parser, Part};

/// Events of one answer that may wait for a slow reader. Beyond it the answer is cancelled: a
/// reader that far behind has gone.
const EVENTS_WAITING_MAX: usize = 4096;

/// What to generate.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) model: Arc<Loaded>,
    pub(crate) request: Request,
    /// Answers to the one prompt.
    pub(crate) n: usize,
    /// Names of the tools that may be called; empty: the text is not looked into.
    pub(crate) tools: Arc<[String]>,
    pub(crate) caller: Caller,
}

/// What happens to one of the answers.
#[derive(Debug)]
pub(crate) enum Output {
    /// It has its place.
    Started { seed: u64 },
    /// The prompt's log-probabilities.
    Prompt(Vec<Option<TokenLogprob>>),
    /// A token was chosen; `text` is what became final with it.
    Token {
        logprob: Option<TokenLogprob>,
        text: String,
    },
    /// A call of a tool begins.
    CallBegin { call: usize, name: String },
    /// More of its arguments.
    CallArguments { call: usize, text: String },
    /// The answer is complete.
    Finished(Finish),
    /// It could not be done.
    Failed(ApiError),
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The model ended its turn.
    Stop,
    /// This one of the request's stop strings came.
    StopString(usize),
    Length,
    ToolCalls,
}

impl Finish {
    /// In OpenAI's words.
    fn word(self) -> &'static str {
        match self {
            Self::Stop | Self::StopString(_) => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// Tokens used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_field_names,
    reason = "each says of what, and all count the same"
)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) cached_tokens: usize,
    pub(crate) completion_tokens: usize,
}

/// Answers that are being generated.
pub(crate) struct Answers {
    events: mpsc::Receiver<(usize, Event)>,
    cancels: Arc<OnceLock<Vec<CancelHandle>>>,
    overflowed: Arc<AtomicBool>,
    cut: watch::Receiver<bool>,
    states: Vec<AnswerState>,
    ready: VecDeque<(usize, Output)>,
    open: usize,
    usage: Usage,
    model: Arc<Loaded>,
    stops: Vec<String>,
    app: Arc<App>,
    caller: Caller,
    asked: Asked,
    finish_reasons: Vec<&'static str>,
    error: Option<&'static str>,
    begun: Instant,
    first_token: Option<Instant>,
}

#[derive(Default)]
struct AnswerState {
    parser: Option<Parser>,
    calls: usize,
    ended: bool,
    /// Its tokens, where it must be known which stop string came, and bytes of its text.
    ids: Vec<u32>,
    text_bytes: usize,
}

/// Submits an order. What is wrong with it is the error; waiting happens in [`Answers::next`].
pub(crate) async fn start(app: &Arc<App>, mut order: Order) -> ApiResult<Answers> {
    let timeout = Duration::from_secs(app.config.request_timeout_s);
    let begun = Instant::now();
    order.request.deadline = Some(begun + timeout);
    order.request.client = order.caller.client;
    order.request.adapter.clone_from(&order.model.adapter);
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX.saturating_mul(order.n.max(1)));
    let cancels: Arc<OnceLock<Vec<CancelHandle>>> = Arc::default();
    let overflowed: Arc<AtomicBool> = Arc::default();
    let on_event = {
        let (cancels, overflowed) = (Arc::clone(&cancels), Arc::clone(&overflowed));
        move |index: usize, event: Event| {
            // Progress of the prompt is told by nobody.
            if matches!(event, Event::Prefill { .. }) {
                return;
            }
            if sender.try_send((index, event)).is_err() {
                overflowed.store(true, Ordering::Relaxed);
                for cancel in cancels.get().into_iter().flatten() {
                    cancel.cancel();
                }
            }
        }
    };
    let states = (0..order.n).map(|_| AnswerState {
        parser: (!order.tools.is_empty())
            .then(|| order.model.tool_format.parser(Arc::clone(&order.tools))),
        ..AnswerState::default()
    });
    let mut answers = Answers {
        events,
        cancels: Arc::clone(&cancels),
        overflowed,
        cut: app.watch_cut(),
        states: states.collect(),
        ready: VecDeque::new(),
        open: order.n,
        usage: Usage::default(),
        model: Arc::clone(&order.model),
        stops: order.request.stop.clone(),
        app: Arc::clone(app),
        caller: order.caller,
        asked: Asked {
            choices: order.n,
            max_tokens: order.request.max_tokens,
            temperature: Some(order.request.sampling.temperature),
            top_p: Some(order.request.sampling.top_p),
            seed: order.request.sampling.seed,
        },
        finish_reasons: Vec::new(),
        error: None,
        begun,
        first_token: None,
    };
    // Rendering and tokenizing a long prompt takes a while: not on a thread that serves others.
    let (model, request, n) = (order.model, order.request, order.n);
    let submitted = tokio::task::spawn_blocking(move || {
        let handles = if n == 1 {
            let one = model
                .engine
                .submit_with(request, move |event| on_event(0, event));
            one.map(|handle| vec![handle])
        } else {
            model.engine.submit_n(request, n, on_event)
        };
        // A caller that has left meanwhile has closed the channel: the first event then cancels.
        handles.map(|handles| cancels.set(handles))
    })
    .await
    .map_err(|_| ApiError::internal("the request could not be prepared"))?;
    match submitted {
        Ok(_) => Ok(answers),
        Err(error) => {
            let error = ApiError::from(error);
            answers.error = Some(error.code.unwrap_or(error.kind));
            Err(error)
        }
    }
}

impl Answers {
    /// What happens next, with the answer's number; `None` after the end of all.
    pub(crate) async fn next(&mut self) -> Option<(usize, Output)> {
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Some(output);
            }
            if self.open == 0 {
                return None;
            }
            // The channel closes when the engine is gone or has given up on a slow reader.
            let event = tokio::select! {
                event = self.events.recv() => event,
                _ = self.cut.wait_for(|cut| *cut) => None,
            };
            match event {
                Some((index, event)) => self.take(index, event),
                None => self.end_all(),
            }
        }
    }

    /// Tokens used so far by all answers.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    fn end_all(&mut self) {
        let error = if self.overflowed.load(Ordering::Relaxed) {
            ApiError::bad("the answer was read too slowly")
        } else {
            ApiError::unavailable(
                "cancelled",
                "the server ended the answer before it was complete; try again",
            )
        };
        for index in 0..self.states.len() {
            self.end(index, Output::Failed(error.clone()));
        }
    }

    fn end(&mut self, index: usize, output: Output) {
        let state = &mut self.states[index];
        if !state.ended {
            state.ended = true;
            self.open -= 1;
            match &output {
                Output::Finished(finish) => self.finish_reasons.push(finish.word()),
                Output::Failed(error) => self.error = Some(error.code.unwrap_or(error.kind)),
                _ => {}
            }
            self.ready.push_back((index, output));
        }
    }

    fn take(&mut self, index: usize, event: Event) {
        match event {
            Event::Started {
                prompt_tokens,
                cached_tokens,
                seed,
            } => {
                if index == 0 {
                    self.usage.prompt_tokens = prompt_tokens;
                    self.usage.cached_tokens = cached_tokens;
                }
                self.ready.push_back((index, Output::Started { seed }));
            }
            Event::Prefill { .. } => {}
            Event::PromptLogprobs(logprobs) => {
                if index == 0 {
                    self.ready.push_back((index, Output::Prompt(logprobs)));
                }
            }
            Event::Token { id, text, logprob } => {
                self.usage.completion_tokens += 1;
                if self.first_token.is_none() {
                    self.first_token = Some(Instant::now());
                }
                if !self.stops.is_empty() {
                    self.states[index].ids.push(id);
                    self.states[index].text_bytes += text.len();
                }
                let text = self.with_control_text(index, id, text);
                self.text(index, &text, logprob);
            }
            Event::Finished { text, reason, .. } => self.finished(index, &text, reason),
            Event::Failed { message } => {
                self.end(index, Output::Failed(ApiError::internal(message)));
            }
        }
    }

    /// Control tokens have no text; those that mark calls are given theirs for the parser.
    fn with_control_text(&self, index: usize, id: u32, text: String) -> String {
        if self.states[index].parser.is_none() {
            return text;
        }
        let tokenizer = self.model.engine.text().tokenizer();
        if !tokenizer.is_special(id) {
            return text;
        }
        let control = tokenizer.token_text(id).unwrap_or_default();
        let marks = self.model.tool_format.control_texts();
        if marks.contains(&control.as_str()) {
            text + &control
        } else {
            text
        }
    }

    fn text(&mut self, index: usize, text: &str, mut logprob: Option<TokenLogprob>) {
        let Some(parser) = &mut self.states[index].parser else {
            self.ready.push_back((
                index,
                Output::Token {
                    logprob,
                    text: text.to_owned(),
                },
            ));
            return;
        };
        let parts = parser.push(text);
        // A token's log-probability goes out with it, whatever its text has become.
        if logprob.is_some() && !parts.iter().any(|part| matches!(part, Part::Text(_))) {
            self.ready.push_back((
                index,
                Output::Token {
                    logprob: logprob.take(),
                    text: String::new(),
                },
            ));
        }
        self.parts(index, parts, logprob);
    }

    fn parts(&mut self, index: usize, parts: Vec<Part>, mut logprob: Option<TokenLogprob>) {
        let state = &mut self.states[index];
        for part in parts {
            let output = match part {
                Part::Text(text) => Output::Token {
                    logprob: logprob.take(),
                    text,
                },
                Part::Begin { name } => {
                    state.calls += 1;
                    Output::CallBegin {
                        call: state.calls - 1,
                        name,
                    }
                }
                Part::Arguments(text) => Output::CallArguments {
                    call: state.calls.saturating_sub(1),
                    text,
                },
                Part::End => continue,
            };
            self.ready.push_back((index, output));
        }
    }

    /// Which stop string ended an answer, if one did: what its tokens say beyond its text.
    fn stop_string(&self, index: usize) -> Finish {
        let state = &self.states[index];
        if self.stops.is_empty() {
            return Finish::Stop;
        }
        let whole = self
            .model
            .engine
            .text()
            .tokenizer()
            .decode(&state.ids, true);
        let beyond = whole.get(state.text_bytes..).unwrap_or_default();
        (0..self.stops.len())
            .filter(|&stop| beyond.starts_with(&self.stops[stop]))
            .max_by_key(|&stop| self.stops[stop].len())
            .map_or(Finish::Stop, Finish::StopString)
    }

    fn finished(&mut self, index: usize, text: &str, reason: FinishReason) {
        self.states[index].text_bytes += text.len();
        if !text.is_empty() {
            self.text(index, text, None);
        }
        if let Some(mut parser) = self.states[index].parser.take() {
            let rest = parser.finish();
            self.parts(index, rest, None);
        }
        let output = match reason {
            FinishReason::Stop if self.states[index].calls > 0 => {
                Output::Finished(Finish::ToolCalls)
            }
            FinishReason::Stop => Output::Finished(self.stop_string(index)),
            FinishReason::Length => Output::Finished(Finish::Length),
            FinishReason::Deadline => {
                Output::Failed(ApiError::deadline(self.app.config.request_timeout_s))
            }
            FinishReason::Cancelled if self.overflowed.load(Ordering::Relaxed) => {
                Output::Failed(ApiError::bad("the answer was read too slowly"))
            }
            FinishReason::Cancelled => Output::Failed(ApiError::unavailable(
                "cancelled",
                "the server ended the answer before it was complete; try again",
            )),
        };
        self.end(index, output);
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for cancel in self.cancels.get().into_iter().flatten() {
            cancel.cancel();
        }
        let ttft = self.first_token.map(|at| at - self.begun);
        self.app
            .metrics
            .answered(&self.model.name, self.usage, ttft, self.begun.elapsed());
        self.caller.charge(&self.model.name, self.usage);
        if let Some(telemetry) = &self.app.telemetry {
            // Who leaves before the end has left the answers that were open unfinished.
            let left = (self.open > 0).then_some("cancelled");
            telemetry.ended(Generation {
                origin: self.caller.origin,
                model: self.model.name.clone(),
                duration: self.begun.elapsed(),
                ttft,
                usage: self.usage,
                finish_reasons: std::mem::take(&mut self.finish_reasons),
                error: self.error.or(left),
                asked: self.asked,
            });
        }
    }
}
