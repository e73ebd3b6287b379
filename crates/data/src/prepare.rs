//! Preparing data: all passes one after the other, each of which goes on where it was.
//!
//! Invariant: what comes out depends on the configuration and the files alone: not on the number of threads, not on
//! where a run was broken off and went on.

use crate::clean::Cleaner;
use crate::config::{Config, Generate};
use crate::decontaminate::Held;
use crate::error::at;
use crate::gather::{FileLine, Gathered, gather};
use crate::manifest::{self, FILE, FILES, FORMAT, Manifest, SourceRecord, TokenizerRecord};
use crate::read::{self, Input, hex, sha256_of};
use crate::shards::{self, Output, Written};
use crate::tokens::{self, Tokenizers};
use crate::{DataError, Result, duplicates, package};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

/// What is prepared, and where.
pub struct Options<'a> {
    /// The configuration's file; its paths are from there.
    pub config: PathBuf,
    /// Where prepared data go.
    pub out: PathBuf,
    /// Where packages are kept.
    pub packages: PathBuf,
    /// Threads that clean and encode.
    pub threads: usize,
    /// Who makes tokenizers.
    pub tokenizers: &'a dyn Tokenizers,
}

impl std::fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("config", &self.config)
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A package is fetched.
    Fetching,
    /// Files are read and documents cleaned.
    Reading,
    /// Documents are compared.
    Comparing,
    /// Shards are written.
    Writing,
    /// A tokenizer is trained.
    Tokenizer,
    /// Documents become tokens.
    Encoding,
    /// Shards are indexed.
    Indexing,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What is being done.
    pub stage: Stage,
    /// The source or package that it is done with; empty where it is all of them.
    pub name: &'a str,
    /// What is done: bytes while reading, else documents or shards.
    pub done: u64,
    /// Of so many; 0 where it is not known.
    pub total: u64,
}

/// Data that are prepared now.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What they are.
    pub manifest: Manifest,
    /// They were there already.
    pub was_there: bool,
}

