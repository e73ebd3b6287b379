//! Texts of evaluation sets, which must not be learned: a document with 13 of their words in a row is dropped,
//! as GPT-3's makers did it (arXiv:2005.14165, appendix C).

use crate::read::LINE_MAX;
use crate::words::{Word, gram, words};
use crate::{DataError, Result, error::at};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Most n-grams that are held: about half a gigabyte.
const GRAMS_MAX: usize = 24 << 20;

/// The n-grams of all evaluation sets.
#[derive(Debug, Default)]
pub(crate) struct Held {
    n: usize,
    grams: HashSet<u64>,
}

impl Held {
    /// Reads evaluation sets: JSONL, of which all texts count.
    pub(crate) fn read(files: &[PathBuf], n: usize) -> Result<Self> {
        let mut held = Self {
            n,
            grams: HashSet::new(),
        };
        for path in files {
            held.read_file(path)?;
        }
        Ok(held)
    }

    fn read_file(&mut self, path: &Path) -> Result<()> {
        let mut reader = BufReader::new(std::fs::File::open(path).map_err(at(path))?);
        let (mut line, mut number) = (Vec::new(), 0u64);
        loop {
            line.clear();
            number += 1;
            let mut limited = (&mut reader).take(LINE_MAX as u64 + 1);
            if limited.read_until(b'\n', &mut line).map_err(at(path))? == 0 {
                return Ok(());
            }
            let wrong = |reason: String| DataError::Damaged {
                path: path.display().to_string(),
                reason: format!("line {number}: {reason}"),
            };
            if line.len() > LINE_MAX {
                return Err(wrong(format!("more than {LINE_MAX} bytes")));
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let value: Value =
                serde_json::from_slice(&line).map_err(|error| wrong(error.to_string()))?;
            self.add(&value);
            if self.grams.len() > GRAMS_MAX {
                return Err(DataError::TooManyGrams { allowed: GRAMS_MAX });
            }
        }
    }

    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                let mut found = Vec::new();
                words(text, &mut found);
                self.grams.extend(found.windows(self.n).map(gram));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => fields.values().for_each(|item| self.add(item)),
            _ => {}
        }
    }

    /// Whether a text holds so many words of an evaluation set in a row.
    pub(crate) fn overlaps(&self, words: &[Word]) -> bool {
        !self.grams.is_empty()
            && words
                .windows(self.n)
                .any(|words| self.grams.contains(&gram(words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteen_words_in_a_row_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("eval.jsonl");
        let question =
            "A farmer has fourteen chickens and sells half of them at the market on Monday";
        let line = serde_json::json!({"question": question, "choices": ["seven", "two"]});
        std::fs::write(&path, format!("{line}\n\n")).unwrap();
        let held = Held::read(std::slice::from_ref(&path), 13).unwrap();
        let overlaps = |text: &str| {
            let mut found = Vec::new();
            words(text, &mut found);
            held.overlaps(&found)
        };
        assert!(overlaps(&format!("He said: {}!", question.to_uppercase())));
        assert!(!overlaps(&question[..60]));
        std::fs::write(&path, "{\"a\": \n").unwrap();
        let error = Held::read(&[path], 13).unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
    }
}
