//! The command line: verbs, flags and their bounds. A wrong one is reported in one line, in the
//! person's language, with exit code 2.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::compute::Compute;
use crate::messages::{Lang, Msg};
use crate::problem::{Problem, misuse};

/// An assistant of your own: talk to a model that runs on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "terang",
    version,
    disable_help_subcommand = true,
    after_help = "Without a verb it serves the web app: terang serve.

Examples:
  terang
  terang chat \"What is a transformer?\"
  terang chat --model qwen2.5-coder:0.5b
  terang pull qwen2.5-coder:0.5b
  terang list
  terang bench smollm2:135m

Environment:
  TERANG_DATA_DIR   where models and history are kept
  TERANG_CATALOGUE  a catalogue file of your own (TOML, the form of the built-in one)
  TERANG_CPU        scalar, avx2 or avx512: the kernels to use
  HF_ENDPOINT       another address of the Hugging Face hub; HF_TOKEN is sent to it
  SSL_CERT_FILE     certificates of your own authority
  NO_COLOR          no colours"
)]
pub(crate) struct Cli {
    /// Where models and history are kept
    #[arg(
        long,
        global = true,
        env = "TERANG_DATA_DIR",
        value_name = "FOLDER",
        hide_env_values = true
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// Language of messages: en or id; by the locale when absent
    #[arg(
        long,
        global = true,
        value_name = "LANGUAGE",
        hide_possible_values = true
    )]
    pub(crate) lang: Option<Lang>,
    /// How models are computed with
    #[command(flatten)]
    pub(crate) compute: Compute,
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Option<Verb>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Talk to a model
    #[command(after_help = "Examples:
  terang chat                                     a conversation
  terang chat \"Name three fruits.\"                one answer
  git diff | terang chat \"Write a commit message\" text from a pipe is added
  terang chat --file notes.md \"Summarise this\"
  terang chat --seed 7 --json \"Name three fruits.\"
  terang chat --model ./model.gguf --temperature 0

In a conversation /help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves.")]
    Chat(Box<Chat>),
    /// Fetch a model
    #[command(after_help = "Examples:
  terang pull smollm2:135m
  terang pull qwen2.5-coder:0.5b
  terang pull smollm2:135m --from /media/usb/model.gguf

A broken download goes on where it stopped when the command is given again.")]
    Pull(Pull),
    /// List models, here and available
    #[command(after_help = "Examples:
  terang list
  terang list --json")]
    List(Output),
    /// Show what is known about a model
    #[command(after_help = "Examples:
  terang show smollm2:135m
  terang show smollm2:135m --verify
  terang show ./model.gguf --json")]
    Show(Show),
    /// Remove a model from the data folder
    #[command(after_help = "Examples:
  terang rm smollm2:135m
  terang rm --yes smollm2:135m")]
    Rm(Rm),
    /// Measure a model
    #[command(after_help = "Examples:
  terang eval perplexity --file text.txt
  terang eval perplexity --model smollm2:135m --context 512 --file text.txt --json")]
    Eval {
        /// What to measure
        #[command(subcommand)]
        what: Eval,
    },
    /// Serve the web app to people, and models to programs that speak OpenAI's API
    #[command(after_help = "Examples:
  terang serve
  terang serve --model smollm2:135m --model coder=qwen2.5-coder:0.5b
  terang serve --listen 0.0.0.0:8080 --set queue_len=64
  terang serve --accounts --database postgres://terang@localhost/terang
  terang serve --tls-cert cert.pem --tls-key key.pem
  terang serve --config /etc/terang.toml

A setting is taken from a flag, else from the environment (TERANG_ and its name in capitals), else
from the file (--config, or terang.toml in the data folder), else from its default. On an address
that other machines reach, people log in (the log says where the first one makes their account) and
programs need an API key: see terang key. A password in --database can be seen by others on this
machine: put it into TERANG_DATABASE or the file. SIGTERM lets started answers
finish; SIGHUP reads keys and the certificate again. The README lists all settings.")]
    Serve(Serve),
    /// Make, list and revoke API keys of the server
    #[command(after_help = "Examples:
  terang key create phone
  terang key create team --requests-per-minute 60 --tokens-per-day 1000000
  terang key list
  terang key usage
  terang key revoke phone")]
    Key {
        /// What to do
        #[command(subcommand)]
        what: Key,
    },
    /// Copy chats and accounts to a file, also while the server runs
    #[command(after_help = "Examples:
  terang backup chats-monday.db

