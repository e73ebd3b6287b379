//! `/v1/completions`: plain text to go on with, several prompts at once, and the probabilities of
//! given text, which is what evaluations ask for.

pub(crate) mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use terang_engine::{LOGPROBS_MAX, Prompt, Request, TokenLogprob};

use self::wire::{CompletionChoice, CompletionLogprobs, CompletionRequest, CompletionResponse};
use crate::app::App;
use crate::error::{ApiError, ApiResult, json_body};
use crate::generate::{self, Answers, Finish, Output, Usage};
use crate::http::body::Json;
use crate::http::sse::{self, EventWriter, Gone};
use crate::keys::Caller;
use crate::models::Loaded;
use crate::openai::logprobs::{finite, text_of};
use crate::openai::settings::{self, Wanted, new_id, now_s};
use crate::openai::wire::{Inputs, UsageSoFar};

/// Prompts of one request.
const PROMPTS_MAX: usize = 64;
/// As OpenAI's API has it.
const MAX_TOKENS_DEFAULT: u64 = 16;

/// Goes on with texts.
#[utoipa::path(
    post, path = "/v1/completions", tag = "completions", request_body = CompletionRequest,
    responses(
        (status = 200, description = "the texts, or their events with `stream`", body = CompletionResponse),
        (status = "4XX", description = "what is wrong with the request", body = crate::error::ErrorBody),
        (status = "5XX", description = "not now", body = crate::error::ErrorBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<CompletionRequest>,
) -> ApiResult<Response> {
    let model = app.models.get(&request.model).await?;
    let stream = request.stream == Some(true);
    if !stream && request.stream_options.is_some() {
        return Err(ApiError::invalid(
            "stream_options",
            "allowed only together with stream",
        ));
    }
    let include_usage = request
        .stream_options
        .is_some_and(|options| options.include_usage == Some(true));
    let plan = plan(&app, &model, request, &caller)?;
    let mut jobs = Vec::with_capacity(plan.prompts.len());
    for tokens in plan.prompts {
        let echoed = plan.echo.then(|| echo_text(&model, &tokens));
        // Nothing is to be found out: the prompt itself is all that comes.
        let nothing = plan.request.max_tokens == Some(0) && plan.request.prompt_logprobs.is_none();
        let answers = if nothing {
            None
        } else {
            let request = Request {
                prompt: Prompt::Tokens(tokens.clone()),
                ..plan.request.clone()
            };
            let caller = plan.caller.clone();
            let order = settings::order(Arc::clone(&model), request, plan.n, Vec::new(), caller);
            Some(generate::start(&app, order).await?)
        };
        jobs.push(Job {
            answers,
            echoed,
            tokens,
        });
    }
    let told = Told {
        id: new_id("cmpl-"),
        created: now_s(),
        model,
        logprobs: plan.logprobs,
        n: plan.n,
        include_usage,
    };
    if stream {
        Ok(sse::respond(move |writer| async move {
            told.stream(jobs, writer).await
        }))
    } else {
        told.whole(jobs).await
    }
}

struct Plan {
    prompts: Vec<Vec<u32>>,
    request: Request,
    n: usize,
    echo: bool,
    logprobs: bool,
    caller: Caller,
}

struct Job {
    answers: Option<Answers>,
    echoed: Option<String>,
    tokens: Vec<u32>,
}

fn plan(app: &App, model: &Loaded, request: CompletionRequest, caller: &Caller) -> ApiResult<Plan> {
    settings::refuse(&[("suffix", request.suffix.as_ref(), &["".into()])])?;
    let n = settings::count(app, request.n)?;
    if request.best_of.is_some_and(|best_of| best_of != n as u64) {
        return Err(ApiError::unsupported(
            "best_of",
            "allowed is the same number as n",
        ));
    }
    let echo = request.echo == Some(true);
    let wanted = request.max_tokens.unwrap_or(MAX_TOKENS_DEFAULT);
    if wanted == 0 && !echo {
        return Err(ApiError::invalid(
            "max_tokens",
            "found 0, which is allowed only with echo",
        ));
    }
    let max_tokens = settings::max_tokens("max_tokens", Some(wanted), model)?;
    let logprobs = match request.logprobs {
        Some(count) if count > LOGPROBS_MAX as u64 => {
            return Err(ApiError::invalid(
                "logprobs",
                format!("found {count}, allowed 0 to {LOGPROBS_MAX}"),
            ));
        }
        count => count.map(|count| count as usize),
    };
    let prompts = match request.prompt {
        Inputs::Tokens(lists) => lists,
        Inputs::Texts(texts) => {
            let texts = texts.into_iter();
            texts
                .map(|text| Ok(model.engine.encode(&Prompt::Text(text))?))
                .collect::<ApiResult<_>>()?
        }
    };
    if prompts.is_empty() || prompts.len() > PROMPTS_MAX {
        return Err(ApiError::invalid(
            "prompt",
            format!(
                "found {} prompts, allowed 1 to {PROMPTS_MAX}",
                prompts.len()
            ),
        ));
    }
    for tokens in &prompts {
        model.engine.encode(&Prompt::Tokens(tokens.clone()))?;
    }
    let sampling = Wanted {
        temperature: request.temperature,
        top_p: request.top_p,
        top_k: request.top_k,
        min_p: request.min_p,
        presence_penalty: request.presence_penalty,
        frequency_penalty: request.frequency_penalty,
        repetition_penalty: request.repetition_penalty,
        logit_bias: request.logit_bias.as_ref(),
        seed: request.seed,
    }
    .sampling(model)?;
    let caller = settings::caller(
        caller.clone(),
        request.user.as_deref(),
        request.prompt_cache_key.as_deref(),
    );
    Ok(Plan {
        prompts,
        request: Request {
            sampling,
            max_tokens,
            stop: request.stop.map(|stop| stop.0).unwrap_or_default(),
            stop_tokens: request.stop_token_ids.unwrap_or_default(),
            ignore_eos: request.ignore_eos == Some(true),
            min_tokens: request.min_tokens.unwrap_or(0).min(u64::from(u32::MAX)) as usize,
            logprobs,
            prompt_logprobs: logprobs.filter(|_| echo),
            constraint: settings::structured(request.structured_outputs.as_ref())?,
            priority: request.priority.unwrap_or(0),
            ..Request::new(Prompt::Tokens(Vec::new()))
        },
        n,
        echo,
        logprobs: logprobs.is_some(),
        caller,
    })
}

fn echo_text(model: &Loaded, tokens: &[u32]) -> String {
    model.engine.text().tokenizer().decode(tokens, true)
}

/// How the texts are told.
struct Told {
    id: String,
    created: u64,
    model: Arc<Loaded>,
    logprobs: bool,
    n: usize,
    include_usage: bool,
}

impl Told {
    fn response(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<UsageSoFar>,
    ) -> CompletionResponse {
        CompletionResponse {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.name.clone(),
            choices,
            usage,
        }
    }

    async fn whole(&self, jobs: Vec<Job>) -> ApiResult<Response> {
        let (mut choices, mut used) = (Vec::new(), Usage::default());
        for (number, mut job) in jobs.into_iter().enumerate() {
            let echoed = job.echoed.take().unwrap_or_default();
            let mut of_prompt = None;
            let mut texts: Vec<CompletionChoice> = (0..self.n)
                .map(|index| CompletionChoice {
                    index: number * self.n + index,
                    text: echoed.clone(),
                    logprobs: self.logprobs.then(CompletionLogprobs::default),
                    finish_reason: Some("length"),
                })
                .collect();
            let usage = match &mut job.answers {
                None => Usage {
                    prompt_tokens: job.tokens.len(),
                    ..Usage::default()
                },
                Some(answers) => {
                    while let Some((index, output)) = answers.next().await {
                        let choice = &mut texts[index];
                        match output {
                            Output::Prompt(logprobs) => of_prompt = Some(logprobs),
                            Output::Token { logprob, text } => {
                                self.add(choice.logprobs.as_mut(), logprob.as_ref(), None);
                                choice.text.push_str(&text);
                            }
                            Output::Finished(finish) => {
                                choice.finish_reason = Some(reason(finish));
                            }
                            Output::Failed(error) => return Err(error),
                            Output::Started { .. }
                            | Output::CallBegin { .. }
                            | Output::CallArguments { .. } => {}
                        }
                    }
                    answers.usage()
                }
            };
            if let Some(of_prompt) = of_prompt {
                let prompt = self.of_prompt(&job.tokens, &of_prompt);
                for choice in &mut texts {
                    choice.logprobs = choice.logprobs.take().map(|own| join(prompt.clone(), own));
                }
            }
            for choice in &mut texts {
                if let Some(logprobs) = &mut choice.logprobs {
                    offsets(logprobs);
                }
            }
            choices.extend(texts);
            add(&mut used, usage);
        }
        Ok(json_body(
            &self.response(choices, Some(UsageSoFar::Told(used.into()))),
        ))
    }

    /// One prompt after the other: all of them are being answered meanwhile.
    async fn stream(&self, jobs: Vec<Job>, writer: EventWriter) -> Result<(), Gone> {
        let mut used = Usage::default();
        for (number, mut job) in jobs.into_iter().enumerate() {
            let waits_for_prompt = job.answers.is_some() && self.logprobs && job.echoed.is_some();
            let echoed = job.echoed.take();
            if let Some(text) = echoed.clone().filter(|_| !waits_for_prompt) {
                for index in 0..self.n {
                    let done = job.answers.is_none().then_some("length");
                    self.event(&writer, number, index, text.clone(), None, done)
                        .await?;
                }
            }
            let Some(answers) = &mut job.answers else {
                used.prompt_tokens += job.tokens.len();
                continue;
            };
            let mut offset = vec![0; self.n];
            while let Some((index, output)) = writer.wait(answers.next()).await? {
                let mut logprobs = self.logprobs.then(CompletionLogprobs::default);
                let (text, finish) = match output {
                    Output::Prompt(of_prompt) => {
                        for (index, offset) in offset.iter_mut().enumerate() {
                            let mut logprobs = self.of_prompt(&job.tokens, &of_prompt);
                            *offset = offsets(&mut logprobs);
                            let text = echoed.clone().unwrap_or_default();
                            self.event(&writer, number, index, text, Some(logprobs), None)
                                .await?;
                        }
                        continue;
                    }
                    Output::Token { logprob, text } => {
                        self.add(
                            logprobs.as_mut(),
                            logprob.as_ref(),
                            Some(&mut offset[index]),
                        );
                        (text, None)
                    }
                    Output::Finished(finish) => (String::new(), Some(reason(finish))),
                    Output::Failed(error) => return writer.data(&error.body()).await,
                    Output::Started { .. }
                    | Output::CallBegin { .. }
                    | Output::CallArguments { .. } => continue,
                };
                let nothing = logprobs.as_ref().is_none_or(|l| l.tokens.is_empty());
                if text.is_empty() && finish.is_none() && nothing {
                    continue;
                }
                let logprobs = logprobs.filter(|_| !nothing);
                self.event(&writer, number, index, text, logprobs, finish)
                    .await?;
            }
            add(&mut used, answers.usage());
        }
        if self.include_usage {
            writer
                .data(&self.response(Vec::new(), Some(UsageSoFar::Told(used.into()))))
                .await?;
        }
        writer.text("[DONE]").await
    }

    async fn event(
        &self,
        writer: &EventWriter,
        number: usize,
        index: usize,
        text: String,
        logprobs: Option<CompletionLogprobs>,
        finish_reason: Option<&'static str>,
    ) -> Result<(), Gone> {
        let choice = CompletionChoice {
            index: number * self.n + index,
            text,
            logprobs,
            finish_reason,
        };
        let usage = self.include_usage.then_some(UsageSoFar::Untold(()));
        writer.data(&self.response(vec![choice], usage)).await
    }

    fn of_prompt(&self, ids: &[u32], found: &[Option<TokenLogprob>]) -> CompletionLogprobs {
        let mut logprobs = CompletionLogprobs::default();
        for (&id, token) in ids.iter().zip(found) {
            if token.is_some() {
                self.add(Some(&mut logprobs), token.as_ref(), None);
            } else {
                // Nothing stands before the first token from which to tell it.
                logprobs.tokens.push(text_of(&self.model, id).0);
                logprobs.token_logprobs.push(None);
                logprobs.top_logprobs.push(None);
            }
        }
        logprobs
    }

    /// Adds a token whose probability is known.
    fn add(
        &self,
        logprobs: Option<&mut CompletionLogprobs>,
        token: Option<&TokenLogprob>,
        offset: Option<&mut usize>,
    ) {
        let (Some(logprobs), Some(token)) = (logprobs, token) else {
            return;
        };
        let (text, _) = text_of(&self.model, token.id);
        if let Some(offset) = offset {
            logprobs.text_offset.push(*offset);
            *offset += text.chars().count();
        }
        let top: BTreeMap<String, f32> = token
            .top
            .iter()
            .map(|&(id, logprob)| (text_of(&self.model, id).0, finite(logprob)))
            .collect();
        logprobs.tokens.push(text);
        logprobs.token_logprobs.push(Some(finite(token.logprob)));
        logprobs.top_logprobs.push(Some(top));
    }
}

fn join(mut first: CompletionLogprobs, second: CompletionLogprobs) -> CompletionLogprobs {
    first.tokens.extend(second.tokens);
    first.token_logprobs.extend(second.token_logprobs);
    first.top_logprobs.extend(second.top_logprobs);
    first
}

/// Fills in where each token begins, and gives where the last one ends.
fn offsets(logprobs: &mut CompletionLogprobs) -> usize {
    let mut at = 0;
    logprobs.text_offset.clear();
    for token in &logprobs.tokens {
        logprobs.text_offset.push(at);
        at += token.chars().count();
    }
    at
}

fn add(sum: &mut Usage, usage: Usage) {
    sum.prompt_tokens += usage.prompt_tokens;
    sum.cached_tokens += usage.cached_tokens;
    sum.completion_tokens += usage.completion_tokens;
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "length",
        Finish::Stop | Finish::StopString(_) | Finish::ToolCalls => "stop",
    }
}
