//! The scheduler over a runner whose logits are a function of the tokens that lie on its pages, so
//! that any mistake about pages changes the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::runner::{BlockPool, Chunk, Logits, LogitsWanted, PAGE, Page};
use crate::sampler::Sampler;
use crate::{Error, FinishReason, Result, Sampling, Stats, TokenLogprob};
use proptest::prelude::*;

const VOCAB: usize = 7;
const CONTEXT: usize = 4 * PAGE;

/// Its next token is a hash of all before.
pub(super) struct HashRunner {
    blocks: BlockPool,
    pages: HashMap<Page, [u32; PAGE]>,
    logits: Vec<f32>,
    /// Tokens of each chunk of each call.
    calls: Vec<Vec<usize>>,
    fail: bool,
}

fn next_token(tokens: &[u32]) -> u32 {
    let hash = tokens.iter().fold(17_u32, |hash, &id| {
        hash.wrapping_mul(31).wrapping_add(id).rotate_left(7)
    });
    // Lopsided, so that guesses are often right.
    [0, 0, 0, 0, 1, 2, 3][hash as usize % VOCAB]
}

impl Runner for HashRunner {
    fn vocab_size(&self) -> usize {
        VOCAB
    }

    fn context_len(&self) -> usize {
        CONTEXT
    }

    fn blocks(&mut self) -> &mut BlockPool {
        &mut self.blocks
    }

    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> Result<()> {
        self.logits.clear();
        self.calls
            .push(chunks.iter().map(|c| c.tokens.len()).collect());
        if self.fail {
            return Err(Error::Stopped);
        }
        for chunk in chunks {
            let start = chunk.sequence.len();
            let end = start + chunk.tokens.len();
            assert!(!chunk.tokens.is_empty() && end <= CONTEXT);
            if let Some(copy) = self.blocks.reserve(chunk.sequence, end)? {
                self.pages.insert(copy.to, self.pages[&copy.from]);
            }
            let table = chunk.sequence.block_table().to_vec();
            for (position, &id) in (start..end).zip(chunk.tokens) {
                let page = table[position / PAGE];
                assert_eq!(self.blocks.holders(page), 1, "a shared page is written");
                self.pages.entry(page).or_insert([0; PAGE])[position % PAGE] = id;
            }
            chunk.sequence.set_len(end);
            let cached: Vec<u32> = (0..end)
                .map(|position| self.pages[&table[position / PAGE]][position % PAGE])
                .collect();
            let rows = match chunk.logits {
                LogitsWanted::None | LogitsWanted::Hidden => end..end,
                LogitsWanted::Last => end - 1..end,
                LogitsWanted::All => start..end,
            };
            for row in rows {
                let mut logits = [0.0; VOCAB];
                logits[next_token(&cached[..=row]) as usize] = 1.0;
                self.logits.extend(logits);
            }
        }
        Ok(())
    }

    fn logits(&self) -> Logits<'_> {
        Logits::new(&self.logits, VOCAB)
    }
}

#[derive(Debug, Default)]
struct Record {
    cached: Option<usize>,
    prefill: Vec<usize>,
    embedding: Option<Vec<f32>>,
    prompt_logprobs: Option<Vec<Option<TokenLogprob>>>,
    tokens: Vec<u32>,
    end: Option<Result<(FinishReason, Stats), String>>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    record: Arc<Mutex<Record>>,
    cancel: Arc<Mutex<bool>>,
}

impl Watch {
    fn with<T>(&self, look: impl FnOnce(&mut Record) -> T) -> T {
        look(&mut self.record.lock().unwrap())
    }

    pub(super) fn has_started(&self) -> bool {
        self.with(|r| r.cached.is_some())
    }

    pub(super) fn has_ended(&self) -> bool {
        self.with(|r| r.end.is_some())
    }

    pub(super) fn ended(&self) -> (FinishReason, Stats) {
        self.with(|r| r.end.clone().unwrap().unwrap())
    }
}

