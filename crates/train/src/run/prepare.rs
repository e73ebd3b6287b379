//! What a run needs before its first step: texts, tokenizer, documents of tokens.

use super::{Event, Options};
use crate::checkpoint::{Manifest, SourceRecord, Texts, digest};
use crate::corpus::{self, Document, Raw, encode};
use crate::recipe::Recipe;
use crate::tokenizer::{self, Settings};
use crate::{Result, TrainError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use terang_model::Config;
use terang_model::template::ChatTemplate;
use terang_model::tokenizer::Tokenizer;

/// Ends a text.
const END_OF_TEXT: &str = "<|endoftext|>";
/// Tokens that come out of no text.
const SPECIAL: [&str; 3] = [END_OF_TEXT, "<|im_start|>", "<|im_end|>"];
/// `ChatML`, the form of a conversation that most open models share.
const CHAT_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + \
message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' \
}}{% endif %}";

/// All that the steps are made from.
pub(super) struct Prepared {
    pub(super) config: Config,
    /// By the names of sources.
    pub(super) documents: BTreeMap<String, Arc<Vec<Document>>>,
    /// Files of a model folder besides the weights.
    pub(super) texts: Texts,
    /// The manifest before the first step.
    pub(super) manifest: Manifest,
}

pub(super) fn prepare(
    recipe: &Recipe,
    options: &Options,
    on_event: &(dyn Fn(&Event) -> bool + Sync),
) -> Result<Prepared> {
    let base = options.recipe.parent().unwrap_or(Path::new("."));
    let wanted = |name: &String| recipe.stage.iter().any(|stage| stage.data.contains(name));
    let say = |source: &str| {
        let event = Event::Preparing {
            source: source.to_owned(),
        };
        if on_event(&event) {
            Ok(())
        } else {
            Err(TrainError::Stopped)
        }
    };
    let mut raw = Vec::new();
    for source in recipe.data.iter().filter(|source| wanted(&source.name)) {
        say(&source.name)?;
        raw.push((source, corpus::read(base, source)?));
    }
    say("tokenizer.json")?;
    let path = tokenizer_file(recipe, options, base, &raw)?;
    let json = std::fs::read_to_string(&path).map_err(|source| TrainError::File {
        path: path.clone(),
        source,
    })?;
    let tokenizer = Tokenizer::from_file(&path)?;
    let id = |text: &str| tokenizer.id_of(text);
    let end = id(END_OF_TEXT)
        .or_else(|| tokenizer.eos())
        .ok_or_else(|| TrainError::Setting {
            name: "tokenizer",
            found: "no token that ends a text".to_owned(),
            allowed: format!("one with {END_OF_TEXT}"),
        })?;
    let is_chat = id("<|im_start|>").is_some() && id("<|im_end|>").is_some();
    let template = if is_chat {
        Some(ChatTemplate::new(CHAT_TEMPLATE, &tokenizer)?)
    } else {
        None
    };

    let mut documents = BTreeMap::new();
    let mut records = Vec::new();
    for (source, texts) in &raw {
        say(&source.name)?;
        let mut taken: Vec<Document> = Vec::new();
        let mut dropped = 0;
        for text in &texts.documents {
            match encode(text, &tokenizer, template.as_ref(), end) {
                Ok(document) => taken.push(document),
                Err(TrainError::Template { .. }) if is_chat => dropped += 1,
                Err(error) => return Err(error),
            }
        }
        records.push(SourceRecord {
            name: source.name.clone(),
            licence: source.licence.clone(),
            origin: source.origin.clone(),
            files: texts
                .files
                .iter()
                .map(|(path, digest)| (file_name(path), digest.clone()))
                .collect(),
            bytes: texts.bytes,
            documents: taken.len() as u64,
            tokens: taken
                .iter()
                .map(|document| document.tokens.len() as u64)
                .sum(),
            dropped,
        });
        documents.insert(
            source.name.clone(),
            Arc::new(weighted(taken, source.weight)),
        );
    }

    let eos: Vec<u32> = [id("<|im_end|>"), Some(end)]
        .into_iter()
        .flatten()
        .collect();
    let config = recipe.config_json(tokenizer.vocab_size(), end, &eos);
    let mut texts = Texts::new();
    let pretty =
        |value: &serde_json::Value| serde_json::to_string_pretty(value).unwrap_or_default();
    let text_of = |id: u32| tokenizer.token_text(id).unwrap_or_default();
    let mut tokenizer_config = serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": recipe.model.context,
        "eos_token": text_of(eos[0]), "clean_up_tokenization_spaces": false,
    });
    if template.is_some() {
        tokenizer_config["chat_template"] = CHAT_TEMPLATE.into();
    }
    texts.insert("config.json".to_owned(), pretty(&config));
    texts.insert("tokenizer.json".to_owned(), json);
    texts.insert(
        "tokenizer_config.json".to_owned(),
        pretty(&tokenizer_config),
    );
    texts.insert(
        "generation_config.json".to_owned(),
        pretty(&serde_json::json!({ "eos_token_id": eos })),
    );
    let config = Config::from_hf_json(&options.recipe, &config.to_string())?;
    let recipe_text = toml::to_string(recipe).map_err(|error| TrainError::Recipe {
        path: options.recipe.clone(),
        reason: error.to_string(),
    })?;
    Ok(Prepared {
        config,
        documents,
        texts,
        manifest: Manifest {
            format: "terang-checkpoint-1".to_owned(),
            name: recipe.name.clone(),
            made_by: format!("terang {}", env!("CARGO_PKG_VERSION")),
            profile: "terang-train-f32-1".to_owned(),
            recipe: recipe_text,
            data: records,
            stage: 0,
            step: 0,
            steps_total: recipe.stage.iter().map(|stage| stage.steps).sum(),
            tokens: 0,
            flops: 0.0,
            val_loss: None,
            parent: None,
            files: BTreeMap::new(),
        },
    })
}

