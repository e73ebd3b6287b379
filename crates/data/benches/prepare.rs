//! How fast data are prepared, and in how much memory: JSONL of `MB` megabytes (256 by default) with all rules,
//! near-duplicates and personal data on, without a tokenizer. `cargo bench -p terang-data --bench prepare`.
//!
//! Megabytes are told for each second of processor time: that is what one core does, whatever else runs.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench fails by panicking, and prints what it measures"
)]

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;
use terang_data::index::{Index, build};
use terang_data::prepare::{Options, Stage, prepare};
use terang_data::tokens::NoTokens;

const WORDS: &str = "the of and to in that is was for it with as his on be at by he this had not are but from or have \
an they which one you were her all she there would their we him been has when who will more no if out so said what up \
its about into than them can only other new some could time these two may then do first any my now such like our over \
man me even most made after also did many before must through back years where much your way well down should because \
each just those people mister how too little state good very make world still own see men work long get here between \
both life being under never day same another know while last might us great old year off come since against go came \
right used take three states himself few house use during without again place american around however home small found \
mrs thought went say part once general high upon school every don does got united left number course war until always \
away something fact though water less public put thing almost hand enough far took head yet government system better \
set told nothing night end why called didn eyes find going look asked later knew point next program city business group \
give days young let room word";

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Documents of some two thousand characters in sentences; each twentieth nearly repeats one before it.
fn write(path: &Path, bytes: u64) {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let (mut written, mut document) = (0, 0u64);
    while written < bytes {
        let seed = if document % 20 == 19 {
            document - 7
        } else {
            document
        };
        let mut text = String::new();
        for i in 0..380 {
            let draw = mix(seed << 16 | i);
            // Frequent words are frequent.
            let (a, b) = (draw % 1000, (draw >> 20) % 1000);
            let word = words[(a * b * words.len() as u64 / 1_000_000) as usize];
            text.push_str(word);
            if draw.is_multiple_of(97) {
                text.push_str(&(draw % 3000).to_string());
            }
            text.push_str(if draw.is_multiple_of(13) { ". " } else { " " });
            if draw.is_multiple_of(149) {
                text.push_str("\\n");
            }
        }
        if document.is_multiple_of(50) {
            text.push_str(" Write to somebody@example.org.");
        }
        let line = format!("{{\"id\": {document}, \"text\": \"{text} Done.\"}}\n");
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        document += 1;
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

fn main() {
    let megabytes: u64 = std::env::var("MB")
        .ok()
        .and_then(|mb| mb.parse().ok())
        .unwrap_or(256);
    let threads: usize = std::env::var("THREADS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.jsonl");
    write(&input, megabytes * 1_000_000);
    let config = folder.path().join("config.toml");
    let text = "name = \"bench\"\nlanguages = [\"en\", \"id\"]\n[[source]]\nname = \"a\"\nfiles = [\"in.jsonl\"]\n\
        rules = [\"gopher\", \"repetition\", \"fineweb_line_ends\"]\n";
    std::fs::write(&config, text).unwrap();
    let options = Options {
        config,
        out: folder.path().join("out"),
        packages: folder.path().join("packages"),
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
    let seconds = cpu_now - cpu;
    println!(
        "{megabytes} MB, {threads} threads: {:.1} MB/s of processor time, {:.1} MB/s of wall time, peak {peak:.0} MiB",
        megabytes as f64 / seconds,
        megabytes as f64 / began.elapsed().as_secs_f64()
    );
    for (stage, at) in stages.lock().unwrap().iter() {
        println!("  {stage:?} from {:.2} s", at - cpu);
    }
    let counts = &finished.manifest.sources[0].counts;
    println!(
        "  {} documents, {} kept, dropped {:?}, scrubbed {:?}",
        counts.documents_in, counts.documents_out, counts.dropped, counts.scrubbed
    );
    let (cpu, began) = (used().0, Instant::now());
    let places = build(&options.out, &|_| true).unwrap();
    println!(
        "index: {:.1} MB/s of processor time, {:.1} s, peak {:.0} MiB",
        places as f64 / 1e6 / (used().0 - cpu),
        began.elapsed().as_secs_f64(),
        used().1
    );
    let index = Index::open(&options.out).unwrap();
    let began = Instant::now();
    let found = index.find("the government", 20).unwrap();
    println!(
        "find: {} documents in {:.2} ms",
        found.documents,
        began.elapsed().as_secs_f64() * 1000.0
    );
    let answer = WORDS
        .split_whitespace()
        .take(200)
        .collect::<Vec<_>>()
        .join(" ");
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