PostgreSQL has its own tool for this, pg_dump. Models, settings and API keys are files of the data
folder and are not part of the copy.")]
    Backup(Backup),
    /// Put a copy of chats and accounts in the place of what is there
    #[command(after_help = "Examples:
  terang restore chats-monday.db

The server must have ended. What was there before stays beside it under another name.")]
    Restore(Restore),
    /// Check the set-up, and say what to do about what is wrong
    #[command(after_help = "Examples:
  terang doctor
  terang doctor --full
  terang doctor --config /etc/terang.toml --json

Takes the arguments of terang serve, and checks what that would start with. The exit code is 1 when
something is wrong; a warning is none.")]
    Doctor(Doctor),
    /// Measure a model's speed on this machine, beside the machine's own limits
    #[command(after_help = "Examples:
  terang bench smollm2:135m
  terang bench ./model.gguf --quick
  terang bench smollm2:135m --rounds 9 --json > bench.json
  terang bench smollm2:135m --only decode,batched

Each figure is the median of the rounds. In a round, kinds of work take turns, so that a machine
that slows down for a while does so for all of them. Shares of the limit compare decode with the
memory's speed (weights, keys and values that a token reads), prefill and batched decode with the
speed of the products (a multiplication and an addition count as two operations; attention is not
counted). Nothing else should run meanwhile.")]
    Bench(Bench),
}

/// Arguments of `terang chat`.
#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// What to ask; without it, and without a pipe, a conversation begins
    #[arg(value_name = "PROMPT")]
    pub(crate) prompt: Vec<String>,
    /// Name in the catalogue, a .gguf file, or a Hugging Face folder
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Option<String>,
    /// A smaller model of the same vocabulary that guesses ahead; the answer is the same, sooner
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) draft: Option<String>,
    /// System prompt
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Add a text file to the question; may be given again
    #[arg(short, long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,
    /// Give one JSON object: text, counts, timings, seed
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Give the answer only
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// How tokens are chosen
    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,
}

/// How tokens are chosen.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// 0 takes the most likely token; each model has its own default, which /set shows
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f32>,
    /// Keep the K most likely; 0 keeps all
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub(crate) top_k: Option<u32>,
    /// Keep the smallest set of this probability; 1 keeps all
    #[arg(long, value_name = "P", value_parser = unit)]
    pub(crate) top_p: Option<f32>,
    /// Keep tokens at least this likely relative to the best
    #[arg(long, value_name = "P", value_parser = unit)]
    pub(crate) min_p: Option<f32>,
    /// Above 1 makes tokens that were seen less likely
    #[arg(long, value_name = "F", value_parser = repetition)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Taken from tokens that stand in the answer
    #[arg(long, value_name = "F", value_parser = penalty, allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// The same, times their count
    #[arg(long, value_name = "F", value_parser = penalty, allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// The same seed gives the same answer; random when absent
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
    /// Most tokens to generate; until the context is full when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub(crate) max_tokens: Option<u32>,
    /// End the answer before this text; may be given again
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Most tokens of context; the model's own when absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..=100_000_000))]
    pub(crate) context: Option<u32>,
}

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

/// Arguments of verbs that only print.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Give JSON
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

/// What `terang eval` measures.
#[derive(Debug, Subcommand)]
pub(crate) enum Eval {
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

/// Arguments of `terang serve`.
#[derive(Debug, Default, Args)]
pub(crate) struct Serve {
    /// Model to serve, also as NAME=PATH; may be given again. The first is loaded at the start
    #[arg(short, long, value_name = "NAME|PATH")]
    pub(crate) model: Vec<String>,
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

fn bounded(text: &str, low: f32, high: f32) -> Result<f32, String> {
    text.parse::<f32>()
        .ok()
        .filter(|v| (low..=high).contains(v))
        .ok_or_else(|| {
            Msg::NumberRange {
                low: low.to_string(),
                high: high.to_string(),
            }
            .to_string()
        })
}

fn temperature(text: &str) -> Result<f32, String> {
    bounded(text, 0.0, 100.0)
}

fn unit(text: &str) -> Result<f32, String> {
    bounded(text, 0.0, 1.0)
}

fn repetition(text: &str) -> Result<f32, String> {
    bounded(text, 0.01, 100.0)
}

fn penalty(text: &str) -> Result<f32, String> {
    bounded(text, -2.0, 2.0)
}

/// What reading the command line gives.
pub(crate) enum Parsed {
    /// Something to do.
    Run(Box<Cli>),
    /// Help or version, to be printed.
    Print(String),
}

/// Reads the command line and sets the language of messages.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Parsed, Problem> {
    let arguments: Vec<OsString> = arguments.collect();
    // Errors of the command line itself are to be in the language that it asks for.
    asked_language(&arguments)
        .unwrap_or_else(Lang::from_environment)
        .set();
    match Cli::try_parse_from(&arguments) {
        Ok(cli) => Ok(Parsed::Run(Box::new(cli))),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Parsed::Print(e.render().to_string()))
        }
        Err(e) if e.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(misuse(Msg::UsageMissingArgument {
                argument: "chat|pull|list|show|rm|eval|bench".to_owned(),
                verb: verb_of(&arguments),
            }))
        }
        Err(e) => Err(usage(&e, &arguments)),
    }
}

