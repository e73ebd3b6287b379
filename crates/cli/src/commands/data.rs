//! `terang data`: prepared training data, and where a phrase stands in them.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::json;
use terang_data::DataError;
use terang_data::index::{self, Index, PHRASE_MAX, Place};
use terang_data::prepare::{Event, Finished, Stage};
use terang_data::trace::{Settings, Trace};
use terang_train::prepared;

use super::train::explain;
use crate::args::{Data, DataFind, DataIndex, DataPrepare, DataTrace};
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::{Msg, human_bytes};
use crate::output;
use crate::problem::{Outcome, Problem, misuse};
use crate::pull::Progress;

/// Does what the verb after `data` says.
pub(crate) fn run(
    data: impl FnOnce() -> Outcome<DataDir>,
    compute: Compute,
    what: &Data,
) -> Outcome<()> {
    match what {
        Data::Prepare(args) => prepare(&data()?, compute, args),
        Data::Index(args) => build(args),
        Data::Find(args) => find(args),
        Data::Trace(args) => trace(args),
    }
}

/// A bar that follows what is being done.
struct Watch {
    progress: Progress,
    now: Mutex<Option<(Stage, String)>>,
}

impl Watch {
    fn new(quiet: bool) -> Self {
        Self {
            progress: Progress::new(quiet),
            now: Mutex::new(None),
        }
    }

    fn see(&self, event: &Event<'_>) -> bool {
        let mut now = self
            .now
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let stage = now.as_ref().map(|(stage, _)| *stage);
        if stage != Some(event.stage) {
            self.progress.start_count(event.total, &label(event));
        } else if now.as_ref().is_some_and(|(_, name)| name != event.name) {
            self.progress.label(label(event).to_string());
        }
        *now = Some((event.stage, event.name.to_owned()));
        self.progress.reach(event.done);
        !interrupt::requested()
    }
}

fn label(event: &Event<'_>) -> Msg {
    let name = event.name.to_owned();
    match event.stage {
        Stage::Fetching => Msg::LabelFetching { name },
        Stage::Reading => Msg::LabelReadingData { name },
        Stage::Comparing => Msg::LabelComparing {},
        Stage::Writing => Msg::LabelWriting {},
        Stage::Tokenizer => Msg::LabelTokenizer {},
        Stage::Encoding => Msg::LabelEncoding {},
        Stage::Indexing => Msg::LabelIndexing {},
    }
}

fn prepare(data: &DataDir, compute: Compute, args: &DataPrepare) -> Outcome<()> {
    let begun = Instant::now();
    let watch = Watch::new(args.json);
    let see = |event: &Event<'_>| watch.see(event);
    let threads = compute.threads();
    let finished = prepared::prepare(&args.config, &args.out, &data.packages(), threads, &see);
    watch.progress.clear();
    let finished = match finished {
        Err(terang_train::TrainError::Stopped) => {
            let path = args.out.display().to_string();
            return Err(Problem::Stopped(Box::new(Msg::TrainStopped { path })));
        }
        other => other.map_err(|error| explain(error, "data prepare"))?,
    };
    if args.json {
        return output::json(&finished.manifest);
    }
    output::line(&report(&finished))?;
    output::line(
        &Msg::DataPrepared {
            path: args.out.display().to_string(),
            documents: finished.manifest.documents.to_string(),
            size: human_bytes(finished.manifest.bytes),
            tokens: finished.manifest.tokens.to_string(),
            seconds: format!("{:.1}", begun.elapsed().as_secs_f64()),
            digest: finished.manifest.digest.clone(),
        }
        .to_string(),
    )
}

/// A line for each source, and one for what was dropped and replaced of it.
fn report(finished: &Finished) -> String {
    let told = |counts: &BTreeMap<String, u64>| {
        let each = counts.iter().map(|(name, count)| format!("{name} {count}"));
        each.collect::<Vec<_>>().join(", ")
    };
    let mut lines = Vec::new();
    for source in &finished.manifest.sources {
        let counts = &source.counts;
        lines.push(format!(
            "{}: {} -> {} ({}; {})",
            source.name,
            counts.documents_in,
            counts.documents_out,
            human_bytes(counts.bytes_out),
            told(&counts.languages),
        ));
        for (mark, counts) in [("-", &counts.dropped), ("*", &counts.scrubbed)] {
            if !counts.is_empty() {
                lines.push(format!("  {mark} {}", told(counts)));
            }
        }
    }
    lines.join("\n")
}

