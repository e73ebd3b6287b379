//! `/v1/responses`: conversations that the server keeps, on the same way into the engine as chat.
//!
//! - `wire`, `item`, `object`: what is asked, what a conversation consists of, what is told.
//! - `order`: from a request to an order.
//! - `progress`: from outputs to items and events.
//! - `store`: what is kept, and for whom.

mod item;
mod object;
mod order;
mod progress;
mod store;
mod wire;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::response::Response;
use tokio::sync::{oneshot, watch};

use self::item::Item;
use self::object::{Deleted, ItemList};
use self::progress::Progress;
use self::store::{Conversation, Running};
use crate::app::App;
use crate::error::{ApiError, ApiResult, ErrorBody, json_body};
use crate::generate::{self, Answers, Output};
use crate::http::body::Json;
use crate::http::sse;
use crate::keys::Caller;

pub(crate) use self::object::{ResponseEvent, ResponseObject};
pub(crate) use self::store::Store;
pub(crate) use self::wire::ResponsesRequest;

/// What is said of a response that is not there.
const NOT_KEPT: &str = "there is no such response: it was not stored, was deleted, has made room for \
                        newer ones, or the server was started anew";

/// Answers a conversation, and keeps it.
#[utoipa::path(
    post, path = "/v1/responses", tag = "responses", request_body = ResponsesRequest,
    responses(
        (status = 200, description = "the response, or its events with `stream`", body = ResponseObject),
        (status = "4XX", description = "what is wrong with the request", body = ErrorBody),
        (status = "5XX", description = "not now", body = ErrorBody),
    )
)]
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Json(request): Json<ResponsesRequest>,
) -> ApiResult<Response> {
    let model = app.models.get(&request.model).await?;
    let (stream, owner) = (request.stream == Some(true), caller.client);
    let plan = order::plan(&app, &model, request, caller)?;
    let background = plan.response.background;
    let answers = generate::start(&app, plan.order)
        .await
        .map_err(order::renamed)?;
    let making = Making {
        app,
        owner,
        conversation: plan.conversation,
        progress: Progress::new(plan.response, model, plan.logprobs),
        answers,
    };
    if stream {
        Ok(making.stream())
    } else if background {
        Ok(making.in_background())
    } else {
        making.whole().await
    }
}

/// A response that is being made.
struct Making {
    app: Arc<App>,
    owner: u64,
    conversation: Conversation,
    progress: Progress,
    answers: Answers,
}

impl Making {
    /// Waits for the whole response.
    async fn whole(mut self) -> ApiResult<Response> {
        while let Some((_, output)) = self.answers.next().await {
            if let Output::Failed(error) = output {
                return Err(error);
            }
            self.progress.take(output, self.answers.usage());
        }
        let body = json_body(&self.progress.response);
        self.keep();
        Ok(body)
    }

    /// Keeps the response as it is now, if it is to be kept.
    fn keep(&mut self) {
        let response = &self.progress.response;
        if response.store {
            let conversation = std::mem::take(&mut self.conversation);
            let store = &self.app.responses;
            store.insert(self.owner, response.clone(), conversation, None);
        }
    }

    /// Sends the response as it is written.
    fn stream(mut self) -> Response {
        sse::respond(move |writer| async move {
            for event in self.progress.begin() {
                writer.named(event.kind.name(), &event).await?;
            }
            while let Some((_, output)) = writer.wait(self.answers.next()).await? {
                let events = self.progress.take(output, self.answers.usage());
                // Whoever reads of the end can go on with the response at once.
                if self.progress.response.status.is_end() {
                    self.keep();
                }
                for event in events {
                    writer.named(event.kind.name(), &event).await?;
                }
            }
            writer.text("[DONE]").await
        })
    }

    /// Goes on without a connection. What is kept says how far it is; when that is removed, the
    /// making ends too.
    fn in_background(mut self) -> Response {
        let (stop, mut stopped) = oneshot::channel();
        let (ending, ended) = watch::channel(());
        let response = self.progress.response.clone();
        let body = json_body(&response);
        let running = Running {
            stop: Some(stop),
            ended,
        };
        let conversation = std::mem::take(&mut self.conversation);
        let store = &self.app.responses;
        store.insert(self.owner, response, conversation, Some(running));
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = self.answers.next() => next,
                    _ = &mut stopped => {
                        self.progress.cancel(self.answers.usage());
                        break;
                    }
                };
                let Some((_, output)) = next else { break };
                let begins = matches!(output, Output::Started { .. });
                self.progress.take(output, self.answers.usage());
                if begins {
                    self.app.responses.update(self.progress.response.clone());
                }
            }
            self.app.responses.update(self.progress.response.clone());
            drop(ending);
        });
        body
    }
}

/// The identity in the path. One that is no text is nobody's.
fn identity(id: Result<Path<String>, PathRejection>) -> ApiResult<String> {
    id.map(|Path(id)| id).map_err(|_| not_kept())
}

fn not_kept() -> ApiError {
    ApiError::not_found(NOT_KEPT)
}

