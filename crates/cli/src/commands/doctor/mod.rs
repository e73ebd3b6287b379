//! `terang doctor`: checks what `terang serve` would start with, without starting or changing it.
//! Each finding is one line that says what was found and, where it is not well, what to do next.
//!
//! - `machine`: data folder, processor, memory.
//! - `models`: whether models are whole, and what they need.
//! - `network`: address, keys, certificate.

mod machine;
mod models;
mod network;

use std::fmt::Display;

use serde_json::json;

use super::serve;
use crate::args::Doctor;
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, fail};

/// How it is with what was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    /// It works, and somebody should know.
    Warning,
    Wrong,
}

/// What was found.
#[derive(Debug)]
struct Finding {
    /// Name of the check, for programs.
    check: &'static str,
    state: State,
    found: String,
    next: Option<Msg>,
}

impl Finding {
    fn well(check: &'static str, found: &Msg) -> Self {
        Self {
            check,
            state: State::Well,
            found: found.to_string(),
            next: None,
        }
    }

    fn warning(check: &'static str, found: &Msg, next: Msg) -> Self {
        Self {
            check,
            state: State::Warning,
            found: found.to_string(),
            next: Some(next),
        }
    }

    fn wrong(check: &'static str, found: &dyn Display, next: Msg) -> Self {
        Self {
            check,
            state: State::Wrong,
            found: found.to_string(),
            next: Some(next),
        }
    }

    /// An error that says itself what to do next.
    fn error(check: &'static str, error: &Problem) -> Self {
        Self {
            check,
            state: State::Wrong,
            found: error.to_string(),
            next: None,
        }
    }

    fn line(&self) -> String {
        let state = match self.state {
            State::Well => Msg::DoctorWell {},
            State::Warning => Msg::DoctorWarning {},
            State::Wrong => Msg::DoctorWrong {},
        };
        let next = self.next.as_ref();
        let next = next.map_or_else(String::new, |next| format!("; {next}"));
        format!("{state}: {}{next}", self.found)
    }
}

/// Checks everything and prints what was found.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Doctor) -> Outcome<()> {
    let mut findings = Vec::new();
    let config = match serve::config(data, &args.serve) {
        Ok(config) => {
            findings.push(Finding::well("settings", &Msg::DoctorSettings {}));
            Some(config)
        }
        Err(Problem::Usage(message)) => return Err(Problem::Usage(message)),
        Err(error) => {
            let next = Msg::DoctorSettingsNext {};
            findings.push(Finding::wrong("settings", &error, next));
            None
        }
    };
    findings.extend(machine::data_folder(data));
    findings.push(machine::processor(compute.threads()));
    let sizes = models::check(data, config.as_ref(), args, &mut findings)?;
    if let Some(config) = &config {
        findings.push(machine::memory(config, &sizes));
        findings.push(network::address(config));
        findings.extend(network::keys(data, config));
        findings.extend(network::tls(config));
    }
    let wrong = findings.iter().filter(|f| f.state == State::Wrong).count();
    print(&findings, wrong, args.json)?;
    if wrong > 0 {
        return Err(fail(Msg::DoctorFailed {
            count: wrong.to_string(),
        }));
    }
    Ok(())
}

fn print(findings: &[Finding], wrong: usize, as_json: bool) -> Outcome<()> {
    if !as_json {
        for finding in findings {
            output::line(&crate::terminal::safe_line(&finding.line()))?;
        }
        return Ok(());
    }
    let checks = findings.iter().map(|finding| {
        json!({
            "check": finding.check,
            "state": match finding.state {
                State::Well => "ok",
                State::Warning => "warning",
                State::Wrong => "wrong",
            },
            "found": finding.found,
            "next": finding.next.as_ref().map(ToString::to_string),
        })
    });
    output::json(&json!({ "ok": wrong == 0, "checks": checks.collect::<Vec<_>>() }))
}