fn asked_language(arguments: &[OsString]) -> Option<Lang> {
    let texts: Vec<&str> = arguments
        .iter()
        .map_while(|a| a.to_str())
        .take_while(|a| *a != "--")
        .collect();
    let value = texts.iter().enumerate().find_map(|(i, a)| match *a {
        "--lang" => texts.get(i + 1).copied(),
        a => a.strip_prefix("--lang="),
    })?;
    match value {
        "en" => Some(Lang::En),
        "id" => Some(Lang::Id),
        _ => None,
    }
}

/// `VERB ` of the command line, or nothing.
fn verb_of(arguments: &[OsString]) -> String {
    let command = Cli::command();
    arguments
        .iter()
        .skip(1)
        .filter_map(|a| a.to_str())
        .find(|a| command.find_subcommand(a).is_some())
        .map_or_else(String::new, |verb| format!("{verb} "))
}

/// clap's error as one line of ours.
fn usage(error: &clap::Error, arguments: &[OsString]) -> Problem {
    let verb = verb_of(arguments);
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(list)) => Some(list.join(", ")),
        _ => None,
    };
    let argument = context(ContextKind::InvalidArg).unwrap_or_default();
    let message = match error.kind() {
        ErrorKind::UnknownArgument => Msg::UsageUnknownArgument { argument, verb },
        ErrorKind::InvalidSubcommand => {
            let argument = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            match context(ContextKind::SuggestedSubcommand) {
                Some(nearest) => Msg::UsageUnknownVerbNear { argument, nearest },
                None => Msg::UsageUnknownVerb { argument },
            }
        }
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::TooFewValues
        | ErrorKind::NoEquals => Msg::UsageMissingArgument { argument, verb },
        ErrorKind::ArgumentConflict => match context(ContextKind::PriorArg) {
            Some(other) => Msg::UsageConflict {
                argument,
                other,
                verb,
            },
            None => Msg::UsageOther {
                reason: first_line(error),
                verb,
            },
        },
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = context(ContextKind::InvalidValue).unwrap_or_default();
            if value.is_empty() {
                Msg::UsageMissingArgument { argument, verb }
            } else {
                Msg::UsageInvalidValue {
                    argument,
                    value,
                    allowed: allowed(error, context(ContextKind::ValidValue)),
                    verb,
                }
            }
        }
        _ => Msg::UsageOther {
            reason: first_line(error),
            verb,
        },
    };
    misuse(message)
}

fn allowed(error: &clap::Error, values: Option<String>) -> String {
    if let Some(values) = values {
        return Msg::OneOf { values }.to_string();
    }
    let reason = std::error::Error::source(error).map_or_else(String::new, ToString::to_string);
    // clap's own range check says "N is not in LOW..=HIGH"; our checks say what is allowed.
    if let Some((_, range)) = reason.split_once(" is not in ") {
        let (low, high) = range.split_once("..").unwrap_or((range, ""));
        return Msg::NumberRange {
            low: low.to_owned(),
            high: high.trim_start_matches('=').to_owned(),
        }
        .to_string();
    }
    if reason.contains("digit") || reason.contains("too large") || reason.contains("too small") {
        return Msg::NumberWhole {}.to_string();
    }
    reason
}

fn first_line(error: &clap::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_examples() {
        fn check(command: &clap::Command) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:"), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        let mut command = Cli::command();
        command.build();
        check(&command);
    }

    #[test]
    fn numbers_outside_their_bounds_are_refused() {
        for bad in ["NaN", "inf", "-1", "101", "", "x", "1e99"] {
            assert!(temperature(bad).is_err(), "{bad}");
        }
        assert!(unit("1.01").is_err() && unit("0").is_ok() && unit("1").is_ok());
        assert!(repetition("0").is_err());
    }
}
