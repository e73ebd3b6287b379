//! Suites of questions: what a file of them asks, and what answers count.
//!
//! Five kinds, told by the fields of a line, as they stand in the files that others publish; each is counted as
//! in lm-evaluation-harness. Choices and pairs are weighed by likelihood; nothing is generated but answers to
//! arithmetic.

use crate::Result as EngineResult;
use crate::likelihood::{Continuation, Likelihood, windows};
use crate::text::Text;
use serde::Serialize;
use serde_json::Value;

/// Most characters of a question and all of its answers.
const CHARS_MAX: usize = 1 << 20;
/// Most choices of a question.
const CHOICES_MAX: usize = 64;

/// What a line asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// Which ending is likeliest: `query`, `choices`, `gold`.
    Choice {
        /// What comes before.
        context: String,
        /// Endings.
        choices: Vec<String>,
        /// Which is right, from 0.
        gold: usize,
    },
    /// Before which beginning an ending is likeliest: `context_options`, `continuation`, `gold`.
    Beginning {
        /// Beginnings.
        contexts: Vec<String>,
        /// The ending.
        ending: String,
        /// Which is right, from 0.
        gold: usize,
    },
    /// How likely an ending is: `context`, `continuation`.
    Ending {
        /// What comes before.
        context: String,
        /// The ending.
        ending: String,
    },
    /// Which sentence is likelier: `sentence_good`, `sentence_bad`.
    Pair {
        /// The one that should be.
        good: String,
        /// The other.
        bad: String,
    },
    /// What a text's likelihood is: `text`.
    Text {
        /// The text.
        text: String,
    },
    /// What number an answer ends with: `question` or `context`, `answer`.
    Number {
        /// What is asked.
        question: String,
        /// The number's digits.
        answer: String,
    },
}

impl Item {
    /// Reads a line.
    ///
    /// # Errors
    /// A line about what is missing or wrong.
    pub fn read(line: &Value) -> Result<Self, String> {
        let text = |name: &str| -> Result<String, String> {
            let text = line[name].as_str();
            let text = text.ok_or_else(|| format!("no field `{name}` with a text"))?;
            if text.len() > CHARS_MAX {
                return Err(format!(
                    "field `{name}`: {} bytes, allowed {CHARS_MAX}",
                    text.len()
                ));
            }
            Ok(text.to_owned())
        };
        let texts = |name: &str| -> Result<Vec<String>, String> {
            let all = line[name].as_array();
            let all = all.ok_or_else(|| format!("no field `{name}` with texts"))?;
            if all.len() < 2 || all.len() > CHOICES_MAX {
                return Err(format!(
                    "field `{name}`: {} texts, allowed 2 to {CHOICES_MAX}",
                    all.len()
                ));
            }
            let texts: Option<Vec<String>> = all
                .iter()
                .map(|value| {
                    value
                        .as_str()
                        .filter(|text| text.len() <= CHARS_MAX)
                        .map(str::to_owned)
                })
                .collect();
            texts.ok_or_else(|| format!("field `{name}`: not all of it are texts"))
        };
        let gold = |n: usize| -> Result<usize, String> {
            let gold = line["gold"].as_u64().filter(|gold| *gold < n as u64);
            gold.map(|gold| gold as usize).ok_or_else(|| {
                format!(
                    "field `gold`: found {}, allowed 0 to {}",
                    line["gold"],
                    n - 1
                )
            })
        };
        let has = |name: &str| line.get(name).is_some();
        if has("choices") {
            let choices = texts("choices")?;
            return Ok(Self::Choice {
                context: text("query")?,
                gold: gold(choices.len())?,
                choices,
            });
        }
        if has("context_options") {
            let contexts = texts("context_options")?;
            return Ok(Self::Beginning {
                gold: gold(contexts.len())?,
                contexts,
                ending: text("continuation")?,
            });
        }
        if has("continuation") {
            return Ok(Self::Ending {
                context: text("context")?,
                ending: text("continuation")?,
            });
        }
        if has("sentence_good") {
            return Ok(Self::Pair {
                good: text("sentence_good")?,
                bad: text("sentence_bad")?,
            });
        }
        if has("answer") {
            let question = text("question").or_else(|_| text("context"))?;
            let answer = text("answer")?;
            let answer = last_number(answer.rsplit("####").next().unwrap_or_default());
            return Ok(Self::Number {
                question,
                answer: answer.ok_or("field `answer`: no number is in it")?,
            });
        }
        if has("text") {
            return Ok(Self::Text {
                text: text("text")?,
            });
        }
        Err(
            "no known kind of question: allowed are query with choices and gold, context_options with \
             continuation and gold, context with continuation, sentence_good with sentence_bad, question \
             with answer, text"
                .to_owned(),
        )
    }

