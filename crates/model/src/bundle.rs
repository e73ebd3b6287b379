//! A model opened from a path: what its file or folder says about it, before any weight is read.

use std::path::Path;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::{Config, Error, Result, TensorSource};

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

impl LoadedModel {
    /// Opens a GGUF file.
    pub fn open(path: &Path) -> Result<Self> {
        let checkpoint = Checkpoint::open(path)?;
        let (config, tokenizer, template) = match &checkpoint {
            Checkpoint::Gguf(gguf) => {
                let tokenizer = Tokenizer::from_gguf(gguf.metadata())?;
                let template = ChatTemplate::from_gguf(gguf.metadata(), &tokenizer)?;
                (Config::from_gguf(gguf)?, tokenizer, template)
            }
            Checkpoint::HfFolder(folder) => {
                let supported = "a GGUF file";
                let found = "a Hugging Face folder";
                return Err(Error::unsupported(&folder.dir, "model", found, supported));
            }
        };
        Ok(Self {
            config,
            tokenizer: Arc::new(tokenizer),
            template,
            tensors: Arc::new(checkpoint),
        })
    }
}

impl std::fmt::Debug for LoadedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedModel")
            .field("path", &self.tensors.path())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
