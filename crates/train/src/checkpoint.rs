//! Checkpoints: a model folder that Hugging Face's library and Terang load, with what a run needs to go on.
//!
//! A checkpoint is written beside its place, made durable and renamed: there is a whole one or none. Each
//! carries a manifest: what it was made from, by digests, up to the checkpoint before it.

use crate::corpus::hex;
use crate::decoder::Table;
use crate::optimizer::State;
use crate::{Result, TrainError};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use terang_model::safetensors::{NewTensor, Safetensors, write};
use terang_model::{TensorSource as _, TensorView};

/// The manifest's file.
pub const MANIFEST: &str = "manifest.json";
/// What a busy core takes with its share of memory and cooling: servers of 2020 to 2025 have 4 to 8 watts a core
/// by their processors' data sheets. The true figure may be half or twice that.
pub const WATTS_A_THREAD: f64 = 10.0;
const MANIFEST_BYTES_MAX: u64 = 64 << 20;
const WEIGHTS: &str = "model.safetensors";
/// The weights' file where they are an adapter's, by the name that the library PEFT has for it.
const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
const STATE: &str = "optimizer.safetensors";

/// Where a checkpoint is from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub format: String,
    /// The model's name.
    pub name: String,
    /// The program's version.
    pub made_by: String,
    /// The numerics profile that fixes every bit.
    pub profile: String,
    /// The recipe's text.
    pub recipe: String,
    /// Sources, with their files.
    pub data: Vec<SourceRecord>,
    /// Stages that are done, and the one that it is in.
    pub stage: usize,
    /// Steps of that stage that are done.
    pub step: u64,
    /// Steps in all.
    pub steps_total: u64,
    /// Tokens that went through in training.
    pub tokens: u64,
    /// Floating-point operations of training: 6 a parameter and token, and those of attention.
    pub flops: f64,
    /// What training took of energy, in joules, by estimate: the threads' seconds times
    /// [`WATTS_A_THREAD`].
    #[serde(default)]
    pub energy_j: f64,
    /// The latest validation's loss, in nats a token.
    pub val_loss: Option<f64>,
    /// The latest validation's share of right answers, or of pairs in the right order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_reward: Option<f64>,
    /// The SHA-256 of the manifest of the model that answers are compared with, inside of a stage that does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The SHA-256 of the manifest of the checkpoint before it.
    pub parent: Option<String>,
    /// The SHA-256 of each file beside this one.
    pub files: BTreeMap<String, String>,
}

impl Manifest {
    /// The SHA-256 of the weights' file.
    pub fn weights_sha256(&self) -> Option<&str> {
        let file = self
            .files
            .get(WEIGHTS)
            .or_else(|| self.files.get(ADAPTER_WEIGHTS));
        file.map(String::as_str)
    }
}

fn weights_file(is_adapter: bool) -> &'static str {
    if is_adapter { ADAPTER_WEIGHTS } else { WEIGHTS }
}

/// What is known of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceRecord {
    /// Its name.
    pub name: String,
    /// Its licence.
    pub licence: String,
    /// Where it is from.
    pub origin: String,
    /// File names, each with the SHA-256 of its bytes.
    pub files: BTreeMap<String, String>,
    /// Bytes read.
    pub bytes: u64,
    /// Documents taken, tokens of them, and documents that could not be encoded.
    pub documents: u64,
    /// Tokens of the documents taken.
    pub tokens: u64,
    /// Documents that the chat template could not tell apart.
    pub dropped: u64,
}

/// A checkpoint's numbers.
#[derive(Clone, Debug)]
pub struct Numbers {
    /// All parameters.
    pub parameters: Vec<f32>,
    /// The optimizer's memory; none in a finished model.
    pub state: Option<State>,
}

/// Texts beside the weights: `config.json`, `tokenizer.json` and the like.
pub type Texts = BTreeMap<String, String>;

