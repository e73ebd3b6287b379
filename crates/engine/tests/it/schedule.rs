//! 32 requests on the real decoder, alone, together and in other orders, with shared beginnings or
//! none, other chunks, too few pages, and guesses: the logits after the same tokens are the same bits
//! every time, and so are the answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use terang_engine::runner::{
    BlockPool, Chunk, DecoderRunner, Logits, LogitsWanted, PAGE, Page, Runner,
};
use terang_engine::{Engine, Event, Limits, Prompt, Request, Sampling, Speculation};
use terang_kernels::Cpu;

use crate::decoder::{CONTEXT, decoder};
use crate::support::text;

/// The logits after each list of tokens that was ever evaluated.
type Seen = Arc<Mutex<HashMap<Vec<u32>, Vec<u32>>>>;

/// A decoder that compares each row of logits with the one that stood after the same tokens before.
struct Witness {
    inner: DecoderRunner,
    /// What lies on each page.
    pages: HashMap<Page, [u32; PAGE]>,
    seen: Seen,
}

impl Runner for Witness {
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
        let before: Vec<(Vec<Page>, usize)> = chunks
            .iter()
            .map(|chunk| (chunk.sequence.block_table().to_vec(), chunk.sequence.len()))
            .collect();
        self.inner.forward(chunks)?;
        let logits = self.inner.logits();
        let mut row = 0;
        for (chunk, (old, start)) in chunks.iter().zip(before) {
            let table = chunk.sequence.block_table();
            // The page that was written may be a copy of the one that was there.
            let tail = start / PAGE;
            if let (Some(from), Some(to)) = (old.get(tail), table.get(tail)) {
                let copied = self.pages.get(from).copied().unwrap_or([0; PAGE]);
                self.pages.insert(*to, copied);
            }
            for (position, &id) in (start..).zip(chunk.tokens) {
                let page = self
                    .pages
                    .entry(table[position / PAGE])
                    .or_insert([0; PAGE]);
                page[position % PAGE] = id;
            }
            let end = chunk.sequence.len();
            let tokens: Vec<u32> = (0..end)
                .map(|at| self.pages[&table[at / PAGE]][at % PAGE])
                .collect();
            let rows = match chunk.logits {
                LogitsWanted::None | LogitsWanted::Hidden => end..end,
                LogitsWanted::Last => end - 1..end,
                LogitsWanted::All => start..end,
            };
            let mut seen = self.seen.lock().unwrap();
            for position in rows {
                let bits: Vec<u32> = logits.row(row).iter().map(|x| x.to_bits()).collect();
                row += 1;
                let first = seen
                    .entry(tokens[..=position].to_vec())
                    .or_insert_with(|| bits.clone());
                assert_eq!(*first, bits, "other logits after the same tokens");
            }
        }
        Ok(())
    }

    fn logits(&self) -> Logits<'_> {
        self.inner.logits()
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        self.inner.for_each(count, job);
    }
}

struct Way {
    limits: Limits,
    threads: usize,
    /// Positions of the cache.
    cache_len: usize,
    together: bool,
}

/// Some begin alike, some repeat themselves, some are short.
fn requests() -> Vec<Request> {
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((state >> 33) % below) as u32
    };
    (0..32_u32)
        .map(|index| {
            let mut prompt: Vec<u32> = (0..random(120)).map(|i| i * (1 + index % 4) % 50).collect();
            prompt.extend((0..=random(20)).map(|_| random(256)));
            Request {
                sampling: Sampling {
                    temperature: if index % 3 == 0 { 0.0 } else { 0.8 },
                    repetition_penalty: if index % 5 == 0 { 1.2 } else { 1.0 },
                    seed: Some(u64::from(index)),
                    ..Sampling::default()
                },
                max_tokens: Some(1 + random(40) as usize),
                ..Request::new(Prompt::Tokens(prompt))
            }
        })
        .collect()
}

fn answers(way: &Way, order: &[usize], seen: &Seen) -> Vec<Vec<u32>> {
    let runner = Witness {
        inner: DecoderRunner::new(decoder(Cpu::best(), way.threads), CONTEXT, way.cache_len)
            .unwrap(),
        pages: HashMap::new(),
        seen: Arc::clone(seen),
    };
    let engine = Engine::start(runner, text(), way.limits).unwrap();
    let requests = requests();
    let mut answers = vec![Vec::new(); requests.len()];
    let mut running = Vec::new();
    for &index in order {
        running.push((index, engine.submit(requests[index].clone()).unwrap()));
        if way.together && running.len() < order.len() {
            continue;
        }
        for (index, generation) in running.drain(..) {
            for event in generation {
                match event {
                    Event::Token { id, .. } => answers[index].push(id),
                    Event::Failed { message } => panic!("{message}"),
                    _ => {}
                }
            }
        }
    }
    answers
}

#[test]
fn nothing_of_the_schedule_shows_in_a_bit_of_the_logits() {
    let seen = Seen::default();
    let in_order: Vec<usize> = (0..32).collect();
    let limits = |prefill_chunk, max_sequences, speculation| Limits {
        prefill_chunk,
        max_sequences,
        speculation,
        ..Limits::default()
    };
    let alone = Way {
        limits: limits(1000, 1, Speculation::Off),
        threads: 1,
        cache_len: 0,
        together: false,
    };
    let wanted = answers(&alone, &in_order, &seen);
    assert!(wanted.iter().all(|answer| !answer.is_empty()));
    let mut other_order = in_order.clone();
    other_order.sort_by_key(|index| index * 7 % 32);
    for (prefill_chunk, max_sequences, speculation, cache_len, threads) in [
        (128, 64, Speculation::Off, 64 * CONTEXT, 2),
        (7, 5, Speculation::Fixed(4), 64 * CONTEXT, 2),
        (64, 32, Speculation::Auto, 6 * CONTEXT, 3),
        (33, 9, Speculation::Fixed(8), 0, 2),
    ] {
        let together = Way {
            limits: limits(prefill_chunk, max_sequences, speculation),
            threads,
            cache_len,
            together: true,
        };
        for order in [&in_order, &other_order] {
            assert_eq!(answers(&together, order, &seen), wanted);
        }
    }
}
