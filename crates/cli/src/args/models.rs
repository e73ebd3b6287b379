//! Arguments of the verbs that look after models: fetch, show, remove.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `terang pull`.
#[derive(Debug, Args)]
pub(crate) struct Pull {
    /// Name in the catalogue
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Take this local file instead of a download; its SHA-256 must be the catalogue's
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
    /// Say nothing unless it fails
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(value_name = "NAME|PATH")]
    pub(crate) name: String,
    /// Compute the file's SHA-256 again and compare
    #[arg(long)]
    pub(crate) verify: bool,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Name in the catalogue
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