/// Writes a checkpoint to `dir`, replacing what is there, and completes its manifest. Returns the SHA-256 of
/// the manifest.
///
/// # Errors
/// [`TrainError::File`]; then `dir` is as it was.
pub fn save(
    dir: &Path,
    table: &Table,
    numbers: &Numbers,
    texts: &Texts,
    manifest: &mut Manifest,
) -> Result<String> {
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| TrainError::File { path, source }
    };
    let part = beside(dir, ".part");
    if part.exists() {
        fs::remove_dir_all(&part).map_err(wrong(&part))?;
    }
    fs::create_dir_all(&part).map_err(wrong(&part))?;
    manifest.files.clear();
    let mut file = |name: &str, content: &dyn Fn(&mut Hashing) -> io::Result<()>| -> Result<()> {
        let path = part.join(name);
        let mut out = Hashing {
            out: BufWriter::new(File::create(&path).map_err(wrong(&path))?),
            digest: Sha256::new(),
        };
        content(&mut out)
            .and_then(|()| out.out.flush())
            .map_err(wrong(&path))?;
        out.out.get_ref().sync_all().map_err(wrong(&path))?;
        manifest
            .files
            .insert(name.to_owned(), hex(&out.digest.finalize()));
        Ok(())
    };
    let metadata: BTreeMap<String, String> = [("format".to_owned(), "pt".to_owned())].into();
    let names = |prefix: &str| {
        table
            .tensors
            .iter()
            .map(|t| format!("{prefix}{}", t.name))
            .collect::<Vec<_>>()
    };
    file(
        weights_file(texts.contains_key("adapter_config.json")),
        &|out| {
            let names = names("");
            write(out, &tensors(table, &names, &numbers.parameters), &metadata)
        },
    )?;
    if let Some(state) = &numbers.state {
        file(STATE, &|out| {
            let (m, v) = (names("m."), names("v."));
            let mut all = tensors(table, &m, &state.m);
            all.extend(tensors(table, &v, &state.v));
            write(out, &all, &metadata)
        })?;
        file("optimizer.json", &|out| {
            writeln!(out, "{{\"steps\": {}}}", state.steps)
        })?;
    }
    for (name, text) in texts {
        file(name, &|out| out.write_all(text.as_bytes()))?;
    }
    let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
    let path = part.join(MANIFEST);
    let mut out = File::create(&path).map_err(wrong(&path))?;
    out.write_all(text.as_bytes())
        .and_then(|()| out.sync_all())
        .map_err(wrong(&path))?;
    sync_folder(&part).map_err(wrong(&part))?;
    let old = beside(dir, ".old");
    if old.exists() {
        fs::remove_dir_all(&old).map_err(wrong(&old))?;
    }
    if dir.exists() {
        fs::rename(dir, &old).map_err(wrong(dir))?;
    }
    fs::rename(&part, dir).map_err(wrong(dir))?;
    if let Some(parent) = dir.parent() {
        sync_folder(parent).map_err(wrong(parent))?;
    }
    if old.exists() {
        fs::remove_dir_all(&old).map_err(wrong(&old))?;
    }
    Ok(hex(&Sha256::digest(text.as_bytes())))
}

fn tensors<'a>(table: &'a Table, names: &'a [String], data: &'a [f32]) -> Vec<NewTensor<'a>> {
    let named = table.tensors.iter().zip(names);
    named
        .map(|(t, name)| NewTensor {
            name,
            shape: &t.shape,
            data: &data[t.range.clone()],
        })
        .collect()
}