impl Sink for Watch {
    fn started(&mut self, cached_tokens: usize) {
        self.with(|r| assert_eq!(r.cached.replace(cached_tokens), None, "started twice"));
    }

    fn prefill(&mut self, done: usize) {
        self.with(|r| r.prefill.push(done));
    }

    fn prompt_logprobs(&mut self, logprobs: Vec<Option<TokenLogprob>>) {
        self.with(|r| assert!(r.prompt_logprobs.replace(logprobs).is_none()));
    }

    fn embedding(&mut self, embedding: Vec<f32>) {
        self.with(|r| assert!(r.embedding.replace(embedding).is_none()));
    }

    fn token(&mut self, id: u32, _: Option<TokenLogprob>) -> bool {
        self.with(|r| r.tokens.push(id));
        false
    }

    fn cancelled(&self) -> bool {
        *self.cancel.lock().unwrap()
    }

    fn finish(self, reason: FinishReason, stats: Stats) {
        self.with(|r| assert!(r.end.replace(Ok((reason, stats))).is_none()));
    }

    fn fail(self, message: &str) {
        self.with(|r| assert!(r.end.replace(Err(message.to_owned())).is_none()));
    }
}

pub(super) fn scheduler(pages: usize, budget: Budget) -> Scheduler<HashRunner, Watch> {
    let runner = HashRunner {
        blocks: BlockPool::new(pages),
        pages: HashMap::new(),
        logits: Vec::new(),
        calls: Vec::new(),
        fail: false,
    };
    Scheduler::new(runner, budget, Arc::default())
}

pub(super) fn plain(prefill_chunk: usize) -> Budget {
    Budget {
        max_sequences: 8,
        prefill_chunk,
        speculation: Speculation::Off,
    }
}

/// Who asks, and for how many answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub(super) client: u64,
    pub(super) priority: i32,
    pub(super) n: usize,
}

impl Default for Asking {
    fn default() -> Self {
        Self {
            client: 0,
            priority: 0,
            n: 1,
        }
    }
}

pub(super) fn submit_group(
    scheduler: &mut Scheduler<HashRunner, Watch>,
    prompt: &[u32],
    max_tokens: usize,
    asking: Asking,
) -> Vec<Watch> {
    let greedy = Sampling {
        temperature: 0.0,
        ..Sampling::default()
    };
    let watches = vec![(); asking.n].into_iter().map(|()| Watch::default());
    let watches: Vec<Watch> = watches.collect();
    let jobs = watches.iter().map(|watch| {
        let sampler = Sampler::new(greedy.clone(), 0, VOCAB, prompt).unwrap();
        let job = Job {
            client: asking.client,
            priority: asking.priority,
            ..Job::new(prompt.to_vec(), sampler, max_tokens)
        };
        (job, watch.clone())
    });
    scheduler.submit(jobs.collect());
    watches
}

pub(super) fn submit_as(
    scheduler: &mut Scheduler<HashRunner, Watch>,
    prompt: &[u32],
    max_tokens: usize,
    asking: Asking,
) -> Watch {
    submit_group(scheduler, prompt, max_tokens, asking).remove(0)
}

fn submit(
    scheduler: &mut Scheduler<HashRunner, Watch>,
    prompt: &[u32],
    max_tokens: usize,
) -> Watch {
    submit_as(scheduler, prompt, max_tokens, Asking::default())
}

pub(super) fn run(scheduler: &mut Scheduler<HashRunner, Watch>) {
    let mut steps = 0;
    while !scheduler.is_idle() {
        scheduler.step();
        steps += 1;
        assert!(steps < 100_000, "no progress");
    }
}

fn alone(scheduler: &mut Scheduler<HashRunner, Watch>, prompt: &[u32], count: usize) -> Watch {
    let watch = submit(scheduler, prompt, count);
    run(scheduler);
    assert_eq!(watch.ended().0, FinishReason::Length);
    watch.with(|r| assert_eq!(r.tokens, by_definition(prompt, count)));
    watch
}

