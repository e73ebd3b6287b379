//! A stage's objective: its examples, those that are kept back, and the model as it was before.

use super::rank::{Correction, Shared};
use crate::batches::{Batches, Packing};
use crate::checkpoint::{self, Manifest, Numbers};
use crate::corpus::Document;
use crate::decoder::Decoder;
use crate::examples::{Example, Pair, Task};
use crate::objective::{Drawing, Likelihood, Objective, Preference, Reading, Reward};
use crate::recipe::{Stage, StageKind};
use crate::{Result, TrainError};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// Tokens of a text that a sample begins with, and most tokens of it.
const SAMPLE_PROMPT: usize = 12;
pub(super) const SAMPLE_MOST: usize = 40;
/// Beginnings that take turns.
const SAMPLES: usize = 16;

/// Beginnings of what was kept back, as tokens.
pub(super) type Beginnings = Vec<Vec<u32>>;

/// What a stage learns by, and beginnings of what was kept back. `reference` is asked for where it needs the model as it was before.
pub(super) fn objective(
    shared: &Shared<'_>,
    index: usize,
    reference: &mut dyn FnMut() -> Result<Vec<f32>>,
) -> Result<(Box<dyn Objective>, Beginnings)> {
    let stage = &shared.recipe.stage[index];
    let seed = shared.recipe.seed.wrapping_add(index as u64);
    let (training, validation) = examples(shared, stage);
    let beginnings = beginnings(&validation, stage.sequence);
    let sizes = (stage.batch, stage.micro_batch, stage.sequence);
    let mut objective: Box<dyn Objective> = match stage.kind {
        StageKind::Pretrain | StageKind::Midtrain | StageKind::Sft => {
            let packing = if stage.kind == StageKind::Sft {
                Packing::Whole
            } else {
                Packing::Cut
            };
            let batches = |examples| {
                let documents: Vec<Document> = pick(examples, as_document);
                Batches::new(documents, packing, stage.sequence, stage.batch, seed)
            };
            let (training, validation) = (batches(training), batches(validation));
            Box::new(Likelihood::new(training, validation, stage.micro_batch))
        }
        StageKind::Dpo => {
            let (training, validation) = (pick(training, as_pair), pick(validation, as_pair));
            let (reference, beta) = (Arc::new(reference()?), stage.dpo.beta);
            Box::new(Preference::new(
                training, validation, reference, beta, sizes, seed,
            ))
        }
        StageKind::Grpo => {
            let (training, validation) = (pick(training, as_task), pick(validation, as_task));
            let reading = Reading {
                tokenizer: Arc::clone(&shared.prepared.tokenizer),
                stops: shared.prepared.stops.clone(),
            };
            let drawing = Drawing {
                group: stage.grpo.group,
                most: stage.grpo.answer_tokens,
                temperature: stage.grpo.temperature,
            };
            Box::new(Reward::new(
                training, validation, reading, drawing, sizes, seed,
            ))
        }
    };
    if objective.is_enough() {
        Ok((objective, beginnings))
    } else {
        Err(TrainError::TooLittle {
            stage: stage.name.clone(),
        })
    }
}

/// Where an answer begins, or the first words of a text.
fn beginnings(examples: &[Example], sequence: usize) -> Beginnings {
    let document = |document: &Document| {
        let answer = document.learned.iter().position(|learned| *learned);
        let n = answer.unwrap_or(SAMPLE_PROMPT.min(document.tokens.len() / 2));
        document.tokens[..n].to_vec()
    };
    let all = examples.iter().map(|example| match example {
        Example::Document(text) => document(text),
        Example::Pair(pair) => document(&pair.chosen),
        Example::Task(task) => task.prompt.clone(),
    });
    all.filter(|tokens| (1..sequence).contains(&tokens.len()))
        .take(SAMPLES)
        .collect()
}

fn pick<T>(examples: Vec<Example>, of: fn(Example) -> Option<T>) -> Vec<T> {
    examples.into_iter().filter_map(of).collect()
}

fn as_document(example: Example) -> Option<Document> {
    match example {
        Example::Document(document) => Some(document),
        _ => None,
    }
}

fn as_pair(example: Example) -> Option<Pair> {
    match example {
        Example::Pair(pair) => Some(pair),
        _ => None,
    }
}

fn as_task(example: Example) -> Option<Task> {
    match example {
        Example::Task(task) => Some(task),
        _ => None,
    }
}

/// A stage's examples, and those of them that are kept back. Each hundredth or so is kept, by its place.
fn examples(shared: &Shared<'_>, stage: &Stage) -> (Vec<Example>, Vec<Example>) {
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    let all = stage
        .data
        .iter()
        .filter_map(|name| shared.prepared.examples.get(name));
    let mut owed = 0.0;
    for example in all.flat_map(|examples| examples.iter()) {
        owed += stage.validation;
        if owed >= 1.0 {
            owed -= 1.0;
            validation.push(example.clone());
        } else {
            training.push(example.clone());
        }
    }
    // What is learned from is not kept back: a source may be taken more than once.
    let learned: HashSet<&[u32]> = training.iter().map(Example::key).collect();
    validation.retain(|example| !learned.contains(example.key()));
    (training, validation)
}

/// The model as it was before the stage: what it is at the stage's first step, and read again by a run that
/// goes on. All parameters, corrections merged.
pub(super) fn reference(
    shared: &Shared<'_>,
    decoder: &Decoder,
    correction: Option<&mut Correction<'_>>,
    numbers: &[f32],
    manifest: &mut Manifest,
    is_first: bool,
) -> Result<Vec<f32>> {
    let path: PathBuf = shared.options.out.join("reference");
    let table = shared.table();
    let numbers = if manifest.step == 0 {
        let numbers = Numbers {
            parameters: numbers.to_vec(),
            state: None,
        };
        // One rank writes, and checkpoints are of that one.
        let mut of = manifest.clone();
        of.reference = None;
        let texts = &shared.prepared.texts;
        manifest.reference = Some(if is_first {
            checkpoint::save(&path, table, &numbers, texts, &mut of)?
        } else {
            String::new()
        });
        numbers
    } else {
        let (_, digest, numbers) = checkpoint::load(&path, table)?;
        if manifest.reference.as_deref() != Some(&digest) {
            return Err(TrainError::OtherRecipe {
                path,
                what: "the model before the stage",
            });
        }
        numbers
    };
    let Some(correction) = correction else {
        return Ok(numbers.parameters);
    };
    correction.merge(decoder, &numbers.parameters);
    Ok(correction.merged().to_vec())
}
