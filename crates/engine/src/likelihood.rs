//! How likely a model finds endings of a context: what multiple choice is measured by.
//!
//! As in lm-evaluation-harness: the whole text is tokenized, and what is left of it after as many tokens as the
//! context has alone is the ending; spaces at the context's end belong to the ending. Too long a text loses
//! its beginning.

use crate::logprob::log_sum_exp;
use crate::runner::{Chunk, LogitsWanted, Runner, Sequence};
use crate::sampler::{id_of, key_of};
use crate::text::Text;
use crate::{Error, Prompt, Result};

/// Tokens of one call: bounds how many rows of logits exist at once.
const TOKENS_MAX: usize = 256;

/// A context and an ending, as tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Continuation {
    /// What comes before; at least one token.
    context: Vec<u32>,
    /// At least one token.
    ending: Vec<u32>,
}

/// How likely an ending is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Likelihood {
    /// The sum of its tokens' log-probabilities, in nats.
    pub logprob: f64,
    /// Its tokens.
    pub tokens: usize,
    /// Each of them is the likeliest in its place.
    pub is_greedy: bool,
}

impl Continuation {
    /// The tokens of the context and of the ending.
    pub fn tokens(&self) -> (&[u32], &[u32]) {
        (&self.context, &self.ending)
    }

    /// A context with an ending. Before an empty context stands the token that begins or ends a text.
    ///
    /// # Errors
    /// [`Error`] where the ending has no token, or does not fit in `context_len` tokens.
    pub fn new(
        text: &Text,
        vocab_size: usize,
        context_len: usize,
        context: &str,
        ending: &str,
    ) -> Result<Self> {
        let trimmed = context.trim_end();
        let encode = |part: &str| -> Result<Vec<u32>> {
            if part.is_empty() {
                return Ok(Vec::new());
            }
            text.encode(&Prompt::Text(part.to_owned()), vocab_size)
        };
        let mut at = encode(trimmed)?.len();
        let mut whole = encode(&format!("{context}{ending}"))?;
        if at == 0 {
            let begin = beginning(text)?;
            if whole.first() != Some(&begin) {
                whole.insert(0, begin);
            }
            at = 1;
        }
        let n = whole.len().saturating_sub(at);
        if n == 0 || n > context_len {
            let found = format_args!("{n} tokens").to_string();
            return Err(Error::invalid(
                "ending",
                found,
                format!("1 to {context_len}"),
            ));
        }
        // The last token is only predicted.
        let first = (whole.len() - 1).saturating_sub(context_len).min(at - 1);
        Ok(Self {
            context: whole[first..at].to_vec(),
            ending: whole[at..].to_vec(),
        })
    }
}

/// A whole text in windows of `context_len` tokens, of which each but the first begins with one token that the
/// window before it ended with, and the last is as long as the others where there is text for it.
///
/// # Errors
/// [`Error`] where the text has no token, or the model none to begin with.
pub fn windows(
    text: &Text,
    vocab_size: usize,
    context_len: usize,
    whole: &str,
) -> Result<Vec<Continuation>> {
    let mut tokens = vec![beginning(text)?];
    let encoded = text.encode(&Prompt::Text(whole.to_owned()), vocab_size)?;
    let known = usize::from(encoded.first() == tokens.first());
    tokens.extend(&encoded[known..]);
    let mut out = Vec::new();
    let mut at = 1;
    while at < tokens.len() {
        let end = (at + context_len).min(tokens.len());
        let first = (end - 1).saturating_sub(context_len).min(at - 1);
        let first = if at == 1 { 0 } else { first };
        out.push(Continuation {
            context: tokens[first..at].to_vec(),
            ending: tokens[at..end].to_vec(),
        });
        at = end;
    }
    if out.is_empty() {
        return Err(Error::invalid("text", "no tokens", "at least one token"));
    }
    Ok(out)
}

/// The token that stands before a text.
fn beginning(text: &Text) -> Result<u32> {
    let tokenizer = text.tokenizer();
    let begin = tokenizer.add_bos().or_else(|| tokenizer.eos());
    begin.ok_or_else(|| Error::invalid("context", "no text", "some, for this model begins no text"))
}

/// How likely each ending is. Neighbours of the same context share the work for it. `progress` gets the
/// number of those that are done.
///
/// # Errors
/// Those of the runner, and of logits that are no numbers.
pub fn likelihoods(
    runner: &mut dyn Runner,
    continuations: &[Continuation],
    progress: &mut dyn FnMut(usize),
) -> Result<Vec<Likelihood>> {
    let mut found = Vec::with_capacity(continuations.len());
    for same in continuations.chunk_by(|a, b| a.context == b.context) {
        let mut sequence = Sequence::new();
        let result = measure(runner, same, &mut sequence, &mut found);
        runner.blocks().release(&mut sequence);
        result?;
        progress(found.len());
    }
    Ok(found)
}

fn measure(
    runner: &mut dyn Runner,
    same: &[Continuation],
    sequence: &mut Sequence,
    found: &mut Vec<Likelihood>,
) -> Result<()> {
    // All of the context but its last token, whose logits belong to the endings.
    let before = same[0].context.len() - 1;
    for tokens in same[0].context[..before].chunks(TOKENS_MAX) {
        runner.forward(&mut [Chunk {
            sequence,
            tokens,
            logits: LogitsWanted::None,
        }])?;
    }
    for continuation in same {
        found.push(ending(runner, sequence, continuation)?);
        runner.blocks().truncate(sequence, before);
    }
    Ok(())
}

fn ending(
    runner: &mut dyn Runner,
    sequence: &mut Sequence,
    continuation: &Continuation,
) -> Result<Likelihood> {
    let Continuation { context, ending } = continuation;
    let last = &context[context.len() - 1..];
    let inputs = [last, &ending[..ending.len() - 1]].concat();
    let mut found = Likelihood {
        logprob: 0.0,
        tokens: ending.len(),
        is_greedy: true,
    };
    for (tokens, targets) in inputs.chunks(TOKENS_MAX).zip(ending.chunks(TOKENS_MAX)) {
        runner.forward(&mut [Chunk {
            sequence,
            tokens,
            logits: LogitsWanted::All,
        }])?;
        let logits = runner.logits();
        for (row, &target) in targets.iter().enumerate() {
            let row = logits.row(row);
            found.logprob += f64::from(row[target as usize]) - log_sum_exp(row)?;
            let likeliest = (0..).zip(row).map(|(id, &logit)| key_of(id, logit)).min();
            found.is_greedy &= likeliest.map(id_of) == Some(target);
        }
    }
    Ok(found)
}
