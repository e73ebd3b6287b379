//! `terang show NAME|PATH`: what the catalogue, the data folder and the file itself say.

mod card;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};
use terang_engine::is_encoder;
use terang_model::bundle::LoadedModel;
use terang_model::encoder::EncoderConfig;
use unicode_width::UnicodeWidthStr;

use super::list::purpose;
use crate::args::Show;
use crate::catalogue::{Catalogue, Entry, Source, Task};
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::output;
use crate::problem::{Outcome, Problem, fail};
use crate::pull::{Progress, differing};
use crate::resolve::{Meant, resolve};
use crate::store;

/// A fact: its JSON key, its label, its value for JSON and for people.
struct Fact(&'static str, Msg, Value, String);

/// Prints the details.
pub(crate) fn run(data: &DataDir, args: &Show) -> Outcome<()> {
    let catalogue = Catalogue::load()?;
    let (heading, facts) = match resolve(&catalogue, &args.name)? {
        Meant::Entry(entry) => (entry.name.clone(), of_entry(data, &entry, args)?),
        Meant::Path(path) => (path.display().to_string(), of_path(&path)?),
    };
    if args.json {
        let mut object = Map::new();
        object.insert("name".to_owned(), json!(heading));
        for Fact(key, _, value, _) in facts {
            object.insert(key.to_owned(), value);
        }
        return output::json(&object);
    }
    output::line(&heading)?;
    let labels: Vec<String> = facts.iter().map(|f| f.1.to_string()).collect();
    let width = labels.iter().map(|l| l.width()).max().unwrap_or(0);
    for (label, Fact(.., text)) in labels.iter().zip(&facts) {
        let pad = " ".repeat(width - label.width());
        let indent = format!("\n{}", " ".repeat(width + 4));
        output::line(&format!("  {label}{pad}  {}", text.replace('\n', &indent)))?;
    }
    Ok(())
}

fn of_entry(data: &DataDir, entry: &Entry, args: &Show) -> Outcome<Vec<Fact>> {
    let text = |s: &str| (json!(s), s.to_owned());
    let fact = |key, label, (value, text)| Fact(key, label, value, text);
    let yes_no = |b: bool| {
        let word = if b { Msg::Yes {} } else { Msg::No {} };
        (json!(b), word.to_string())
    };
    let sources: Vec<String> = entry.sources.iter().map(Source::label).collect();
    let mut facts = vec![
        fact("title", Msg::ShowTitle {}, text(&entry.title)),
        fact(
            "aliases",
            Msg::ShowAliases {},
            (json!(entry.aliases), entry.aliases.join(", ")),
        ),
        fact("licence", Msg::ShowLicence {}, text(&entry.licence)),
        fact(
            "provenance",
            Msg::ShowProvenance {},
            text(&entry.provenance),
        ),
        fact(
            "community_upload",
            Msg::CommunityUpload {},
            yes_no(entry.community_upload),
        ),
        fact(
            "parameters",
            Msg::ShowParameters {},
            text(&entry.parameters),
        ),
        fact(
            "quantization",
            Msg::ShowQuantization {},
            text(&entry.quantization),
        ),
        fact(
            "context_length",
            Msg::ShowContext {},
            (
                json!(entry.context_length),
                entry.context_length.to_string(),
            ),
        ),
        fact(
            "languages",
            Msg::ShowLanguages {},
            (json!(entry.languages), entry.languages.join(", ")),
        ),
        fact(
            "task",
            Msg::ShowTask {},
            (json!(entry.task), purpose(entry).to_string()),
        ),
        fact(
            "chat_template",
            Msg::ShowChatTemplate {},
            yes_no(entry.chat_template),
        ),
        fact(
            "sampling",
            Msg::ShowSampling {},
            (json!(entry.sampling), entry.sampling.describe()),
        ),
        fact(
            "bytes",
            Msg::ShowSize {},
            (json!(entry.bytes), human_bytes(entry.bytes)),
        ),
        Fact(
            "sha256",
            Msg::ShowSha256 {},
            json!(entry.sha256),
            entry.sha256.clone(),
        ),
        fact(
            "sources",
            Msg::ShowSources {},
            (json!(sources), sources.join("\n")),
        ),
    ];
    let installed = store::installed(data, &entry.name)?;
    facts.push(fact(
        "installed",
        Msg::StateInstalled {},
        yes_no(installed.is_some()),
    ));
    let Some(installed) = installed else {
        if args.verify {
            return Err(fail(Msg::ModelNotInstalled {
                name: entry.name.clone(),
            }));
        }
        return Ok(facts);
    };
    let path = installed.path.display().to_string();
    facts.push(fact("path", Msg::ShowFile {}, text(&path)));
    facts.push(fact(
        "pulled",
        Msg::ShowPulled {},
        (
            json!({ "date": installed.receipt.date, "source": installed.receipt.source }),
            format!("{}, {}", installed.receipt.date, installed.receipt.source),
        ),
    ));
    if args.verify {
        if let Some(message) = differing(&installed, &Progress::new(args.json))? {
            return Err(fail(message));
        }
        facts.push(fact("verified", Msg::ShowVerified {}, yes_no(true)));
    }
    Ok(facts)
}

/// What the file or folder itself says. Nothing of the weights is read but their names and shapes.
fn of_path(path: &Path) -> Outcome<Vec<Fact>> {
    if is_encoder(path) {
        return of_encoder(path);
    }
    let model = LoadedModel::open(path).map_err(|e| Problem::Below(e.to_string()))?;
    let config = &model.config;
    let mut by_type: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let (mut parameters, mut bytes) = (0_u64, 0_u64);
    for tensor in model
        .tensors
        .names()
        .iter()
        .filter_map(|n| model.tensors.tensor(n))
    {
        parameters += tensor.shape.iter().map(|&n| n as u64).product::<u64>();
        bytes += tensor.data.len() as u64;
        let of_type = by_type.entry(tensor.dtype.name()).or_default();
        of_type.0 += 1;
        of_type.1 += tensor.data.len() as u64;
    }
    let number = |key, label, value: u64| Fact(key, label, json!(value), value.to_string());
    let mut facts = vec![
        Fact(
            "architecture",
            Msg::ShowArchitecture {},
            json!(config.architecture),
            config.architecture.clone(),
        ),
        number("parameters", Msg::ShowParameters {}, parameters),
        number(
            "context_length",
            Msg::ShowContext {},
            config.max_position_embeddings as u64,
        ),
        number(
            "vocab_size",
            Msg::ShowVocabulary {},
            config.vocab_size as u64,
        ),
        number("hidden_size", Msg::ShowWidth {}, config.hidden_size as u64),
        number("n_layers", Msg::ShowLayers {}, config.layers.len() as u64),
        number(
            "n_heads",
            Msg::ShowHeads {},
            config.num_attention_heads as u64,
        ),
        number(
            "n_kv_heads",
            Msg::ShowKvHeads {},
            config.num_key_value_heads as u64,
        ),
    ];
    if let Some(experts) = &config.experts {
        let (all, used) = (experts.num_experts, experts.num_experts_per_tok);
        facts.push(Fact(
            "experts",
            Msg::ShowExperts {},
            json!({ "all": all, "per_token": used }),
            format!("{used} / {all}"),
        ));
    }
    let has_template = model.template.is_some();
    let word = if has_template {
        Msg::Yes {}
    } else {
        Msg::No {}
    };
    facts.push(Fact(
        "chat_template",
        Msg::ShowChatTemplate {},
        json!(has_template),
        word.to_string(),
    ));
    let lines: Vec<String> = by_type
        .iter()
        .map(|(dtype, (count, bytes))| format!("{count} {dtype}, {}", human_bytes(*bytes)))
        .collect();
    let as_json: Map<String, Value> = by_type
        .iter()
        .map(|(dtype, (count, bytes))| {
            (
                (*dtype).to_owned(),
                json!({ "count": count, "bytes": bytes }),
            )
        })
        .collect();
    facts.push(Fact(
        "tensors",
        Msg::ShowTensors {},
        Value::Object(as_json),
        lines.join("\n"),
    ));
    facts.push(Fact(
        "bytes",
        Msg::ShowSize {},
        json!(bytes),
        human_bytes(bytes),
    ));
    facts.append(&mut card::facts(path)?);
    Ok(facts)
}

/// What the folder of a model for embeddings says.
fn of_encoder(path: &Path) -> Outcome<Vec<Fact>> {
    let below = |e: terang_model::Error| Problem::Below(e.to_string());
    let config = EncoderConfig::open(path).map_err(below)?;
    let number = |key, label, value: usize| Fact(key, label, json!(value), value.to_string());
    let purpose = Msg::ForEmbeddings {}.to_string();
    Ok(vec![
        Fact("task", Msg::ShowTask {}, json!(Task::Embed), purpose),
        Fact(
            "architecture",
            Msg::ShowArchitecture {},
            json!(config.architecture),
            config.architecture.clone(),
        ),
        number("context_length", Msg::ShowContext {}, config.max_tokens),
        number("vocab_size", Msg::ShowVocabulary {}, config.vocab_size),
        number("hidden_size", Msg::ShowWidth {}, config.hidden_size),
        number("n_layers", Msg::ShowLayers {}, config.num_hidden_layers),
        number("n_heads", Msg::ShowHeads {}, config.num_attention_heads),
    ])
}