    /// What [`Self::score`] wants the likelihoods of, in its order.
    ///
    /// # Errors
    /// Those of texts without tokens, and of endings longer than `context_len` tokens.
    pub fn continuations(
        &self,
        text: &Text,
        vocab_size: usize,
        context_len: usize,
    ) -> EngineResult<Vec<Continuation>> {
        if let Self::Text { text: whole } = self {
            return windows(text, vocab_size, context_len, whole);
        }
        self.texts()
            .iter()
            .map(|(context, ending)| {
                Continuation::new(text, vocab_size, context_len, context, ending)
            })
            .collect()
    }

    /// Contexts and endings.
    fn texts(&self) -> Vec<(String, String)> {
        match self {
            Self::Choice {
                context, choices, ..
            } => {
                let context = prompt(context);
                let ending = |choice: &String| (context.clone(), format!(" {choice}"));
                choices.iter().map(ending).collect()
            }
            Self::Beginning {
                contexts, ending, ..
            } => {
                let pair = |context: &String| (context.clone(), format!(" {ending}"));
                contexts.iter().map(pair).collect()
            }
            Self::Ending { context, ending } => vec![(context.clone(), format!(" {ending}"))],
            Self::Pair { good, bad } => {
                vec![(String::new(), good.clone()), (String::new(), bad.clone())]
            }
            Self::Text { .. } | Self::Number { .. } => Vec::new(),
        }
    }

    /// What to continue, where an answer is generated.
    pub fn question(&self) -> Option<String> {
        match self {
            Self::Number { question, .. } => Some(format!("Question: {question}\nAnswer:")),
            _ => None,
        }
    }

    /// What an item adds to its suite's figures.
    pub fn score(&self, found: &[Likelihood], answer: &str) -> Vec<(Figure, f64)> {
        let bit = |is: bool| f64::from(u8::from(is));
        match self {
            Self::Choice { choices, gold, .. } => {
                let per_character = found.iter().zip(choices);
                let normed: Vec<f64> = per_character
                    .map(|(found, choice)| found.logprob / choice.chars().count().max(1) as f64)
                    .collect();
                let plain: Vec<f64> = found.iter().map(|found| found.logprob).collect();
                vec![
                    (Figure::Acc, bit(first_largest(&plain) == *gold)),
                    (Figure::AccNorm, bit(first_largest(&normed) == *gold)),
                ]
            }
            Self::Beginning { gold, .. } => {
                let plain: Vec<f64> = found.iter().map(|found| found.logprob).collect();
                vec![(Figure::Acc, bit(first_largest(&plain) == *gold))]
            }
            Self::Ending { .. } => vec![
                (Figure::Acc, bit(found[0].is_greedy)),
                (Figure::Nats, -found[0].logprob),
            ],
            Self::Pair { .. } => vec![(Figure::Acc, bit(found[0].logprob > found[1].logprob))],
            Self::Text { text } => vec![
                (
                    Figure::TextNats,
                    -found.iter().map(|found| found.logprob).sum::<f64>(),
                ),
                (Figure::Bytes, text.len() as f64),
                (Figure::Words, words(text) as f64),
            ],
            Self::Number {
                answer: expected, ..
            } => {
                let is_right = last_number(answer).as_ref() == Some(expected);
                vec![(Figure::ExactMatch, bit(is_right))]
            }
        }
    }
}

/// As the harness counts: the pieces between single spaces and breaks.
fn words(text: &str) -> usize {
    text.split_whitespace().count().max(1)
}

/// A question ends where its answer begins.
fn prompt(query: &str) -> String {
    let query = query.trim_end();
    if query.starts_with("Question:") {
        format!("{query}\nAnswer:")
    } else {
        query.to_owned()
    }
}

fn first_largest(values: &[f64]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

/// The digits of the last number in a text, as GSM8K's answers are read: without commas, and without a point
/// at its end.
fn last_number(text: &str) -> Option<String> {
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let start = text[..end]
        .rfind(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | ',')))
        .map_or(0, |at| {
            at + text[at..].chars().next().map_or(1, char::len_utf8)
        });
    let minus = if text[..start].ends_with('-') {
        "-"
    } else {
        ""
    };
    let digits = text[start..end]
        .trim_start_matches(['.', ','])
        .replace(',', "");
    Some(format!("{minus}{digits}"))
}

/// What is counted of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// Right or wrong.
    Acc,
    /// The same where likelihoods are taken for a character.
    AccNorm,
    /// The last number of an answer is the right one.
    ExactMatch,
    /// Nats of an ending.
    Nats,
    /// Nats of a whole text.
    TextNats,
    /// Its bytes.
    Bytes,
    /// Its words.
    Words,
}

/// A figure of a suite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// Its name, as the harness has it.
    pub name: &'static str,
    /// The mean over the items, or what it is the exponent of.
    pub value: f64,
    /// Its standard error; none where the harness gives none.
    pub stderr: Option<f64>,
}

