//! A conversation at the prompt.

use std::path::Path;

use terang_engine::FinishReason;

use super::Ready;
use super::attachments::{self, Attachment};
use super::commands::{self, Command};
use super::conversation::{Conversation, Role};
use super::input::{Input, Prompt};
use super::session::{Answer, Session};
use super::settings::Settings;
use crate::args;
use crate::catalogue::Catalogue;
use crate::interrupt;
use crate::markdown::Renderer;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, fail, misuse};
use crate::pull::Progress;
use crate::terminal;

/// Talks until the person leaves.
pub(super) fn run(
    ready: &Ready<'_>,
    args: &args::Chat,
    settings: Settings,
    files: Vec<Attachment>,
) -> Outcome<()> {
    use std::io::IsTerminal;
    if args.json || !std::io::stdin().is_terminal() {
        return Err(misuse(Msg::NothingAsked {}));
    }
    let session = ready.session(args.model.as_deref())?;
    let history = ready.data.history();
    let models = Catalogue::load()?
        .models
        .into_iter()
        .map(|m| m.name)
        .collect();
    let editor = |e: rustyline::error::ReadlineError| {
        fail(Msg::OutputFailed {
            reason: e.to_string(),
        })
    };
    let mut prompt = Prompt::new(models, &history, terminal::stdout_is_rich()).map_err(editor)?;
    let mut talk = Talk {
        ready,
        session,
        chat: Conversation::new(args.system.clone()),
        settings,
        files,
        last: None,
        progress: Progress::new(args.quiet),
    };
    if !args.quiet {
        talk.banner()?;
    }
    let mut interrupted = false;
    let ended = loop {
        match prompt.read().map_err(editor)? {
            Input::End => break Ok(()),
            Input::Interrupt if interrupted => break Ok(()),
            Input::Interrupt => {
                interrupted = true;
                talk.progress.line(&Msg::LeaveHint {});
                continue;
            }
            Input::Text(text) if text.trim().is_empty() => {}
            Input::Text(text) => match talk.act(&text) {
                Ok(Next::Stay) => {}
                Ok(Next::Leave) => break Ok(()),
                Err(Problem::OutputClosed) => break Err(Problem::OutputClosed),
                // What went wrong with one line does not end the conversation.
                Err(problem) => complain(&problem),
            },
        }
        interrupted = false;
        interrupt::reset();
    };
    prompt.save(&history);
    ended
}

fn complain(problem: &Problem) {
    output::note(&format!("{}: {problem}", Msg::ErrorPrefix {}));
}

enum Next {
    Stay,
    Leave,
}

struct Talk<'a> {
    ready: &'a Ready<'a>,
    session: Session,
    chat: Conversation,
    settings: Settings,
    /// Files that go with the first question.
    files: Vec<Attachment>,
    last: Option<Answer>,
    progress: Progress,
}

impl Talk<'_> {
    fn banner(&self) -> Outcome<()> {
        let model = self.session.name().to_owned();
        output::line(&Msg::Banner { model }.to_string())?;
        if !self.session.can_chat() {
            output::line(&Msg::BaseModel {}.to_string())?;
        }
        Ok(())
    }

    fn act(&mut self, text: &str) -> Outcome<Next> {
        if !commands::is_command(text) {
            let files = std::mem::take(&mut self.files);
            self.chat
                .push(Role::User, attachments::with_files(text, &files));
            return self.respond(&self.settings.clone()).map(|()| Next::Stay);
        }
        match commands::parse(text)? {
            Command::Help => output::line(&Msg::ReplHelp {}.to_string())?,
            Command::Quit => return Ok(Next::Leave),
            Command::System(text) => self.system(text)?,
            Command::Model(name) => self.model(&name)?,
            Command::Clear => {
                self.chat.clear();
                self.last = None;
                output::line(&Msg::Cleared {}.to_string())?;
            }
            Command::Retry => self.retry()?,
            Command::Save(path) => {
                self.chat.save(Path::new(&path), self.session.name())?;
                output::line(&Msg::Saved { path }.to_string())?;
            }
            Command::Load(path) => {
                self.chat = Conversation::load(Path::new(&path))?;
                self.last = None;
                let count = self.chat.len().to_string();
                output::line(&Msg::Loaded { path, count }.to_string())?;
            }
            Command::Stats => self.stats()?,
            Command::Set(text) => self.set(&text)?,
        }
        Ok(Next::Stay)
    }

    /// Answers the question that stands last. One that cannot be answered is taken back, so that
    /// the conversation stays as it was.
    fn respond(&mut self, settings: &Settings) -> Outcome<()> {
        let mut renderer = Renderer::new(terminal::width(), terminal::stdout_is_rich());
        let answer = self.session.answer(
            &self.chat.messages(),
            settings,
            &self.progress,
            &mut |piece| output::write(&renderer.push(piece)),
        );
        let answer = match answer {
            Ok(answer) => answer,
            Err(problem) => {
                let _ = output::write(&renderer.finish());
                self.chat.take_back(Role::User);
                return Err(problem);
            }
        };
        output::write(&renderer.finish())?;
        match answer.reason {
            FinishReason::Cancelled => self.progress.line(&Msg::AnswerStopped {}),
            FinishReason::Length => self.progress.line(&Msg::AnswerCut {
                tokens: answer.stats.completion_tokens.to_string(),
            }),
            // No deadline is set here.
            FinishReason::Stop | FinishReason::Deadline => {}
        }
        output::write("\n")?;
        self.chat.push(Role::Assistant, answer.text.clone());
        self.last = Some(answer);
        Ok(())
    }

    fn retry(&mut self) -> Outcome<()> {
        let taken = self.chat.take_back(Role::Assistant);
        if !self.chat.awaits_answer() {
            if let Some(message) = taken {
                self.chat.push(message.role, message.content);
            }
            return Err(misuse(Msg::NothingToRetry {}));
        }
        // The same seed would give the same answer.
        let mut settings = self.settings.clone();
        settings.seed = None;
        self.respond(&settings)
    }

    fn system(&mut self, text: String) -> Outcome<()> {
        if text.is_empty() {
            let shown = self.chat.system.clone();
            return output::line(&shown.unwrap_or_else(|| Msg::NoSystem {}.to_string()));
        }
        self.chat.system = (text != "-").then_some(text);
        output::line(&Msg::SystemSet {}.to_string())
    }

    fn model(&mut self, name: &str) -> Outcome<()> {
        if !name.is_empty() {
            self.session = self.ready.session(Some(name))?;
        }
        self.banner()
    }

    fn set(&mut self, text: &str) -> Outcome<()> {
        if let Some((key, value)) = text.split_once(char::is_whitespace) {
            self.settings.set(key, value.trim())?;
        } else if !text.is_empty() {
            return Err(misuse(Msg::SetNeedsValue {
                key: text.to_owned(),
            }));
        }
        output::write(&self.settings.describe(self.session.recommended()))
    }

    fn stats(&self) -> Outcome<()> {
        let Some(answer) = &self.last else {
            return output::line(&Msg::NoStats {}.to_string());
        };
        let stats = &answer.stats;
        output::line(
            &Msg::Stats {
                prompt: stats.prompt_tokens.to_string(),
                cached: stats.cached_tokens.to_string(),
                completion: stats.completion_tokens.to_string(),
                ttft: format!("{:.0}", stats.ttft_ms),
                speed: format!("{:.1}", answer.tokens_per_s()),
                seed: answer.seed.to_string(),
            }
            .to_string(),
        )
    }
}
