//! The scheduler over a runner whose logits are a function of the tokens in its cache, so that any
//! mistake in what is cached changes the answer.

use super::*;
use crate::{Error, Sampling};
use proptest::prelude::*;
use std::collections::VecDeque;

const VOCAB: usize = 50;
const CONTEXT: usize = 64;

/// Its next token is a hash of all before.
#[derive(Debug, Default)]
struct HashRunner {
    cache: Vec<u32>,
    /// Lengths of the calls so far.
    calls: Vec<usize>,
    fail_at_len: Option<usize>,
}

fn next_token(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(17_u32, |hash, &id| {
        hash.wrapping_mul(31).wrapping_add(id).rotate_left(7)
    });
    hash % VOCAB as u32
}

impl Runner for HashRunner {
    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context_len(&self) -> usize {
        CONTEXT
    }

    fn truncate(&mut self, len: usize) {
        assert!(len <= self.cache.len());
        self.cache.truncate(len);
    }

    fn forward(
        &mut self,
        tokens: &[u32],
        wanted: Wanted,
        row: &mut dyn FnMut(&[f32]),
    ) -> Result<()> {
        assert!(!tokens.is_empty() && self.cache.len() + tokens.len() <= CONTEXT);
        self.cache.extend_from_slice(tokens);
        self.calls.push(tokens.len());
        if self.fail_at_len.is_some_and(|len| self.cache.len() >= len) {
            return Err(Error::Stopped);
        }
        if wanted == Wanted::Last {
            let mut logits = vec![0.0; VOCAB];
            logits[next_token(&self.cache) as usize] = 1.0;
            row(&logits);
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Record {
    cached: usize,
    prefill: Vec<usize>,
    tokens: Vec<u32>,
    end_at: Option<u32>,
    /// Cancelled when asked for the time after these many.
    cancel_after_asks: Option<usize>,
    asks: std::cell::Cell<usize>,
}

impl Sink for Record {
    fn started(&mut self, cached_tokens: usize) {
        self.cached = cached_tokens;
    }

    fn prefill(&mut self, done: usize) {
        self.prefill.push(done);
    }

    fn token(&mut self, id: u32) -> bool {
        self.tokens.push(id);
        self.end_at == Some(id)
    }

    fn cancelled(&self) -> bool {
        self.asks.set(self.asks.get() + 1);
        self.cancel_after_asks.is_some_and(|n| self.asks.get() > n)
    }
}

fn job(prompt: &[u32], max_tokens: usize) -> Job {
    let greedy = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    Job {
        prompt: prompt.to_vec(),
        sampler: Sampler::new(greedy, 0, VOCAB, prompt).unwrap(),
        max_tokens,
        submitted: Instant::now(),
    }
}

fn answer_by_definition(prompt: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..count {
        tokens.push(next_token(&tokens));
    }
    tokens.split_off(prompt.len())
}

#[test]
fn prefill_goes_in_chunks_and_reports_each() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 4);
    let mut sink = Record::default();
    let (reason, stats) = scheduler.run(job(&[1; 10], 3), &mut sink).unwrap();
    assert_eq!(reason, FinishReason::Length);
    assert_eq!(sink.prefill, [4, 8, 10]);
    assert_eq!(scheduler.runner.calls, [4, 4, 2, 1, 1]);
    assert_eq!(sink.tokens, answer_by_definition(&[1; 10], 3));
    assert_eq!((stats.prompt_tokens, stats.completion_tokens), (10, 3));
}

#[test]
fn a_follow_up_turn_evaluates_only_new_tokens() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 512);
    let mut sink = Record::default();
    scheduler.run(job(&[1, 2, 3], 4), &mut sink).unwrap();
    let mut follow_up = vec![1, 2, 3];
    follow_up.extend(&sink.tokens);
    follow_up.extend([7, 8]);
    scheduler.runner.calls.clear();
    let mut second = Record::default();
    let (_, stats) = scheduler.run(job(&follow_up, 1), &mut second).unwrap();
    // All but the answer's last token, which was chosen but never evaluated.
    assert_eq!(second.cached, 6);
    assert_eq!(stats.cached_tokens, 6);
    assert_eq!(scheduler.runner.calls, [3]);
    assert_eq!(second.tokens, answer_by_definition(&follow_up, 1));
}

