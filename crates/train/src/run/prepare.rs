//! What a run needs before its first step: texts, tokenizer, documents of tokens.

use super::{Event, Options};
use crate::base;
use crate::checkpoint::{Manifest, SourceRecord, Texts};
use crate::corpus::{self, CHAT_TEMPLATE, SPECIAL, chat_template, encode, end_of_text, weighted};
use crate::decoder::{Layout, Table};
use crate::examples::Example;
use crate::lora::Adapter;
use crate::prepared;
use crate::recipe::{Recipe, Source};
use crate::tokenizer::{self, Settings};
use crate::{Result, TrainError};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use terang_data::prepared::Prepared as PreparedData;
use terang_model::Config;
use terang_model::bundle::LoadedModel;
use terang_model::template::ChatTemplate;
use terang_model::tokenizer::Tokenizer;

/// Files of a model folder that a fine-tuned one has too.
const FOLDER_FILES: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];
/// All that the steps are made from.
pub(super) struct Prepared {
    pub(super) config: Config,
    /// By the names of sources.
    pub(super) examples: BTreeMap<String, Arc<Vec<Example>>>,
    pub(super) tokenizer: Arc<Tokenizer>,
    /// Tokens that end an answer.
    pub(super) stops: Vec<u32>,
    /// The weights that training begins from.
    pub(super) base: Option<Arc<Vec<f32>>>,
    /// Where corrections of them lie.
    pub(super) adapter: Option<Adapter>,
    /// Files of a model folder besides the weights.
    pub(super) texts: Texts,
    /// The manifest before the first step.
    pub(super) manifest: Manifest,
}

impl Prepared {
    /// What the steps move: all parameters, or the corrections.
    pub(super) fn table<'a>(&'a self, layout: &'a Layout) -> &'a Table {
        self.adapter
            .as_ref()
            .map_or(&layout.table, |adapter| &adapter.table)
    }
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
        let named = Mutex::new(String::new());
        let tell = |event: &terang_data::prepare::Event<'_>| {
            let mut named = named.lock().unwrap_or_else(PoisonError::into_inner);
            let name = format!("{}: {}", source.name, stage_name(event));
            // Once for each thing that is done, though it is asked often whether to go on.
            *named == name || {
                let go_on = say(&name).is_ok();
                *named = name;
                go_on
            }
        };
        let threads = options.threads * options.workers;
        let prepared = prepared::open(base, source, &options.folders, threads, &tell)?;
        let texts = match &prepared {
            Some(prepared) => prepared::read(source, prepared)?,
            None => corpus::read(base, source)?,
        };
        raw.push(Read {
            source,
            texts,
            prepared,
        });
    }
    say("tokenizer.json")?;
    let Foundation {
        config,
        tokenizer,
        template,
        end,
        texts: made,
        base,
    } = match &options.base {
        Some(path) => Foundation::of_model(recipe, path)?,
        None => Foundation::of_recipe(recipe, options, base, &raw)?,
    };
    let is_chat = template.is_some();
    if let Some(stage) = recipe
        .stage
        .iter()
        .find(|stage| stage.sequence > config.max_position_embeddings)
    {
        return Err(TrainError::Recipe {
            path: options.recipe.clone(),
            reason: format!(
                "stage {}: sequence: found {}, allowed at most {}, the model's context",
                stage.name, stage.sequence, config.max_position_embeddings
            ),
        });
    }

    let mut examples = BTreeMap::new();
    let mut records = Vec::new();
    let tokenizer_sha256 = made
        .get("tokenizer.json")
        .map(|text| corpus::hex(&Sha256::digest(text.as_bytes())));
    for read in &raw {
        let Read { source, texts, .. } = read;
        say(&source.name)?;
        let mut taken: Vec<Example> = Vec::new();
        let mut dropped = 0;
        // Prepared data are tokens already where they were made by the same tokenizer for the same template.
        let ready = match (&read.prepared, &tokenizer_sha256) {
            (Some(prepared), Some(sha256)) if options.base.is_none() => {
                prepared::tokens(source, prepared, sha256)?
            }
            _ => None,
        };
        let is_ready = ready.is_some();
        taken.extend(ready.unwrap_or_default().into_iter().map(Example::Document));
        let left = if is_ready {
            &[][..]
        } else {
            &texts.documents[..]
        };
        for text in left {
            match encode(text, &tokenizer, template.as_ref(), end) {
                Ok(example) => taken.push(example),
                Err(TrainError::Template { .. }) if is_chat => dropped += 1,
                Err(error) => return Err(error),
            }
        }
        records.push(SourceRecord {
            name: source.name.clone(),
            licence: told(&source.licence, read.prepared.as_ref(), |s| &s.licence),
            origin: told(&source.origin, read.prepared.as_ref(), |s| &s.origin),
            files: texts
                .files
                .iter()
                .map(|(path, digest)| (file_name(path), digest.clone()))
                .collect(),
            bytes: texts.bytes,
            documents: taken.len() as u64,
            tokens: taken.iter().map(|example| example.tokens() as u64).sum(),
            dropped,
        });
        examples.insert(
            source.name.clone(),
            Arc::new(weighted(taken, source.weight)),
        );
    }

    let adapter = match &recipe.lora {
        Some(lora) => Some(Adapter::new(&Layout::new(&config)?, lora)?),
        None => None,
    };
    let recipe_text = toml::to_string(recipe).map_err(|error| TrainError::Recipe {
        path: options.recipe.clone(),
        reason: error.to_string(),
    })?;
    Ok(Prepared {
        config,
        base,
        adapter,
        examples,
        stops: stops(&tokenizer, end),
        tokenizer: Arc::new(tokenizer),
        texts: made,
        manifest: Manifest {
            format: "terang-checkpoint-1".to_owned(),
            name: recipe.name.clone(),
            made_by: format!("terang {}", env!("CARGO_PKG_VERSION")),
            profile: recipe.precision.profile().to_owned(),
            recipe: recipe_text,
            data: records,
            stage: 0,
            step: 0,
            steps_total: recipe.stage.iter().map(|stage| stage.steps).sum(),
            tokens: 0,
            flops: 0.0,
            energy_j: 0.0,
            val_loss: None,
            val_reward: None,
            reference: None,
            parent: None,
            files: BTreeMap::new(),
        },
    })
}

