//! `terang list`: installed models first, then what can be fetched.

use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr;

use crate::args::Output;
use crate::catalogue::{Catalogue, Entry, Task};
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::output;
use crate::problem::Outcome;
use crate::pull::partial_bytes;
use crate::store::{self, Receipt};

struct Row {
    name: String,
    state: State,
    bytes: u64,
    licence: String,
    task: Task,
    purpose: String,
    languages: Vec<String>,
    community: bool,
}

/// What a model is for.
pub(super) fn purpose(entry: &Entry) -> Msg {
    match entry.task {
        Task::Embed => Msg::ForEmbeddings {},
        Task::Generate if entry.chat_template => Msg::ForChat {},
        Task::Generate => Msg::ForText {},
    }
}

enum State {
    Installed,
    Partial(u64),
    Available,
}

/// Prints the list.
pub(crate) fn run(data: &DataDir, args: &Output) -> Outcome<()> {
    let catalogue = Catalogue::load()?;
    let mut rows: Vec<Row> = catalogue.models.iter().map(|e| row(data, e)).collect();
    rows.extend(
        store::receipts(data)
            .into_iter()
            .filter(|r| catalogue.find(&r.name).is_none())
            .map(orphan),
    );
    rows.sort_by_key(|r| !matches!(r.state, State::Installed));
    if args.json {
        return output::json(&rows.iter().map(Row::json).collect::<Vec<_>>());
    }
    output::write(&table(&rows))?;
    output::line(&format!("\n{}", Msg::ListHint {}))
}

fn row(data: &DataDir, entry: &Entry) -> Row {
    let state = match store::installed(data, &entry.name) {
        Ok(Some(_)) => State::Installed,
        _ => match store::folder(data, &entry.name).map(|f| partial_bytes(&f)) {
            Ok(bytes) if bytes > 0 => State::Partial(bytes),
            _ => State::Available,
        },
    };
    Row {
        name: entry.name.clone(),
        state,
        bytes: entry.bytes,
        licence: entry.licence.clone(),
        task: entry.task,
        purpose: purpose(entry).to_string(),
        languages: entry.languages.clone(),
        community: entry.community_upload,
    }
}

/// A model that an earlier catalogue had.
fn orphan(receipt: Receipt) -> Row {
    Row {
        name: receipt.name,
        state: State::Installed,
        bytes: receipt.bytes,
        licence: "?".to_owned(),
        task: Task::default(),
        purpose: "?".to_owned(),
        languages: Vec::new(),
        community: false,
    }
}

impl Row {
    fn json(&self) -> Value {
        let (state, fetched) = match self.state {
            State::Installed => ("installed", self.bytes),
            State::Partial(bytes) => ("partial", bytes),
            State::Available => ("available", 0),
        };
        json!({
            "name": self.name,
            "state": state,
            "bytes": self.bytes,
            "bytes_fetched": fetched,
            "licence": self.licence,
            "task": self.task,
            "languages": self.languages,
            "community_upload": self.community,
        })
    }

    fn state(&self) -> String {
        match self.state {
            State::Installed => Msg::StateInstalled {}.to_string(),
            State::Partial(bytes) => Msg::StatePartial {
                percent: (bytes.saturating_mul(100) / self.bytes.max(1)).to_string(),
            }
            .to_string(),
            State::Available => Msg::StateAvailable {}.to_string(),
        }
    }
}

fn table(rows: &[Row]) -> String {
    let mut cells = vec![[
        Msg::ColName {}.to_string(),
        Msg::ColState {}.to_string(),
        Msg::ColSize {}.to_string(),
        Msg::ColLicence {}.to_string(),
        Msg::ColFor {}.to_string(),
        Msg::ColLanguages {}.to_string(),
    ]];
    cells.extend(rows.iter().map(|row| {
        [
            row.name.clone(),
            row.state(),
            human_bytes(row.bytes),
            row.licence.clone(),
            row.purpose.clone(),
            row.languages.join(" "),
        ]
    }));
    let width = |column: usize| {
        cells
            .iter()
            .map(|row| row[column].width())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &cells {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - cell.width());
            // Sizes stand flush right, so that they compare at a glance.
            if column == 2 {
                line += &(pad + cell);
            } else {
                line += &(cell.clone() + &pad);
            }
            line += "  ";
        }
        text += &crate::terminal::safe_line(line.trim_end());
        text.push('\n');
    }
    text
}