#[test]
fn the_same_prompt_again_evaluates_one_token() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 512);
    scheduler
        .run(job(&[4, 5, 6], 2), &mut Record::default())
        .unwrap();
    scheduler.runner.calls.clear();
    let mut sink = Record::default();
    scheduler.run(job(&[4, 5, 6], 1), &mut sink).unwrap();
    assert_eq!((sink.cached, &scheduler.runner.calls[..]), (2, &[1][..]));
    assert_eq!(sink.tokens, answer_by_definition(&[4, 5, 6], 1));
}

#[test]
fn an_end_token_stops_and_is_counted() {
    let answer = answer_by_definition(&[9], 5);
    let mut sink = Record {
        end_at: Some(answer[2]),
        ..Record::default()
    };
    let mut scheduler = Scheduler::new(HashRunner::default(), 512);
    let (reason, stats) = scheduler.run(job(&[9], 5), &mut sink).unwrap();
    assert_eq!(reason, FinishReason::Stop);
    let first = answer.iter().position(|id| *id == answer[2]).unwrap();
    assert_eq!(stats.completion_tokens, first + 1);
}

#[test]
fn cancelled_between_chunks_keeps_what_is_done() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 4);
    let mut sink = Record {
        cancel_after_asks: Some(3),
        ..Record::default()
    };
    let (reason, stats) = scheduler.run(job(&[1; 20], 3), &mut sink).unwrap();
    assert_eq!(reason, FinishReason::Cancelled);
    assert_eq!(
        (stats.completion_tokens, &sink.prefill[..]),
        (0, &[4, 8][..])
    );
    let mut again = Record::default();
    scheduler.run(job(&[1; 20], 1), &mut again).unwrap();
    assert_eq!(again.cached, 8);
}

#[test]
fn cancelled_before_it_ran_leaves_the_cache_to_others() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 4);
    scheduler
        .run(job(&[1, 2, 3], 1), &mut Record::default())
        .unwrap();
    let mut sink = Record {
        cancel_after_asks: Some(0),
        ..Record::default()
    };
    scheduler.run(job(&[9], 1), &mut sink).unwrap();
    assert_eq!(scheduler.cached, [1, 2, 3]);
}

#[test]
fn a_failed_call_empties_the_cache() {
    let mut scheduler = Scheduler::new(HashRunner::default(), 4);
    scheduler.runner.fail_at_len = Some(6);
    assert!(
        scheduler
            .run(job(&[1; 10], 1), &mut Record::default())
            .is_err()
    );
    scheduler.runner.fail_at_len = None;
    let mut sink = Record::default();
    scheduler.run(job(&[1; 10], 2), &mut sink).unwrap();
    assert_eq!(sink.cached, 0);
    assert_eq!(sink.tokens, answer_by_definition(&[1; 10], 2));
}

proptest! {
    /// Whatever ran before and however prompts are cut, each answer is the definition's.
    #[test]
    fn history_and_chunking_do_not_show(
        prompts in prop::collection::vec(prop::collection::vec(0_u32..3, 1..12), 1..8),
        cancels in prop::collection::vec(prop::option::of(0_usize..6), 8),
        prefill_chunk in 1_usize..9,
    ) {
        let mut scheduler = Scheduler::new(HashRunner::default(), prefill_chunk);
        let mut cancels: VecDeque<_> = cancels.into();
        for prompt in prompts {
            let cancel_after_asks = cancels.pop_front().unwrap();
            let mut sink = Record { cancel_after_asks, ..Record::default() };
            scheduler.run(job(&prompt, 5), &mut sink).unwrap();
            let wanted = answer_by_definition(&prompt, sink.tokens.len());
            prop_assert_eq!(&sink.tokens, &wanted);
            prop_assert!(cancel_after_asks.is_some() || sink.tokens.len() == 5);
            prop_assert_eq!(&scheduler.cached, &scheduler.runner.cache);
        }
    }
}
