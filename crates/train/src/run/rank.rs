//! What one rank does.

use super::stage::{self, Beginnings, SAMPLE_MOST};
use super::{Event, Options, Prepared, Step, checkpoints};
use crate::checkpoint::{self, Manifest, Numbers, WATTS_A_THREAD};
use crate::collective::{Collective, Tree};
use crate::decoder::generate::largest;
use crate::decoder::{Decoder, Layout, Table, Tensor};
use crate::lora::{Adapter, Work};
use crate::objective::{Objective, Score};
use crate::optimizer::{Gradient, Optimizer, State};
use crate::recipe::{Recipe, Stage};
use crate::{Result, TrainError};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use terang_kernels::ThreadPool;
use terang_kernels::gemm::Workspace;

/// What all ranks read.
pub(super) struct Shared<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) options: &'a Options,
    pub(super) prepared: &'a Prepared,
    pub(super) layout: Layout,
    on_event: &'a (dyn Fn(&Event) -> bool + Sync),
}

impl<'a> Shared<'a> {
    pub(super) fn new(
        recipe: &'a Recipe,
        options: &'a Options,
        prepared: &'a Prepared,
        layout: Layout,
        on_event: &'a (dyn Fn(&Event) -> bool + Sync),
    ) -> Self {
        Self {
            recipe,
            options,
            prepared,
            layout,
            on_event,
        }
    }
}

impl Shared<'_> {
    /// What the steps move.
    pub(super) fn table(&self) -> &Table {
        self.prepared.table(&self.layout)
    }
}

/// Where a run is.
#[derive(Clone)]
pub(super) struct Position {
    pub(super) manifest: Manifest,
    /// The digest of the checkpoint that it comes from.
    pub(super) parent: Option<String>,
}

/// What a rank has at the end; the same on all.
pub(super) struct Outcome {
    pub(super) manifest: Manifest,
    pub(super) parent: Option<String>,
    pub(super) parameters: Vec<f32>,
}

/// What one rank asks of all, by way of the sum of their numbers.
const STOP: f64 = 1.0;
const FAILED: f64 = 1024.0;

/// Goes through the stages from where the run is.
pub(super) fn train(
    shared: &Shared<'_>,
    mut collective: Box<dyn Collective>,
    at: Position,
    numbers: Numbers,
) -> Result<Outcome> {
    let pool = Arc::new(ThreadPool::new(shared.options.threads));
    let Numbers {
        mut parameters,
        mut state,
    } = numbers;
    let Position {
        mut manifest,
        parent,
    } = at;
    let mut saver = Saver {
        parent,
        writing: None,
    };
    for index in manifest.stage..shared.recipe.stage.len() {
        let stage = &shared.recipe.stage[index];
        let decoder = Decoder::new(
            &shared.prepared.config,
            shared.options.cpu,
            Arc::clone(&pool),
            stage.recompute,
        )?
        .with_z_loss(stage.z_loss)
        .with_precision(shared.recipe.precision.of_products());
        let mut correction = Correction::of(shared);
        let is_first = collective.rank() == 0;
        let (objective, beginnings) = stage::objective(shared, index, &mut || {
            let correction = correction.as_mut();
            stage::reference(
                shared,
                &decoder,
                correction,
                &parameters,
                &mut manifest,
                is_first,
            )
        })?;
        let optimizer = match state.take() {
            Some(state) => Optimizer::resume(&stage.optimizer, state),
            None => Optimizer::new(&stage.optimizer, shared.table()),
        };
        manifest.stage = index;
        let mut run = StageRun {
            shared,
            stage,
            decoder,
            objective,
            beginnings,
            optimizer,
            collective: &mut *collective,
            tree: Tree::default(),
            correction,
        };
        run.steps(&mut parameters, &mut manifest, &mut saver)?;
        manifest.stage = index + 1;
        manifest.step = 0;
        manifest.reference = None;
    }
    saver.wait()?;
    Ok(Outcome {
        manifest,
        parent: saver.parent,
        parameters,
    })
}

