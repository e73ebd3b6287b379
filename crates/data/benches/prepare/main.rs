//! How fast data are prepared, and in how much memory: JSONL of `MB` megabytes (64 by default) with the rules that are
//! on by themselves, near-duplicates and personal data, without a tokenizer; then each step by itself.
//! `cargo bench -p terang-data --bench prepare`. `CONFIG` names a configuration to prepare instead, `THREADS` says
//! how many.
//!
//! Megabytes are told for each second of processor time: that is what one core does, whatever else runs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails by panicking, and prints what it measures"
)]

mod corpus;

use corpus::Corpus;
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use terang_data::index::{Index, build};
use terang_data::prepare::{Options, Stage, prepare};
use terang_data::steps::Steps;
use terang_data::tokens::NoTokens;

/// Writes texts as records, a line each.
fn write(path: &Path, bytes: u64) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut corpus = Corpus::new();
    let mut written = 0;
    for document in 0.. {
        if written >= bytes {
            break;
        }
        let record = serde_json::json!({"id": document, "text": corpus.text()});
        let line = format!("{record}\n");
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
    }
    out.flush().unwrap();
}

/// Seconds of processor time of this process so far, and the most memory that it had, in MiB; Linux knows.
fn used() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |i: usize| {
        fields
            .get(i)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    let kib = peak.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    ((ticks(11) + ticks(12)) / 100.0, kib.unwrap_or(0.0) / 1024.0)
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let value = std::env::var(name).ok();
    value
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

fn main() {
    let (megabytes, threads) = (setting("MB", 64), setting("THREADS", 1) as usize);
    let folder = tempfile::tempdir().unwrap();
    let config = if let Ok(config) = std::env::var("CONFIG") {
        PathBuf::from(config)
    } else {
        write(&folder.path().join("in.jsonl"), megabytes * 1_000_000);
        let config = folder.path().join("config.toml");
        let text = "name = \"bench\"\nlanguages = [\"en\", \"id\"]\n[[source]]\nname = \"a\"\nfiles = [\"in.jsonl\"]\n";
        std::fs::write(&config, text).unwrap();
        config
    };
    let out = folder.path().join("out");
    whole(config, &out, threads);
    if std::env::var("CONFIG").is_err() {
        steps(&folder.path().join("in.jsonl"));
        search(&out);
    }
}

/// All of it.
fn whole(config: PathBuf, out: &Path, threads: usize) {
    let options = Options {
        config,
        out: out.to_owned(),
        packages: out.join("packages"),
        threads,
        tokenizers: &NoTokens,
    };
    let (began, (cpu, _)) = (Instant::now(), used());
    let stages = std::sync::Mutex::new(Vec::<(Stage, f64)>::new());
    let finished = prepare(&options, &|event| {
        let mut stages = stages.lock().unwrap();
        if stages.last().is_none_or(|(stage, _)| *stage != event.stage) {
            stages.push((event.stage, used().0));
        }
        true
    })
    .unwrap();
    let (cpu_now, peak) = used();
    let sources = &finished.manifest.sources;
    let megabytes = sources.iter().map(|s| s.counts.bytes_in).sum::<u64>() as f64 / 1e6;
    println!(
        "{megabytes:.0} MB, {threads} threads: {:.1} MB/s of processor time, {:.1} MB/s of wall time, peak {peak:.0} MiB",
        megabytes / (cpu_now - cpu),
        megabytes / began.elapsed().as_secs_f64()
    );
    let stages = stages.lock().unwrap();
    let ends = stages.iter().skip(1).map(|(_, at)| *at).chain([cpu_now]);
    // The first event comes when a batch was read and cleaned.
    let begins = [cpu]
        .into_iter()
        .chain(stages.iter().skip(1).map(|(_, at)| *at));
    for ((stage, _), (begin, end)) in stages.iter().zip(begins.zip(ends)) {
        println!(
            "  {stage:?}: {:.1} MB/s",
            megabytes / (end - begin).max(0.01)
        );
    }
    for source in sources {
        let counts = &source.counts;
        println!(
            "  {}: {} documents, {} kept, dropped {:?}, scrubbed {:?}, languages {:?}",
            source.name,
            counts.documents_in,
            counts.documents_out,
            counts.dropped,
            counts.scrubbed,
            counts.languages
        );
    }
    println!("  digest {}", finished.manifest.digest);
}

/// Each step alone, on all documents one after the other.
fn steps(input: &Path) {
    let lines = std::fs::read(input).unwrap();
    let records: Vec<&[u8]> = lines
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .collect();
    let mut steps = Steps::default();
    let megabytes = lines.len() as f64 / 1e6;
    let tell = |name: &str, cpu: f64| {
        let seconds = (used().0 - cpu).max(0.01);
        println!(
            "  {name:<10} {:6.1} MB/s {:5.1} ns a byte",
            megabytes / seconds,
            seconds * 1000.0 / megabytes
        );
    };
    println!("steps, each alone:");
    let cpu = used().0;
    let texts: Vec<String> = records.iter().map(|record| steps.read(record)).collect();
    tell("read", cpu);
    let cpu = used().0;
    let texts: Vec<String> = texts.iter().map(|text| steps.normalize(text)).collect();
    tell("normalize", cpu);
    let cpu = used().0;
    for text in &texts {
        black_box(steps.language(text));
    }
    tell("language", cpu);
    let cpu = used().0;
    for text in &texts {
        black_box(steps.words(text));
    }
    let words = used().0 - cpu;
    tell("words", cpu);
    let mut with_words = |name: &str, step: fn(&mut Steps, &str) -> u64| {
        let cpu = used().0;
        for text in &texts {
            steps.words(text);
            black_box(step(&mut steps, text));
        }
        tell(name, cpu + words);
    };
    with_words("rules", Steps::rules);
    with_words("keys", Steps::keys);
    let cpu = used().0;
    for text in &texts {
        black_box(steps.personal(text));
    }
    tell("personal", cpu);
}

/// What the index of it does.
fn search(out: &Path) {
    let (cpu, began) = (used().0, Instant::now());
    let places = build(out, &|_| true).unwrap();
    println!(
        "index: {:.1} MB/s of processor time, {:.1} s, peak {:.0} MiB",
        places as f64 / 1e6 / (used().0 - cpu),
        began.elapsed().as_secs_f64(),
        used().1
    );
    let index = Index::open(out).unwrap();
    let began = Instant::now();
    let found = index.find("the market", 20).unwrap();
    println!(
        "find: {} documents in {:.2} ms",
        found.documents,
        began.elapsed().as_secs_f64() * 1000.0
    );
    let answer: String = Corpus::new().text().chars().take(1200).collect();
    let began = Instant::now();
    let trace = index
        .trace(&answer, &terang_data::trace::Settings::default())
        .unwrap();
    println!(
        "trace of 200 words: {} spans in {:.1} ms",
        trace.spans.len(),
        began.elapsed().as_secs_f64() * 1000.0
    );
}
