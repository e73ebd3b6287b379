//! Documents that are made instead of read: questions with their answers, in English and Indonesian. The same input
//! gives the same documents.

mod arithmetic;
mod dictionary;
mod help;
mod templates;

use crate::config::Generate;
use crate::document::Document;
use crate::words::mix;
use crate::{DataError, Result};

/// The documents that a generator makes of a file, at most `count` of them.
pub(crate) fn documents(
    generate: Generate,
    name: &str,
    bytes: &[u8],
    count: usize,
) -> Result<Vec<Document>> {
    let text = || {
        std::str::from_utf8(bytes).map_err(|error| DataError::Damaged {
            path: name.to_owned(),
            reason: format!("byte {}: not UTF-8 text", error.valid_up_to()),
        })
    };
    let mut documents = match generate {
        Generate::Arithmetic => arithmetic::documents(count),
        Generate::Dictionary => dictionary::documents(text()?, count),
        Generate::Help => help::documents(name, text()?),
        Generate::Templates => templates::documents(name, text()?)?,
    };
    documents.truncate(count);
    Ok(documents)
}

/// A question with its answer.
fn pair(question: &str, answer: &str) -> Document {
    Document::chat([("user", question), ("assistant", answer)])
}

/// A question as people type it who leave out what can be left out.
fn typed(question: &str) -> String {
    question.trim_end_matches(['?', '.', '!']).to_lowercase()
}

/// A number that depends on `n` alone, below `below`.
fn draw(n: usize, below: usize) -> usize {
    (mix(n as u64 + 1) % below.max(1) as u64) as usize
}

/// Items in an order that depends on how many there are alone.
fn shuffled<T>(mut items: Vec<T>) -> Vec<T> {
    for i in (1..items.len()).rev() {
        items.swap(i, draw(i * 7919, i + 1));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::messages;

    fn answers(generate: Generate, name: &str, text: &str) -> Vec<(String, String)> {
        let documents = documents(generate, name, text.as_bytes(), 10_000).unwrap();
        let pair = |document: &Document| {
            let said = messages(&document.text);
            (said[0].content.clone(), said[1].content.clone())
        };
        documents.iter().map(pair).collect()
    }

    #[test]
    fn sums_are_right() {
        let pairs = answers(Generate::Arithmetic, "", "");
        assert!(pairs.len() > 1000);
        assert!(pairs.contains(&("What is 7 + 5?".into(), "7 + 5 = 12.".into())));
        for said in ["plus", "kurang", "dikurangi", "ditambah"] {
            assert!(pairs.iter().any(|(q, _)| q.contains(said)), "{said}");
        }
        for (_, answer) in &pairs {
            let words: Vec<&str> = answer.trim_end_matches('.').split(' ').collect();
            let n = |i: usize| words[i].parse::<i64>().unwrap();
            let expected = match words[1] {
                "+" => n(0) + n(2),
                "-" => n(0) - n(2),
                "x" => n(0) * n(2),
                _ => n(0) / n(2),
            };
            assert_eq!(expected, n(4), "{answer}");
        }
    }

    #[test]
    fn a_dictionary_is_read() {
        let text = "00-database\nheader <x>\nwater /ˈwɔːtə/ <n>\nair 2.\nclear liquid\nbanyu\n\
            to go /x/ <v>\npergi ke\nodd /x/ <adj>\n(no translation)\n";
        let pairs = answers(Generate::Dictionary, "d.dict", text);
        let has = |question: &str, answer: &str| {
            pairs
                .iter()
                .any(|(q, a)| q.contains(question) && a.contains(answer))
        };
        assert!(has("water", "air") && has("\"air\"", "water"), "{pairs:?}");
        assert!(!has("odd", ""));
    }

    #[test]
    fn help_is_read_in_its_language() {
        let page = "<h1 id=\"x\">Baru</h1><p><span class=\"avis\">Membuat sebuah dokumen <b>baru</b> \
            yang kosong. Lagi.</span></p>";
        let pairs = answers(Generate::Help, "help/id/text/a.html", page);
        assert!(
            pairs[0].0.contains("Baru") && pairs[0].0.contains("fungsi"),
            "{pairs:?}"
        );
        assert_eq!(pairs[0].1, "Membuat sebuah dokumen baru yang kosong.");
        assert!(answers(Generate::Help, "a.html", "<p>nothing").is_empty());
    }

    #[test]
    fn templates_are_filled() {
        let text = "[[group]]\nquestions = [\"Capital of {a}?\"]\nanswers = [\"{b}.\"]\nitems = [[\"Japan\", \"Tokyo\"]]\n\
            [[group]]\nquestions = [\"Hi\"]\nanswers = [\"Hello!\"]\n";
        let pairs = answers(Generate::Templates, "t.toml", text);
        let expected = [
            ("Capital of Japan?", "Tokyo."),
            ("capital of japan", "Tokyo."),
            ("Hi", "Hello!"),
            ("hi", "Hello!"),
        ];
        for (question, answer) in expected {
            assert!(
                pairs.contains(&(question.into(), answer.into())),
                "{pairs:?}"
            );
        }
        for (wrong, expected) in [
            (
                "[[group]]\nquestions = [\"x\"]\nanswer = [\"y\"]",
                "did you mean answers?",
            ),
            (
                "[[group]]\nquestions = [\"{b}\"]\nanswers = [\"y\"]\nitems = [[\"a\"]]",
                "{b}",
            ),
            ("[[group]]\nquestions = []\nanswers = [\"y\"]", "questions"),
        ] {
            let error = documents(Generate::Templates, "t.toml", wrong.as_bytes(), 9).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
