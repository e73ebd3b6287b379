//! Arguments of the server, of its keys, and of the check of its set-up.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

/// Arguments of `terang serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct Serve {
    /// Model to serve, also as NAME=PATH; may be given again. The first is loaded at the start
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Vec<String>,
    /// LoRA adapter of the model, asked for by its own name; with @MODEL where several models are
    /// served; may be given again
    #[arg(long, value_name = "NAME=PATH[@MODEL]")]
    pub(crate) adapter: Vec<String>,
    /// Address and port to listen on; 127.0.0.1:8080 when absent
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// File of settings; terang.toml in the data folder when absent
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where chats and accounts are kept; a file in the data folder when absent
    #[arg(long, value_name = "postgres://...|sqlite:FILE")]
    pub(crate) database: Option<String>,
    /// People have accounts in the web app, on loopback too
    #[arg(long)]
    pub(crate) accounts: bool,
    /// Certificate in PEM, with those above it; with it the server speaks TLS
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<String>,
    /// The certificate's private key in PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<String>,
    /// Most tokens of context; the model's own when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=100_000_000))]
    pub(crate) context: Option<u32>,
    /// Any setting by name; may be given again
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
}

/// Arguments of `terang backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The copy, which must not be there yet
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The database, as for terang serve
    #[arg(long, value_name = "sqlite:FILE")]
    pub(crate) database: Option<String>,
}

/// Arguments of `terang restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// What terang backup wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The database, as for terang serve
    #[arg(long, value_name = "sqlite:FILE")]
    pub(crate) database: Option<String>,
}

/// Arguments of `terang doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Compute the SHA-256 of all models again and compare
    #[arg(long)]
    pub(crate) full: bool,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// What the server would be started with
    #[command(flatten)]
    pub(crate) serve: Serve,
}

/// What `terang key` does.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is shown once
    #[command(after_help = "Examples:
  terang key create phone
  terang key create team --requests-per-minute 60 --tokens-per-day 1000000")]
    Create(KeyCreate),
    /// List keys
    #[command(after_help = "Examples:
  terang key list --json")]
    List(Output),
    /// Show what keys have used
    #[command(after_help = "Examples:
  terang key usage
  terang key usage --json

Counted are answers that ended, as far back as records are kept in the data folder.")]
    Usage(Output),
    /// Take a key away
    #[command(after_help = "Examples:
  terang key revoke phone")]
    Revoke(KeyRevoke),
}

/// Arguments of `terang key create`.
#[derive(Debug, Args)]
pub(crate) struct KeyCreate {
    /// What it is for
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Requests that it may make in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) requests_per_minute: Option<u64>,
    /// Tokens of prompts and answers that it may use in a minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(crate) tokens_per_minute: Option<u64>,
    /// The same in a day
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub(crate) tokens_per_day: Option<u64>,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang key revoke`.
#[derive(Debug, Args)]
pub(crate) struct KeyRevoke {
    /// The key's name, or its identity as terang key list shows it
    #[arg(value_name = "NAME|ID")]
    pub(crate) key: String,
    /// Give one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `terang read-document`.
#[derive(Debug, Args)]
pub(crate) struct ReadDocument {
    /// What standard input holds: text, markdown, csv, html, pdf or docx
    #[arg(value_name = "FORMAT")]
    pub(crate) format: String,
}