fn by_definition(prompt: &[u32], count: usize) -> Vec<u32> {
    let mut tokens = prompt.to_vec();
    for _ in 0..count {
        tokens.push(next_token(&tokens));
    }
    tokens.split_off(prompt.len())
}

/// Every page is free once the beginnings are given up.
fn assert_no_leak(scheduler: &mut Scheduler<HashRunner, Watch>) {
    let blocks = &mut scheduler.runner.blocks;
    assert_eq!(scheduler.prefix.evictable(blocks), blocks.pages_in_use());
    scheduler.prefix.clear(blocks);
    assert_eq!(blocks.pages_in_use(), 0);
}

#[test]
fn prefill_goes_in_chunks_and_reports_each() {
    let mut scheduler = scheduler(8, plain(4));
    let watch = alone(&mut scheduler, &[1; 10], 3);
    watch.with(|r| assert_eq!(r.prefill, [4, 8, 10]));
    let calls: Vec<usize> = scheduler.runner.calls.concat();
    assert_eq!(calls, [4, 4, 2, 1, 1]);
    let (_, stats) = watch.ended();
    assert_eq!((stats.prompt_tokens, stats.completion_tokens), (10, 3));
}

#[test]
fn a_follow_up_turn_evaluates_only_new_tokens() {
    for len in [3, PAGE - 2, PAGE, 2 * PAGE + 9] {
        let mut scheduler = scheduler(8, plain(512));
        let mut tokens = vec![1; len];
        let first = alone(&mut scheduler, &tokens, 4);
        tokens.extend(first.with(|r| r.tokens.clone()));
        tokens.extend([5, 6]);
        scheduler.runner.calls.clear();
        let second = alone(&mut scheduler, &tokens, 1);
        // All but the answer's last token, which was chosen but never evaluated.
        assert_eq!(second.ended().1.cached_tokens, len + 3);
        assert_eq!(scheduler.runner.calls, [[3]]);
    }
}

#[test]
fn the_same_prompt_again_evaluates_one_token() {
    let mut scheduler = scheduler(8, plain(512));
    alone(&mut scheduler, &[4, 5, 6], 2);
    scheduler.runner.calls.clear();
    let watch = alone(&mut scheduler, &[4, 5, 6], 1);
    assert_eq!(watch.ended().1.cached_tokens, 2);
    assert_eq!(scheduler.runner.calls, [[1]]);
}

#[test]
fn a_long_prompt_holds_nobody_up() {
    let mut scheduler = scheduler(64, plain(16));
    let short = submit(&mut scheduler, &[1, 2, 3], 40);
    scheduler.step();
    let long = submit(&mut scheduler, &[4; 200], 1);
    for step in 1..13 {
        scheduler.step();
        short.with(|r| assert_eq!(r.tokens.len(), 1 + step));
        long.with(|r| assert!(r.tokens.is_empty()));
    }
    // And a short one overtakes the long one's prompt.
    let late = submit(&mut scheduler, &[5; 8], 2);
    scheduler.step();
    late.with(|r| assert_eq!(r.tokens.len(), 1));
    run(&mut scheduler);
    long.with(|r| assert_eq!(r.tokens, by_definition(&[4; 200], 1)));
}

#[test]
fn answers_to_one_prompt_evaluate_it_once() {
    let mut scheduler = scheduler(64, plain(32));
    let prompt: Vec<u32> = (0..150).map(|i| i % 5).collect();
    let watches: Vec<_> = (0..5)
        .map(|_| submit(&mut scheduler, &prompt, 10))
        .collect();
    run(&mut scheduler);
    let evaluated: usize = scheduler.runner.calls.concat().iter().sum();
    // The rest of the last page is evaluated by each.
    assert!(evaluated <= 150 + 4 * (150 % PAGE) + 5 * 10, "{evaluated}");
    for watch in watches {
        watch.with(|r| assert_eq!(r.tokens, by_definition(&prompt, 10)));
    }
}

