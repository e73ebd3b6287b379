//! `terang serve`: settings and models put together for the server.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use terang_documents::isolated;
use terang_engine::load::DEFAULT_CONTEXT_LEN;
use terang_engine::{EngineOptions, Limits, Sampling};
use terang_server::{Config, ModelSource, Options, Task};

use crate::adapters;
use crate::args::Serve;
use crate::catalogue::{Catalogue, Recommended};
use crate::chat;
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::desktop;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem, misuse};
use crate::pull::Progress;
use crate::shelf::{self, Shelf};
use crate::store;

/// Serves until told to end. `at_home`: somebody started it to use it, so the app is opened for them.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Serve, at_home: bool) -> Outcome<()> {
    let config = config(data, args)?;
    terang_server::log::start(config.log_format, config.log_level);
    allow_files();
    let progress = Progress::new(false);
    let models = if config.models.is_empty() {
        vec![source(data, None, &progress)?]
    } else {
        let named = config.models.iter();
        named
            .map(|name| source(data, Some(name), &progress))
            .collect::<Outcome<_>>()?
    };
    let mut models: Vec<ModelSource> = models;
    let names: Vec<Vec<String>> = models.iter().map(names).collect();
    for called in &config.adapters {
        let (model, adapter) = adapters::parse(called, &names)?;
        models[model].adapters.push(adapter);
    }
    let name = models.first().map_or_else(String::new, |m| m.name.clone());
    let options = Options {
        engine: EngineOptions {
            context_len: (config.context > 0).then_some(config.context),
            cache_len: Some(cache_len(&config)),
            limits: Limits {
                queue_len: config.queue_len,
                max_sequences: config.max_sequences,
                ..Limits::default()
            },
            ..compute.engine(data)
        },
        encoder: encoder(data)?,
        depot: Arc::new(Shelf::new(data.clone())),
        models,
        keys: data.keys(),
        usage: data.usage(),
        database: data.database(),
        documents: isolated::Reader::of_this_program()
            .map_err(|error| Problem::Below(format!("the program's own file: {error}")))?,
        config,
    };
    let scheme = if options.config.tls_cert.is_empty() {
        "http"
    } else {
        "https"
    };
    let served = terang_server::run(options, |address| {
        let url = format!("{scheme}://{address}");
        if at_home {
            desktop::open(&url);
        }
        // A reader of standard output that has gone is no reason not to serve.
        let _ = output::line(&Msg::Serving { name, url }.to_string());
    });
    served.map_err(|error| Problem::Below(error.to_string()))
}

/// As many open files as the machine allows: a connection is one, and the 1024 that many set-ups begin
/// with are fewer than the connections that are allowed by default.
#[cfg(unix)]
fn allow_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, fewer connections are taken at a time and the log says why.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(not(unix))]
fn allow_files() {}

/// Many requests share the cache: one context for all would make most of them wait.
pub(super) fn cache_len(config: &Config) -> usize {
    let context = if config.context > 0 {
        config.context
    } else {
        DEFAULT_CONTEXT_LEN
    };
    match config.cache_len {
        0 => context.saturating_mul(2),
        len => len.max(context),
    }
}

/// The settings of all four places together.
pub(super) fn config(data: &DataDir, args: &Serve) -> Outcome<Config> {
    let mut flags = Vec::new();
    for pair in &args.set {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(misuse(Msg::UsageInvalidValue {
                argument: "--set".to_owned(),
                value: pair.clone(),
                allowed: "NAME=VALUE".to_owned(),
                verb: "serve ".to_owned(),
            }));
        };
        flags.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    if let Some(listen) = &args.listen {
        flags.push(("listen".to_owned(), listen.clone()));
    }
    if !args.model.is_empty() {
        flags.push(("models".to_owned(), args.model.join(",")));
    }
    if !args.adapter.is_empty() {
        flags.push(("adapters".to_owned(), args.adapter.join(",")));
    }
    for (name, file) in [("tls_cert", &args.tls_cert), ("tls_key", &args.tls_key)] {
        if let Some(file) = file {
            flags.push((name.to_owned(), file.clone()));
        }
    }
    if let Some(database) = &args.database {
        flags.push(("database".to_owned(), database.clone()));
    }
    if args.accounts {
        flags.push(("accounts".to_owned(), "true".to_owned()));
    }
    if let Some(context) = args.context {
        flags.push(("context".to_owned(), context.to_string()));
    }
    let default = data.config();
    let file: Option<PathBuf> = match &args.config {
        Some(file) => Some(file.clone()),
        None => default.exists().then_some(default),
    };
    Config::assemble(file.as_deref(), |name| std::env::var(name).ok(), &flags)
        .map_err(|error| Problem::Below(error.to_string()))
}

/// A model by what it was called: a name of the catalogue, a path, or NAME=PATH.
fn source(data: &DataDir, called: Option<&str>, progress: &Progress) -> Outcome<ModelSource> {
    let (given, place) = match called.and_then(|called| called.split_once('=')) {
        Some((name, place)) => (Some(name.to_owned()), Some(place)),
        None => (None, called),
    };
    let model = chat::locate(data, place, progress)?;
    let catalogue = Catalogue::load()?;
    let entry = catalogue.find(&model.name);
    let aliases = entry.map(|entry| entry.aliases.clone()).unwrap_or_default();
    Ok(ModelSource {
        name: given.unwrap_or_else(|| public_name(&model.name, entry.is_some())),
        aliases,
        sampling: sampling(&model.recommended),
        path: model.path,
        task: shelf::task(model.task),
        adapters: Vec::new(),
    })
}

/// The catalogue's model for embeddings, which need not be here: it is served once it is.
fn encoder(data: &DataDir) -> Outcome<Option<ModelSource>> {
    let catalogue = Catalogue::load()?;
    let Some(entry) = catalogue.encoder() else {
        return Ok(None);
    };
    Ok(Some(ModelSource {
        name: entry.name.clone(),
        aliases: entry.aliases.clone(),
        sampling: Sampling::default(),
        path: store::folder(data, &entry.name)?,
        task: Task::Embed,
        adapters: Vec::new(),
    }))
}

/// All names of a model.
fn names(model: &ModelSource) -> Vec<String> {
    [std::slice::from_ref(&model.name), &model.aliases].concat()
}

/// Clients are told a name and no path of this machine.
pub(super) fn public_name(called: &str, in_catalogue: bool) -> String {
    let path = Path::new(called);
    match path.file_stem().filter(|_| !in_catalogue) {
        Some(stem) if path.is_file() => stem.to_string_lossy().into_owned(),
        _ if in_catalogue => called.to_owned(),
        _ => path.file_name().map_or_else(
            || called.to_owned(),
            |name| name.to_string_lossy().into_owned(),
        ),
    }
}

/// What the publisher says, and where it says nothing what the API says.
fn sampling(recommended: &Recommended) -> Sampling {
    let api = Sampling {
        temperature: 1.0,
        top_p: 1.0,
        ..Sampling::default()
    };
    Sampling {
        temperature: recommended.temperature.unwrap_or(api.temperature),
        top_k: recommended.top_k.map_or(api.top_k, |k| k as usize),
        top_p: recommended.top_p.unwrap_or(api.top_p),
        min_p: recommended.min_p.unwrap_or(api.min_p),
        repetition_penalty: recommended
            .repetition_penalty
            .unwrap_or(api.repetition_penalty),
        ..api
    }
}
