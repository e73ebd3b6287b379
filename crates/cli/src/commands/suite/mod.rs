//! `terang eval MODEL --suite FILE`: questions from files, counted as lm-evaluation-harness counts them.

mod packaged;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::{Value, json};
use terang_engine::likelihood::{Likelihood, likelihoods};
use terang_engine::runner::{DecoderRunner, Runner as _};
use terang_engine::suite::{Figure, Item, Metric, metrics};
use terang_engine::text::Text;
use terang_engine::{Engine, EngineOptions, Event, Limits, Prompt, Request};
use terang_train::checkpoint;
use terang_train::evaluations::{self, Evaluation};

use crate::args::Suite;
use crate::chat;
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, fail};
use crate::pull::Progress;

const LINE_BYTES_MAX: usize = 4 << 20;
const ITEMS_MAX: usize = 1_000_000;
/// Positions that a question and its answer share, where the model has as many.
const CONTEXT: usize = 2048;
/// Longest answer, and how many are generated at once.
const ANSWER_TOKENS: usize = 256;
const AT_ONCE: usize = 8;

/// A file of questions.
struct Questions {
    name: String,
    items: Vec<Item>,
    scores: Vec<Vec<(Figure, f64)>>,
}

/// Measures and prints.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Suite) -> Outcome<()> {
    let limit = args.limit.map_or(ITEMS_MAX, |limit| limit as usize);
    let mut suites = Vec::new();
    for path in &args.suites {
        suites.push(Questions {
            name: path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            items: questions(data, path, limit)?,
            scores: Vec::new(),
        });
    }
    let progress = Progress::new(args.json);
    let model = chat::locate_answering(data, args.model.as_deref(), &progress)?;
    // Said before anything is measured.
    if args.record && !model.path.join(checkpoint::MANIFEST).is_file() {
        return Err(fail(Msg::SuiteNoRecord {
            path: model.path.display().to_string(),
        }));
    }
    let load = |context_len| {
        let options = EngineOptions {
            context_len,
            cache_len: Some(AT_ONCE * CONTEXT),
            ..compute.engine(data)
        };
        terang_engine::load::load(&model.path, &options, |_| ())
    };
    // A model that has less gets what it has.
    let loaded = load(Some(CONTEXT)).or_else(|_| load(None));
    let (mut runner, text) = loaded.map_err(|error| chat::explain(&error))?;
    for suite in suites.iter_mut().filter(|suite| !suite.is_generated()) {
        weigh(&mut runner, &text, suite, &progress)?;
    }
    if suites.iter().any(Questions::is_generated) {
        let engine = Engine::start(runner, text, Limits::default());
        let engine = engine.map_err(|error| chat::explain(&error))?;
        for suite in suites.iter_mut().filter(|suite| suite.is_generated()) {
            answer(&engine, suite, &progress)?;
        }
    }
    progress.clear();
    if args.record {
        record(&model.path, &suites)?;
    }
    tell(args, &model.name, &suites)
}

impl Questions {
    fn is_generated(&self) -> bool {
        self.items.iter().any(|item| item.question().is_some())
    }

    fn begin(&self, progress: &Progress) {
        let label = Msg::LabelSuite {
            suite: self.name.clone(),
        };
        progress.start_count(self.items.len() as u64, &label);
    }
}

/// The questions of a file, or of the package that has a suite of that name.
fn questions(data: &DataDir, path: &Path, limit: usize) -> Outcome<Vec<Item>> {
    if path.exists() {
        return read(path, limit);
    }
    match packaged::lines(data, path)? {
        Some(lines) => lines
            .iter()
            .take(limit)
            .map(|line| Item::read(line).map_err(Problem::Below))
            .collect(),
        None => Err(fail(Msg::SuiteNone {
            path: path.display().to_string(),
            names: packaged::names(),
        })),
    }
}

