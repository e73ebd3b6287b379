//! The one place where text enters and leaves: prompts to token ids, chosen tokens to text.

use std::sync::Arc;

use terang_model::template::{ChatTemplate, Limits};
use terang_model::tokenizer::{Detokenizer, Special, Tokenizer};

use crate::stop::StopMatcher;
use crate::{Error, Prompt, Request, Result};

/// A model's tokenizer and chat template.
#[derive(Clone, Debug)]
pub struct Text {
    tokenizer: Arc<Tokenizer>,
    template: Option<ChatTemplate>,
}

impl Text {
    /// Text for a model with this tokenizer and, for one that can chat, this template.
    pub fn new(tokenizer: Arc<Tokenizer>, template: Option<ChatTemplate>) -> Self {
        Self {
            tokenizer,
            template,
        }
    }

    pub(crate) fn shared_tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.tokenizer)
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template, if the model has one.
    pub fn template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The tokens of a prompt: at least one, all below `vocab_size`.
    pub fn encode(&self, prompt: &Prompt, vocab_size: usize) -> Result<Vec<u32>> {
        let ids = match prompt {
            Prompt::Chat(conversation) => {
                let template = self.template.as_ref().ok_or_else(|| {
                    Error::invalid(
                        "prompt",
                        "a conversation",
                        "plain text, since this model has no chat template",
                    )
                })?;
                let rendered = template.render(conversation, &Limits::default())?;
                self.tokenizer.encode_chat(&rendered)?
            }
            Prompt::Text(text) => {
                let mut ids: Vec<u32> = self.tokenizer.add_bos().into_iter().collect();
                ids.extend(self.tokenizer.encode(text, Special::Ignore)?);
                ids
            }
            Prompt::Tokens(ids) => ids.clone(),
        };
        if ids.is_empty() {
            return Err(Error::invalid("prompt", "no tokens", "at least one token"));
        }
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(Error::invalid(
                "prompt",
                format_args!("token id {id}"),
                format!("token ids below {vocab_size}"),
            ));
        }
        Ok(ids)
    }

    /// The bytes of one token in the middle of a text, which need not be whole characters; `None` if
    /// the vocabulary lacks it.
    pub fn token_text(&self, id: u32) -> Option<Vec<u8>> {
        self.tokenizer.token_bytes(id)
    }

    /// The tokens that end an answer to this request, ascending.
    pub(crate) fn ends(&self, request: &Request) -> Vec<u32> {
        let mut ends = request.stop_tokens.clone();
        if !request.ignore_eos {
            ends.extend(self.tokenizer.eos_ids());
        }
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The way back for one answer, which `ends` end.
    pub(crate) fn stream(&self, request: &Request, ends: &[u32]) -> TextStream {
        TextStream {
            tokenizer: Arc::clone(&self.tokenizer),
            detokenizer: Detokenizer::new(true),
            matcher: StopMatcher::new(request.stop.clone()),
            ends: ends.to_vec(),
            unmatched: request.min_tokens.saturating_sub(1),
            ended: false,
        }
    }
}

/// The text of one answer, token by token.
#[derive(Debug)]
pub(crate) struct TextStream {
    tokenizer: Arc<Tokenizer>,
    detokenizer: Detokenizer,
    matcher: StopMatcher,
    ends: Vec<u32>,
    /// Tokens to come in whose text no stop string is looked for.
    unmatched: usize,
    /// A stop string is complete.
    ended: bool,
}

impl TextStream {
    /// Takes a chosen token. Gives the text that is final now and whether the answer ends here,
    /// which it does at a token that ends the model's turn and at a stop string.
    pub(crate) fn push(&mut self, id: u32) -> (String, bool) {
        if self.ends.binary_search(&id).is_ok() {
            return (String::new(), true);
        }
        let text = self.detokenizer.push(&self.tokenizer, id);
        if self.unmatched > 0 {
            self.unmatched -= 1;
            return (text, false);
        }
        self.release(&text)
    }

    /// The answer has ended: gives the text that was held back.
    pub(crate) fn finish(&mut self) -> String {
        let rest = self.detokenizer.flush();
        let (mut text, _) = self.release(&rest);
        if !self.ended {
            text.push_str(&self.matcher.finish());
        }
        text
    }

    fn release(&mut self, text: &str) -> (String, bool) {
        if self.ended {
            return (String::new(), true);
        }
        let released = self.matcher.push(text);
        self.ended = released.stopped;
        (released.text, released.stopped)
    }
}
