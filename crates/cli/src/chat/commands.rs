//! The slash commands of a conversation.

use crate::messages::Msg;
use crate::problem::{Outcome, misuse};

/// A command with its argument.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    System(String),
    Model(String),
    Clear,
    Retry,
    Save(String),
    Load(String),
    Stats,
    Set(String),
    Quit,
}

/// Names of all commands, for completion and help.
pub(super) const NAMES: [&str; 10] = [
    "/help", "/system", "/model", "/clear", "/retry", "/save", "/load", "/stats", "/set", "/quit",
];

/// Reads a line that begins with a slash.
pub(super) fn parse(line: &str) -> Outcome<Command> {
    let line = line.trim();
    let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let argument = argument.trim().to_owned();
    let needed = |argument: String| {
        if argument.is_empty() {
            Err(misuse(Msg::CommandNeedsFile {
                command: name.to_owned(),
            }))
        } else {
            Ok(argument)
        }
    };
    match name {
        "/help" | "/?" => Ok(Command::Help),
        "/system" => Ok(Command::System(argument)),
        "/model" => Ok(Command::Model(argument)),
        "/clear" => Ok(Command::Clear),
        "/retry" => Ok(Command::Retry),
        "/save" => needed(argument).map(Command::Save),
        "/load" => needed(argument).map(Command::Load),
        "/stats" => Ok(Command::Stats),
        "/set" => Ok(Command::Set(argument)),
        "/quit" | "/exit" | "/bye" => Ok(Command::Quit),
        _ => Err(misuse(Msg::CommandUnknown {
            command: name.to_owned(),
        })),
    }
}

/// Whether a line is meant as a command: `/word`. A path such as `/etc/hosts` is a question's text.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim_start();
    let name = line.split_whitespace().next().unwrap_or("");
    name.len() > 1 && name.starts_with('/') && !name[1..].contains('/') && !line.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_paths_are_told_apart() {
        assert!(is_command("/help") && is_command(" /set seed 1") && is_command("/halp"));
        assert!(!is_command("/etc/hosts what is it?") && !is_command("/") && !is_command("a /b"));
        assert!(!is_command("/regex\nexplain"));
    }

    #[test]
    fn arguments_are_taken_whole() {
        assert_eq!(
            parse("/system You are  brief. ").unwrap(),
            Command::System("You are  brief.".into())
        );
        assert_eq!(
            parse("/save my chat.json").unwrap(),
            Command::Save("my chat.json".into())
        );
        assert!(parse("/save").is_err() && parse("/halp").is_err());
        for name in NAMES {
            assert!(parse(&format!("{name} x")).is_ok(), "{name}");
        }
    }
}
