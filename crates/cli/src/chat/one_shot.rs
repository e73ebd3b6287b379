//! One question, one answer, and out.

use serde_json::json;

use super::Ready;
use super::conversation::{Conversation, Role};
use super::session::{Answer, Session};
use super::settings::Settings;
use crate::args;
use crate::markdown::Renderer;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};
use crate::pull::Progress;
use crate::terminal;

/// Answers `question`.
pub(super) fn run(
    ready: &Ready<'_>,
    args: &args::Chat,
    settings: &Settings,
    question: String,
) -> Outcome<()> {
    let session = ready.session(args.model.as_deref())?;
    let mut chat = Conversation::new(args.system.clone());
    chat.push(Role::User, question);
    let progress = Progress::new(ready.quiet);
    let mut renderer = Renderer::new(terminal::width(), terminal::stdout_is_rich());
    let answer = session.answer(&chat.messages(), settings, &progress, &mut |piece| {
        if args.json {
            Ok(())
        } else {
            output::write(&renderer.push(piece))
        }
    })?;
    if args.json {
        output::json(&as_json(&session, &answer))?;
    } else {
        output::write(&renderer.finish())?;
        if !args.quiet && answer.reason == terang_engine::FinishReason::Length {
            progress.line(&Msg::AnswerCut {
                tokens: answer.stats.completion_tokens.to_string(),
            });
        }
    }
    if answer.reason == terang_engine::FinishReason::Cancelled {
        return Err(Problem::Interrupted);
    }
    Ok(())
}

fn as_json(session: &Session, answer: &Answer) -> serde_json::Value {
    json!({
        "model": session.name(),
        "text": answer.text,
        "finish_reason": answer.reason_name(),
        "prompt_tokens": answer.stats.prompt_tokens,
        "cached_tokens": answer.stats.cached_tokens,
        "completion_tokens": answer.stats.completion_tokens,
        "seed": answer.seed,
        "timings": {
            "ttft_ms": answer.stats.ttft_ms,
            "prefill_ms": answer.stats.prefill_ms,
            "decode_ms": answer.stats.decode_ms,
            "tokens_per_s": answer.tokens_per_s(),
        },
    })
}
