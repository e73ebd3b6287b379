//! From a path to a running engine.

use std::panic::resume_unwind;
use std::path::Path;

use terang_kernels::{Cpu, ThreadPool};
use terang_model::bundle::ModelFiles;
use terang_model::decoder::{Decoder, KvType, LoadOptions, PackedCache};

use crate::runner::DecoderRunner;
use crate::text::Text;
use crate::{Engine, Error, Limits, Result};

/// Positions of the context where neither the caller nor the model asks for fewer.
pub const DEFAULT_CONTEXT_LEN: usize = 8192;

/// How a model is loaded and run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Threads of the decoder; `None`: as many as the machine has cores.
    pub threads: Option<usize>,
    /// Positions that prompt and answer share; `None`: the model's own context, but at most
    /// [`DEFAULT_CONTEXT_LEN`]. Memory is taken as they fill.
    pub context_len: Option<usize>,
    /// Positions for all requests together, and for what is kept of those that ended; `None`: as
    /// many as one context. Memory is taken as they fill.
    pub cache_len: Option<usize>,
    /// Storage of keys and values.
    pub kv_type: KvType,
    /// Where packed weights are kept for the next start; `None`: nowhere.
    pub packed_cache: Option<PackedCache>,
    /// Limits of the engine itself.
    pub limits: Limits,
}

/// How far loading has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Parts of the model that are in memory.
    pub done: usize,
    /// Parts in all.
    pub total: usize,
}

/// Loads a GGUF file or Hugging Face folder: its decoder, and the text that belongs to it. The
/// environment variable `TERANG_CPU` chooses the instruction set.
pub fn load(
    path: &Path,
    options: &EngineOptions,
    mut progress: impl FnMut(LoadProgress),
) -> Result<(DecoderRunner, Text)> {
    let cpu = Cpu::from_env()?;
    let files = ModelFiles::open(path)?;
    let config = files.config()?;
    let context_len = options
        .context_len
        .unwrap_or_else(|| config.max_position_embeddings.min(DEFAULT_CONTEXT_LEN));
    let load_options = LoadOptions {
        cpu,
        threads: options.threads.unwrap_or_else(ThreadPool::default_threads),
        kv_type: options.kv_type,
        packed_cache: options.packed_cache.clone(),
    };
    // The vocabulary is read while the weights are.
    let (decoder, text) = std::thread::scope(|scope| {
        let text = scope.spawn(|| files.text());
        let mut told = |done, total| progress(LoadProgress { done, total });
        let decoder = Decoder::load(files.tensors(), config, &load_options, &mut told);
        let text = text.join().unwrap_or_else(|panic| resume_unwind(panic));
        (decoder, text)
    });
    // Of two errors, the one about the text: weights are checked last.
    let (tokenizer, template) = text?;
    let decoder = decoder?;
    let runner = DecoderRunner::new(
        decoder,
        context_len,
        options.cache_len.unwrap_or(context_len),
    )?;
    Ok((runner, Text::new(tokenizer, template)))
}

impl Engine {
    /// Loads a GGUF file or Hugging Face folder and starts an engine on it; see [`load`].
    pub fn open(
        path: &Path,
        options: &EngineOptions,
        progress: impl FnMut(LoadProgress),
    ) -> Result<Self> {
        let (runner, text) = load(path, options, progress)?;
        Self::start(runner, text, options.limits)
    }

    /// [`Self::open`] with a second, smaller model of the same vocabulary, which guesses tokens ahead
    /// where that is found to save time. Answers are the same.
    pub fn open_with_draft(
        path: &Path,
        draft: &Path,
        options: &EngineOptions,
        mut progress: impl FnMut(LoadProgress),
    ) -> Result<Self> {
        let (runner, text) = load(path, options, &mut progress)?;
        let draft_options = EngineOptions {
            // A shorter context of its own is enough: it then guesses no further.
            context_len: None,
            cache_len: options.cache_len.or(options.context_len),
            ..options.clone()
        };
        let (draft, draft_text) = load(draft, &draft_options, progress)?;
        check_same_vocabulary(&text, &draft_text)?;
        Self::start_with_draft(runner, Some(Box::new(draft)), text, options.limits)
    }
}

fn check_same_vocabulary(text: &Text, draft: &Text) -> Result<()> {
    let (ours, theirs) = (text.tokenizer(), draft.tokenizer());
    let count = ours.vocab_size().max(theirs.vocab_size());
    let other = (0..count as u32).find(|&id| ours.token_bytes(id) != theirs.token_bytes(id));
    match other {
        None => Ok(()),
        Some(id) => Err(Error::invalid(
            "draft",
            format_args!("a model whose token {id} is another"),
            "a model of the same vocabulary",
        )),
    }
}
