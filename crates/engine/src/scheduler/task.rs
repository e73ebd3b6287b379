//! One request on its way: its tokens, how they are chosen, and who is told.

use std::sync::Arc;
use std::time::Instant;

use terang_model::Adapter;

use super::harvest::Harvest;
use super::line::Standing;
use crate::constraint::Matcher;
use crate::logprob::token_logprob;
use crate::prefix::Salt;
use crate::runner::{Logits, LogitsWanted, Sequence};
use crate::sampler::Sampler;
use crate::speculate::{Lookup, Wish};
use crate::{FinishReason, Result, Stats, TokenLogprob};

/// One generation, as token ids.
#[derive(Debug)]
pub(crate) struct Job {
    /// At least one token; with `max_tokens`, within the context. A job that harvests may have no
    /// tokens to choose.
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampler: Sampler,
    pub(crate) max_tokens: usize,
    pub(crate) submitted: Instant,
    /// Tokens that are not chosen before there are `min_tokens`, ascending.
    pub(crate) end_tokens: Vec<u32>,
    pub(crate) min_tokens: usize,
    /// When to end with what there is.
    pub(crate) deadline: Option<Instant>,
    pub(crate) client: u64,
    pub(crate) priority: i32,
    /// Whom beginnings are shared with.
    pub(crate) cache_salt: u64,
    /// What its tokens go through besides the model.
    pub(crate) adapter: Option<Arc<Adapter>>,
    /// Log-probabilities of the tokens chosen, with this many alternatives.
    pub(crate) logprobs: Option<usize>,
    /// What is wanted of the prompt itself.
    pub(crate) harvest: Option<Harvest>,
    /// What the answer must look like.
    pub(crate) matcher: Option<Matcher>,
}

impl Job {
    /// A job with nothing special about it.
    pub(crate) fn new(prompt: Vec<u32>, sampler: Sampler, max_tokens: usize) -> Self {
        Self {
            prompt,
            sampler,
            max_tokens,
            submitted: Instant::now(),
            end_tokens: Vec::new(),
            min_tokens: 0,
            deadline: None,
            client: 0,
            priority: 0,
            cache_salt: 0,
            adapter: None,
            logprobs: None,
            harvest: None,
            matcher: None,
        }
    }
}

/// Where a job's progress goes, and where its end may come from.
pub(crate) trait Sink: Send {
    /// The job has its place; this much of its prompt is in the cache. Called once.
    fn started(&mut self, cached_tokens: usize);
    /// This much of the prompt is done.
    fn prefill(&mut self, done: usize);
    /// How likely the prompt's tokens were.
    fn prompt_logprobs(&mut self, logprobs: Vec<Option<TokenLogprob>>);
    /// The mean of the prompt's hidden states, of length 1.
    fn embedding(&mut self, embedding: Vec<f32>);
    /// A token was chosen. Gives whether it ends the answer.
    fn token(&mut self, id: u32, logprob: Option<TokenLogprob>) -> bool;
    /// Whether to end as soon as possible; asked before every step.
    fn cancelled(&self) -> bool;
    /// The answer is complete.
    fn finish(self, reason: FinishReason, stats: Stats);
    /// The answer could not be completed.
    fn fail(self, message: &str);
}

/// Who guesses tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guesser {
    /// The sequence itself.
    Lookup,
    /// The smaller model.
    Model,
    /// The constraint, whose guesses are certain.
    Constraint,
}

