//! Log-probabilities, embeddings and several answers to a prompt, on the real decoder with a tiny
//! random model: how a request is run shows in none of them.

use std::sync::mpsc;

use terang_engine::runner::{Chunk, DecoderRunner, LogitsWanted, Runner, Sequence};
use terang_engine::{Engine, Error, Event, Limits, Prompt, Request, Speculation, TokenLogprob};
use terang_kernels::Cpu;

use crate::decoder::{CONTEXT, decoder};
use crate::support::text;

fn runner(cache_len: usize) -> DecoderRunner {
    DecoderRunner::new(decoder(Cpu::best(), 2), CONTEXT, cache_len).unwrap()
}

fn engine(prefill_chunk: usize, speculation: Speculation, cache_len: usize) -> Engine {
    let limits = Limits {
        prefill_chunk,
        speculation,
        max_sequences: 8,
        ..Limits::default()
    };
    Engine::start(runner(cache_len), text(), limits).unwrap()
}

fn prompt(len: u32) -> Vec<u32> {
    // Repeats itself, so that guesses are made.
    (0..len).map(|i| (i % 23 * 31 + 7) % 256).collect()
}

fn request(prompt: &[u32]) -> Request {
    let mut request = Request::new(Prompt::Tokens(prompt.to_vec()));
    request.sampling.seed = Some(3);
    request.max_tokens = Some(12);
    request.ignore_eos = true;
    request
}

/// The prompt's log-probabilities, and the answer's.
type Scores = (Vec<Option<TokenLogprob>>, Vec<TokenLogprob>);

fn scores(events: impl Iterator<Item = Event>) -> Scores {
    let (mut of_prompt, mut of_answer) = (Vec::new(), Vec::new());
    for event in events {
        match event {
            Event::PromptLogprobs(found) => of_prompt = found,
            Event::Token { id, logprob, .. } => {
                let logprob = logprob.unwrap();
                assert_eq!(logprob.id, id);
                of_answer.push(logprob);
            }
            Event::Failed { message } => panic!("{message}"),
            _ => {}
        }
    }
    (of_prompt, of_answer)
}

/// All logits of a sequence at once, straight from the decoder.
fn logits(tokens: &[u32]) -> Vec<Vec<f32>> {
    let mut runner = runner(CONTEXT);
    let mut sequence = Sequence::new();
    let chunk = Chunk {
        sequence: &mut sequence,
        tokens,
        logits: LogitsWanted::All,
    };
    runner.forward(&mut [chunk]).unwrap();
    let logits = runner.logits();
    (0..tokens.len()).map(|i| logits.row(i).to_vec()).collect()
}

fn by_definition(logits: &[f32], id: u32) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
    let terms = logits.iter().map(|&x| libm::exp(f64::from(x) - largest));
    f64::from(logits[id as usize]) - largest - libm::log(terms.sum())
}

#[test]
fn logprobs_are_those_of_the_definition() {
    let prompt = prompt(90);
    let asked = Request {
        logprobs: Some(5),
        prompt_logprobs: Some(3),
        ..request(&prompt)
    };
    let engine = engine(128, Speculation::Off, CONTEXT);
    let (of_prompt, of_answer) = scores(engine.submit(asked).unwrap());
    assert_eq!((of_prompt.len(), of_answer.len()), (90, 12));
    assert_eq!(of_prompt[0], None);
    let mut tokens = prompt.clone();
    tokens.extend(of_answer.iter().map(|it| it.id));
    let rows = logits(&tokens);
    let all = of_prompt.iter().flatten().chain(&of_answer);
    for (position, (found, row)) in (1..).zip(all.zip(&rows)) {
        assert_eq!(found.id, tokens[position]);
        let wanted = by_definition(row, found.id);
        assert!((f64::from(found.logprob) - wanted).abs() < 1e-5);
        assert_eq!(found.top.len(), if position < 90 { 3 } else { 5 });
        let best = row.iter().copied().fold(f32::MIN, f32::max);
        assert_eq!(row[found.top[0].0 as usize], best);
        assert!(found.top.is_sorted_by(|a, b| a.1 >= b.1));
    }
}

#[test]
fn nothing_of_the_way_shows_in_logprobs() {
    let prompt = prompt(150);
    let asked = || Request {
        logprobs: Some(4),
        prompt_logprobs: Some(4),
        ..request(&prompt)
    };
    let plain = engine(1000, Speculation::Off, CONTEXT);
    let wanted = scores(plain.submit(asked()).unwrap());
    // With what the first left in the cache.
    assert_eq!(scores(plain.submit(asked()).unwrap()), wanted);
    for (prefill_chunk, speculation, cache_len) in [
        (7, Speculation::Fixed(4), CONTEXT),
        (64, Speculation::Fixed(8), 4 * CONTEXT),
        // Too few pages for all at once: some make way and go on later.
        (33, Speculation::Auto, CONTEXT + 64),
    ] {
        let engine = engine(prefill_chunk, speculation, cache_len);
        let together: Vec<_> = (0..4).map(|_| engine.submit(asked()).unwrap()).collect();
        for generation in together {
            assert_eq!(scores(generation), wanted);
        }
    }
}

