//! `terang tokenizer train`.

use std::time::Instant;

use serde_json::json;
use terang_train::tokenizer::{Progress as Step, Settings, train};

use super::train::explain;
use crate::args::TrainTokenizer;
use crate::compute::Compute;
use crate::interrupt;
use crate::messages::Msg;
use crate::output;
use crate::problem::{Outcome, Problem};
use crate::pull::Progress;

/// Learns, writes and tells.
pub(crate) fn run(compute: Compute, args: &TrainTokenizer) -> Outcome<()> {
    let begun = Instant::now();
    let mut bytes = 0;
    for path in &args.files {
        let meta = std::fs::metadata(path).map_err(|error| Problem::file(path, &error))?;
        bytes += meta.len();
    }
    let settings = Settings {
        vocab_size: args.vocab_size as usize,
        min_frequency: args.min_frequency,
        pre_tokenizer: args.pre_tokenizer.clone(),
        special: args.special.clone(),
        threads: compute.threads(),
    };
    let progress = Progress::new(args.json);
    progress.start_count(bytes, &Msg::LabelCounting {});
    let mut is_learning = false;
    let made = train(&args.files, &settings, |step| {
        match step {
            Step::Counted(done) => progress.reach(done),
            Step::Learned(tokens) => {
                if !is_learning {
                    is_learning = true;
                    progress.start_count(u64::from(args.vocab_size), &Msg::LabelLearning {});
                }
                progress.reach(tokens as u64);
            }
        }
        !interrupt::requested()
    });
    progress.clear();
    let told = |error| explain(error, "tokenizer train");
    let made = made.map_err(told)?;
    made.save(&args.out).map_err(told)?;
    let seconds = begun.elapsed().as_secs_f64();
    if args.json {
        return output::json(&json!({
            "file": args.out,
            "vocab_size": made.vocab_size(),
            "merges": made.merges().len(),
            "pre_tokenizer": args.pre_tokenizer,
            "special": args.special,
            "bytes": bytes,
            "words": made.words_in_all,
            "different_words": made.different_words,
            "seconds": seconds,
        }));
    }
    output::line(
        &Msg::TokenizerMade {
            path: args.out.display().to_string(),
            tokens: made.vocab_size().to_string(),
            words: made.words_in_all.to_string(),
            seconds: format!("{seconds:.1}"),
        }
        .to_string(),
    )
}