/// A source that was read.
struct Read<'a> {
    source: &'a Source,
    texts: corpus::Texts,
    /// Where it is prepared data.
    prepared: Option<PreparedData>,
}

/// What is done to prepared data, for people.
fn stage_name(event: &terang_data::prepare::Event<'_>) -> String {
    format!("{:?} {}", event.stage, event.name)
        .to_lowercase()
        .trim()
        .to_owned()
}

/// What a recipe says of a source, or else what prepared data say of theirs.
fn told(
    said: &str,
    prepared: Option<&PreparedData>,
    of: fn(&terang_data::manifest::SourceRecord) -> &String,
) -> String {
    let Some(prepared) = prepared.filter(|_| said.is_empty()) else {
        return said.to_owned();
    };
    let mut all: Vec<&str> = prepared
        .manifest()
        .sources
        .iter()
        .map(|s| of(s).as_str())
        .collect();
    all.retain(|text| !text.is_empty());
    all.sort_unstable();
    all.dedup();
    all.join("; ")
}

/// What a model is before its first step.
struct Foundation {
    config: Config,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    /// The token that ends a text.
    end: u32,
    texts: Texts,
    base: Option<Arc<Vec<f32>>>,
}

impl Foundation {
    /// A new model of the recipe's shape.
    fn of_recipe(
        recipe: &Recipe,
        options: &Options,
        base: &Path,
        raw: &[Read<'_>],
    ) -> Result<Self> {
        let path = tokenizer_file(recipe, options, base, raw)?;
        let json = read_text(&path)?;
        let tokenizer = Tokenizer::from_file(&path)?;
        let end = end_of_text(&tokenizer)?;
        let id = |text: &str| tokenizer.id_of(text);
        let template = chat_template(&tokenizer)?;
        let eos: Vec<u32> = [id("<|im_end|>"), Some(end)]
            .into_iter()
            .flatten()
            .collect();
        let config = recipe.config_json(tokenizer.vocab_size(), end, &eos);
        let mut texts = Texts::new();
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
        Ok(Self {
            config,
            tokenizer,
            template,
            end,
            texts,
            base: None,
        })
    }

    /// A model that is there: a folder, or a GGUF file where corrections alone are learned.
    fn of_model(recipe: &Recipe, path: &Path) -> Result<Self> {
        let model = LoadedModel::open(path)?;
        let config = base::config(&model);
        let parameters = base::parameters(path, &model, &Layout::new(&config)?)?;
        let mut texts = Texts::new();
        if let Some(lora) = &recipe.lora {
            let config = serde_json::json!({
                "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": recipe.model.from,
                "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": 0.0, "bias": "none",
                "target_modules": lora.targets, "inference_mode": true,
            });
            texts.insert("adapter_config.json".to_owned(), pretty(&config));
        } else if path.is_dir() {
            for name in FOLDER_FILES {
                if path.join(name).exists() {
                    texts.insert(name.to_owned(), read_text(&path.join(name))?);
                }
            }
        } else {
            return Err(TrainError::Setting {
                name: "model.from",
                found: path.display().to_string(),
                allowed: "a model folder; of a GGUF file corrections alone can be learned ([lora])"
                    .to_owned(),
            });
        }
        let end = end_of_text(&model.tokenizer)?;
        let tokenizer = Arc::into_inner(model.tokenizer).ok_or(TrainError::Stopped)?;
        Ok(Self {
            config,
            tokenizer,
            template: model.template,
            end,
            texts,
            base: Some(Arc::new(parameters)),
        })
    }
}

/// What ends an answer, or a text.
fn stops(tokenizer: &Tokenizer, end: u32) -> Vec<u32> {
    let own = [tokenizer.id_of("<|im_end|>"), Some(end)];
    own.into_iter()
        .flatten()
        .chain(tokenizer.eos_ids().iter().copied())
        .collect()
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn read_text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| TrainError::File {
        path: path.to_owned(),
        source,
    })
}

/// The tokenizer's file: the recipe's, or one that is trained once on the recipe's texts.
fn tokenizer_file(
    recipe: &Recipe,
    options: &Options,
    base: &Path,
    raw: &[Read<'_>],
) -> Result<PathBuf> {
    if let Some(file) = &recipe.tokenizer.file {
        return Ok(base.join(file));
    }
    // Prepared data have a tokenizer of their own, made of all of them.
    let mut prepared = raw.iter().filter_map(|read| read.prepared.as_ref());
    if recipe.tokenizer == crate::recipe::Tokenizer::default()
        && let Some(path) = prepared.find_map(prepared::tokenizer)
    {
        return Ok(path);
    }
    let path = options.out.join("tokenizer.json");
    // Made of the same texts and settings, by what is noted beside it.
    let mut made_of = format!("{:?}", recipe.tokenizer);
    for read in raw {
        read.texts
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
    for document in raw.iter().flat_map(|read| &read.texts.documents) {
        let words = document.words();
        text.push_str(&words.join("\n"));
        // A conversation's last message ends its line as the others do.
        text.push_str(if matches!(document, corpus::Raw::Text(_)) {
            "\n"
        } else {
            "\n\n"
        });
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
    Ok(path)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}
