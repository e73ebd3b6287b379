//! Texts of evaluation sets, which must not be learned: a document with 13 of their words in a row is dropped,
//! as GPT-3's makers did it (arXiv:2005.14165, appendix C).

use crate::read::LINE_MAX;
use crate::words::{Word, words};
use crate::{DataError, Result, error::at};
use serde_json::Value;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// Most n-grams that are held: about half a gigabyte.
const GRAMS_MAX: usize = 24 << 20;

/// The n-grams of all evaluation sets.
#[derive(Debug, Default)]
pub(crate) struct Held {
    n: usize,
    grams: HashSet<u64, BuildHasherDefault<Itself>>,
}

/// Numbers of runs are spread as they are.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// A number for each run of `n` words: digits of a number whose first leaves and whose last comes from run to run.
fn runs(words: &[Word], n: usize) -> impl Iterator<Item = u64> {
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
    let add = |number: u64, word: &Word| number.wrapping_mul(BASE).wrapping_add(word.hash);
    let first = words.get(..n).map(|words| words.iter().fold(0, add));
    let leaving = (0..n).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut number = first.unwrap_or_default();
    let pairs = words.iter().zip(words.get(n..).unwrap_or_default());
    let rest = pairs.map(move |(old, new)| {
        number = add(number, new).wrapping_sub(old.hash.wrapping_mul(leaving));
        number
    });
    first.into_iter().chain(rest)
}

impl Held {
    /// Reads evaluation sets: JSONL, of which all texts count.
    pub(crate) fn read(files: &[PathBuf], n: usize) -> Result<Self> {
        let mut held = Self {
            n,
            grams: HashSet::default(),
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
                self.grams.extend(runs(&found, self.n));
            }
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => fields.values().for_each(|item| self.add(item)),
            _ => {}
        }
    }

    /// Whether a text holds so many words of an evaluation set in a row.
    pub(crate) fn overlaps(&self, words: &[Word]) -> bool {
        !self.grams.is_empty() && runs(words, self.n).any(|run| self.grams.contains(&run))
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

    proptest::proptest! {
        /// A run's number is that of its words, wherever it stands.
        #[test]
        fn runs_are_numbered_by_their_words(letters in proptest::collection::vec(0u64..3, 0..30), n in 1usize..8) {
            let word = |letter: &u64| Word { hash: crate::words::mix(letter + 1), chars: 1, has_letter: true };
            let found: Vec<Word> = letters.iter().map(word).collect();
            let numbers: Vec<u64> = runs(&found, n).collect();
            proptest::prop_assert_eq!(numbers.len(), letters.windows(n).count());
            for (a, one) in letters.windows(n).enumerate() {
                for (b, other) in letters.windows(n).enumerate() {
                    proptest::prop_assert_eq!(one == other, numbers[a] == numbers[b]);
                }
            }
        }
    }
}
