//! The plan of a request in a TOML file, as text. The program `terang plan` does more.

#![allow(clippy::print_stdout, reason = "it is a script")]

use terang_plan::plan::plan;
use terang_plan::request::Request;
use terang_plan::{Fitted, text};

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let done = std::fs::read_to_string(&path)
        .map_err(|e| format!("{path}: {e}"))
        .and_then(|t| Request::parse(&t, &path).map_err(|e| e.to_string()))
        .and_then(|r| r.resolve().map_err(|e| e.to_string()))
        .and_then(|a| plan(&a, Fitted::built_in()).map_err(|e| e.to_string()));
    match done {
        Ok(p) => print!("{}", text::report(&p)),
        Err(e) => eprintln!("{e}"),
    }
}
