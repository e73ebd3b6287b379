//! How likely endings are to the real `smollm2:135m`.

use terang_engine::EngineOptions;
use terang_engine::likelihood::{Continuation, likelihoods};
use terang_engine::runner::{Chunk, LogitsWanted, Runner, Sequence};

/// Neighbours that share a context, and long texts in parts, give what the sum over the tokens of the whole
/// text gives.
#[test]
fn endings_are_as_likely_as_their_tokens() {
    let Some(path) = crate::real_model::model() else {
        return;
    };
    let options = EngineOptions {
        context_len: Some(512),
        ..EngineOptions::default()
    };
    let (mut runner, text) = terang_engine::load::load(&path, &options, |_| ()).unwrap();
    let vocab = runner.vocab_size();
    let new = |context: &str, ending: &str| {
        Continuation::new(&text, vocab, 512, context, ending).unwrap()
    };
    let long = "one two three four five six seven eight ".repeat(100);
    let list = [
        new("The capital of France is", " Paris"),
        new("The capital of France is", " a city in Asia"),
        new("The capital of France is ", "Paris"),
        new("", "Once upon a time"),
        new(&long, "nine"),
    ];
    assert_eq!(list[0], list[2], "a space belongs to the ending");
    let (context, ending) = list[4].tokens();
    assert_eq!(context.len() + ending.len(), 513, "the beginning is lost");
    assert_eq!(list[3].tokens().0.len(), 1);
    let mut done = Vec::new();
    let found = likelihoods(&mut runner, &list, &mut |n| done.push(n)).unwrap();
    assert_eq!(done, [3, 4, 5]);
    assert_eq!(runner.blocks().pages_in_use(), 0);
    assert!(found[0].logprob > found[1].logprob && found[0].is_greedy);
    assert!(!found[1].is_greedy);
    assert_eq!(found[0], found[2]);
    for (continuation, found) in list.iter().zip(&found) {
        let (context, ending) = continuation.tokens();
        let all = [context, ending].concat();
        let mut sequence = Sequence::new();
        runner
            .forward(&mut [Chunk {
                sequence: &mut sequence,
                tokens: &all[..all.len() - 1],
                logits: LogitsWanted::All,
            }])
            .unwrap();
        let logits = runner.logits();
        let sum: f64 = (context.len()..all.len())
            .map(|i| {
                let row = logits.row(i - 1);
                let sum: f64 = row.iter().map(|x| f64::from(*x).exp()).sum();
                f64::from(row[all[i] as usize]) - sum.ln()
            })
            .sum();
        runner.blocks().release(&mut sequence);
        assert!(
            (found.logprob - sum).abs() < 1e-6,
            "{} {sum}",
            found.logprob
        );
        assert_eq!(found.tokens, ending.len());
    }
    let none = Continuation::new(&text, vocab, 512, "x", "");
    assert!(none.unwrap_err().to_string().contains("ending"));
}
