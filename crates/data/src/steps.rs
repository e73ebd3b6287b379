//! What happens to a document, a step at a time: for the benchmark, which tells what each costs.

use crate::config::{Deduplicate, Scrub};
use crate::minhash::MinHash;
use crate::quality::{Rules, Runs};
use crate::words::{Word, words};
use crate::{document, language, normalize, personal};

/// The steps, with what they hand each other. Each says something of what it found, so that nothing is left out as
/// unused.
pub struct Steps {
    words: Vec<Word>,
    rules: Rules,
    runs: Runs,
    detector: language::Detector,
    minhash: MinHash,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

impl Default for Steps {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            rules: Rules::named(&["gopher", "repetition"]).unwrap_or_default(),
            runs: Runs::default(),
            detector: language::Detector::default(),
            minhash: MinHash::new(&Deduplicate::default()),
        }
    }
}

impl Steps {
    /// The text of a record.
    pub fn read(&mut self, record: &[u8]) -> String {
        let value = serde_json::from_slice(record).unwrap_or_default();
        document::of_record(&value, None).unwrap_or_default().text
    }

    /// The text in its one way of writing.
    pub fn normalize(&mut self, text: &str) -> String {
        normalize::normalize(text)
    }

    /// Its language, as a number.
    pub fn language(&mut self, text: &str) -> u64 {
        self.detector.detect(text).map_or(0, |lang| lang as u64)
    }

    /// How many words it has; they are kept for the steps behind.
    pub fn words(&mut self, text: &str) -> u64 {
        words(text, &mut self.words);
        self.words.len() as u64
    }

    /// Whether it breaks a rule, for the words that were found last.
    pub fn rules(&mut self, text: &str) -> u64 {
        u64::from(
            self.rules
                .broken(text, &self.words, &mut self.runs)
                .is_some(),
        )
    }

    /// How many personal data stand in it.
    pub fn personal(&mut self, text: &str) -> u64 {
        let mut found = personal::Found::default();
        personal::scrub(text, Scrub::default(), &mut found);
        found.iter().sum()
    }

    /// What it is compared with others by, for the words that were found last.
    pub fn keys(&mut self, text: &str) -> u64 {
        let keys = self.minhash.keys(text, &self.words);
        keys.bands
            .iter()
            .fold(keys.exact.unwrap_or(0), |all, key| all ^ key)
    }
}
