//! From a branch of messages to the engine's prompt: instructions first, files before the question
//! that they belong to, and nothing cut silently.

use serde_json::{Value, json};
use std::sync::Arc;

use terang_engine::{Constraint, Prompt, Request, Sampling};
use terang_model::template::ChatInput;
use terang_model::tokenizer::Special;
use terang_store::{CallState, Message, Role, ToolCall};

use super::knowledge::quote;
use super::tools::offer::Offer;
use super::tools::result::cut;
use super::visitor::Person;
use super::wire::ChatSettings;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::Order;
use crate::models::Loaded;
use crate::toolcall::{self, Choice, Format};

/// A turn of the model within an answer.
pub(super) struct Turn<'a> {
    /// What the answer says so far.
    pub(super) text: String,
    /// The calls that it has made so far.
    pub(super) calls: &'a [ToolCall],
    /// It goes on within what it was saying, not after it.
    pub(super) go_on: bool,
    /// Tools that may be called.
    pub(super) offer: &'a Offer,
    /// Which of them must be.
    pub(super) choice: Choice,
}

/// What to generate for the place of an answer.
pub(super) async fn order(
    app: &App,
    person: &Person,
    answer: &Message,
    turn: Turn<'_>,
) -> ApiResult<Order> {
    let store = &app.web.store;
    let user = store.user(&person.0.id).await?;
    let chat = store.chat(&user.id, &answer.chat_id).await?;
    let settings: ChatSettings = serde_json::from_str(&chat.settings).unwrap_or_default();
    let name = answer.model.as_deref().unwrap_or_default();
    let model = app.models.get(name).await?;
    let folder = match &chat.folder_id {
        Some(folder) => store.folder(&user.id, folder).await?.instructions,
        None => None,
    };
    let own: Value = serde_json::from_str(&user.settings).unwrap_or_default();
    let instructions = [
        own["custom_instructions"].as_str(),
        folder.as_deref(),
        settings.system.as_deref(),
    ];
    let mut branch = store.branch(&user.id, &chat.id, &answer.id).await?;
    // The answer itself is the last.
    let kept = branch.pop();
    let kept = kept.as_ref().unwrap_or(answer);
    let quoted = quote::before_question(app, &user.id, &settings, &branch, kept, &model).await?;
    let calls = store.calls_of_chat(&user.id, &chat.id).await?;
    let room = result_bytes_max(&model);
    let mut turns: Vec<Value> = Vec::new();
    for message in branch {
        let mut content = with_files(app, &user.id, &message).await?;
        if let Some(quoted) = &quoted
            && answer.parent_id.as_ref() == Some(&message.id)
        {
            content.insert_str(0, quoted);
        }
        if message.role != Role::Assistant {
            add_turn(&mut turns, message.role, &content);
            continue;
        }
        let own = calls.iter().filter(|call| call.message_id == message.id);
        let rest = add_calls(&mut turns, &content, own, room);
        add_turn(&mut turns, Role::Assistant, rest);
    }
    // What the answer says after its last call is gone on with, or nothing yet.
    let begun = add_calls(&mut turns, &turn.text, turn.calls.iter(), room);
    let offered = turn.choice != Choice::None && !turn.offer.tools.is_empty();
    let mut input = ChatInput {
        messages: messages(&instructions, turns),
        tools: if offered {
            turn.offer.definitions()
        } else {
            Vec::new()
        },
        add_generation_prompt: true,
        extra: serde_json::Map::new(),
    };
    if model.tool_format == Format::Generic {
        input.messages = toolcall::fold_into_messages(input.messages, &input.tools);
        input.tools.clear();
    }
    let prompt = if turn.go_on && !begun.is_empty() {
        go_on(&model, input, begun.to_owned()).await?
    } else {
        Prompt::Chat(input)
    };
    let caller = person.caller();
    let request = Request {
        sampling: sampling(&settings, &model),
        max_tokens: settings.max_tokens.map(|tokens| tokens as usize),
        cache_salt: caller.cache_salt,
        constraint: constraint(&model, turn.offer, &turn.choice),
        ..Request::new(prompt)
    };
    let names = turn.offer.tools.iter().map(|offered| offered.name.clone());
    Ok(Order {
        model,
        request,
        n: 1,
        tools: if offered {
            names.collect()
        } else {
            Arc::from([])
        },
        caller,
    })
}

