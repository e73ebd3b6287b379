//! A model opened from a path: what its file or folder says about it, before any weight is read.

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::{Checkpoint, folder_file};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{Config, Result, TensorSource};

/// All that a GGUF file or a Hugging Face folder holds, ready for
/// [`Decoder::load`](crate::decoder::Decoder::load).
#[derive(Clone)]
pub struct LoadedModel {
    /// The decoder's description.
    pub config: Config,
    /// Text to token ids and back.
    pub tokenizer: Arc<Tokenizer>,
    /// Conversations to text; base models have none.
    pub template: Option<ChatTemplate>,
    /// The weights, mapped.
    pub tensors: Arc<dyn TensorSource>,
}

/// An opened GGUF file or Hugging Face folder, whose parts are read as they are asked for: its text
/// side takes about as long as its weights, and both can be read at once.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    checkpoint: Arc<Checkpoint>,
}

impl ModelFiles {
    /// Opens a GGUF file or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        if let Checkpoint::HfFolder(folder) = &checkpoint {
            refuse_links_that_leave(&folder.dir)?;
        }
        Ok(Self {
            checkpoint: Arc::new(checkpoint),
        })
    }

    /// The decoder's description.
    pub fn config(&self) -> Result<Config> {
        match &*self.checkpoint {
            Checkpoint::Gguf(gguf) => Config::from_gguf(gguf),
            Checkpoint::HfFolder(folder) => {
                Config::from_hf_json(&folder.dir.join("config.json"), &folder.config)
            }
        }
    }

    /// Tokenizer and chat template.
    pub fn text(&self) -> Result<(Arc<Tokenizer>, Option<ChatTemplate>)> {
        let (tokenizer, template) = match &*self.checkpoint {
            Checkpoint::Gguf(gguf) => {
                let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
                let template = ChatTemplate::from_gguf(gguf.metadata(), &tokenizer)?;
                gguf.done_with_metadata();
                (tokenizer, template)
            }
            Checkpoint::HfFolder(folder) => {
                let tokenizer = Tokenizer::from_file(&folder.dir.join("tokenizer.json"))?;
                let template = ChatTemplate::from_folder(&folder.dir, &tokenizer)?;
                (tokenizer, template)
            }
        };
        Ok((Arc::new(tokenizer), template))
    }

    /// The weights, mapped.
    pub fn tensors(&self) -> Arc<dyn TensorSource> {
        Arc::clone(&self.checkpoint) as Arc<dyn TensorSource>
    }
}

impl LoadedModel {
    /// Opens a GGUF file or a Hugging Face folder.
    pub fn open(path: &Path) -> Result<Self> {
        let files = ModelFiles::open(path)?;
        let (tokenizer, template) = files.text()?;
        Ok(Self {
            config: files.config()?,
            tokenizer,
            template,
            tensors: files.tensors(),
        })
    }
}

/// The tokenizer and the template are read by name; a link under such a name must not lead out of
/// the folder. `config.json` and the weights are checked where they are opened.
pub(crate) fn refuse_links_that_leave(dir: &Path) -> Result<()> {
    const NAMES: [&str; 4] = [
        "tokenizer.json",
        "tokenizer_config.json",
        "generation_config.json",
        "chat_template.jinja",
    ];
    for name in NAMES {
        if dir.join(name).symlink_metadata().is_ok() {
            folder_file(dir, name)?;
        }
    }
    Ok(())
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModel")
            .field("path", &self.tensors.path())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_folder_is_refused() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret.json");
        std::fs::write(&secret, "{}").unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
        refuse_links_that_leave(folder.path()).unwrap();
        let link = folder.path().join("tokenizer_config.json");
        std::os::unix::fs::symlink(secret, link).unwrap();
        let error = refuse_links_that_leave(folder.path()).unwrap_err();
        assert!(
            error.to_string().contains("a file inside the folder"),
            "{error}"
        );
    }
}
