//! A smaller model guesses: one that is always right, one that never is, one with less room. The
//! answers are those without it.

use std::time::Duration;

use terang_engine::runner::{BlockPool, Chunk, DecoderRunner, Logits, LogitsWanted, Runner};
use terang_engine::{Constraint, Engine, Event, Limits, Prompt, Request, Speculation, Stats};
use terang_kernels::Cpu;

use crate::decoder::{CONTEXT, decoder};
use crate::support::text;

const VOCAB: usize = 257;

fn runner(context_len: usize, cache_len: usize) -> DecoderRunner {
    DecoderRunner::new(decoder(Cpu::best(), 2), context_len, cache_len).unwrap()
}

/// Guesses at random, on a vocabulary with more padding.
struct Noise {
    blocks: BlockPool,
    logits: Vec<f32>,
    calls: u32,
}

impl Runner for Noise {
    fn vocab_size(&self) -> usize {
        VOCAB + 3
    }

    fn context_len(&self) -> usize {
        CONTEXT
    }

    fn blocks(&mut self) -> &mut BlockPool {
        &mut self.blocks
    }

    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> terang_engine::Result<()> {
        self.logits.clear();
        for chunk in chunks {
            let len = chunk.sequence.len() + chunk.tokens.len();
            self.blocks.reserve(chunk.sequence, len)?;
            chunk.sequence.set_len(len);
            if chunk.logits == LogitsWanted::Last {
                self.calls += 1;
                let mut logits = vec![0.0; VOCAB + 3];
                logits[(self.calls * 37) as usize % VOCAB] = 90.0;
                self.logits.extend(logits);
            }
        }
        Ok(())
    }

    fn logits(&self) -> Logits<'_> {
        Logits::new(&self.logits, VOCAB + 3)
    }
}

fn noise(pages: usize) -> Box<dyn Runner> {
    Box::new(Noise {
        blocks: BlockPool::new(pages),
        logits: Vec::new(),
        calls: 0,
    })
}

fn requests() -> Vec<Request> {
    (0..12_u32)
        .map(|index| {
            let prompt = (0..10 + 12 * index)
                .map(|i| (i * i + index) % 256)
                .collect();
            let mut request = Request::new(Prompt::Tokens(prompt));
            request.sampling.seed = Some(u64::from(index));
            request.sampling.temperature = if index % 3 == 0 { 0.0 } else { 1.0 };
            request.sampling.repetition_penalty = if index % 4 == 0 { 1.2 } else { 1.0 };
            request.max_tokens = Some(40);
            request.logprobs = Some(1);
            if index == 7 {
                request.constraint = Some(Constraint::Regex("[a-f]{5,30}".into()));
            }
            request
        })
        .collect()
}

/// All that is told of tokens, bit by bit, and the sums of what was drafted and accepted.
fn run(engine: &Engine) -> (Vec<Vec<Event>>, Stats) {
    let running: Vec<_> = requests()
        .into_iter()
        .map(|request| engine.submit(request).unwrap())
        .collect();
    let mut sums = Stats::default();
    let told = running.into_iter().map(|generation| {
        generation
            .filter(|event| match event {
                Event::Failed { message } => panic!("{message}"),
                Event::Finished { stats, .. } => {
                    sums.drafted_tokens += stats.drafted_tokens;
                    sums.accepted_tokens += stats.accepted_tokens;
                    sums.completion_tokens += stats.completion_tokens;
                    false
                }
                event => matches!(event, Event::Token { .. }),
            })
            .collect()
    });
    (told.collect(), sums)
}

fn limits(speculation: Speculation, max_sequences: usize) -> Limits {
    Limits {
        speculation,
        max_sequences,
        ..Limits::default()
    }
}

fn with(
    draft: Box<dyn Runner>,
    speculation: Speculation,
    max_sequences: usize,
    cache_len: usize,
) -> (Vec<Vec<Event>>, Stats) {
    let limits = limits(speculation, max_sequences);
    let runner = runner(CONTEXT, cache_len);
    run(&Engine::start_with_draft(runner, Some(draft), text(), limits).unwrap())
}

