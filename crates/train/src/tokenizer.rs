//! A byte-level BPE tokenizer from files of text to a `tokenizer.json` that Hugging Face's library and
//! Terang load alike.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};
use terang_model::tokenizer::{PreTokenizer, byte_text};

use crate::bpe::{self, Counts, Learned};
use crate::count::count;
use crate::{Result, TrainError};

/// Most tokens of a vocabulary: far above all that are used.
pub const VOCAB_SIZE_MAX: usize = 1 << 20;
/// The bytes, each of which is a token.
pub const BYTES: usize = 256;
const SPECIAL_MAX: usize = 1024;
const SPECIAL_BYTES_MAX: usize = 256;

/// What to make.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Tokens in all, special ones included.
    pub vocab_size: usize,
    /// A pair that occurs less often does not become a token.
    pub min_frequency: u64,
    /// How text is cut into words; one of [`PreTokenizer::NAMES`].
    pub pre_tokenizer: String,
    /// Tokens that come out of no text, in the order of their ids, which come first.
    pub special: Vec<String>,
    /// Threads to count words on.
    pub threads: usize,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of text were read.
    Counted(u64),
    /// There are so many tokens.
    Learned(usize),
}

/// A tokenizer that was made.
#[derive(Debug)]
pub struct Made {
    words: PreTokenizer,
    special: Vec<String>,
    learned: Learned,
    /// Different words in the text, and all of them.
    pub different_words: usize,
    /// Words in all.
    pub words_in_all: u64,
}

/// Makes a tokenizer. `on_progress` says whether to go on.
pub fn train(
    files: &[impl AsRef<Path>],
    settings: &Settings,
    mut on_progress: impl FnMut(Progress) -> bool,
) -> Result<Made> {
    let words = check(settings)?;
    let counts: Counts = count(files, &words, settings.threads, |bytes| {
        on_progress(Progress::Counted(bytes))
    })?;
    let learned = bpe::learn(
        &counts,
        settings.vocab_size,
        settings.special.len(),
        settings.min_frequency,
        |tokens| on_progress(Progress::Learned(tokens)),
    );
    let learned = learned.ok_or(TrainError::Stopped)?;
    // The two would be one in the file, and text would become what no text may.
    let is_learned = |special: &&String| {
        let mut tokens = learned.tokens.iter();
        tokens.any(|token| token.len() >= special.len() && byte_text(token) == **special)
    };
    if let Some(found) = settings.special.iter().find(is_learned) {
        return Err(TrainError::Setting {
            name: "special",
            found: format!("{found:?}"),
            allowed: "texts that do not become ordinary tokens of this text".to_owned(),
        });
    }
    Ok(Made {
        words,
        special: settings.special.clone(),
        learned,
        different_words: counts.len(),
        words_in_all: counts.iter().map(|(_, count)| count).sum(),
    })
}

fn check(settings: &Settings) -> Result<PreTokenizer> {
    let least = BYTES + settings.special.len();
    if !(least..=VOCAB_SIZE_MAX).contains(&settings.vocab_size) {
        return Err(TrainError::Setting {
            name: "vocab_size",
            found: settings.vocab_size.to_string(),
            allowed: format!("{least} (all bytes and the special tokens) to {VOCAB_SIZE_MAX}"),
        });
    }
    let special = |found: String| TrainError::Setting {
        name: "special",
        found,
        allowed: format!(
            "up to {SPECIAL_MAX} different texts of 1 to {SPECIAL_BYTES_MAX} bytes each"
        ),
    };
    if settings.special.len() > SPECIAL_MAX {
        return Err(special(settings.special.len().to_string()));
    }
    for (index, token) in settings.special.iter().enumerate() {
        let is_known = settings.special[..index].contains(token);
        // One byte would be the same text as that byte's own token.
        if !(2..=SPECIAL_BYTES_MAX).contains(&token.len()) || is_known {
            return Err(special(format!("{token:?}")));
        }
    }
    PreTokenizer::named(&settings.pre_tokenizer)?.ok_or_else(|| TrainError::Setting {
        name: "pre_tokenizer",
        found: settings.pre_tokenizer.clone(),
        allowed: PreTokenizer::NAMES.join(", "),
    })
}

impl Made {
    /// Tokens in all.
    pub fn vocab_size(&self) -> usize {
        self.special.len() + self.learned.tokens.len()
    }

    /// Pairs of texts, in the order in which they merge.
    pub fn merges(&self) -> Vec<[String; 2]> {
        let text = |id: u32| byte_text(&self.learned.tokens[id as usize]);
        let merges = self.learned.merges.iter();
        merges
            .map(|&(left, right)| [text(left), text(right)])
            .collect()
    }

    /// The contents of `tokenizer.json`.
    pub fn to_json(&self) -> Value {
        let mut vocab = Map::new();
        for (id, token) in self.special.iter().enumerate() {
            vocab.insert(token.clone(), json!(id));
        }
        for (id, token) in self.learned.tokens.iter().enumerate() {
            vocab.insert(byte_text(token), json!(self.special.len() + id));
        }
        let added: Vec<Value> = self
            .special
            .iter()
            .enumerate()
            .map(|(id, token)| {
                json!({ "id": id, "content": token, "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true })
            })
            .collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": null, "pre_tokenizer": self.words.to_json(), "post_processor": null,
            "decoder": { "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
                "use_regex": true },
            "model": { "type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": false, "vocab": vocab,
                "merges": self.merges() },
        })
    }

    /// Writes `tokenizer.json`: beside its place, and into it when whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        let wrong = |source| TrainError::File {
            path: path.to_owned(),
            source,
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let text = serde_json::to_string_pretty(&self.to_json()).unwrap_or_default();
        let mut file = std::fs::File::create(&part).map_err(wrong)?;
        file.write_all(text.as_bytes()).map_err(wrong)?;
        file.sync_all().map_err(wrong)?;
        std::fs::rename(&part, path).map_err(wrong)
    }
}