struct StageRun<'a> {
    shared: &'a Shared<'a>,
    stage: &'a Stage,
    decoder: Decoder,
    objective: Box<dyn Objective>,
    /// What samples begin with.
    beginnings: Beginnings,
    optimizer: Optimizer,
    collective: &'a mut dyn Collective,
    tree: Tree,
    correction: Option<Correction<'a>>,
}

/// A model whose corrections alone are learned.
pub(super) struct Correction<'a> {
    adapter: &'a Adapter,
    base: &'a Vec<f32>,
    /// The model with its corrections.
    merged: Vec<f32>,
    /// The gradient of all its parameters.
    gradient: Vec<f32>,
    workspace: Workspace,
}

impl<'a> Correction<'a> {
    fn of(shared: &'a Shared<'_>) -> Option<Self> {
        let prepared = shared.prepared;
        let parts = prepared.adapter.as_ref().zip(prepared.base.as_deref());
        parts.map(|(adapter, base)| Self {
            adapter,
            base,
            merged: base.clone(),
            gradient: vec![0.0; base.len()],
            workspace: Workspace::new(),
        })
    }

    pub(super) fn merged(&self) -> &[f32] {
        &self.merged
    }

    /// The parameters with which a step is computed.
    pub(super) fn merge(&mut self, decoder: &Decoder, numbers: &[f32]) {
        let mut work = Work {
            cpu: decoder.cpu(),
            pool: decoder.pool(),
            workspace: &mut self.workspace,
        };
        self.adapter
            .merge(&mut work, self.base, numbers, &mut self.merged);
    }
}

