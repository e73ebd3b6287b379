//! Prepared data (`terang data prepare`): made where they are not there yet, with tokenizers of ours, and read as
//! documents.

use crate::corpus::{self, Document, END_OF_TEXT, Raw, SPECIAL, Texts};
use crate::examples::Example;
use crate::recipe::{Form, Source};
use crate::tokenizer::{self, Settings};
use crate::{Result, TrainError};
use serde_json::json;
use std::path::{Path, PathBuf};
use terang_data::config::Tokenizer as TokenizerSettings;
use terang_data::document::{Kind, messages};
use terang_data::prepare::{Event, Finished, Options};
use terang_data::prepared::Prepared;
use terang_data::tokens::{Encode, Encoded, TOKENIZER, Tokenizers};
use terang_data::{DataError, Result as DataResult};
use terang_model::template::ChatTemplate;
use terang_model::tokenizer::Tokenizer;

/// Where data are prepared, and packages kept.
#[derive(Clone, Debug)]
pub struct Folders {
    /// Prepared data, each in a folder of its own.
    pub data: PathBuf,
    /// Packages that were fetched.
    pub packages: PathBuf,
}

/// Prepares data with tokenizers of this crate; see [`terang_data::prepare::prepare`].
///
/// # Errors
/// Those of reading, fetching, tokenizers and writing.
pub fn prepare(
    config: &Path,
    out: &Path,
    packages: &Path,
    threads: usize,
    on_event: &(dyn Fn(&Event<'_>) -> bool + Sync),
) -> Result<Finished> {
    let options = Options {
        config: config.to_owned(),
        out: out.to_owned(),
        packages: packages.to_owned(),
        threads,
        tokenizers: &Ours { threads },
    };
    Ok(terang_data::prepare::prepare(&options, on_event)?)
}

/// Tokenizers as training has them.
struct Ours {
    threads: usize,
}

impl Tokenizers for Ours {
    fn train(&self, texts: &[PathBuf], settings: &TokenizerSettings, out: &Path) -> DataResult<()> {
        let settings = Settings {
            vocab_size: settings.vocab_size,
            min_frequency: 2,
            pre_tokenizer: settings.pre_tokenizer.clone(),
            special: SPECIAL.iter().map(|text| (*text).to_owned()).collect(),
            threads: self.threads,
        };
        let made = tokenizer::train(texts, &settings, |_| true).map_err(refused)?;
        made.save(out).map_err(refused)
    }

    fn open(&self, file: &Path) -> DataResult<Box<dyn Encode>> {
        let open = || -> Result<Encoder> {
            let tokenizer = Tokenizer::from_file(file)?;
            let end = corpus::end_of_text(&tokenizer)?;
            let template = corpus::chat_template(&tokenizer)?;
            Ok(Encoder {
                tokenizer,
                template,
                end,
            })
        };
        Ok(Box::new(open().map_err(refused)?))
    }
}

/// An error of training, where preparing is what was asked for.
fn refused(error: TrainError) -> DataError {
    match error {
        TrainError::File { path, source } => DataError::File { path, source },
        TrainError::Stopped => DataError::Stopped,
        TrainError::Data(error) => error,
        other => DataError::Tokens {
            reason: other.to_string(),
        },
    }
}

struct Encoder {
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    end: u32,
}

impl Encode for Encoder {
    fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }

    fn encode(&self, kind: Kind, text: &str) -> DataResult<Option<Encoded>> {
        let template = self.template.as_ref();
        match corpus::encode(&raw(kind, text), &self.tokenizer, template, self.end) {
            Ok(Example::Document(Document { tokens, learned })) => {
                Ok(Some(Encoded { tokens, learned }))
            }
            Ok(_) | Err(TrainError::Template { .. }) => Ok(None),
            Err(error) => Err(refused(error)),
        }
    }
}

fn raw(kind: Kind, text: &str) -> Raw {
    match kind {
        Kind::Text => Raw::Text(text.to_owned()),
        Kind::Chat => {
            let message = |m: &terang_data::document::Message| json!({ "role": m.role, "content": m.content });
            Raw::Chat(messages(text).iter().map(message).collect())
        }
    }
}

/// The prepared data of a source, made first where the source names how. `base` is where the recipe is.
///
/// # Errors
/// As [`prepare`], and where a folder holds none.
pub(crate) fn open(
    base: &Path,
    source: &Source,
    folders: &Folders,
    threads: usize,
    on_event: &(dyn Fn(&Event<'_>) -> bool + Sync),
) -> Result<Option<Prepared>> {
    let Some(name) = &source.prepared else {
        return Ok(None);
    };
    let beside = base.join(name);
    let folder = if beside.join("manifest.json").exists() {
        beside
    } else {
        let folder = folders.data.join(name);
        if let Some(config) = &source.config {
            prepare(
                &base.join(config),
                &folder,
                &folders.packages,
                threads,
                on_event,
            )?;
        }
        folder
    };
    Ok(Some(Prepared::open(&folder)?))
}

/// What prepared data call it; a recipe that asks for another form of them is refused.
fn kind(form: Form) -> Kind {
    if form == Form::Chat {
        Kind::Chat
    } else {
        Kind::Text
    }
}

/// Which documents of prepared data a source takes, each with its shard and its place there.
fn taken(source: &Source, prepared: &Prepared) -> Result<Vec<(usize, Vec<usize>, f64)>> {
    let sources = &prepared.manifest().sources;
    for wanted in &source.sources {
        if !sources.iter().any(|source| source.name == *wanted) {
            let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
            return Err(TrainError::Setting {
                name: "data.sources",
                found: wanted.clone(),
                allowed: known.join(", "),
            });
        }
    }
    let kind = kind(source.form);
    let mut all = Vec::new();
    for shard in 0..prepared.manifest().shards.len() {
        let records = prepared.records(shard)?;
        for (number, part) in sources.iter().enumerate() {
            if !source.sources.is_empty() && !source.sources.contains(&part.name) {
                continue;
            }
            let fits =
                |i: &usize| usize::from(records[*i].source) == number && records[*i].kind == kind;
            let documents: Vec<usize> = (0..records.len()).filter(fits).collect();
            if !documents.is_empty() {
                all.push((shard, documents, part.weight));
            }
        }
    }
    Ok(all)
}

/// The texts of prepared data that a source takes.
pub(crate) fn read(source: &Source, prepared: &Prepared) -> Result<Texts> {
    let manifest = prepared.manifest();
    let mut texts = Texts {
        documents: Vec::new(),
        files: vec![(PathBuf::from("manifest.json"), manifest.digest.clone())],
        bytes: 0,
    };
    for (number, documents, weight) in taken(source, prepared)? {
        let shard = prepared.shard(number)?;
        let raws = documents.iter().map(|&i| {
            texts.bytes += u64::from(shard.records[i].len);
            raw(shard.records[i].kind, shard.text(i))
        });
        let raws: Vec<Raw> = raws.collect();
        texts.documents.extend(corpus::weighted(raws, weight));
        if texts.bytes > corpus::BYTES_MAX {
            return Err(TrainError::TooMuchText {
                source_name: source.name.clone(),
                allowed: corpus::BYTES_MAX,
            });
        }
    }
    Ok(texts)
}

/// The documents of tokens that a source takes, where they were made by the tokenizer of this SHA-256.
pub(crate) fn tokens(
    source: &Source,
    prepared: &Prepared,
    tokenizer_sha256: &str,
) -> Result<Option<Vec<Document>>> {
    let made_by = prepared.manifest().tokenizer.as_ref();
    if made_by.is_none_or(|made_by| made_by.sha256 != tokenizer_sha256) {
        return Ok(None);
    }
    let mut all = Vec::new();
    for (number, documents, weight) in taken(source, prepared)? {
        let Some(shard) = prepared.tokens(number)? else {
            return Ok(None);
        };
        let kind = kind(source.form);
        let documents = documents.iter().map(|&i| {
            let Encoded { tokens, learned } = shard.document(i, kind);
            Document { tokens, learned }
        });
        let documents: Vec<Document> = documents.filter(|d| !d.tokens.is_empty()).collect();
        all.extend(corpus::weighted(documents, weight));
    }
    Ok(Some(all))
}

/// The tokenizer of prepared data, where they have one that ends texts as ours do.
pub(crate) fn tokenizer(prepared: &Prepared) -> Option<PathBuf> {
    prepared.manifest().tokenizer.as_ref()?;
    let path = prepared.folder().join(TOKENIZER);
    let tokenizer = Tokenizer::from_file(&path).ok()?;
    tokenizer.id_of(END_OF_TEXT)?;
    Some(path)
}
