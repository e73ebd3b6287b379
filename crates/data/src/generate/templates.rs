//! Questions with answers from a file: groups of ways to ask and to answer, with the things that are asked about.

use super::{pair, typed};
use crate::config::suggestion;
use crate::document::Document;
use crate::{DataError, Result};
use serde::Deserialize;
use std::path::PathBuf;

/// Columns of an item, `{a}` the first.
const COLUMNS: [&str; 4] = ["{a}", "{b}", "{c}", "{d}"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    group: Vec<Group>,
}

/// Ways to ask the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    questions: Vec<String>,
    /// As many as questions, each for its own, or one for all.
    answers: Vec<String>,
    /// What stands for `{a}`, `{b}` and so on.
    #[serde(default)]
    items: Vec<Vec<String>>,
}

/// Every question about every item, as it is written and as it is typed.
pub(super) fn documents(name: &str, text: &str) -> Result<Vec<Document>> {
    let wrong = |reason: String| DataError::Config {
        path: PathBuf::from(name),
        reason,
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let message = error.message();
        wrong(format!("{message}{}", suggestion(message)))
    })?;
    let mut documents = Vec::new();
    for (number, group) in file.group.iter().enumerate() {
        let number = number + 1;
        if group.questions.is_empty() || group.answers.is_empty() {
            return Err(wrong(format!(
                "group {number}: questions and answers: found none, allowed one or more"
            )));
        }
        let nothing = vec![Vec::new()];
        let items = if group.items.is_empty() {
            &nothing
        } else {
            &group.items
        };
        for item in items {
            for (place, question) in group.questions.iter().enumerate() {
                let answer = &group.answers[place % group.answers.len()];
                let fill = |text: &str| {
                    let mut text = text.to_owned();
                    for (column, value) in COLUMNS.iter().zip(item) {
                        text = text.replace(column, value);
                    }
                    match COLUMNS.iter().find(|column| text.contains(*column)) {
                        None => Ok(text),
                        Some(column) => Err(wrong(format!(
                            "group {number}: {column} stands in a text, but an item has {} columns",
                            item.len()
                        ))),
                    }
                };
                let (question, answer) = (fill(question)?, fill(answer)?);
                let typed = typed(&question);
                if typed != question {
                    documents.push(pair(&typed, &answer));
                }
                documents.push(pair(&question, &answer));
            }
        }
    }
    Ok(documents)
}
