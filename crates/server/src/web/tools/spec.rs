//! How a server of tools is reached, as it is kept, and what may stand there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use terang_store::ToolServer;

use super::ToolError;
use super::net::Target;
use crate::error::{ApiError, ApiResult};

/// Longest that one call may take, and what is taken where nothing is said.
pub(super) const TIMEOUT_S_MAX: u64 = 600;
pub(super) const TIMEOUT_S: u64 = 60;
const ARGS_MAX: usize = 100;
const ENV_MAX: usize = 50;
const TEXT_BYTES_MAX: usize = 4096;

/// A program of this machine.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Program {
    /// A path, or a name that is looked for in `PATH`.
    pub(super) command: String,
    pub(super) args: Vec<String>,
    /// Variables of this server's environment that it gets.
    pub(super) inherit: Vec<String>,
}

/// A server of the network.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(super) url: String,
    /// It may be of this machine or its network.
    pub(super) local: bool,
}

/// How a server is reached.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Reach {
    Stdio(Program),
    Http(Remote),
}

/// How a server is reached, and how long a call may take.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Spec {
    #[serde(flatten)]
    pub(super) reach: Reach,
    pub(super) timeout_s: u64,
}

/// What is shown to nobody.
#[derive(Clone, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Secrets {
    #[serde(default)]
    pub(super) token: Option<String>,
    /// Variables that a program gets.
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
}

impl Spec {
    /// As it is kept.
    pub(super) fn of(server: &ToolServer) -> Result<(Self, Secrets), ToolError> {
        let damaged = |_| ToolError::Protocol("its settings cannot be read".to_owned());
        let spec = serde_json::from_str(&server.spec).map_err(damaged)?;
        let secrets = serde_json::from_str(&server.secrets).map_err(damaged)?;
        Ok((spec, secrets))
    }

    /// Checks all of it.
    pub(super) fn check(&self, secrets: &Secrets) -> ApiResult<()> {
        if !(1..=TIMEOUT_S_MAX).contains(&self.timeout_s) {
            return Err(ApiError::invalid(
                "timeout_s",
                format!("allowed is 1 to {TIMEOUT_S_MAX}"),
            ));
        }
        match &self.reach {
            Reach::Stdio(program) => {
                text("command", &program.command)?;
                if program.command.trim().is_empty() {
                    return Err(ApiError::invalid("command", "allowed is a program"));
                }
                if program.args.len() > ARGS_MAX {
                    return Err(ApiError::invalid("args", format!("allowed are {ARGS_MAX}")));
                }
                for argument in &program.args {
                    text("args", argument)?;
                }
                if program.inherit.len() > ENV_MAX {
                    return Err(ApiError::invalid(
                        "inherit",
                        format!("allowed are {ENV_MAX}"),
                    ));
                }
                for name in &program.inherit {
                    variable("inherit", name)?;
                }
            }
            Reach::Http(remote) => {
                Target::parse(&remote.url, remote.local)
                    .map_err(|error| ApiError::invalid("url", error))?;
            }
        }
        if secrets.env.len() > ENV_MAX {
            return Err(ApiError::invalid("env", format!("allowed are {ENV_MAX}")));
        }
        for (name, value) in &secrets.env {
            variable("env", name)?;
            text("env", value)?;
        }
        match &secrets.token {
            Some(token)
                if !token.bytes().all(|b| b.is_ascii_graphic()) || token.len() > TEXT_BYTES_MAX =>
            {
                Err(ApiError::invalid(
                    "token",
                    "allowed are letters, digits and signs without blanks",
                ))
            }
            _ => Ok(()),
        }
    }
}

fn text(field: &str, text: &str) -> ApiResult<()> {
    if text.len() > TEXT_BYTES_MAX || text.contains('\0') {
        return Err(ApiError::invalid(
            field,
            format!("allowed are {TEXT_BYTES_MAX} bytes without NUL"),
        ));
    }
    Ok(())
}

fn variable(field: &str, name: &str) -> ApiResult<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty()
        || name.len() > 100
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(fine)
    {
        return Err(ApiError::invalid(
            field,
            "allowed are names of variables: letters, digits and _",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_started_or_reached_is_refused_by_name() {
        let program = |command: &str, args: &[&str], inherit: &[&str]| Spec {
            reach: Reach::Stdio(Program {
                command: command.to_owned(),
                args: args.iter().map(|&arg| arg.to_owned()).collect(),
                inherit: inherit.iter().map(|&name| name.to_owned()).collect(),
            }),
            timeout_s: 5,
        };
        let none = Secrets::default();
        // A shell's words are words of the program.
        assert!(
            program("/bin/tool", &["; rm -rf /", "$(id)"], &["PATH"])
                .check(&none)
                .is_ok()
        );
        let long = "x".repeat(5000);
        for (bad, field) in [
            (program(" ", &[], &[]), "command"),
            (program("a\0b", &[], &[]), "command"),
            (program("a", &["b\0c"], &[]), "args"),
            (program("a", &[&long], &[]), "args"),
            (program("a", &[], &["A=B"]), "inherit"),
            (program("a", &[], &["1A"]), "inherit"),
            (
                Spec {
                    timeout_s: 0,
                    ..program("a", &[], &[])
                },
                "timeout_s",
            ),
        ] {
            let error = bad.check(&none).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(field));
        }
        let token = |token: &str| Secrets {
            token: Some(token.to_owned()),
            env: BTreeMap::new(),
        };
        let fine = program("a", &[], &[]);
        assert!(fine.check(&token("abc.DEF-_~+/=")).is_ok());
        for bad in ["a b", "a\r\nHost: b", "é"] {
            assert_eq!(
                fine.check(&token(bad)).unwrap_err().param.as_deref(),
                Some("token")
            );
        }
        let env = Secrets {
            token: None,
            env: BTreeMap::from([("LD_PRELOAD=x".to_owned(), String::new())]),
        };
        assert_eq!(fine.check(&env).unwrap_err().param.as_deref(), Some("env"));
    }
}