/// The lines of a file.
fn read(path: &Path, limit: usize) -> Outcome<Vec<Item>> {
    let wrong = |error: &std::io::Error| Problem::file(path, error);
    let mut reader = BufReader::new(File::open(path).map_err(|error| wrong(&error))?);
    let (mut items, mut number, mut line) = (Vec::new(), 0, Vec::new());
    while items.len() < limit {
        line.clear();
        let mut limited = reader.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        let n = limited
            .read_until(b'\n', &mut line)
            .map_err(|error| wrong(&error))?;
        if n == 0 {
            break;
        }
        number += 1;
        let bad =
            |reason: String| Problem::Below(format!("{}: line {number}: {reason}", path.display()));
        if n > LINE_BYTES_MAX {
            return Err(bad(format!("more than {LINE_BYTES_MAX} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let value: Value = serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))?;
        let item = Item::read(&value).map_err(bad)?;
        let is_other = items.first().is_some_and(|first: &Item| {
            std::mem::discriminant(first) != std::mem::discriminant(&item)
        });
        if is_other {
            return Err(bad("another kind of question than the first one".to_owned()));
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(fail(Msg::SuiteEmpty {
            path: path.display().to_string(),
        }));
    }
    Ok(items)
}

/// Suites of likelihoods.
fn weigh(
    runner: &mut DecoderRunner,
    text: &Text,
    suite: &mut Questions,
    progress: &Progress,
) -> Outcome<()> {
    suite.begin(progress);
    let (vocab_size, context_len) = (runner.vocab_size(), runner.context_len());
    for (done, item) in suite.items.iter().enumerate() {
        stop_if_asked();
        let wanted = item
            .continuations(text, vocab_size, context_len)
            .map_err(|error| {
                Problem::Below(format!("{}: item {}: {error}", suite.name, done + 1))
            })?;
        let found: Vec<Likelihood> = likelihoods(runner, &wanted, &mut |_| stop_if_asked())
            .map_err(|error| chat::explain(&error))?;
        suite.scores.push(item.score(&found, ""));
        progress.reach(done as u64 + 1);
    }
    Ok(())
}

/// Suites whose answers are generated, a few at once.
fn answer(engine: &Engine, suite: &mut Questions, progress: &Progress) -> Outcome<()> {
    suite.begin(progress);
    for items in suite.items.chunks(AT_ONCE) {
        let mut running = Vec::new();
        for item in items {
            let mut request = Request::new(Prompt::Text(item.question().unwrap_or_default()));
            request.sampling.temperature = 0.0;
            request.max_tokens = Some(ANSWER_TOKENS);
            request.stop = vec!["\n\n".to_owned(), "Question:".to_owned()];
            running.push(
                engine
                    .submit(request)
                    .map_err(|error| chat::explain(&error))?,
            );
        }
        for (item, generation) in items.iter().zip(running) {
            let mut answer = String::new();
            for event in generation {
                stop_if_asked();
                match event {
                    Event::Token { text, .. } | Event::Finished { text, .. } => {
                        answer.push_str(&text);
                    }
                    Event::Failed { message } => return Err(Problem::Below(message)),
                    _ => {}
                }
            }
            suite.scores.push(item.score(&[], &answer));
            progress.reach(suite.scores.len() as u64);
        }
    }
    Ok(())
}

/// Nothing is half done that would need care.
fn stop_if_asked() {
    if interrupt::requested() {
        std::process::exit(i32::from(crate::problem::EXIT_INTERRUPTED));
    }
}

/// Keeps the figures beside the manifest of what was trained here.
fn record(model: &Path, suites: &[Questions]) -> Outcome<()> {
    let one = |suite: &Questions| {
        let metrics = metrics(&suite.scores).into_iter().map(|metric| {
            let half = metric.stderr.map(|stderr| 1.96 * stderr);
            (metric.name.to_owned(), (metric.value, half))
        });
        let questions = format!("{:?}", suite.items);
        let evaluation = Evaluation {
            made_by: format!("terang {}", env!("CARGO_PKG_VERSION")),
            items: suite.items.len(),
            questions_sha256: evaluations::digest(&questions),
            metrics: metrics.collect(),
        };
        (suite.name.clone(), evaluation)
    };
    evaluations::add(model, suites.iter().map(one).collect())
        .map_err(|error| Problem::Below(error.to_string()))
}

fn tell(args: &Suite, model: &str, suites: &[Questions]) -> Outcome<()> {
    let found: Vec<(&Questions, Vec<Metric>)> = suites
        .iter()
        .map(|suite| (suite, metrics(&suite.scores)))
        .collect();
    if args.json {
        let one = |(suite, metrics): &(&Questions, Vec<Metric>)| {
            let metrics: serde_json::Map<String, Value> = metrics
                .iter()
                .map(|metric| {
                    let figures = json!({
                        "value": metric.value,
                        "stderr": metric.stderr,
                        "interval_95": metric.interval(),
                    });
                    (metric.name.to_owned(), figures)
                })
                .collect();
            json!({ "name": suite.name, "items": suite.items.len(), "metrics": metrics })
        };
        let suites: Vec<Value> = found.iter().map(one).collect();
        return output::json(&json!({ "model": model, "suites": suites }));
    }
    for (suite, metrics) in &found {
        let figures: Vec<String> = metrics.iter().map(told).collect();
        output::line(&format!(
            "{} ({})  {}",
            suite.name,
            suite.items.len(),
            figures.join("  ")
        ))?;
    }
    Ok(())
}

fn told(metric: &Metric) -> String {
    let error = metric
        .stderr
        .map(|stderr| format!(" ± {:.4}", 1.96 * stderr));
    format!(
        "{} {:.4}{}",
        metric.name,
        metric.value,
        error.unwrap_or_default()
    )
}