impl StageRun<'_> {
    fn is_first(&self) -> bool {
        self.collective.rank() == 0
    }

    /// Tells what happened; the answer is whether to go on.
    fn tell(&self, event: &Event) -> bool {
        !self.is_first() || (self.shared.on_event)(event)
    }

    fn steps(
        &mut self,
        parameters: &mut [f32],
        manifest: &mut Manifest,
        saver: &mut Saver,
    ) -> Result<()> {
        let stage = self.stage;
        let mut go_on = self.tell(&Event::Stage {
            name: stage.name.clone(),
            step: manifest.step,
            steps: stage.steps,
            tokens: self.objective.tokens(),
            documents: self.objective.len(),
            parameters: parameters.len(),
        });
        while manifest.step < stage.steps {
            let step = manifest.step;
            let started = Instant::now();
            let rate = stage.optimizer.learning_rate * stage.schedule.factor(step, stage.steps);
            let (score, norm) = self.step(parameters, step, rate)?;
            manifest.step += 1;
            let tokens = stage.batch * stage.sequence;
            let flops = self.flops(tokens);
            manifest.tokens += tokens as u64;
            manifest.flops += flops;
            let threads = self.shared.options.threads * self.shared.options.workers;
            let seconds = started.elapsed().as_secs_f64();
            manifest.energy_j += seconds * threads as f64 * WATTS_A_THREAD;
            go_on &= self.tell(&Event::Step(Step {
                stage: stage.name.clone(),
                step: manifest.step,
                steps: stage.steps,
                loss: score.mean_loss(),
                reward: score.mean_reward(),
                learning_rate: rate,
                gradient_norm: norm,
                tokens,
                flops,
                seconds,
            }));
            let is_last = manifest.step == stage.steps;
            if is_last || manifest.step.is_multiple_of(stage.validate_every) {
                go_on &= self.validate(parameters, manifest);
            }
            // All ranks stop together, at the same step.
            let due = is_last
                || manifest
                    .step
                    .is_multiple_of(self.shared.recipe.checkpoint.every);
            let mut word = [if go_on { 0.0 } else { STOP }];
            self.collective.all_gather(&mut word);
            if due || word[0] >= STOP {
                let saved = self.save(parameters, manifest, saver, word[0] >= STOP);
                let mut failed = [if saved.is_err() { FAILED } else { 0.0 }];
                self.collective.all_gather(&mut failed);
                saved?;
                if failed[0] >= FAILED || word[0] >= STOP {
                    return Err(TrainError::Stopped);
                }
            }
        }
        Ok(())
    }

    /// One step: this rank's micro-batches, the sum over all, the optimizer. Returns the score of all, and
    /// the gradient's norm.
    fn step(&mut self, parameters: &mut [f32], step: u64, rate: f64) -> Result<(Score, f64)> {
        let all = self.objective.begin(step);
        let own = all / self.collective.size();
        let from = self.collective.rank() * own;
        let cpu = self.decoder.cpu();
        let mut scores = vec![0.0; Score::LEN * all];
        if let Some(correction) = &mut self.correction {
            correction.merge(&self.decoder, parameters);
        }
        self.decoder.hold_weights();
        for index in from..from + own {
            let mut gradient = self.tree.leaf(parameters.len());
            let (objective, decoder) = (&mut self.objective, &mut self.decoder);
            let score = match &mut self.correction {
                None => objective.gradient(decoder, parameters, index, &mut gradient),
                Some(correction) => {
                    let Correction {
                        adapter,
                        merged,
                        gradient: full,
                        workspace,
                        ..
                    } = correction;
                    let score = objective.gradient(decoder, merged, index, full);
                    let mut work = Work {
                        cpu,
                        pool: decoder.pool(),
                        workspace,
                    };
                    adapter.project(&mut work, full, parameters, &mut gradient);
                    score
                }
            };
            scores[Score::LEN * index..][..Score::LEN].copy_from_slice(&score.numbers());
            self.tree.push(cpu, self.decoder.pool(), gradient);
        }
        self.decoder.release_weights();
        let mut gradient = self.tree.sum().unwrap_or_default();
        self.collective.all_reduce(cpu, &mut gradient);
        self.collective.all_gather(&mut scores);
        let score = Score::sum(&scores);
        let pool = self.decoder.pool();
        let found = Gradient::new(cpu, pool, &gradient);
        let table = self.shared.table();
        if !score.mean_loss().is_finite() || !found.norm.is_finite() {
            let is_broken = |tensor: &&Tensor| {
                gradient[tensor.range.clone()]
                    .iter()
                    .any(|x| !x.is_finite())
            };
            let broken = table.tensors.iter().find(is_broken);
            return Err(TrainError::Diverged {
                stage: self.stage.name.clone(),
                step: step + 1,
                tensor: broken.map_or_else(|| "the loss".to_owned(), |tensor| tensor.name.clone()),
            });
        }
        let norm = found.norm;
        self.optimizer
            .step(cpu, pool, table, parameters, found, rate);
        self.tree.give_back(gradient);
        Ok((score, norm))
    }

    /// How good it is on what was kept back, computed by the first rank.
    fn validate(&mut self, parameters: &[f32], manifest: &mut Manifest) -> bool {
        let (mut numbers, mut go_on) = ([0.0; Score::LEN], true);
        if self.is_first() {
            if let Some(correction) = &mut self.correction {
                correction.merge(&self.decoder, parameters);
            }
            let parameters = self.correction.as_ref().map_or(parameters, |c| &c.merged);
            let score = self.objective.validate(&mut self.decoder, parameters);
            numbers = score.numbers();
            let turn = (manifest.step / self.stage.validate_every) as usize;
            if self.shared.options.samples && !self.beginnings.is_empty() {
                let beginning = &self.beginnings[turn % self.beginnings.len()];
                let sample = sample(self.shared, &mut self.decoder, parameters, beginning);
                go_on = self.tell(&sample);
            }
        }
        self.collective.all_gather(&mut numbers);
        let score = Score::sum(&numbers);
        let (loss, reward) = (
            (score.losses > 0.0).then(|| score.mean_loss()),
            score.mean_reward(),
        );
        if loss.is_none() && reward.is_none() {
            return go_on;
        }
        // Of a stage that learns by rewards alone the loss before it stays.
        manifest.val_loss = loss.or(manifest.val_loss);
        manifest.val_reward = reward;
        let stage = self.stage.name.clone();
        self.tell(&Event::Validated {
            stage,
            step: manifest.step,
            loss,
            reward,
        }) && go_on
    }

    /// Six operations a parameter and token, and attention's: twelve a layer, width and key seen, of which
    /// a causal mask leaves half.
    fn flops(&self, tokens: usize) -> f64 {
        let config = self.decoder.config();
        let width = config.num_attention_heads * config.head_dim;
        let attention = 6 * config.layers.len() * width * self.stage.sequence;
        (6 * self.shared.layout.table.len + attention) as f64 * tokens as f64
    }

    /// Hands a checkpoint to the thread that writes it. With `now` it is durable when this returns.
    fn save(
        &mut self,
        parameters: &[f32],
        manifest: &Manifest,
        saver: &mut Saver,
        now: bool,
    ) -> Result<()> {
        if !self.is_first() {
            return Ok(());
        }
        saver.wait()?;
        let folder = checkpoints(&self.shared.options.out);
        let done: u64 = self.shared.recipe.stage[..manifest.stage]
            .iter()
            .map(|stage| stage.steps)
            .sum();
        let path = folder.join(format!("step-{:08}", done + manifest.step));
        self.tell(&Event::Saving { path: path.clone() });
        let state: State = self.optimizer.state().clone();
        let numbers = Numbers {
            parameters: parameters.to_vec(),
            state: Some(state),
        };
        let mut manifest = manifest.clone();
        if manifest.step == self.stage.steps {
            // The next stage begins with a new optimizer.
            manifest.stage += 1;
            manifest.step = 0;
            manifest.reference = None;
        }
        manifest.parent.clone_from(&saver.parent);
        let table = self.shared.table().clone();
        let (texts, keep) = (
            self.shared.prepared.texts.clone(),
            self.shared.recipe.checkpoint.keep.max(1),
        );
        let numbers = if manifest.step == 0 {
            Numbers {
                state: None,
                ..numbers
            }
        } else {
            numbers
        };
        saver.writing = Some(std::thread::spawn(move || {
            let digest = checkpoint::save(&path, &table, &numbers, &texts, &mut manifest)?;
            let all = checkpoint::list(&folder);
            for old in &all[..all.len().saturating_sub(keep)] {
                std::fs::remove_dir_all(old).map_err(|source| TrainError::File {
                    path: old.clone(),
                    source,
                })?;
            }
            Ok(digest)
        }));
        if now { saver.wait() } else { Ok(()) }
    }
}

/// What the model makes of a beginning, where it always takes the likeliest token.
fn sample(
    shared: &Shared<'_>,
    decoder: &mut Decoder,
    parameters: &[f32],
    beginning: &[u32],
) -> Event {
    let (tokenizer, stops) = (&shared.prepared.tokenizer, &shared.prepared.stops);
    let mut likeliest = |_: usize, _: usize, logits: &mut [f32]| largest(logits);
    let found = decoder.generate(parameters, &[beginning], SAMPLE_MOST, stops, &mut likeliest);
    Event::Sample {
        prompt: tokenizer.decode(beginning, true),
        text: tokenizer.decode(found.first().map_or(&[], Vec::as_slice), true),
    }
}

/// The checkpoint that is being written.
struct Saver {
    parent: Option<String>,
    writing: Option<JoinHandle<Result<String>>>,
}

impl Saver {
    fn wait(&mut self) -> Result<()> {
        if let Some(writing) = self.writing.take() {
            let digest = writing
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            self.parent = Some(digest);
        }
        Ok(())
    }
}
