//! A wrong command line, told in one line.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::messages::Msg;
use crate::problem::{Problem, misuse};

/// `VERB ` of the command line, or nothing.
pub(super) fn verb_of(arguments: &[OsString]) -> String {
    let command = Cli::command();
    arguments
        .iter()
        .skip(1)
        .filter_map(|a| a.to_str())
        .find(|a| command.find_subcommand(a).is_some())
        .map_or_else(String::new, |verb| format!("{verb} "))
}

/// clap's error as one line of ours.
pub(super) fn usage(error: &clap::Error, arguments: &[OsString]) -> Problem {
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
            // clap gives all that are near, the nearest last.
            let nearest = match error.get(ContextKind::SuggestedSubcommand) {
                Some(ContextValue::Strings(list)) => list.last().cloned(),
                _ => context(ContextKind::SuggestedSubcommand),
            };
            match nearest {
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
