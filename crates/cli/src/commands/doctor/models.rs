//! Whether models are whole, and what they need of the memory.

use std::path::Path;

use terang_engine::{Encoder, is_encoder};
use terang_kernels::attention::{KvLayout, KvType, PAGE};
use terang_model::bundle::ModelFiles;
use terang_model::{Adapter, Config as Shapes};
use terang_server::Config;

use super::Finding;
use crate::adapters;
use crate::args::Doctor;
use crate::catalogue::{Catalogue, Entry};
use crate::commands::serve;
use crate::data_dir::DataDir;
use crate::messages::{Msg, human_bytes};
use crate::problem::{Outcome, Problem};
use crate::pull::{Progress, differing};
use crate::resolve::{Meant, resolve};
use crate::store;

const CHECK: &str = "model";

/// Bytes that the configured models need.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Files of all of them.
    pub(super) weights: u64,
    /// Keys and values of all of them, when full.
    pub(super) caches: u64,
    /// The first one's, both together.
    pub(super) first: u64,
}

/// A configured model, as adapters know it.
struct Served {
    names: Vec<String>,
    /// `None`: it could not be read.
    shapes: Option<Shapes>,
}

/// Checks the configured models, and whatever else lies in the data folder.
pub(super) fn check(
    data: &DataDir,
    config: Option<&Config>,
    args: &Doctor,
    findings: &mut Vec<Finding>,
) -> Outcome<Sizes> {
    let catalogue = match Catalogue::load() {
        Ok(catalogue) => catalogue,
        Err(error) => {
            findings.push(Finding::wrong(
                "catalogue",
                &error,
                Msg::DoctorCatalogueNext {},
            ));
            return Ok(Sizes::default());
        }
    };
    let progress = Progress::new(args.json);
    let mut sizes = Sizes::default();
    let mut seen = Vec::new();
    let mut served = Vec::new();
    let configured: Vec<&str> = match config {
        None => Vec::new(),
        Some(config) if config.models.is_empty() => vec![catalogue.default.as_str()],
        Some(config) => config.models.iter().map(String::as_str).collect(),
    };
    for (index, called) in configured.into_iter().enumerate() {
        let (given, name) = match called.split_once('=') {
            Some((given, place)) => (Some(given), place),
            None => (None, called),
        };
        let entry = catalogue.find(name);
        let own = entry.map_or_else(|| serve::public_name(name, false), |it| it.name.clone());
        let mut names = vec![given.map_or(own, str::to_owned)];
        names.extend(entry.iter().flat_map(|entry| entry.aliases.clone()));
        served.push(Served {
            names,
            shapes: None,
        });
        let path = match resolve(&catalogue, name) {
            Err(error) => {
                findings.push(Finding::error(CHECK, &error));
                continue;
            }
            Ok(Meant::Path(path)) => path,
            Ok(Meant::Entry(entry)) => {
                seen.push(entry.name.clone());
                match of_entry(data, &entry, args.full, &progress, findings)? {
                    Some(path) => path,
                    None => continue,
                }
            }
        };
        let Some((weights, caches, shapes)) = of_file(&path, name, config, findings) else {
            continue;
        };
        served[index].shapes = shapes;
        sizes.weights += weights;
        sizes.caches += caches;
        if index == 0 {
            sizes.first = weights + caches;
        }
    }
    for called in config.map_or(&[][..], |config| &config.adapters) {
        sizes.weights += of_adapter(called, &served, findings);
    }
    for entry in catalogue.models.iter().filter(|e| !seen.contains(&e.name)) {
        // What nobody has fetched is not missing.
        if !matches!(store::installed(data, &entry.name), Ok(None)) {
            of_entry(data, entry, args.full, &progress, findings)?;
        }
    }
    Ok(sizes)
}