#[test]
fn answers_that_belong_together_evaluate_their_prompt_exactly_once() {
    let mut scheduler = scheduler(64, plain(32));
    let prompt: Vec<u32> = (0..150).map(|i| i % 5).collect();
    let asking = Asking {
        n: 5,
        ..Asking::default()
    };
    let watches = submit_group(&mut scheduler, &prompt, 10, asking);
    run(&mut scheduler);
    let evaluated: usize = scheduler.runner.calls.concat().iter().sum();
    // The last token of an answer is chosen and never evaluated.
    assert_eq!(evaluated, 150 + 5 * 9);
    for watch in watches {
        watch.with(|r| assert_eq!(r.tokens, by_definition(&prompt, 10)));
        watch.with(|r| assert_eq!(r.prefill.last(), Some(&150)));
    }
    assert_no_leak(&mut scheduler);
}

#[test]
fn a_cancelled_prompt_leaves_what_is_done() {
    let mut scheduler = scheduler(8, plain(4));
    let watch = submit(&mut scheduler, &[1; 20], 3);
    scheduler.step();
    scheduler.step();
    *watch.cancel.lock().unwrap() = true;
    scheduler.step();
    assert!(scheduler.is_idle());
    let (reason, stats) = watch.ended();
    assert_eq!(
        (reason, stats.completion_tokens),
        (FinishReason::Cancelled, 0)
    );
    let again = alone(&mut scheduler, &[1; 20], 1);
    assert_eq!(again.ended().1.cached_tokens, 8);
    assert_no_leak(&mut scheduler);
}

#[test]
fn cancelled_while_it_waits() {
    let one = Budget {
        max_sequences: 1,
        ..plain(4)
    };
    let mut scheduler = scheduler(8, one);
    let running = submit(&mut scheduler, &[1; 20], 3);
    let waiting = submit(&mut scheduler, &[2; 20], 3);
    scheduler.step();
    *waiting.cancel.lock().unwrap() = true;
    scheduler.step();
    assert_eq!(waiting.ended().0, FinishReason::Cancelled);
    waiting.with(|r| assert_eq!(r.cached, Some(0)));
    run(&mut scheduler);
    assert_eq!(running.ended().0, FinishReason::Length);
}

#[test]
fn a_failed_call_empties_the_cache() {
    let mut scheduler = scheduler(8, plain(4));
    let watch = submit(&mut scheduler, &[1; 10], 1);
    scheduler.step();
    scheduler.runner.fail = true;
    scheduler.step();
    assert!(watch.with(|r| r.end.clone()).unwrap().is_err());
    scheduler.runner.fail = false;
    assert_eq!(scheduler.runner.blocks.pages_in_use(), 0);
    let again = alone(&mut scheduler, &[1; 10], 2);
    assert_eq!(again.ended().1.cached_tokens, 0);
}

#[test]
fn when_pages_run_out_the_youngest_waits_and_goes_on_later() {
    // Room for one whole context: three sequences that grow to most of it.
    let mut scheduler = scheduler(CONTEXT / PAGE, plain(64));
    let prompts = [[1; 20], [2; 20], [3; 20]];
    let watches = prompts.map(|prompt| submit(&mut scheduler, &prompt, 200));
    run(&mut scheduler);
    for (watch, prompt) in watches.iter().zip(prompts) {
        watch.with(|r| assert_eq!(r.tokens, by_definition(&prompt, 200)));
    }
    assert_no_leak(&mut scheduler);
}

#[test]
fn ten_thousand_requests_leave_no_page_behind() {
    let mut scheduler = scheduler(40, plain(32));
    let mut most = 0;
    let watches: Vec<Watch> = (0..10_000_u32)
        .map(|index| {
            let watch = submit(&mut scheduler, &[index % 7, index % 5, index % 3], 4);
            if index % 11 == 0 {
                *watch.cancel.lock().unwrap() = true;
            }
            // More come than can run, then fewer.
            if index % 3 == 0 || index > 5_000 {
                scheduler.step();
            }
            most = most.max(scheduler.running.len());
            watch
        })
        .collect();
    run(&mut scheduler);
    assert_eq!(most, 8);
    assert!(watches.iter().all(|watch| watch.with(|r| r.end.is_some())));
    assert_no_leak(&mut scheduler);
}

