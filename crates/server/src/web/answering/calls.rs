//! What a turn of the model asked for: each call is shown, allowed by the person or for good, made,
//! and its result kept. Nothing is called that was not allowed; what a result says allows nothing.

use std::time::Duration;

use serde_json::{Map, Value, json};
use terang_store::{Allowed, CallState, StoreError, ToolCall};
use tokio::time::Instant;

use super::make::{Making, told_to_stop};
use crate::app::App;
use crate::error::ApiError;
use crate::web::tools::ToolError;
use crate::web::tools::offer::{Offer, Offered};
use crate::web::tools::result::Outcome;

/// Calls that one turn of the model may ask for.
const CALLS_MAX: usize = 8;
const ARGUMENTS_BYTES_MAX: usize = 64 << 10;
/// So long a person is waited for.
const DECISION_MAX: Duration = Duration::from_mins(30);
/// So often it is looked whether another process of this server has heard the decision.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A call that the model asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    name: String,
    arguments: String,
    too_long: bool,
}

impl Wanted {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// More of its arguments.
    pub(super) fn write(&mut self, more: &str) {
        if self.arguments.len() + more.len() > ARGUMENTS_BYTES_MAX {
            self.too_long = true;
        } else {
            self.arguments.push_str(more);
        }
    }

    fn read(&self) -> Result<Map<String, Value>, &'static str> {
        if self.too_long {
            return Err("the arguments are too long");
        }
        if self.arguments.trim().is_empty() {
            return Ok(Map::new());
        }
        match serde_json::from_str(&self.arguments) {
            Ok(Value::Object(arguments)) => Ok(arguments),
            Ok(_) | Err(_) => Err("the arguments are not a JSON object"),
        }
    }
}

/// How calls ended.
pub(super) enum Ran {
    /// The model goes on.
    On,
    /// The person ended the answer.
    Stopped,
    /// The server is ending.
    Cut,
    /// What is kept cannot be kept.
    Failed(ApiError),
}

/// Has the calls of one turn made, one after the other.
pub(super) async fn run(
    making: &mut Making<'_>,
    offer: &Offer,
    wanted: Vec<Wanted>,
    round: i64,
) -> Ran {
    for (index, wanted) in wanted.into_iter().enumerate() {
        let Some(offered) = offer.find(&wanted.name).filter(|_| index < CALLS_MAX) else {
            continue;
        };
        match one(making, offered, wanted, round).await {
            Ok(Ran::On) => {}
            Ok(other) => return other,
            // The answer was deleted: nobody waits for it.
            Err(StoreError::NotFound) => return Ran::Stopped,
            Err(error) => return Ran::Failed(error.into()),
        }
    }
    Ran::On
}

async fn one(
    making: &mut Making<'_>,
    offered: &Offered,
    wanted: Wanted,
    round: i64,
) -> Result<Ran, StoreError> {
    let (store, user) = (&making.app.web.store, making.person.0.id.as_str());
    let chat = making.answer.chat_id.as_str();
    let text = making.live.text();
    // What was said before is kept before the call that follows it.
    store.grow(chat, &making.answer.id, &text).await?;
    let tool = Allowed {
        server_id: &offered.server.id,
        tool: &offered.tool.name,
        digest: &offered.tool.digest,
    };
    let read = wanted.read();
    let state = match &read {
        Err(_) => CallState::Failed,
        Ok(_) if store.is_tool_allowed(user, chat, tool).await? => CallState::Running,
        Ok(_) => CallState::Waiting,
    };
    let mut detail = Map::from_iter([("tool".to_owned(), offered.tool.digest.clone().into())]);
    if let Some(meta) = &offered.tool.meta {
        detail.insert("tool_meta".to_owned(), meta.clone());
    }
    let new = ToolCall {
        id: String::new(),
        message_id: making.answer.id.clone(),
        round,
        at: text.len() as i64,
        server_id: offered.server.id.clone(),
        server: offered.server.name.clone(),
        tool: offered.tool.name.clone(),
        offered: offered.name.clone(),
        arguments: wanted.arguments.clone(),
        state,
        result: read
            .as_ref()
            .err()
            .map_or(String::new(), ToString::to_string),
        detail: Value::Object(detail.clone()).to_string(),
        created_at: 0,
        ended_at: (state == CallState::Failed).then(terang_store::now_ms),
    };
    let mut call = store.add_call(user, chat, new).await?;
    making.live.put_call(call.clone());
    let Ok(arguments) = read else {
        return Ok(Ran::On);
    };
    if call.state == CallState::Waiting {
        call = match decision(making, &call).await? {
            Decided::Now(call) => *call,
            Decided::Never(state, ran) => {
                end(making, call, state, String::new(), &detail).await?;
                return Ok(ran);
            }
        };
        making.live.put_call(call.clone());
        if call.state != CallState::Running {
            return Ok(Ran::On);
        }
    }
    let mut cut = making.app.watch_cut();
    // On the heap, since it is large.
    let call_it = Box::pin(make(making.app, offered, arguments));
    let work = async {
        tokio::select! {
            done = call_it => Some(done),
            _ = cut.wait_for(|cut| *cut) => None,
        }
    };
    let done = making.unless_stopped(work).await;
    let (state, result, ran) = match done {
        None => (CallState::Stopped, String::new(), Ran::Stopped),
        Some(None) => (CallState::Cut, String::new(), Ran::Cut),
        Some(Some(Err(error))) => (CallState::Failed, why(&error), Ran::On),
        Some(Some(Ok(outcome))) => {
            let state = if outcome.failed {
                CallState::Failed
            } else {
                CallState::Done
            };
            detail.extend(outcome.detail);
            (state, outcome.text, Ran::On)
        }
    };
    end(making, call, state, result, &detail).await?;
    Ok(ran)
}

