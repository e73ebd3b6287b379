//! What follows a call of the runner: what is wanted of prompts is gathered, answers to one prompt
//! part ways, next tokens are chosen, and what is done ends.

use std::sync::{Mutex, PoisonError};

use super::task::{Running, Sink};
use super::{Scheduler, Share};
use crate::logprob::token_logprob;
use crate::metrics::Counters;
use crate::runner::{Chunk, LogitsWanted, PAGE, Runner};
use crate::{FinishReason, Result, TokenLogprob};

/// A chunk that was evaluated.
#[derive(Clone, Copy, Debug)]
struct Done {
    index: usize,
    /// The position of its first token, and how many there are.
    start: usize,
    tokens: usize,
    /// Its rows of logits.
    first_row: usize,
    rows: usize,
    /// Where its hidden states begin.
    first_hidden: usize,
}

impl<R: Runner, S: Sink> Scheduler<R, S> {
    pub(super) fn forward(&mut self, shares: &[Share]) -> Result<()> {
        let mut shares = shares.iter().peekable();
        let mut chunks = Vec::new();
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(share) = shares.next_if(|share| share.index == index) else {
                continue;
            };
            let start = running.sequence.len();
            let end = start + share.tokens;
            chunks.push(Chunk {
                sequence: &mut running.sequence,
                tokens: &running.task.tokens[start..end],
                logits: running.task.wanted(end),
            });
        }
        self.runner.forward(&mut chunks)
    }

    /// Takes the results of a call: of each sequence what its prompt is wanted for and its next
    /// tokens, and ends those that are done.
    pub(super) fn advance(&mut self, shares: &[Share]) {
        let chunks = self.evaluated(shares);
        let failed = self.harvest(&chunks);
        let mut rows = self.rows_to_choose_from(&chunks);
        self.part_ways(&mut rows);
        let mut ends = self.choose(&rows);
        ends.extend(failed);
        ends.sort_by_key(|&(index, _)| index);
        // A sequence whose harvest failed has chosen something too; its error came in later.
        ends.reverse();
        ends.dedup_by_key(|(index, _)| *index);
        for (index, end) in ends {
            match end {
                Ok(None) => {}
                Ok(Some(reason)) => self.end(index, reason),
                Err(error) => self.fail(index, &error),
            }
        }
    }

    /// Which rows belong to whom.
    fn evaluated(&mut self, shares: &[Share]) -> Vec<Done> {
        let (mut row, mut hidden) = (0, 0);
        let mut chunks = Vec::with_capacity(shares.len());
        for &Share { index, tokens } in shares {
            let Running { sequence, task } = &mut self.running[index];
            let end = sequence.len();
            let (rows, states) = match task.wanted(end) {
                LogitsWanted::None => (0, 0),
                LogitsWanted::Last => (1, 0),
                LogitsWanted::All => (tokens, 0),
                LogitsWanted::Hidden => (0, tokens),
            };
            chunks.push(Done {
                index,
                start: end - tokens,
                tokens,
                first_row: row,
                rows,
                first_hidden: hidden,
            });
            row += rows;
            hidden += states;
            task.evaluated(end);
        }
        let found = self.runner.logits().len();
        assert_eq!(found, row, "a row of logits for each token that asked");
        chunks
    }

    /// Gathers what is wanted of prompts. Gives those for which that failed.
    fn harvest(&mut self, chunks: &[Done]) -> Vec<(usize, Result<Option<FinishReason>>)> {
        let mut failed = Vec::new();
        for chunk in chunks {
            let task = &mut self.running[chunk.index].task;
            let prompt_len = task.prompt_len();
            let Some(harvest) = &mut task.harvest else {
                continue;
            };
            let size = self.runner.hidden_size();
            let result = if let Some(count) = harvest.alternatives() {
                // The row after a token says how likely the next one was.
                let first = harvest.positions().max(chunk.start);
                let last = (chunk.start + chunk.tokens).min(prompt_len - 1);
                let logits = self.runner.logits();
                let found: Vec<Mutex<Option<Result<TokenLogprob>>>> =
                    (first..last).map(|_| Mutex::new(None)).collect();
                let (tokens, of) = (&task.tokens, &found);
                self.runner.for_each(found.len(), &|i| {
                    let position = first + i;
                    let row = logits.row(chunk.first_row + position - chunk.start);
                    let logprob = token_logprob(row, tokens[position + 1], count);
                    *of[i].lock().unwrap_or_else(PoisonError::into_inner) = Some(logprob);
                });
                let found = found.into_iter();
                let found =
                    found.filter_map(|it| it.into_inner().unwrap_or_else(PoisonError::into_inner));
                found.into_iter().try_for_each(|it| harvest.add_logprob(it))
            } else {
                let states = &self.runner.hidden()[chunk.first_hidden * size..];
                harvest.add_hidden(chunk.start, &states[..chunk.tokens * size]);
                Ok(())
            };
            match result {
                Ok(()) => task.deliver_harvest(),
                Err(error) => failed.push((chunk.index, Err(error))),
            }
        }
        failed
    }

    /// The first row that each running sequence chooses from, if it chooses.
    fn rows_to_choose_from(&self, chunks: &[Done]) -> Vec<Option<usize>> {
        let mut rows = vec![None; self.running.len()];
        for chunk in chunks {
            let Running { sequence, task } = &self.running[chunk.index];
            if sequence.len() == task.tokens.len() {
                let end = chunk.first_row + chunk.rows;
                rows[chunk.index] = Some(end.saturating_sub(task.rows()));
            }
        }
        rows
    }

    /// Lets the other answers to a prompt begin when it is evaluated: with the same pages and the
    /// same row of logits, but a choice of their own.
    fn part_ways(&mut self, rows: &mut Vec<Option<usize>>) {
        for index in 0..rows.len() {
            let task = &mut self.running[index].task;
            if rows[index].is_none() || task.chosen() > 0 || task.siblings.is_empty() {
                continue;
            }
            let siblings = std::mem::take(&mut task.siblings);
            let cached_tokens = task.cached_tokens();
            let mut too_many = Vec::new();
            for mut sibling in siblings {
                if self.running.len() >= self.budget.max_sequences {
                    too_many.push(sibling);
                    continue;
                }
                let from = &self.running[index].sequence;
                let (pages, len) = (from.block_table().to_vec(), from.len());
                let mut sequence = sibling.new_sequence();
                for (page, start) in pages.into_iter().zip((0..len).step_by(PAGE)) {
                    let blocks = self.runner.blocks();
                    blocks.adopt(&mut sequence, page, (len - start).min(PAGE));
                }
                self.line.admitted(&mut sibling, 1);
                self.start(&mut sibling, cached_tokens);
                sibling.evaluated(len);
                sibling.deliver_harvest();
                self.running.push(Running {
                    sequence,
                    task: sibling,
                });
                rows.push(rows[index]);
            }
            // They find the prompt's pages in the cache when it is their turn.
            for sibling in too_many.into_iter().rev() {
                self.line.rejoin(sibling);
            }
        }
    }

    /// Chooses the next tokens of all sequences that have logits, at once.
    fn choose(&mut self, rows: &[Option<usize>]) -> Vec<(usize, Result<Option<FinishReason>>)> {
        let mut choices = Vec::new();
        let mut ends = Vec::new();
        for ((index, running), row) in self.running.iter_mut().enumerate().zip(rows) {
            let task = &mut running.task;
            match *row {
                Some(_) if task.max_tokens() == 0 => {
                    ends.push((index, Ok(Some(FinishReason::Length))));
                }
                Some(row) => {
                    let before = task.stats();
                    choices.push((index, row, before, Mutex::new((task, Ok(None)))));
                }
                None => {}
            }
        }
        let logits = self.runner.logits();
        self.runner.for_each(choices.len(), &|i| {
            let (_, row, _, choice) = &choices[i];
            let mut choice = choice.lock().unwrap_or_else(PoisonError::into_inner);
            choice.1 = choice.0.choose(logits, *row);
        });
        let mut begun = Vec::new();
        for (index, _, before, choice) in choices {
            let (task, end) = choice.into_inner().unwrap_or_else(PoisonError::into_inner);
            let after = task.stats();
            let counters = &*self.counters;
            let chosen = after.completion_tokens - before.completion_tokens;
            Counters::add(&counters.generated_tokens, chosen);
            let drafted = after.drafted_tokens - before.drafted_tokens;
            Counters::add(&counters.drafted_tokens, drafted);
            let accepted = after.accepted_tokens - before.accepted_tokens;
            Counters::add(&counters.accepted_tokens, accepted);
            if let (Some(drafter), Some((right, made))) = (&mut self.drafter, task.of_model.take())
            {
                drafter.trust.learn(right, made);
            }
            self.line
                .served(&mut task.standing, after.completion_tokens);
            if before.completion_tokens == 0 && matches!(end, Ok(None)) {
                begun.push(index);
            }
            ends.push((index, end));
        }
        for &(index, _) in &ends {
            let Running { sequence, task } = &mut self.running[index];
            // Guesses that were wrong, and the last token, are not in the sequence.
            let evaluated = task.tokens.len() - usize::from(task.max_tokens() > 0);
            self.runner.blocks().truncate(sequence, evaluated);
        }
        for index in begun {
            self.share_prompt(index);
        }
        ends
    }
}
