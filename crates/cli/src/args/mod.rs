//! The command line: verbs, flags and their bounds. A wrong one is reported in one line, in the
//! person's language, with exit code 2.

mod bench;
mod chat;
mod data;
mod models;
mod plan;
mod serve;
mod tokenizer;
mod train;
mod wrong;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

pub(crate) use self::bench::{Bench, BenchPart, Eval, EvalWhat, Perplexity, Suite};
pub(crate) use self::chat::{Chat, SamplingArgs};
pub(crate) use self::data::{Data, DataFind, DataIndex, DataPrepare, DataTrace};
pub(crate) use self::models::{Pull, Rm, Show};
pub(crate) use self::plan::{Plan, PlanFlags, PlanServe, PlanWhat, Scheduler};
pub(crate) use self::serve::{
    Backup, Doctor, Key, KeyCreate, KeyRevoke, ReadDocument, Restore, Serve,
};
pub(crate) use self::tokenizer::{Tokenizer, TrainTokenizer};
pub(crate) use self::train::{Export, Form, Quantize, Train, Verify};
use crate::compute::Compute;
use crate::messages::{Lang, Msg};
use crate::problem::{Problem, misuse};

/// An assistant of your own: talk to a model that runs on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "terang",
    version,
    disable_help_subcommand = true,
    after_help = "Without a verb it serves the web app, as terang serve does, and opens it on a desktop.

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
  TERANG_CPU        scalar, avx2, avx512 or amx: the kernels to use
  HF_ENDPOINT       another address of the Hugging Face hub; HF_TOKEN is sent to it
  SSL_CERT_FILE     certificates of your own authority
  NO_COLOR          no colours
  TERANG_NO_OPEN    terang without a verb opens no browser"
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
  terang eval smollm2:135m --suite hellaswag
  terang eval smollm2:135m --suite arc_easy.jsonl
  terang eval runs/tiny/model --suite pairs.jsonl --suite gsm8k.jsonl --limit 100 --json
  terang eval perplexity --file text.txt
  terang eval perplexity --model smollm2:135m --context 512 --file text.txt --json

Kinds of questions, by the fields of a line: query, choices, gold (multiple choice); context_options,
continuation, gold (which beginning); context, continuation (is it the likeliest); sentence_good, sentence_bad
(which sentence); question, answer (the last number of an answer); text (bits per byte). Figures are those of
lm-evaluation-harness for the same questions.")]
    Eval(Eval),
    /// Prepare training data, and find where a phrase stands in them
    #[command(after_help = "Examples:
  terang data prepare recipes/tiny-id-en.data.toml --out data
  terang data index data
  terang data find data \"ibu kota Indonesia\"
  terang data trace data \"The capital of Indonesia is Jakarta.\"")]
    Data {
        /// What to do
        #[command(subcommand)]
        what: Data,
    },
    /// Make a model of one's own
    #[command(after_help = "Examples:
  terang train --recipe recipes/smoke.toml
  terang train --recipe recipes/smoke.toml --out run --workers 2 --json
  terang chat --model run/model

A recipe names its data, the model's shape and the stages. A run that was broken off goes on where it was
when the command is given again. The weights are the same, bit for bit, for any number of threads and
workers. Metrics are in metrics.jsonl and, at the end, as plots in report.html.")]
    Train(Train),
    /// Write a model that was trained in another form
    #[command(after_help = "Examples:
  terang export run/model
  terang export run/model --quantize q4_1 --out mine.gguf
  terang export run/model --to hf --out folder")]
    Export(Export),
    /// Check a checkpoint against its manifest
    #[command(after_help = "Examples:
  terang verify run/model
  terang verify run/checkpoints/step-00000200 --json")]
    Verify(Verify),
    /// Make a tokenizer of one's own
    #[command(after_help = "Examples:
  terang tokenizer train --vocab-size 8192 --out tokenizer.json book.txt")]
    Tokenizer {
        /// What to do
        #[command(subcommand)]
        what: Tokenizer,
    },
    /// Serve the web app to people, and models to programs that speak OpenAI's API
    #[command(after_help = "Examples:
  terang serve
  terang serve --model smollm2:135m --model coder=qwen2.5-coder:0.5b
  terang serve --model smollm2:135m --adapter pirate=./pirate-lora
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
    /// Plan a training run before it is paid for: layout, memory, days, energy, money, failures
    #[command(after_help = "Examples:
  terang plan --gpu h100 --gpus 10000 --model grok-1 --tokens 10T
  terang plan --gpu h100 --gpus 16384 --model llama3-405b --tokens 15.6T --fix tp=8,pp=16
  terang plan --gpu v100 --gpus 10000 --network 400Gb --model gpt3-175b --tokens 300B --json
  terang plan --file run.toml
  terang plan --gpu h100 --gpus 10000 --model grok-1 --tokens 10T --html plan.html
  terang plan --gpu h100 --gpus 1024 --model llama3-70b --tokens 2T --emit slurm > train.sbatch
  terang plan serve --model grok-1 --gpu h100 --people 10M
  terang plan validate measurements/

No GPU is needed. Models are the built-in ones (an unknown name lists the nearest) or a config.json.
A count may end in k, M, B or T; a bandwidth needs its unit, 400Gb (bits) or 50GB (bytes) a second.
--fix pins any of tp, pp, vpp, dp, cp, ep, micro_batch, sharding and recompute. How near predictions
are to measurements is in docs/plan-validation.md.")]
    Plan(Box<Plan>),
    /// Print the description of the server's API as an OpenAPI document
    #[command(after_help = "Examples:
  terang openapi > openapi.json

It is what a server answers at /openapi.json.")]
    Openapi,
    /// Measure a model's speed on this machine, beside the machine's own limits
    #[command(after_help = "Examples:
  terang bench smollm2:135m
  terang bench ./model.gguf --quick
  terang bench smollm2:135m --rounds 9 --json > bench.json
  terang bench smollm2:135m --only decode,batched

Each figure is the median of the rounds. In a round, kinds of work take turns, so that a machine
that slows down for a while does so for all of them. Shares of the limit compare decode with the
memory's speed (weights, keys and values that a token reads), prefill and batched decode with the
speed of int8 products (a multiplication and an addition count as two operations; attention counts).
Nothing else should run meanwhile.")]
    Bench(Bench),
    /// Read a document; the server starts this for each that is uploaded
    #[command(
        hide = true,
        after_help = "Examples:
  terang read-document pdf < report.pdf"
    )]
    ReadDocument(ReadDocument),
}

/// Arguments of verbs that only print.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Give JSON
    #[arg(long)]
    pub(crate) json: bool,
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
                verb: wrong::verb_of(&arguments),
            }))
        }
        Err(e) => Err(wrong::usage(&e, &arguments)),
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

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
}
