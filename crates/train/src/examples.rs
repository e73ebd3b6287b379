//! What stages learn from besides documents: pairs of answers of which one is better, and tasks whose answers
//! can be checked.

use crate::corpus::{Document, encode_chat};
use crate::{Result, TrainError};
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};
use terang_model::template::{ChatInput, ChatTemplate, Limits};
use terang_model::tokenizer::Tokenizer;

/// Most bytes that a pattern's program may take.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// One thing to learn from.
#[derive(Clone, Debug)]
pub enum Example {
    /// A text or a conversation.
    Document(Document),
    /// Two conversations, one better than the other.
    Pair(Pair),
    /// A question whose answer can be checked.
    Task(Task),
}

impl Example {
    /// Tokens in it.
    pub fn tokens(&self) -> usize {
        match self {
            Self::Document(document) => document.tokens.len(),
            Self::Pair(pair) => pair.chosen.tokens.len() + pair.rejected.tokens.len(),
            Self::Task(task) => task.prompt.len(),
        }
    }

    /// What tells it from others: a thing that is learned from is not kept back for validation.
    pub(crate) fn key(&self) -> &[u32] {
        match self {
            Self::Document(document) => &document.tokens,
            Self::Pair(pair) => &pair.chosen.tokens,
            Self::Task(task) => &task.prompt,
        }
    }
}

/// Two ends of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The better one.
    pub chosen: Document,
    /// The other.
    pub rejected: Document,
}

/// A question, and how its answer is checked.
#[derive(Clone, Debug)]
pub struct Task {
    /// The tokens up to where the answer begins.
    pub prompt: Vec<u32>,
    /// What the answer must fulfil.
    pub check: Check,
}

/// What an answer must fulfil to be right.
#[derive(Clone, Debug)]
pub enum Check {
    /// Its last number is this one.
    Number(f64),
    /// It is this text, but for space around it.
    Exact(String),
    /// This text is in it.
    Contains(String),
    /// It fits a pattern as a whole.
    Pattern(Regex),
}

impl Check {
    /// Whether an answer is right.
    pub fn holds(&self, answer: &str) -> bool {
        match self {
            Self::Number(expected) => last_number(answer) == Some(*expected),
            Self::Exact(expected) => answer.trim() == expected.trim(),
            Self::Contains(expected) => answer.contains(expected.as_str()),
            Self::Pattern(pattern) => pattern.is_match(answer.trim()),
        }
    }
}

/// The last number in a text; commas between digits group them.
fn last_number(text: &str) -> Option<f64> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let mut start = end;
    for (at, c) in text[..end].char_indices().rev() {
        if !is_part(c) {
            break;
        }
        start = at;
    }
    let digits = text[start..end]
        .trim_start_matches(['.', ','])
        .replace(',', "");
    let sign = if text[..start].ends_with('-') {
        -1.0
    } else {
        1.0
    };
    digits.parse::<f64>().ok().map(|number| sign * number)
}

/// A pair before it is tokens: two whole conversations.
#[derive(Clone, Debug, PartialEq)]
pub struct RawPair {
    chosen: Vec<Value>,
    rejected: Vec<Value>,
}

/// A task before it is tokens.
#[derive(Clone, Debug)]
pub struct RawTask {
    messages: Vec<Value>,
    check: Check,
}

impl RawPair {
    pub(crate) fn messages(&self) -> impl Iterator<Item = &[Value]> {
        [&self.chosen[..], &self.rejected[..]].into_iter()
    }
}

impl RawTask {
    pub(crate) fn messages(&self) -> &[Value] {
        &self.messages
    }
}

/// A line of a preference file: `prompt`, `chosen` and `rejected`, each a text or messages, as the library TRL
/// has them; without `prompt` the other two are whole conversations.
pub(crate) fn read_pair(line: &Value) -> std::result::Result<RawPair, String> {
    let prompt = match &line["prompt"] {
        Value::Null => Vec::new(),
        prompt => messages(prompt, "user").ok_or("field `prompt` is no text and no messages")?,
    };
    let end = |name: &str| -> std::result::Result<Vec<Value>, String> {
        let found = messages(&line[name], "assistant")
            .ok_or_else(|| format!("no field `{name}` with a text or messages"))?;
        let whole: Vec<Value> = prompt.iter().cloned().chain(found).collect();
        if whole.len() < 2 || whole.last().is_none_or(|last| last["role"] != "assistant") {
            return Err(format!(
                "field `{name}`: it does not end with an answer to something"
            ));
        }
        Ok(whole)
    };
    Ok(RawPair {
        chosen: end("chosen")?,
        rejected: end("rejected")?,
    })
}

/// A line of a file of tasks: `messages` or `prompt`, `answer`, and `check`: `number`, `exact`, `contains` or
/// `pattern`. GSM8K's `question` and `answer`, whose number follows `####`, are read as well.
pub(crate) fn read_task(line: &Value) -> std::result::Result<RawTask, String> {
    let question = ["messages", "prompt", "question"]
        .iter()
        .find_map(|name| messages(&line[*name], "user"))
        .filter(|messages| !messages.is_empty())
        .ok_or("no field `messages`, `prompt` or `question`")?;
    let answer = match &line["answer"] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err("no field `answer` with a text or a number".to_owned()),
    };
    let number = || {
        let text = answer.rsplit("####").next().unwrap_or_default();
        last_number(text).ok_or_else(|| "field `answer`: no number is in it".to_owned())
    };
    let check = match line["check"].as_str() {
        None if line["check"].is_null() => number().map(Check::Number)?,
        Some("number") => Check::Number(number()?),
        Some("exact") => Check::Exact(answer),
        Some("contains") => Check::Contains(answer),
        Some("pattern") => {
            let whole = RegexBuilder::new(&format!("^(?:{answer})$"))
                .size_limit(PATTERN_BYTES_MAX)
                .build();
            Check::Pattern(whole.map_err(|error| format!("field `answer`: {error}"))?)
        }
        _ => {
            return Err(format!(
                "field `check`: found {}, allowed number, exact, contains, pattern",
                line["check"]
            ));
        }
    };
    Ok(RawTask {
        messages: question,
        check,
    })
}