/// Holds an answer to the calls that the person chose.
fn constraint(model: &Loaded, offer: &Offer, choice: &Choice) -> Option<Constraint> {
    let mut tools = offer.for_grammar();
    match choice {
        Choice::Auto | Choice::None => return None,
        Choice::Required => {}
        Choice::Named(name) => tools.retain(|tool| tool.name == *name),
    }
    let tokenizer = model.engine.text().tokenizer();
    let control = |text: &str| tokenizer.id_of(text).filter(|&id| tokenizer.is_special(id));
    let grammar = toolcall::calls(model.tool_format, &tools, false, &control);
    Some(Constraint::Lark(grammar))
}

/// Of one result, what the model is told: a quarter of its context, if three bytes are a token.
fn result_bytes_max(model: &Loaded) -> usize {
    (model.engine.context_len() * 3 / 4).clamp(512, 16 << 10)
}

/// Puts what an answer said and called into messages, up to its last call; gives what it said after.
fn add_calls<'a>(
    turns: &mut Vec<Value>,
    text: &'a str,
    calls: impl Iterator<Item = &'a ToolCall>,
    bytes_max: usize,
) -> &'a str {
    let calls: Vec<&ToolCall> = calls.collect();
    let mut from = 0;
    for round in calls.chunk_by(|one, next| one.round == next.round) {
        let mut at = (round[0].at.max(0) as usize).clamp(from, text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let asked = round.iter().map(|call| {
            json!({ "id": call.id, "type": "function", "function": {
                "name": call.offered, "arguments": toolcall::arguments_value(&call.arguments),
            } })
        });
        turns.push(json!({
            "role": "assistant", "content": text[from..at].trim(),
            "tool_calls": asked.collect::<Vec<_>>(),
        }));
        turns.extend(round.iter().map(|call| {
            json!({ "role": "tool", "tool_call_id": call.id, "name": call.offered,
                "content": told(call, bytes_max) })
        }));
        from = at;
    }
    if calls.is_empty() {
        text
    } else {
        text[from..].trim_start()
    }
}

/// What the model is told of a call.
fn told(call: &ToolCall, bytes_max: usize) -> String {
    match call.state {
        CallState::Done => cut(&call.result, bytes_max),
        CallState::Failed => format!("Error: {}", cut(&call.result, bytes_max)),
        CallState::Denied => "The user did not allow this call.".to_owned(),
        CallState::Waiting | CallState::Running | CallState::Stopped | CallState::Cut => {
            "This call was ended before there was a result.".to_owned()
        }
    }
}

fn sampling(settings: &ChatSettings, model: &Loaded) -> Sampling {
    let default = &model.sampling;
    Sampling {
        temperature: settings.temperature.unwrap_or(default.temperature),
        top_p: settings.top_p.unwrap_or(default.top_p),
        top_k: settings.top_k.map_or(default.top_k, |k| k as usize),
        seed: settings.seed.map(|seed| seed as u64),
        ..default.clone()
    }
}

/// Templates want turns that alternate: an answer that has no text is left out, and what the same
/// one says twice is one turn.
fn add_turn(turns: &mut Vec<Value>, role: Role, content: &str) {
    if content.is_empty() && role == Role::Assistant {
        return;
    }
    if let Some(last) = turns.last_mut()
        && last["role"] == role.name()
        && last.get("tool_calls").is_none()
        && let Some(Value::String(text)) = last.get_mut("content")
    {
        text.push_str("\n\n");
        text.push_str(content);
        return;
    }
    turns.push(json!({ "role": role.name(), "content": content }));
}

fn messages(instructions: &[Option<&str>], turns: Vec<Value>) -> Vec<Value> {
    let told: Vec<&str> = instructions
        .iter()
        .flatten()
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
        .collect();
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if !told.is_empty() {
        messages.push(json!({ "role": "system", "content": told.join("\n\n") }));
    }
    messages.extend(turns);
    messages
}

/// A message with its files before it: the text of each, and of a picture a line that says of it what
/// the model can know.
async fn with_files(app: &App, user_id: &str, message: &Message) -> ApiResult<String> {
    use std::fmt::Write as _;
    let store = &app.web.store;
    let ids: Vec<String> = serde_json::from_str(&message.attachments).unwrap_or_default();
    let mut content = String::new();
    for id in ids {
        let file = store.attachment(user_id, &id).await?;
        if let Some(pixels) = file.pixels {
            content.push_str(&picture(&file.name, &file.mime, pixels));
            continue;
        }
        let (name, text) = store.attachment_text(user_id, &id).await?;
        // A fence longer than any in the text, so that the text cannot end it.
        let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let _ = write!(
            content,
            "File: {name}\n{fence}\n{}\n{fence}\n\n",
            text.trim_end()
        );
    }
    content.push_str(&message.content);
    Ok(content)
}

