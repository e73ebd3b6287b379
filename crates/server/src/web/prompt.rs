//! From a branch of messages to the engine's prompt: instructions first, files before the question
//! that they belong to, and nothing cut silently.

use serde_json::{Value, json};
use std::sync::Arc;

use terang_engine::{Prompt, Request, Sampling};
use terang_model::template::ChatInput;
use terang_model::tokenizer::Special;
use terang_store::{Message, Role};

use super::knowledge::quote;
use super::visitor::Person;
use super::wire::ChatSettings;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::generate::Order;
use crate::models::Loaded;

/// What to generate for the place of an answer.
pub(super) async fn order(
    app: &App,
    person: &Person,
    answer: &Message,
    continued: bool,
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
    let mut turns: Vec<(&'static str, String)> = Vec::new();
    for message in branch {
        let mut content = with_files(app, &user.id, &message).await?;
        if let Some(quoted) = &quoted
            && answer.parent_id.as_ref() == Some(&message.id)
        {
            content.insert_str(0, quoted);
        }
        add_turn(&mut turns, message.role, content);
    }
    let messages = messages(&instructions, turns);
    let input = ChatInput {
        messages,
        tools: Vec::new(),
        add_generation_prompt: true,
        extra: serde_json::Map::new(),
    };
    let prompt = if continued && !answer.content.is_empty() {
        go_on(&model, input, answer.content.clone()).await?
    } else {
        Prompt::Chat(input)
    };
    let caller = person.caller();
    let request = Request {
        sampling: sampling(&settings, &model),
        max_tokens: settings.max_tokens.map(|tokens| tokens as usize),
        cache_salt: caller.cache_salt,
        ..Request::new(prompt)
    };
    Ok(Order {
        model,
        request,
        n: 1,
        tools: Arc::from([]),
        caller,
    })
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
fn add_turn(turns: &mut Vec<(&'static str, String)>, role: Role, content: String) {
    if content.is_empty() && role == Role::Assistant {
        return;
    }
    match turns.last_mut() {
        Some((last, text)) if *last == role.name() => {
            text.push_str("\n\n");
            text.push_str(&content);
        }
        _ => turns.push((role.name(), content)),
    }
}

fn messages(instructions: &[Option<&str>], turns: Vec<(&'static str, String)>) -> Vec<Value> {
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
    let turns = turns.into_iter();
    messages.extend(turns.map(|(role, content)| json!({ "role": role, "content": content })));
    messages
}

/// A message with the texts of its files before it.
async fn with_files(app: &App, user_id: &str, message: &Message) -> ApiResult<String> {
    use std::fmt::Write as _;
    let ids: Vec<String> = serde_json::from_str(&message.attachments).unwrap_or_default();
    let mut content = String::new();
    for id in ids {
        let (name, text) = app.web.store.attachment_text(user_id, &id).await?;
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
            add_turn(&mut turns, role, text.to_owned());
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
}
