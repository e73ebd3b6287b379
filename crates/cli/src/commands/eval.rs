//! `terang eval perplexity`.

use std::path::Path;

use serde_json::json;
use terang_engine::perplexity::perplexity;
use terang_engine::{EngineOptions, Prompt};

use crate::args::Perplexity;
use crate::chat;
use crate::compute::Compute;
use crate::data_dir::DataDir;
use crate::interrupt;
use crate::messages::{Msg, human_bytes};
use crate::output;
use crate::problem::{Outcome, Problem, fail};
use crate::pull::Progress;

const TEXT_BYTES_MAX: u64 = 256 << 20;

/// Measures and prints.
pub(crate) fn run(data: &DataDir, compute: Compute, args: &Perplexity) -> Outcome<()> {
    let text = read(&args.file)?;
    let progress = Progress::new(args.json);
    let model = chat::locate_answering(data, args.model.as_deref(), &progress)?;
    let context_len = args.context as usize;
    let options = EngineOptions {
        context_len: Some(context_len),
        ..compute.engine(data)
    };
    let (mut runner, coder) =
        terang_engine::load::load(&model.path, &options, |_| ()).map_err(|e| chat::explain(&e))?;
    let vocab_size = terang_engine::runner::Runner::vocab_size(&runner);
    let mut tokens = coder
        .encode(&Prompt::Text(text), vocab_size)
        .map_err(|e| chat::explain(&e))?;
    if let Some(windows) = args.windows {
        tokens.truncate(context_len.saturating_mul(windows as usize));
    }
    let begin = coder.tokenizer().add_bos();
    let mut started = false;
    let result = perplexity(&mut runner, &tokens, context_len, begin, &mut |at| {
        if interrupt::requested() {
            // Nothing is half done that would need care.
            std::process::exit(i32::from(crate::problem::EXIT_INTERRUPTED));
        }
        if !started {
            started = true;
            progress.start_count(at.total as u64, &Msg::LabelMeasuring {});
        }
        progress.label(format!("{} {:.3}", Msg::LabelMeasuring {}, at.perplexity));
        progress.reach(at.done as u64);
    });
    progress.clear();
    let result = result.map_err(|e| chat::explain(&e))?;
    if args.json {
        return output::json(&json!({
            "model": model.name,
            "file": args.file,
            "context": context_len,
            "perplexity": result.perplexity,
            "standard_error": result.standard_error,
            "tokens": result.tokens,
            "windows": result.chunks,
        }));
    }
    output::line(
        &Msg::PerplexityResult {
            perplexity: format!("{:.4}", result.perplexity),
            error: format!("{:.4}", result.standard_error),
            tokens: result.tokens.to_string(),
            windows: result.chunks.to_string(),
            context: context_len.to_string(),
        }
        .to_string(),
    )
}

fn read(path: &Path) -> Outcome<String> {
    let meta = std::fs::metadata(path).map_err(|e| Problem::file(path, &e))?;
    let name = path.display().to_string();
    if !meta.is_file() || meta.len() > TEXT_BYTES_MAX {
        return Err(fail(Msg::TextTooLong {
            path: name,
            allowed: human_bytes(TEXT_BYTES_MAX),
        }));
    }
    let bytes = std::fs::read(path).map_err(|e| Problem::file(path, &e))?;
    String::from_utf8(bytes).map_err(|_| fail(Msg::NotText { path: name }))
}