/// A text as a message of `role`, or messages as they are.
fn messages(value: &Value, role: &str) -> Option<Vec<Value>> {
    match value {
        Value::String(text) => Some(vec![json!({ "role": role, "content": text })]),
        Value::Array(messages) => Some(messages.clone()),
        Value::Object(_) => Some(vec![value.clone()]),
        _ => None,
    }
}

/// The tokens of a pair.
pub(crate) fn encode_pair(
    raw: &RawPair,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Pair> {
    Ok(Pair {
        chosen: last_answer(encode_chat(&raw.chosen, tokenizer, template)?),
        rejected: last_answer(encode_chat(&raw.rejected, tokenizer, template)?),
    })
}

/// Only what was answered last is learned: what came before is the same in both.
fn last_answer(mut document: Document) -> Document {
    let end = document.learned.iter().rposition(|learned| *learned);
    let before = end.and_then(|end| document.learned[..end].iter().rposition(|learned| !learned));
    if let Some(before) = before {
        document.learned[..before].fill(false);
    }
    document
}

/// The tokens of a task.
pub(crate) fn encode_task(
    raw: &RawTask,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
) -> Result<Task> {
    let input = ChatInput {
        messages: raw.messages.clone(),
        add_generation_prompt: true,
        ..ChatInput::default()
    };
    let prompt = tokenizer.encode_chat(&template.render(&input, &Limits::default())?)?;
    if prompt.is_empty() {
        return Err(TrainError::Template {
            reason: "a task without a token",
        });
    }
    Ok(Task {
        prompt,
        check: raw.check.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_checked() {
        let number = |x| Check::Number(x);
        for (check, answer, expected) in [
            (number(12.0), "5 + 7 = 12.", true),
            (number(12.0), "12 is not 13", false),
            (number(-3.5), "it is -3.5", true),
            (number(1_234_567.0), "so 1,234,567!", true),
            (number(7.0), "no number", false),
            (number(7.0), "", false),
            (number(5.0), "a,5", true),
            (Check::Exact("biru".to_owned()), " biru\n", true),
            (Check::Exact("biru".to_owned()), "biru tua", false),
            (Check::Contains("biru".to_owned()), "langit biru.", true),
        ] {
            assert_eq!(check.holds(answer), expected, "{check:?} {answer}");
        }
        let line = json!({ "prompt": "x", "answer": "[0-9]{2}", "check": "pattern" });
        let task = read_task(&line).unwrap();
        assert!(task.check.holds("42") && !task.check.holds("423"));
    }

    proptest::proptest! {
        /// Whatever stands in an answer, it is right or wrong.
        #[test]
        fn no_answer_is_fatal(answer in "[ -~é€0-9.,-]{0,24}") {
            let _ = last_number(&answer);
        }
    }

    #[test]
    fn lines_are_read_in_the_forms_that_others_write() {
        let user = json!({ "role": "user", "content": "q" });
        let answer = |text: &str| json!({ "role": "assistant", "content": text });
        let expected = RawPair {
            chosen: vec![user.clone(), answer("a")],
            rejected: vec![user.clone(), answer("b")],
        };
        for line in [
            json!({ "prompt": "q", "chosen": "a", "rejected": "b" }),
            json!({ "prompt": [user], "chosen": [answer("a")], "rejected": [answer("b")] }),
            json!({ "chosen": [user, answer("a")], "rejected": [user, answer("b")] }),
        ] {
            assert_eq!(read_pair(&line).unwrap(), expected, "{line}");
        }
        let gsm = json!({ "question": "q", "answer": "5 and 7 make 12\n#### 12" });
        assert!(read_task(&gsm).unwrap().check.holds("12"));
        for (line, expected) in [
            (json!({ "prompt": "q", "chosen": "a" }), "`rejected`"),
            (json!({ "chosen": "a", "rejected": "b" }), "`chosen`"),
            (
                json!({ "prompt": 5, "chosen": "a", "rejected": "b" }),
                "`prompt`",
            ),
        ] {
            let error = read_pair(&line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        for (line, expected) in [
            (json!({ "answer": "5" }), "`messages`"),
            (json!({ "prompt": "q" }), "`answer`"),
            (json!({ "prompt": "q", "answer": "five" }), "no number"),
            (
                json!({ "prompt": "q", "answer": "5", "check": "nuber" }),
                "allowed number",
            ),
            (
                json!({ "prompt": "q", "answer": "(", "check": "pattern" }),
                "`answer`",
            ),
            (
                json!({ "prompt": "q", "answer": "(a{999}){999}", "check": "pattern" }),
                "`answer`",
            ),
        ] {
            let error = read_task(&line).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