impl Metric {
    /// The bounds between which the true value lies in 95 of 100 cases.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let half = 1.96 * self.stderr?;
        Some((self.value - half, self.value + half))
    }
}

/// The figures of a suite from those of its items.
pub fn metrics(scores: &[Vec<(Figure, f64)>]) -> Vec<Metric> {
    let values = |wanted: Figure| -> Vec<f64> {
        let all = scores.iter().flatten();
        all.filter(|(figure, _)| *figure == wanted)
            .map(|(_, value)| *value)
            .collect()
    };
    let mut out = Vec::new();
    for (figure, name) in [
        (Figure::Acc, "acc"),
        (Figure::AccNorm, "acc_norm"),
        (Figure::ExactMatch, "exact_match"),
    ] {
        let values = values(figure);
        if !values.is_empty() {
            let (value, stderr) = mean(&values);
            out.push(Metric {
                name,
                value,
                stderr,
            });
        }
    }
    let nats = values(Figure::Nats);
    if !nats.is_empty() {
        let (mean, stderr) = mean(&nats);
        let value = libm::exp(mean);
        out.push(Metric {
            name: "perplexity",
            value,
            stderr: stderr.map(|stderr| stderr * value),
        });
    }
    let text: f64 = values(Figure::TextNats).iter().sum();
    for (figure, name) in [
        (Figure::Words, "word_perplexity"),
        (Figure::Bytes, "byte_perplexity"),
        (Figure::Bytes, "bits_per_byte"),
    ] {
        let values = values(figure);
        if !values.is_empty() {
            let nats = text / values.iter().sum::<f64>();
            let value = if name == "bits_per_byte" {
                nats / std::f64::consts::LN_2
            } else {
                libm::exp(nats)
            };
            out.push(Metric {
                name,
                value,
                stderr: None,
            });
        }
    }
    out
}

/// The mean, and its standard error from the sample's deviation.
fn mean(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() < 2 {
        return (mean, None);
    }
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    (mean, Some((squares / (n - 1.0) / n).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_told_by_their_fields() {
        let choice = json!({ "query": "Question: 1+1?\n", "choices": ["1", "2"], "gold": 1 });
        let item = Item::read(&choice).unwrap();
        assert_eq!(
            item.texts()[1],
            ("Question: 1+1?\nAnswer:".to_owned(), " 2".to_owned())
        );
        let likely = |logprob| Likelihood {
            logprob,
            ..Likelihood::default()
        };
        let scores = item.score(&[likely(-1.0), likely(-2.0)], "");
        assert_eq!(scores, [(Figure::Acc, 0.0), (Figure::AccNorm, 0.0)]);
        let gsm = json!({ "question": "x", "answer": "so 5\n#### 1,012" });
        let item = Item::read(&gsm).unwrap();
        assert_eq!(item.score(&[], "It is 1012."), [(Figure::ExactMatch, 1.0)]);
        assert_eq!(item.score(&[], "none"), [(Figure::ExactMatch, 0.0)]);
        for (line, expected) in [
            (
                json!({ "query": "q", "choices": ["a"], "gold": 0 }),
                "1 texts",
            ),
            (
                json!({ "query": "q", "choices": ["a", "b"], "gold": 2 }),
                "allowed 0 to 1",
            ),
            (json!({ "choices": ["a", "b"], "gold": 0 }), "`query`"),
            (
                json!({ "query": "q", "choices": ["a", 5], "gold": 0 }),
                "not all",
            ),
            (json!({ "question": "q", "answer": "none" }), "no number"),
            (json!({ "x": 1 }), "no known kind"),
            (json!([]), "no known kind"),
        ] {
            let error = Item::read(&line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn figures_have_their_errors() {
        let scores: Vec<_> = [1.0, 0.0, 1.0, 1.0]
            .map(|acc| vec![(Figure::Acc, acc)])
            .into();
        let found = metrics(&scores);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].name, found[0].value), ("acc", 0.75));
        assert!((found[0].stderr.unwrap() - 0.25).abs() < 1e-12);
        let (low, high) = found[0].interval().unwrap();
        assert!((low - 0.26).abs() < 1e-9 && (high - 1.24).abs() < 1e-9);
        let text = vec![vec![
            (Figure::TextNats, 2.0 * std::f64::consts::LN_2),
            (Figure::Bytes, 8.0),
            (Figure::Words, 1.0),
        ]];
        let found = metrics(&text);
        assert_eq!(found[2].name, "bits_per_byte");
        assert!((found[2].value - 0.25).abs() < 1e-12);
        assert!((found[0].value - 4.0).abs() < 1e-12);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_is_fatal(answer in "[ -~é€0-9.,-]{0,24}") {
            let _ = last_number(&answer);
        }
    }
}
