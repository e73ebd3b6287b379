//! Arguments of `terang tokenizer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with tokenizers.
#[derive(Debug, Subcommand)]
pub(crate) enum Tokenizer {
    /// Learn a byte-level BPE tokenizer from files of text
    #[command(after_help = "Examples:
  terang tokenizer train --vocab-size 8192 --out tokenizer.json book.txt
  terang tokenizer train --pre-tokenizer llama-bpe --special \"<|endoftext|>\" text/*.txt

The merges are those that Hugging Face's library would learn, and its tokenizers load the file. Text is
read a line at a time. The result does not depend on the number of threads.")]
    Train(TrainTokenizer),
}

/// Arguments of `terang tokenizer train`.
#[derive(Debug, Args)]
pub(crate) struct TrainTokenizer {
    /// Files of UTF-8 text
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Where to write it
    #[arg(short, long, value_name = "FILE", default_value = "tokenizer.json")]
    pub(crate) out: PathBuf,
    /// Tokens in all: special ones, 256 bytes, and what is learned
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = clap::value_parser!(u32).range(256..=1_048_576))]
    pub(crate) vocab_size: u32,
    /// Pairs that occur less often do not become a token
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) min_frequency: u64,
    /// How text is cut into words: smollm, gpt-2, llama-bpe or deepseek-v3
    #[arg(long, value_name = "NAME", default_value = "smollm")]
    pub(crate) pre_tokenizer: String,
    /// A token that comes out of no text; may be given again. Those of a chat when absent
    #[arg(long, value_name = "TEXT", default_values = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])]
    pub(crate) special: Vec<String>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