/// No model here sees pictures. One that is told nothing of them makes up what is in them.
fn picture(name: &str, mime: &str, (width, height): (i64, i64)) -> String {
    format!(
        "Picture: {name} ({mime}, {width} x {height} pixels). You cannot see this picture; you know \
         only this line about it.\n\n"
    )
}

/// The prompt, and what of the answer is there already, as tokens.
async fn go_on(model: &Arc<Loaded>, input: ChatInput, begun: String) -> ApiResult<Prompt> {
    let model = Arc::clone(model);
    let tokens = tokio::task::spawn_blocking(move || {
        let text = model.engine.text();
        // The engine checks tokens against its vocabulary itself.
        let mut tokens = text.encode(&Prompt::Chat(input), usize::MAX)?;
        let begun = text.tokenizer().encode(&begun, Special::Ignore);
        tokens.extend(begun.map_err(terang_engine::Error::from)?);
        Ok::<_, terang_engine::Error>(tokens)
    });
    let tokens = tokens
        .await
        .map_err(|_| ApiError::internal("the prompt could not be prepared"))?;
    Ok(Prompt::Tokens(tokens.map_err(ApiError::from)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_alternate_and_instructions_come_first() {
        let mut turns = Vec::new();
        for (role, text) in [
            (Role::User, "a"),
            (Role::Assistant, ""),
            (Role::User, "b"),
            (Role::Assistant, "c"),
            (Role::User, ""),
        ] {
            add_turn(&mut turns, role, text);
        }
        let all = messages(&[Some("x"), None, Some("  "), Some("y")], turns);
        assert_eq!(
            Value::Array(all),
            json!([
                { "role": "system", "content": "x\n\ny" },
                { "role": "user", "content": "a\n\nb" },
                { "role": "assistant", "content": "c" },
                { "role": "user", "content": "" },
            ])
        );
    }

    #[test]
    fn of_a_picture_one_line_is_told() {
        assert_eq!(
            picture("sawah pagi.jpg", "image/jpeg", (640, 480)),
            "Picture: sawah pagi.jpg (image/jpeg, 640 x 480 pixels). You cannot see this picture; \
             you know only this line about it.\n\n"
        );
    }

    #[test]
    fn calls_stand_where_they_were_made_and_results_after_them() {
        let call = |id: &str, round, at, state| ToolCall {
            id: id.to_owned(),
            message_id: "m".to_owned(),
            round,
            at,
            server_id: "s".to_owned(),
            server: "S".to_owned(),
            tool: "add".to_owned(),
            offered: "add".to_owned(),
            arguments: "{\"a\":1}".to_owned(),
            state,
            result: "x".repeat(100),
            detail: "{}".to_owned(),
            created_at: 0,
            ended_at: None,
        };
        let calls = [
            call("one", 0, 6, CallState::Done),
            call("two", 0, 6, CallState::Denied),
            call("three", 1, 6, CallState::Cut),
        ];
        let mut turns = Vec::new();
        let rest = add_calls(&mut turns, "I add.\n\nIt is two.", calls.iter(), 50);
        assert_eq!(rest, "It is two.");
        let roles: Vec<&str> = turns
            .iter()
            .map(|turn| turn["role"].as_str().unwrap())
            .collect();
        assert_eq!(roles, ["assistant", "tool", "tool", "assistant", "tool"]);
        assert_eq!(turns[0]["content"], "I add.");
        assert_eq!(turns[0]["tool_calls"].as_array().unwrap().len(), 2);
        assert_eq!(turns[0]["tool_calls"][0]["function"]["arguments"]["a"], 1);
        assert!(
            turns[1]["content"]
                .as_str()
                .unwrap()
                .contains("[cut: 50 of 100 bytes")
        );
        assert!(
            turns[2]["content"]
                .as_str()
                .unwrap()
                .contains("did not allow")
        );
        assert_eq!(turns[3]["content"], "");
        assert!(
            turns[4]["content"]
                .as_str()
                .unwrap()
                .contains("ended before")
        );
        // A place that is none of the text's does no harm.
        for at in [-5, 1, 2, 1000] {
            let mut turns = Vec::new();
            add_calls(
                &mut turns,
                "é字",
                [call("x", 0, at, CallState::Done)].iter(),
                50,
            );
        }
        assert_eq!(
            add_calls(&mut Vec::new(), " as it is", [].iter(), 50),
            " as it is"
        );
    }
}
