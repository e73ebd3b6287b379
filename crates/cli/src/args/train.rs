//! Arguments of `terang train`, `terang export` and `terang verify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Arguments of `terang train`.
#[derive(Debug, Args)]
pub(crate) struct Train {
    /// What to make, from what, and how (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) recipe: PathBuf,
    /// The run's folder; runs/NAME in the data folder when absent
    #[arg(short, long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// Parts that the work is shared over, each with its own copy of the weights: 1, 2, 4, …
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) workers: u16,
    /// No progress; one line of JSON at the end
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The folder of a checkpoint, or of a model that was trained
    #[arg(value_name = "FOLDER")]
    pub(crate) checkpoint: PathBuf,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The folder of a model that was trained, or of a checkpoint
    #[arg(value_name = "FOLDER")]
    pub(crate) model: PathBuf,
    /// A GGUF file, or a folder as Hugging Face's library has it
    #[arg(long, value_name = "FORM", default_value = "gguf")]
    pub(crate) to: Form,
    /// How a GGUF file stores weights
    #[arg(long, value_name = "TYPE", default_value = "q8_0")]
    pub(crate) quantize: Quantize,
    /// Where to write it; model.gguf or model-hf beside the folder when absent
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a model is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// One file for llama.cpp and its kin.
    Gguf,
    /// A folder for Hugging Face's library.
    Hf,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(
    non_camel_case_types,
    reason = "the field's own names, as GGUF spells them"
)]
pub(crate) enum Quantize {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// 8 bits.
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits with a minimum.
    #[value(name = "q4_1")]
    Q4_1,
    /// 4 bits.
    #[value(name = "q4_0")]
    Q4_0,
    /// 4 bits in blocks of 256.
    #[value(name = "q4_k")]
    Q4_K,
}
