//! The binary `terang`: arguments, terminal, downloads, and the wiring of engine and model.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. An error is one line on standard
//! error.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

mod adapters;
mod args;
mod catalogue;
mod chat;
mod commands;
mod compute;
mod data_dir;
mod desktop;
mod interrupt;
mod markdown;
mod messages;
mod output;
mod problem;
mod pull;
mod resolve;
mod shelf;
mod store;
mod terminal;

use std::process::ExitCode;

use args::{Cli, Parsed, Verb};
use data_dir::DataDir;
use messages::Msg;
use problem::{Outcome, Problem};
use terang_documents::isolated;

fn main() -> ExitCode {
    let done = match args::parse(std::env::args_os()) {
        Ok(Parsed::Print(text)) => output::write(&text),
        Ok(Parsed::Run(cli)) => match &cli.verb {
            // Before anything else is started: this process gives up what it could do.
            Some(Verb::ReadDocument(args)) => return isolated::child(&args.format),
            _ => run(&cli),
        },
        Err(problem) => Err(problem),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            if !matches!(problem, Problem::OutputClosed) {
                output::note(&format!("{}: {problem}", Msg::ErrorPrefix {}));
            }
            ExitCode::from(problem.exit_code())
        }
    }
}

fn run(cli: &Cli) -> Outcome<()> {
    // Without the handler Ctrl-C still ends the process; downloads resume either way.
    let _ = interrupt::install();
    let data = || DataDir::resolve(cli.data_dir.clone());
    let Some(verb) = &cli.verb else {
        let args = args::Serve::default();
        return commands::serve::run(&data()?, cli.compute, &args, true);
    };
    match verb {
        Verb::Chat(args) => chat::run(&data()?, cli.compute, args),
        Verb::Pull(args) => commands::pull::run(&data()?, args),
        Verb::List(args) => commands::list::run(&data()?, args),
        Verb::Show(args) => commands::show::run(&data()?, args),
        Verb::Rm(args) => commands::rm::run(&data()?, args),
        Verb::Eval(args) => match &args.what {
            Some(args::EvalWhat::Perplexity(args)) => {
                commands::eval::run(&data()?, cli.compute, args)
            }
            None => commands::suite::run(&data()?, cli.compute, &args.suite),
        },
        Verb::Tokenizer {
            what: args::Tokenizer::Train(args),
        } => commands::tokenizer::run(cli.compute, args),
        Verb::Data { what } => commands::data::run(data, cli.compute, what),
        Verb::Train(args) => commands::train::run(&data()?, cli.compute, args),
        Verb::Export(args) => commands::export::run(args),
        Verb::Verify(args) => commands::verify::run(args),
        Verb::Serve(args) => commands::serve::run(&data()?, cli.compute, args, false),
        Verb::Key { what } => commands::key::run(&data()?, what),
        Verb::Backup(args) => commands::backup::backup(&data()?, args),
        Verb::Restore(args) => commands::backup::restore(&data()?, args),
        Verb::Doctor(args) => commands::doctor::run(&data()?, cli.compute, args),
        Verb::Plan(args) => commands::plan::run(args),
        Verb::Openapi => output::json(&terang_server::openapi()),
        Verb::Bench(args) => commands::bench::run(&data()?, cli.compute, args),
        Verb::ReadDocument(_) => Ok(()),
    }
}
