//! How well a model predicts a text, defined as in llama.cpp's `llama-perplexity` so that figures
//! can be laid side by side: the tokens are cut into chunks of the context's length, each begins
//! with the begin token if the vocabulary has one put there, only the second half of each chunk
//! counts, and what is left over at the end is not used.

use crate::logprob::log_sum_exp;
use crate::runner::{Chunk, LogitsWanted, Runner, Sequence};
use crate::{Error, Result};

/// Tokens of one call: bounds how many rows of logits exist at once.
const BATCH: usize = 64;

/// The result of [`perplexity`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perplexity {
    /// e to the mean negative log-likelihood of a token.
    pub perplexity: f64,
    /// Standard error of `perplexity`, from the spread of the tokens' log-likelihoods.
    pub standard_error: f64,
    /// Tokens that counted.
    pub tokens: usize,
    /// Chunks evaluated.
    pub chunks: usize,
}

/// Progress of [`perplexity`], once a chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PerplexityProgress {
    /// Chunks done.
    pub done: usize,
    /// Chunks in all.
    pub total: usize,
    /// Perplexity of those done.
    pub perplexity: f64,
}

/// The perplexity of `tokens` (begin token included, if the tokenizer puts one) in chunks of
/// `context_len`. `bos` replaces the first token of each chunk.
pub fn perplexity(
    runner: &mut dyn Runner,
    tokens: &[u32],
    context_len: usize,
    bos: Option<u32>,
    progress: &mut dyn FnMut(PerplexityProgress),
) -> Result<Perplexity> {
    if context_len < 4 || context_len > runner.context_len() {
        return Err(Error::invalid(
            "context",
            context_len,
            format!("4 to {}", runner.context_len()),
        ));
    }
    if tokens.len() < context_len {
        return Err(Error::invalid(
            "text",
            format_args!("{} tokens", tokens.len()),
            format!("at least {context_len} tokens, one whole context"),
        ));
    }
    let total = tokens.len() / context_len;
    let mut tally = Tally::default();
    for (index, chunk) in tokens.chunks_exact(context_len).enumerate() {
        let mut chunk = chunk.to_vec();
        if let Some(bos) = bos {
            chunk[0] = bos;
        }
        let mut sequence = Sequence::new();
        let result = evaluate(runner, &mut sequence, &chunk, &mut tally);
        runner.blocks().release(&mut sequence);
        result?;
        progress(PerplexityProgress {
            done: index + 1,
            total,
            perplexity: tally.perplexity(),
        });
    }
    Ok(Perplexity {
        perplexity: tally.perplexity(),
        standard_error: tally.standard_error(),
        tokens: tally.count,
        chunks: total,
    })
}

fn evaluate(
    runner: &mut dyn Runner,
    sequence: &mut Sequence,
    chunk: &[u32],
    tally: &mut Tally,
) -> Result<()> {
    let first = chunk.len() / 2;
    // The logits after token i predict token i + 1; those after the last predict nothing known.
    let (context, counted) = chunk[..chunk.len() - 1].split_at(first);
    for tokens in context.chunks(BATCH) {
        forward(runner, sequence, tokens, LogitsWanted::None)?;
    }
    let targets = chunk[first + 1..].chunks(BATCH);
    for (tokens, targets) in counted.chunks(BATCH).zip(targets) {
        forward(runner, sequence, tokens, LogitsWanted::All)?;
        let logits = runner.logits();
        for (row, &target) in targets.iter().enumerate() {
            tally.add(negative_log_likelihood(logits.row(row), target)?);
        }
    }
    Ok(())
}

fn forward(
    runner: &mut dyn Runner,
    sequence: &mut Sequence,
    tokens: &[u32],
    logits: LogitsWanted,
) -> Result<()> {
    runner.forward(&mut [Chunk {
        sequence,
        tokens,
        logits,
    }])
}

/// `-ln softmax(logits)[target]`, in f64.
fn negative_log_likelihood(logits: &[f32], target: u32) -> Result<f64> {
    Ok(log_sum_exp(logits)? - f64::from(logits[target as usize]))
}