/// Makes a call that was allowed, of the server that it was asked for alone: people take their time,
/// and meanwhile it may be gone, switched off, or lead elsewhere.
async fn make(
    app: &App,
    offered: &Offered,
    arguments: Map<String, Value>,
) -> Result<Outcome, ToolError> {
    let server = match app.web.store.tool_server(&offered.server.id).await {
        Ok(server) => server,
        Err(StoreError::NotFound) => return Err(ToolError::Changed),
        Err(error) => {
            tracing::error!(%error, "it cannot be seen how a server of tools is set up");
            return Err(ToolError::Ended);
        }
    };
    if !server.enabled {
        return Err(ToolError::Disabled);
    }
    if server.spec != offered.server.spec {
        return Err(ToolError::Changed);
    }
    let tools = &app.web.tools;
    tools.call(&server, &offered.tool.name, arguments).await
}

fn why(error: &ToolError) -> String {
    format!("the tool could not be used: {error}")
}

async fn end(
    making: &Making<'_>,
    call: ToolCall,
    state: CallState,
    result: String,
    detail: &Map<String, Value>,
) -> Result<(), StoreError> {
    let detail = json!(detail).to_string();
    let (store, chat) = (&making.app.web.store, &making.answer.chat_id);
    store
        .end_call(chat, &call.id, state, &result, &detail)
        .await?;
    making.live.put_call(ToolCall {
        state,
        result,
        detail,
        ended_at: Some(terang_store::now_ms()),
        ..call
    });
    Ok(())
}

enum Decided {
    /// As it is kept now.
    Now(Box<ToolCall>),
    /// Nobody decides on it any more.
    Never(CallState, Ran),
}

/// Waits for the person.
async fn decision(making: &mut Making<'_>, call: &ToolCall) -> Result<Decided, StoreError> {
    let (store, user) = (&making.app.web.store, making.person.0.id.as_str());
    let (chat, id) = (making.answer.chat_id.as_str(), making.answer.id.as_str());
    let until = Instant::now() + DECISION_MAX;
    let mut looks = 0;
    loop {
        tokio::select! {
            () = making.live.decided.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told_to_stop(&mut making.stop) => {
                return Ok(Decided::Never(CallState::Stopped, Ran::Stopped));
            }
        }
        match store.call(user, chat, &call.id).await {
            Ok(now) if now.state == CallState::Waiting => {}
            Ok(now) => return Ok(Decided::Now(Box::new(now))),
            Err(StoreError::NotFound) => return Err(StoreError::NotFound),
            // The database may come back.
            Err(error) => tracing::error!(%error, "it cannot be seen whether a call is allowed"),
        }
        // A server that ends does not wait for people.
        if making.app.is_draining() {
            return Ok(Decided::Never(CallState::Cut, Ran::Cut));
        }
        if Instant::now() >= until {
            return Ok(Decided::Never(CallState::Stopped, Ran::Stopped));
        }
        looks += 1;
        if looks % 5 == 0 {
            let _ = store.grow(chat, id, &making.live.text()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_an_object_and_bounded() {
        let read = |text: &str| {
            let mut wanted = Wanted::new("add".to_owned());
            wanted.write(text);
            wanted.read()
        };
        assert_eq!(read("").unwrap(), Map::new());
        assert_eq!(read("{\"a\": 1}").unwrap()["a"], 1);
        for bad in ["[1]", "1", "{\"a\": ", "null"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(
            read(&format!(
                "{{\"a\": \"{}\"}}",
                "x".repeat(ARGUMENTS_BYTES_MAX)
            ))
            .is_err()
        );
    }
}