/// Reads a kept response.
#[utoipa::path(
    get, path = "/v1/responses/{response_id}", tag = "responses",
    params(("response_id" = String, Path, description = "by which the response is known")),
    responses(
        (status = 200, description = "the response", body = ResponseObject),
        (status = "4XX", description = "no such response", body = ErrorBody),
    )
)]
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> ApiResult<Response> {
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "include_obfuscation" => {}
            "stream" if value == "false" => {}
            "include" | "include[]" => check_include(&value)?,
            "stream" | "starting_after" => {
                return Err(ApiError::unsupported(
                    &name,
                    "a kept response is not sent as a stream",
                ));
            }
            _ => return Err(unknown(&name)),
        }
    }
    let response = app.responses.get(caller.client, &identity(id)?);
    Ok(json_body(&*response.ok_or_else(not_kept)?))
}

/// Forgets a response. One that is being made in the background ends.
#[utoipa::path(
    delete, path = "/v1/responses/{response_id}", tag = "responses",
    params(("response_id" = String, Path, description = "by which the response is known")),
    responses(
        (status = 200, description = "it is forgotten", body = Deleted),
        (status = "4XX", description = "no such response", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> ApiResult<Response> {
    let id = identity(id)?;
    if !app.responses.remove(caller.client, &id) {
        return Err(not_kept());
    }
    Ok(json_body(&Deleted {
        id,
        object: "response",
        deleted: true,
    }))
}

/// Ends a response that is being made in the background. One that has ended stays as it is.
#[utoipa::path(
    post, path = "/v1/responses/{response_id}/cancel", tag = "responses",
    params(("response_id" = String, Path, description = "by which the response is known")),
    responses(
        (status = 200, description = "the response", body = ResponseObject),
        (status = "4XX", description = "no such response, or not in the background", body = ErrorBody),
    )
)]
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> ApiResult<Response> {
    let (owner, id) = (caller.client, identity(id)?);
    let response = app.responses.get(owner, &id).ok_or_else(not_kept)?;
    if !response.background {
        return Err(ApiError::bad(
            "only a response with background: true can be cancelled; others end when their \
             connection does",
        ));
    }
    if let Some(mut ended) = app.responses.stop(owner, &id) {
        // Nothing is ever sent: it closes.
        while ended.changed().await.is_ok() {}
    }
    let response = app.responses.get(owner, &id).ok_or_else(not_kept)?;
    Ok(json_body(&*response))
}

/// Lists what the model was given for a response, earlier turns included.
#[utoipa::path(
    get, path = "/v1/responses/{response_id}/input_items", tag = "responses",
    params(
        ("response_id" = String, Path, description = "by which the response is known"),
        ("limit" = Option<u64>, Query, description = "most items, 1 to 100; 20 where nothing is said"),
        ("order" = Option<String>, Query, description = "`desc`, the newest first, or `asc`"),
        ("after" = Option<String>, Query, description = "the last item of the page before"),
    ),
    responses(
        (status = 200, description = "the items", body = ItemList),
        (status = "4XX", description = "no such response", body = ErrorBody),
    )
)]
pub(crate) async fn input_items(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> ApiResult<Response> {
    const PAGE: usize = 20;
    const PAGE_MAX: usize = 100;
    let (mut limit, mut newest_first, mut after) = (PAGE, true, None);
    for (name, value) in pairs(query)? {
        match name.as_str() {
            "limit" => {
                let wanted = value.parse().ok();
                let wanted = wanted.filter(|wanted| (1..=PAGE_MAX).contains(wanted));
                limit = wanted.ok_or_else(|| {
                    ApiError::invalid("limit", format!("allowed are 1 to {PAGE_MAX}"))
                })?;
            }
            "order" => {
                newest_first = match value.as_str() {
                    "asc" => false,
                    "desc" => true,
                    _ => return Err(ApiError::invalid("order", "allowed are asc and desc")),
                };
            }
            "after" => after = Some(value),
            "include" | "include[]" => check_include(&value)?,
            _ => return Err(unknown(&name)),
        }
    }
    let conversation = app.responses.input(caller.client, &identity(id)?);
    let conversation = conversation.ok_or_else(not_kept)?;
    let mut items: Vec<Item> = conversation.items().cloned().collect();
    if newest_first {
        items.reverse();
    }
    let (data, has_more) = order::page(items, after.as_deref(), limit);
    let id = |item: Option<&Item>| item.map(|item| item.id().to_owned());
    Ok(json_body(&ItemList {
        object: "list",
        first_id: id(data.first()),
        last_id: id(data.last()),
        has_more,
        data,
    }))
}

fn pairs(
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> ApiResult<Vec<(String, String)>> {
    let Query(pairs) = query.map_err(|_| ApiError::bad("query: not pairs of names and values"))?;
    Ok(pairs)
}

/// What there may be besides is in the response already.
fn check_include(name: &str) -> ApiResult<()> {
    match name {
        "message.output_text.logprobs" | "reasoning.encrypted_content" => Ok(()),
        _ => Err(ApiError::unsupported(
            "include",
            "supported is message.output_text.logprobs",
        )),
    }
}

fn unknown(name: &str) -> ApiError {
    // A name of any length comes back cut: an error is no echo.
    let name: String = name.chars().take(80).collect();
    let mut error = ApiError::invalid(&name, "unknown parameter");
    error.code = Some("unknown_parameter");
    error
}
