//! Making models of one's own: tokenizers, and training from text to a model that talks.
//!
//! - [`run`]: a recipe's stages one after the other. [`recipe`], [`corpus`], [`prepared`], [`examples`],
//!   [`batches`]: what it learns from.
//! - `objective`: what a stage wants of the model. [`decoder`]: loss and gradients. [`optimizer`],
//!   [`collective`]: a step of all ranks.
//! - [`checkpoint`], [`export`], [`report`], [`events`]: what is left of it.
//! - [`bpe`]: merges learned from counted words. `count`: words of files, on several threads.
//! - [`tokenizer`]: all of it, from files to a `tokenizer.json`.
//!
//! Invariant: the result depends on the text and the settings alone, never on the number of threads.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod base;
pub mod batches;
pub mod bpe;
pub mod checkpoint;
pub mod collective;
pub mod corpus;
mod count;
pub mod decoder;
pub mod evaluations;
pub mod events;
pub mod examples;
pub mod export;
pub mod lora;
mod objective;
pub mod optimizer;
mod parallel;
pub mod prepared;
pub mod recipe;
pub mod report;
pub mod run;
pub mod tokenizer;

use std::io;
use std::path::PathBuf;

/// Why something could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not text.
    #[error("{path}: byte {at}: not UTF-8 text")]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where the first byte lies that fits no character.
        at: u64,
    },
    /// A line of text has no end within what is read at once.
    #[error("{path}: byte {at}: a line of more than {allowed} bytes")]
    LongLine {
        /// The file.
        path: PathBuf,
        /// Where it begins.
        at: u64,
        /// The longest that is taken.
        allowed: usize,
    },
    /// A setting cannot be used.
    #[error("{name}: found {found}, allowed {allowed}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What it was.
        found: String,
        /// What it may be.
        allowed: String,
    },
    /// The text has too many different words.
    #[error("more than {allowed} different words; train on a part of the text")]
    TooManyWords {
        /// The most that are held.
        allowed: usize,
    },
    /// The text cannot be cut into words.
    #[error(transparent)]
    Words(#[from] terang_model::Error),
    /// Data cannot be prepared or read.
    #[error(transparent)]
    Data(terang_data::DataError),
    /// Something in a recipe is wrong.
    #[error("{path}: {reason}")]
    Recipe {
        /// The recipe.
        path: PathBuf,
        /// What is wrong, with what is allowed.
        reason: String,
    },
    /// No file fits what a source names.
    #[error("data {source_name}: no file fits {pattern}")]
    NoFiles {
        /// The source.
        source_name: String,
        /// What it names.
        pattern: String,
    },
    /// A line of a file does not hold what it should.
    #[error("{path}: line {number}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        number: u64,
        /// What is wrong.
        reason: String,
    },
    /// There is more text than is held in memory.
    #[error("data {source_name}: more than {allowed} bytes of text; take a part of it")]
    TooMuchText {
        /// The source.
        source_name: String,
        /// The most that is held.
        allowed: u64,
    },
    /// A chat template cannot be trained with.
    #[error("chat template: {reason}")]
    Template {
        /// Why not.
        reason: &'static str,
    },
    /// A file's digest is not the one that its checkpoint's manifest has.
    #[error(
        "{path}: its SHA-256 is not {recorded}, which the manifest has: the file was changed or damaged"
    )]
    Tampered {
        /// The file.
        path: PathBuf,
        /// What the manifest has.
        recorded: String,
    },
    /// A checkpoint's tensors are not those of the model.
    #[error("{path}: tensor {tensor} is not that of the recipe's model")]
    OtherModel {
        /// The checkpoint.
        path: PathBuf,
        /// The first that differs.
        tensor: String,
    },
    /// A checkpoint was made from something else.
    #[error(
        "{path}: {what} is another now than when this was made; give another folder with --out, or remove this one"
    )]
    OtherRecipe {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// Another run writes to the same folder.
    #[error("{path}: another run is writing here")]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// There is less text than one sequence.
    #[error("stage {stage}: its data is less than one sequence")]
    TooLittle {
        /// The stage.
        stage: String,
    },
    /// The loss or a gradient is no number any more.
    #[error(
        "stage {stage}, step {step}: {tensor} is no finite number any more; the last checkpoint is kept. Lower the learning rate"
    )]
    Diverged {
        /// The stage.
        stage: String,
        /// Its step.
        step: u64,
        /// The first gradient that is broken.
        tensor: String,
    },
    /// A model cannot be written in the form that was asked for.
    #[error("{path}: {reason}")]
    Export {
        /// The model.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A model has a part that training has no gradient for.
    #[error("a model of the family {architecture} with {what} cannot be trained yet")]
    Family {
        /// The family.
        architecture: String,
        /// What is missing.
        what: &'static str,
    },
    /// Somebody asked for it to end.
    #[error("stopped")]
    Stopped,
}

impl From<terang_data::DataError> for TrainError {
    fn from(error: terang_data::DataError) -> Self {
        match error {
            terang_data::DataError::Stopped => Self::Stopped,
            other => Self::Data(other),
        }
    }
}

/// Result of everything here.
pub type Result<T> = std::result::Result<T, TrainError>;