/// A job and how far it has come, wherever its keys and values are.
#[derive(Debug)]
pub(super) struct Task<S> {
    /// No other task of the scheduler has it.
    pub(super) id: u64,
    /// Prompt and answer; during a step also what is drafted.
    pub(super) tokens: Vec<u32>,
    /// Tokens at the end that are only guessed, and by whom.
    drafted: usize,
    guesser: Guesser,
    /// Of the last step's guesses, if the smaller model made them: how many were right, and made.
    pub(super) of_model: Option<(usize, usize)>,
    prompt_len: usize,
    max_tokens: usize,
    end_tokens: Vec<u32>,
    min_tokens: usize,
    deadline: Option<Instant>,
    pub(super) standing: Standing,
    pub(super) salt: Salt,
    adapter: Option<Arc<Adapter>>,
    logprobs: Option<usize>,
    /// Until all of it is there.
    pub(super) harvest: Option<Harvest>,
    /// Other answers to the same prompt, which begin when it is evaluated.
    pub(super) siblings: Vec<Task<S>>,
    sampler: Sampler,
    matcher: Option<Matcher>,
    pub(super) lookup: Lookup,
    stats: Stats,
    /// Prompt tokens that the sink knows to be done.
    reported: usize,
    submitted: Instant,
    started_at: Option<Instant>,
    first_token_at: Option<Instant>,
    /// Scratch, one row of logits.
    logits: Vec<f32>,
    pub(super) sink: S,
}

/// A task with its place in the cache.
#[derive(Debug)]
pub(super) struct Running<S> {
    pub(super) sequence: Sequence,
    pub(super) task: Task<S>,
}

impl<S> Running<S> {
    /// Tokens that are not evaluated, drafted ones left out; at least one.
    pub(super) fn to_evaluate(&self) -> usize {
        self.task.tokens.len() - self.task.drafted - self.sequence.len()
    }

    /// More than the last token is to be evaluated.
    pub(super) fn in_prefill(&self) -> bool {
        self.to_evaluate() > 1
    }
}

impl<S> Task<S> {
    /// It ran before.
    pub(super) fn has_started(&self) -> bool {
        self.started_at.is_some()
    }

    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Tokens chosen so far.
    pub(super) fn chosen(&self) -> usize {
        self.stats.completion_tokens
    }
}

impl<S: Sink> Task<S> {
    pub(super) fn new(id: u64, job: Job, sink: S) -> Self {
        Self {
            id,
            prompt_len: job.prompt.len(),
            stats: Stats {
                prompt_tokens: job.prompt.len(),
                ..Stats::default()
            },
            tokens: job.prompt,
            drafted: 0,
            guesser: Guesser::Lookup,
            of_model: None,
            max_tokens: job.max_tokens,
            end_tokens: job.end_tokens,
            min_tokens: job.min_tokens,
            deadline: job.deadline,
            standing: Standing::new(job.client, job.priority),
            salt: Salt {
                request: job.cache_salt,
                adapter: job.adapter.as_ref().map(|adapter| adapter.id()),
            },
            adapter: job.adapter,
            logprobs: job.logprobs,
            harvest: job.harvest,
            matcher: job.matcher,
            siblings: Vec::new(),
            sampler: job.sampler,
            lookup: Lookup::default(),
            reported: 0,
            submitted: job.submitted,
            started_at: None,
            first_token_at: None,
            logits: Vec::new(),
            sink,
        }
    }

    /// A sequence for its tokens, without positions.
    pub(super) fn new_sequence(&self) -> Sequence {
        Sequence::with_adapter(self.adapter.clone())
    }

    /// The tokens that may come from the cache: all but the last, which must be evaluated to have
    /// logits, and of a prompt that is harvested only those that have been.
    pub(super) fn reusable(&self) -> &[u32] {
        let harvested = self.harvest.as_ref().map(Harvest::positions);
        let most = self.tokens.len() - 1;
        &self.tokens[..harvested.unwrap_or(most).min(most)]
    }

    /// Why to end at once, if there is a reason.
    pub(super) fn ends_now(&self, now: Instant) -> Option<FinishReason> {
        if self.sink.cancelled() {
            Some(FinishReason::Cancelled)
        } else if self.deadline.is_some_and(|deadline| deadline <= now) {
            Some(FinishReason::Deadline)
        } else {
            None
        }
    }

    /// The first of the other answers to the same prompt, which takes this one's place before them.
    pub(super) fn successor(&mut self) -> Option<Self> {
        let mut siblings = std::mem::take(&mut self.siblings).into_iter();
        let mut successor = siblings.next()?;
        successor.siblings = siblings.collect();
        Some(successor)
    }

