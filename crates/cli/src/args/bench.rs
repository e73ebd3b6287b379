//! Arguments of the verbs that measure a model: how well it predicts, and how fast it is.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Arguments of `terang eval`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Eval {
    /// Something else than questions
    #[command(subcommand)]
    pub(crate) what: Option<EvalWhat>,
    /// The questions
    #[command(flatten)]
    pub(crate) suite: Suite,
}

/// Arguments of `terang eval MODEL --suite FILE`.
#[derive(Debug, Args)]
pub(crate) struct Suite {
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Questions, a JSON object a line; what they ask is told by their fields. Or a name: gsm8k, hellaswag and
    /// truthfulqa, 100 questions each, come as a package
    #[arg(long = "suite", value_name = "FILE|NAME", required = true)]
    pub(crate) suites: Vec<PathBuf>,
    /// The first questions of each file alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Keep the figures with the model, which `terang train` made: `terang show` has them then
    #[arg(long)]
    pub(crate) record: bool,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `terang eval` measures besides questions.
#[derive(Debug, Subcommand)]
pub(crate) enum EvalWhat {
    /// Perplexity of a text
    #[command(after_help = "Examples:
  terang eval perplexity --file text.txt
  terang eval perplexity --model smollm2:135m --context 512 --file text.txt --json")]
    Perplexity(Perplexity),
}

/// Arguments of `terang eval perplexity`.
#[derive(Debug, Args)]
pub(crate) struct Perplexity {
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// The text to measure on
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: PathBuf,
    /// Tokens of each window
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(8..=1_000_000))]
    pub(crate) context: u32,
    /// Measure at most this many windows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) windows: Option<u32>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `terang bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum BenchPart {
    /// Reading a prompt.
    Prefill,
    /// One sequence, a token at a time.
    Decode,
    /// Many sequences, a token of each at a time.
    Batched,
    /// The first token of a new process.
    Cold,
    /// Peak memory.
    Memory,
}

/// Arguments of `terang bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(value_name = "MODEL")]
    pub(crate) model: String,
    /// Measure everything so often; 5 when absent, 1 with --quick
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) rounds: Option<u16>,
    /// Fewer sizes, less of each
    #[arg(long)]
    pub(crate) quick: bool,
    /// Tokens that each sequence of batched decode has before, its own
    #[arg(
        long,
        value_name = "N",
        default_value_t = 128,
        value_parser = clap::value_parser!(u16).range(0..=4096)
    )]
    pub(crate) prompt: u16,
    /// Measure these only, besides the machine's limits
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    pub(crate) only: Vec<BenchPart>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// For the measuring process itself: do the work whose memory is to be known, and tell the peak
    #[arg(long, hide = true)]
    pub(crate) memory_only: bool,
}
