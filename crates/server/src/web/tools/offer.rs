//! The tools of a chat, by the names that its model is told: those of their servers where that is
//! possible, with the server's name before them where two would be called the same.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::{Value, json};
use terang_store::ToolServer;

use super::Tool;
use crate::app::App;
use crate::error::{ApiError, ApiResult};
use crate::toolcall::{self, Choice};
use crate::web::wire::ChosenTool;

/// Tools that one model is told of.
const OFFERED_MAX: usize = 128;
const NAME_CHARS_MAX: usize = 64;

/// A tool that a model is told of.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// What the model calls it.
    pub(crate) name: String,
    pub(crate) server: ToolServer,
    pub(crate) tool: Tool,
}

/// All tools that a model is told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offer {
    pub(crate) tools: Vec<Offered>,
}

/// A name that models and APIs take: letters, digits, `_` and `-`.
fn plain(name: &str) -> String {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') {
            c
        } else {
            '_'
        }
    };
    name.chars().map(fine).take(NAME_CHARS_MAX).collect()
}

fn unused(server: &str, tool: &str, used: &HashSet<String>) -> String {
    let short = plain(tool);
    if !short.is_empty() && !used.contains(&short) {
        return short;
    }
    let long = plain(&format!("{server}_{tool}"));
    if !used.contains(&long) {
        return long;
    }
    let kept: String = long.chars().take(NAME_CHARS_MAX - 4).collect();
    let mut numbered = (2..).map(|number| format!("{kept}_{number}"));
    numbered.find(|name| !used.contains(name)).unwrap_or(kept)
}

impl Offer {
    /// The tools of these servers. One that is gone, switched off or not to be reached has none.
    pub(crate) async fn of(app: &App, server_ids: &[String]) -> ApiResult<Self> {
        if server_ids.is_empty() {
            return Ok(Self::default());
        }
        let servers = app.web.store.tool_servers().await?.into_iter();
        let servers = servers.filter(|server| server.enabled && server_ids.contains(&server.id));
        let listed = servers.map(|server| async move {
            let tools = app.web.tools.list(&server).await.unwrap_or_default();
            (server, tools)
        });
        let (mut tools, mut used) = (Vec::new(), HashSet::new());
        for (server, listed) in join_all(listed).await {
            for tool in listed {
                if tools.len() == OFFERED_MAX {
                    break;
                }
                let name = unused(&server.name, &tool.name, &used);
                used.insert(name.clone());
                let server = server.clone();
                tools.push(Offered { name, server, tool });
            }
        }
        Ok(Self { tools })
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Offered> {
        self.tools.iter().find(|offered| offered.name == name)
    }

    /// What the model must call first, as the person chose it.
    pub(crate) fn choice(&self, chosen: Option<&ChosenTool>) -> ApiResult<Choice> {
        let missing = || {
            ApiError::invalid(
                "use_tool",
                "there is no such tool in this chat, or its server cannot be used now",
            )
        };
        let Some(chosen) = chosen else {
            return Ok(Choice::Auto);
        };
        if self.tools.is_empty() {
            return Err(missing());
        }
        let Some(tool) = &chosen.tool else {
            return Ok(Choice::Required);
        };
        let found = self.tools.iter().find(|offered| {
            offered.tool.name == *tool
                && chosen
                    .server_id
                    .as_ref()
                    .is_none_or(|id| *id == offered.server.id)
        });
        found
            .map(|offered| Choice::Named(offered.name.clone()))
            .ok_or_else(missing)
    }

    /// For the model's template, in OpenAI's form.
    pub(crate) fn definitions(&self) -> Vec<Value> {
        let tools = self.tools.iter().map(|offered| {
            json!({ "type": "function", "function": {
                "name": offered.name,
                "description": offered.tool.description,
                "parameters": offered.tool.schema,
            } })
        });
        tools.collect()
    }

    /// For grammars that hold an answer to calls.
    pub(crate) fn for_grammar(&self) -> Vec<toolcall::Tool> {
        let tools = self.tools.iter().map(|offered| toolcall::Tool {
            name: offered.name.clone(),
            parameters: Some(offered.tool.schema.clone()),
            strict: false,
        });
        tools.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_no_two_are_the_same() {
        let mut used = HashSet::new();
        let mut names = Vec::new();
        for (server, tool) in [
            ("one", "add"),
            ("two", "add"),
            ("two", "add"),
            ("two!", "add"),
            ("one", "files/read me"),
            ("one", "é"),
            ("one", ""),
        ] {
            let name = unused(server, tool, &used);
            used.insert(name.clone());
            names.push(name);
        }
        assert_eq!(
            names,
            [
                "add",
                "two_add",
                "two_add_2",
                "two__add",
                "files_read_me",
                "_",
                "one_"
            ]
        );
        let long = unused("s", &"x".repeat(200), &HashSet::new());
        assert_eq!(long.len(), NAME_CHARS_MAX);
    }
}