    /// The task has its place, for the first time or again.
    pub(super) fn start(&mut self, cached_tokens: usize) {
        if self.started_at.is_none() {
            self.started_at = Some(Instant::now());
            self.stats.cached_tokens = cached_tokens;
            self.reported = cached_tokens;
            self.sink.started(cached_tokens);
        }
    }

    /// How much of the prompt was in the cache.
    pub(super) fn cached_tokens(&self) -> usize {
        self.stats.cached_tokens
    }

    /// The first `done` tokens are evaluated.
    pub(super) fn evaluated(&mut self, done: usize) {
        let done = done.min(self.prompt_len);
        if done > self.reported {
            self.reported = done;
            self.sink.prefill(done);
            if done == self.prompt_len {
                self.stats.prefill_ms = self.started_at.map_or(0.0, ms_since);
            }
        }
    }

    /// Guesses up to `count` tokens from the sequence itself. Gives how many.
    pub(super) fn look_up(&mut self, count: usize) -> usize {
        let count = count.min(self.room_to_guess());
        let guesses = self.lookup.draft(&self.tokens, count);
        self.guess(guesses, Guesser::Lookup)
    }

    /// Guesses up to `count` tokens to which the constraint leaves no alternative. Gives how many.
    pub(super) fn guess_forced(&mut self, count: usize) -> usize {
        let count = count.min(self.room_to_guess());
        let Some(matcher) = self.matcher.as_mut().filter(|_| count > 0) else {
            return 0;
        };
        let mut guesses = matcher.forced();
        guesses.truncate(count);
        self.guess(guesses, Guesser::Constraint)
    }

