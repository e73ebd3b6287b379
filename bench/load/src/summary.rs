//! From the times of all pieces to a few figures.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use crate::exchange::Outcome;

/// The figures, in seconds and tokens.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    requests: usize,
    completed: usize,
    /// Of requests that were to be left before their end.
    left: usize,
    failed: usize,
    /// How often each thing went wrong.
    failures: BTreeMap<String, usize>,
    seconds: f64,
    prompt_tokens: u64,
    /// As the server counts, or pieces of text where it does not.
    generated_tokens: u64,
    tok_s: f64,
    /// The least and most tokens of a completed answer: equal where all are as long as asked for.
    answer_tokens: Option<(u64, u64)>,
    ttft_s: Option<Percentiles>,
    /// Between two pieces of text of one stream.
    inter_token_s: Option<Percentiles>,
    /// The speed while all streams were under way; of one burst, where each client sends one request.
    together_tok_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<Vec<String>>,
}

/// Of many values.
#[derive(Debug, Serialize)]
pub(crate) struct Percentiles {
    p50: f64,
    p99: f64,
    max: f64,
}

impl Percentiles {
    /// By nearest rank: each is one of the values.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100);
            values.get(rank.saturating_sub(1)).copied()
        };
        Some(Self {
            p50: rank(50)?,
            p99: rank(99)?,
            max: rank(100)?,
        })
    }
}

/// The figures of these requests.
pub(crate) fn of(outcomes: &[Outcome], begun: Instant, answers: bool) -> Figures {
    let last = outcomes.iter().map(|outcome| outcome.ended).max();
    let seconds = last.map_or(0.0, |last| (last - begun).as_secs_f64());
    let completed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.failure.is_none() && !outcome.left)
        .collect();
    let mut failures = BTreeMap::new();
    for failure in outcomes.iter().filter_map(|o| o.failure.as_ref()) {
        *failures.entry(failure.to_string()).or_insert(0) += 1;
    }
    let generated_tokens = outcomes.iter().map(tokens).sum();
    let lengths = completed.iter().map(|outcome| tokens(outcome));
    let ttft = outcomes.iter().filter_map(|outcome| {
        let first = outcome.pieces.first()?;
        Some((*first - outcome.begun).as_secs_f64())
    });
    let gaps = outcomes.iter().flat_map(|outcome| {
        outcome
            .pieces
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64())
    });
    Figures {
        requests: outcomes.len(),
        completed: completed.len(),
        left: outcomes.iter().filter(|outcome| outcome.left).count(),
        failed: failures.values().sum(),
        failures,
        seconds,
        prompt_tokens: outcomes
            .iter()
            .filter_map(|outcome| outcome.usage)
            .map(|usage| usage.prompt_tokens)
            .sum(),
        generated_tokens,
        tok_s: generated_tokens as f64 / seconds.max(f64::MIN_POSITIVE),
        answer_tokens: lengths.clone().min().zip(lengths.max()),
        ttft_s: Percentiles::of(ttft.collect()),
        inter_token_s: Percentiles::of(gaps.collect()),
        together_tok_s: together(outcomes),
        answers: answers.then(|| outcomes.iter().map(|o| o.text.clone()).collect()),
    }
}

fn tokens(outcome: &Outcome) -> u64 {
    outcome
        .usage
        .map_or(outcome.pieces.len() as u64, |usage| usage.completion_tokens)
}

/// The sum of the streams' speeds between the last one's first piece and the first one's last, each
/// counted between pieces of its own: where in a step the time begins makes no difference.
fn together(outcomes: &[Outcome]) -> Option<f64> {
    let ends = |outcome: &Outcome| Some((*outcome.pieces.first()?, *outcome.pieces.last()?));
    let from = outcomes.iter().map(ends).try_fold(None, |latest, ends| {
        ends.map(|(first, _)| latest.max(Some(first)))
    })??;
    let to = outcomes
        .iter()
        .filter_map(ends)
        .map(|(_, last)| last)
        .min()?;
    outcomes
        .iter()
        .map(|outcome| {
            let within = |piece: &&Instant| **piece >= from && **piece <= to;
            let pieces: Vec<&Instant> = outcome.pieces.iter().filter(within).collect();
            let (first, last) = (pieces.first()?, pieces.last()?);
            let seconds = last.duration_since(**first).as_secs_f64();
            // A piece may hold several tokens.
            let tokens_each = tokens(outcome) as f64 / outcome.pieces.len() as f64;
            (seconds > 0.0).then(|| (pieces.len() - 1) as f64 * tokens_each / seconds)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::answer::Usage;
    use crate::exchange::Failure;

    /// A stream whose pieces come at these milliseconds.
    fn stream(begun: Instant, pieces_ms: &[u64]) -> Outcome {
        let at = |ms: &u64| begun + Duration::from_millis(*ms);
        Outcome {
            index: 0,
            begun,
            ended: pieces_ms.last().map_or(begun, at),
            pieces: pieces_ms.iter().map(at).collect(),
            text: String::new(),
            usage: None,
            left: false,
            failure: None,
        }
    }

    #[test]
    fn speed_while_all_streams_are_under_way() {
        let begun = Instant::now();
        // Ten pieces a second each from 300 to 600 ms, whatever came before and after.
        let streams = [
            stream(begun, &[10, 20, 300, 400, 500, 600, 2000]),
            stream(begun, &[300, 400, 500, 600]),
        ];
        let speed = together(&streams).unwrap();
        assert!((speed - 20.0).abs() < 1e-6, "{speed}");
        assert!(together(&[stream(begun, &[1]), stream(begun, &[2, 3])]).is_none());
        assert!(together(&[stream(begun, &[]), stream(begun, &[2, 3])]).is_none());
    }

    #[test]
    fn what_failed_is_told_apart() {
        let begun = Instant::now();
        let mut good = stream(begun, &[100, 150, 350]);
        good.usage = Some(Usage {
            prompt_tokens: 5,
            completion_tokens: 4,
        });
        let mut bad = stream(begun, &[]);
        bad.failure = Some(Failure::Status(503));
        let mut gone = stream(begun, &[1000]);
        gone.left = true;
        let figures = of(&[good, bad, gone], begun, false);
        assert_eq!((figures.completed, figures.failed, figures.left), (1, 1, 1));
        assert_eq!(figures.failures.get("status 503"), Some(&1));
        assert_eq!((figures.generated_tokens, figures.prompt_tokens), (5, 5));
        assert_eq!(figures.answer_tokens, Some((4, 4)));
        assert!((figures.tok_s - 5.0).abs() < 1e-6);
        let gaps = figures.inter_token_s.unwrap();
        assert!((gaps.p50 - 0.05).abs() < 1e-6 && (gaps.p99 - 0.2).abs() < 1e-6);
    }
}
