//! A training run: a recipe's stages one after the other, on one or more ranks, saved as it goes.
//!
//! Invariant: the weights depend on recipe and data alone: not on threads, not on the number of ranks, not on
//! where the run was broken off and went on.

mod prepare;
mod rank;
mod stage;
#[cfg(test)]
mod tests;

use crate::checkpoint::{self, Manifest, Numbers};
use crate::collective::Local;
use crate::decoder::Layout;
use crate::prepared::Folders;
use crate::recipe::Recipe;
use crate::{Result, TrainError};
use prepare::Prepared;
use rank::{Outcome, Shared};
use std::path::{Path, PathBuf};
use terang_kernels::Cpu;

/// What a run computes with, and where it writes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the recipe is; its paths are from there.
    pub recipe: PathBuf,
    /// The model that the recipe's `model.from` names.
    pub base: Option<PathBuf>,
    /// The folder of the run.
    pub out: PathBuf,
    /// Where data are prepared.
    pub folders: Folders,
    /// Ranks, a power of two.
    pub workers: usize,
    /// Threads of each rank.
    pub threads: usize,
    /// The instruction set.
    pub cpu: Cpu,
    /// The model says something after each validation.
    pub samples: bool,
}

/// What happens in a run.
#[derive(Clone, Debug)]
pub enum Event {
    /// Text is read, the tokenizer is made.
    Preparing {
        /// What is being done.
        source: String,
    },
    /// A stage begins, or goes on at `step`.
    Stage {
        /// Its name.
        name: String,
        /// The first step that is made.
        step: u64,
        /// Its steps.
        steps: u64,
        /// Tokens of its data.
        tokens: usize,
        /// Documents of its data.
        documents: usize,
        /// Parameters of the model.
        parameters: usize,
    },
    /// A step is made.
    Step(Step),
    /// How good it is on what is kept back.
    Validated {
        /// The stage's name.
        stage: String,
        /// Steps that were made.
        step: u64,
        /// The loss, in nats a token or a pair.
        loss: Option<f64>,
        /// The share of right answers, or of pairs in the right order.
        reward: Option<f64>,
    },
    /// What the model says now, beginning with something that was kept back.
    Sample {
        /// The beginning.
        prompt: String,
        /// What it made of it.
        text: String,
    },
    /// A checkpoint is being written.
    Saving {
        /// Where.
        path: PathBuf,
    },
}

/// A step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The stage's name.
    pub stage: String,
    /// Steps of the stage that were made, this one included.
    pub step: u64,
    /// Steps of the stage.
    pub steps: u64,
    /// The loss, in nats a token, or a pair where pairs are compared.
    pub loss: f64,
    /// The share of right answers, or of pairs in the right order.
    pub reward: Option<f64>,
    /// The learning rate.
    pub learning_rate: f64,
    /// The gradient's norm.
    pub gradient_norm: f64,
    /// Tokens of a step.
    pub tokens: usize,
    /// Floating-point operations of a step.
    pub flops: f64,
    /// How long it took.
    pub seconds: f64,
}

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The folder of the model.
    pub model: PathBuf,
    /// The SHA-256 of its `model.safetensors`.
    pub weights_sha256: String,
    /// The latest validation's loss, in nats a token, or a pair.
    pub val_loss: Option<f64>,
    /// The latest validation's share of right answers, or of pairs in the right order.
    pub val_reward: Option<f64>,
    /// Parameters.
    pub parameters: usize,
    /// What the model was made from.
    pub manifest: Manifest,
}

