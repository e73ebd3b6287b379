//! Histograms with the names, units and bounds that the conventions for generative AI advise. Their
//! labels are kinds of work, served models and words for errors: nothing that a client can make up.

use std::collections::BTreeMap;

use super::Generation;

const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
];
const FIRST_TOKEN_BOUNDS: [f64; 16] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const NEXT_TOKEN_BOUNDS: [f64; 13] = [
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
];
const TOKEN_BOUNDS: [f64; 14] = [
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0,
    16777216.0, 67108864.0,
];

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    Duration,
    FirstToken,
    NextToken,
    Tokens,
}

impl Metric {
    pub(super) const ALL: [Self; 4] = [
        Self::Duration,
        Self::FirstToken,
        Self::NextToken,
        Self::Tokens,
    ];

    /// Name, unit and meaning.
    pub(super) fn describe(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Duration => (
                "gen_ai.server.request.duration",
                "s",
                "From a request's arrival to its end",
            ),
            Self::FirstToken => (
                "gen_ai.server.time_to_first_token",
                "s",
                "From a request's arrival to its first token",
            ),
            Self::NextToken => (
                "gen_ai.server.time_per_output_token",
                "s",
                "Between two tokens after the first",
            ),
            Self::Tokens => (
                "gen_ai.client.token.usage",
                "{token}",
                "Tokens of prompts and answers",
            ),
        }
    }

    pub(super) fn bounds(self) -> &'static [f64] {
        match self {
            Self::Duration => &DURATION_BOUNDS,
            Self::FirstToken => &FIRST_TOKEN_BOUNDS,
            Self::NextToken => &NEXT_TOKEN_BOUNDS,
            Self::Tokens => &TOKEN_BOUNDS,
        }
    }
}

/// What a series is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Labels {
    pub(super) operation: &'static str,
    pub(super) model: String,
    pub(super) error: Option<&'static str>,
    /// `input` or `output`.
    pub(super) token_type: Option<&'static str>,
}

/// Counts since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// One more than there are bounds.
    pub(super) counts: Vec<u64>,
    pub(super) count: u64,
    pub(super) sum: f64,
}

/// All series.
#[derive(Clone, Debug, Default)]
pub(super) struct Figures {
    pub(super) series: BTreeMap<(Metric, Labels), Histogram>,
}

impl Figures {
    pub(super) fn count(&mut self, generation: &Generation) {
        let usage = generation.usage;
        let labels = |error, token_type| Labels {
            operation: generation.origin.operation,
            model: generation.model.clone(),
            error,
            token_type,
        };
        let duration_s = generation.duration.as_secs_f64();
        let plain = || labels(None, None);
        self.observe(Metric::Duration, labels(generation.error, None), duration_s);
        if let Some(ttft) = generation.ttft {
            let ttft_s = ttft.as_secs_f64();
            self.observe(Metric::FirstToken, plain(), ttft_s);
            let choices = generation.asked.choices.max(1);
            // Of several answers together each has its own pace; their common one is near it.
            let after_first = (usage.completion_tokens / choices).saturating_sub(1);
            if after_first > 0 {
                let each_s = (duration_s - ttft_s).max(0.0) / after_first as f64;
                self.observe(Metric::NextToken, plain(), each_s);
            }
        }
        for (kind, count) in [
            ("input", usage.prompt_tokens),
            ("output", usage.completion_tokens),
        ] {
            if count > 0 {
                self.observe(Metric::Tokens, labels(None, Some(kind)), count as f64);
            }
        }
    }

    fn observe(&mut self, metric: Metric, labels: Labels, value: f64) {
        let bounds = metric.bounds();
        let histogram = self.series.entry((metric, labels)).or_default();
        histogram.counts.resize(bounds.len() + 1, 0);
        // A bound belongs to the bucket below it.
        let bucket = bounds.partition_point(|&bound| bound < value);
        histogram.counts[bucket] += 1;
        histogram.count += 1;
        histogram.sum += value;
    }
}