#[derive(Debug, Default)]
struct Tally {
    sum: f64,
    sum_of_squares: f64,
    count: usize,
}

impl Tally {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.sum_of_squares += value * value;
        self.count += 1;
    }

    fn perplexity(&self) -> f64 {
        libm::exp(self.sum / self.count as f64)
    }

    fn standard_error(&self) -> f64 {
        if self.count < 2 {
            return 0.0;
        }
        let mean = self.sum / self.count as f64;
        let variance = (self.sum_of_squares / self.count as f64 - mean * mean).max(0.0);
        (variance / (self.count - 1) as f64).sqrt() * self.perplexity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::{BlockPool, Logits};

    const VOCAB: usize = 8;

    /// Gives the token after `t` the probability `1/2` if it is `t + 1`, else `1/14`.
    struct Successor {
        blocks: BlockPool,
        logits: Vec<f32>,
    }

    impl Runner for Successor {
        fn vocab_size(&self) -> usize {
            VOCAB
        }

        fn context_len(&self) -> usize {
            1024
        }

        fn blocks(&mut self) -> &mut BlockPool {
            &mut self.blocks
        }

        fn forward(&mut self, chunks: &mut [Chunk<'_>]) -> Result<()> {
            self.logits.clear();
            for chunk in chunks {
                let begins = chunk.sequence.is_empty();
                assert!(
                    !begins || chunk.tokens[0] == 0,
                    "begins with the begin token"
                );
                let len = chunk.sequence.len() + chunk.tokens.len();
                self.blocks.reserve(chunk.sequence, len)?;
                chunk.sequence.set_len(len);
                if chunk.logits == LogitsWanted::All {
                    for &id in chunk.tokens {
                        let mut logits = [3.0; VOCAB];
                        logits[(id as usize + 1) % VOCAB] += libm::logf(7.0);
                        self.logits.extend(logits);
                    }
                }
            }
            Ok(())
        }

        fn logits(&self) -> Logits<'_> {
            Logits::new(&self.logits, VOCAB)
        }
    }

    fn measure(tokens: &[u32], context_len: usize) -> Result<Perplexity> {
        let mut runner = Successor {
            blocks: BlockPool::new(16),
            logits: Vec::new(),
        };
        let found = perplexity(&mut runner, tokens, context_len, Some(0), &mut |_| ());
        assert_eq!(runner.blocks.pages_in_use(), 0);
        found
    }

    #[test]
    fn counts_the_second_half_of_whole_chunks() {
        // Two chunks of 300 and a rest; the first half of each is noise that must not count.
        let chunk = (0..300).map(|i| if i < 150 { 5 } else { i % 8 });
        let tokens: Vec<u32> = chunk
            .clone()
            .chain(chunk)
            .chain(0..99)
            .map(|id| id % 8)
            .collect();
        let found = measure(&tokens, 300).unwrap();
        assert_eq!((found.chunks, found.tokens), (2, 2 * 149));
        assert!((found.perplexity - 2.0).abs() < 1e-6, "{found:?}");
        assert!(found.standard_error < 1e-6, "{found:?}");
    }

    #[test]
    fn means_over_tokens() {
        // Counted pairs: 4 to 5 (1/2), 5 to 5 (1/14), 5 to 6 (1/2).
        let found = measure(&[0, 1, 2, 3, 4, 5, 5, 6], 8).unwrap();
        let wanted = libm::cbrt(2.0 * 14.0 * 2.0);
        assert_eq!(found.tokens, 3);
        assert!((found.perplexity - wanted).abs() < 1e-6, "{found:?}");
        assert!(found.standard_error > 0.5);
    }

    #[test]
    fn refuses_too_little_text() {
        let error = measure(&[0; 7], 8).unwrap_err().to_string();
        assert_eq!(
            error,
            "text: found 7 tokens, allowed at least 8 tokens, one whole context"
        );
    }
}
