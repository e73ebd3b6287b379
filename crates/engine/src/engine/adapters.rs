//! Adapters of an engine, by name. They come and go while requests run: whoever began with one keeps
//! it to the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use terang_model::{Adapter, Config};

use super::Engine;
use crate::{Error, Result};

/// The adapters that requests may name.
#[derive(Debug)]
pub(super) struct Adapters {
    /// Of the model that they must fit; `None`: the engine cannot have any.
    config: Option<Config>,
    by_name: RwLock<BTreeMap<String, Arc<Adapter>>>,
}

impl Adapters {
    pub(super) fn new(config: Option<&Config>) -> Self {
        Self {
            config: config.cloned(),
            by_name: RwLock::default(),
        }
    }

    /// What a request that names an adapter, or none, goes through.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Option<Arc<Adapter>>> {
        let Some(name) = name else {
            return Ok(None);
        };
        let adapters = self.by_name.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(adapter) = adapters.get(name) {
            return Ok(Some(Arc::clone(adapter)));
        }
        let known: Vec<&str> = adapters.keys().map(String::as_str).collect();
        let allowed = match known[..] {
            [] => "none, since no adapter is loaded".to_owned(),
            _ => format!("one of {}", known.join(", ")),
        };
        Err(Error::invalid("adapter", name, allowed))
    }
}

impl Engine {
    /// Reads the LoRA adapter at `path`, a PEFT folder or a GGUF file, which requests can name from
    /// now on. One that had the name before goes when the requests that began with it have ended.
    ///
    /// # Errors
    /// Of the adapter's files, or [`Error::Unavailable`] where the engine's runner takes no adapters.
    pub fn add_adapter(&self, name: &str, path: &Path) -> Result<()> {
        let config = self.adapters.config.as_ref();
        let config = config.ok_or(Error::Unavailable { what: "adapters" })?;
        let adapter = Arc::new(Adapter::open(path, config)?);
        let by_name = &self.adapters.by_name;
        let mut by_name = by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.insert(name.to_owned(), adapter);
        Ok(())
    }

    /// Forgets an adapter when the requests that began with it have ended. Gives whether there was
    /// one of that name.
    pub fn remove_adapter(&self, name: &str) -> bool {
        let by_name = &self.adapters.by_name;
        let mut by_name = by_name.write().unwrap_or_else(PoisonError::into_inner);
        by_name.remove(name).is_some()
    }

    /// The names of all adapters, sorted.
    pub fn adapters(&self) -> Vec<String> {
        let by_name = &self.adapters.by_name;
        let by_name = by_name.read().unwrap_or_else(PoisonError::into_inner);
        by_name.keys().cloned().collect()
    }
}