/// The tokenizer's file: the recipe's, or one that is trained once on the recipe's texts.
fn tokenizer_file(
    recipe: &Recipe,
    options: &Options,
    base: &Path,
    raw: &[(&crate::recipe::Source, corpus::Texts)],
) -> Result<PathBuf> {
    if let Some(file) = &recipe.tokenizer.file {
        return Ok(base.join(file));
    }
    let path = options.out.join("tokenizer.json");
    // Made of the same texts and settings, by what is noted beside it.
    let mut made_of = format!("{:?}", recipe.tokenizer);
    for (_, texts) in raw {
        texts
            .files
            .iter()
            .for_each(|(_, digest)| made_of.push_str(digest));
    }
    let note = options.out.join("tokenizer.made-of");
    if path.exists() && std::fs::read_to_string(&note).is_ok_and(|noted| noted == made_of) {
        return Ok(path);
    }
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::File { path, source }
    };
    let corpus = options.out.join("tokenizer.txt");
    let mut text = String::new();
    for document in raw.iter().flat_map(|(_, texts)| &texts.documents) {
        match document {
            Raw::Text(document) => text.push_str(document),
            Raw::Chat(messages) => messages
                .iter()
                .filter_map(|m| m["content"].as_str())
                .for_each(|content| {
                    text.push_str(content);
                    text.push('\n');
                }),
        }
        text.push('\n');
    }
    std::fs::write(&corpus, text).map_err(wrong(&corpus))?;
    let settings = Settings {
        vocab_size: recipe.tokenizer.vocab_size,
        min_frequency: 2,
        pre_tokenizer: recipe.tokenizer.pre_tokenizer.clone(),
        special: SPECIAL.iter().map(|text| (*text).to_owned()).collect(),
        threads: options.threads,
    };
    let made = tokenizer::train(&[&corpus], &settings, |_| true);
    std::fs::remove_file(&corpus).map_err(wrong(&corpus))?;
    made?.save(&path)?;
    std::fs::write(&note, made_of).map_err(wrong(&note))?;
    digest(&path).map_err(wrong(&path))?;
    Ok(path)
}

/// Documents as often as a source's weight says: whole times, and of the rest the first ones.
fn weighted(documents: Vec<Document>, weight: f64) -> Vec<Document> {
    if weight == 1.0 {
        return documents;
    }
    let n = (documents.len() as f64 * weight).round() as usize;
    documents
        .iter()
        .cycle()
        .take(n.max(1).min(documents.len().saturating_mul(1000)))
        .cloned()
        .collect()
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