    /// Asks the smaller model for up to `count` guesses.
    pub(super) fn wish(&mut self, count: usize) -> Wish<'_> {
        Wish {
            id: self.id,
            count: count.min(self.room_to_guess()),
            tokens: &self.tokens,
            sampler: &mut self.sampler,
            guesses: Vec::new(),
        }
    }

    /// Takes guesses, which are evaluated together with the last token. Gives how many.
    pub(super) fn guess(&mut self, mut guesses: Vec<u32>, guesser: Guesser) -> usize {
        if let Some(matcher) = &mut self.matcher {
            // What the constraint refuses is certainly wrong.
            guesses.truncate(matcher.valid_len(&guesses));
        }
        self.drafted = guesses.len();
        self.guesser = guesser;
        self.tokens.extend(guesses);
        self.drafted
    }

    fn room_to_guess(&self) -> usize {
        // The last token that may be chosen needs no guess after it.
        self.max_tokens
            .saturating_sub(self.stats.completion_tokens + 1)
    }

    /// Takes the guesses back.
    pub(super) fn forget_draft(&mut self) {
        self.tokens.truncate(self.tokens.len() - self.drafted);
        self.drafted = 0;
    }

    /// The logits that the task wants of a chunk that ends before its `end`th token.
    pub(super) fn wanted(&self, end: usize) -> LogitsWanted {
        match &self.harvest {
            Some(harvest) => harvest.wanted(),
            None if end < self.tokens.len() => LogitsWanted::None,
            None if self.drafted == 0 => LogitsWanted::Last,
            None => LogitsWanted::All,
        }
    }

    /// Rows of logits that the next choice looks at, the last ones of the task's chunk.
    pub(super) fn rows(&self) -> usize {
        1 + self.drafted
    }

    pub(super) fn prompt_len(&self) -> usize {
        self.prompt_len
    }

    pub(super) fn stats(&self) -> Stats {
        self.stats
    }

    /// Hands over what was wanted of the prompt, if all of it is there.
    pub(super) fn deliver_harvest(&mut self) {
        if let Some(harvest) = self.harvest.take_if(|harvest| harvest.is_complete()) {
            for sibling in &mut self.siblings {
                sibling.harvest = Some(harvest.clone());
            }
            match harvest {
                Harvest::Logprobs { found, .. } => self.sink.prompt_logprobs(found),
                Harvest::Hidden { .. } => self.sink.embedding(harvest.embedding()),
            }
        }
    }

    /// Chooses the next tokens: one, and one more for each guess that proves right, since the row
    /// after a guess is the plain one exactly if the guess is the token chosen before it. Tells
    /// whether the answer ends.
    pub(super) fn choose(
        &mut self,
        logits: Logits<'_>,
        row: usize,
    ) -> Result<Option<FinishReason>> {
        let drafted = self.drafted;
        self.drafted = 0;
        let guesses = self.tokens.split_off(self.tokens.len() - drafted);
        let mut end = None;
        let mut right = 0;
        for row in row..=row + drafted {
            // The token's position: nothing else but the seed decides its draw.
            let position = self.tokens.len();
            let id = if self.leaves_logits() {
                self.sampler.pick(logits.row(row), position)?
            } else {
                self.logits.clear();
                self.logits.extend_from_slice(logits.row(row));
                self.rule_out()?;
                self.sampler.sample(&mut self.logits, position)?
            };
            let logprob = match self.logprobs {
                Some(count) => Some(token_logprob(logits.row(row), id, count)?),
                None => None,
            };
            let complete = self.accept(id)?;
            end = self.push(id, logprob);
            if complete {
                end = Some(FinishReason::Stop);
            }
            if end.is_some() || guesses.get(right) != Some(&id) {
                break;
            }
            right += 1;
        }
        self.stats.drafted_tokens += drafted;
        self.stats.accepted_tokens += right;
        match self.guesser {
            Guesser::Model if drafted > 0 => self.of_model = Some((right, drafted)),
            Guesser::Constraint => {}
            _ => self.lookup.trust.learn(right, drafted),
        }
        Ok(end)
    }

    /// Whether the next token is chosen from the model's logits as they are, which need no copy then.
    fn leaves_logits(&self) -> bool {
        self.matcher.is_none()
            && self.stats.completion_tokens >= self.min_tokens
            && self.sampler.leaves_logits()
    }

    /// Rules out what may not be chosen from the logits at hand.
    fn rule_out(&mut self) -> Result<()> {
        if let Some(matcher) = &mut self.matcher {
            matcher.mask(&mut self.logits)?;
        }
        // Where a constraint leaves nothing but the end, the answer ends before `min_tokens`.
        if self.stats.completion_tokens < self.min_tokens
            && (self.matcher.is_none() || Matcher::is_open(&self.logits, &self.end_tokens))
        {
            for &id in &self.end_tokens {
                self.logits[id as usize] = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Goes on in the constraint. Tells whether the answer is complete.
    fn accept(&mut self, id: u32) -> Result<bool> {
        match &mut self.matcher {
            // What ends the answer is no part of it.
            Some(matcher) if self.end_tokens.binary_search(&id).is_err() => matcher.accept(id),
            _ => Ok(false),
        }
    }

    fn push(&mut self, id: u32, logprob: Option<TokenLogprob>) -> Option<FinishReason> {
        self.tokens.push(id);
        self.stats.completion_tokens += 1;
        if self.first_token_at.is_none() {
            self.first_token_at = Some(Instant::now());
            self.stats.ttft_ms = ms_since(self.submitted);
        }
        if self.sink.token(id, logprob) {
            Some(FinishReason::Stop)
        } else if self.stats.completion_tokens == self.max_tokens {
            Some(FinishReason::Length)
        } else {
            None
        }
    }

    pub(super) fn finish(mut self, reason: FinishReason) {
        // It may have been cancelled while it waited.
        self.start(0);
        self.stats.decode_ms = self.first_token_at.map_or(0.0, ms_since);
        self.sink.finish(reason, self.stats);
    }

    pub(super) fn fail(self, message: &str) {
        for sibling in self.siblings {
            sibling.fail(message);
        }
        self.sink.fail(message);
    }
}

fn ms_since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