#[test]
fn guesses_save_calls_and_change_nothing() {
    let guessing = Budget {
        speculation: Speculation::Fixed(4),
        ..plain(64)
    };
    let mut scheduler = scheduler(8, guessing);
    let watch = alone(&mut scheduler, &[1; 20], 200);
    let (_, stats) = watch.ended();
    assert!(stats.accepted_tokens > 0 && stats.accepted_tokens <= stats.drafted_tokens);
    assert_eq!(scheduler.runner.calls.len() + stats.accepted_tokens, 200);
    assert_no_leak(&mut scheduler);
}

#[derive(Clone, Debug)]
struct Asked {
    prompt: Vec<u32>,
    max_tokens: usize,
    /// Answers to the prompt; only the first is cancelled.
    n: usize,
    /// Submitted before this step.
    at: usize,
    /// Cancelled this many steps later.
    cancel_after: Option<usize>,
}

prop_compose! {
    fn asked()(
        // Few beginnings, so that many are shared.
        beginning in 0_u32..3,
        shared in 0_usize..170,
        own in prop::collection::vec(0_u32..4, 1..20),
        max_tokens in 1_usize..60,
        n in prop_oneof![3 => Just(1_usize), 1 => 2_usize..6],
        at in 0_usize..60,
        cancel_after in prop::option::weighted(0.2, 0_usize..40),
    ) -> Asked {
        let mut prompt: Vec<u32> = (0..shared as u32).map(|i| (i * (beginning + 1)) % 5).collect();
        prompt.extend(own);
        Asked { prompt, max_tokens, n, at, cancel_after }
    }
}

proptest! {
    /// Whatever runs together, is shared, cut, guessed, put back or cancelled: each answer is the
    /// definition's, and no page is lost.
    #[test]
    fn nothing_of_the_schedule_shows(
        asked in prop::collection::vec(asked(), 1..12),
        pages in CONTEXT / PAGE..16,
        max_sequences in 1_usize..7,
        prefill_chunk in 1_usize..100,
        guesses in 0_usize..6,
    ) {
        let speculation = match guesses {
            0 => Speculation::Auto,
            _ => Speculation::Fixed(guesses - 1),
        };
        let budget = Budget { max_sequences, prefill_chunk, speculation };
        let mut scheduler = scheduler(pages, budget);
        let mut watches: Vec<Vec<Watch>> = vec![Vec::new(); asked.len()];
        let mut step = 0;
        while step < 100 || !scheduler.is_idle() {
            for (asked, watch) in asked.iter().zip(&mut watches) {
                if asked.at == step {
                    let (prompt, asking) = (&asked.prompt, Asking { n: asked.n, ..Asking::default() });
                    *watch = submit_group(&mut scheduler, prompt, asked.max_tokens, asking);
                }
                if let (Some(after), Some(watch)) = (asked.cancel_after, watch.first()) {
                    *watch.cancel.lock().unwrap() |= asked.at + after <= step;
                }
            }
            scheduler.step();
            step += 1;
            prop_assert!(step < 100_000, "no progress");
        }
        for (asked, watches) in asked.iter().zip(&watches) {
            for (index, watch) in watches.iter().enumerate() {
                let (reason, stats) = watch.ended();
                let tokens = watch.with(|r| r.tokens.clone());
                prop_assert_eq!(&tokens, &by_definition(&asked.prompt, tokens.len()));
                prop_assert_eq!(stats.completion_tokens, tokens.len());
                let whole = reason == FinishReason::Length && tokens.len() == asked.max_tokens;
                prop_assert!(whole || index == 0 && asked.cancel_after.is_some());
            }
        }
        assert_no_leak(&mut scheduler);
    }
}
