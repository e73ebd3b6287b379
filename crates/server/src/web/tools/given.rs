//! Servers of tools of the settings' file: whoever writes it runs the machine, and may set up programs
//! of it.

use terang_store::{Store, StoreError};

use super::spec::{Program, Reach, Remote, Secrets, Spec, TIMEOUT_S};
use crate::config::{Config, ToolServerSetting};
use crate::web::text;

const NAME_CHARS_MAX: usize = 40;

fn spec(setting: &ToolServerSetting) -> Result<(Spec, Secrets), &'static str> {
    let setting = setting.clone();
    let reach = match (setting.command, setting.url) {
        (Some(command), None) if setting.token.is_none() && !setting.allow_private => {
            Reach::Stdio(Program {
                command,
                args: setting.args,
                inherit: setting.inherit,
            })
        }
        (None, Some(url))
            if setting.args.is_empty() && setting.inherit.is_empty() && setting.env.is_empty() =>
        {
            Reach::Http(Remote {
                url,
                local: setting.allow_private,
            })
        }
        _ => {
            return Err(
                "allowed is either command, with args, env and inherit, or url, with token and \
                 allow_private",
            );
        }
    };
    let spec = Spec {
        reach,
        timeout_s: setting.timeout_s.unwrap_or(TIMEOUT_S),
    };
    let secrets = Secrets {
        token: setting.token,
        env: setting.env,
    };
    Ok((spec, secrets))
}

/// What is wrong with the servers of the settings.
pub(crate) fn check(config: &Config) -> Result<(), String> {
    for (name, setting) in &config.tool_servers {
        let place = format!("tool_servers.{}", super::shorten(name, NAME_CHARS_MAX));
        let fine = text::line("name", name, NAME_CHARS_MAX).is_ok_and(|line| line == *name);
        if !fine {
            return Err(format!(
                "{place}: allowed is a name of 1 to {NAME_CHARS_MAX} characters on one line"
            ));
        }
        let (spec, secrets) = spec(setting).map_err(|error| format!("{place}: {error}"))?;
        // The message begins with the field.
        spec.check(&secrets)
            .map_err(|error| format!("{place}.{}", error.message))?;
    }
    Ok(())
}

/// Keeps them, so that chats and consents can name them.
pub(crate) async fn keep(store: &Store, config: &Config) -> Result<(), StoreError> {
    let mut given = Vec::new();
    for (name, setting) in &config.tool_servers {
        let (spec, secrets) = spec(setting).map_err(|e| StoreError::Damaged(e.to_owned()))?;
        let json = |error: serde_json::Error| StoreError::Damaged(error.to_string());
        let spec = serde_json::to_string(&spec).map_err(json)?;
        let secrets = serde_json::to_string(&secrets).map_err(json)?;
        given.push((name.clone(), spec, secrets));
    }
    store.give_tool_servers(&given).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("terang.toml");
        std::fs::write(&path, file).unwrap();
        Config::assemble(Some(&path), |_| None, &[]).map_err(|error| error.reason)
    }

    #[test]
    fn what_the_file_says_is_checked_by_name() {
        let fine = read(
            "[tool_servers.files]\ncommand = \"mcp-files\"\nargs = [\"/srv\"]\n\
             env = { A = \"hush-hush\" }\n[tool_servers.search]\nurl = \"https://example.org/mcp\"\n\
             token = \"hush-hush\"\n",
        )
        .unwrap();
        assert_eq!(fine.tool_servers.len(), 2);
        assert!(!format!("{fine:?}").contains("hush"));
        for (bad, part) in [
            ("", "either command"),
            (
                "command = \"a\"\nurl = \"https://b.example\"",
                "either command",
            ),
            ("command = \"a\"\ntoken = \"b\"", "either command"),
            (
                "url = \"https://b.example\"\nargs = [\"b\"]",
                "either command",
            ),
            ("command = \" \"", "tool_servers.x.command: "),
            (
                "command = \"a\"\ntimeout_s = 0",
                "tool_servers.x.timeout_s: ",
            ),
            ("url = \"http://b.example\"", "tool_servers.x.url: "),
            (
                "url = \"https://b.example\"\ntoken = \"a b\"",
                "tool_servers.x.token: ",
            ),
            ("comand = \"a\"", "comand"),
        ] {
            let error = read(&format!("[tool_servers.x]\n{bad}\n")).unwrap_err();
            assert!(error.contains(part), "{bad}: {error}");
        }
        let error = read("[tool_servers.\" \"]\ncommand = \"a\"\n").unwrap_err();
        assert!(error.contains("on one line"), "{error}");
        let flag = [("tool_servers".to_owned(), "a".to_owned())];
        assert!(Config::assemble(None, |_| None, &flag).is_err());
    }
}