/// Reads and checks a checkpoint: every file against its digest in the manifest.
///
/// # Errors
/// [`TrainError::Tampered`] names the file whose digest is another; [`TrainError::File`] and
/// [`TrainError::Words`] where files are missing or broken.
pub fn load(dir: &Path, table: &Table) -> Result<(Manifest, String, Numbers)> {
    let (manifest, digest) = verify(dir)?;
    let weights =
        Safetensors::open(&dir.join(weights_file(manifest.files.contains_key(ADAPTER_WEIGHTS))))?;
    let read = |source: &Safetensors, prefix: &str| -> Result<Vec<f32>> {
        let mut out = vec![0.0; table.len];
        for tensor in &table.tensors {
            let view: TensorView<'_> = source.require(&format!("{prefix}{}", tensor.name))?;
            let other = TrainError::OtherModel {
                path: dir.to_owned(),
                tensor: tensor.name.clone(),
            };
            if view.shape != tensor.shape || view.data.len() != 4 * tensor.range.len() {
                return Err(other);
            }
            let numbers = view.data.as_chunks::<4>().0;
            for (x, bytes) in out[tensor.range.clone()].iter_mut().zip(numbers) {
                *x = f32::from_le_bytes(*bytes);
            }
        }
        Ok(out)
    };
    let parameters = read(&weights, "")?;
    let path = dir.join(STATE);
    let state = if path.exists() {
        let source = Safetensors::open(&path)?;
        let steps = fs::read_to_string(dir.join("optimizer.json"))
            .ok()
            .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
            .and_then(|value| value["steps"].as_u64())
            .ok_or_else(|| TrainError::Tampered {
                path: dir.join("optimizer.json"),
                recorded: "steps".to_owned(),
            })?;
        Some(State {
            m: read(&source, "m.")?,
            v: read(&source, "v.")?,
            steps,
        })
    } else {
        None
    };
    Ok((manifest, digest, Numbers { parameters, state }))
}

/// Reads a checkpoint's manifest and checks every file's digest, and that results beside it are its own. Returns
/// the manifest's own digest too.
///
/// # Errors
/// As [`load`].
pub fn verify(dir: &Path) -> Result<(Manifest, String)> {
    let (manifest, text) = manifest(dir)?;
    for (name, recorded) in &manifest.files {
        let path = terang_model::checkpoint::folder_file(dir, name)?;
        let found = digest(&path).map_err(|source| TrainError::File {
            path: path.clone(),
            source,
        })?;
        if found != *recorded {
            return Err(TrainError::Tampered {
                path,
                recorded: recorded.clone(),
            });
        }
    }
    crate::evaluations::read(dir)?;
    Ok((manifest, hex(&Sha256::digest(text.as_bytes()))))
}

/// The SHA-256 of a checkpoint's manifest.
pub(crate) fn manifest_digest(dir: &Path) -> Result<String> {
    let path = dir.join(MANIFEST);
    digest(&path).map_err(|source| TrainError::File { path, source })
}

/// Reads a checkpoint's manifest; the files that it names are not looked at.
///
/// # Errors
/// [`TrainError::File`], [`TrainError::Line`].
pub fn read_manifest(dir: &Path) -> Result<Manifest> {
    manifest(dir).map(|(manifest, _)| manifest)
}

/// The manifest, and its text.
fn manifest(dir: &Path) -> Result<(Manifest, String)> {
    let path = dir.join(MANIFEST);
    let wrong = |source| TrainError::File {
        path: path.clone(),
        source,
    };
    let bytes = fs::metadata(&path).map_err(wrong)?.len();
    if bytes > MANIFEST_BYTES_MAX {
        let reason = format!("{bytes} bytes, allowed {MANIFEST_BYTES_MAX}");
        return Err(TrainError::Export { path, reason });
    }
    let text = fs::read_to_string(&path).map_err(wrong)?;
    let manifest = serde_json::from_str(&text).map_err(|error| TrainError::Line {
        path: path.clone(),
        number: error.line() as u64,
        reason: error.to_string(),
    })?;
    Ok((manifest, text))
}

/// Checkpoints under `dir`, the latest last.
pub fn list(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix("step-");
            number.is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()))
                && path.join(MANIFEST).exists()
        })
        .collect();
    found.sort();
    found
}

/// The SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// Those of reading.
pub fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut digest, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(hex(&digest.finalize()));
        }
        digest.update(&buffer[..n]);
    }
}

struct Hashing {
    out: BufWriter<File>,
    digest: Sha256,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn beside(dir: &Path, ending: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