/// Who is told of progress, and says whether to go on.
pub type OnEvent<'a> = &'a (dyn Fn(&Event<'_>) -> bool + Sync);

/// Tells of one stage's progress.
pub(crate) struct Progress<'a> {
    on_event: OnEvent<'a>,
    stage: Stage,
    total: u64,
    stopped: std::sync::atomic::AtomicBool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(on_event: OnEvent<'a>, stage: Stage, total: u64) -> Self {
        Self {
            on_event,
            stage,
            total,
            stopped: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// Nobody is told.
    #[cfg(test)]
    pub(crate) fn silent() -> Progress<'static> {
        Progress::new(&|_| true, Stage::Comparing, 0)
    }

    pub(crate) fn reach(&self, name: &str, done: u64) -> Result<()> {
        let event = Event {
            stage: self.stage,
            name,
            done,
            total: self.total,
        };
        if (self.on_event)(&event) {
            return Ok(());
        }
        self.stopped
            .store(true, std::sync::atomic::Ordering::Relaxed);
        Err(DataError::Stopped)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// What it is made of.
    of: String,
    pub(crate) gathered: Gathered,
    pub(crate) written: Written,
    /// The tokenizer is in its place.
    tokenizer: bool,
}

/// The folder of what is between passes.
#[derive(Debug)]
pub(crate) struct Work {
    folder: PathBuf,
    pub(crate) state: State,
}

impl Work {
    /// Goes on with what is there, where it was made of the same; otherwise begins.
    pub(crate) fn open(out: &Path, of: &str) -> Result<Self> {
        let folder = out.join(".work");
        let state = std::fs::read(folder.join("state.json")).ok();
        let state: Option<State> = state.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let state = if let Some(state) = state.filter(|state| state.of == of) {
            state
        } else {
            if folder.exists() {
                std::fs::remove_dir_all(&folder).map_err(at(&folder))?;
            }
            State {
                of: of.to_owned(),
                ..State::default()
            }
        };
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        Ok(Self { folder, state })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Notes how far it is.
    pub(crate) fn save(&self) -> Result<()> {
        let mut file = Output::create(self.path("state.json"))?;
        file.write(&serde_json::to_vec(&self.state).unwrap_or_default())?;
        file.finish().map(drop)
    }

    fn remove(self) -> Result<()> {
        std::fs::remove_dir_all(&self.folder).map_err(at(&self.folder))
    }
}

/// Prepares data, or goes on with it. `on_event` says whether to go on; when it says no, what is done is kept and
/// [`DataError::Stopped`] is what comes back.
///
/// # Errors
/// What reading, fetching and writing fail with.
pub fn prepare(options: &Options<'_>, on_event: OnEvent<'_>) -> Result<Finished> {
    let config = Config::read(&options.config)?;
    let base = options.config.parent().unwrap_or(Path::new(""));
    let out = &options.out;
    std::fs::create_dir_all(out).map_err(at(out))?;
    let _lock = lock(out)?;
    let inputs = inputs(&config, base, &options.packages, on_event)?;
    let of = made_of(&config, base, &inputs)?;
    let note = out.join("made-of");
    if std::fs::read_to_string(&note).is_ok_and(|noted| noted == of)
        && let Ok(manifest) = Manifest::read(out)
    {
        return Ok(Finished {
            manifest,
            was_there: true,
        });
    }
    let manifest_path = out.join(FILE);
    // From here on the folder holds no whole data until it has a manifest again.
    if manifest_path.exists() {
        std::fs::remove_file(&manifest_path).map_err(at(&manifest_path))?;
    }
    let mut work = Work::open(out, &of)?;
    let threads = options.threads.max(1);
    if !work.state.gathered.is_done {
        let files: Vec<PathBuf> = config
            .decontaminate
            .files
            .iter()
            .map(|file| base.join(file))
            .collect();
        let held = Held::read(&files, config.decontaminate.ngram)?;
        let cleaner = Cleaner::new(&config, held);
        let total = inputs
            .iter()
            .filter_map(|input| std::fs::metadata(&input.path).ok());
        let progress = Progress::new(on_event, Stage::Reading, total.map(|meta| meta.len()).sum());
        gather(&config, &inputs, &cleaner, &mut work, threads, &progress)?;
    }
    let documents = work.state.gathered.documents;
    if !work.state.written.is_done {
        let progress = Progress::new(on_event, Stage::Comparing, documents);
        let duplicates = duplicates::find(&config, &work, &progress)?;
        let progress = Progress::new(on_event, Stage::Writing, documents);
        shards::write(&config, out, &mut work, &duplicates, &progress)?;
    }
    let tokenizer = match &config.tokenizer {
        None => None,
        Some(settings) => {
            let progress = Progress::new(on_event, Stage::Tokenizer, 0);
            progress.reach("", 0)?;
            if !work.state.tokenizer {
                tokens::prepare_tokenizer(settings, base, out, &work, options.tokenizers)?;
                work.state.tokenizer = true;
                work.save()?;
            }
            let progress = Progress::new(on_event, Stage::Encoding, documents);
            let path = out.join(tokens::TOKENIZER);
            let write = tokens::write;
            Some(write(
                &config,
                out,
                &mut work,
                &path,
                options.tokenizers,
                threads,
                &progress,
            )?)
        }
    };
    let manifest = finish(&config, out, &work, tokenizer)?;
    remove_old_shards(out, manifest.shards.len())?;
    std::fs::write(&note, of).map_err(at(&note))?;
    work.remove()?;
    Ok(Finished {
        manifest,
        was_there: false,
    })
}

/// Writes the list of files and the manifest.
fn finish(
    config: &Config,
    out: &Path,
    work: &Work,
    tokenizer: Option<TokenizerRecord>,
) -> Result<Manifest> {
    let from = work.path("files");
    let reader = std::io::BufReader::new(File::open(&from).map_err(at(&from))?);
    let mut files = Output::create(out.join(FILES))?;
    let mut by_source = vec![(0u64, Sha256::new()); config.source.len()];
    for line in reader.lines() {
        let line = line.map_err(at(&from))? + "\n";
        files.write(line.as_bytes())?;
        let file: FileLine =
            serde_json::from_str(&line).map_err(|error| at(&from)(std::io::Error::other(error)))?;
        if let Some(index) = config
            .source
            .iter()
            .position(|source| source.name == file.source)
        {
            by_source[index].0 += 1;
            by_source[index].1.update(line.as_bytes());
        }
    }
    let sources = config
        .source
        .iter()
        .zip(by_source)
        .zip(&work.state.written.counts);
    let sources: Vec<SourceRecord> = sources
        .map(|((source, (files, digest)), counts)| SourceRecord {
            name: source.name.clone(),
            licence: source.licence.clone(),
            origin: source.origin.clone(),
            package: source.package.clone(),
            weight: source.weight,
            files,
            sha256: hex(&digest.finalize()),
            counts: counts.clone(),
        })
        .collect();
    let all = |count: fn(&SourceRecord) -> u64| sources.iter().map(count).sum();
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        name: config.name.clone(),
        made_by: format!("terang {}", env!("CARGO_PKG_VERSION")),
        config: config.clone(),
        files_sha256: files.finish()?,
        documents: all(|source| source.counts.documents_out),
        bytes: all(|source| source.counts.bytes_out),
        tokens: all(|source| source.counts.tokens),
        sources,
        tokenizer,
        shards: work.state.written.shards.clone(),
        digest: String::new(),
    };
    manifest.digest = manifest.computed_digest();
    let mut file = Output::create(out.join(FILE))?;
    let text = serde_json::to_string_pretty(&manifest).unwrap_or_default() + "\n";
    file.write(text.as_bytes())?;
    file.finish()?;
    Ok(manifest)
}

/// Shards of data that were here before, and their index, which is of no use any more.
fn remove_old_shards(out: &Path, shards: usize) -> Result<()> {
    for entry in std::fs::read_dir(out).map_err(at(out))? {
        let path = entry.map_err(at(out))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let number = name
            .strip_suffix(".bin")
            .and_then(|stem| stem.rsplit_once('-'));
        let Some((part, number)) = number else {
            continue;
        };
        let is_shard = ["text", "documents", "tokens", "offsets", "learned"].contains(&part);
        let is_old = number.parse::<usize>().is_ok_and(|number| number >= shards);
        if (is_shard && is_old) || part == "suffixes" {
            std::fs::remove_file(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// All that is read, in the order of the configuration.
fn inputs(
    config: &Config,
    base: &Path,
    packages: &Path,
    on_event: OnEvent<'_>,
) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for (index, source) in config.source.iter().enumerate() {
        if source.generate == Some(Generate::Arithmetic) {
            inputs.push(Input {
                source: index,
                path: PathBuf::new(),
                name: "arithmetic".to_owned(),
            });
        }
        let fetched = match &source.package {
            None => None,
            Some(package) => {
                let progress = Progress::new(on_event, Stage::Fetching, 0);
                progress.reach(package, 0)?;
                Some(package::fetch(packages, package, source.sha256.as_deref())?)
            }
        };
        let folder = fetched.as_deref().unwrap_or(base);
        for pattern in &source.files {
            let found = read::find(folder, pattern, &source.name)?;
            inputs.extend(found.into_iter().map(|(path, name)| Input {
                source: index,
                path,
                name,
            }));
        }
    }
    Ok(inputs)
}

/// What decides what comes out, as far as it can be told without reading: settings, and files by name, size and
/// time; those of packages by name and size, since they are the package's.
fn made_of(config: &Config, base: &Path, inputs: &[Input]) -> Result<String> {
    let mut digest = Sha256::new();
    let mut add = |text: String| {
        digest.update(text.as_bytes());
        digest.update([0]);
    };
    add(manifest::FORMAT.to_owned());
    add(env!("CARGO_PKG_VERSION").to_owned());
    add(toml::to_string(config).unwrap_or_default());
    let tokenizer = config.tokenizer.as_ref().and_then(|t| t.file.as_ref());
    for file in config.decontaminate.files.iter().chain(tokenizer) {
        add(sha256_of(&base.join(file))?);
    }
    for input in inputs
        .iter()
        .filter(|input| !input.path.as_os_str().is_empty())
    {
        let meta = std::fs::metadata(&input.path).map_err(at(&input.path))?;
        let is_packaged = config.source[input.source].package.is_some();
        let time = meta.modified().ok().filter(|_| !is_packaged);
        add(format!("{} {} {time:?}", input.name, meta.len()));
    }
    Ok(hex(&digest.finalize()))
}

/// Two runs in one folder would destroy each other's work.
fn lock(out: &Path) -> Result<File> {
    let file = File::create(out.join("lock")).map_err(at(out))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(DataError::Busy {
            path: out.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(at(out)(source)),
    }
}