/// Makes the model of a recipe, or goes on with it. `on_event` says whether to go on; when it says no, the
/// run is saved and [`TrainError::Stopped`] is what comes back.
///
/// # Errors
/// What reading, training and saving fail with.
pub fn run(
    recipe: &Recipe,
    options: &Options,
    on_event: &(dyn Fn(&Event) -> bool + Sync),
) -> Result<Finished> {
    if !options.workers.is_power_of_two() {
        return Err(TrainError::Setting {
            name: "workers",
            found: options.workers.to_string(),
            allowed: "1, 2, 4 and further powers of two".to_owned(),
        });
    }
    let most = recipe
        .stage
        .iter()
        .map(|stage| stage.batch / stage.micro_batch)
        .min()
        .unwrap_or(1);
    if options.workers > most {
        return Err(TrainError::Setting {
            name: "workers",
            found: options.workers.to_string(),
            allowed: format!("at most {most}, the micro-batches of a step"),
        });
    }
    let _lock = lock(&options.out)?;
    let prepared = prepare::prepare(recipe, options, on_event)?;
    let layout = Layout::new(&prepared.config)?;
    let (manifest, parent, numbers) = begin(&prepared, &layout, recipe, options)?;
    let shared = Shared::new(recipe, options, &prepared, layout, on_event);
    let at = rank::Position { manifest, parent };
    let outcomes: Vec<Result<Outcome>> = std::thread::scope(|scope| {
        let threads: Vec<_> = Local::ranks(options.workers)
            .into_iter()
            .map(|collective| {
                let (shared, at, numbers) = (&shared, at.clone(), numbers.clone());
                scope.spawn(move || rank::train(shared, Box::new(collective), at, numbers))
            })
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Outcome>>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    // The same on all ranks.
    let outcomes = outcomes.into_iter().collect::<Result<Vec<_>>>()?;
    let outcome = outcomes.into_iter().next().ok_or(TrainError::Stopped)?;
    finish(&prepared, &shared.layout, options, outcome)
}

/// The first checkpoint to go on from: the latest whole one, or a beginning.
fn begin(
    prepared: &Prepared,
    layout: &Layout,
    recipe: &Recipe,
    options: &Options,
) -> Result<(Manifest, Option<String>, Numbers)> {
    let Some(latest) = checkpoint::list(&checkpoints(&options.out)).pop() else {
        let parameters = match (&prepared.adapter, &prepared.base) {
            (Some(adapter), _) => adapter.initial(recipe.seed),
            (None, Some(base)) => base.to_vec(),
            (None, None) => layout.initial(recipe.seed),
        };
        let numbers = Numbers {
            parameters,
            state: None,
        };
        return Ok((prepared.manifest.clone(), None, numbers));
    };
    let (manifest, digest, numbers) = checkpoint::load(&latest, prepared.table(layout))?;
    if manifest.profile != prepared.manifest.profile {
        return Err(TrainError::OtherRecipe {
            path: latest,
            what: "the precision",
        });
    }
    if manifest.recipe != prepared.manifest.recipe {
        return Err(TrainError::OtherRecipe {
            path: latest,
            what: "the recipe",
        });
    }
    if manifest.data != prepared.manifest.data {
        return Err(TrainError::OtherRecipe {
            path: latest,
            what: "the data",
        });
    }
    Ok((manifest, Some(digest), numbers))
}

/// The finished model: the last weights without the optimizer's memory.
fn finish(
    prepared: &Prepared,
    layout: &Layout,
    options: &Options,
    outcome: Outcome,
) -> Result<Finished> {
    let Outcome {
        mut manifest,
        parent,
        parameters,
    } = outcome;
    let model = options.out.join("model");
    manifest.parent = parent;
    let numbers = Numbers {
        parameters,
        state: None,
    };
    checkpoint::save(
        &model,
        prepared.table(layout),
        &numbers,
        &prepared.texts,
        &mut manifest,
    )?;
    Ok(Finished {
        weights_sha256: manifest.weights_sha256().unwrap_or_default().to_owned(),
        val_loss: manifest.val_loss,
        val_reward: manifest.val_reward,
        parameters: prepared.table(layout).len,
        manifest,
        model,
    })
}

fn checkpoints(out: &Path) -> PathBuf {
    out.join("checkpoints")
}

/// Two runs in one folder would destroy each other's work.
fn lock(out: &Path) -> Result<std::fs::File> {
    let wrong = |source| TrainError::File {
        path: out.to_owned(),
        source,
    };
    std::fs::create_dir_all(out).map_err(wrong)?;
    let file = std::fs::File::create(out.join("lock")).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(TrainError::Busy {
            path: out.to_owned(),
        }),
        Err(std::fs::TryLockError::Error(source)) => Err(wrong(source)),
    }
}
