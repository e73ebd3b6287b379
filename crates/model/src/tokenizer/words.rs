//! Text cut into the words within which byte-level BPE merges, for those who train a tokenizer.

use std::path::Path;

use serde_json::{Value, json};

use super::bytelevel::char_of;
use super::pattern::Pattern;
use super::pretokenizers::named;
use super::split::{Behavior, Split, split};
use crate::Result;

/// A pre-tokenizer of the byte-level families, by the name that GGUF files have for it.
#[derive(Debug)]
pub struct PreTokenizer {
    steps: Vec<Split>,
    patterns: &'static [&'static str],
}

impl PreTokenizer {
    /// Names of pre-tokenizers that a new tokenizer may have.
    pub const NAMES: [&str; 4] = ["smollm", "gpt-2", "llama-bpe", "deepseek-v3"];

    /// The pre-tokenizer of that name; `None`: it is none of [`Self::NAMES`].
    pub fn named(name: &str) -> Result<Option<Self>> {
        let found = named(name).filter(|_| Self::NAMES.contains(&name));
        let Some(found) = found else {
            return Ok(None);
        };
        let step = |source: &&str| {
            Ok(Split::Pattern {
                pattern: Pattern::regex(Path::new(name), "pattern", source)?,
                behavior: Behavior::Isolated,
                invert: false,
            })
        };
        Ok(Some(Self {
            steps: found.patterns.iter().map(step).collect::<Result<_>>()?,
            patterns: found.patterns,
        }))
    }

    /// Calls `on_word` with each word of a text.
    pub fn each(&self, text: &str, on_word: impl FnMut(&str)) -> Result<()> {
        split(&self.steps, text, true, on_word)
    }

    /// As `tokenizer.json` has it.
    pub fn to_json(&self) -> Value {
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": false });
        let splits = self.patterns.iter().map(|pattern| {
            json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
                "invert": false })
        });
        let steps: Vec<Value> = splits.chain([bytes]).collect();
        json!({ "type": "Sequence", "pretokenizers": steps })
    }
}

/// The text that stands for bytes in `tokenizer.json`.
pub fn byte_text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char_of(byte)).collect()
}
