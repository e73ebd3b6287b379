//! Files of a Hugging Face model folder.
//!
//! A folder may come from anywhere, so a name that it gives (a shard in an index) or a symbolic link
//! in it must not reach files outside of it. One layout is let through: in the hub's cache a folder
//! is `models--…/snapshots/REVISION` and its files are links into `models--…/blobs`, its own
//! model's store.

use crate::mapped::MappedFile;
use crate::safetensors::Safetensors;
use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};

/// Most bytes of `config.json`; those of today have a few thousand. As a tree in memory a hostile
/// file takes up to a hundred times as much.
const CONFIG_BYTES_MAX: usize = 512 << 10;

/// An open model folder.
#[derive(Debug)]
pub struct HfFolder {
    /// The folder.
    pub dir: PathBuf,
    /// The weights.
    pub tensors: Safetensors,
    /// Text of `config.json`.
    pub config: String,
}

impl HfFolder {
    /// Opens `config.json` and `model.safetensors` or the shards of `model.safetensors.index.json`.
    pub fn open(dir: &Path) -> Result<Self> {
        let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
        if !has("config.json") {
            let allowed =
                "config.json with safetensors beside it, or the path of a GGUF file itself";
            return Err(Error::invalid(
                dir,
                "model folder",
                "no config.json",
                allowed,
            ));
        }
        let config = read_text(dir, "config.json", CONFIG_BYTES_MAX)?;
        let tensors = if has("model.safetensors") {
            Safetensors::open(&folder_file(dir, "model.safetensors")?)?
        } else if has("model.safetensors.index.json") {
            Safetensors::open_sharded(dir, "model.safetensors.index.json")?
        } else {
            let supported = "model.safetensors or model.safetensors.index.json";
            if let Some(pickle) = ["pytorch_model.bin", "pytorch_model.bin.index.json"]
                .into_iter()
                .find(|name| has(name))
            {
                return Err(Error::unsupported(dir, "weights", pickle, supported));
            }
            return Err(Error::invalid(dir, "weights", "none", supported));
        };
        Ok(Self {
            dir: dir.to_owned(),
            tensors,
            config,
        })
    }
}

/// The real path of the file `name` of a model folder. Refuses a name that is more than one
/// component and a link that leaves the folder, other than into the hub cache's blobs.
pub fn folder_file(dir: &Path, name: &str) -> Result<PathBuf> {
    let mut components = Path::new(name).components();
    let plain = matches!(
        (components.next(), components.next()),
        (Some(Component::Normal(only)), None) if only == name
    );
    if !plain || name.contains(['\\', '\0']) {
        return Err(Error::invalid(
            dir,
            "file name",
            name,
            "a name without folders",
        ));
    }
    let on_path = |path: PathBuf| move |source| Error::io(path, source);
    let root = dir.canonicalize().map_err(on_path(dir.to_owned()))?;
    let path = dir.join(name);
    let file = path.canonicalize().map_err(on_path(path.clone()))?;
    let blobs = root
        .parent()
        .filter(|parent| parent.ends_with("snapshots"))
        .and_then(Path::parent)
        .map(|model| model.join("blobs"));
    let inside = file.parent() == Some(&*root) || blobs.is_some_and(|b| file.parent() == Some(&*b));
    if !inside {
        let found = format!("a link to {}", file.display());
        return Err(Error::invalid(
            path,
            "model folder",
            found,
            "a file inside the folder",
        ));
    }
    Ok(file)
}

/// The UTF-8 text of the file `name` of a model folder, of at most `bytes_max`.
pub fn read_text(dir: &Path, name: &str, bytes_max: usize) -> Result<String> {
    let path = folder_file(dir, name)?;
    let map = MappedFile::open(&path)?;
    let bytes = map.bytes();
    if bytes.len() > bytes_max {
        let found = format!("{} bytes", bytes.len());
        return Err(Error::invalid(
            path,
            "file size",
            found,
            format!("at most {bytes_max}"),
        ));
    }
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|error| Error::invalid(&path, "text", error.utf8_error(), "UTF-8"))?;
    map.check_intact()?;
    Ok(text)
}