#[test]
fn a_smaller_model_changes_nothing_but_the_time() {
    let plain = limits(Speculation::Off, 64);
    let (wanted, none) = run(&Engine::start(runner(CONTEXT, 16 * CONTEXT), text(), plain).unwrap());
    assert!(wanted.iter().all(|tokens| !tokens.is_empty()));
    assert_eq!(none.drafted_tokens, 0);
    let many = 16 * CONTEXT;
    // The same model is right always, but where a penalty counts what is only guessed, or where a
    // constraint rules.
    let same = Box::new(runner(CONTEXT, many));
    let (found, stats) = with(same, Speculation::Fixed(4), 8, many);
    assert_eq!(found, wanted);
    assert!(
        stats.accepted_tokens * 10 > stats.drafted_tokens * 8,
        "{stats:?}"
    );
    assert!(
        stats.accepted_tokens * 2 > stats.completion_tokens,
        "{stats:?}"
    );
    // One that is wrong.
    let (found, stats) = with(noise(64), Speculation::Fixed(4), 8, many);
    assert_eq!(found, wanted);
    assert!(stats.drafted_tokens > 0 && stats.accepted_tokens < stats.drafted_tokens / 10);
    // Chosen by gain, with too few pages on either side, with a shorter context.
    for (draft, speculation, sequences, cache_len) in [
        (
            Box::new(runner(CONTEXT, CONTEXT)) as Box<dyn Runner>,
            Speculation::Auto,
            64,
            many,
        ),
        (
            Box::new(runner(CONTEXT, CONTEXT)),
            Speculation::Fixed(3),
            8,
            CONTEXT,
        ),
        (
            Box::new(runner(64, 64)),
            Speculation::Fixed(7),
            3,
            2 * CONTEXT,
        ),
        (noise(5), Speculation::Auto, 8, many),
        (noise(1), Speculation::Fixed(2), 8, many),
    ] {
        assert_eq!(with(draft, speculation, sequences, cache_len).0, wanted);
    }
}

/// A model that takes its time.
struct Slow {
    inner: DecoderRunner,
    call: Duration,
}

impl Runner for Slow {
    fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
    }

    fn context_len(&self) -> usize {
        self.inner.context_len()
    }

    fn blocks(&mut self) -> &mut BlockPool {
        self.inner.blocks()
    }

    fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> terang_engine::Result<()> {
        std::thread::sleep(self.call);
        self.inner.forward(chunks)
    }

    fn logits(&self) -> Logits<'_> {
        self.inner.logits()
    }
}

#[test]
fn whether_a_smaller_model_is_asked_follows_from_what_it_gains() {
    let slow = |ms| Slow {
        inner: runner(CONTEXT, 16 * CONTEXT),
        call: Duration::from_millis(ms),
    };
    let drafted = |model, draft: Box<dyn Runner>| {
        let limits = limits(Speculation::Auto, 1);
        let engine = Engine::start_with_draft(slow(model), Some(draft), text(), limits).unwrap();
        run(&engine).1
    };
    // Fast and right: worth asking at nearly every step. The model is so slow that what the smaller one
    // takes on a busy machine does not count.
    let gains = drafted(40, Box::new(slow(0)));
    assert!(
        gains.accepted_tokens * 2 > gains.completion_tokens,
        "{gains:?}"
    );
    // Slower than the model itself: tried, and left alone.
    let costs = drafted(8, Box::new(slow(16)));
    assert!(
        costs.drafted_tokens * 2 < costs.completion_tokens,
        "{costs:?}"
    );
    // Wrong: at most a guess a step, even where guesses cost nothing.
    let errs = drafted(8, noise(64));
    assert!(errs.drafted_tokens < errs.completion_tokens, "{errs:?}");
}

#[test]
fn a_smaller_model_that_fails_is_given_up() {
    struct Broken(BlockPool);
    impl Runner for Broken {
        fn vocab_size(&self) -> usize {
            VOCAB
        }
        fn context_len(&self) -> usize {
            CONTEXT
        }
        fn blocks(&mut self) -> &mut BlockPool {
            &mut self.0
        }
        fn forward(&mut self, _: &mut [Chunk<'_>]) -> terang_engine::Result<()> {
            Err(terang_engine::Error::Stopped)
        }
        fn logits(&self) -> Logits<'_> {
            Logits::new(&[], VOCAB)
        }
    }
    let plain = limits(Speculation::Off, 8);
    let (wanted, _) = run(&Engine::start(runner(CONTEXT, CONTEXT), text(), plain).unwrap());
    let broken = Box::new(Broken(BlockPool::new(64)));
    let (found, stats) = with(broken, Speculation::Fixed(4), 8, 4 * CONTEXT);
    assert_eq!(found, wanted);
    // From then on, the sequence itself is asked.
    assert!(stats.accepted_tokens <= stats.drafted_tokens);
}
