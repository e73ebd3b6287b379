//! Arguments of `terang train` and `terang verify`.

use std::path::PathBuf;

use clap::Args;

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
