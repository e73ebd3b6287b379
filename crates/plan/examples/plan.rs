//! The plan of a request in a TOML file: `plan FILE [text|html|slurm|kubernetes]`. The program
//! `terang plan` does more.

#![allow(clippy::print_stdout, reason = "it is a script")]

use terang_plan::plan::{plan, sizes};
use terang_plan::request::Request;
use terang_plan::{Fitted, emit, html, text};

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let form = std::env::args().nth(2).unwrap_or_default();
    let fitted = Fitted::built_in();
    let done = std::fs::read_to_string(&path)
        .map_err(|e| format!("{path}: {e}"))
        .and_then(|t| Request::parse(&t, &path).map_err(|e| e.to_string()))
        .and_then(|r| r.resolve().map_err(|e| e.to_string()))
        .and_then(|a| {
            let p = plan(&a, fitted).map_err(|e| e.to_string())?;
            Ok(match form.as_str() {
                "html" => html::page(&p, &sizes(&a, fitted)),
                "slurm" => emit::slurm(&p),
                "kubernetes" => emit::kubernetes(&p),
                _ => text::report(&p),
            })
        });
    match done {
        Ok(words) => print!("{words}"),
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2);
        }
    }
}