/// A model of the catalogue: its file, where it is here and whole.
fn of_entry(
    data: &DataDir,
    entry: &Entry,
    full: bool,
    progress: &Progress,
    findings: &mut Vec<Finding>,
) -> Outcome<Option<std::path::PathBuf>> {
    let name = entry.name.clone();
    let installed = match store::installed(data, &name) {
        Ok(Some(installed)) => installed,
        Ok(None) => {
            let (found, next) = (
                Msg::DoctorModelMissing { name: name.clone() },
                Msg::DoctorModelMissingNext { name },
            );
            findings.push(Finding::warning(CHECK, &found, next));
            return Ok(None);
        }
        Err(error) => {
            findings.push(Finding::error(CHECK, &error));
            return Ok(None);
        }
    };
    let size = human_bytes(installed.receipt.bytes);
    if !full {
        let found = Msg::DoctorModelSize { name, size };
        findings.push(Finding::well(CHECK, &found));
        return Ok(Some(installed.path));
    }
    match differing(&installed, progress) {
        Ok(None) => {
            let found = Msg::DoctorModelWhole { name, size };
            findings.push(Finding::well(CHECK, &found));
            Ok(Some(installed.path))
        }
        Ok(Some(message)) => {
            let error = crate::problem::fail(message);
            findings.push(Finding::error(CHECK, &error));
            Ok(None)
        }
        Err(Problem::Interrupted) => Err(Problem::Interrupted),
        Err(error) => {
            findings.push(Finding::error(CHECK, &error));
            Ok(None)
        }
    }
}

/// An adapter: whether it is whole and fits its model. Gives its bytes.
fn of_adapter(called: &str, served: &[Served], findings: &mut Vec<Finding>) -> u64 {
    const CHECK: &str = "adapter";
    let names: Vec<Vec<String>> = served.iter().map(|model| model.names.clone()).collect();
    let (model, adapter) = match adapters::parse(called, &names) {
        Ok(parsed) => parsed,
        Err(error) => {
            findings.push(Finding::error(CHECK, &error));
            return 0;
        }
    };
    let name = adapter.name;
    let Served { names, shapes } = &served[model];
    let model = names.first().cloned().unwrap_or_default();
    let Some(shapes) = shapes else {
        let found = Msg::DoctorAdapterUnchecked { name, model };
        let next = Msg::DoctorAdapterUncheckedNext {};
        findings.push(Finding::warning(CHECK, &found, next));
        return 0;
    };
    match Adapter::open(&adapter.path, shapes) {
        Ok(adapter) => {
            let size = human_bytes(adapter.bytes() as u64);
            let found = Msg::DoctorAdapter { name, model, size };
            findings.push(Finding::well(CHECK, &found));
            adapter.bytes() as u64
        }
        Err(error) => {
            let next = Msg::DoctorAdapterNext { name };
            findings.push(Finding::wrong(CHECK, &error, next));
            0
        }
    }
}

/// What the file says of itself: bytes of its weights and of its cache when full, and its shapes.
fn of_file(
    path: &Path,
    name: &str,
    config: Option<&Config>,
    findings: &mut Vec<Finding>,
) -> Option<(u64, u64, Option<Shapes>)> {
    if is_encoder(path) {
        return of_encoder(path, name, findings);
    }
    let read = ModelFiles::open(path).and_then(|files| {
        let tensors = files.tensors();
        let names = tensors.names();
        let lengths = names.iter().filter_map(|name| tensors.tensor(name));
        let weights: u64 = lengths.map(|tensor| tensor.data.len() as u64).sum();
        Ok((weights, files.config()?))
    });
    let (weights, shapes) = match read {
        Ok(read) => read,
        Err(error) => {
            let next = Msg::DoctorModelBrokenNext {
                name: name.to_owned(),
            };
            findings.push(Finding::wrong(CHECK, &error, next));
            return None;
        }
    };
    let page = KvLayout {
        n_kv_heads: shapes.num_key_value_heads,
        head_dim: shapes.head_dim,
        dtype: KvType::default(),
    };
    let pages = config.map_or(0, serve::cache_len).div_ceil(PAGE) as u64;
    let caches = (page.page_bytes() as u64)
        .saturating_mul(shapes.layers.len() as u64)
        .saturating_mul(pages);
    Some((weights, caches, Some(shapes)))
}

/// The same of a model for embeddings, which keeps nothing.
fn of_encoder(
    path: &Path,
    name: &str,
    findings: &mut Vec<Finding>,
) -> Option<(u64, u64, Option<Shapes>)> {
    match Encoder::open(path, None) {
        Ok(_) => {
            let weights = std::fs::metadata(path.join("model.safetensors"));
            Some((weights.map_or(0, |meta| meta.len()), 0, None))
        }
        Err(error) => {
            let name = name.to_owned();
            findings.push(Finding::wrong(
                CHECK,
                &error,
                Msg::DoctorModelBrokenNext { name },
            ));
            None
        }
    }
}