#[test]
fn a_prompt_can_be_scored_without_an_answer() {
    let engine = engine(64, Speculation::Auto, CONTEXT);
    let prompt = prompt(CONTEXT as u32);
    let asked = Request {
        max_tokens: Some(0),
        prompt_logprobs: Some(0),
        ..request(&prompt)
    };
    let (of_prompt, of_answer) = scores(engine.submit(asked).unwrap());
    assert_eq!((of_prompt.len(), of_answer.len()), (CONTEXT, 0));
    let rows = logits(&prompt);
    for (position, found) in of_prompt.iter().enumerate().skip(1) {
        let found = found.as_ref().unwrap();
        let wanted = by_definition(&rows[position - 1], prompt[position]);
        assert!((f64::from(found.logprob) - wanted).abs() < 1e-5);
    }
    let one = Request {
        max_tokens: Some(0),
        prompt_logprobs: Some(0),
        ..request(&[5])
    };
    assert_eq!(scores(engine.submit(one).unwrap()).0, [None]);
}

fn answers(engine: &Engine, request: Request, n: usize) -> Vec<Scores> {
    let (sender, receiver) = mpsc::channel();
    let tell = move |index, event| sender.send((index, event)).unwrap();
    let handles = engine.submit_n(request, n, tell).unwrap();
    assert_eq!(handles.len(), n);
    let mut events = vec![Vec::new(); n];
    for (index, event) in receiver {
        events[index].push(event);
    }
    events
        .into_iter()
        .map(|it| scores(it.into_iter()))
        .collect()
}

#[test]
fn several_answers_are_those_of_their_seeds_and_evaluate_the_prompt_once() {
    let prompt = prompt(100);
    let asked = |seed| {
        let mut request = request(&prompt);
        request.sampling.seed = Some(seed);
        request.logprobs = Some(2);
        request.prompt_logprobs = Some(1);
        request
    };
    let plain = engine(1000, Speculation::Off, CONTEXT);
    let wanted: Vec<Scores> = (3..8)
        .map(|seed| scores(plain.submit(asked(seed)).unwrap()))
        .collect();
    for (prefill_chunk, speculation, cache_len) in [
        (128, Speculation::Auto, 8 * CONTEXT),
        (17, Speculation::Fixed(4), 2 * CONTEXT),
        (64, Speculation::Off, CONTEXT),
    ] {
        let engine = engine(prefill_chunk, speculation, cache_len);
        assert_eq!(answers(&engine, asked(3), 5), wanted);
    }
    // More answers than places: the others follow.
    let engine = engine(64, Speculation::Off, 2 * CONTEXT);
    let many = answers(&engine, asked(3), 20);
    assert_eq!(many[..5], wanted);
    assert!(
        many.iter()
            .all(|(prompt, answer)| prompt.len() == 100 && answer.len() == 12)
    );
}

#[test]
fn an_answer_that_leaves_first_takes_none_with_it() {
    let prompt = prompt(150);
    let engine = engine(4, Speculation::Off, 4 * CONTEXT);
    let (sender, receiver) = mpsc::channel();
    let tell = move |index, event| sender.send((index, event)).unwrap();
    let handles = engine.submit_n(request(&prompt), 3, tell).unwrap();
    handles[0].cancel();
    let mut tokens = [0; 3];
    let mut ends = 0;
    for (index, event) in receiver {
        match event {
            Event::Token { .. } => tokens[index] += 1,
            Event::Finished { .. } => ends += 1,
            Event::Failed { message } => panic!("{message}"),
            _ => {}
        }
    }
    assert_eq!((ends, tokens), (3, [0, 12, 12]));
}

fn embedding_by_definition(tokens: &[u32]) -> Vec<f32> {
    let mut runner = runner(CONTEXT);
    let mut sequence = Sequence::new();
    let chunk = Chunk {
        sequence: &mut sequence,
        tokens,
        logits: LogitsWanted::Hidden,
    };
    runner.forward(&mut [chunk]).unwrap();
    let size = runner.hidden_size();
    let rows = runner.hidden().chunks_exact(size);
    assert_eq!(rows.len(), tokens.len());
    let mut mean = vec![0.0; size];
    for row in rows {
        for (sum, &x) in mean.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    mean.iter().map(|x| (x / length) as f32).collect()
}

#[test]
fn embeddings_are_means_of_length_one_however_they_are_run() {
    let inputs: Vec<Vec<u32>> = (1..40).map(|i| prompt(5 * i)).collect();
    let plain = engine(1000, Speculation::Off, CONTEXT);
    let wanted = plain.embed(inputs.clone()).unwrap();
    assert_eq!(wanted.len(), inputs.len());
    for (found, tokens) in wanted.iter().zip(&inputs) {
        let length: f32 = found.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-5);
        let by_definition = embedding_by_definition(tokens);
        for (a, b) in found.iter().zip(by_definition) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }
    // Beside an answer, in small chunks, with too few pages for all.
    let busy = engine(19, Speculation::Auto, CONTEXT);
    let answer = busy.submit(request(&prompt(60))).unwrap();
    assert_eq!(busy.embed(inputs).unwrap(), wanted);
    assert!(matches!(answer.last(), Some(Event::Finished { .. })));
}

#[test]
fn embeddings_refuse_what_does_not_fit() {
    let engine = engine(64, Speculation::Off, CONTEXT);
    let long = vec![vec![1], vec![1; CONTEXT + 1]];
    let error = engine.embed(long).unwrap_err();
    assert!(matches!(error, Error::PromptTooLong { .. }), "{error}");
    let error = engine.embed(vec![Vec::new()]).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
    assert!(engine.embed(Vec::new()).unwrap().is_empty());
}