fn build(args: &DataIndex) -> Outcome<()> {
    let begun = Instant::now();
    let watch = Watch::new(args.json);
    let places = index::build(&args.folder, &|event| watch.see(event));
    watch.progress.clear();
    let places = places.map_err(|error| told(error, "data index"))?;
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        return output::json(&json!({
            "folder": args.folder, "places": places, "seconds": seconds,
        }));
    }
    output::line(
        &Msg::DataIndexed {
            path: args.folder.display().to_string(),
            size: human_bytes(places),
            seconds: format!("{seconds:.1}"),
        }
        .to_string(),
    )
}

fn open(folder: &Path, verb: &str) -> Outcome<Index> {
    Index::open(folder).map_err(|error| told(error, verb))
}

fn find(args: &DataFind) -> Outcome<()> {
    let index = open(&args.folder, "data find")?;
    let begun = Instant::now();
    let found = index
        .find(&args.phrase, args.limit)
        .map_err(|error| told(error, "data find"))?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    if args.json {
        let mut value = json!(found);
        value["phrase"] = args.phrase.clone().into();
        value["milliseconds"] = milliseconds.into();
        return output::json(&value);
    }
    output::line(
        &Msg::DataFound {
            documents: found.documents.to_string(),
            occurrences: found.occurrences.to_string(),
            milliseconds: format!("{milliseconds:.1}"),
        }
        .to_string(),
    )?;
    found.first.iter().try_for_each(|place| tell(place, "  "))
}

/// A document, and what stands around the phrase in it.
fn tell(place: &Place, indent: &str) -> Outcome<()> {
    let reference = &place.reference;
    output::line(&format!(
        "{indent}{}: {} #{} ({})\n{indent}  … {} …",
        reference.source, reference.file, reference.item, reference.licence, place.around
    ))
}

fn trace(args: &DataTrace) -> Outcome<()> {
    let answer = if args.answer == "-" {
        let mut bytes = Vec::new();
        let mut input = std::io::stdin().lock().take(PHRASE_MAX as u64 + 1);
        let path = Path::new("-");
        input
            .read_to_end(&mut bytes)
            .map_err(|error| Problem::file(path, &error))?;
        String::from_utf8_lossy(&bytes).into_owned()
    } else {
        args.answer.clone()
    };
    if answer.len() > PHRASE_MAX || answer.trim().is_empty() {
        return Err(misuse(Msg::UsageInvalidValue {
            argument: "ANSWER".to_owned(),
            value: answer.len().to_string(),
            allowed: format!("1 to {PHRASE_MAX} bytes"),
            verb: "data trace ".to_owned(),
        }));
    }
    let index = open(&args.folder, "data trace")?;
    let begun = Instant::now();
    let settings = Settings {
        words_min: usize::from(args.words),
        spans_max: args.spans,
        documents_max: args.documents,
    };
    let trace = index
        .trace(&answer, &settings)
        .map_err(|error| told(error, "data trace"))?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1000.0;
    if args.json {
        let mut value = json!(trace);
        value["milliseconds"] = milliseconds.into();
        return output::json(&value);
    }
    tell_trace(&trace, milliseconds)
}

fn tell_trace(trace: &Trace, milliseconds: f64) -> Outcome<()> {
    let covered = 100.0 * trace.covered_bytes as f64 / trace.answer.len().max(1) as f64;
    output::line(
        &Msg::DataTraced {
            spans: trace.spans.len().to_string(),
            covered: format!("{covered:.0}"),
            milliseconds: format!("{milliseconds:.1}"),
        }
        .to_string(),
    )?;
    for span in &trace.spans {
        output::line(&format!("\"{}\"", span.text))?;
        output::line(
            &Msg::DataSpan {
                words: span.words.to_string(),
                documents: span.documents.to_string(),
            }
            .to_string(),
        )?;
        span.first
            .iter()
            .try_for_each(|place| tell(place, "    "))?;
    }
    Ok(())
}

fn told(error: DataError, verb: &str) -> Problem {
    explain(error.into(), verb)
}
