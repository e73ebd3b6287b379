//! Arguments of `terang data`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with training data.
#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// Turn files and packages into clean documents and token shards
    #[command(after_help = "Examples:
  terang data prepare recipes/tiny-id-en.data.toml --out data
  terang data prepare posts.toml --out posts --json

Reads text, Markdown, HTML, JSON, JSONL, CSV and Parquet, also in gz, zst, zip and tar; conversations in
OpenAI's, ShareGPT's and Alpaca's form; archives of X and of Mastodon. Drops by language, rules of quality,
equal and nearly equal documents and overlap with evaluation sets; replaces personal data. What was dropped
and why is in manifest.json. A run that was broken off goes on where it was when the command is given again.
The result does not depend on the number of threads. docs/data.md describes the configuration.")]
    Prepare(DataPrepare),
    /// Index prepared data, so that phrases in them can be found
    #[command(after_help = "Examples:
  terang data index data
  terang data index data --json")]
    Index(DataIndex),
    /// Find every training document that holds a phrase
    #[command(after_help = "Examples:
  terang data find data \"ibu kota Indonesia\"
  terang data find data \"capital of Japan\" --limit 100 --json

Letters count as they are written. Index the folder first.")]
    Find(DataFind),
    /// Find the longest spans of an answer that stand word for word in the training data
    #[command(after_help = "Examples:
  terang data trace data \"The capital of Indonesia is Jakarta.\"
  terang chat --model run/model \"What is the capital of Indonesia?\" | terang data trace data -
  terang data trace data - --words 6 --json < answer.txt")]
    Trace(DataTrace),
}

/// Arguments of `terang data prepare`.
#[derive(Debug, Args)]
pub(crate) struct DataPrepare {
    /// What to prepare (TOML)
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
    /// Where prepared data go
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Give the manifest as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang data index`.
#[derive(Debug, Args)]
pub(crate) struct DataIndex {
    /// A folder of prepared data
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang data find`.
#[derive(Debug, Args)]
pub(crate) struct DataFind {
    /// A folder of prepared data that was indexed
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// What to look for
    #[arg(value_name = "PHRASE")]
    pub(crate) phrase: String,
    /// Documents that are named at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang data trace`.
#[derive(Debug, Args)]
pub(crate) struct DataTrace {
    /// A folder of prepared data that was indexed
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// The answer; - reads it from standard input
    #[arg(value_name = "ANSWER")]
    pub(crate) answer: String,
    /// Words of a span that is told
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) words: u16,
    /// Spans that are told at most, longest first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) spans: usize,
    /// Documents that are named for each at most
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) documents: usize,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
